"""Everything a run is told, read from and written to TOML."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, Literal, Self

import tomlkit
from pydantic import Field, ValidationError, model_validator

from advclip_gui.engine.errors import SettingsError
from advclip_gui.settings.backbone import BackboneSettings
from advclip_gui.settings.data import DataSettings
from advclip_gui.settings.lora import LoraSettings
from advclip_gui.settings.method import AdversarySettings, MonitorSettings, TrainingSettings
from advclip_gui.settings.section import Section

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Protocol = Literal["sound", "released"]

_RELEASED: dict[str, dict[str, Any]] = {
    "adversary": {"kind": "universal", "norm": "Linf", "epsilon_warmup": 0.0},
    "training": {"clean_share": 0.0, "trades_beta": 0.0, "warmup": 0.0},
    "monitor": {"norm": "Linf"},
}
"""What the published code fixes."""


class RunSettings(Section):
    """Everything one training run is told; the same settings and seeds give the same adapter."""

    name: str = Field(default="", max_length=200, title="Name", description="Shown in the list of runs.")
    protocol: Protocol = Field(
        default="sound",
        title="Protocol",
        description="sound: pixel-space threat model, attack on the model in evaluation mode. "
        "released: the arithmetic of the authors' published code, for comparison with its figures.",
    )
    device: Literal["auto", "cuda", "mps", "cpu"] = Field(
        default="auto", title="Device", description="auto takes CUDA, else MPS, else CPU."
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32",
        title="Precision",
        description="Of training; losses, adapters and all figures are float32. float16 needs a GPU.",
    )
    compile: Literal["auto", "on", "off"] = Field(
        default="auto",
        title="Compile",
        description="torch.compile for training steps; auto tries it on CUDA where the run is long enough.",
    )
    data: DataSettings = Field(default_factory=DataSettings, title="Data")
    backbone: BackboneSettings = Field(default_factory=BackboneSettings, title="Backbone")
    lora: LoraSettings = Field(default_factory=LoraSettings, title="LoRA")
    adversary: AdversarySettings = Field(default_factory=AdversarySettings, title="Adversary")
    training: TrainingSettings = Field(default_factory=TrainingSettings, title="Training")
    monitor: MonitorSettings = Field(default_factory=MonitorSettings, title="Evaluation")

    @model_validator(mode="after")
    def _released_is_fixed(self) -> Self:
        if self.protocol == "released":
            for section, fixed in _RELEASED.items():
                for key, value in fixed.items():
                    if getattr(getattr(self, section), key) != value:
                        raise ValueError(
                            f"the released protocol has {section}.{key} = {value}; choose that, or sound"
                        )
        return self

    def under(self, protocol: Protocol) -> Self:
        """Return a copy under a protocol, with what that protocol fixes."""
        values: dict[str, Any] = {"protocol": protocol}
        if protocol == "released":
            for section, fixed in _RELEASED.items():
                values[section] = getattr(self, section).model_copy(update=fixed)
        return self.model_copy(update=values)

    @property
    def selects(self) -> bool:
        """Whether the best adapter on the validation images is kept."""
        return self.training.keep_best or self.training.patience > 0

    @property
    def total_steps(self) -> int:
        """LoRA updates of the whole run."""
        return self.training.steps or 500 * self.data.shots

    @property
    def method(self) -> str:
        """Name the method: "CLIP-LoRA" without an adversary, else "AdvCLIP-LoRA"."""
        return "AdvCLIP-LoRA" if self.adversary.inner_steps else "CLIP-LoRA"

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> Self:
        """Validate plain values.

        Raises:
            SettingsError: naming every wrong key and what it should be.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingsError(explain(error)) from error

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Read settings as written by `to_toml`.

        Raises:
            SettingsError: the text is no TOML, or a value is wrong.
        """
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"This is not a TOML settings file: {error}.") from error
        return cls.checked(values)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a TOML file.

        Raises:
            SettingsError: it cannot be read, is no TOML, or a value is wrong.
        """
        try:
            return cls.from_toml(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"The settings file {path} cannot be read: {error}.") from error

    def to_toml(self) -> str:
        """Write every value; lengths as ``k/255``. Empty optional values are left out."""
        return tomlkit.dumps(self.model_dump(mode="json", exclude_none=True))

    def with_values(self, assignments: Mapping[str, Any]) -> Self:
        """Return a validated copy with dotted keys replaced, e.g. ``{"lora.rank": "4"}``.

        Text is read as a TOML value where it is one, else taken as it is.

        Raises:
            SettingsError: a key does not exist or a value is wrong.
        """
        values = self.model_dump(mode="json", exclude_none=True)
        for dotted, value in assignments.items():
            target = values
            *sections, key = dotted.split(".")
            for section in sections:
                nested = target.get(section)
                if not isinstance(nested, dict):
                    raise SettingsError(f"There is no setting '{dotted}'.")
                target = nested
            target[key] = _toml_value(value)
        return type(self).checked(values)


def _toml_value(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value


def explain(error: ValidationError) -> str:
    """Turn pydantic's report into sentences a user can act on."""
    sentences = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"]) or "settings"
        if problem["type"] == "extra_forbidden":
            sentences.append(f"There is no setting '{where}'.")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            shown = problem["input"]
            given = f" (given: {shown})" if isinstance(shown, str | int | float) else ""
            sentences.append(f"{where}: {message[:1].lower()}{message[1:]}{given}.")
    return " ".join(sentences)
