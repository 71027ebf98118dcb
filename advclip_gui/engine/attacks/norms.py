"""The epsilon balls: random start, direction of steepest ascent, and projection, per norm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from advclip_gui.engine.attacks.catalog import Norm


class Ball(Protocol):
    """What a gradient attack asks of a norm. Everything is per sample, on (N, 3, H, W)."""

    def random(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Uniform draw from the unit ball, shaped as `like`; drawn on the CPU, the same everywhere."""
        ...

    def direction(self, gradient: Tensor) -> Tensor:
        """The vector of unit norm that raises the loss most; zero where the gradient is zero."""
        ...

    def project(self, delta: Tensor, eps: float | Tensor) -> Tensor:
        """The nearest perturbation of norm <= eps; one eps for all, or one for each, (N, 1, 1, 1)."""
        ...

    def size(self, delta: Tensor) -> Tensor:
        """The norm, (N,)."""
        ...


class LinfBall:
    """Largest absolute change of any pixel value."""

    def random(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Uniform in the cube [-1, 1]."""
        draw = torch.rand(like.shape, generator=generator, device=generator.device)
        return draw.mul_(2).sub_(1).to(like)

    def direction(self, gradient: Tensor) -> Tensor:
        """The sign, as in FGSM and PGD (Goodfellow et al. 2015, Madry et al. 2018)."""
        return gradient.sign()

    def project(self, delta: Tensor, eps: float | Tensor) -> Tensor:
        """Clip."""
        if isinstance(eps, Tensor):
            return delta.clamp(-eps, eps)
        return delta.clamp(-eps, eps)

    def size(self, delta: Tensor) -> Tensor:
        """The largest absolute value, (N,)."""
        return delta.flatten(1).abs().amax(dim=1)


class L2Ball:
    """Euclidean length of the whole change."""

    def random(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Uniform in the ball: two coordinates of a point of the sphere in n + 2 dimensions dropped.

        Voelker, Gosmann, Stewart 2017, "Efficiently sampling vectors and coordinates from the
        n-sphere and n-ball".
        """
        count, values = len(like), like[0].numel() if len(like) else 0
        draw = torch.randn((count, values + 2), generator=generator, device=generator.device)
        draw = draw / torch.linalg.vector_norm(draw, dim=1, keepdim=True)
        inside: Tensor = draw[:, :values].reshape(like.shape).to(like)
        return inside

    def direction(self, gradient: Tensor) -> Tensor:
        """The gradient over its norm."""
        # Squares of a vanishing gradient underflow in float32: scale by the largest entry first.
        largest = _per_sample(gradient.flatten(1).abs().amax(dim=1))
        scaled = gradient / torch.where(largest > 0, largest, 1)
        length = _per_sample(self.size(scaled))
        return scaled / torch.where(length > 0, length, 1)

    def project(self, delta: Tensor, eps: float | Tensor) -> Tensor:
        """Shorten to eps what is longer."""
        length = _per_sample(self.size(delta))
        return delta * torch.where(length > eps, eps / length, 1)

    def size(self, delta: Tensor) -> Tensor:
        """The Euclidean norm, (N,)."""
        length: Tensor = torch.linalg.vector_norm(delta.flatten(1), dim=1)
        return length


def _per_sample(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def ball(norm: Norm) -> Ball:
    """The ball of a norm."""
    return LinfBall() if norm == "Linf" else L2Ball()
