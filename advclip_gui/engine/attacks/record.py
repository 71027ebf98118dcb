"""What an attack with a memory has found so far, sample by sample; its result comes from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from advclip_gui.engine.attacks.protocol import AttackResult, TraceStep

if TYPE_CHECKING:
    from torch import Tensor

    from advclip_gui.engine.attacks.protocol import Goal, Trace


class Record:
    """The state of an attack's answer, for a whole batch.

    A sample's answer is an image that fools as soon as there is one; until then it is the best
    one offered, by cross-entropy.

    Attributes:
        success: (N,) bool, the kept image fools.
        forwards: images sent through the classifier; counted by the attack.
        backwards: images whose gradient was taken; counted by the attack.
        zero_gradients: (N,) int64, steps at which the gradient was zero everywhere.
        notes: what a reader of the result must know.
    """

    def __init__(self, images: Tensor, goal: Goal, trace: Trace | None) -> None:
        """Begin with the images (N, 3, H, W) themselves."""
        count, device = len(images), images.device
        self.success = torch.zeros(count, dtype=torch.bool, device=device)
        self.zero_gradients = torch.zeros(count, dtype=torch.int64, device=device)
        self.forwards = self.backwards = 0
        self.notes: list[str] = []
        self._goal = goal
        self._trace = trace
        self._adversarial = images.clone()
        self._logits: Tensor | None = None
        self._loss = torch.full((count,), torch.nan, device=device)
        self._first_step = torch.full((count,), -1, dtype=torch.int64, device=device)

    @property
    def open(self) -> Tensor:
        """Which samples nothing has fooled yet, (M,) int64."""
        return (~self.success).nonzero().squeeze(1)

    def look(
        self, index: Tensor, images: Tensor, logits: Tensor, *, restart: int, step: int, total: int
    ) -> Tensor:
        """Take note of the iterates of samples `index`; keep those that fool. Returns which do, (M,) bool."""
        goal = self._goal.at(index)
        fooled = goal.reached(logits)
        losses = goal.losses(logits)
        if self._trace is not None:
            self._trace(TraceStep(restart, step, total, index, images, logits, losses))
        if bool(fooled.any()):
            first = self._first_step[index]
            self._first_step[index] = torch.where(fooled & (first < 0), step, first)
            self._write(index, images, logits, losses, fooled, fooled)
        return fooled

    def offer(self, index: Tensor, images: Tensor, logits: Tensor) -> None:
        """Keep what fools, and where nothing does so far, what has the better cross-entropy."""
        goal = self._goal.at(index)
        fooled, losses = goal.reached(logits), goal.losses(logits)
        before = self._loss[index]
        better = before.isnan() | ((losses - before) * goal.direction > 0)
        self._write(index, images, logits, losses, fooled, fooled | (~self.success[index] & better))

    def result(self) -> AttackResult:
        """The answer."""
        count, device = len(self.success), self.success.device
        return AttackResult(
            adversarial=self._adversarial,
            logits=torch.zeros((count, 0), device=device) if self._logits is None else self._logits,
            loss=self._loss,
            success=self.success,
            ever=self.success.clone(),
            first_step=self._first_step,
            zero_gradients=self.zero_gradients,
            forwards=self.forwards,
            backwards=self.backwards,
            notes=tuple(self.notes),
        )

    def _write(
        self, index: Tensor, images: Tensor, logits: Tensor, losses: Tensor, fooled: Tensor, which: Tensor
    ) -> None:
        if self._logits is None:
            self._logits = logits.new_zeros((len(self.success), logits.shape[1]))
        chosen = index[which]
        self._adversarial[chosen] = images[which]
        self._logits[chosen] = logits[which]
        self._loss[chosen] = losses[which]
        self.success[chosen] = fooled[which]
