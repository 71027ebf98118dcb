"""The figures of a plot's lines: what is drawn, smoothed, hovered over and written as CSV."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

Style = Literal["solid", "dashed", "points", "marked"]
"""A line; a dashed line; points alone; a line with its points."""


class Smoother:
    """Debiased exponential moving average that goes on where it ended when a series has grown."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._weight = -1.0
        self._seen: NDArray[np.float64] = np.empty(0)
        self._out: NDArray[np.float64] = np.empty(0)
        self._mean = 0.0
        self._mass = 0.0

    def smooth(self, values: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
        """Return s_t = (w s_{t-1} + (1 - w) x_t), divided by the weights' sum; NaN stays NaN.

        Args:
            values: float64 (N,).
            weight: w in [0, 1); 0 changes nothing.
        """
        if weight <= 0:
            return values
        known = len(self._seen)
        grown = (
            weight == self._weight
            and len(values) >= known
            and np.array_equal(values[:known], self._seen, equal_nan=True)
        )
        if not grown:
            self._weight, self._mean, self._mass, known = weight, 0.0, 0.0, 0
            self._out = np.empty(0)
        fresh = np.empty(len(values) - known)
        mean, mass = self._mean, self._mass
        for index, value in enumerate(values[known:].tolist()):
            if math.isfinite(value):
                mean = weight * mean + (1 - weight) * value
                mass = weight * mass + (1 - weight)
                fresh[index] = mean / mass
            else:
                fresh[index] = math.nan
        self._mean, self._mass = mean, mass
        self._out = np.concatenate([self._out, fresh])
        self._seen = values.copy()
        return self._out


@dataclass
class Series:
    """One line: float64 (N,) each; `low` and `high` bound its interval where it has one."""

    key: str
    label: str
    role: str
    style: Style
    xs: NDArray[np.float64]
    ys: NDArray[np.float64]
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    smoother: Smoother = field(default_factory=Smoother, repr=False)

    def nearest(self, x: float) -> int:
        """Position of the point with a figure nearest to x (infinity: the last), -1 where there is none."""
        there = np.flatnonzero(np.isfinite(self.ys))
        if not len(there):
            return -1
        if x == math.inf:
            return int(there[-1])
        return int(there[np.abs(self.xs[there] - x).argmin()])

    def figure(self, index: int, write: Callable[[float], str]) -> str:
        """Write the figure at a position with its interval; "" at -1."""
        if index < 0:
            return ""
        text = write(float(self.ys[index]))
        if self.low is not None and self.high is not None and math.isfinite(self.low[index]):
            low, high = (write(float(column[index])).removesuffix(" %") for column in (self.low, self.high))
            text += f" ({low} – {high})"
        return text


@dataclass(frozen=True)
class Baseline:
    """A horizontal line to compare with, e.g. zero-shot accuracy.

    Its name stands on the line, or in the legend where other lines would run through it.
    """

    key: str
    label: str
    role: str
    y: float
    above: bool
    in_legend: bool = False


def as_column(values: ArrayLike) -> NDArray[np.float64]:
    """Take numbers, None for what is missing."""
    if isinstance(values, np.ndarray):
        return np.asarray(values, dtype=np.float64)
    listed: Sequence[object] = list(values)  # type: ignore[arg-type]
    return np.array([math.nan if value is None else value for value in listed], dtype=np.float64)


def nearest_place(series: Sequence[Series], x: float) -> float | None:
    """The measured place nearest to x, None where nothing was measured."""
    # Two points of a dashed line are no measurements.
    lines = [one for one in series if one.style != "dashed"]
    places = [float(one.xs[index]) for one in lines if (index := one.nearest(x)) >= 0]
    return min(places, key=lambda place: abs(place - x), default=None)


def places_of(series: Sequence[Series]) -> list[float]:
    """Every measured place, ascending."""
    return sorted({x for one in series if one.style != "dashed" for x in one.xs.tolist()})


def csv_text(x_name: str, series: Sequence[Series], baselines: Sequence[Baseline]) -> str:
    """Write one line for every x, with all digits; what was not measured stays empty."""
    columns: list[tuple[str, dict[float, float]]] = []
    for one in series:
        parts = [("", one.ys), (" low", one.low), (" high", one.high)]
        columns += [
            (one.label + suffix, dict(zip(one.xs.tolist(), values.tolist(), strict=True)))
            for suffix, values in parts
            if values is not None
        ]
    places = sorted({x for _, column in columns for x in column})
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([x_name, *(name for name, _ in columns), *(one.label for one in baselines)])
    for x in places:
        cells = [_number(column.get(x, math.nan)) for _, column in columns]
        writer.writerow([_number(x), *cells, *(_number(one.y) for one in baselines)])
    return stream.getvalue()


def _number(value: float) -> str:
    if not math.isfinite(value):
        return ""
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


def end_of_axis(last: float, total: float | None) -> float:
    """Where the x axis ends: a round number past the last point, at most the end of the run.

    Round numbers keep the axis still while points arrive.
    """
    needed = max(last * 1.05, 5.0)
    power = 10.0 ** math.floor(math.log10(needed))
    end = next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12) if step * power >= needed)
    if total is not None and total > 0:
        end = max(last, min(end, total))
    return end


def ends_of_y(
    series: Sequence[Series],
    shown: Sequence[NDArray[np.float64]],
    levels: Sequence[float],
    *,
    from_zero: bool,
) -> tuple[float, float]:
    """Where a y axis begins and ends that holds every figure on screen, intervals and `levels` too."""
    columns = [column for one in series for column in (one.low, one.high) if column is not None]
    finite = [column[np.isfinite(column)] for column in (*shown, *columns, np.asarray(levels, dtype=float))]
    ends = [end for column in finite if len(column) for end in (float(column.min()), float(column.max()))]
    if not ends:
        return 0.0, 1.0
    bottom, top = min(ends), max(ends)
    if from_zero:
        bottom = min(bottom, 0.0)
    if top - bottom <= 1e-9 * max(abs(top), abs(bottom)):
        room = 0.1 * abs(top) or 1.0
        return bottom - room, top + room
    return bottom, top
