"""The sections of a recipe in two columns of cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Card
from advclip_gui.gui.widgets.settings_form import SettingsForm
from advclip_gui.settings import (
    AdversarySettings,
    LoraSettings,
    MonitorSettings,
    RunSettings,
    TrainingSettings,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

SECTIONS = ("lora", "adversary", "training", "monitor")
_NEEDS_ADVERSARY = ("kind", "epsilon", "step_size", "random_start")
_NO_ADVERSARY = "With 0 inner steps there is no adversary; what follows has no effect."


class RecipeForms(QWidget):
    """Edits LoRA, adversary, training, evaluation and the run's own fields together."""

    changed = Signal(object)
    """A RunSettings made of valid sections, or None while a value is wrong."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Show the defaults."""
        super().__init__(parent)
        self._settings = RunSettings()
        self.forms: dict[str, SettingsForm] = {
            "lora": SettingsForm(
                LoraSettings,
                name="lora",
                fields=("rank", "alpha", "encoder", "matrices", "layers", "dropout"),
                folded=("layers", "dropout"),
            ),
            "adversary": SettingsForm(
                AdversarySettings,
                name="adversary",
                fields=("inner_steps", "kind", "epsilon", "step_size", "random_start"),
            ),
            "training": SettingsForm(
                TrainingSettings,
                name="training",
                fields=(
                    "steps",
                    "batch_size",
                    "learning_rate",
                    "clean_share",
                    "trades_beta",
                    "augmentation",
                    "seed",
                    "warmup",
                    "final_learning_rate",
                    "weight_decay",
                ),
                folded=("augmentation", "seed", "warmup", "final_learning_rate", "weight_decay"),
            ),
            "monitor": SettingsForm(
                MonitorSettings,
                name="monitor",
                folded=("attack_steps", "final_images", "checkpoint_every"),
            ),
            "run": SettingsForm(
                RunSettings,
                name="run",
                fields=("name", "device", "precision", "protocol"),
                folded=("precision", "protocol"),
            ),
        }
        titles = {"run": "Run"} | {key: RunSettings.model_fields[key].title or key for key in SECTIONS}
        look = theme.current()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
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
        for form in self.forms.values():
            form.changed.connect(self._on_changed)
        self.set_settings(self._settings)

    def set_settings(self, settings: RunSettings) -> None:
        """Show a recipe without reporting a change; a section that shows it already is left alone."""
        self._settings = settings
        for key in SECTIONS:
            section: BaseModel = getattr(settings, key)
            if self.forms[key].section() != section:
                self.forms[key].set_section(section)
        shown = self.forms["run"].section()
        own = ("name", "device", "precision", "protocol")
        if shown is None or any(getattr(shown, field) != getattr(settings, field) for field in own):
            self.forms["run"].set_section(settings)
        self._grey_out()

    def settings(self) -> RunSettings | None:
        """The recipe as edited, with the parts that are not edited here; None while a value is wrong."""
        sections = {key: self.forms[key].section() for key in SECTIONS}
        run = self.forms["run"].section()
        if run is None or any(section is None for section in sections.values()):
            return None
        own = {field: getattr(run, field) for field in ("name", "device", "precision", "protocol")}
        return self._settings.model_copy(update=own | sections)

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

    def _grey_out(self) -> None:
        """Disable what has no effect, and say why."""
        form = self.forms["adversary"]
        adversary = bool(form.editor("inner_steps").value())
        for field in _NEEDS_ADVERSARY:
            form.rows[field].set_enabled(adversary, _NO_ADVERSARY if field == "kind" else "")
        if adversary and form.editor("kind").value() == "universal":
            form.rows["random_start"].set_enabled(False, "Not used by the universal perturbation.")
