"""A backbone with its adapter folded into the weights, as open_clip's own model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from advclip_gui.engine.backbones import Backbone, load_backbone
from advclip_gui.engine.blueprint import build, model_config
from advclip_gui.engine.catalog import source_of
from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.placement import Placement, saved_name
from advclip_gui.engine.split_modules import TIMM_ATTENTIONS
from advclip_gui.engine.state_dicts import load_weights, read_state_dict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from advclip_gui.engine.control import Control
    from advclip_gui.settings import BackboneSettings

_ROWS = {"q_proj": 0, "k_proj": 1, "v_proj": 2}


@dataclass(frozen=True, slots=True, eq=False)
class Merged:
    """What every merged format is made of.

    Attributes:
        backbone: the untouched backbone, for its tokenizer, preprocessing and facts.
        config: the architecture in open_clip's terms.
        state: open_clip's state dict with W + alpha / sqrt(r) * B A, float32, on the CPU.
    """

    backbone: Backbone
    config: dict[str, Any]
    state: dict[str, Tensor]


def merge(
    settings: BackboneSettings, place: Placement, matrices: Mapping[str, Tensor], control: Control
) -> Merged:
    """Load the backbone and fold an adapter in, in float32.

    Args:
        settings: of the backbone; its weights must be on this machine.
        place: of the adapter.
        matrices: as from `adapters.read_adapter`.
        control: asked for cancellation.

    Raises:
        BackboneError: the backbone is not here, or lacks a target.
        CheckpointError: the adapter does not fit.
        Cancelled: through `control`.
    """
    backbone, config, model = _load(settings, control)
    control.check()
    return Merged(backbone, config, fold_in(model, place, matrices))


def untouched(settings: BackboneSettings, control: Control) -> Merged:
    """The backbone alone, for who wants to put the adapter on it elsewhere; raises as `merge`."""
    backbone, config, model = _load(settings, control)
    return Merged(backbone, config, dict(model.state_dict()))


def _load(settings: BackboneSettings, control: Control) -> tuple[Backbone, dict[str, Any], nn.Module]:
    """The backbone as the program uses it, its configuration, and open_clip's own unsplit model, float32."""
    backbone = load_backbone(settings, device=torch.device("cpu"), control=control)
    source = source_of(settings)
    assert source is not None  # else it could not have been loaded
    config = model_config(settings)
    model = build(config)
    load_weights(model, read_state_dict(source.weights), source.weights)
    return backbone, config, model.float()


def fold_in(model: nn.Module, place: Placement, matrices: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of an unsplit open_clip model with an adapter added to its (fused) weights.

    Raises:
        CheckpointError: a matrix is missing or of another shape, or the model lacks a target.
    """
    modules = dict(model.named_modules())
    state = {name: value.detach() for name, value in model.state_dict().items()}
    changed: set[str] = set()
    gamma = place.alpha / place.rank**0.5
    for target in place.targets:
        base = f"base_model.model.{saved_name(target)}"
        try:
            a = matrices[f"{base}.lora_A.weight"].float()
            b = matrices[f"{base}.lora_B.weight"].float()
            name, rows = _weight_of(modules, target)
            if name not in changed:
                state[name] = state[name].clone()  # of these alone: a large model fits into memory once
                changed.add(name)
            part, change = state[name][rows], gamma * (b @ a)
        except (KeyError, RuntimeError) as error:
            raise _misfit(target) from error
        if part.shape != change.shape or not change.isfinite().all():
            raise _misfit(target)
        part += change
    return state


def _misfit(target: str) -> CheckpointError:
    return CheckpointError(f"The adapter does not fit this backbone at {saved_name(target)}.")


def _weight_of(modules: Mapping[str, nn.Module], target: str) -> tuple[str, slice]:
    """The (fused) weight that a projection of the split model is part of, and its rows. Raises `KeyError`."""
    parent, _, name = target.rpartition(".")
    holder = modules[parent]
    whole = slice(None)
    if isinstance(holder, nn.MultiheadAttention):
        if name == "out_proj":
            return f"{parent}.out_proj.weight", whole
        return f"{parent}.in_proj_weight", _third(holder.embed_dim, name)
    if isinstance(holder, TIMM_ATTENTIONS):
        if name == "out_proj":
            return f"{parent}.proj.weight", whole
        fused = getattr(holder, "qkv", None)
        if fused is not None:
            return f"{parent}.qkv.weight", _third(fused.weight.shape[0] // 3, name)
    return f"{target}.weight", whole


def _third(width: int, name: str) -> slice:
    first = _ROWS[name] * width
    return slice(first, first + width)
