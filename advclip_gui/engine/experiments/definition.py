"""What an experiment is told: a recipe, its shots, seeds and methods, and how all of them are measured."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from advclip_gui.settings import Document, Norm, Radius, RunSettings
from advclip_gui.settings.lengths import check_within_pixels
from advclip_gui.settings.section import Section

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["few-shot", "base-to-new", "cross-dataset"]
Method = Literal["zero-shot", "clip-lora", "advclip-lora"]
METHODS: Final[dict[Method, str]] = {
    "zero-shot": "Zero-shot CLIP",
    "clip-lora": "CLIP-LoRA",
    "advclip-lora": "AdvCLIP-LoRA",
}
"""What tables call the methods, in their order."""
_MOST = 1000
"""Trainings in one experiment: more are a slip of the hand."""


class EvaluationSettings(Section):
    """How every model of an experiment is measured: one attack, one length, the same images."""

    attack: Literal["quick", "standard", "thorough"] = Field(
        default="standard",
        title="Attack",
        description="The tier: standard and thorough can be reported; quick (FGSM + PGD) is an upper bound. "
        "The released protocol has its own, PGD-100.",
    )
    norm: Norm = Field(default="Linf", title="Norm", description="What epsilon measures.")
    epsilon: Radius = Field(default=1 / 255, title="Epsilon", description="Of the robust accuracy.")
    steps: int = Field(
        default=0,
        ge=0,
        le=1000,
        title="Steps",
        description="Of the gradient attacks; 0 is what the tier has.",
    )
    images: int = Field(
        default=0, ge=0, le=1_000_000, title="Images", description="Of each test set; 0 takes all."
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, title="Seed", description="Of the attacks.")

    @model_validator(mode="after")
    def _pixels_end_at_one(self) -> Self:
        check_within_pixels(self.norm, epsilon=self.epsilon)
        return self


@dataclass(frozen=True, slots=True)
class Cell:
    """One training of an experiment.

    Attributes:
        key: name of its folder, unique in the experiment.
        method: "clip-lora" or "advclip-lora".
        shots: training images per class.
        seed: of adapter, batches and attacks, and of the sample unless the experiment fixes that.
        settings: everything the run is told.
    """

    key: str
    method: Method
    shots: int
    seed: int
    settings: RunSettings

    @property
    def title(self) -> str:
        """E.g. "AdvCLIP-LoRA, 4 shots, seed 1"."""
        return f"{METHODS[self.method]}, {self.shots} shot{'s' * (self.shots != 1)}, seed {self.seed}"


class ExperimentSettings(Document):
    """A recipe run with several shots, seeds and methods; everything else is the same in all of them."""

    _a_file: ClassVar[str] = "a TOML file of an experiment"
    _called: ClassVar[str] = "experiment"

    name: str = Field(default="", max_length=200, title="Name", description="Of the experiment.")
    kind: Kind = Field(
        default="few-shot",
        title="Kind",
        description="few-shot: train and test on the same classes. base-to-new: train on the first half of "
        "the classes, test on both. cross-dataset: train on one folder, test on others too.",
    )
    shots: tuple[int, ...] = Field(
        default=(1, 2, 4, 8, 16), min_length=1, title="Shots", description="Training images per class."
    )
    seeds: tuple[int, ...] = Field(
        default=(1, 2, 3), min_length=1, title="Seeds", description="Of sample, adapter, batches and attacks."
    )
    methods: tuple[Method, ...] = Field(
        default=("zero-shot", "clip-lora", "advclip-lora"),
        min_length=1,
        title="Methods",
        description="What is compared.",
    )
    split_seed: int | None = Field(
        default=None,
        ge=0,
        le=2**31 - 1,
        title="Split seed",
        description="The same sample for all seeds; empty draws one for each seed.",
    )
    targets: tuple[str, ...] = Field(
        default=(), title="Other data", description="With cross-dataset: the folders that are only tested on."
    )
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings, title="Evaluation")
    base: RunSettings = Field(default_factory=RunSettings, title="Recipe")

    @field_validator("shots")
    @classmethod
    def _shots_in_order(cls, shots: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 1 <= one <= 1024 for one in shots):
            raise ValueError("shots are from 1 to 1024")
        return tuple(sorted(set(shots)))

    @field_validator("seeds")
    @classmethod
    def _seeds_once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 0 <= one < 2**31 for one in seeds):
            raise ValueError("seeds are from 0 to 2147483647")
        return tuple(dict.fromkeys(seeds))

    @field_validator("methods")
    @classmethod
    def _methods_in_order(cls, methods: tuple[Method, ...]) -> tuple[Method, ...]:
        return tuple(method for method in METHODS if method in methods)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        data = self.base.data
        if data.split_file:
            raise ValueError("an experiment draws its own samples; leave base.data.split_file empty")
        if self.kind == "base-to-new" and data.classes != "all":
            raise ValueError("base-to-new divides the classes itself; leave base.data.classes at all")
        if self.kind == "cross-dataset" and not self.targets:
            raise ValueError("cross-dataset needs targets: the folders that are only tested on")
        if self.kind != "cross-dataset" and self.targets:
            raise ValueError(f"targets belong to cross-dataset, not to {self.kind}")
        if "advclip-lora" in self.methods and not self.base.adversary.inner_steps:
            raise ValueError("AdvCLIP-LoRA needs an adversary; base.adversary.inner_steps is 0")
        if self.base.protocol == "released" and self.evaluation.norm != "Linf":
            raise ValueError("the released protocol is evaluated in L-infinity")
        if len(self.shots) * len(self.seeds) * len(self.trained) > _MOST:
            raise ValueError(f"these are more than {_MOST} trainings; take fewer shots or seeds")
        return self

    @property
    def trained(self) -> tuple[Method, ...]:
        """The methods that need a training."""
        return tuple(method for method in self.methods if method != "zero-shot")

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every training: seed by seed, so that a part of the table is a whole comparison early on."""
        return tuple(
            Cell(f"{method}-{shots}-shots-seed-{seed}", method, shots, seed, self._run(method, shots, seed))
            for seed in self.seeds
            for shots in self.shots
            for method in self.trained
        )

    @property
    def total_steps(self) -> int:
        """LoRA updates of all trainings together."""
        return sum(cell.settings.total_steps for cell in self.cells)

    def _run(self, method: Method, shots: int, seed: int) -> RunSettings:
        base = self.base
        training: dict[str, Any] = {"seed": seed, "compare_plain": False}
        adversary = base.adversary
        if method == "clip-lora":
            # The same adapter without anything adversarial, as a run trains it for comparison.
            training |= {"clean_share": 0.0, "trades_beta": 0.0}
            adversary = adversary.model_copy(update={"inner_steps": 0})
        data: dict[str, Any] = {"shots": shots, "seed": seed if self.split_seed is None else self.split_seed}
        if self.kind == "base-to-new":
            data["classes"] = "base"
        return base.model_copy(
            update={
                "name": f"{METHODS[method]}, {shots} shots, seed {seed}",
                "data": base.data.model_copy(update=data),
                "adversary": adversary,
                "training": base.training.model_copy(update=training),
                # Every model is measured by the experiment, on the same images.
                "monitor": base.monitor.model_copy(update={"final_images": 0}),
            }
        )

    @property
    def slug(self) -> str:
        """The name (or kind) in letters a folder can have."""
        word = re.sub(r"[^A-Za-z0-9]+", "-", self.name or self.kind).strip("-").lower()
        return word[:40] or self.kind


def differences(old: ExperimentSettings, new: ExperimentSettings) -> list[str]:
    """Say what changed between two definitions, e.g. "shots: 1, 4 before, 1, 8 now"; the name is free."""
    before, after = (_flat(one.model_dump(mode="json", exclude={"name"})) for one in (old, new))
    return [
        f"{key}: {_said(before.get(key))} before, {_said(after.get(key))} now"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _said(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(one) for one in value) or "none"
    return "empty" if value in (None, "") else str(value)
