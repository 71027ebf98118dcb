"""Everything a run is told."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from advclip_gui.settings.backbone import BackboneSettings
from advclip_gui.settings.data import DataSettings
from advclip_gui.settings.document import Document
from advclip_gui.settings.lora import LoraSettings
from advclip_gui.settings.method import AdversarySettings, MonitorSettings, TrainingSettings

Protocol = Literal["sound", "released"]

_RELEASED: dict[str, dict[str, Any]] = {
    "adversary": {"kind": "universal", "norm": "Linf", "epsilon_warmup": 0.0},
    "training": {"clean_share": 0.0, "trades_beta": 0.0, "warmup": 0.0},
    "monitor": {"norm": "Linf"},
}
"""What the published code fixes."""


class RunSettings(Document):
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
