"""The inner maximisation of training in the sound protocol: m steps on the perturbation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from advclip_gui.engine.attacks.norms import ball

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from advclip_gui.engine.control import Control
    from advclip_gui.settings import AdversarySettings


@dataclass(frozen=True, slots=True)
class Perturbed:
    """What the adversary found, without a graph.

    Attributes:
        images: x + delta, (N, 3, S, S).
        delta: the perturbation itself, (N, 3, S, S) or (1, 3, S, S).
    """

    images: Tensor
    delta: Tensor


def ascent_direction(
    images: Tensor, delta: Tensor, loss: Callable[[Tensor, slice], Tensor], parts: Sequence[slice]
) -> Tensor:
    """Gradient of the batch's mean loss with respect to delta, part by part, shaped as delta.

    Args:
        images: x, (N, 3, S, S).
        delta: (N, 3, S, S), or (1, 3, S, S) where it is shared.
        loss: mean loss of perturbed images of a part of the batch.
        parts: how the batch is divided.
    """
    shared = len(delta) == 1
    gradients = []
    for part in parts:
        piece = (delta if shared else delta[part]).detach().requires_grad_(True)
        share = (part.stop - part.start) / len(images)
        (gradient,) = torch.autograd.grad(loss(images[part] + piece, part) * share, piece)
        gradients.append(gradient)
    if len(gradients) == 1:
        return gradients[0]
    return torch.stack(gradients).sum(0) if shared else torch.cat(gradients)


class Adversary:
    """Maximise a loss over |delta| <= eps with x + delta in [0, 1] (arXiv 2505.15130).

    ``per_sample``: delta (N, 3, S, S), begun anew for every batch, anywhere in the ball or at zero.
    ``universal``: one delta (1, 3, S, S) for all images, carried over from step to step.

    Attributes:
        universal: the shared perturbation. Only its owner moves it on, once a step is done whole.
    """

    def __init__(self, settings: AdversarySettings, image_size: int, device: torch.device) -> None:
        """Begin with a zero universal perturbation."""
        self.settings = settings
        self.ball = ball(settings.norm)
        self.universal = torch.zeros(1, 3, image_size, image_size, device=device)

    @property
    def active(self) -> bool:
        """Whether there is an adversary at all (m > 0 and eps > 0)."""
        return self.settings.inner_steps > 0 and self.settings.epsilon > 0

    def perturb(
        self,
        pixels: Tensor,
        loss: Callable[[Tensor, slice], Tensor],
        generator: torch.Generator,
        control: Control,
        *,
        parts: Sequence[slice] = (),
        scale: float = 1.0,
    ) -> Perturbed:
        """Return x + delta in [0, 1] and delta.

        Args:
            pixels: x, (N, 3, S, S) in [0, 1].
            loss: mean loss, to grow, of perturbed pixels of a part of the batch; its model must be
                in evaluation mode, without parameter gradients.
            generator: of the random start.
            control: checked in every inner step.
            parts: how the batch is divided for the device's memory; the result is the same.
            scale: of epsilon and step size, for the warm-up.
        """
        settings = self.settings
        epsilon, step = scale * settings.epsilon, scale * settings.step_size
        shared = settings.kind == "universal"
        if shared:
            delta = self.ball.project(self.universal, epsilon)
        elif settings.random_start:
            delta = self._into_the_box(pixels, self.ball.random(pixels, generator) * epsilon)
        else:
            delta = torch.zeros_like(pixels)

        def clamped(images: Tensor, part: slice) -> Tensor:
            return loss(images.clamp(0, 1), part)

        for _ in range(settings.inner_steps):
            control.check()
            gradient = ascent_direction(pixels, delta, clamped, parts or (slice(0, len(pixels)),))
            with torch.no_grad():
                delta = self.ball.project(delta + step * self.ball.direction(gradient), epsilon)
                if not shared:
                    delta = self._into_the_box(pixels, delta)
        return Perturbed((pixels + delta).clamp_(0, 1), delta)

    @staticmethod
    def _into_the_box(pixels: Tensor, delta: Tensor) -> Tensor:
        return (pixels + delta).clamp_(0, 1) - pixels
