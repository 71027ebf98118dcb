"""Worst-case robust accuracy over attacks and epsilons, audited and with all it needs to be trusted."""

from __future__ import annotations

import hashlib
import platform
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from advclip_gui import __version__
from advclip_gui.engine.attacks.catalog import TARGET_CLASSES, Norm
from advclip_gui.engine.attacks.protocol import attack_mode
from advclip_gui.engine.attacks.tiers import TIERS as TIER_PLANS
from advclip_gui.engine.attacks.tiers import Plan, plan
from advclip_gui.engine.classifier import to_pixels
from advclip_gui.engine.errors import DataError, DeviceError, SettingsError
from advclip_gui.engine.evaluation_journal import Journal
from advclip_gui.engine.evaluation_result import ClassResult, EpsilonResult, Evaluation, Finding
from advclip_gui.engine.pixels import device_of
from advclip_gui.engine.probe_types import length_text
from advclip_gui.engine.quick_accuracy import QuickAccuracy, quick_accuracy
from advclip_gui.engine.reliability import (
    attack_findings,
    chance_finding,
    checked_places,
    not_finite_finding,
    output_findings,
)
from advclip_gui.engine.reliability_limits import black_box_findings
from advclip_gui.engine.statistics import wilson
from advclip_gui.engine.worst_case import WorstCase

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

    from advclip_gui.engine.attacks.catalog import AttackOptions
    from advclip_gui.engine.control import Control

__all__ = ["TIERS", "Evaluation", "QuickAccuracy", "evaluate", "quick_accuracy"]

TIERS: Final[dict[str, tuple[str, ...]]] = {
    tier.name: tuple(planned.name for planned in tier.attacks) for tier in TIER_PLANS.values()
}
"""What is run under each name; budgets are in `attacks.tiers`."""
_CHECK_STEPS: Final = 10


