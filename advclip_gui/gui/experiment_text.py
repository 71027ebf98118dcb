"""How the amount and the progress of an experiment are said in the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from advclip_gui.engine.experiments.definition import METHODS
from advclip_gui.gui.evaluation_progress import duration
from advclip_gui.wording import radius_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.experiments.definition import ExperimentSettings
    from advclip_gui.engine.experiments.estimate import Estimate
    from advclip_gui.engine.experiments.events import ExperimentProgress
    from advclip_gui.engine.experiments.figures import Figures
    from advclip_gui.settings import RunSettings


def recipe_text(base: RunSettings) -> str:
    """Name a recipe: "Demo: advclip-mini on demo, 150 steps, sound protocol"."""
    backbone = " ".join(part for part in (base.backbone.name, base.backbone.weights) if part)
    steps = f"{base.training.steps:,} steps" if base.training.steps else "500 steps for each shot"
    return f"{base.name or 'Recipe'}: {backbone} on {base.data.folder}, {steps}, {base.protocol} protocol"


def summary_text(settings: ExperimentSettings) -> str:
    """Tell the whole definition, a line for each part."""
    how = settings.evaluation
    images = f"{how.images:,} test images" if how.images else "all test images"
    released = f"FGSM and PGD-{how.steps or 100} as released"
    attack = released if settings.base.protocol == "released" else f"{how.attack} attacks"
    lines = [
        settings.name or settings.kind,
        f"{recipe_text(settings.base)}.",
        f"Shots per class: {', '.join(map(str, settings.shots))}",
        f"Seeds: {', '.join(map(str, settings.seeds))}",
        f"Methods: {', '.join(METHODS[method] for method in settings.methods)}",
        f"Measured: {attack} at {radius_text(how.epsilon, how.norm)}, {images}",
    ]
    if settings.targets:
        lines.append(f"Also tested on: {', '.join(settings.targets)}")
    return "\n\n".join(lines)


def amount_text(settings: ExperimentSettings, found: Estimate | None = None) -> str:
    """Say how much it is: "30 trainings, 93,000 steps, about 9 to 14 h on this device"."""
    count = len(settings.cells)
    parts = [f"{count:,} training{'s' * (count != 1)}", f"{settings.total_steps:,} steps"]
    if found is not None and found.text:
        parts.append(f"{found.text} on this device")
    return ", ".join(parts)


def waiting_text(ahead: Sequence[str], *, ready: bool) -> str:
    """Say what an experiment waits for: "Waiting for the device: Training Demo goes first."."""
    if not ahead:
        return "Waiting for the device." if ready else "Waiting for the engine to load."
    *others, last = ahead
    first = f"{', '.join(others)} and {last} go" if others else f"{last} goes"
    return f"Waiting for the device: {first} first."


def short_text(told: ExperimentProgress | None, state: str) -> str:
    """Say in a few words how far an experiment is, for a list of several."""
    if state == "queued":
        return "Waits"
    if state in ("stopping", "cancelling"):
        return "Stopping …"
    done = f"{told.done + told.failed} of {told.total} done" if told is not None else "Starting"
    left = f", about {duration(told.seconds_left)} left" if told is not None and told.seconds_left else ""
    return f"Paused, {done}" if state == "paused" else f"{done}{left}"


def progress_text(told: ExperimentProgress | None, state: str, detail: str = "") -> str:
    """Say how far it is: "3 of 31 done. CLIP-LoRA, 4 shots, seed 1: step 120 of 2,000. About 3 h left."."""
    if told is None:
        words = {"paused": "Paused.", "stopping": "Stopping …"}
        return words.get(state, f"{detail} …" if detail else "Starting …")
    parts = [f"{told.done} of {told.total} done" + (f", {told.failed} failed" if told.failed else "") + "."]
    if told.title and told.phase == "training":
        parts.append(f"{told.title}: step {told.step:,} of {told.total_steps:,}.")
    elif told.title and told.phase:
        parts.append(f"{told.title}: {told.phase} {told.step:,} of {told.total_steps:,} images.")
    if state == "stopping":
        parts.append("Stopping …")
    elif state == "paused":
        parts.append("Paused; nothing is lost, and the device is free for probes.")
    elif told.seconds_left:
        parts.append(f"About {duration(told.seconds_left)} left.")
    return " ".join(parts)


def ended_text(figures: Figures) -> str:
    """Say how far an experiment has come that is not at work."""
    failed = f", {len(figures.failed)} failed" if figures.failed else ""
    return f"{figures.done} of {figures.total} done{failed}."
