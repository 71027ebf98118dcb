"""Intervals for shares counted on a finite number of images."""

from __future__ import annotations

import math
from typing import Final

_Z_95: Final = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share `hits / n` (Wilson 1927); (0, 1) where n is 0.

    Raises:
        ValueError: not 0 <= hits <= n.
    """
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} hits of {n} are impossible")
    if n == 0:
        return 0.0, 1.0
    share, z2 = hits / n, _Z_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # At the ends the exact bounds are 0 and 1; rounding must not leave the share outside.
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == n else min(1.0, centre + half)
    return low, high