def evaluate(
    classifier: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    epsilons: Sequence[float],
    attack: str = "quick",
    norm: Norm = "Linf",
    steps: int | None = None,
    restarts: int | None = None,
    queries: int | None = None,
    target_classes: int = TARGET_CLASSES,
    batch_size: int | None = None,
    seed: int = 0,
    control: Control,
    model_name: str = "",
    provenance: Mapping[str, Any] | None = None,
    resume_from: Path | None = None,
) -> Evaluation:
    """Evaluate a classifier on clean and attacked images.

    What is wrong without an attack counts as not robust and is not attacked; what one attack
    fooled no other one attacks again; what is fooled at a small epsilon is so at a larger one. A
    fooled image whose adversarial example does not survive rounding to 8 bits is attacked further,
    for the figure after 8 bits.

    Args:
        classifier: pixels (N, 3, H, W) in [0, 1] -> logits (N, C), with or without `class_names`.
        images: (N, H, W, 3), prepared as the model sees them.
        labels: (N,) in [0, C).
        epsilons: in pixel units, in any order.
        attack: a tier, or the name of one attack.
        norm: "Linf" or "L2".
        steps: of the gradient attacks; None is what the tier, or the attack, is known with.
        restarts: of the attacks with a random start; None likewise.
        queries: of the attacks that take no gradient; None likewise.
        target_classes: how many other classes APGD-T tries.
        batch_size: images at a time; None suits the image size and device.
        seed: of all random starts.
        control: receives progress, and is asked for cancellation in every attack step.
        model_name: goes into the result.
        provenance: more to go into the result's provenance, e.g. hashes of backbone and split.
        resume_from: file that keeps what each batch gave; a later call with the same arguments goes
            on from there, and one with others begins it anew. None keeps nothing.

    Raises:
        DataError: there are no images.
        SettingsError: an epsilon or another value is out of range, or labels and classes do not fit.
        DeviceError: the device has too little memory for this batch size.
        Cancelled: the control was cancelled.
    """
    began = time.perf_counter()
    _check_data(images, labels)
    device = device_of(classifier)
    chosen = plan(attack, steps=steps, restarts=restarts, queries=queries, target_classes=target_classes)
    levels = _levels(epsilons)
    prepared = {
        level: tuple(planned.options(level, norm, target_classes) for planned in chosen.attacks)
        for level in levels
    }
    size = _batch_size(batch_size, images, device)
    tally = _Progress(control, len(images), size, len(levels), chosen, target_classes)
    try:
        with attack_mode(classifier):
            worst = WorstCase(
                classifier,
                images,
                labels,
                device=device,
                batch_size=size,
                seed=seed,
                control=control.counting(tally.tick),
            )
            worst.clean_pass(tally.tell)
            if resume_from is not None:
                clean = hashlib.sha256(worst.clean_predicted.tobytes()).hexdigest()
                images_digest = _digest(images, labels)
                asked = [model_name, norm, target_classes, seed, size, str(device), worst.dtype]
                identity = {"clean": clean, "images": images_digest, "plan": chosen, "asked": asked}
                worst.journal = Journal(resume_from, {**(provenance or {}), **identity})
            class_names = _class_names(classifier, worst.classes, labels)
            results = [_one_epsilon(worst, chosen, prepared[level], tally) for level in levels]
            findings = _findings(
                worst, images, labels, levels, norm, steps or _CHECK_STEPS, seed, device, control
            )
            findings += black_box_findings(chosen, results, len(images), norm)
    except torch.OutOfMemoryError as error:
        raise DeviceError(
            f"There is not enough memory on {device} to attack {size} images at a time.",
            "Choose a smaller batch size.",
        ) from error

    n, clean_hits = len(images), int(worst.right.sum())
    return Evaluation(
        model=model_name,
        attack=attack,
        label=chosen.label,
        norm=norm,
        n=n,
        class_names=class_names,
        clean_hits=clean_hits,
        clean_accuracy=clean_hits / n,
        clean_interval=wilson(clean_hits, n),
        epsilons=tuple(results),
        per_class=tuple(_one_class(worst, results, k, name) for k, name in enumerate(class_names)),
        confusion_clean=worst.confusion(worst.clean_predicted),
        clean_predictions=tuple(worst.clean_predicted.tolist()),
        smallest_epsilon=tuple(None if np.isnan(value) else value for value in worst.smallest.tolist()),
        flipped_to=tuple(
            None if np.isnan(value) else int(predicted)
            for value, predicted in zip(worst.smallest.tolist(), worst.predicted.tolist(), strict=True)
        ),
        findings=tuple(findings),
        audit=worst.audit(),
        notes=tuple(worst.notes),
        provenance={
            "model": model_name,
            "attack": attack,
            "attacks": [planned.provenance(target_classes) for planned in chosen.attacks],
            "tier": attack if attack in TIERS else None,
            "reduced_budget": chosen.reduced,
            "upper_bound": chosen.upper_bound,
            "notes": list(worst.notes),
            "norm": norm,
            "epsilons": [{"text": f"{level * 255:.10g}/255", "value": level} for level in levels],
            "steps": max(planned.steps for planned in chosen.attacks if planned.info.gradient)
            if any(planned.info.gradient for planned in chosen.attacks)
            else None,
            "restarts": max(planned.restarts for planned in chosen.attacks),
            "seed": seed,
            "batch_size": size,
            "dtype": worst.dtype,
            "device": str(device),
            "device_name": torch.cuda.get_device_name(device)
            if device.type == "cuda"
            else platform.machine(),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "program": __version__,
            "images_sha256": _digest(images, labels),
            **(provenance or {}),
        },
        seconds=time.perf_counter() - began,
    )


def attack_names(attack: str) -> tuple[str, ...]:
    """The attacks of a tier, or the one attack of this name.

    Raises:
        SettingsError: there is neither.
    """
    return tuple(planned.name for planned in plan(attack).attacks)


class _Progress:
    """Turns work done, in forward and backward passes, into images out of all images."""

    def __init__(
        self, control: Control, images: int, batch: int, levels: int, plan: Plan, targets: int
    ) -> None:
        self._control = control
        self._images = images
        self._batch = min(batch, images)
        self._costs = {planned.name: planned.cost(targets) for planned in plan.attacks}
        self._checks = {planned.name: planned.checks(targets) for planned in plan.attacks}
        self._per_image = 1 + levels * sum(self._costs.values())
        self._done = 0.0
        self._told = 0.0
        self._attack: str | None = None
        self._detail = "clean images"
        self._ticks = self._left = 0

    def begin(self, attack: str, detail: str) -> None:
        """All images go through this attack next, those that need none at once."""
        self._attack, self._detail = attack, detail
        self._ticks, self._left = 0, self._images

    def tell(self, images: int) -> None:
        """`images` more went through the attack, or through the clean pass before the first."""
        self._ticks, self._left = 0, self._left - images
        self._done += images * self._cost
        self._report(self._done)

    def tick(self) -> None:
        """A step of the attack on the batch at hand, or on all images together."""
        if self._attack is None:
            return
        self._ticks += 1
        begun = min(self._batch * self._ticks / self._checks[self._attack], self._left)
        self._report(self._done + begun * self._cost)

    @property
    def _cost(self) -> float:
        return (1 if self._attack is None else self._costs[self._attack]) / self._per_image

    def _report(self, images: float) -> None:
        # What was estimated of a batch may turn out to be less: the bar waits then.
        if images < self._told + 1e-3 * self._images and images < self._images - 1e-6:
            return
        self._told = max(self._told, images)
        done = min(int(self._told + 1e-6), self._images)
        within = max(self._told - done, 0.0) if done < self._images else 0.0
        self._control.progress("Evaluating", done, self._images, self._detail, within)


