"""A scrolled column that tells how wide it may be, so that what is in it can arrange itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QScrollArea

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent
    from PySide6.QtWidgets import QWidget


class ColumnScroll(QScrollArea):
    """Scrolls up and down only."""

    width_changed = Signal(int)
    """Pixels there are for the content."""

    def __init__(self, content: QWidget, name: str) -> None:
        """Scroll `content`."""
        super().__init__()
        self.setObjectName(name)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(content)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Tell the new width."""
        super().resizeEvent(event)
        self.width_changed.emit(self.viewport().width())
