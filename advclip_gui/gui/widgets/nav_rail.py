"""The rail at the left: one button for each page, Ctrl+1 .. Ctrl+6 for the six working pages."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QFrame, QToolButton, QVBoxLayout, QWidget

from advclip_gui.gui import theme


@dataclass(frozen=True)
class PageEntry:
    """A page of the window: its key, its label, its icon and its shortcut ("" for none)."""

    key: str
    title: str
    icon: str
    shortcut: str
    tip: str


PAGES = (
    PageEntry("start", "Start", "home-outline", "Ctrl+0", "Open a folder or try the demo"),
    PageEntry("data", "Data", "image-multiple-outline", "Ctrl+1", "Images, classes, shots and prompts"),
    PageEntry("recipe", "Recipe", "tune-variant", "Ctrl+2", "Backbone, LoRA, adversary and training"),
    PageEntry("train", "Train", "chart-line", "Ctrl+3", "Train and watch clean and robust accuracy"),
    PageEntry("probe", "Probe", "crosshairs-gps", "Ctrl+4", "Attack one image and see the prediction flip"),
    PageEntry("evaluate", "Evaluate", "shield-check-outline", "Ctrl+5", "Robust accuracy of a test set"),
    PageEntry("runs", "Runs", "history", "Ctrl+6", "Every run, also those started without the window"),
)


class NavRail(QFrame):
    """Exclusive page buttons; `chosen` tells which page the user wants."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        """Build a button for every page."""
        super().__init__(parent)
        look = theme.current()
        self.setProperty("role", "rail")
        self.setFixedWidth(look.rail_width)
        column = QVBoxLayout(self)
        column.setContentsMargins(look.s, look.m, look.s, look.m)
        column.setSpacing(look.xs)
        self.buttons: dict[str, QToolButton] = {}
        self._group = QButtonGroup(self)
        for entry in PAGES:
            button = QToolButton()
            button.setProperty("kind", "rail")
            button.setObjectName(f"nav_{entry.key}")
            button.setText(entry.title)
            button.setAccessibleName(f"{entry.title} page")
            button.setToolTip(f"{entry.tip}  ({entry.shortcut})")
            button.setCheckable(True)
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
            button.setFixedWidth(look.rail_width - 2 * look.s)
            button.setIconSize(QSize(look.icon + look.xs, look.icon + look.xs))
            button.clicked.connect(self._clicked)
            self._group.addButton(button)
            self.buttons[entry.key] = button
            column.addWidget(button)
        column.addStretch(1)
        self._paint_icons()
        self._group.buttonToggled.connect(self._paint_icons)
        theme.signals().changed.connect(self._paint_icons)

    def show_current(self, key: str) -> None:
        """Mark a page's button."""
        self.buttons[key].setChecked(True)

    def _clicked(self) -> None:
        pressed = self.sender()
        for key, button in self.buttons.items():
            if button is pressed:
                self.chosen.emit(key)

    def _paint_icons(self) -> None:
        for entry in PAGES:
            button = self.buttons[entry.key]
            button.setIcon(theme.icon(entry.icon, "accent" if button.isChecked() else "text_muted"))
