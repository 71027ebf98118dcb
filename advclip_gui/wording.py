"""How protocol, norm and lengths are said, in the window and on the command line alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from advclip_gui.engine.probe_types import length_text

if TYPE_CHECKING:
    from collections.abc import Mapping

PROTOCOL_TITLES: Mapping[str, str] = {"sound": "Sound", "released": "As released"}

PROTOCOL_SENTENCES: Mapping[str, str] = {
    "sound": "Sound protocol: the perturbation is bounded in pixel space, and the model is attacked in "
    "evaluation mode.",
    "released": "Released protocol: perturbation and clamp in normalised space; not comparable with the "
    "sound protocol's figures.",
}
"""What a figure of each protocol is; the second one stands wherever such figures are shown."""

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


def not_comparable(protocol: str) -> str:
    """What must stand beside figures of the released protocol; "" for the sound one."""
    return PROTOCOL_SENTENCES["released"] if protocol == "released" else ""


def images_text(n: int, split: str) -> str:
    """Say on what was measured: "100 validation images"."""
    return " ".join(part for part in (f"{n:,}", SPLITS.get(split, split), "images") if part)
