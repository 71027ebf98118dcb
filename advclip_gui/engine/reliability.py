"""Reasons to doubt a robust accuracy: signs that the attack, not the defence, was at its limit.

After Carlini et al. 2019, "On Evaluating Adversarial Robustness", and Croce et al. 2022 (the flags
of AutoAttack). The checks run on a few images, on each with every attack at every epsilon: the
evaluation itself passes over what is fooled already, which hides some of the signs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from advclip_gui.engine.attacks.catalog import AttackOptions, Norm
from advclip_gui.engine.attacks.fgsm import fgsm
from advclip_gui.engine.attacks.pgd import pgd
from advclip_gui.engine.attacks.protocol import AttackResult, Goal, private_generator
from advclip_gui.engine.evaluation_result import Finding
from advclip_gui.engine.probe_types import length_text
from advclip_gui.engine.reliability_limits import black_box_finding, huge_epsilon_finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.control import Control

CHECKED_IMAGES: Final = 48
"""At most: enough to see a sign that concerns one image in ten."""
_CHECKED_SHARE: Final = 0.05
_CHECKED_AT_LEAST: Final = 24
"""Few enough to cost little beside the evaluation itself."""
CHECKED_EPSILONS: Final = 3
_RANDOM_TOLERANCE: Final = 1e-3
"""Relative to the spread of the logits; kernels on a GPU may differ by 1e-6."""
_ZERO_SHARE: Final = 0.05
_FLAT_SHARE: Final = 0.1
_RESCALED_SHARE: Final = 0.1
_RESCALED_SPREAD: Final = 5.0
"""Standard deviation of rescaled logits: neither saturates float32 nor flattens ten classes."""


def not_finite_finding(count: int, n: int) -> Finding | None:
    """Warn where `count` of `n` clean images give outputs that are not all finite."""
    if not count:
        return None
    return Finding(
        kind="not_finite",
        sentence=f"For {count} of {n} images the outputs of the classifier are not all finite numbers; "
        "what is no number counts as wrong.",
    )


def output_findings(classifier: nn.Module, pixels: Tensor, control: Control) -> list[Finding]:
    """Look at the outputs alone: random, or probabilities instead of logits."""
    if not len(pixels):
        return []
    with torch.no_grad():
        control.check()
        first = classifier(pixels).float()
        control.check()
        second = classifier(pixels).float()
    if not (first.isfinite().all() and second.isfinite().all()):
        return []
    findings = []
    spread = float(first.std(correction=0))
    difference = float((first - second).abs().max())
    if difference > _RANDOM_TOLERANCE * max(spread, 1e-12):
        findings.append(
            Finding(
                kind="random_output",
                sentence="The classifier answers differently when it is asked twice: with random outputs, "
                "one run of an attack makes a model look more robust than it is.",
            )
        )
    sums = first.sum(dim=1)
    if float(first.min()) >= 0 and float((sums - 1).abs().max()) < 1e-3:
        findings.append(
            Finding(
                kind="softmax_output",
                sentence="The outputs are probabilities, not logits: a second softmax flattens the attack's "
                "loss, and the robust accuracy comes out too high.",
            )
        )
    return findings


def attack_findings(
    classifier: nn.Module,
    pixels: Tensor,
    labels: Tensor,
    *,
    epsilons: Sequence[float],
    norm: Norm,
    steps: int,
    seed: int,
    control: Control,
) -> list[Finding]:
    """Attack a few images that are right without an attack, and look at how it went.

    Args:
        classifier: in `attack_mode`.
        pixels: (M, 3, H, W) in [0, 1].
        labels: (M,) what the classifier rightly says of them.
        epsilons: ascending; those of 0 are passed over.
        norm: of the epsilons.
        steps: of PGD.
        seed: of its random starts.
        control: asked for cancellation in every attack step.
    """
    chosen = _spread([epsilon for epsilon in epsilons if epsilon > 0])
    if not len(pixels) or not chosen:
        return []
    goal = Goal(labels, None)
    with torch.no_grad():
        clean_loss = goal.losses(classifier(pixels))
    single: list[AttackResult] = []
    iterated: list[AttackResult] = []
    for epsilon in chosen:
        options = AttackOptions(eps=epsilon, norm=norm, steps=steps, early_stop=True)
        single.append(fgsm(classifier, pixels, labels, options, control=control))
        generator = private_generator(seed, "reliability")
        iterated.append(pgd(classifier, pixels, labels, options, generator=generator, control=control))
    # A difference shows best where about half of the images are fooled.
    best = min(range(len(chosen)), key=lambda k: abs(float(iterated[k].ever.float().mean()) - 0.5))
    rescaled = pgd(
        _Rescaled(classifier),
        pixels,
        labels,
        AttackOptions(eps=chosen[best], norm=norm, steps=steps, early_stop=True),
        generator=private_generator(seed, "reliability"),
        control=control,
    )
    findings = [
        black_box_finding(
            classifier,
            pixels,
            labels,
            holding=~(single[best].ever | iterated[best].ever),
            eps=chosen[best],
            norm=norm,
            seed=seed,
            control=control,
        ),
        huge_epsilon_finding(classifier, pixels, labels, norm, steps, control),
        _zero_gradients(single[0]),
        _single_step(chosen, single, iterated, steps, norm),
        _rising(chosen, iterated, norm),
        _flat_loss(clean_loss, iterated[-1]),
        _temperature(chosen[best], iterated[best], rescaled, norm),
    ]
    return [finding for finding in findings if finding is not None]


def chance_finding(clean_low: float, classes: int, n: int) -> Finding | None:
    """Warn where clean accuracy cannot be told from guessing.

    Args:
        clean_low: lower end of the interval of the clean accuracy.
        classes: how many there are.
        n: images.
    """
    if clean_low > 1 / classes:
        return None
    return Finding(
        kind="at_chance",
        sentence=f"On these {n} images the clean accuracy cannot be told from guessing among {classes} "
        "classes: the robust accuracy says nothing about robustness.",
    )


def checked_places(right: Sequence[int]) -> list[int]:
    """Some of these image numbers, `CHECKED_IMAGES` at most, evenly spread."""
    count = min(CHECKED_IMAGES, max(_CHECKED_AT_LEAST, round(_CHECKED_SHARE * len(right))), len(right))
    return [right[k * len(right) // count] for k in range(count)]


def _spread(epsilons: Sequence[float]) -> list[float]:
    """The smallest, the largest and what lies between, `CHECKED_EPSILONS` at most."""
    if len(epsilons) <= CHECKED_EPSILONS:
        return list(epsilons)
    last = len(epsilons) - 1
    return [epsilons[round(k * last / (CHECKED_EPSILONS - 1))] for k in range(CHECKED_EPSILONS)]


def _zero_gradients(result: AttackResult) -> Finding | None:
    share = float((result.zero_gradients > 0).float().mean())
    if share < _ZERO_SHARE:
        return None
    return Finding(
        kind="zero_gradients",
        sentence=f"For {share:.0%} of the checked images the gradient is exactly zero: attacks that follow "
        "the gradient cannot work there, and the robust accuracy is not to be trusted.",
    )


def _single_step(
    epsilons: Sequence[float],
    single: Sequence[AttackResult],
    iterated: Sequence[AttackResult],
    steps: int,
    norm: Norm,
) -> Finding | None:
    for epsilon, one, many in zip(epsilons, single, iterated, strict=True):
        only_one, only_many = _only(one.ever, many.ever)
        if _clearly_more(only_one, only_many):
            return Finding(
                kind="single_step_wins",
                sentence=f"At {length_text(epsilon, norm)} a single step (FGSM) fools {only_one} of the "
                f"{len(one.ever)} checked images that PGD-{steps} does not, and PGD only {only_many} that "
                "FGSM does not: something hinders the stronger attack.",
            )
    return None


def _rising(epsilons: Sequence[float], iterated: Sequence[AttackResult], norm: Norm) -> Finding | None:
    for place in range(1, len(epsilons)):
        small, large = iterated[place - 1].ever, iterated[place].ever
        only_small, only_large = _only(small, large)
        if _clearly_more(only_small, only_large):
            return Finding(
                kind="accuracy_rises",
                sentence=f"Under PGD the accuracy on the checked images rises from "
                f"{1 - float(small.float().mean()):.0%} at {length_text(epsilons[place - 1], norm)} to "
                f"{1 - float(large.float().mean()):.0%} at {length_text(epsilons[place], norm)}: "
                "the attack does not do its work.",
            )
    return None


def _flat_loss(clean_loss: Tensor, result: AttackResult) -> Finding | None:
    share = float((~result.success & ~(result.loss > clean_loss)).float().mean())
    if share < _FLAT_SHARE:
        return None
    return Finding(
        kind="loss_does_not_rise",
        sentence=f"On {share:.0%} of the checked images PGD does not raise the loss above that of the clean "
        "image: the attack does not do its work.",
    )


def _temperature(epsilon: float, plain: AttackResult, rescaled: AttackResult, norm: Norm) -> Finding | None:
    only_plain, only_rescaled = _only(plain.ever, rescaled.ever)
    more, n = only_rescaled - only_plain, len(plain.ever)
    if not _clearly_more(only_rescaled, only_plain) or more < _RESCALED_SHARE * n:
        return None
    return Finding(
        kind="temperature",
        sentence=f"At {length_text(epsilon, norm)} PGD fools {more} more of the {n} checked images when the "
        "logits are brought to an ordinary scale: their temperature weakens the attack, and the robust "
        "accuracy comes out too high.",
    )


class _Rescaled(nn.Module):
    """The same predictions from logits of an ordinary spread: temperature does not matter to it."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> Tensor:
        logits = self.classifier(pixels).float()
        centred: Tensor = logits - logits.mean(dim=1, keepdim=True)
        spread = centred.detach().std(dim=1, keepdim=True, correction=0)
        return _RESCALED_SPREAD * centred / torch.where(spread > 0, spread, 1)


def _only(first: Tensor, second: Tensor) -> tuple[int, int]:
    """How many are true only in the one, and only in the other."""
    return int((first & ~second).sum()), int((second & ~first).sum())


def _clearly_more(first: int, second: int) -> bool:
    """McNemar's test: more than two standard deviations, and not just one or two images."""
    return first - second >= 3 and first - second > 2 * math.sqrt(first + second)
