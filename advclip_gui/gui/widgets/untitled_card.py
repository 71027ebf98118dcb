"""A card without a title row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from advclip_gui.gui.widgets.basics import Card

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget


class UntitledCard(Card):
    """Owns the title label it does not show, so that nothing outlives the card."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make an empty card."""
        super().__init__(None, parent)
        self.title_label.setParent(self)
        self.title_label.hide()
