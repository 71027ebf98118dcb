"""One line of a plot on pyqtgraph's canvas: band, faint measured line, drawn line; and a baseline."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.plot_legend import MARKS, LegendEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from advclip_gui.gui.widgets.plot_series import Baseline, Series

_BAND, _FAINT, _BASE, _LINE = -20, -10, -5, 10
_MARKED_UP_TO = 80
"""With more points than this their marks would only be a thick line."""


class SeriesItem:
    """Draws one `Series`.

    Attributes:
        series: what was measured.
        shown: what is drawn, smoothed or not, (N,).
        smoothed: whether the measured line is drawn faintly behind.
    """

    band_alpha = 0.14
    faint_alpha = 0.28

    def __init__(self, plot: pg.PlotItem, series: Series, position: int) -> None:
        """Add the parts to a plot; `position` among its lines chooses the shape of the points."""
        self._plot = plot
        self._mark = MARKS[position % len(MARKS)]
        self.series = series
        self.shown: NDArray[np.float64] = series.ys
        self.smoothed = False
        self._line, self._faint = self._curve(_LINE), self._curve(_FAINT)
        self._low, self._high = pg.PlotCurveItem(), pg.PlotCurveItem()
        self._band = pg.FillBetweenItem(self._low, self._high)
        self._band.setZValue(_BAND)
        for item in (self._band, self._faint, self._line):
            plot.addItem(item, ignoreBounds=True)

    def _curve(self, depth: int) -> pg.PlotDataItem:
        item = pg.PlotDataItem(
            antialias=True,
            autoDownsample=True,
            downsampleMethod="peak",
            clipToView=True,
        )
        item.setZValue(depth)
        return item

    @property
    def mark(self) -> str:
        """Shape of its points in the legend, "" where they are not drawn."""
        return self._mark if self.series.style in ("points", "marked") else ""

    def show_series(self, series: Series, smoothing: float) -> None:
        """Draw other figures."""
        restyle = (series.role, series.style) != (self.series.role, self.series.style)
        self.series = series
        self.shown = series.smoother.smooth(series.ys, smoothing)
        if series.low is not None and series.high is not None:
            self._low.setData(series.xs, series.low)
            self._high.setData(series.xs, series.high)
        self._band.setVisible(series.low is not None and len(series.xs) > 1)
        self.smoothed = smoothing > 0 and series.style != "points"
        self._faint.setVisible(self.smoothed)
        if self.smoothed:
            self._faint.setData(*_measured(series.xs, series.ys))
        self._line.setData(*_measured(series.xs, self.shown), symbol=self.symbol)
        if restyle or not self._line.opts.get("painted"):
            self._line.opts["painted"] = True
            self.paint(theme.current())

    @property
    def symbol(self) -> str | None:
        """Shape of the points as pyqtgraph names it, None where they are not drawn."""
        style, few = self.series.style, len(self.series.xs) <= _MARKED_UP_TO
        # A lone point has no line yet and would not be seen without its mark.
        return (
            self._mark
            if style == "points" or (style == "marked" and few) or len(self.series.xs) == 1
            else None
        )

    def paint(self, look: theme.Theme) -> None:
        """Take the theme's colours."""
        colour, wide = look.qcolor(self.series.role), pen_scale(self._plot)
        dashes = Qt.PenStyle.DashLine if self.series.style == "dashed" else Qt.PenStyle.SolidLine
        pen = (
            None if self.series.style == "points" else pg.mkPen(colour, width=wide * look.line, style=dashes)
        )
        self._line.setPen(pen)
        self._line.setSymbolBrush(pg.mkBrush(colour))
        self._line.setSymbolPen(pg.mkPen(QColor(look.surface), width=1))
        self._line.setSymbolSize(look.s)
        self._faint.setPen(pg.mkPen(look.qcolor(self.series.role, self.faint_alpha), width=wide))
        self._band.setBrush(pg.mkBrush(look.qcolor(self.series.role, self.band_alpha)))

    def remove(self) -> None:
        """Take the parts off the plot."""
        for item in (self._band, self._faint, self._line):
            self._plot.removeItem(item)


def pen_scale(plot: pg.PlotItem) -> float:
    """Pixels for each unit of length: pyqtgraph's pens count pixels, and would be thin on a fine screen."""
    return float(plot.getViewWidget().devicePixelRatioF())


def _measured(
    xs: NDArray[np.float64], ys: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Leave out what has no figure: pyqtgraph cannot place it, and warns."""
    there = np.isfinite(ys)
    return xs[there], ys[there]


class BaselineItem:
    """Draws one `Baseline` with its label at the right end."""

    def __init__(self, plot: pg.PlotItem) -> None:
        """Add the line to a plot."""
        self._plot = plot
        self.baseline: Baseline
        self.text = ""
        self._line = pg.InfiniteLine(angle=0, movable=False)
        self._line.setZValue(_BASE)
        self._label = pg.InfLineLabel(self._line, text="", position=1.0)
        plot.addItem(self._line, ignoreBounds=True)

    def show_baseline(self, baseline: Baseline, figure: str) -> None:
        """Put it at another height."""
        self.baseline = baseline
        self._line.setPos(baseline.y)
        self.text = "" if baseline.in_legend else f"{baseline.label} {figure}"
        self._label.setFormat(self.text.replace("{", "{{").replace("}", "}}"))
        # Anchors in the label's own box: its right end at the line's, its foot or head on the line.
        self._label.anchors = [(1.0, 1.0 if baseline.above else 0.0)] * 2
        self._label.updatePosition()
        self.paint(theme.current())

    def paint(self, look: theme.Theme) -> None:
        """Take the theme's colours."""
        colour = look.qcolor(self.baseline.role)
        width = 1.4 * pen_scale(self._plot)
        self._line.setPen(pg.mkPen(colour, width=width, style=Qt.PenStyle.DashLine))
        self._label.setColor(colour)
        self._label.textItem.setFont(look.font(look.caption))
        self._label.updateTransform(force=True)

    def remove(self) -> None:
        """Take the line off the plot."""
        self._plot.removeItem(self._line)
        # Left to the garbage collector as a child of its line, the label takes the process down.
        self._label.setParentItem(None)
        scene = self._label.scene()
        if scene is not None:
            scene.removeItem(self._label)


def legend_entries(
    items: Iterable[SeriesItem],
    baselines: Iterable[BaselineItem],
    at: float | None,
    write: Callable[[float], str],
) -> list[LegendEntry]:
    """Name every line with its figure nearest to a place (None: the latest), then unlabelled baselines."""
    entries = []
    for item in items:
        one = item.series
        figure = one.figure(one.nearest(math.inf if at is None else at), write)
        entries.append(LegendEntry(one.label, one.role, one.style, figure, item.mark))
    for base in (item.baseline for item in baselines):
        if base.in_legend:
            entries.append(LegendEntry(base.label, base.role, "dashed", write(base.y)))
    return entries
