"""Put LoRA on a backbone, merge it for inference without drift, save and load it as peft does."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from advclip_gui.engine.attention import PROJECTIONS, tower_blocks
from advclip_gui.engine.errors import BackboneError, CheckpointError
from advclip_gui.engine.files import atomic_file, write_text_atomic
from advclip_gui.engine.torchvision_cure import ensure_torchvision

ensure_torchvision()

import peft  # noqa: E402 (imports transformers, which imports torchvision)
from peft.tuners.lora import LoraLayer  # noqa: E402
from safetensors import SafetensorError  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from advclip_gui.engine.backbones import Backbone
    from advclip_gui.settings import Layers, LoraSettings

ADAPTER: Final = "default"
CONFIG_FILE: Final = "adapter_config.json"
WEIGHTS_FILE: Final = "adapter_model.safetensors"
_PREFIX: Final = "base_model.model."
_TOWERS: Final = {"vision": ("visual.transformer.resblocks.", "vision_model.encoder.layers."),
                  "text": ("transformer.resblocks.", "text_model.encoder.layers.")}  # fmt: skip
"""Our module paths and Hugging Face CLIP's, which saved adapters use."""


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
    """Spell settings out for a model: vision first, bottom up."""
    names = []
    blocks = tower_blocks(model)
    for tower, (prefix, _) in _TOWERS.items():
        if lora.encoder in {tower, "both"}:
            for index in chosen_layers(lora.layers, len(blocks[tower])):
                names += [f"{prefix}{index}.attn.{PROJECTIONS[matrix]}" for matrix in lora.matrices]
    return Placement(tuple(names), lora.rank, lora.alpha, lora.dropout)


def _peft_config(place: Placement, targets: list[str]) -> peft.LoraConfig:
    return peft.LoraConfig(
        r=place.rank,
        lora_alpha=place.alpha,
        use_rslora=True,
        lora_dropout=place.dropout,
        target_modules=targets,
    )


