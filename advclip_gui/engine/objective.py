"""The loss of one LoRA update: adversarial, clean and TRADES terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from advclip_gui.engine.classifier import ClipClassifier
    from advclip_gui.settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class Terms:
    """The loss (scalar, with graph) and its parts (detached; NaN where not computed)."""

    loss: Tensor
    adversarial: Tensor
    clean: Tensor


def divergence(adversarial: Tensor, clean: Tensor) -> Tensor:
    """KL(clean || adversarial), batch mean, of logits (N, C) (TRADES, arXiv 1901.08573)."""
    return F.kl_div(
        adversarial.log_softmax(-1), clean.log_softmax(-1), log_target=True, reduction="batchmean"
    )


def update_terms(
    classifier: ClipClassifier,
    text_features: Tensor,
    clean: Tensor,
    adversarial: Tensor,
    labels: Tensor,
    training: TrainingSettings,
) -> Terms:
    """(1 - w) CE(x + delta) + w CE(x) + beta KL; terms of weight 0 cost nothing.

    Args:
        classifier: in training mode.
        text_features: (C, D), with a graph where the text tower is adapted.
        clean: x, (N, 3, S, S) in [0, 1].
        adversarial: x + delta, the same tensor as `clean` where there is no adversary.
        labels: (N,) int64.
        training: weights w = clean_share and beta = trades_beta.
    """
    share, beta = training.clean_share, training.trades_beta
    unknown = torch.full((), torch.nan, device=clean.device)
    if adversarial is clean:
        loss = F.cross_entropy(classifier.logits(clean, text_features), labels)
        return Terms(loss, unknown, loss.detach())
    needs_clean, needs_adversarial = share > 0 or beta > 0, share < 1 or beta > 0
    wanted = [*([clean] if needs_clean else []), *([adversarial] if needs_adversarial else [])]
    logits = list(torch.split(classifier.logits(torch.cat(wanted), text_features), len(labels)))
    clean_logits = logits.pop(0) if needs_clean else None
    adversarial_logits = logits.pop(0) if needs_adversarial else None
    loss = torch.zeros((), device=clean.device)
    clean_loss = adversarial_loss = unknown
    if clean_logits is not None:
        term = F.cross_entropy(clean_logits, labels)
        loss, clean_loss = loss + share * term, term.detach()
    if adversarial_logits is not None:
        term = F.cross_entropy(adversarial_logits, labels)
        loss, adversarial_loss = loss + (1 - share) * term, term.detach()
    if beta > 0 and clean_logits is not None and adversarial_logits is not None:
        loss = loss + beta * divergence(adversarial_logits, clean_logits)
    return Terms(loss, adversarial_loss, clean_loss)
