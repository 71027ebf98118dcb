"""Auto-PGD (Croce & Hein 2020, arXiv 2003.01690): one ascent that chooses its own step size."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

import torch

from advclip_gui.engine.attacks.norms import ball
from advclip_gui.engine.attacks.protocol import gradient_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from advclip_gui.engine.attacks.catalog import AttackOptions
    from advclip_gui.engine.attacks.losses import Aim
    from advclip_gui.engine.attacks.norms import Ball
    from advclip_gui.engine.attacks.record import Record
    from advclip_gui.engine.control import Control

FIRST_STEP_SIZE: Final = 2.0
"""In units of epsilon."""
RHO: Final = 0.75
"""The step is halved where the loss rose in at most this share of the steps since the last checkpoint."""
MOMENTUM: Final = 0.25
"""Share of the last movement in the next one."""
_FIRST_PERIOD, _PERIOD_SHRINKS, _LEAST_PERIOD = 0.22, 0.03, 0.06


def checkpoints(steps: int) -> list[int]:
    """After how many steps the step size is looked at: 22 % first, then periods 3 % shorter, 6 % at least.

    In whole steps, rounded down, and at least one, as in the published implementations.
    """
    period = max(int(_FIRST_PERIOD * steps), 1)
    shorter, least = max(int(_PERIOD_SHRINKS * steps), 1), max(int(_LEAST_PERIOD * steps), 1)
    places, place = [], period
    while place <= steps:
        places.append(place)
        period = max(period - shorter, least)
        place += period
    return places


def random_start(images: Tensor, options: AttackOptions, generator: torch.Generator) -> Tensor:
    """A random point at distance epsilon of each image, clamped to [0, 1]."""
    if options.norm == "Linf":
        draw = torch.rand(images.shape, generator=generator, device=generator.device).mul_(2).sub_(1)
    else:
        draw = torch.randn(images.shape, generator=generator, device=generator.device)
    draw = draw.to(images)
    if not len(images):
        return images
    length = ball(options.norm).size(draw).view(-1, 1, 1, 1)
    return (images + options.eps * draw / length).clamp(0, 1)


@dataclass(slots=True, eq=False)
class _State:
    """What is remembered of each sample; first axis: samples still under attack."""

    index: Tensor
    originals: Tensor
    current: Tensor
    previous: Tensor
    gradient: Tensor
    value: Tensor
    rises: Tensor
    alpha: Tensor
    best: Tensor
    best_logits: Tensor
    best_gradient: Tensor
    best_value: Tensor
    value_at_checkpoint: Tensor
    halved: Tensor

    def keep(self, going: Tensor) -> None:
        """Drop the samples that are not in `going`, (M,) int64."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name)[going])


class Ascent:
    """One run of Auto-PGD on some samples of a batch.

    x' = P(x + alpha d), x <- P(x + (1 - m) (x' - x) + m (x - x_before)), where d is the direction of
    steepest ascent and m the momentum. At a checkpoint alpha is halved, and the search goes on from
    its best point, where the loss rose too seldom, or where neither the step was halved at the last
    checkpoint nor the best loss has grown since.
    """

    def __init__(
        self,
        classifier: nn.Module,
        options: AttackOptions,
        record: Record,
        control: Control,
        *,
        restart: int,
    ) -> None:
        """Prepare; `restart` is the number of this run in the trace."""
        self._classifier = classifier
        self._options = options
        self._record = record
        self._control = control
        self._restart = restart
        self._ball: Ball = ball(options.norm)

    def run(self, index: Tensor, originals: Tensor, start: Tensor, aim: Aim) -> None:
        """Climb from `start` (M, 3, H, W), for the samples `index` (M,); what is found goes to the record."""
        steps, early_stop = self._options.steps, self._options.early_stop
        places = set(checkpoints(steps))
        logits, value, gradient, fooled = self._ask(index, start, aim, 0)
        state = _State(
            index=index,
            originals=originals,
            current=start,
            previous=start,
            gradient=gradient,
            value=value,
            rises=torch.zeros_like(index),
            alpha=torch.full_like(value, FIRST_STEP_SIZE * self._options.eps).view(-1, 1, 1, 1),
            best=start.clone(),
            best_logits=logits.clone(),
            best_gradient=gradient.clone(),
            best_value=value.clone(),
            value_at_checkpoint=value.clone(),
            halved=torch.ones_like(fooled),
        )
        last_checkpoint = 0
        for step in range(1, steps + 1):
            if early_stop and bool(fooled.any()):
                going = (~fooled).nonzero().squeeze(1)
                state.keep(going)
                aim = aim.at(going)
            if not len(state.index):
                return
            moved = self._step(state, first=step == 1)
            state.previous, state.current = state.current, moved
            logits, value, gradient, fooled = self._ask(state.index, moved, aim, step)
            state.rises += value > state.value
            state.value, state.gradient = value, gradient
            self._remember_best(state, logits)
            if step in places:
                self._halve(state, step - last_checkpoint)
                last_checkpoint = step
        self._record.offer(state.index, state.best, state.best_logits)

    def _ask(
        self, index: Tensor, pixels: Tensor, aim: Aim, step: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits, value of the aim, its gradient (none is taken at the last step), and what fools."""
        self._control.check()
        last = step == self._options.steps
        pixels = pixels.detach().requires_grad_(not last)
        with torch.set_grad_enabled(not last):
            logits = self._classifier(pixels)
            value = aim(logits)
        self._record.forwards += len(index)
        fooled = self._record.look(
            index,
            pixels.detach(),
            logits.detach(),
            restart=self._restart,
            step=step,
            total=self._options.steps,
        )
        if last:
            return logits, value, torch.zeros_like(pixels), fooled
        gradient = gradient_of(value.sum(), pixels)
        self._record.backwards += len(index)
        self._record.zero_gradients[index] += ~gradient.flatten(1).any(dim=1)
        return logits.detach(), value.detach(), gradient, fooled

    def _step(self, state: _State, *, first: bool) -> Tensor:
        ahead = self._inside(state, state.current + state.alpha * self._ball.direction(state.gradient))
        if first:
            return ahead
        forward, behind = ahead - state.current, state.current - state.previous
        return self._inside(state, state.current + (1 - MOMENTUM) * forward + MOMENTUM * behind)

    def _inside(self, state: _State, pixels: Tensor) -> Tensor:
        delta = self._ball.project(pixels - state.originals, self._options.eps)
        return (state.originals + delta).clamp(0, 1)

    def _remember_best(self, state: _State, logits: Tensor) -> None:
        better = state.value > state.best_value
        wide = better.view(-1, 1, 1, 1)
        state.best = torch.where(wide, state.current, state.best)
        state.best_gradient = torch.where(wide, state.gradient, state.best_gradient)
        state.best_logits = torch.where(better.view(-1, 1), logits, state.best_logits)
        state.best_value = torch.where(better, state.value, state.best_value)

    def _halve(self, state: _State, period: int) -> None:
        """Look at the step sizes after `period` steps since the last look."""
        swings = state.rises <= RHO * period
        stuck = ~state.halved & (state.value_at_checkpoint >= state.best_value)
        state.halved = swings | stuck
        wide = state.halved.view(-1, 1, 1, 1)
        state.alpha = torch.where(wide, state.alpha / 2, state.alpha)
        # `value` stays that of the last iterate: the next rise is counted from there.
        state.current = torch.where(wide, state.best, state.current)
        state.gradient = torch.where(wide, state.best_gradient, state.gradient)
        state.rises = torch.zeros_like(state.rises)
        state.value_at_checkpoint = state.best_value
