"""The protocol every attack follows: what goes in, what comes out, and how the model is left."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from advclip_gui.engine.attacks.catalog import AttackOptions
    from advclip_gui.engine.control import Control


@dataclass(frozen=True, slots=True, eq=False)
class TraceStep:
    """One iterate of an attack, as it happens.

    Attributes:
        restart: which restart, from 0.
        step: steps made so far; 0 is the starting point.
        total_steps: steps of a whole restart.
        index: (M,) int64, which samples of the batch are still under attack.
        images: (M, 3, H, W) the iterates, pixels in [0, 1].
        logits: (M, C) of the iterates.
        loss: (M,) cross-entropy in nats, of the label, or of the target in a targeted attack.
    """

    restart: int
    step: int
    total_steps: int
    index: Tensor
    images: Tensor
    logits: Tensor
    loss: Tensor


Trace = Callable[[TraceStep], None]


@dataclass(frozen=True, slots=True, eq=False)
class AttackResult:
    """What an attack found, per sample of the batch, on the device of the images.

    Attributes:
        adversarial: (N, 3, H, W) pixels in [0, 1], within epsilon of the images.
        logits: (N, C) of `adversarial`.
        loss: (N,) cross-entropy of `adversarial`, of the label or the target.
        success: (N,) bool, `adversarial` fools the classifier (reaches the target).
        ever: (N,) bool, some iterate did; equals `success` with `early_stop`, but for a universal delta.
        first_step: (N,) int64, the first step at which an iterate did; -1 for never.
        zero_gradients: (N,) int64, steps at which the gradient was exactly zero everywhere.
        forwards: images sent through the classifier.
        backwards: images whose gradient was taken.
        notes: sentences on how the attack had to differ from its definition.
    """

    adversarial: Tensor
    logits: Tensor
    loss: Tensor
    success: Tensor
    ever: Tensor
    first_step: Tensor
    zero_gradients: Tensor
    forwards: int
    backwards: int
    notes: tuple[str, ...] = ()


class Attack(Protocol):
    """An attack.

    Args of a call:
        classifier: pixels (N, 3, H, W) in [0, 1] -> logits (N, C).
        images: (N, 3, H, W) float in [0, 1].
        labels: (N,) int64, the class to leave.
        options: how the attack is run.
        targets: (N,) int64, the class to reach instead.
        trace: called with every iterate.
        generator: source of all randomness; None is a private one with seed 0. The global random
            streams are never touched.
        control: asked for cancellation in every step.
    """

    def __call__(
        self,
        classifier: nn.Module,
        images: Tensor,
        labels: Tensor,
        options: AttackOptions,
        *,
        targets: Tensor | None = None,
        trace: Trace | None = None,
        generator: torch.Generator | None = None,
        control: Control | None = None,
    ) -> AttackResult:
        """Run it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Goal:
    """What counts as success, and the loss that leads there."""

    labels: Tensor
    targets: Tensor | None

    @property
    def direction(self) -> float:
        """+1 where the loss is ascended (leave the label), -1 where descended (reach the target)."""
        return 1.0 if self.targets is None else -1.0

    def losses(self, logits: Tensor) -> Tensor:
        """Cross-entropy per sample in float32, (N,)."""
        classes = self.labels if self.targets is None else self.targets
        return functional.cross_entropy(logits.float(), classes, reduction="none")

    def reached(self, logits: Tensor) -> Tensor:
        """Per sample whether the attack has succeeded, (N,) bool."""
        predicted = predictions(logits)
        return predicted != self.labels if self.targets is None else predicted == self.targets

    def at(self, index: Tensor) -> Goal:
        """The same goal for some of the samples."""
        return Goal(self.labels[index], None if self.targets is None else self.targets[index])


def predictions(logits: Tensor) -> Tensor:
    """Predicted classes (N,) int64; -1, which is never right, where a logit is not a number."""
    return torch.where(logits.isnan().any(dim=1), -1, logits.argmax(dim=1))


def check_batch(images: Tensor, labels: Tensor, targets: Tensor | None) -> None:
    """Refuse what no attack can work on.

    Raises:
        ValueError: wrong shapes or types, or pixels outside [0, 1].
    """
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(f"images must be (N, 3, H, W) floats, not {tuple(images.shape)} {images.dtype}")
    for name, classes in (("labels", labels), ("targets", targets)):
        if classes is not None and (classes.shape != images.shape[:1] or classes.dtype != torch.int64):
            raise ValueError(
                f"{name} must be ({len(images)},) int64, not {tuple(classes.shape)} {classes.dtype}"
            )
    if images.numel():
        low, high = torch.aminmax(images)
        if not (low >= 0 and high <= 1):
            raise ValueError(f"pixels must lie in [0, 1], not in [{low:g}, {high:g}]")


def gradient_of(total: Tensor, pixels: Tensor) -> Tensor:
    """The gradient of `total` at `pixels`; zero where the classifier passes none back, or no number."""
    if not total.requires_grad:
        return torch.zeros_like(pixels)
    # Zeros also where the logits do not depend on the pixels at all.
    (gradient,) = torch.autograd.grad(total, pixels, materialize_grads=True, allow_unused=True)
    return torch.nan_to_num(gradient)


@contextmanager
def attack_mode(classifier: nn.Module) -> Iterator[None]:
    """Inside: evaluation mode, no gradient for any parameter. After: everything as it was.

    Modes are kept per module: a model may be frozen in part, and `train()` would undo that.
    """
    modes = [(module, module.training) for module in classifier.modules()]
    wanted = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    try:
        classifier.eval()
        for parameter in wanted:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)
        for module, training in modes:
            module.training = training


def private_generator(*parts: object) -> torch.Generator:
    """A CPU generator whose stream depends only on `parts`, e.g. seed, attack and image number."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
