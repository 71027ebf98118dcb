"""Uniform random noise in the epsilon ball: the control that any real attack must beat."""

from __future__ import annotations

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
    private_generator,
)
from advclip_gui.engine.control import Control

if TYPE_CHECKING:
    from torch import Tensor, nn

    from advclip_gui.engine.attacks.catalog import AttackOptions


def noise(
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
    """Draw `restarts` times where nothing fooled yet; no gradient is taken; see `Attack`.

    `steps`, `step_size`, `random_start` and `early_stop` of the options are not listened to.
    """
    check_batch(images, labels, targets)
    control, generator = control or Control(), generator or private_generator(0)
    images, goal, kind = images.detach(), Goal(labels, targets), ball(options.norm)
    count, device = len(images), images.device
    adversarial = images.clone()
    logits: Tensor | None = None
    loss = torch.full((count,), torch.nan, device=device)
    success = torch.zeros(count, dtype=torch.bool, device=device)
    forwards = 0

    with attack_mode(classifier), torch.no_grad():
        if trace is not None and count:
            clean = classifier(images)
            trace(TraceStep(0, 0, 1, torch.arange(count, device=device), images, clean, goal.losses(clean)))
            forwards += count
        for restart in range(options.restarts):
            control.check()
            # Drawn for the whole batch: what a sample gets does not depend on which others still hold.
            draw = kind.random(images, generator)
            index = (~success).nonzero().squeeze(1)
            if not len(index):
                break
            noisy = (images[index] + options.eps * draw[index]).clamp(0, 1)
            answer = classifier(noisy)
            forwards += len(index)
            here = goal.at(index)
            losses, fooled = here.losses(answer), here.reached(answer)
            if trace is not None:
                trace(TraceStep(restart, 1, 1, index, noisy, answer, losses))
            if logits is None:
                logits = torch.zeros((count, answer.shape[1]), dtype=answer.dtype, device=device)
            better = fooled | ((losses - loss[index]) * goal.direction > 0) | (restart == 0)
            chosen = index[better]
            adversarial[chosen], logits[chosen] = noisy[better], answer[better]
            loss[chosen], success[chosen] = losses[better], fooled[better]

    return AttackResult(
        adversarial=adversarial,
        logits=torch.zeros((count, 0), device=device) if logits is None else logits,
        loss=loss,
        success=success,
        ever=success.clone(),
        first_step=torch.where(success, 1, -1),
        zero_gradients=torch.zeros(count, dtype=torch.int64, device=device),
        forwards=forwards,
        backwards=0,
    )
