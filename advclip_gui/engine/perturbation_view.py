"""How a perturbation is made visible: signed and amplified, or as a heat map; numpy only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HEAT_ANCHORS: Final = (
    (0, 20, 60),
    (40, 62, 112),
    (94, 105, 120),
    (160, 148, 104),
    (222, 200, 72),
    (255, 245, 170),
)
"""Dark blue over grey to pale yellow: lightness rises evenly and no step is told by red against green."""


def perturbation_image(perturbation: NDArray[np.float32]) -> tuple[NDArray[np.uint8], float]:
    """Show a signed perturbation around mid-grey.

    Args:
        perturbation: (H, W, 3), pixel units.

    Returns:
        The picture (H, W, 3) of 0.5 + factor * perturbation, and the factor: the largest of
        1, 2, 5, 10, 20, 50 ... with which nothing is cut off.
    """
    largest = float(np.abs(perturbation).max(initial=0.0))
    factor = amplification(largest)
    shown = np.clip(0.5 + factor * perturbation, 0.0, 1.0)
    return np.rint(shown * 255).astype(np.uint8), factor


def amplification(largest: float) -> float:
    """The largest of 1, 2, 5, 10, 20, 50 ... that keeps `largest` within half the pixel range."""
    if not 0.0 < largest < 0.5 or not math.isfinite(1 / largest):
        return 1.0
    # A hair of tolerance, so that exactly 0.05 is shown ten times larger, not five.
    room = 0.5 / largest * (1 + 1e-6)
    decade = 10.0 ** math.floor(math.log10(room))
    return max(step * decade for step in (1.0, 2.0, 5.0) if step * decade <= room)


def heat_image(perturbation: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Show how much each pixel changed, whatever the sign, on a scale colour-blind people can read.

    Args:
        perturbation: (H, W, 3), pixel units.

    Returns:
        (H, W, 3): dark blue for no change, pale yellow where all channels take the largest change.
        The mean over the channels is shown: under an L-infinity attack nearly every pixel has some
        channel at the bound, and the largest one would show nothing.
    """
    amount = np.abs(perturbation).mean(axis=2)
    largest = float(np.abs(perturbation).max(initial=0.0))
    level = amount / largest if largest > 0 else np.zeros_like(amount)
    return heat_colours(level)


def heat_colours(level: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colours (..., 3) of levels in [0, 1]; for the heat map and its legend."""
    places = np.linspace(0.0, 1.0, len(_HEAT_ANCHORS))
    channels = [np.interp(level, places, column) for column in zip(*_HEAT_ANCHORS, strict=True)]
    colours: NDArray[np.uint8] = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return colours
