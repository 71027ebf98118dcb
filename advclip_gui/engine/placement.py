"""Where LoRA sits: settings spelt out for a model's towers, and the names saved adapters use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from advclip_gui.engine.attention import PROJECTIONS, tower_blocks
from advclip_gui.engine.errors import BackboneError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from advclip_gui.settings import Layers, LoraSettings

_TOWERS: Final = {"visual.transformer.resblocks.": "vision_model.encoder.layers.",
                  "transformer.resblocks.": "text_model.encoder.layers."}  # fmt: skip
"""Module paths of open_clip's plain CLIP and of Hugging Face's, which its saved adapters use."""
_MODULES: Final = {f"attn.{name}": f"self_attn.{name}" for name in PROJECTIONS.values()} | {
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
"""Likewise within a block."""


def chosen_layers(layers: Layers, depth: int) -> Sequence[int]:
    """Which blocks of a tower of `depth` a placement means; numbers a tower lacks are left out.

    The published names are defined on 12 blocks: bottom 0-3, mid 4-7, up 8-11, half-bottom 0-5,
    half-up 6-11, top3 9-11. Other depths are cut at the same shares, each part keeping at least
    one block.
    """
    if not isinstance(layers, str):
        return tuple(index for index in layers if index < depth)
    third, half = max(1, round(depth / 3)), max(1, depth // 2)
    spans = {
        "all": (0, depth),
        "bottom": (0, third),
        "mid": (min(third, depth - 1), max(depth - third, min(third, depth - 1) + 1)),
        "up": (depth - third, depth),
        "half-bottom": (0, half),
        "half-up": (depth - half, depth),
        "top3": (max(0, depth - 3), depth),
    }
    return range(*spans[layers])


@dataclass(frozen=True, slots=True)
class Placement:
    """Where LoRA sits and how: W + alpha / sqrt(rank) * B A on every target (rsLoRA scaling).

    Attributes:
        targets: full names of the adapted projections in the open_clip model.
    """

    targets: tuple[str, ...]
    rank: int
    alpha: float
    dropout: float


def placement(model: nn.Module, lora: LoraSettings) -> Placement:
    """Spell settings out for a model: vision first, bottom up.

    Layers are counted over the blocks that carry attention, from 0 at the input.

    Raises:
        BackboneError: no chosen tower has any of the chosen layers, or the model cannot be adapted.
    """
    towers = {name: blocks for name, blocks in tower_blocks(model).items() if lora.encoder in {name, "both"}}
    targets: list[str] = []
    for blocks in towers.values():
        for index in chosen_layers(lora.layers, len(blocks)):
            for matrix in lora.matrices:
                targets += blocks[index].targets(matrix)
    if not targets:
        depths = " and ".join(f"{len(blocks)} blocks in its {name} tower" for name, blocks in towers.items())
        raise BackboneError(
            f"None of the chosen layers exists: this backbone has {depths}, counted from 0.",
            f"Choose numbers up to {max(map(len, towers.values())) - 1}, or a named part such as 'all'.",
        )
    return Placement(tuple(targets), lora.rank, lora.alpha, lora.dropout)


def possible_targets(model: nn.Module) -> frozenset[str]:
    """Every linear layer that a placement could name in a split model."""
    names: set[str] = set()
    for blocks in tower_blocks(model).values():
        for block in blocks:
            names.update(f"{block.path}.{block.attention_name}.{name}" for name in PROJECTIONS.values())
            names.update(block.linear_mlp())
    return frozenset(names)


def count_trainable(model: nn.Module, place: Placement) -> int:
    """Numbers a placement would train, without adding it: r * (in + out) for each projection."""
    modules: dict[str, Any] = dict(model.named_modules())
    return sum(place.rank * sum(modules[name].weight.shape) for name in place.targets)


def saved_name(name: str) -> str:
    """A target's name in a saved adapter: Hugging Face's for plain CLIP, else open_clip's path."""
    for ours, theirs in _TOWERS.items():
        if name.startswith(ours):
            index, _, module = name.removeprefix(ours).partition(".")
            return f"{theirs}{index}.{_MODULES[module]}"
    return name


def target_name(saved: str) -> str:
    """The way back from `saved_name`.

    Raises:
        ValueError: it is the name of no layer in a tower.
    """
    for ours, theirs in _TOWERS.items():
        if saved.startswith(theirs):
            index, _, module = saved.removeprefix(theirs).partition(".")
            known = {value: key for key, value in _MODULES.items()}
            if index.isdecimal() and module in known:
                return f"{ours}{int(index)}.{known[module]}"
    if re.fullmatch(r"(visual|text)(\.\w+)+", saved):
        return saved
    raise ValueError(f"'{saved}' is no projection in a tower of CLIP")
