"""Draws a plot with a plain painter, so that pictures and drawings print as sharp as they are wide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPen, QPolygonF

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.plot_legend import draw_mark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from advclip_gui.gui.widgets.plot_items import SeriesItem
    from advclip_gui.gui.widgets.plot_legend import PlotLegend
    from advclip_gui.gui.widgets.plot_series import Baseline

Ticks = list[tuple[float, str]]
"""Places on an axis and what is written there."""


@dataclass(frozen=True)
class PlotPrint:
    """All of a plot at one moment.

    Attributes:
        size: of the drawing, in device-independent pixels.
        x_range: ends of the x axis as shown, zoomed or not.
        y_range: ends of the y axis.
    """

    size: QSize
    title: str
    note: str
    x_label: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_ticks: Ticks
    y_ticks: Ticks
    items: Sequence[SeriesItem]
    baselines: Sequence[tuple[Baseline, str]]
    legend: PlotLegend

    def draw(self, painter: QPainter) -> None:
        """Draw at the painter's origin, in the theme of the window."""
        look = theme.current()
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        top = self._draw_head(painter, look)
        frame = self._frame(look, top)
        self._draw_grid(painter, look, frame)
        painter.setClipRect(frame)
        for item in self.items:
            self._draw_band(painter, look, frame, item)
        for baseline, text in self.baselines:
            self._draw_baseline(painter, look, frame, baseline, text)
        for item in self.items:
            self._draw_line(painter, look, frame, item)
        painter.restore()

    def _draw_head(self, painter: QPainter, look: theme.Theme) -> float:
        bold = look.font(look.title, weight=QFont.Weight.DemiBold)
        metrics = QFontMetricsF(bold)
        painter.setFont(bold)
        painter.setPen(QColor(look.text))
        painter.drawText(QPointF(look.l, look.m + metrics.ascent()), self.title)
        painter.setFont(look.font(look.caption))
        painter.setPen(QColor(look.text_muted))
        after = look.l + metrics.horizontalAdvance(self.title) + look.s
        painter.drawText(QPointF(after, look.m + metrics.ascent()), self.note)
        top = look.m + metrics.height() + look.s
        if self.legend.entries:
            painter.save()
            painter.translate(look.l, top)
            self.legend.draw(painter, self.size.width() - 2 * look.l)
            painter.restore()
            top += self.legend.height_for(self.size.width() - 2 * look.l) + look.xs
        return top

    def _frame(self, look: theme.Theme, top: float) -> QRectF:
        metrics = QFontMetricsF(look.font(look.caption))
        widest = max((metrics.horizontalAdvance(text) for _, text in self.y_ticks), default=0.0)
        left = look.l + widest + look.s
        bottom = self.size.height() - 2 * metrics.height() - look.l
        return QRectF(left, top + look.xs, self.size.width() - left - look.l, max(bottom - top, 20.0))

    def _draw_grid(self, painter: QPainter, look: theme.Theme, frame: QRectF) -> None:
        painter.setFont(look.font(look.caption))
        metrics = QFontMetricsF(painter.font())
        height = metrics.height()
        for y, text in self.y_ticks:
            at = self._place(frame, 0, y).y()
            painter.setPen(QPen(QColor(look.plot_grid), 1))
            painter.drawLine(QPointF(frame.left(), at), QPointF(frame.right(), at))
            painter.setPen(QColor(look.text_muted))
            box = QRectF(0, at - height / 2, frame.left() - look.xs, height)
            painter.drawText(box, int(Qt.AlignmentFlag.AlignRight), text)
        for x, text in self.x_ticks:
            at = self._place(frame, x, 0).x()
            painter.setPen(QPen(QColor(look.plot_grid), 1))
            painter.drawLine(QPointF(at, frame.top()), QPointF(at, frame.bottom()))
            painter.setPen(QColor(look.text_muted))
            half = metrics.horizontalAdvance(text) / 2
            painter.drawText(QPointF(at - half, frame.bottom() + look.xs + metrics.ascent()), text)
        box = QRectF(frame.left(), frame.bottom() + look.s + height, frame.width(), height)
        painter.drawText(box, int(Qt.AlignmentFlag.AlignHCenter), self.x_label)

    def _place(self, frame: QRectF, x: float, y: float) -> QPointF:
        (left, right), (bottom, top) = self.x_range, self.y_range
        return QPointF(
            frame.left() + (x - left) / (right - left) * frame.width(),
            frame.bottom() - (y - bottom) / (top - bottom) * frame.height(),
        )

    def _polygon(self, frame: QRectF, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> list[QPointF]:
        return [self._place(frame, x, y) for x, y in zip(xs.tolist(), ys.tolist(), strict=True)]

    def _draw_band(self, painter: QPainter, look: theme.Theme, frame: QRectF, item: SeriesItem) -> None:
        one = item.series
        if one.low is None or one.high is None or len(one.xs) < 2:
            return
        there = np.isfinite(one.low) & np.isfinite(one.high)
        upper = self._polygon(frame, one.xs[there], one.high[there])
        lower = self._polygon(frame, one.xs[there], one.low[there])
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(look.qcolor(one.role, item.band_alpha))
        painter.drawPolygon(QPolygonF([*upper, *reversed(lower)]))

    def _draw_baseline(
        self, painter: QPainter, look: theme.Theme, frame: QRectF, baseline: Baseline, text: str
    ) -> None:
        at = self._place(frame, 0, baseline.y).y()
        painter.setPen(QPen(look.qcolor(baseline.role), 1.4, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(frame.left(), at), QPointF(frame.right(), at))
        metrics = QFontMetricsF(look.font(look.caption))
        painter.setFont(look.font(look.caption))
        box = QRectF(
            frame.right() - metrics.horizontalAdvance(text) - look.xs,
            at - metrics.height() - 2 if baseline.above else at + 2,
            metrics.horizontalAdvance(text),
            metrics.height(),
        )
        painter.drawText(box, int(Qt.AlignmentFlag.AlignLeft), text)

    def _draw_line(self, painter: QPainter, look: theme.Theme, frame: QRectF, item: SeriesItem) -> None:
        one = item.series
        if item.smoothed:
            painter.setPen(QPen(look.qcolor(one.role, item.faint_alpha), 1))
            self._draw_measured(painter, frame, one.xs, one.ys)
        if one.style != "points":
            dashes = Qt.PenStyle.DashLine if one.style == "dashed" else Qt.PenStyle.SolidLine
            painter.setPen(QPen(look.qcolor(one.role), look.line, dashes))
            self._draw_measured(painter, frame, one.xs, item.shown)
        mark = item.symbol
        if mark is not None:
            painter.setPen(QPen(QColor(look.surface), 1))
            painter.setBrush(look.qcolor(one.role))
            there = np.isfinite(item.shown)
            for place in self._polygon(frame, one.xs[there], item.shown[there]):
                draw_mark(painter, place, mark, look.s / 2)

    def _draw_measured(
        self, painter: QPainter, frame: QRectF, xs: NDArray[np.float64], ys: NDArray[np.float64]
    ) -> None:
        there = np.isfinite(ys)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPolyline(QPolygonF(self._polygon(frame, xs[there], ys[there])))
