"""The controls beside a probe: model, attack, smallest epsilon, save and copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCheckBox, QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.attack_form import AttackForm
from advclip_gui.gui.widgets.basics import Button, Card, EmptyState, HLine, SectionLabel
from advclip_gui.gui.widgets.model_chooser import ModelChooser
from advclip_gui.gui.widgets.smallest_panel import SmallestPanel

if TYPE_CHECKING:
    from advclip_gui.gui.bridge import Backend

WIDTH = 284


def fit_text(state: EmptyState) -> None:
    """Give a wrapped text the height it needs at its own width, not at that of the whole page."""
    width = state.text.maximumWidth()
    state.text.setFixedWidth(width)
    state.text.setMinimumHeight(state.text.heightForWidth(width))


class ProbePanel(QWidget):
    """One column; what does not fit scrolls, Save and Copy stay in sight."""

    def __init__(self, backend: Backend, parent: QWidget | None = None) -> None:
        """Lay the controls out."""
        super().__init__(parent)
        look = theme.current()
        self.setFixedWidth(WIDTH)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        card = Card()
        card.layout().setContentsMargins(look.m, look.m, look.m, look.m)
        outer.addWidget(card)
        card.body.addWidget(self._make_scroll(self._make_controls(backend)), 1)
        card.body.addWidget(HLine())
        card.body.addLayout(self._make_actions())

    def _make_controls(self, backend: Backend) -> QWidget:
        look = theme.current()
        box = QWidget()
        box.setProperty("role", "page")
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, look.xs, 0)
        column.setSpacing(look.s)
        column.addWidget(SectionLabel("Model"))
        self.models = ModelChooser(name="probeModel")
        column.addWidget(self.models)
        self.follow = QCheckBox("Follow training")
        self.follow.setObjectName("probeFollow")
        self.follow.setChecked(True)
        self.follow.setToolTip("Attack the adapter again and again while it is being trained.")
        self.follow.hide()
        column.addWidget(self.follow)
        column.addSpacing(look.xs)
        self.form = AttackForm()
        column.addWidget(self.form)
        column.addSpacing(look.xs)
        self.smallest = SmallestPanel(backend)
        column.addWidget(self.smallest)
        column.addStretch(1)
        return box

    def _make_scroll(self, content: QWidget) -> QScrollArea:
        scroll = QScrollArea()
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidgetResizable(True)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setWidget(content)
        return scroll

    def _make_actions(self) -> QHBoxLayout:
        look = theme.current()
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, look.xs, 0)  # as the controls above, which leave room for a scroll bar
        row.setSpacing(look.s)
        self.save_button = Button(
            "Save…",
            "content-save-outline",
            name="probeSave",
            tip="Save the adversarial image (8-bit PNG, read back and checked), the perturbation, "
            "and a JSON file that repeats this probe (Ctrl+S).",
        )
        self.copy_button = Button(
            "Copy image", "content-copy", name="probeCopy", tip="Copy the adversarial image to the clipboard."
        )
        row.addWidget(self.save_button, 1)
        row.addWidget(self.copy_button, 1)
        return row
