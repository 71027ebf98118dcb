"""Where low-rank adapters are placed, and how large they are."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from advclip_gui.settings.section import Section

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


class LoraSettings(Section):
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
