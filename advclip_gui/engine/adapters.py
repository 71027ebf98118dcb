"""Put LoRA on a backbone, merge it for inference without drift, save and load it as peft does."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from advclip_gui.engine.errors import BackboneError, CheckpointError
from advclip_gui.engine.exchange.formats import CONFIG_FILE, WEIGHTS_FILE
from advclip_gui.engine.files import atomic_file, write_text_atomic
from advclip_gui.engine.lora_dropout import dropout_rows, keep_still, replace_dropout
from advclip_gui.engine.placement import (
    Placement,
    chosen_layers,
    count_trainable,
    placement,
    possible_targets,
    saved_name,
    target_name,
)
from advclip_gui.engine.torchvision_cure import ensure_torchvision

ensure_torchvision()

import peft  # noqa: E402 (imports transformers, which imports torchvision)
from peft.tuners.lora import LoraLayer  # noqa: E402
from safetensors import SafetensorError  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from advclip_gui.engine.backbones import Backbone

__all__ = ["ADAPTER", "CONFIG_FILE", "WEIGHTS_FILE", "Placement", "adapt", "adapter_state", "adapts_text",
           "chosen_layers", "count_trainable", "dropout_rows", "load_adapter", "load_adapter_state",
           "lora_layers", "merge_for_inference", "merged", "placement", "read_adapter", "reset",
           "save_adapter", "trainable_parameters", "write_adapter"]  # fmt: skip

ADAPTER: Final = "default"
_PREFIX: Final = "base_model.model."
_PARTS: Final = ("lora_A", "lora_B")


def _peft_config(place: Placement, targets: list[str] | str) -> peft.LoraConfig:
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
    model = backbone.model
    possible = possible_targets(model)
    absent = [name for name in place.targets if name not in possible]
    if absent:
        raise BackboneError(
            f"The adapter sits on {saved_name(absent[0])}, which {backbone.title} does not have.",
            "Choose the backbone the adapter was trained on.",
        )
    keep_still(model)
    # One expression, matched as a whole: of a list, peft also takes every name that ends in an entry,
    # and the text tower's paths are endings of the vision tower's.
    config = _peft_config(place, "|".join(re.escape(name) for name in place.targets))
    with torch.random.fork_rng():  # peft fills its matrices before `reset` does
        peft.inject_adapter_in_model(config, model, adapter_name=ADAPTER)
    for layer in lora_layers(model).values():
        replace_dropout(layer, ADAPTER)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
    model.to(backbone.device).eval()
    reset(model, seed=seed)
    backbone.placement = place


def reset(model: nn.Module, *, seed: int) -> None:
    """Put LoRA back to its start: A Kaiming-uniform(sqrt 5) from `seed`, B zero, as `adapt` leaves it.

    The numbers are drawn on the CPU, so they are the same on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in lora_layers(model).values():
            a, b = (getattr(layer, part)[ADAPTER].weight for part in _PARTS)
            start = torch.empty(a.shape, dtype=torch.float32)
            a.copy_(nn.init.kaiming_uniform_(start, a=5**0.5, generator=generator))
            b.zero_()


def lora_layers(model: nn.Module) -> dict[str, LoraLayer]:
    """Every adapted projection by its name in the model."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}


def trainable_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The LoRA matrices, in a fixed order."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


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
    """The LoRA matrices on the CPU under the names that peft saves them by."""
    state = {}
    for name, layer in lora_layers(model).items():
        base = _PREFIX + saved_name(name)
        for part in _PARTS:
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
            base = _PREFIX + saved_name(name)
            for part in _PARTS:
                getattr(layer, part)[ADAPTER].weight.copy_(state[f"{base}.{part}.weight"])


def save_adapter(backbone: Backbone, folder: Path, state: Mapping[str, Tensor] | None = None) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors``, each whole or not at all.

    Args:
        backbone: whose placement is described.
        folder: made where it is not there.
        state: the matrices, as from `adapter_state`; None takes those of the backbone.

    Raises:
        BackboneError: the backbone carries no adapter.
        StorageError: the disk is full, or there is no permission.
    """
    if backbone.placement is None:
        raise BackboneError("This backbone carries no adapter that could be saved.")
    write_adapter(folder, backbone.placement, state or adapter_state(backbone.model), hub_id=backbone.hub_id)


def write_adapter(folder: Path, place: Placement, state: Mapping[str, Tensor], *, hub_id: str = "") -> None:
    """Write the two files of a peft adapter, each whole or not at all.

    Args:
        folder: made where it is not there.
        place: of the adapter.
        state: the matrices, as from `adapter_state`.
        hub_id: the repository its backbone's weights belong to, "" where there is none.

    Raises:
        StorageError: the disk is full, or there is no permission.
    """
    targets = [saved_name(name) for name in place.targets]
    config = _peft_config(place, targets).to_dict()
    config |= {
        "inference_mode": True,
        "target_modules": targets,
        "base_model_name_or_path": HUGGING_FACE_BASE.get(hub_id),
    }
    with atomic_file(folder / WEIGHTS_FILE) as temporary:
        save_file(dict(state), temporary, metadata={"format": "pt"})
    write_text_atomic(folder / CONFIG_FILE, json.dumps(config, indent=2, sort_keys=True, default=str) + "\n")


HUGGING_FACE_BASE: Final = {
    "timm/vit_base_patch32_clip_224.openai": "openai/clip-vit-base-patch32",
    "timm/vit_base_patch16_clip_224.openai": "openai/clip-vit-base-patch16",
    "timm/vit_large_patch14_clip_224.openai": "openai/clip-vit-large-patch14",
    "timm/vit_large_patch14_clip_336.openai": "openai/clip-vit-large-patch14-336",
    **{
        repository: repository  # holds the weights for both
        for repository in (
            "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
            "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
            "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
            "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
        )
    },
}
"""The transformers repository with the same weights as an open_clip one."""


def read_adapter(folder: Path) -> tuple[Placement, dict[str, Tensor]]:
    """Read a peft LoRA folder made for the towers of a CLIP.

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
                targets=tuple(target_name(str(target)) for target in targets),
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
