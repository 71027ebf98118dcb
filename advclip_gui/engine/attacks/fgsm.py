"""Fast gradient sign method (Goodfellow et al. 2015), and its L2 form."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from advclip_gui.engine.attacks.pgd import pgd

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from advclip_gui.engine.attacks.catalog import AttackOptions
    from advclip_gui.engine.attacks.protocol import AttackResult, Trace
    from advclip_gui.engine.control import Control


def fgsm(
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
    """One step of length eps from the image itself: x + eps * sign(grad), clamped; see `Attack`.

    `steps`, `step_size`, `random_start` and `restarts` of the options are not listened to. `scale` is
    that of `pgd`.
    """
    single = replace(options, steps=1, step_size=options.eps, random_start=False, restarts=1)
    return pgd(
        classifier,
        images,
        labels,
        single,
        targets=targets,
        trace=trace,
        generator=generator,
        control=control,
        scale=scale,
    )
