"""What a recipe amounts to before it is run: parameters, steps, memory and time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from advclip_gui.engine.blueprint import costs, draw, model_config
from advclip_gui.engine.placement import count_trainable, placement

if TYPE_CHECKING:
    from advclip_gui.settings import RunSettings

_FLOAT = 4
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


def describe_recipe(settings: RunSettings, *, classes: int, flops_per_second: float | None) -> RecipeFacts:
    """Work the facts out from the model's configuration; no weights are loaded.

    The first question about an architecture takes a fraction of a second, the next ones milliseconds.

    Args:
        settings: of the run.
        classes: number of classes, for the text tower's share.
        flops_per_second: of a large matrix product on the device, from `matmul_rate`.

    Raises:
        BackboneError: the architecture is unknown or cannot be adapted.
    """
    config = model_config(settings.backbone)
    plan, cost = draw(config), costs(config)
    place = placement(plan.model, settings.lora)
    inner = settings.adversary.inner_steps
    passes = 2 if 0 < settings.training.clean_share < 1 or settings.training.trades_beta > 0 else 1
    samples = {"vision": settings.training.batch_size, "text": classes * len(settings.data.templates)}
    floats = sum(parameter.numel() for parameter in plan.model.parameters())
    flops = 0
    for tower, count in samples.items():
        # Each adapted projection also keeps its input after dropout, and the mask.
        adapted = [name for name in place.targets if name in cost[tower].inputs]
        kept = cost[tower].floats + 2 * sum(cost[tower].inputs[name] for name in adapted)
        if tower == "vision":
            floats += passes * count * kept if adapted or inner else 0
            flops += count * cost[tower].flops * (2 * inner + 2 * passes)
        elif adapted:
            floats += count * kept
            flops += count * cost[tower].flops * 3
    seconds = None
    if flops_per_second is not None:
        seconds = settings.total_steps * flops / (flops_per_second * _EFFICIENCY)
    return RecipeFacts(
        trainable_parameters=count_trainable(plan.model, place),
        total_steps=settings.total_steps,
        estimated_memory_mb=round(floats * _FLOAT / 2**20),
        estimated_seconds=seconds,
        image_size=plan.image_size,
    )


def matmul_rate(device: torch.device) -> float:
    """Floating-point operations per second of a 1024 x 1024 float32 product, best of a few."""
    side, best = 1024, float("inf")
    matrix = torch.ones(side, side, device=device)
    for _ in range(4):
        began = time.perf_counter()
        float((matrix @ matrix)[0, 0])
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best
