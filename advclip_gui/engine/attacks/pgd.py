"""Projected gradient descent (Madry et al. 2018), L-infinity and L2, targeted and untargeted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from advclip_gui.engine.attacks.norms import Ball, ball
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
    from torch import Tensor, nn

    from advclip_gui.engine.attacks.catalog import AttackOptions


def pgd(
    classifier: nn.Module,
    images: Tensor,
    labels: Tensor,
    options: AttackOptions,
    *,
    targets: Tensor | None = None,
    trace: Trace | None = None,
    generator: torch.Generator | None = None,
    control: Control | None = None,
    scale: Tensor | None = None,
) -> AttackResult:
    """Step along the gradient, project into the ball, clamp to [0, 1]; see `Attack`.

    The definition is that of torchattacks and foolbox. With `early_stop` the batch is compacted:
    a sample leaves it at its first fooling iterate, and the verdict per sample is that of
    `ever` without `early_stop`. The last iterate needs no gradient. A restart attacks only
    what no earlier one fooled.

    `scale` (N,) gives each sample lengths of its own: epsilon and step size are those of the options
    times its number. All samples then share the random start, so that each gets what it would get
    alone with those lengths and this generator.
    """
    check_batch(images, labels, targets)
    goal = Goal(labels, targets)
    with attack_mode(classifier), torch.enable_grad():
        return _Climb(classifier, images.detach(), goal, options, trace, control or Control(), scale).run(
            generator or private_generator(0)
        )


class _Climb:
    """The state of one attack on one batch."""

    def __init__(
        self,
        classifier: nn.Module,
        images: Tensor,
        goal: Goal,
        options: AttackOptions,
        trace: Trace | None,
        control: Control,
        scale: Tensor | None,
    ) -> None:
        count, device = len(images), images.device
        self.classifier = classifier
        self.images = images
        self.goal = goal
        self.options = options
        self.ball: Ball = ball(options.norm)
        self.trace = trace
        self.control = control
        self.shared_start = scale is not None
        self.eps: float | Tensor = options.eps
        self.alpha: float | Tensor = options.alpha
        if scale is not None:
            # In double precision, as the lengths of a single attack, before they meet the pixels.
            scale = scale.double().view(-1, 1, 1, 1)
            self.eps, self.alpha = (options.eps * scale).to(images), (options.alpha * scale).to(images)
        self.adversarial = images.clone()
        self.logits: Tensor | None = None
        self.loss = torch.full((count,), torch.nan, device=device)
        self.success = torch.zeros(count, dtype=torch.bool, device=device)
        self.ever = torch.zeros(count, dtype=torch.bool, device=device)
        self.first_step = torch.full((count,), -1, device=device)
        self.zero_gradients = torch.zeros(count, dtype=torch.int64, device=device)
        self.forwards = 0
        self.backwards = 0

    def run(self, generator: torch.Generator) -> AttackResult:
        """Make all restarts and sum up."""
        options = self.options
        # Without a random start every restart would be the same.
        for restart in range(options.restarts if options.random_start else 1):
            index = (~self.success).nonzero().squeeze(1)
            start = self.images
            if options.random_start:
                # Drawn for the whole batch: the start of a sample does not depend on which others still hold.
                like = self.images[:1] if self.shared_start else self.images
                start = (self.images + self.eps * self.ball.random(like, generator)).clamp(0, 1)
            if not len(index):
                break
            self._climb(restart, index, start[index])
        if self.logits is None:
            self.logits = torch.zeros((len(self.images), 0), device=self.images.device)
        return AttackResult(
            adversarial=self.adversarial,
            logits=self.logits,
            loss=self.loss,
            success=self.success,
            ever=self.ever,
            first_step=self.first_step,
            zero_gradients=self.zero_gradients,
            forwards=self.forwards,
            backwards=self.backwards,
        )

    def _climb(self, restart: int, index: Tensor, current: Tensor) -> None:
        """One restart on the samples `index`, from the points `current`."""
        options = self.options
        originals, goal = self.images[index], self.goal.at(index)
        for step in range(options.steps + 1):
            self.control.check()
            last = step == options.steps
            current = current.detach().requires_grad_(not last)
            with torch.set_grad_enabled(not last):
                logits = self.classifier(current)
                loss = goal.losses(logits)
            self.forwards += len(index)
            fooled = goal.reached(logits.detach())
            if self.trace is not None:
                self.trace(
                    TraceStep(
                        restart, step, options.steps, index, current.detach(), logits.detach(), loss.detach()
                    )
                )
            self.first_step[index] = torch.where(
                fooled & (self.first_step[index] < 0), step, self.first_step[index]
            )
            self._keep(index, current.detach(), logits.detach(), loss.detach(), fooled, restart, last=last)
            if last:
                return
            gradient = gradient_of(loss.sum() * goal.direction, current)
            self.backwards += len(index)
            self.zero_gradients[index] += ~gradient.flatten(1).any(dim=1)
            if options.early_stop:
                going = (~fooled).nonzero().squeeze(1)
                if len(going) < len(index):
                    index, current, gradient = index[going], current[going], gradient[going]
                    originals, goal = originals[going], goal.at(going)
                if not len(index):
                    return
            current = self._step(index, originals, current.detach(), gradient)

    def _step(self, index: Tensor, originals: Tensor, current: Tensor, gradient: Tensor) -> Tensor:
        eps, alpha = (
            length[index] if isinstance(length, torch.Tensor) else length for length in (self.eps, self.alpha)
        )
        moved = current + alpha * self.ball.direction(gradient)
        return (originals + self.ball.project(moved - originals, eps)).clamp(0, 1)

    def _keep(
        self,
        index: Tensor,
        images: Tensor,
        logits: Tensor,
        loss: Tensor,
        fooled: Tensor,
        restart: int,
        *,
        last: bool,
    ) -> None:
        """Take these iterates into the result where they are what is asked for."""
        if self.logits is None:
            self.logits = logits.new_zeros((len(self.images), logits.shape[1]))
        keep_fooling = self.options.early_stop or self.options.keep == "fooling"
        better = fooled if keep_fooling or last else torch.zeros_like(fooled)
        if last:
            # Where nothing fools: the last iterate, of the restart with the greatest gain.
            gain = (loss - self.loss[index]) * self.goal.direction
            held = ~(self.ever if keep_fooling else self.success)[index]
            better = better | (held & (gain > 0 if restart else True))
        self.ever[index] |= fooled
        if not keep_fooling and not last:
            return
        chosen = index[better]
        self.adversarial[chosen] = images[better]
        self.logits[chosen] = logits[better]
        self.loss[chosen] = loss[better]
        self.success[chosen] = fooled[better]
