"""How protocol, norm, lengths and the end of a run are said, in the window and on the command line alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from advclip_gui.engine.events import PLAIN_TASK
from advclip_gui.engine.probe_types import length_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from advclip_gui.settings import RunSettings

PROTOCOL_TITLES: Mapping[str, str] = {"sound": "Sound", "released": "As released"}

PROTOCOL_SENTENCES: Mapping[str, str] = {
    "sound": "Sound protocol: the perturbation is bounded in pixel space, and the model is attacked in "
    "evaluation mode.",
    "released": "Released protocol: perturbation and clamp in normalised space; not comparable with the "
    "sound protocol's figures.",
}
"""What a figure of each protocol is; the second one stands wherever such figures are shown."""

COMPARISON_TASK = PLAIN_TASK
"""What the engine calls the training without an adversary, after the run's own."""

ADVERSARIES: Mapping[str, str] = {"universal": "universal", "per_sample": "per image"}

SPLITS: Mapping[str, str] = {"val": "validation", "test": "test", "train": "training"}
"""What a part of the data is called in a sentence."""


def norm_text(norm: str) -> str:
    """Write a norm for people: "L∞" or "L2"."""
    return "L2" if norm == "L2" else "L∞"


def figure_tag(protocol: str, norm: str) -> str:
    """Say in two words what a figure stands for: "sound, L∞"."""
    return f"{protocol}, {norm_text(norm)}"


def radius_text(value: float, norm: str) -> str:
    """Write a length in pixel units with its norm: "1/255 in L∞", "0.5 in L2"."""
    return length_text(value, "L2") if norm == "L2" else f"{length_text(value, 'Linf')} in {norm_text(norm)}"


def plain_radius(value: float, norm: str) -> str:
    """As `radius_text`, in letters every terminal has: "1/255 in Linf"."""
    return radius_text(value, norm).replace("L∞", "Linf")


def not_comparable(protocol: str) -> str:
    """What must stand beside figures of the released protocol; "" for the sound one."""
    return PROTOCOL_SENTENCES["released"] if protocol == "released" else ""


def images_text(n: int, split: str) -> str:
    """Say on what was measured: "100 validation images"."""
    return " ".join(part for part in (f"{n:,}", SPLITS.get(split, split), "images") if part)


def kept_text(result: Mapping[str, Any], settings: RunSettings) -> str:
    """Say whose adapter was kept, where one was chosen: "Adapter of step 75, the best of 12 ..."."""
    step, evaluations = result.get("kept_step"), result.get("evaluations")
    if not settings.selects or not isinstance(step, int):
        return ""
    text = f"Adapter of step {step:,}"
    if evaluations:
        text += f", the best of {evaluations:,} evaluations"
        monitored = (result.get("monitor") or {}).get("adapter") or {}
        if monitored.get("n"):
            text += f" on {images_text(monitored['n'], str(monitored.get('split', '')))}"
    if result.get("stopped_early"):
        text += f"; training ended early, after {result.get('steps', 0):,} of {settings.total_steps:,} steps"
    return f"{text}."


def memory_text(result: Mapping[str, Any], settings: RunSettings) -> str:
    """Say that a batch was computed in smaller parts than asked for, where the memory was short."""
    images = result.get("micro_batch")
    # A batch is never larger than the training set.
    available = settings.data.shots * len(result.get("class_names") or ()) or settings.training.batch_size
    batch = min(settings.training.batch_size, available)
    if not isinstance(images, int) or images >= math.ceil(batch / settings.training.accumulation):
        return ""
    return f"Memory ran out: {images} of {batch} images were computed at a time."
