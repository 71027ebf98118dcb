"""Every attack by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from advclip_gui.engine.attacks.auto import apgd_ce, apgd_dlr, apgd_t
from advclip_gui.engine.attacks.catalog import (
    APGD_CE,
    APGD_DLR,
    APGD_T,
    FGSM,
    INFOS,
    NOISE,
    PGD,
    SQUARE,
    TARGET_CLASSES,
    UNIVERSAL,
    AttackInfo,
    AttackOptions,
    Keep,
    Norm,
    attack_info,
)
from advclip_gui.engine.attacks.fgsm import fgsm
from advclip_gui.engine.attacks.noise import noise
from advclip_gui.engine.attacks.pgd import pgd
from advclip_gui.engine.attacks.square import square
from advclip_gui.engine.attacks.universal import universal

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from advclip_gui.engine.attacks.protocol import Attack, AttackResult, Trace
    from advclip_gui.engine.control import Control

ATTACKS: Final[dict[str, AttackInfo]] = {info.name: info for info in INFOS}
_RUN: Final[dict[str, Attack]] = {
    FGSM.name: fgsm,
    PGD.name: pgd,
    NOISE.name: noise,
    UNIVERSAL.name: universal,
    APGD_CE.name: apgd_ce,
    APGD_DLR.name: apgd_dlr,
    APGD_T.name: apgd_t,
    SQUARE.name: square,
}


def run_attack(
    name: str,
    classifier: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    norm: Norm = "Linf",
    steps: int = 10,
    step_size: float | None = None,
    random_start: bool = True,
    restarts: int = 1,
    targets: Tensor | None = None,
    early_stop: bool = False,
    keep: Keep = "last",
    loss: str = "ce",
    target_classes: int = TARGET_CLASSES,
    trace: Trace | None = None,
    generator: torch.Generator | None = None,
    control: Control | None = None,
) -> AttackResult:
    """Attack a batch.

    Args:
        name: a key of `ATTACKS`.
        classifier: pixels (N, 3, H, W) in [0, 1] -> logits (N, C). Attacked in evaluation mode and
            without gradients for its parameters; left as it was found.
        images: (N, 3, H, W) float in [0, 1], on the classifier's device.
        labels: (N,) int64, the class to leave.
        eps: radius of the ball, pixel units.
        norm: of that ball.
        steps: gradient steps; queries of an attack that takes no gradient.
        step_size: length of one step, pixel units; None is 2.5 eps / steps.
        random_start: begin at a random point of the ball.
        restarts: runs from different random points.
        targets: (N,) int64, the class to reach instead.
        early_stop: attack a sample no further once it is fooled; the batch is compacted.
        keep: "last" returns the last iterate; "fooling" an earlier one where only that fools.
        loss: "ce", cross-entropy.
        target_classes: how many other classes APGD-T tries, the likeliest first.
        trace: called with every iterate as it happens.
        generator: source of all randomness; None is a private one with seed 0.
        control: asked for cancellation in every step.

    Raises:
        SettingsError: no attack of that name, or a value out of its range.
        ValueError: shapes or types do not fit, or pixels lie outside [0, 1].
        Cancelled: the control was cancelled.
    """
    options = AttackOptions(
        eps=eps,
        norm=norm,
        steps=steps,
        step_size=step_size,
        random_start=random_start,
        restarts=restarts,
        early_stop=early_stop,
        keep=keep,
        loss=loss,
        target_classes=target_classes,
    )
    return run_prepared(
        name,
        classifier,
        images,
        labels,
        options,
        targets=targets,
        trace=trace,
        generator=generator,
        control=control,
    )


def run_prepared(
    name: str,
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
    """`run_attack` with its options already gathered and checked."""
    attack_info(name)
    return _RUN[name](
        classifier,
        images,
        labels,
        options,
        targets=targets,
        trace=trace,
        generator=generator,
        control=control,
    )
