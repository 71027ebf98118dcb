"""What an experiment amounts to before it is run: trainings, steps and rough time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from advclip_gui.engine.attacks.catalog import TARGET_CLASSES
from advclip_gui.engine.attacks.tiers import plan
from advclip_gui.engine.experiments.test_sets import expected_titles

if TYPE_CHECKING:
    from collections.abc import Callable

    from advclip_gui.engine.experiments.definition import ExperimentSettings
    from advclip_gui.engine.recipe_facts import RecipeFacts
    from advclip_gui.settings import RunSettings

_ALL_IMAGES = 1000
"""Of a test set, where all are taken and nobody has counted them yet."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Exact counts and a rough time.

    Attributes:
        trainings: how many runs.
        steps: of all of them.
        seconds: trainings and evaluations, without loading; None where the device was not measured.
    """

    trainings: int
    steps: int
    seconds: float | None


def estimate(settings: ExperimentSettings, describe: Callable[[RunSettings], RecipeFacts]) -> Estimate:
    """Add up what the recipe's facts say of each training and of each evaluation's passes.

    Args:
        settings: of the experiment.
        describe: `Session.describe` or `describe_recipe`, for one run.

    Raises:
        BackboneError: the architecture is unknown or cannot be adapted.
    """
    seconds = 0.0
    known: dict[tuple[str, int], float | None] = {}
    for cell in settings.cells:
        place = (cell.method, cell.shots)
        if place not in known:
            known[place] = describe(cell.settings).estimated_seconds
        seconds += known[place] or 0.0
    evaluation = _evaluation_seconds(settings, describe)
    measured = evaluation is not None and None not in known.values()
    total = seconds + (evaluation or 0.0)
    return Estimate(len(settings.cells), settings.total_steps, total if measured else None)


def _evaluation_seconds(
    settings: ExperimentSettings, describe: Callable[[RunSettings], RecipeFacts]
) -> float | None:
    base, how = settings.base, settings.evaluation
    training = describe(base).estimated_seconds
    if training is None:
        return None
    passes = 2 if 0 < base.training.clean_share < 1 or base.training.trades_beta > 0 else 1
    # As the facts count them: each pass of an image forward or back through the vision tower.
    per_step = base.training.batch_size * 2 * (base.adversary.inner_steps + passes)
    per_pass = training / base.total_steps / per_step
    attacks = plan(how.attack, steps=how.steps or None).attacks
    per_image = 1 + sum(planned.cost(TARGET_CLASSES) for planned in attacks)
    if base.protocol == "released":
        per_image = 4 + 2 * (how.steps or 100)
    models = len(settings.cells) + ("zero-shot" in settings.methods)
    images = (how.images or _ALL_IMAGES) * len(expected_titles(settings))
    return models * images * per_image * per_pass
