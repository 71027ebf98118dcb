"""What a user can set: one definition, with ranges, units and help, for form, command line and file.

Every model is frozen and refuses unknown keys. Lengths of perturbations are in pixel units [0, 1];
in files and on the command line they may be written ``"4/255"``.
"""

from __future__ import annotations

import tomllib
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

import tomlkit
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
    model_validator,
)

from advclip_gui.engine.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DEMO_FOLDER = "demo"
"""The data folder's name for the bundled images."""

Norm = Literal["Linf", "L2"]
Protocol = Literal["sound", "released"]


def parse_epsilon(value: object) -> object:
    """Turn ``"4/255"`` or a number into pixel units; what is no length is left to pydantic.

    Raises:
        ValueError: the text is neither a number nor a fraction ``k/255``.
    """
    if isinstance(value, str):
        try:
            numerator, *denominator = value.replace(" ", "").split("/", 1)
            return float(
                Fraction(Decimal(numerator)) / Fraction(Decimal(denominator[0] if denominator else 1))
            )
        except (ArithmeticError, ValueError) as error:
            raise ValueError(f"'{value}' is not a length such as 4/255 or 0.0157") from error
    return value


def format_epsilon(value: float) -> str:
    """Write a length in pixel units as ``k/255``, with as many digits as it needs."""
    return f"{value * 255:.10g}/255"


def _as_written(value: float) -> float:
    """Round to what `format_epsilon` writes, so that settings survive a file bit for bit."""
    return float(Fraction(Decimal(format_epsilon(value).removesuffix("/255"))) / 255)


Length = Annotated[
    float,
    BeforeValidator(parse_epsilon),
    AfterValidator(_as_written),
    PlainSerializer(format_epsilon, return_type=str),
    Field(ge=0.0, le=1.0, allow_inf_nan=False, json_schema_extra={"unit": "/255"}),
]
"""A length in pixel units [0, 1], written ``k/255``."""

Radius = Annotated[
    float,
    BeforeValidator(parse_epsilon),
    AfterValidator(_as_written),
    PlainSerializer(format_epsilon, return_type=str),
    Field(ge=0.0, le=64.0, allow_inf_nan=False, json_schema_extra={"unit": "/255"}),
]
"""As `Length`, for a norm over all pixels too: an L2 distance may well exceed 1."""


def _within_pixels(norm: Norm, **lengths: float) -> None:
    for name, value in lengths.items():
        if norm == "Linf" and value > 1:
            raise ValueError(f"{name} {format_epsilon(value)} is more than the whole range of a pixel")


