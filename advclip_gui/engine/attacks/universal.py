"""Universal perturbation: one delta for all images of a batch, or of a whole test set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from advclip_gui.engine.attacks.norms import ball
from advclip_gui.engine.attacks.protocol import (
    AttackResult,
    Goal,
    Trace,
    TraceStep,
    attack_mode,
    check_batch,
    gradient_of,
    private_generator,
)
from advclip_gui.engine.control import Control

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

    from advclip_gui.engine.attacks.catalog import AttackOptions

    Part = Callable[[], tuple[Tensor, Goal]]
    """Some of the images (M, 3, H, W), and what is wanted of them."""


def universal(
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
    """Ascend the batch's mean cross-entropy in one delta (1, 3, H, W) for all images; see `Attack`.

    The inner maximisation of AdvCLIP-LoRA (arXiv 2505.15130) as an attack, and what
    Moosavi-Dezfooli et al. 2017 call a universal perturbation: x + delta is clamped to [0, 1],
    |delta| <= eps. Every adversarial image of the answer has the same delta before clamping: that of
    the last iterate, or, with `early_stop` or `keep` "fooling", of the iterate that fools the most
    images. An image is therefore never left alone because some iterate fooled it; `early_stop` ends the
    ascent only once all images are fooled, and `ever` may hold where `success` does not.
    """
    check_batch(images, labels, targets)
    images = images.detach()
    if not len(images):
        empty = torch.zeros(0, device=images.device)
        none, zero = empty.bool(), empty.long()
        return AttackResult(images, images.new_zeros((0, 0)), empty, none, none, zero, zero, 0, 0)
    goal = Goal(labels, targets)
    ascent = Ascent(
        classifier, [lambda: (images, goal)], options, like=images[:1], trace=trace, control=control
    )
    with attack_mode(classifier), torch.enable_grad():
        delta = ascent.run(generator or private_generator(0))
        found = apply_universal(classifier, images, goal, delta)
    # The delta is tried once more; where sums are added up in another order that may be a first.
    first_step = torch.where(found.success & (ascent.first_step < 0), options.steps, ascent.first_step)
    return replace(
        found,
        ever=first_step >= 0,
        first_step=first_step,
        zero_gradients=torch.full_like(labels, ascent.zero_gradients),
        forwards=ascent.forwards + found.forwards,
        backwards=ascent.backwards,
    )


def apply_universal(classifier: nn.Module, images: Tensor, goal: Goal, delta: Tensor) -> AttackResult:
    """What one delta (1, 3, H, W) does to images (N, 3, H, W); nothing is searched for."""
    with torch.no_grad():
        adversarial = (images + delta).clamp(0, 1)
        logits = classifier(adversarial)
    success = goal.reached(logits)
    return AttackResult(
        adversarial=adversarial,
        logits=logits,
        loss=goal.losses(logits),
        success=success,
        ever=success,
        first_step=torch.where(success, 0, -1),
        zero_gradients=torch.zeros_like(goal.labels),
        forwards=len(images),
        backwards=0,
    )


@dataclass(slots=True, eq=False)
class _Best:
    """The perturbation that fools the most images so far; of equals, the one with the greater loss."""

    delta: Tensor
    fooled: int = -1
    gain: float = -torch.inf

    def offer(self, delta: Tensor, fooled: int, gain: float) -> None:
        if (fooled, gain) > (self.fooled, self.gain):
            self.delta, self.fooled, self.gain = delta, fooled, gain


class Ascent:
    """The search for the delta, over images that need not fit into one batch.

    Attributes:
        first_step: (N,) int64, the first step at which an iterate fools the image; -1 for never.
        zero_gradients: steps at which the gradient was exactly zero everywhere.
        forwards: images sent through the classifier.
        backwards: images whose gradient was taken.
    """

    def __init__(
        self,
        classifier: nn.Module,
        parts: Sequence[Part],
        options: AttackOptions,
        *,
        like: Tensor,
        trace: Trace | None = None,
        control: Control | None = None,
    ) -> None:
        """Prepare; `like` is (1, 3, H, W), as an image. Run it in `attack_mode` with gradients on."""
        self.first_step = torch.zeros(0, dtype=torch.int64, device=like.device)
        self.zero_gradients = self.forwards = self.backwards = 0
        self._classifier = classifier
        self._parts = parts
        self._options = options
        self._ball = ball(options.norm)
        self._trace = trace
        self._control = control or Control()
        self._best = _Best(torch.zeros_like(like))
        self._firsts: list[Tensor | None] = [None] * len(parts)

    def run(self, generator: torch.Generator) -> Tensor:
        """Return delta (1, 3, H, W), |delta| <= eps.

        Raises:
            Cancelled: through the control, within a pass over one part.
        """
        options = self._options
        for restart in range(options.restarts if options.random_start else 1):
            delta = torch.zeros_like(self._best.delta)
            if options.random_start:
                delta = options.eps * self._ball.random(delta, generator)
            if self._climb(restart, delta):
                break
        self.first_step = torch.cat([first for first in self._firsts if first is not None])
        return self._best.delta

    def _climb(self, restart: int, delta: Tensor) -> bool:
        """One restart; whether all images are fooled and no more is asked for."""
        options = self._options
        any_iterate = options.early_stop or options.keep == "fooling"
        for step in range(options.steps + 1):
            last = step == options.steps
            gradient, fooled, count, gain = self._pass(restart, step, delta)
            if last or any_iterate:
                self._best.offer(delta, fooled, gain)
            if options.early_stop and fooled == count:
                return True
            if not last:
                self.zero_gradients += int(not gradient.any())
                moved = delta + options.alpha * self._ball.direction(gradient)
                delta = self._ball.project(moved, options.eps)
        return False

    def _pass(self, restart: int, step: int, delta: Tensor) -> tuple[Tensor, int, int, float]:
        """Gradient of the summed loss, images fooled, images, and summed gain at this delta."""
        total = self._options.steps
        last = step == total
        gradient = torch.zeros_like(delta)
        fooled = count = 0
        gain = 0.0
        for place, part in enumerate(self._parts):
            self._control.check()
            images, goal = part()
            shared = delta.detach().requires_grad_(not last)
            with torch.set_grad_enabled(not last):
                # Where the box clips, the gradient is zero: moving further would change nothing.
                current = (images + shared).clamp(0, 1)
                logits = self._classifier(current)
                losses = goal.losses(logits)
            self.forwards += len(images)
            reached = goal.reached(logits.detach())
            if self._trace is not None:
                index = torch.arange(count, count + len(images), device=images.device)
                self._trace(
                    TraceStep(restart, step, total, index, current.detach(), logits.detach(), losses.detach())
                )
            self._note(place, reached, step)
            if not last:
                gradient += gradient_of(losses.sum() * goal.direction, shared)
                self.backwards += len(images)
            fooled += int(reached.sum())
            count += len(images)
            gain += float(losses.detach().nan_to_num().sum()) * goal.direction
        return gradient, fooled, count, gain

    def _note(self, place: int, reached: Tensor, step: int) -> None:
        before = self._firsts[place]
        if before is None:
            before = torch.full(reached.shape, -1, dtype=torch.int64, device=reached.device)
        self._firsts[place] = torch.where(reached & (before < 0), step, before)
