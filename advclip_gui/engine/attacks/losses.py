"""What attacks ascend: cross-entropy, the difference of logits ratio, and the margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional

LossName = Literal["ce", "dlr", "dlr_targeted"]
LEAST_CLASSES: Final[dict[LossName, int]] = {"ce": 2, "dlr": 3, "dlr_targeted": 4}
"""How many logits each loss needs: the ratios divide by differences of the third and fourth largest."""

_TINY: Final = 1e-12
"""Keeps a ratio finite where the largest logits are equal."""


def cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Per sample, in nats: (N, C), (N,) -> (N,)."""
    return functional.cross_entropy(_precise(logits), classes, reduction="none")


def margin(logits: Tensor, classes: Tensor) -> Tensor:
    """Largest other logit minus that of `classes`, (N,): above 0 where another class is predicted."""
    logits = _precise(logits)
    own = _at(logits, classes)
    others = logits.scatter(1, classes.unsqueeze(1), -torch.inf)
    return others.max(dim=1).values - own


def dlr(logits: Tensor, classes: Tensor) -> Tensor:
    """Difference of logits ratio, (N,) (Croce & Hein 2020, eq. 6): `margin` over z_1 - z_3.

    z_1 >= z_2 >= ... are the sorted logits. Neither shifting nor scaling the logits changes it, so
    no temperature hides its gradient. Needs three classes.
    """
    top = _precise(logits).topk(3, dim=1).values
    return margin(logits, classes) / (top[:, 0] - top[:, 2] + _TINY)


def dlr_targeted(logits: Tensor, classes: Tensor, targets: Tensor) -> Tensor:
    """Its targeted form, (N,) (eq. 7): z_target - z_class over z_1 - (z_3 + z_4) / 2. Needs four classes."""
    logits = _precise(logits)
    top = logits.topk(4, dim=1).values
    width = top[:, 0] - (top[:, 2] + top[:, 3]) / 2
    return (_at(logits, targets) - _at(logits, classes)) / (width + _TINY)


@dataclass(frozen=True, slots=True, eq=False)
class Aim:
    """A loss to be ascended.

    Attributes:
        loss: which one.
        labels: (N,) int64, the class to leave.
        toward: (N,) int64, the class to reach; None for any other.
    """

    loss: LossName
    labels: Tensor
    toward: Tensor | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        """Its value, (N,), in float32 at least."""
        if self.loss == "dlr_targeted":
            if self.toward is None:
                raise ValueError("the targeted ratio needs a target")
            return dlr_targeted(logits, self.labels, self.toward)
        value = cross_entropy if self.loss == "ce" else dlr
        if self.toward is None:
            return value(logits, self.labels)
        return -value(logits, self.toward)

    def at(self, index: Tensor) -> Aim:
        """The same for some of the samples."""
        return Aim(self.loss, self.labels[index], None if self.toward is None else self.toward[index])


def _precise(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _at(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes.unsqueeze(1)).squeeze(1)
