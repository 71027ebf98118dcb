"""The inner maximisation of training: m sign steps on the perturbation (sound protocol)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from advclip_gui.engine.control import Control
    from advclip_gui.settings import AdversarySettings


class Adversary:
    """Maximise a loss over |delta|_inf <= eps with x + delta in [0, 1] (arXiv 2505.15130).

    ``per_sample``: delta (N, 3, S, S), begun anew for every batch, anywhere in the ball or at zero.
    ``universal``: one delta (1, 3, S, S) for all images, carried over from step to step.
    """

    def __init__(self, settings: AdversarySettings, image_size: int, device: torch.device) -> None:
        """Begin with a zero universal perturbation."""
        self.settings = settings
        self.universal = torch.zeros(1, 3, image_size, image_size, device=device)

    @property
    def active(self) -> bool:
        """Whether there is an adversary at all (m > 0 and eps > 0)."""
        return self.settings.inner_steps > 0 and self.settings.epsilon > 0

    def perturb(
        self,
        pixels: Tensor,
        loss: Callable[[Tensor], Tensor],
        generator: torch.Generator,
        control: Control,
    ) -> Tensor:
        """Return x + delta, (N, 3, S, S) in [0, 1], without a graph.

        Args:
            pixels: x, (N, 3, S, S) in [0, 1].
            loss: maps perturbed pixels to a scalar that is to grow; its model must be in
                evaluation mode, without parameter gradients.
            generator: CPU generator of the random start.
            control: checked in every inner step.
        """
        if not self.active:
            return pixels
        epsilon = self.settings.epsilon
        if self.settings.kind == "universal":
            delta = self.universal
        elif self.settings.random_start:
            delta = (
                torch.empty(pixels.shape).uniform_(-epsilon, epsilon, generator=generator).to(pixels.device)
            )
            delta = (pixels + delta).clamp_(0, 1) - pixels
        else:
            delta = torch.zeros_like(pixels)
        for _ in range(self.settings.inner_steps):
            control.check()
            delta = delta.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(loss((pixels + delta).clamp(0, 1)), delta)
            with torch.no_grad():
                delta = (delta + self.settings.step_size * gradient.sign()).clamp_(-epsilon, epsilon)
                if self.settings.kind == "per_sample":
                    delta = (pixels + delta).clamp_(0, 1) - pixels
        if self.settings.kind == "universal":
            self.universal = delta.detach()
        return (pixels + delta.detach()).clamp_(0, 1)
