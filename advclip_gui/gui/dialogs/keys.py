"""Every key of the window, grouped by where it works."""

from __future__ import annotations

from typing import NamedTuple

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import TextLabel
from advclip_gui.gui.widgets.nav_rail import PAGES


class KeyGroup(NamedTuple):
    """A title, and what each key or key combination does."""

    title: str
    keys: tuple[tuple[str, str], ...]


GROUPS = (
    KeyGroup("Pages", tuple((entry.shortcut, entry.title) for entry in PAGES)),
    KeyGroup(
        "Everywhere",
        (
            ("Ctrl+O", "Open an image folder"),
            ("Ctrl+I", "Import settings"),
            ("Ctrl+E", "Export the last adapter"),
            ("F1", "User guide"),
            ("Ctrl+?", "This list"),
            ("Ctrl+Q", "Quit"),
        ),
    ),
    KeyGroup(
        "Probe",
        (
            ("Ctrl+V", "Paste an image"),
            ("Ctrl+S", "Save the probe"),
            ("Ctrl+C", "Copy the image in focus"),
            ("+  -  0", "Zoom in, out, show all"),
            ("Arrows", "Move a zoomed image"),
        ),
    ),
    KeyGroup(
        "Runs",
        (
            ("Ctrl+F", "Filter"),
            ("F2", "Rename"),
            ("F4", "Note"),
            ("Del", "Move to the bin"),
            ("Return", "Probe with the chosen adapter"),
        ),
    ),
    KeyGroup(
        "Plots and tables",
        (
            ("Arrows", "Read values off a plot"),
            ("+  -  Home", "Zoom a plot, show all"),
            ("Ctrl+C", "Copy the figures of a table"),
        ),
    ),
)


def shown_keys(keys: str) -> str:
    """Return a combination as this platform writes it (the command sign on a Mac); other text as it is."""
    native = QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText)
    return native if "+" in keys.strip("+ ") and "  " not in keys else keys


class KeysDialog(QDialog):
    """Two columns of groups."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Build the dialog."""
        super().__init__(parent)
        look = theme.current()
        self.setWindowTitle("Keyboard shortcuts")
        self.setObjectName("keysDialog")
        column = QVBoxLayout(self)
        column.setContentsMargins(look.xl, look.xl, look.xl, look.l)
        column.setSpacing(look.l)
        sides = QHBoxLayout()
        sides.setSpacing(2 * look.xl)
        for groups in (GROUPS[:2], GROUPS[2:]):
            sides.addLayout(self._side(groups))
        column.addLayout(sides)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column.addWidget(buttons)

    def _side(self, groups: tuple[KeyGroup, ...]) -> QGridLayout:
        look = theme.current()
        grid = QGridLayout()
        grid.setHorizontalSpacing(look.l)
        grid.setVerticalSpacing(look.s)
        grid.setColumnStretch(1, 1)
        row = 0
        for group in groups:
            title = TextLabel(group.title, "heading")
            if row:
                title.setContentsMargins(0, look.m, 0, 0)
            grid.addWidget(title, row, 0, 1, 2)
            row += 1
            for keys, meaning in group.keys:
                badge = TextLabel(shown_keys(keys), "badge")
                grid.addWidget(badge, row, 0, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
                grid.addWidget(TextLabel(meaning), row, 1)
                row += 1
        grid.setRowStretch(row, 1)
        return grid
