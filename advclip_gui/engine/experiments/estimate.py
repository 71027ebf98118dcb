"""What an experiment amounts to before it is run: trainings, steps and, as a range, the time it takes."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from advclip_gui.engine.attacks.catalog import TARGET_CLASSES
from advclip_gui.engine.attacks.tiers import plan
from advclip_gui.engine.experiments.test_sets import expected_titles

if TYPE_CHECKING:
    from collections.abc import Callable

    from advclip_gui.engine.experiments.definition import Cell, ExperimentSettings, Method
    from advclip_gui.engine.recipe_facts import RecipeFacts
    from advclip_gui.settings import RunSettings

    Describe = Callable[[RunSettings], RecipeFacts]

_ALL_IMAGES: Final = 1000
"""Of a test set, where all are taken and nobody has counted them yet."""
_UNSURE: Final = (0.4, 1.3)
"""What the time is of the one worked out from the device's speed, which other work disturbs."""
_SURE: Final = (0.85, 1.25)
"""The same where trainings of this backbone have been timed on this device."""
_HELD: Final[dict[Method, tuple[float, float]]] = {
    "zero-shot": (0.05, 0.25),
    "clip-lora": (0.05, 0.35),
    "advclip-lora": (0.25, 0.75),
}
"""Share of the images that stay correct to an attack's end, at least and at most."""

_AROUND: Final = (1.0, 4.0)
"""Seconds to load and to save for a training, of a small and of a usual backbone."""
_UNITS: Final[tuple[tuple[int, str], ...]] = ((1, "s"), (60, "min"), (3600, "h"), (86400, "days"))
_FALLS_AFTER: Final = 0.1
"""Share of an attack's steps that an image takes which does not hold."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Exact counts and a range of time.

    Attributes:
        trainings: how many runs.
        steps: of all of them.
        shortest: seconds of trainings and evaluations; None where the device was not measured.
        longest: likewise.
        timed: whether earlier runs of this backbone stand behind it.
    """

    trainings: int
    steps: int
    shortest: float | None
    longest: float | None
    timed: bool = False

    @property
    def text(self) -> str:
        """The range as people say it: "about 3 to 8 min"; "" where there is none."""
        if self.shortest is None or self.longest is None:
            return ""
        unit, name = next((one for one in _UNITS if self.longest < 120 * one[0]), _UNITS[-1])
        least, most = int(self.shortest / unit), math.ceil(self.longest / unit)
        if not least:
            return f"up to {most} {name}"
        return f"about {most} {name}" if least == most else f"about {least} to {most} {name}"


@dataclass(frozen=True, slots=True)
class Timed:
    """An earlier run: how long one of its steps has really taken."""

    settings: RunSettings
    classes: int
    seconds_per_step: float


def estimate(
    settings: ExperimentSettings,
    describe: Describe,
    *,
    classes: int = 10,
    images: int | None = None,
    earlier: tuple[Timed, ...] = (),
) -> Estimate:
    """Add up what the recipe's facts say of each training and of each evaluation's passes.

    How long an evaluation takes depends on how many images withstand: the shortest time is that of
    fragile models, the longest that of robust ones.

    Args:
        settings: of the experiment.
        describe: `Session.describe` or `describe_recipe`, for one run.
        classes: of the data.
        images: of each test set where all are taken, None where that is not known.
        earlier: runs of the same backbone on the same device.

    Raises:
        BackboneError: the architecture is unknown or cannot be adapted.
    """
    counts = len(settings.cells), settings.total_steps
    per_pass = _seconds_per_pass(settings.base, describe, classes)
    if per_pass is None:
        return Estimate(*counts, None, None)
    training = 0.0
    known: dict[tuple[str, int], float] = {}
    for cell in settings.cells:
        place = (cell.method, cell.shots)
        if place not in known:
            known[place] = _training_seconds(cell, describe, classes, per_pass)
        training += known[place]
    ratio = _ratio(earlier, describe)
    sure = _UNSURE if ratio is None else _SURE
    shortest, longest = (
        (training + _evaluation_passes(settings, end, images) * per_pass) * sure[end] * (ratio or 1.0)
        + len(settings.cells) * _AROUND[end]
        for end in (0, 1)
    )
    return Estimate(*counts, shortest, longest, timed=ratio is not None)


def _as_trained(run: RunSettings, classes: int) -> RunSettings:
    """The settings with the batch a training really has: never more than its images."""
    batch = min(run.training.batch_size, max(1, classes * run.data.shots))
    return run.model_copy(update={"training": run.training.model_copy(update={"batch_size": batch})})


def _passes_of_a_step(run: RunSettings) -> int:
    """As the facts count them: each pass of an image forward or back through the vision tower."""
    both = 2 if 0 < run.training.clean_share < 1 or run.training.trades_beta > 0 else 1
    return run.training.batch_size * 2 * (run.adversary.inner_steps + both)


def _seconds_per_pass(run: RunSettings, describe: Describe, classes: int) -> float | None:
    whole = _as_trained(run, classes)
    seconds = describe(whole).estimated_seconds
    return None if seconds is None else seconds / whole.total_steps / _passes_of_a_step(whole)


def _training_seconds(cell: Cell, describe: Describe, classes: int, per_pass: float) -> float:
    run = cell.settings
    watch = run.monitor
    looks = 2 + (run.total_steps - 1) // watch.every
    per_image = 2 + watch.attack_steps  # about half of the images hold
    steps = describe(_as_trained(run, classes)).estimated_seconds or 0.0
    return steps + looks * watch.images * per_image * per_pass


def _evaluation_passes(settings: ExperimentSettings, end: int, images: int | None) -> float:
    how = settings.evaluation
    attacks = plan(how.attack, steps=how.steps or None).attacks
    to_the_end = sum(planned.cost(TARGET_CLASSES) for planned in attacks)
    count = min(how.images or _ALL_IMAGES, images or how.images or _ALL_IMAGES)
    methods: list[Method] = [cell.method for cell in settings.cells]
    if "zero-shot" in settings.methods:
        methods.append("zero-shot")
    passes = 0.0
    for method in methods:
        # What falls costs something too before it does.
        held = _HELD[method][end] + (1 - _HELD[method][end]) * _FALLS_AFTER
        # The released attack goes to its end for every image.
        released = settings.base.protocol == "released"
        passes += 4 + 2 * (how.steps or 100) if released else 1 + held * to_the_end
    return passes * count * len(expected_titles(settings))


def _ratio(earlier: tuple[Timed, ...], describe: Describe) -> float | None:
    """How much longer a step took than the facts say: the median over earlier runs."""
    ratios = []
    for run in earlier:
        told = describe(_as_trained(run.settings, run.classes)).estimated_seconds
        if told:
            ratios.append(run.seconds_per_step * run.settings.total_steps / told)
    return statistics.median(ratios) if ratios else None
