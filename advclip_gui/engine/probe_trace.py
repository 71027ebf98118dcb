"""The steps of an attack on one image, as events while they happen and kept for the replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from advclip_gui.engine.events import ProbeStep
from advclip_gui.engine.pixels import from_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from advclip_gui.engine.attacks.protocol import AttackResult, TraceStep
    from advclip_gui.engine.control import Control

REPLAYED: Final = 200
"""At most about so many steps of a restart are kept and reported; of longer attacks every so-manieth."""


class Watch:
    """Turns an attack's trace into events, and keeps them for the replay."""

    def __init__(self, original: Tensor, control: Control) -> None:
        self._original = original
        self._control = control
        self._restarts: dict[int, list[tuple[ProbeStep, Tensor]]] = {}

    def __call__(self, step: TraceStep) -> None:
        """Report one iterate, unless the attack is so long that not all can be kept."""
        stride = -(-step.total_steps // REPLAYED)
        if step.step % max(stride, 1) and step.step != step.total_steps:
            return
        event = ProbeStep(
            step=step.step,
            total_steps=step.total_steps,
            loss=float(step.loss),
            probabilities=probabilities(step.logits),
            adversarial=from_pixels(step.images)[0],
            perturbation=height_width_channels(step.images - self._original),
        )
        self._restarts.setdefault(step.restart, []).append((event, step.images))
        self._control.report(event)

    def steps_to(self, result: AttackResult) -> tuple[ProbeStep, ...]:
        """The steps of the restart that led to the result, up to it, so that it is always the last."""
        for steps in reversed(self._restarts.values()):
            for place in range(len(steps) - 1, -1, -1):
                if torch.equal(steps[place][1], result.adversarial):
                    return tuple(event for event, _ in steps[: place + 1])
        return self._ending_with(result)

    def _ending_with(self, result: AttackResult) -> tuple[ProbeStep, ...]:
        """The last restart and then the result, for attacks that return an iterate not kept here."""
        kept = [event for event, _ in list(self._restarts.values())[-1]] if self._restarts else []
        first = int(result.first_step[0])
        last = kept[-1].total_steps if kept else 1
        reached = first if first >= 0 else last
        end = ProbeStep(
            step=reached,
            total_steps=last,
            loss=float(result.loss),
            probabilities=probabilities(result.logits),
            adversarial=from_pixels(result.adversarial)[0],
            perturbation=height_width_channels(result.adversarial - self._original),
        )
        return (*(event for event in kept if event.step < reached), end)


def probabilities(logits: Tensor) -> tuple[float, ...]:
    """Softmax of the first sample of (N, C), in float32."""
    values: list[float] = logits[0].float().softmax(dim=0).tolist()
    return tuple(values)


def height_width_channels(pixels: Tensor) -> NDArray[np.float32]:
    """The first sample of (N, 3, H, W) as (H, W, 3)."""
    array: NDArray[np.float32] = pixels[0].permute(1, 2, 0).float().cpu().numpy()
    return np.ascontiguousarray(array)
