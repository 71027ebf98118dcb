"""The loss of one LoRA update in the sound protocol: adversarial, clean and TRADES terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from advclip_gui.engine.classifier import ClipClassifier
    from advclip_gui.settings import TrainingSettings


def divergence(adversarial: Tensor, clean: Tensor) -> Tensor:
    """KL(clean || adversarial), batch mean, of logits (N, C) (TRADES, arXiv 1901.08573)."""
    return F.kl_div(
        adversarial.log_softmax(-1), clean.log_softmax(-1), log_target=True, reduction="batchmean"
    )


def inner_gain(before: Tensor, after: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """What the inner maximisation did, as detached scalars.

    Args:
        before: logits (N, C) of x.
        after: logits (N, C) of x + delta.
        labels: (N,) int64.

    Returns:
        "clean" and "adversarial": mean cross-entropy in nats; "flipped": share of all samples that
        were right and are wrong.
    """
    right = before.argmax(-1) == labels
    return {
        "clean": F.cross_entropy(before, labels),
        "adversarial": F.cross_entropy(after, labels),
        "flipped": (right & (after.argmax(-1) != labels)).float().mean(),
    }


@dataclass(frozen=True, slots=True)
class Objective:
    """(1 - w) CE(x + delta) + w CE(x) + beta KL(x || x + delta).

    Attributes:
        clean_share: w in [0, 1].
        trades_beta: beta >= 0.
    """

    clean_share: float
    trades_beta: float

    @classmethod
    def of(cls, training: TrainingSettings) -> Objective:
        """Take the weights from settings."""
        return cls(training.clean_share, training.trades_beta)

    @property
    def views(self) -> int:
        """How many of x and x + delta a forward pass takes; terms of weight 0 cost nothing."""
        return self._needs_clean + self._needs_adversarial

    @property
    def _needs_clean(self) -> bool:
        return self.clean_share > 0 or self.trades_beta > 0

    @property
    def _needs_adversarial(self) -> bool:
        return self.clean_share < 1 or self.trades_beta > 0

    def loss(
        self,
        classifier: ClipClassifier,
        text_features: Tensor,
        clean: Tensor,
        adversarial: Tensor,
        labels: Tensor,
    ) -> Tensor:
        """The batch's mean, a scalar with a graph.

        Args:
            classifier: in training mode.
            text_features: (C, D), with a graph where the text tower is adapted.
            clean: x, (N, 3, S, S) in [0, 1].
            adversarial: x + delta.
            labels: (N,) int64.
        """
        wanted = [
            *([clean] if self._needs_clean else []),
            *([adversarial] if self._needs_adversarial else []),
        ]
        logits = torch.split(classifier.logits(torch.cat(wanted), text_features), len(labels))
        before, after = logits[0], logits[-1]
        loss = torch.zeros((), device=clean.device)
        if self.clean_share > 0:
            loss = loss + self.clean_share * F.cross_entropy(before, labels)
        if self.clean_share < 1:
            loss = loss + (1 - self.clean_share) * F.cross_entropy(after, labels)
        if self.trades_beta > 0:
            loss = loss + self.trades_beta * divergence(after, before)
        return loss
