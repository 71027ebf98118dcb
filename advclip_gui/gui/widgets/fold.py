"""A part of a form that is folded away until asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from superqt import QCollapsible

from advclip_gui.gui import theme

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

_UNLIMITED = 16_777_215  # Qt's QWIDGETSIZE_MAX


class Fold(QCollapsible):
    """A quiet header with a chevron; what is folded away cannot be reached with Tab either."""

    def __init__(self, title: str, content: QWidget, *, name: str, parent: QWidget | None = None) -> None:
        """Fold `content` away under `title`."""
        super().__init__(title, parent)
        self.setObjectName(name)
        self.setDuration(0)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.layout().setSpacing(theme.current().xs)
        button = self.toggleButton()
        button.setObjectName(f"{name}.toggle")
        button.setProperty("kind", "flat")
        button.setStyleSheet("text-align: left; padding: 0;")
        button.setAccessibleName(title)
        button.setToolTip("Show or hide what is rarely changed.")
        self.setCollapsedIcon(theme.icon("chevron-right", "text_muted"))
        self.setExpandedIcon(theme.icon("chevron-down", "text_muted"))
        self.content().hide()
        self.setContent(content)
        self.toggled.connect(self._on_toggled)
        self.collapse(animate=False)

    def _on_toggled(self, expanded: bool) -> None:
        # The base class limits the height to what it was when unfolded, which would cut off
        # sentences that appear later, and leaves what is folded in the Tab order.
        self.content().setMaximumHeight(_UNLIMITED)
        self.content().setVisible(expanded)