class _Section(BaseModel):
    """Frozen, strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=False)


class DataSettings(_Section):
    """Which images, and how many of them."""

    folder: str = Field(
        default=DEMO_FOLDER,
        title="Image folder",
        description="A folder with one sub-folder per class, with or without train / val / test.",
    )
    shots: int = Field(default=16, ge=1, le=1024, title="Shots", description="Training images per class.")
    val_shots: int = Field(
        default=4,
        ge=0,
        le=1024,
        title="Validation shots",
        description="Images per class that watch the training; never trained on.",
    )
    seed: int = Field(
        default=0, ge=0, le=2**31 - 1, title="Split seed", description="Chooses the few-shot sample."
    )
    templates: tuple[str, ...] = Field(
        default=("a photo of a {}.",),
        min_length=1,
        title="Prompt templates",
        description="Sentences with {} for the class name; several are averaged.",
    )
    class_names: dict[str, str] = Field(
        default_factory=dict,
        title="Class names",
        description="Folder name to the name used in the prompt, where they differ.",
    )
    skip: tuple[str, ...] = Field(
        default=(), title="Skipped files", description="Relative paths that are left out of the data."
    )

    @field_validator("templates")
    @classmethod
    def _templates_have_a_place(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        for template in templates:
            if template.count("{}") != 1:
                raise ValueError(
                    f"the template '{template}' needs exactly one {{}} where the class name goes"
                )
        return templates


class BackboneSettings(_Section):
    """Which CLIP is adapted."""

    name: str = Field(
        default="advclip-mini",
        title="Backbone",
        description="An entry of the registry, or 'local' for a checkpoint file of your own.",
    )
    weights: str = Field(
        default="",
        title="Weights",
        description="Which published weights of the architecture, e.g. openai or laion2b_s34b_b79k.",
    )
    checkpoint: str = Field(
        default="",
        title="Checkpoint file",
        description="With 'local': a .safetensors, .pt or .bin file with a CLIP state dict.",
    )
    architecture: str = Field(
        default="ViT-B-32",
        title="Architecture",
        description="With 'local': the open_clip model the checkpoint belongs to.",
    )
    quick_gelu: bool | None = Field(
        default=None,
        title="Quick GELU",
        description="Force QuickGELU on or off; empty follows the weights (OpenAI's use it).",
    )

    @model_validator(mode="after")
    def _local_needs_a_file(self) -> Self:
        if self.name == "local" and not self.checkpoint:
            raise ValueError("backbone 'local' needs a checkpoint file")
        return self


Matrix = Literal["q", "k", "v", "o", "mlp"]
NamedLayers = Literal["all", "bottom", "mid", "up", "half-bottom", "half-up", "top3"]


def parse_layers(value: object) -> object:
    """Turn ``"0, 2, 9-11"`` into block numbers; named parts and lists are left to pydantic.

    Raises:
        ValueError: the text is neither a named part nor such a list.
    """
    if not isinstance(value, str) or value in get_args(NamedLayers):
        return value
    numbers: list[int] = []
    for part in value.replace(" ", "").split(","):
        first, _, last = part.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            parts = ", ".join(get_args(NamedLayers))
            raise ValueError(f"'{value}' is neither one of {parts} nor numbers such as 0, 2, 9-11")
        if int(last or first) < int(first):
            raise ValueError(f"'{part}' runs backwards; write {last}-{first}")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def _distinct(layers: NamedLayers | tuple[int, ...]) -> NamedLayers | tuple[int, ...]:
    return layers if isinstance(layers, str) else tuple(sorted(set(layers)))


_BlockNumbers = Annotated[tuple[Annotated[int, Field(ge=0, le=999)], ...], Field(min_length=1)]
Layers = Annotated[NamedLayers | _BlockNumbers, BeforeValidator(parse_layers), AfterValidator(_distinct)]
"""A named part of a tower, or block numbers counted from 0 at the input."""


def format_layers(layers: NamedLayers | tuple[int, ...]) -> str:
    """Write a placement as `parse_layers` reads it, e.g. ``0, 2, 9-11``."""
    if isinstance(layers, str):
        return layers
    runs: list[list[int]] = []
    for number in layers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


class LoraSettings(_Section):
    """Low-rank adapters on the projections of a tower's blocks: W + alpha / sqrt(r) * B A."""

    rank: int = Field(default=2, ge=1, le=256, title="Rank r", description="Width of the low-rank product.")
    alpha: float = Field(
        default=1.0, gt=0, le=1024, title="Alpha", description="Scale of the update: gamma = alpha / sqrt(r)."
    )
    dropout: float = Field(
        default=0.25, ge=0, lt=1, title="Dropout", description="On the adapter's input, in training only."
    )
    encoder: Literal["vision", "text", "both"] = Field(
        default="both", title="Encoder", description="Which tower is adapted."
    )
    matrices: tuple[Matrix, ...] = Field(
        default=("q", "k", "v"),
        min_length=1,
        title="Matrices",
        description="Adapted projections: attention's q, k, v, o, and both of the MLP (not in the paper).",
    )
    layers: Layers = Field(
        default="all",
        title="Layers",
        description="Which blocks of each tower are adapted: a named part, or numbers such as 0, 2, 9-11.",
    )

    @field_validator("matrices")
    @classmethod
    def _in_order(cls, matrices: tuple[Matrix, ...]) -> tuple[Matrix, ...]:
        order: tuple[Matrix, ...] = ("q", "k", "v", "o", "mlp")
        return tuple(matrix for matrix in order if matrix in matrices)


class AdversarySettings(_Section):
    """The inner maximisation. m = 0 is plain CLIP-LoRA."""

    kind: Literal["per_sample", "universal"] = Field(
        default="per_sample",
        title="Adversary",
        description="PGD on each image, or one perturbation shared by all images (as in the paper).",
    )
    inner_steps: int = Field(
        default=2,
        ge=0,
        le=100,
        title="Inner steps m",
        description="Steps of the adversary before each update; 0 trains without an adversary.",
    )
    norm: Norm = Field(
        default="Linf",
        title="Norm",
        description="L-infinity bounds every pixel, L2 the length of the whole perturbation.",
    )
    epsilon: Radius = Field(
        default=1 / 255,
        title="Epsilon",
        description="Radius of the ball the perturbation stays in while training.",
    )
    step_size: Radius = Field(
        default=0.5 / 255,
        title="Step size alpha",
        description="Length of one inner step: of the sign (L-infinity) or of the unit gradient (L2).",
    )
    random_start: bool = Field(
        default=True,
        title="Random start",
        description="Begin anywhere in the epsilon ball (per-sample only).",
    )
    epsilon_warmup: float = Field(
        default=0.0,
        ge=0,
        le=1,
        title="Epsilon warm-up",
        description="Share of all steps in which epsilon and step size rise from 0 to their values.",
    )

    @model_validator(mode="after")
    def _pixels_end_at_one(self) -> Self:
        _within_pixels(self.norm, epsilon=self.epsilon, step_size=self.step_size)
        return self


