"""What can be done with the runs selected: buttons below the table, the same in its menu and by key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QHBoxLayout, QMenu, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.run_text import CONTINUABLE
from advclip_gui.gui.widgets.basics import Button, IconButton, TextLabel
from advclip_gui.gui.widgets.run_curves import ROLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.run_list import RunSummary
    from advclip_gui.gui.run_record import RunRecord
    from advclip_gui.gui.widgets.run_table import RunTable

_BUTTONS = (
    ("probe", "Probe", "crosshairs-gps", "useInProbe", "Attack images with this run's adapter.", "Return"),
    (
        *("evaluate", "Evaluate", "shield-check-outline", "evaluateRun"),
        *("Measure the adapters of the runs selected, side by side.", ""),
    ),
    ("go_on", "Continue", "play", "continueRun", "Go on training from the run's last checkpoint.", ""),
    ("export", "Export…", "export-variant", "exportRun", "Write the adapter for other programs.", ""),
)
_SMALL = (
    ("rename", "Rename", "pencil-outline", "renameRun", "Give the run another name (F2)", "F2"),
    ("note", "Note…", "note-edit-outline", "noteRun", "Write something about the run (F4)", "F4"),
    ("folder", "Open folder", "folder-open-outline", "openRunFolder", "Show the run's files", ""),
    (
        "bin",
        "Move to the bin",
        "trash-can-outline",
        "binRun",
        "Move the runs selected to the bin (Del)",
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
        row = QHBoxLayout(self)
        row.setContentsMargins(look.m, 0, look.m, 0)
        row.setSpacing(look.s)
        for key, text, icon, name, tip, keys in _BUTTONS:
            self._add(row, key, text, icon, keys, Button(text, icon, name=name, tip=tip))
        row.addSpacing(look.s)
        for key, text, icon, name, tip, keys in _SMALL:
            self._add(row, key, text, icon, keys, IconButton(icon, tip, name=name))
        row.addStretch(1)
        self.reason = TextLabel("", "caption")
        self.reason.setObjectName("runReason")
        row.addWidget(self.reason)
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

    def menu(self) -> QMenu:
        """Make the table's context menu."""
        menu = QMenu(self._table)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
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
        """Offer what the runs selected allow; `record` is that of a single one, where it has been read."""
        one = runs[0] if len(runs) == 1 else None
        has_adapter = one is not None and one.has_adapter
        stands = one is not None and one.state in CONTINUABLE
        allowed = {
            "probe": has_adapter,
            "evaluate": any(run.has_adapter for run in runs) and _one_backbone(runs),
            "go_on": stands and record is not None and record.has_checkpoint and not training,
            "export": has_adapter,
            "rename": one is not None,
            "note": one is not None,
            "folder": one is not None,
            "bin": any(run.state != "running" for run in runs),
        }
        for key, enabled in allowed.items():
            self.actions[key].setEnabled(enabled)
            self.buttons[key].setEnabled(enabled)
        self.reason.setText(_reason(runs, record, training))


def _one_backbone(runs: Sequence[RunSummary]) -> bool:
    return len({repr(run.backbone_settings) for run in runs if run.has_adapter}) == 1


def _reason(runs: Sequence[RunSummary], record: RunRecord | None, training: bool) -> str:
    """Why something is not offered."""
    if not runs:
        return "No run is selected."
    if len(runs) > 1:
        most = len(ROLES)
        which = f"the first {most} are " if len(runs) > most else ""
        return f"{len(runs):,} runs selected: {which}compared below."
    run = runs[0]
    if run.state in CONTINUABLE and record is not None:
        if not record.has_checkpoint:
            return "It left no checkpoint to continue from."
        if training:
            return "It can be continued when the run in training has ended."
    if not run.has_adapter:
        return "It has no adapter yet." if run.state == "running" else "It left no adapter."
    return ""
