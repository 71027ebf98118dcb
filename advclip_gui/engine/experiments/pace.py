"""How long the rest of an experiment takes, from how long its parts have taken so far."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from advclip_gui.engine.experiments.definition import Cell, Method

ZERO_SHOT: Final = "zero-shot"
"""Key of the zero-shot model among the parts of an experiment."""
_FADE: Final = 0.6
"""Weight of what was measured before with each cell that begins: other work comes and goes on a machine."""


def step_weight(cell: Cell) -> int:
    """Cost of one step relative to CLIP-LoRA's: every inner step is one more pass."""
    return 1 + cell.settings.adversary.inner_steps


def work(cell: Cell) -> int:
    """Cost of a training, in steps of CLIP-LoRA."""
    return step_weight(cell) * cell.settings.total_steps


class _Mean:
    """A mean in which the past fades."""

    def __init__(self) -> None:
        self._sum = self._weight = 0.0

    def add(self, seconds: float, weight: float = 1.0) -> None:
        self._sum += seconds
        self._weight += weight

    def fade(self) -> None:
        self._sum *= _FADE
        self._weight *= _FADE

    @property
    def value(self) -> float | None:
        return self._sum / self._weight if self._weight else None


class Pace:
    """Seconds of a step, of what surrounds the steps of a training, and of measuring a model.

    Steps are told apart by their inner steps; measuring by the method, since a robust model keeps more
    images to the end of an attack than a fragile one.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._steps: dict[int, _Mean] = defaultdict(_Mean)
        self._around = _Mean()
        self._evaluations: dict[Method, _Mean] = defaultdict(_Mean)

    def begin(self) -> None:
        """Another cell begins: what was measured before counts less."""
        for mean in (*self._steps.values(), *self._evaluations.values(), self._around):
            mean.fade()

    def trained(self, cell: Cell, steps: int, seconds: float) -> None:
        """So many steps of a cell took so long."""
        if steps > 0 and seconds > 0:
            self._steps[step_weight(cell)].add(seconds, steps)

    def surrounded(self, seconds: float) -> None:
        """Loading, first and last evaluation and saving of one whole training took so long."""
        if seconds > 0:
            self._around.add(seconds)

    def evaluated(self, method: Method, seconds: float) -> None:
        """One model was measured on all test sets, in one go."""
        if seconds > 0:
            self._evaluations[method].add(seconds)

    def seconds_per_step(self, cell: Cell) -> float | None:
        """Measured with this many inner steps, else scaled from another; None where nothing is known."""
        weight = step_weight(cell)
        known = {key: mean.value for key, mean in self._steps.items() if mean.value is not None}
        if not known:
            return None
        nearest = min(known, key=lambda key: abs(key - weight))
        return known[nearest] * weight / nearest

    def seconds_per_evaluation(self, method: Method) -> float | None:
        """Measured of this method, else the longest of another; None where nothing is known."""
        own = self._evaluations[method].value
        others = [mean.value for mean in self._evaluations.values() if mean.value is not None]
        return own if own is not None else max(others, default=None)

    def seconds_left(
        self, cells: Iterable[tuple[Cell, int]], evaluations: Iterable[Method], *, whole: int = 0
    ) -> float | None:
        """Time for what is left; None while there is something left of which nothing is known.

        Args:
            cells: with the steps left of each.
            evaluations: the method of each model that is still to be measured.
            whole: how many of the cells have not begun.
        """
        seconds = whole * (self._around.value or 0.0)
        for cell, steps in cells:
            each = self.seconds_per_step(cell)
            if steps and each is None:
                return None
            seconds += (each or 0.0) * steps
        for method in evaluations:
            took = self.seconds_per_evaluation(method)
            if took is None:
                return None
            seconds += took
        return seconds
