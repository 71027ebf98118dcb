"""Which images a step trains on, and at which learning rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from advclip_gui.engine.randomness import generator_at

if TYPE_CHECKING:
    from advclip_gui.settings import TrainingSettings


def learning_rate(training: TrainingSettings, step: int, total: int) -> float:
    """Linear warm-up over its share of all steps, then a cosine down to the final rate.

    Args:
        training: peak, final rate and warm-up share.
        step: 0-based.
        total: steps of the whole run.
    """
    warm = round(training.warmup * total)
    if step < warm:
        return training.learning_rate * (step + 1) / warm
    share = (step - warm) / max(1, total - warm)
    low, high = training.final_learning_rate, training.learning_rate
    return low + 0.5 * (high - low) * (1 + math.cos(math.pi * share))


class Batches:
    """Endless shuffled batches; batch `step` depends on the seed and the step alone.

    The images are visited in one shuffled order after another. A batch larger than the data takes
    all of it.
    """

    def __init__(self, count: int, batch_size: int, seed: int, *, whole_epochs: bool = False) -> None:
        """Prepare for `count` images.

        Args:
            count: images there are.
            batch_size: images in a batch.
            seed: of the order.
            whole_epochs: let no batch reach into the next order; an order's last batch may be short.
        """
        self.count = count
        self.batch_size = min(batch_size, count)
        self.seed = seed
        self.whole_epochs = whole_epochs
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def at(self, step: int) -> Tensor:
        """Indices (batch_size,) of a 0-based step; fewer at the end of a whole epoch."""
        if self.whole_epochs:
            epoch, batch = divmod(step, self._batches_per_epoch)
            return self._shuffled(epoch)[batch * self.batch_size : (batch + 1) * self.batch_size]
        first = step * self.batch_size
        parts, taken = [], 0
        while taken < self.batch_size:
            epoch, offset = divmod(first + taken, self.count)
            part = self._shuffled(epoch)[offset : offset + self.batch_size - taken]
            parts.append(part)
            taken += len(part)
        return torch.cat(parts)

    def begins_epoch(self, step: int) -> bool:
        """Whether a new order begins with this step (of whole epochs)."""
        return step % self._batches_per_epoch == 0

    @property
    def _batches_per_epoch(self) -> int:
        return math.ceil(self.count / self.batch_size)

    def _shuffled(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            self._order = torch.randperm(self.count, generator=generator_at(self.seed, "batches", epoch))
            self._epoch = epoch
        return self._order


def warmed_up(share: float, step: int, total: int) -> float:
    """Factor in (0, 1] of a linear warm-up over a share of all steps; 1 from its end on.

    Args:
        share: of all steps, [0, 1].
        step: 0-based.
        total: steps of the whole run.
    """
    return min(1.0, (step + 1) / max(1.0, share * total))
