"""How long the rest of an experiment takes, from how long its parts have taken so far."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from advclip_gui.engine.experiments.definition import Cell

ZERO_SHOT = "zero-shot"


def step_weight(cell: Cell) -> int:
    """Cost of one step relative to CLIP-LoRA's: every inner step is one more pass."""
    return 1 + cell.settings.adversary.inner_steps


def work(cell: Cell) -> int:
    """Cost of a training, in steps of CLIP-LoRA."""
    return step_weight(cell) * cell.settings.total_steps


class Pace:
    """Seconds per step by method, seconds per evaluation of a model on all its test sets."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._steps: dict[int, float] = defaultdict(float)
        self._seconds: dict[int, float] = defaultdict(float)
        self._evaluations: list[float] = []

    def trained(self, cell: Cell, steps: int, seconds: float) -> None:
        """So many steps of a cell took so long."""
        if steps > 0 and seconds > 0:
            self._steps[step_weight(cell)] += steps
            self._seconds[step_weight(cell)] += seconds

    def evaluated(self, seconds: float) -> None:
        """One model was measured on all test sets."""
        self._evaluations.append(seconds)

    def seconds_per_step(self, cell: Cell) -> float | None:
        """Measured with this many inner steps, else scaled from another; None where nothing is known."""
        weight = step_weight(cell)
        if self._steps[weight]:
            return self._seconds[weight] / self._steps[weight]
        known = {key: self._seconds[key] / steps for key, steps in self._steps.items() if steps}
        if not known:
            return None
        nearest = min(known, key=lambda key: abs(key - weight))
        return known[nearest] * weight / nearest

    def seconds_left(self, cells: Iterable[tuple[Cell, int]], evaluations: int) -> float | None:
        """Time for the steps left of each cell, and for so many models to be measured.

        None while a training is left and none has been measured, or nothing at all is known.
        """
        seconds = 0.0
        for cell, steps in cells:
            each = self.seconds_per_step(cell)
            if each is None and steps:
                return None
            seconds += (each or 0.0) * steps
        if evaluations and self._evaluations:
            seconds += evaluations * sum(self._evaluations) / len(self._evaluations)
        elif evaluations and not seconds:
            return None
        return seconds
