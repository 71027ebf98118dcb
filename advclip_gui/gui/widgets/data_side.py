"""The column beside the images: which of them train, and what their prompts say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Card
from advclip_gui.gui.widgets.prompt_editor import PromptEditor
from advclip_gui.gui.widgets.sample_card import SampleCard

if TYPE_CHECKING:
    from advclip_gui.gui.io_thread import IoPool

_WIDTH = 280


class DataSide(QScrollArea):
    """Sample and prompt templates, scrolled together where the window is low.

    Attributes:
        sample: the card of the few-shot sample.
        prompts: the editor of the templates.
        content: what is disabled while there is nothing to draw from.
    """

    def __init__(self, io: IoPool, parent: QWidget | None = None) -> None:
        """Build the column."""
        super().__init__(parent)
        look = theme.current()
        self.sample = SampleCard(io)
        self.prompts = PromptEditor()
        card = Card("Prompt templates")
        card.body.addWidget(self.prompts)
        self.content = QWidget()
        self.content.setProperty("role", "page")
        column = QVBoxLayout(self.content)
        column.setContentsMargins(0, 0, look.xs, 0)
        column.setSpacing(look.m)
        column.addWidget(self.sample)
        column.addWidget(card)
        column.addStretch(1)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(self.content)
        self.setFixedWidth(_WIDTH)
