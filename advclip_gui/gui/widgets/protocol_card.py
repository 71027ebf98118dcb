"""Which protocol a run follows: the choice that every figure's meaning hangs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import TextLabel
from advclip_gui.gui.widgets.segmented import Segmented
from advclip_gui.gui.widgets.untitled_card import UntitledCard
from advclip_gui.wording import PROTOCOL_SENTENCES, PROTOCOL_TITLES

if TYPE_CHECKING:
    from advclip_gui.settings import Protocol

PROTOCOLS: tuple[Protocol, ...] = ("sound", "released")

FIXED: dict[str, dict[str, str]] = {
    "adversary": {
        "kind": "The released code trains against one perturbation that all images share.",
        "norm": "The released code bounds every value of the perturbation (L∞).",
        "epsilon_warmup": "The released code has the same epsilon in every step.",
    },
    "training": {
        "clean_share": "The released loss has no part on clean images.",
        "trades_beta": "The released loss has no KL term.",
        "warmup": "The released schedule is a cosine from the first step on.",
    },
    "monitor": {"norm": "The released evaluation bounds every value of the perturbation (L∞)."},
}
"""Section and field -> why the released protocol leaves no choice."""

UNUSED: dict[str, dict[str, str]] = {
    "adversary": {
        "step_size": "The released code has a step length of its own.",
        "random_start": "The released perturbation starts each epoch at zero.",
    },
}
"""Section and field -> why the released protocol makes no use of it."""


class ProtocolCard(UntitledCard):
    """Two buttons and the sentence of the one that is down."""

    chosen = Signal(str)
    """The protocol, when the user changes it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start with the sound protocol."""
        super().__init__(parent)
        look = theme.current()
        self.layout().setContentsMargins(look.l, look.m, look.l, look.m)
        self.choice = Segmented(
            [(one, PROTOCOL_TITLES[one], PROTOCOL_SENTENCES[one]) for one in PROTOCOLS],
            name="run.protocol",
            label="Protocol",
        )
        self.sentence = TextLabel("", "caption", wrap=True)
        self.sentence.setObjectName("protocolSentence")
        row = QHBoxLayout()
        row.setSpacing(look.l)
        row.addWidget(TextLabel("Protocol", "title"))
        row.addWidget(self.choice)
        row.addWidget(self.sentence, 1)
        self.body.addLayout(row)
        self.choice.chosen.connect(self._on_chosen)
        self.set_value("sound")

    def value(self) -> Protocol:
        """The protocol chosen."""
        return "released" if self.choice.value() == "released" else "sound"

    def set_value(self, protocol: Protocol) -> None:
        """Choose without telling anyone."""
        self.choice.set_value(protocol)
        self._show_sentence()

    def _on_chosen(self, protocol: str) -> None:
        self._show_sentence()
        self.chosen.emit(protocol)

    def _show_sentence(self) -> None:
        value = self.value()
        self.sentence.setText(PROTOCOL_SENTENCES[value])
        self.sentence.set_role("warning" if value == "released" else "caption")