class TrainingSettings(_Section):
    """The outer minimisation: AdamW with warm-up and a cosine schedule."""

    steps: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        title="Steps",
        description="LoRA updates; 0 means 500 x shots, as in the paper.",
    )
    batch_size: int = Field(
        default=32, ge=1, le=4096, title="Batch size", description="Images in one update."
    )
    accumulation: int = Field(
        default=1,
        ge=1,
        le=4096,
        title="Accumulation",
        description="Parts a batch is computed in, one after another: less memory, the same update.",
    )
    learning_rate: float = Field(
        default=2e-4, gt=0, le=1, title="Learning rate", description="AdamW's, at its peak."
    )
    final_learning_rate: float = Field(
        default=1e-6, ge=0, le=1, title="Final learning rate", description="Where the cosine ends."
    )
    warmup: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        title="Warm-up",
        description="Share of all steps with a rising learning rate.",
    )
    weight_decay: float = Field(default=1e-2, ge=0, le=1, title="Weight decay", description="AdamW's.")
    gradient_clip: float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        title="Gradient clip",
        description="Longest gradient of all LoRA matrices together (L2); 0 is off.",
    )
    clean_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        title="Clean share",
        description="Weight of the loss on clean images; the rest is adversarial.",
    )
    trades_beta: float = Field(
        default=0.0,
        ge=0,
        le=100,
        title="TRADES beta",
        description="Weight of the KL divergence between clean and adversarial prediction; 0 is off.",
    )
    augmentation: Literal["paper", "light", "none"] = Field(
        default="paper",
        title="Augmentation",
        description="Random resized crop 0.08-1 and flip; small shifts and flip; or none.",
    )
    patience: int = Field(
        default=0,
        ge=0,
        le=10_000,
        title="Patience",
        description="Evaluations without a better robust validation accuracy before training ends early "
        "(the best adapter is kept); 0 is off.",
    )
    keep_best: bool = Field(
        default=False,
        title="Keep best",
        description="End with the adapter of the best robust validation accuracy, not the last one.",
    )
    compare_plain: bool = Field(
        default=False,
        title="Train CLIP-LoRA too",
        description="Afterwards train the same adapter without an adversary and evaluate it beside.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**31 - 1,
        title="Seed",
        description="Of the adapter, the batches and the attacks.",
    )


class MonitorSettings(_Section):
    """Evaluation while training, and at its end."""

    every: int = Field(
        default=25, ge=1, le=1_000_000, title="Evaluate every", description="Steps between two evaluations."
    )
    images: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        title="Images",
        description="Validation images used while training (test images where there is no validation set).",
    )
    norm: Norm = Field(
        default="Linf", title="Norm", description="Of the robust accuracy, while training and at the end."
    )
    epsilon: Radius = Field(
        default=1 / 255, title="Epsilon", description="Of the robust accuracy, while training and at the end."
    )
    attack_steps: int = Field(
        default=10, ge=1, le=1000, title="PGD steps", description="Of the robust accuracy, live and final."
    )
    final_images: int = Field(
        default=1000,
        ge=0,
        le=1_000_000,
        title="Final images",
        description="Test images evaluated at the end of the run; 0 leaves the final evaluation out.",
    )
    checkpoint_every: int = Field(
        default=50, ge=1, le=1_000_000, title="Checkpoint every", description="Steps between two checkpoints."
    )

    @model_validator(mode="after")
    def _pixels_end_at_one(self) -> Self:
        _within_pixels(self.norm, epsilon=self.epsilon)
        return self


_RELEASED: dict[str, dict[str, Any]] = {
    "adversary": {"kind": "universal", "norm": "Linf", "epsilon_warmup": 0.0},
    "training": {"clean_share": 0.0, "trades_beta": 0.0, "warmup": 0.0},
    "monitor": {"norm": "Linf"},
}
"""What the published code fixes."""


class RunSettings(_Section):
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
