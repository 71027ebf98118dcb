"""What can be done with the runs selected: buttons below the table, the same in its menu and by key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QHBoxLayout, QMenu, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.run_offers import refusals, with_adapter
from advclip_gui.gui.run_text import CONTINUABLE
from advclip_gui.gui.widgets.basics import Button, IconButton
from advclip_gui.gui.widgets.elided_label import ElidedLabel
from advclip_gui.gui.widgets.run_curves import ROLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.run_list import RunSummary
    from advclip_gui.gui.run_record import RunRecord
    from advclip_gui.gui.widgets.run_table import RunTable

_BUTTONS = (
    ("probe", "Probe", "crosshairs-gps", "useInProbe", "Attack images with these adapters.", "Return"),
    (
        *("evaluate", "Evaluate", "shield-check-outline", "evaluateRun"),
        *("Measure the adapters selected, side by side.", ""),
    ),
    ("go_on", "Continue", "play", "continueRun", "Go on training from the run's last checkpoint.", ""),
    ("export", "Export…", "export-variant", "exportRun", "Write the adapters for other programs.", ""),
)
_SMALL = (
    ("rename", "Rename", "pencil-outline", "renameRun", "Give it another name (F2)", "F2"),
    ("note", "Note…", "note-edit-outline", "noteRun", "Write something about it (F4)", "F4"),
    ("folder", "Open folder", "folder-open-outline", "openRunFolder", "Show its files", ""),
    (
        "bin",
        "Move to the bin",
        "trash-can-outline",
        "binRun",
        "Move what is selected to the bin (Del)",
        "Del",
    ),
)
"""Attribute, text, icon, name of the button, tooltip and key."""


class RunActions(QWidget):
    """A row of buttons; each has an action of the same state in the table's menu."""

    def __init__(self, table: RunTable, parent: QWidget | None = None) -> None:
        """Make them; the keys work while the table has the focus."""
        super().__init__(parent)
        look = theme.current()
        self._table = table
        self.actions: dict[str, QAction] = {}
        self.buttons: dict[str, Button | IconButton] = {}
        self._tips: dict[str, str] = {}
        row = QHBoxLayout(self)
        row.setContentsMargins(look.m, 0, look.m, 0)
        row.setSpacing(look.s)
        for key, text, icon, name, tip, keys in _BUTTONS:
            self._add(row, key, text, icon, keys, Button(text, icon, name=name, tip=tip))
        row.addSpacing(look.s)
        for key, text, icon, name, tip, keys in _SMALL:
            self._add(row, key, text, icon, keys, IconButton(icon, tip, name=name))
        self.reason = ElidedLabel("", "caption", mode=Qt.TextElideMode.ElideRight)
        self.reason.setObjectName("runReason")
        self.reason.setAccessibleName("About what is selected")
        self.reason.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self.reason, 1)
        table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        table.customContextMenuRequested.connect(self._pop_up)

    def _add(
        self, row: QHBoxLayout, key: str, text: str, icon: str, keys: str, button: Button | IconButton
    ) -> None:
        action = QAction(theme.icon(icon), text, self._table)
        if keys:
            action.setShortcut(QKeySequence(keys))
            action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        self._table.addAction(action)
        button.clicked.connect(action.trigger)
        row.addWidget(button)
        self.actions[key], self.buttons[key] = action, button
        self._tips[key] = button.toolTip()

    def menu(self) -> QMenu:
        """Make the table's context menu."""
        menu = QMenu(self._table)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.setToolTipsVisible(True)
        for key in ("probe", "evaluate", "go_on", "export"):
            menu.addAction(self.actions[key])
        menu.addSeparator()
        for key in ("rename", "note", "folder"):
            menu.addAction(self.actions[key])
        menu.addSeparator()
        menu.addAction(self.actions["bin"])
        return menu

    def _pop_up(self, place: QPoint) -> None:
        if self._table.selected():
            self.menu().popup(self._table.viewport().mapToGlobal(place))

    def show_state(self, runs: Sequence[RunSummary], record: RunRecord | None, *, training: bool) -> None:
        """Offer what the selection allows; a tooltip says why something is not offered.

        Args:
            runs: what is selected.
            record: of a single one, where its folder has been read.
            training: whether this window trains.
        """
        for key, refusal in refusals(runs, record, training=training).items():
            tip = refusal or self._tips[key]
            self.actions[key].setEnabled(not refusal)
            self.actions[key].setToolTip(tip)
            self.buttons[key].setEnabled(not refusal)
            self.buttons[key].setToolTip(tip)
        several = len(with_adapter(runs)) > 1
        for key, text, *_ in _BUTTONS[:2]:
            title = f"Compare in {text}" if several else text
            self.actions[key].setText(title)
            self.buttons[key].setText(title)
        self.reason.setText(_reason(runs, record, training))


def _reason(runs: Sequence[RunSummary], record: RunRecord | None, training: bool) -> str:
    """What is worth saying of the selection without being asked."""
    if not runs:
        return "Nothing is selected."
    if len(runs) > 1:
        most = len(ROLES)
        which = f"the first {most} are " if len(runs) > most else ""
        adapters = sum(run.is_adapter for run in runs)
        what = "adapters" if adapters == len(runs) else "runs" if not adapters else "models"
        return f"{len(runs):,} {what} selected: {which}compared below."
    run = runs[0]
    told = refusals(runs, record, training=training)
    if run.problem:
        return ""  # a sentence below says it in full
    if run.state in CONTINUABLE and told["go_on"]:
        return told["go_on"]
    return told["export"]
