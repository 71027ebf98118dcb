"""What a recipe amounts to before it is run: parameters, steps, memory and time."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from advclip_gui.engine.adapters import chosen_layers
from advclip_gui.engine.catalog import entry
from advclip_gui.engine.errors import BackboneError
from advclip_gui.engine.resources import mini_backbone_folder
from advclip_gui.engine.torchvision_cure import ensure_torchvision

ensure_torchvision()

import open_clip  # noqa: E402 (needs the cure above)

if TYPE_CHECKING:
    from advclip_gui.settings import BackboneSettings, RunSettings

_FLOAT = 4
_ACTIVATIONS_PER_WIDTH = 17
"""Floats kept for the backward pass, per token, layer and unit of width (two norms, q, k, v, mlp)."""
_EFFICIENCY = 0.35
"""Share of a large matrix product's rate that a training step of a small transformer reaches."""


@dataclass(frozen=True, slots=True)
class RecipeFacts:
    """Exact parameters and steps; rough memory and time.

    Attributes:
        estimated_memory_mb: on the device, weights and activations of one update.
        estimated_seconds: of the training loop without evaluations, None where not measured.
    """

    trainable_parameters: int
    total_steps: int
    estimated_memory_mb: int
    estimated_seconds: float | None
    image_size: int


@dataclass(frozen=True, slots=True)
class _Tower:
    width: int
    layers: int
    tokens: int
    heads: int

    @property
    def forward_flops(self) -> float:
        """Of one sample: 12 width^2 weights a layer, and the attention's two products."""
        return self.layers * (24 * self.width**2 * self.tokens + 4 * self.tokens**2 * self.width)

    @property
    def activation_floats(self) -> float:
        """Of one sample, kept for the backward pass."""
        return (
            self.layers * self.tokens * (_ACTIVATIONS_PER_WIDTH * self.width + 2 * self.heads * self.tokens)
        )


def describe_recipe(settings: RunSettings, *, classes: int, flops_per_second: float | None) -> RecipeFacts:
    """Work the facts out from the model's configuration; no weights are loaded.

    Args:
        settings: of the run.
        classes: number of classes, for the text tower's share.
        flops_per_second: of a large matrix product on the device, from `matmul_rate`.

    Raises:
        BackboneError: the architecture is unknown or cannot be adapted.
    """
    config = model_config(settings.backbone)
    vision_cfg, text_cfg = config["vision_cfg"], config["text_cfg"]
    size, patch = vision_cfg["image_size"], vision_cfg["patch_size"]
    head_width = vision_cfg.get("head_width", 64)
    vision = _Tower(
        vision_cfg["width"], vision_cfg["layers"], (size // patch) ** 2 + 1, vision_cfg["width"] // head_width
    )
    text = _Tower(text_cfg["width"], text_cfg["layers"], 12, text_cfg["heads"])
    lora, batch = settings.lora, settings.training.batch_size
    adapted = {"vision": [vision], "text": [text], "both": [vision, text]}[lora.encoder]
    trainable = sum(
        len(chosen_layers(lora.layers, tower.layers)) * len(lora.matrices) * lora.rank * 2 * tower.width
        for tower in adapted
    )
    prompts = classes * len(settings.data.templates)
    passes = 2 if 0 < settings.training.clean_share < 1 or settings.training.trades_beta > 0 else 1
    weights = 12 * (vision.layers * vision.width**2 + text.layers * text.width**2) + 49408 * text.width
    floats = weights + passes * batch * vision.activation_floats
    flops = batch * vision.forward_flops * (2 * settings.adversary.inner_steps + 2 * passes)
    if text in adapted:
        floats += prompts * text.activation_floats
        flops += prompts * text.forward_flops * 3
    seconds = None
    if flops_per_second is not None:
        seconds = settings.total_steps * flops / (flops_per_second * _EFFICIENCY)
    return RecipeFacts(
        trainable_parameters=trainable,
        total_steps=settings.total_steps,
        estimated_memory_mb=round(floats * _FLOAT / 2**20),
        estimated_seconds=seconds,
        image_size=size,
    )


def model_config(backbone: BackboneSettings) -> dict[str, Any]:
    """The architecture's configuration, for towers that are open_clip transformers.

    Raises:
        BackboneError: the architecture is unknown or has other towers.
    """
    chosen = entry(backbone)
    if chosen.name == "advclip-mini":
        stored = json.loads((mini_backbone_folder() / "open_clip_config.json").read_text(encoding="utf-8"))
        bundled: dict[str, Any] = stored["model_cfg"]
        return bundled
    architecture = chosen.architecture or backbone.architecture
    config: dict[str, Any] | None = open_clip.get_model_config(architecture)
    if config is None:
        raise BackboneError(
            f"open_clip knows no model '{architecture}'.",
            "Take a name such as ViT-B-32 or ViT-B-16-quickgelu.",
        )
    foreign = {"hf_model_name", "timm_model_name"} & (config["text_cfg"].keys() | config["vision_cfg"].keys())
    if foreign or config.get("custom_text") or not isinstance(config["vision_cfg"].get("layers"), int):
        raise BackboneError(
            f"The towers of {architecture} are not the plain transformers that LoRA is placed on here.",
            "Choose a ViT model such as ViT-B-32 or ViT-B-16.",
        )
    return config


def matmul_rate(device: torch.device) -> float:
    """Floating-point operations per second of a 1024 x 1024 float32 product, best of a few."""
    side, best = 1024, float("inf")
    matrix = torch.ones(side, side, device=device)
    for _ in range(4):
        began = time.perf_counter()
        float((matrix @ matrix)[0, 0])
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best