def adapt(backbone: Backbone, place: Placement, *, seed: int) -> None:
    """Add LoRA in place: A Kaiming-uniform(sqrt 5) from `seed`, B zero, only these trainable.

    Raises:
        BackboneError: the backbone already carries an adapter, or lacks a target.
    """
    if backbone.placement is not None:
        raise BackboneError("This backbone already carries an adapter.")
    modules = dict(backbone.model.named_modules())
    absent = [name for name in place.targets if name not in modules]
    if absent:
        raise BackboneError(
            f"The adapter sits on {_to_hugging_face(absent[0])}, which {backbone.title} does not have.",
            "Choose the backbone the adapter was trained on.",
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = _peft_config(place, list(place.targets))
        peft.inject_adapter_in_model(config, backbone.model, adapter_name=ADAPTER)
    for name, parameter in backbone.model.named_parameters():
        parameter.requires_grad_("lora_" in name)
    backbone.model.to(backbone.device).eval()
    backbone.placement = place


def lora_layers(model: nn.Module) -> dict[str, LoraLayer]:
    """Every adapted projection by its name in the model."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}


def trainable_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The LoRA matrices, in a fixed order."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def count_trainable(model: nn.Module, place: Placement) -> int:
    """Numbers a placement would train, without adding it: r * (in + out) for each projection."""
    modules: dict[str, Any] = dict(model.named_modules())
    return sum(place.rank * sum(modules[name].weight.shape) for name in place.targets)


def adapts_text(model: nn.Module) -> bool:
    """Whether the text tower carries LoRA, so that its features change in training."""
    return any(not name.startswith("visual.") for name in lora_layers(model))


@contextmanager
def merged(model: nn.Module) -> Iterator[None]:
    """Within: LoRA folded into the weights, evaluation mode, no parameter gradients.

    On leaving, the very same tensors, modes and flags are put back, so nothing drifts, however
    often this happens in training (adding and subtracting B A would).
    """
    layers: list[Any] = list(lora_layers(model).values())
    modes = [(module, module.training) for module in model.modules()]
    trainable = trainable_parameters(model)
    kept: list[Tensor] = []
    model.eval()
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        with torch.no_grad():
            for layer in layers:
                base = layer.get_base_layer()
                kept.append(base.weight.data)
                base.weight.data = base.weight.data + layer.get_delta_weight(ADAPTER)
                layer.merged_adapters.append(ADAPTER)
        yield
    finally:
        for layer, weight in zip(layers, kept, strict=False):
            layer.get_base_layer().weight.data = weight
            layer.merged_adapters.clear()
        for parameter in trainable:
            parameter.requires_grad_(True)
        for module, training in modes:
            module.training = training


def merge_for_inference(model: nn.Module) -> None:
    """Fold LoRA into the weights for good; the model cannot be trained on afterwards."""
    with torch.no_grad():
        for layer in lora_layers(model).values():
            base: Any = layer.get_base_layer()
            base.weight.data = base.weight.data + layer.get_delta_weight(ADAPTER)
            layer.merged_adapters.append(ADAPTER)
    model.eval().requires_grad_(False)


def adapter_state(model: nn.Module) -> dict[str, Tensor]:
    """The LoRA matrices on the CPU under Hugging Face CLIP's names, as peft saves them."""
    state = {}
    for name, layer in lora_layers(model).items():
        base = _PREFIX + _to_hugging_face(name)
        for part in ("lora_A", "lora_B"):
            weight: Tensor = getattr(layer, part)[ADAPTER].weight
            state[f"{base}.{part}.weight"] = weight.detach().cpu().contiguous().clone()
    return state


def load_adapter_state(model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Fill the LoRA matrices of an adapted model.

    Raises:
        CheckpointError: a matrix is missing, unknown, of another shape, or not finite.
    """
    expected = adapter_state(model)
    wrong = sorted(expected.keys() ^ state.keys()) or sorted(
        key for key in expected if expected[key].shape != state[key].shape
    )
    if wrong:
        raise CheckpointError(f"The adapter in {source} does not fit this backbone: {', '.join(wrong[:3])}.")
    if any(not value.isfinite().all() for value in state.values()):
        raise CheckpointError(f"The adapter in {source} holds NaN or infinity.")
    with torch.no_grad():
        for name, layer in lora_layers(model).items():
            base = _PREFIX + _to_hugging_face(name)
            for part in ("lora_A", "lora_B"):
                getattr(layer, part)[ADAPTER].weight.copy_(state[f"{base}.{part}.weight"])


def save_adapter(backbone: Backbone, folder: Path) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors``, each whole or not at all.

    Raises:
        BackboneError: the backbone carries no adapter.
        StorageError: the disk is full, or there is no permission.
    """
    if backbone.placement is None:
        raise BackboneError("This backbone carries no adapter that could be saved.")
    targets = [_to_hugging_face(name) for name in backbone.placement.targets]
    config = _peft_config(backbone.placement, targets).to_dict()
    config |= {
        "inference_mode": True,
        "target_modules": targets,
        "base_model_name_or_path": HUGGING_FACE_BASE.get(backbone.hub_id),
    }
    with atomic_file(folder / WEIGHTS_FILE) as temporary:
        save_file(adapter_state(backbone.model), temporary, metadata={"format": "pt"})
    write_text_atomic(folder / CONFIG_FILE, json.dumps(config, indent=2, sort_keys=True, default=str) + "\n")


HUGGING_FACE_BASE: Final = {
    "timm/vit_base_patch32_clip_224.openai": "openai/clip-vit-base-patch32",
    "timm/vit_base_patch16_clip_224.openai": "openai/clip-vit-base-patch16",
    "laion/CLIP-ViT-B-32-laion2B-s34B-b79K": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    "laion/CLIP-ViT-B-16-laion2B-s34B-b88K": "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
}
"""The transformers repository with the same weights as an open_clip one."""


def read_adapter(folder: Path) -> tuple[Placement, dict[str, Tensor]]:
    """Read a peft LoRA folder made for CLIP's attention.

    Raises:
        CheckpointError: files are missing or broken, or the adapter is of another kind.
    """
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        state: dict[str, Tensor] = load_file(folder / WEIGHTS_FILE)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder} is no adapter: {CONFIG_FILE} or {WEIGHTS_FILE} is missing.",
            "Choose a folder written by Export, or a run folder.",
        ) from error
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"The adapter in {folder} cannot be read: {error}.") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA" or not config.get("use_rslora"):
        raise CheckpointError(f"The adapter in {folder} is not a LoRA adapter with rank-stabilised scaling.")
    targets = config.get("target_modules")
    if not isinstance(targets, list) or not targets:
        raise CheckpointError(f"The adapter in {folder} names no target modules.")
    try:
        return (
            Placement(
                targets=tuple(_from_hugging_face(str(target)) for target in targets),
                rank=int(config["r"]),
                alpha=float(config["lora_alpha"]),
                dropout=float(config.get("lora_dropout") or 0.0),
            ),
            state,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"The configuration of the adapter in {folder} is wrong: {error}.") from error


def load_adapter(backbone: Backbone, folder: Path) -> None:
    """Put a saved adapter on a backbone that carries none.

    Raises:
        CheckpointError: unreadable, or it does not fit.
        BackboneError: the backbone lacks a target, or already carries an adapter.
    """
    place, state = read_adapter(folder)
    adapt(backbone, place, seed=0)
    load_adapter_state(backbone.model, state, source=str(folder))


def _from_hugging_face(name: str) -> str:
    for ours, theirs in _TOWERS.values():
        if name.startswith(theirs):
            parts = name.removeprefix(theirs).split(".")
            if len(parts) == 3 and parts[1] == "self_attn" and parts[2] in PROJECTIONS.values():
                return f"{ours}{int(parts[0])}.attn.{parts[2]}"
    raise ValueError(f"'{name}' is not an attention projection of CLIP")


def _to_hugging_face(name: str) -> str:
    for ours, theirs in _TOWERS.values():
        if name.startswith(ours):
            index, _, projection = name.removeprefix(ours).split(".")
            return f"{theirs}{index}.self_attn.{projection}"
    raise ValueError(f"{name} is in no tower")
