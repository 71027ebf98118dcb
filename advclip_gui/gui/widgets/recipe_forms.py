"""The sections of a recipe in two columns of cards, and the protocol above them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QBoxLayout, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Card
from advclip_gui.gui.widgets.protocol_card import FIXED, UNUSED, ProtocolCard
from advclip_gui.gui.widgets.settings_form import SettingsForm
from advclip_gui.settings import (
    AdversarySettings,
    LoraSettings,
    MonitorSettings,
    RunSettings,
    TrainingSettings,
)

if TYPE_CHECKING:
    from typing import Any

    from pydantic import BaseModel

SECTIONS = ("lora", "adversary", "training", "monitor")
_OWN = ("name", "device", "precision", "compile")
"""What a run is told beside its sections and its protocol."""
_FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "lora": (("rank", "alpha", "encoder", "matrices"), ("layers", "dropout")),
    "adversary": (
        ("inner_steps", "kind", "norm", "epsilon", "step_size"),
        ("random_start", "epsilon_warmup"),
    ),
    "training": (
        (
            "steps",
            "batch_size",
            "learning_rate",
            "clean_share",
            "trades_beta",
            "patience",
            "compare_plain",
        ),
        (
            "keep_best",
            "augmentation",
            "accumulation",
            "gradient_clip",
            "warmup",
            "final_learning_rate",
            "weight_decay",
            "seed",
        ),
    ),
    "monitor": (("every", "images", "norm", "epsilon"), ("attack_steps", "final_images", "checkpoint_every")),
}
"""Section -> fields always shown, and fields that are folded away."""
_MODELS: dict[str, type[BaseModel]] = {
    "lora": LoraSettings,
    "adversary": AdversarySettings,
    "training": TrainingSettings,
    "monitor": MonitorSettings,
}
_NEEDS_ADVERSARY = ("kind", "norm", "epsilon", "step_size", "random_start", "epsilon_warmup")
_NO_ADVERSARY = "With 0 inner steps there is no adversary; what follows has no effect."
_FIXED = "Fixed by the released protocol."
_NORMALISED = "In normalised units, where it is about a quarter as large as in pixels."
_UNUSED = "Not used by the released protocol."


class RecipeForms(QWidget):
    """Edits LoRA, adversary, training, evaluation and the run's own fields together.

    Attributes:
        protocol: the choice of the protocol, a card that the page places where it is seen.
    """

    changed = Signal(object)
    """A RunSettings made of valid sections, or None while a value is wrong."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Show the defaults."""
        super().__init__(parent)
        self._settings = RunSettings()
        self._overruled: dict[str, dict[str, Any]] = {}
        self.protocol = ProtocolCard(self)
        self.forms: dict[str, SettingsForm] = {
            key: SettingsForm(_MODELS[key], name=key, fields=(*shown, *folded), folded=folded)
            for key, (shown, folded) in _FIELDS.items()
        }
        self.forms["run"] = SettingsForm(RunSettings, name="run", fields=_OWN, folded=_OWN[2:])
        titles = {"run": "Run"} | {key: RunSettings.model_fields[key].title or key for key in SECTIONS}
        look = theme.current()
        self._columns = row = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        row.setSpacing(look.m)
        for keys in (("lora", "monitor", "run"), ("adversary", "training")):
            column = QVBoxLayout()
            column.setSpacing(look.m)
            for key in keys:
                card = Card(titles[key])
                card.body.addWidget(self.forms[key])
                column.addWidget(card)
            column.addStretch(1)
            row.addLayout(column, 1)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(look.m)
        outer.addWidget(self.protocol)
        outer.addLayout(row, 1)
        for form in self.forms.values():
            form.changed.connect(self._on_changed)
        self.protocol.chosen.connect(self._on_protocol)
        self.set_settings(self._settings)

    def fit(self, width: int) -> None:
        """Stand in two columns where `width` pixels are enough for them, else in one."""
        columns = [self._columns.itemAt(index) for index in range(self._columns.count())]
        needed = sum(column.minimumSize().width() for column in columns) + self._columns.spacing()
        directions = QBoxLayout.Direction
        self._columns.setDirection(directions.LeftToRight if width >= needed else directions.TopToBottom)

    def set_settings(self, settings: RunSettings) -> None:
        """Show a recipe without reporting a change; a section that shows it already is left alone."""
        self._settings = settings
        if settings.protocol != self.protocol.value():
            self._overruled = {}
            self.protocol.set_value(settings.protocol)
        for key in SECTIONS:
            section: BaseModel = getattr(settings, key)
            if self.forms[key].section() != section:
                self.forms[key].set_section(section)
        shown = self.forms["run"].section()
        if shown is None or any(getattr(shown, field) != getattr(settings, field) for field in _OWN):
            # Only its own fields: the rest is checked where it is edited.
            own = {field: getattr(settings, field) for field in _OWN}
            self.forms["run"].set_section(RunSettings().model_copy(update=own))
        self._grey_out()

    def settings(self) -> RunSettings | None:
        """The recipe as edited, with the parts that are not edited here; None while a value is wrong."""
        sections = {key: self.forms[key].section() for key in SECTIONS}
        run = self.forms["run"].section()
        if run is None or any(section is None for section in sections.values()):
            return None
        own = {field: getattr(run, field) for field in _OWN}
        return self._settings.model_copy(update=own | sections | {"protocol": self.protocol.value()})

    def problems(self) -> tuple[str, ...]:
        """Sentences of what is wrong, in the order of the page."""
        sentences = []
        for key, form in self.forms.items():
            title = RunSettings.model_fields[key].title if key in SECTIONS else "Run"
            sentences += [f"{title}: {sentence}" for sentence in form.problems().values()]
        return tuple(sentences)

    def _on_changed(self) -> None:
        self._grey_out()
        settings = self.settings()
        if settings is not None:
            self._settings = settings
        self.changed.emit(settings)

    def _on_protocol(self, protocol: str) -> None:
        """Set what the protocol fixes; going back to sound brings back what it had overruled."""
        if protocol == "released":
            fixed = RunSettings().under("released")
            for key, fields in FIXED.items():
                form = self.forms[key]
                self._overruled[key] = {field: form.editor(field).value() for field in fields}
                form.set_values({field: getattr(getattr(fixed, key), field) for field in fields})
        else:
            for key, values in self._overruled.items():
                self.forms[key].set_values(values)
            self._overruled = {}
        self._on_changed()

    def _grey_out(self) -> None:
        """Disable what has no effect or leaves no choice, and say why."""
        adversary, training = self.forms["adversary"], self.forms["training"]
        attacked = bool(adversary.editor("inner_steps").value())
        for field in _NEEDS_ADVERSARY:
            adversary.rows[field].set_enabled(attacked, _NO_ADVERSARY if field == "kind" else "")
        if attacked and adversary.editor("kind").value() == "universal":
            adversary.rows["random_start"].set_enabled(False, "Not used by the universal perturbation.")
        waits = bool(training.editor("patience").value())
        training.rows["keep_best"].set_enabled(not waits, "With patience the best adapter is kept anyway.")
        training.rows["compare_plain"].set_enabled(
            attacked, "Without an adversary this run is CLIP-LoRA itself."
        )
        released = self.protocol.value() == "released"
        for form in (adversary, self.forms["monitor"]):
            form.rows["epsilon"].set_hint(_NORMALISED if released else "")
        for note, reasons in ((_FIXED, FIXED), (_UNUSED, UNUSED)):
            for key, fields in reasons.items():
                for field, why in fields.items():
                    row = self.forms[key].rows[field]
                    if released:
                        row.set_enabled(False, note, why)
                    elif key != "adversary":
                        row.set_enabled(True)
