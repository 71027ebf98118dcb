"""Checks of an evaluation from outside its own attacks: without a gradient, and without a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from advclip_gui.engine.attacks.catalog import AttackOptions, Norm
from advclip_gui.engine.attacks.pgd import pgd
from advclip_gui.engine.attacks.protocol import private_generator
from advclip_gui.engine.attacks.square import square
from advclip_gui.engine.evaluation_result import Finding
from advclip_gui.engine.probe_types import length_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from advclip_gui.engine.attacks.tiers import Plan
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.evaluation_result import EpsilonResult

_HUGE_STEPS: Final = 20
_HUGE_SHARE: Final = 0.05
_BLACK_BOX_POINTS: Final = 0.002
_BLACK_BOX_QUERIES: Final = 100
_BLACK_BOX_IMAGES: Final = 16
HUGE_EPSILON: Final = 0.5
"""In L-infinity: every image can become the same grey. In L2 the length of that change."""


def black_box_findings(chosen: Plan, results: Sequence[EpsilonResult], n: int, norm: Norm) -> list[Finding]:
    """Warn where, in the evaluation itself, a black-box attack took what the gradient attacks left."""
    findings = []
    for result in results:
        left, white_box = None, []
        for planned in chosen.attacks:
            after = round(result.waterfall[planned.title] * n)
            if planned.info.gradient:
                white_box.append(planned.title)
            elif left is not None and _enough_for_black_box(left - after, n):
                findings.append(
                    _finding(result.epsilon, norm, left - after, n, planned.title, " and ".join(white_box))
                )
            left = after if white_box else None
    return findings[:1]


def black_box_finding(
    classifier: nn.Module,
    pixels: Tensor,
    labels: Tensor,
    *,
    holding: Tensor,
    eps: float,
    norm: Norm,
    seed: int,
    control: Control,
) -> Finding | None:
    """Try a short black-box attack on some of the images that are `holding` (M,) under FGSM and PGD."""
    left = holding.nonzero().squeeze(1)[:_BLACK_BOX_IMAGES]
    if not len(left):
        return None
    options = AttackOptions(eps=eps, norm=norm, steps=_BLACK_BOX_QUERIES, early_stop=True)
    generator = private_generator(seed, "reliability", "square")
    result = square(classifier, pixels[left], labels[left], options, generator=generator, control=control)
    count = int(result.success.sum())
    if not _enough_for_black_box(count, len(pixels)):
        return None
    title = f"Square-{options.steps}"
    return _finding(options.eps, options.norm, count, len(pixels), title, "FGSM and PGD")


def huge_epsilon_finding(
    classifier: nn.Module, pixels: Tensor, labels: Tensor, norm: Norm, steps: int, control: Control
) -> Finding | None:
    """Attack with an epsilon that is no limit: nothing may hold."""
    eps = HUGE_EPSILON * (1.0 if norm == "Linf" else pixels[0].numel() ** 0.5)
    options = AttackOptions(
        eps=eps, norm=norm, steps=max(steps, _HUGE_STEPS), random_start=False, early_stop=True
    )
    holding = int((~pgd(classifier, pixels, labels, options, control=control).success).sum())
    if holding < max(2, _HUGE_SHARE * len(pixels)):
        return None
    return Finding(
        kind="survives_huge_epsilon",
        sentence=f"Even at {length_text(eps, norm)}, where every image can become the same grey, PGD leaves "
        f"{holding} of the {len(pixels)} checked images right: it must reach 0, so the attack does not do "
        "its work.",
    )


def _enough_for_black_box(count: int, n: int) -> bool:
    """More than 0.2 points, and not just one or two images."""
    return count >= 3 and count / n > _BLACK_BOX_POINTS


def _finding(epsilon: float, norm: Norm, count: int, n: int, black_box: str, white_box: str) -> Finding:
    return Finding(
        kind="black_box_wins",
        sentence=f"At {length_text(epsilon, norm)} {black_box}, which needs no gradient, fools {count} of "
        f"{n} images ({count / n:.1%}) that {white_box} left: the gradients mislead, and the robust accuracy "
        "is not to be trusted.",
    )