def _one_epsilon(
    worst: WorstCase, chosen: Plan, options: Sequence[AttackOptions], tally: _Progress
) -> EpsilonResult:
    began = time.perf_counter()
    n, epsilon = len(worst.right), options[0].eps
    waterfall = {}
    for planned, option in zip(chosen.attacks, options, strict=True):
        tally.begin(planned.name, f"{planned.title} at {length_text(epsilon, option.norm)}")
        worst.attack(planned.name, option, tally.tell)
        waterfall[planned.title] = int(worst.holding.sum()) / n
    hits, hits_8bit = int(worst.holding.sum()), int(worst.holding_8bit.sum())
    return EpsilonResult(
        epsilon=epsilon,
        robust_hits=hits,
        robust_accuracy=hits / n,
        interval=wilson(hits, n),
        robust_hits_after_8bit=hits_8bit,
        robust_after_8bit=hits_8bit / n,
        interval_after_8bit=wilson(hits_8bit, n),
        waterfall=waterfall,
        confusion=worst.confusion(worst.predicted),
        seconds=time.perf_counter() - began,
    )


def _findings(
    worst: WorstCase,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    levels: Sequence[float],
    norm: Norm,
    steps: int,
    seed: int,
    device: torch.device,
    control: Control,
) -> list[Finding]:
    n = len(images)
    control.progress("Evaluating", n, n, "reliability checks")
    places = checked_places(worst.right.nonzero()[0].tolist())
    findings = output_findings(
        worst.classifier, to_pixels(images[places or checked_places(range(n))], device), control
    )
    for finding in (
        not_finite_finding(worst.not_finite_outputs, n),
        chance_finding(wilson(int(worst.right.sum()), n)[0], worst.classes, n),
    ):
        if finding is not None:
            findings.append(finding)
    truth = torch.as_tensor(labels[places], dtype=torch.int64, device=device)
    return findings + attack_findings(
        worst.classifier,
        to_pixels(images[places], device),
        truth,
        epsilons=levels,
        norm=norm,
        steps=steps,
        seed=seed,
        control=control,
    )


def _one_class(worst: WorstCase, results: Sequence[EpsilonResult], number: int, name: str) -> ClassResult:
    mine = worst.labels == number
    return ClassResult(
        name=name,
        n=int(mine.sum()),
        clean_hits=int((mine & worst.right).sum()),
        robust_hits=tuple(result.confusion[number][number] for result in results),
    )


def _check_data(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(f"images must be (N, H, W, 3) uint8, not {images.shape} {images.dtype}")
    if labels.shape != images.shape[:1]:
        raise ValueError(f"labels must be ({len(images)},), not {labels.shape}")
    if not len(images):
        raise DataError("There are no images to evaluate.", "Choose a folder or a split that has some.")


def _levels(epsilons: Sequence[float]) -> list[float]:
    levels = sorted({float(epsilon) for epsilon in epsilons})
    if not levels:
        raise SettingsError("An evaluation needs at least one epsilon.", "For example 1/255,2/255,4/255.")
    return levels


def _batch_size(asked: int | None, images: NDArray[np.uint8], device: torch.device) -> int:
    if asked is not None:
        if asked < 1:
            raise SettingsError(f"The batch size must be 1 or larger, not {asked}.")
        return asked
    # Activations grow with the area; on a CPU a batch beyond the caches gains nothing.
    budget = 8_000_000 if device.type == "cuda" else 260_000
    area = int(images.shape[1] * images.shape[2])
    return max(8, min(512, budget // area))


def _class_names(classifier: nn.Module, classes: int, labels: NDArray[np.int64]) -> tuple[str, ...]:
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise SettingsError(
            f"The images have class {int(labels.max())}, but the model only knows {classes} classes.",
            "Evaluate it on the classes it was built for.",
        )
    names = getattr(classifier, "class_names", None)
    return tuple(names) if names else tuple(str(number) for number in range(classes))


def _digest(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(images).tobytes())
    digest.update(np.ascontiguousarray(labels, dtype=np.int64).tobytes())
    return digest.hexdigest()
