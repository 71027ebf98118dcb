"""Classifiers of a few hundred weights, and images they can learn in half a second."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advclip_gui.engine.classifier import to_pixels

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SIZE = 12
CLASSES = 5


class LinearTwoClass(nn.Module):
    """Margin w . (x - 1/2) + b between two classes: its robustness is known exactly."""

    def __init__(self, seed: int = 0, size: int = 4) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(3 * size * size, generator=generator))
        self.bias = nn.Parameter(torch.tensor(0.05))

    def margin(self, pixels: Tensor) -> Tensor:
        return (pixels - 0.5).flatten(1) @ self.weight + self.bias

    def forward(self, pixels: Tensor) -> Tensor:
        margin = self.margin(pixels)
        return torch.stack([margin / 2, -margin / 2], dim=1)


class SmallViT(nn.Module):
    """Patches, one block of attention, mean."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        width = 24
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.place = nn.Parameter(torch.randn(9, width) * 0.1)
        self.norm = nn.LayerNorm(width)
        self.attend = nn.Linear(width, 3 * width)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 48), nn.GELU(), nn.Linear(48, width))
        self.head = nn.Linear(width, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.patches(pixels - 0.5).flatten(2).transpose(1, 2) + self.place
        q, k, v = self.attend(self.norm(x)).chunk(3, dim=-1)
        x = x + F.scaled_dot_product_attention(q, k, v)
        x = x + self.mlp(x)
        return self.head(x.mean(dim=1))


class Wrapped(nn.Module):
    """A classifier with something done to its pixels or logits: how defences are broken."""

    def __init__(
        self,
        inner: nn.Module,
        pixels: Callable[[Tensor], Tensor] | None = None,
        logits: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.inner = inner
        self.pixels = pixels or (lambda x: x)
        self.logits = logits or (lambda z: z)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.logits(self.inner(self.pixels(pixels)))


def quantised(inner: nn.Module) -> Wrapped:
    """Rounds its input to 16 levels: the gradient is zero everywhere."""
    return Wrapped(inner, pixels=lambda x: (x * 15).round() / 15)


def noisy(inner: nn.Module, size: float = 0.02) -> Wrapped:
    """Adds fresh noise to its input every time."""
    generator = torch.Generator().manual_seed(0)
    return Wrapped(inner, pixels=lambda x: x + size * torch.randn(x.shape, generator=generator))


def softmaxed(inner: nn.Module) -> Wrapped:
    """Returns probabilities."""
    return Wrapped(inner, logits=lambda z: z.softmax(dim=1))


def tempered(inner: nn.Module, temperature: float = 1e9) -> Wrapped:
    """Divides its logits until the gradient of the cross-entropy vanishes."""
    return Wrapped(inner, logits=lambda z: z / temperature)


def mistaken(inner: nn.Module) -> Wrapped:
    """Says the next class."""
    return Wrapped(inner, logits=lambda z: z.roll(1, dims=1))


BROKEN: dict[str, tuple[Callable[[nn.Module], nn.Module], str]] = {
    "quantised": (quantised, "zero_gradients"),
    "noisy": (noisy, "random_output"),
    "softmaxed": (softmaxed, "softmax_output"),
    "tempered": (tempered, "temperature"),
    "mistaken": (mistaken, "at_chance"),
}
"""Defences that only look like some, and the finding each must raise."""


def cnn(classes: int = CLASSES) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, classes),
    )


def blobs(n: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Five noisy patterns, away from the ends of the pixel range."""
    patterns = np.random.default_rng(1234).random((CLASSES, SIZE, SIZE, 3)) * 0.3 + 0.35
    labels = np.arange(n, dtype=np.int64) % CLASSES
    noise = np.random.default_rng(seed).normal(0, 0.1, (n, SIZE, SIZE, 3))
    images = np.clip((patterns[labels] + noise) * 255, 0, 255).astype(np.uint8)
    return images, labels


@cache
def trained(kind: str = "cnn", seed: int = 0) -> nn.Module:
    """A classifier that has learnt `blobs`; shared by all tests, which must leave it as it is."""
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(seed)
        model = cnn() if kind == "cnn" else SmallViT()
        images, labels = blobs(200, seed=99)
        pixels, truth = to_pixels(images, torch.device("cpu")), torch.from_numpy(labels)
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        for _ in range(80):
            loss = F.cross_entropy(model(pixels), truth)
            if loss.item() < 0.03:
                break  # further on, gradients vanish so far that rounding decides their direction
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval().requires_grad_(False)


def batch(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """`blobs` as contiguous tensors."""
    images, labels = blobs(n, seed)
    return to_pixels(images, torch.device("cpu")).contiguous(), torch.from_numpy(labels)
