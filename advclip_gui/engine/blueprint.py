"""An architecture without its weights: whether LoRA can be placed on it, what a pass through it costs.

The model is built on PyTorch's meta device, where tensors have shapes and no numbers, and asked with
the same code that later adapts the real one. Both the model and its costs are kept for the next question.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from advclip_gui.engine.attention import WAY_OUT, split_attention, text_tower
from advclip_gui.engine.catalog import entry, source_of
from advclip_gui.engine.clip_source import listed_architectures
from advclip_gui.engine.errors import BackboneError
from advclip_gui.engine.placement import possible_targets
from advclip_gui.engine.streamline import streamline
from advclip_gui.engine.torchvision_cure import ensure_torchvision

ensure_torchvision()

import open_clip  # noqa: E402 (needs the cure above)
from open_clip.model import CLIP, CustomTextCLIP  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Mapping

    from advclip_gui.settings import BackboneSettings

_KEPT = 8
_PROMPT_LENGTH = 12
"""Tokens of a usual prompt, where the text tower lets prompts be cut behind their end."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one sample costs in one tower.

    Attributes:
        flops: of a forward pass.
        floats: kept for the backward pass to the input, weights being frozen.
        inputs: numbers that enter each linear layer that LoRA could be put on, by its name.
    """

    flops: int
    floats: int
    inputs: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Blueprint:
    """An architecture that can be adapted.

    Attributes:
        model: split and frozen, on the meta device; to be looked at only.
        image_size: side of the square input in pixels.
    """

    model: nn.Module
    image_size: int


def model_config(backbone: BackboneSettings) -> dict[str, Any]:
    """The configuration of an architecture that LoRA can be placed on, in open_clip's terms.

    A folder's or repository's own configuration comes before the name of an architecture; the activation
    follows the weights unless the settings force it.

    Raises:
        BackboneError: the architecture is unknown, or cannot be adapted; says why.
        CheckpointError: folder or repository hold no CLIP.
    """
    chosen = entry(backbone)
    if chosen.refused:
        raise BackboneError(f"{chosen.title} cannot be adapted. {chosen.refused}", WAY_OUT)
    source = source_of(backbone)
    config = None if source is None else source.config
    architecture = chosen.title if chosen.name != "local" else backbone.architecture
    if config is None:
        architecture = chosen.architecture or (backbone.architecture if chosen.name == "local" else "")
        if not architecture:
            raise BackboneError(f"What kind of model {chosen.title} is, is known once it has been fetched.")
        config = open_clip.get_model_config(architecture)
    if config is None:
        raise BackboneError(
            f"open_clip knows no model '{architecture}'.",
            "Take a name such as ViT-B-32 or ViT-B-16-quickgelu.",
        )
    quick = backbone.quick_gelu
    if quick is None and source is not None:
        quick = source.quick_gelu
    if quick is not None:
        config["quick_gelu"] = quick
    try:
        draw(config)
    except BackboneError as error:
        raise BackboneError(f"{architecture} cannot be adapted. {error.message}", error.hint) from error
    return config


def architecture_of(config: Mapping[str, Any]) -> str:
    """Under which name open_clip lists a configuration, "" where under none."""
    return listed_architectures().get(json.dumps(config, sort_keys=True), "")


def build(config: Mapping[str, Any]) -> Any:
    """Make the model of a configuration, with random weights, on the current default device.

    Raises:
        BackboneError: it needs files of its own, or is no model of two towers.
    """
    given: dict[str, Any] = json.loads(json.dumps(config))  # open_clip changes what it is given
    if "hf_model_name" in given["text_cfg"]:
        raise BackboneError(
            f"Its text tower is the Hugging Face model {given['text_cfg']['hf_model_name']}, "
            "not one of open_clip's own.",
            WAY_OUT,
        )
    if "multimodal_cfg" in given:
        raise BackboneError("It is a captioning model (CoCa) with a third tower.", WAY_OUT)
    tower = str(given["vision_cfg"].get("timm_model_name") or "")
    if ":" in tower:
        raise BackboneError(
            f"Its vision tower is '{tower}', which lies elsewhere and is not fetched.", WAY_OUT
        )
    # The weights come from the checkpoint, never from where timm would fetch its own.
    given["vision_cfg"].pop("timm_model_pretrained", None)
    custom = given.pop("custom_text", False)
    try:
        return (CustomTextCLIP if custom else CLIP)(**given)
    except (RuntimeError, TypeError, AssertionError) as error:
        raise BackboneError(
            f"The installed open_clip and timm cannot build it ({error}).", "Update both, or choose another."
        ) from error


def draw(config: Mapping[str, Any]) -> Blueprint:
    """Build a configuration without weights; the same one is built once.

    Raises:
        BackboneError: LoRA cannot be placed on it, with the reason.
    """
    return _draw(json.dumps(config, sort_keys=True))


@lru_cache(maxsize=_KEPT)
def _draw(config: str) -> Blueprint:
    with torch.device("meta"):
        model = build(json.loads(config))
        split_attention(model)
    streamline(model)
    text_tower(model)
    height, width = _pair(getattr(model.visual, "image_size", 0))
    if height != width or not height:
        raise BackboneError(f"Its input of {height} x {width} pixels is not square.", WAY_OUT)
    return Blueprint(model.eval().requires_grad_(False), height)


def _pair(size: Any) -> tuple[int, int]:
    return (int(size[0]), int(size[1])) if isinstance(size, (tuple, list)) else (int(size), int(size))


def costs(config: Mapping[str, Any]) -> Mapping[str, Cost]:
    """What one image ("vision") and one prompt ("text") cost; the same configuration is traced once.

    Raises:
        BackboneError: as `draw`.
    """
    return _costs(json.dumps(config, sort_keys=True))


@lru_cache(maxsize=_KEPT)
def _costs(config: str) -> Mapping[str, Cost]:
    plan = _draw(config)
    tower = text_tower(plan.model)
    length, width = tower.module.positional_embedding.shape
    if tower.can_be_cut:
        length = min(length, _PROMPT_LENGTH)
    mask = None if tower.module.attn_mask is None else tower.module.attn_mask[:length, :length]
    pixels = torch.empty(1, 3, plan.image_size, plan.image_size, device="meta")
    tokens = torch.empty(1, length, width, device="meta")
    return {
        "vision": _trace(plan.model, plan.model.get_submodule("visual"), pixels),
        "text": _trace(plan.model, tower.module.transformer, tokens, attn_mask=mask),
    }


def _trace(model: nn.Module, tower: nn.Module, x: Tensor, **more: Any) -> Cost:
    """Count operations and kept tensors of one pass on the meta device."""
    # Views of weights count as weights: what tells them apart is the storage.
    weights = {parameter.untyped_storage()._cdata for parameter in tower.parameters()}
    kept: dict[int, tuple[Tensor, int]] = {}
    inputs: dict[str, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = (tensor, storage.nbytes() // tensor.element_size())
        return tensor

    def note(name: str) -> Any:
        return lambda _, arguments: inputs.update({name: arguments[0].numel()})

    inside = set(tower.modules())
    handles = [
        module.register_forward_pre_hook(note(name))
        for name in possible_targets(model)
        if (module := model.get_submodule(name)) in inside
    ]
    counter = FlopCounterMode(display=False)
    try:
        with counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            tower(x.requires_grad_(True), **more)
    finally:
        for handle in handles:
            handle.remove()
    return Cost(counter.get_total_flops(), sum(count for _, count in kept.values()), inputs)
