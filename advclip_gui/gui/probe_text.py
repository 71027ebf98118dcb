"""What a probe found, in words and with a sign that needs no colour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from advclip_gui.engine.attacks.catalog import attack_info
from advclip_gui.engine.probe_types import length_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from advclip_gui.engine.events import ProbeStep
    from advclip_gui.engine.model_ref import ModelRef
    from advclip_gui.engine.probe_types import ProbeRequest, ProbeResult

FLIPPED, HELD, WRONG, NEUTRAL = "flipped", "held", "wrong", "neutral"
"""Tones: the attack changed the prediction; it did not; it was wrong before; nothing is known yet."""

_ONE = {"steps": "step", "queries": "query"}


@dataclass(frozen=True)
class Verdict:
    """One plain sentence with a tone, a one-word sign and what else there is to know."""

    tone: str
    sign: str
    sentence: str
    note: str = ""


def percent(share: float) -> str:
    """Write a share in [0, 1] without pretending to certainty: 98 %, <1 %, >99 %."""
    if 0.995 < share < 1:
        return ">99 %"
    return "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def tidy_length(value: float, norm: str) -> str:
    """Write an epsilon as it is shown beside the slider."""
    return length_text(round(value, 9), "Linf" if norm == "Linf" else "L2")


def result_verdict(result: ProbeResult, label: int | None) -> Verdict:
    """Say what the attack did to the prediction.

    Args:
        result: the probe.
        label: the true class, None if unknown.
    """
    names, request = result.class_names, result.request
    at = tidy_length(request.epsilon, request.norm)
    before, after = names[result.before_label], names[result.after_label]
    notes = []
    if label is not None and label != result.before_label:
        notes.append(f"Wrong before any attack: the true label is {names[label]}.")
    if request.target is not None and result.after_label != request.target:
        notes.append(f"The target {names[request.target]} was not reached.")
    if result.after_label != result.before_label:
        if label is not None and result.after_label == label:
            notes.append("The attack happens to make it right.")
        elif notes:
            notes.append(f"Now {percent(result.after[result.after_label])} {after}.")
        else:
            share = percent(result.after[result.after_label])
            notes.append(f"The model is {share} sure of {after}, on an image that looks the same.")
        return Verdict(FLIPPED, "Flipped", f"{before} → {after} at {at}", " ".join(notes))
    if label is not None and label != result.before_label:
        return Verdict(WRONG, "Wrong already", f"Still {before} at {at}", " ".join(notes))
    notes.append(f"The model is still {percent(result.after[result.before_label])} sure of {before}.")
    return Verdict(HELD, "Holds", f"Still {before} at {at}", " ".join(notes))


def step_verdict(result: ProbeResult, step: ProbeStep, label: int | None) -> Verdict:
    """Say what the prediction is at one step of the replay; `label` is the true class, if known."""
    names = result.class_names
    now = max(range(len(step.probabilities)), key=step.probabilities.__getitem__)
    share = percent(step.probabilities[now])
    where = step_text(step)
    before = names[result.before_label]
    note = f"Replay: the model is {share} sure of {names[now]} at {where}."
    if now == result.before_label:
        wrong = label is not None and label != now
        tone, sign = (WRONG, "Wrong already") if wrong else (HELD, "Holds")
        return Verdict(tone, sign, f"Still {before} at {where}", note)
    return Verdict(FLIPPED, "Flipped", f"{before} → {names[now]} at {where}", note)


def survival_text(result: ProbeResult) -> tuple[str, str, str] | None:
    """Text, tone and tooltip on whether the flip survives 8-bit saving; None where nothing flipped."""
    if result.after_label == result.before_label:
        return None
    if result.flipped_after_8bit:
        return (
            "Survives 8-bit saving",
            "good",
            "The image rounded to 8 bits, as a PNG holds it, is still misclassified.",
        )
    return (
        "Lost in 8-bit saving",
        "warning",
        "The flip needs changes smaller than 1/255 that an 8-bit image cannot hold: "
        f"once rounded, the model says {result.class_names[result.after_8bit_label]} again.",
    )


def request_text(request: ProbeRequest) -> str:
    """Write the attack in one line: "PGD · 10 steps · L∞ · 2/255"."""
    info = attack_info(request.attack)
    parts = [info.title]
    if "steps" in info.options:
        steps = str(getattr(info, "steps_name", "steps"))
        parts.append(f"{request.steps} {steps if request.steps != 1 else _ONE.get(steps, steps)}")
    if "restarts" in info.options and request.restarts > 1:
        parts.append(f"{request.restarts} restarts")
    if request.norm == "Linf":
        parts += ["L∞", tidy_length(request.epsilon, "Linf")]
    else:
        parts.append(f"L2 {request.epsilon:.4g}")
    return " · ".join(parts)


def seen_text(whole: tuple[int, ...], seen: tuple[int, ...]) -> str:
    """Say what the model sees of an image; shapes (H, W, 3) of the file and of the model's input."""
    here = f"{seen[1]} × {seen[0]} px"
    if whole[:2] == seen[:2]:
        return f"The model sees this: all {here}"
    return f"The model sees this: {here} from {whole[1]} × {whole[0]}"


def size_text(perturbation: NDArray[np.float32]) -> str:
    """Write how large a perturbation (H, W, 3) is, in both norms."""
    largest = float(abs(perturbation).max(initial=0.0)) * 255
    return f"Largest change {largest:.3g}/255 · L2 {float((perturbation**2).sum()) ** 0.5:.3g}"


def step_text(step: ProbeStep) -> str:
    """Say where an attack is: "step 3 of 10"."""
    return f"step {step.step} of {step.total_steps}" if step.step else "the starting point"


def told_apart(ref: ModelRef, refs: Sequence[ModelRef]) -> str:
    """A model's title; the folder's name where another of `refs` has the same title."""
    twins = sum(other.title == ref.title for other in refs) > 1
    return PurePath(ref.adapter).name if twins and ref.adapter else ref.title
