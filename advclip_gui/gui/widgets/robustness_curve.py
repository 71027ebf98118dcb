"""Accuracy over epsilon, one line per model, with 95 % bands; painted so that it prints as it looks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetricsF,
    QHelpEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from advclip_gui.engine.probe_types import length_text
from advclip_gui.engine.report_text import is_baseline
from advclip_gui.gui import theme
from advclip_gui.gui.evaluation_text import with_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.evaluation_result import Evaluation

_ROLES = ("robust", "violet", "amber", "rose", "sky", "clean", "adversarial")
_MARKS = ("circle", "square", "triangle", "diamond")


class _Line:
    """One model: points (epsilon, accuracy, low, high) from the clean accuracy on."""

    def __init__(self, evaluation: Evaluation, role: str, dashed: bool, mark: str) -> None:
        self.title = evaluation.model
        self.norm = evaluation.norm
        self.role, self.dashed, self.mark = role, dashed, mark
        clean = (0.0, evaluation.clean_accuracy, *evaluation.clean_interval)
        levels = [
            (result.epsilon, result.robust_accuracy, *result.interval)
            for result in evaluation.epsilons
            if result.epsilon > 0
        ]
        self.points: list[tuple[float, float, float, float]] = [clean, *levels]


class RobustnessCurve(QWidget):
    """Told apart by colour, by dashes and by the shape of the points. Hover for the exact figure."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self._lines: list[_Line] = []
        self._hover: tuple[int, int] | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(320, 200)
        self.setMouseTracking(True)
        self.setAccessibleName("Accuracy over epsilon")
        theme.signals().changed.connect(self.update)

    def sizeHint(self) -> QSize:
        """Wider than high."""
        return QSize(640, 320)

    def set_evaluations(self, evaluations: Sequence[Evaluation]) -> None:
        """Show these; zero-shot is the dashed baseline."""
        self._lines, used = [], 0
        for index, evaluation in enumerate(evaluations):
            baseline = is_baseline(evaluation)
            role = "baseline" if baseline else _ROLES[used % len(_ROLES)]
            used += not baseline
            self._lines.append(_Line(evaluation, role, baseline, _MARKS[index % len(_MARKS)]))
        self._hover = None
        self.setAccessibleDescription("; ".join(self._sentence(i, j) for i, j in self._all()))
        self.update()

    # Geometry --------------------------------------------------------------------------------------

    def _frame(self) -> QRectF:
        look = theme.current()
        metrics = QFontMetricsF(look.font(look.caption))
        left = metrics.horizontalAdvance("100 %") + look.m
        bottom = 2 * metrics.height() + look.m
        top = metrics.height() * len(self._legend_rows()) + look.l
        return QRectF(left, top, self.width() - left - look.l, max(self.height() - top - bottom, 10.0))

    def _largest(self) -> float:
        return max((point[0] for line in self._lines for point in line.points), default=0.0) or 1 / 255

    def _place(self, frame: QRectF, epsilon: float, share: float) -> QPointF:
        room = frame.width() - 2 * theme.current().m
        x = frame.left() + theme.current().m + epsilon / self._largest() * room
        return QPointF(x, frame.bottom() - share * frame.height())

    def _all(self) -> list[tuple[int, int]]:
        return [(i, j) for i, line in enumerate(self._lines) for j in range(len(line.points))]

    def _legend_rows(self) -> list[list[int]]:
        """Models by row of the legend, as many in a row as fit."""
        look = theme.current()
        metrics = QFontMetricsF(look.font(look.caption))
        rows: list[list[int]] = [[]]
        x = 0.0
        for index, line in enumerate(self._lines):
            width = metrics.horizontalAdvance(line.title) + 3 * look.l
            if rows[-1] and x + width > self.width() - 4 * look.l:
                rows.append([])
                x = 0.0
            rows[-1].append(index)
            x += width
        return rows

    # Painting --------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Grid, bands, lines, points, legend."""
        if not self._lines:
            return
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ground = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(QColor(look.border))
        painter.setBrush(QColor(look.surface))
        painter.drawRoundedRect(ground, look.radius, look.radius)
        frame = self._frame()
        self._paint_grid(painter, look, frame)
        for line in self._lines:
            self._paint_band(painter, look, frame, line)
        # A dashed line over one it coincides with leaves both to be seen.
        for line in sorted(self._lines, key=lambda line: line.dashed):
            self._paint_line(painter, look, frame, line)
        if self._hover is not None:
            i, j = self._hover
            epsilon, share, *_ = self._lines[i].points[j]
            painter.setPen(QPen(QColor(look.text), 1.5))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(self._place(frame, epsilon, share), 8, 8)
        self._paint_legend(painter, look, frame)
        painter.end()

    def _paint_grid(self, painter: QPainter, look: theme.Theme, frame: QRectF) -> None:
        painter.setFont(look.font(look.caption))
        metrics = QFontMetricsF(painter.font())
        for step in range(0, 101, 20):
            y = frame.bottom() - step / 100 * frame.height()
            painter.setPen(QPen(QColor(look.plot_grid), 1))
            painter.drawLine(QPointF(frame.left(), y), QPointF(frame.right(), y))
            painter.setPen(QColor(look.text_muted))
            box = QRectF(0, y - metrics.height() / 2, frame.left() - look.xs, metrics.height())
            painter.drawText(box, int(Qt.AlignmentFlag.AlignRight), f"{step} %")
        taken = -math.inf
        for epsilon in sorted({point[0] for line in self._lines for point in line.points}):
            x = self._place(frame, epsilon, 0).x()
            painter.setPen(QPen(QColor(look.plot_grid), 1))
            painter.drawLine(QPointF(x, frame.top()), QPointF(x, frame.bottom()))
            text = "clean" if epsilon == 0 else length_text(epsilon, self._norm())
            width = metrics.horizontalAdvance(text)
            if x - width / 2 < taken + look.xs:
                continue
            taken = x + width / 2
            painter.setPen(QColor(look.text_muted))
            painter.drawText(QPointF(x - width / 2, frame.bottom() + look.xs + metrics.ascent()), text)
        name = "Epsilon (L∞)" if self._norm() == "Linf" else "Epsilon (L2)"
        box = QRectF(
            frame.left(), frame.bottom() + metrics.height() + look.xs, frame.width(), metrics.height()
        )
        painter.drawText(box, int(Qt.AlignmentFlag.AlignHCenter), name)

    def _norm(self) -> str:
        return "L2" if self._lines and self._lines[0].norm == "L2" else "Linf"

    def _paint_band(self, painter: QPainter, look: theme.Theme, frame: QRectF, line: _Line) -> None:
        upper = [self._place(frame, point[0], point[3]) for point in line.points]
        lower = [self._place(frame, point[0], point[2]) for point in line.points]
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(look.qcolor(line.role, 0.14))
        painter.drawPolygon(QPolygonF([*upper, *reversed(lower)]))

    def _paint_line(self, painter: QPainter, look: theme.Theme, frame: QRectF, line: _Line) -> None:
        pen = QPen(look.qcolor(line.role), look.line)
        pen.setStyle(Qt.PenStyle.DashLine if line.dashed else Qt.PenStyle.SolidLine)
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        places = [self._place(frame, point[0], point[1]) for point in line.points]
        painter.drawPolyline(QPolygonF(places))
        for (epsilon, _, low, high), place in zip(line.points, places, strict=True):
            painter.setPen(QPen(look.qcolor(line.role), 1))
            painter.drawLine(self._place(frame, epsilon, low), self._place(frame, epsilon, high))
            _paint_mark(painter, look, place, line)

    def _paint_legend(self, painter: QPainter, look: theme.Theme, frame: QRectF) -> None:
        painter.setFont(look.font(look.caption, weight=QFont.Weight.DemiBold))
        metrics = QFontMetricsF(painter.font())
        for row, indices in enumerate(self._legend_rows()):
            y = look.s + metrics.height() * (row + 0.5)
            x = frame.left() + look.m
            for index in indices:
                line = self._lines[index]
                pen = QPen(look.qcolor(line.role), look.line)
                pen.setStyle(Qt.PenStyle.DashLine if line.dashed else Qt.PenStyle.SolidLine)
                painter.setPen(pen)
                painter.drawLine(QPointF(x, y), QPointF(x + look.xl, y))
                _paint_mark(painter, look, QPointF(x + look.xl / 2, y), line)
                painter.setPen(QColor(look.text))
                x += look.xl + look.xs
                painter.drawText(QPointF(x, y + metrics.ascent() / 2 - 1), line.title)
                x += metrics.horizontalAdvance(line.title) + look.l

    # Hovering --------------------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Mark the nearest point."""
        frame, best, reach = self._frame(), None, 18.0
        for i, j in self._all():
            epsilon, share, *_ = self._lines[i].points[j]
            away = self._place(frame, epsilon, share) - event.position()
            distance = math.hypot(away.x(), away.y())
            if distance < reach:
                best, reach = (i, j), distance
        if best != self._hover:
            self._hover = best
            self.update()
            if best is not None:
                QToolTip.showText(event.globalPosition().toPoint(), self._sentence(*best), self)
            else:
                QToolTip.hideText()

    def leaveEvent(self, event: QEvent) -> None:
        """Mark nothing."""
        self._hover = None
        self.update()
        super().leaveEvent(event)

    def event(self, event: QEvent) -> bool:
        """Keep the exact figure up while the pointer rests."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent) and self._hover is not None:
            QToolTip.showText(event.globalPos(), self._sentence(*self._hover), self)
            return True
        return super().event(event)

    def _sentence(self, i: int, j: int) -> str:
        line = self._lines[i]
        epsilon, share, low, high = line.points[j]
        where = "clean" if epsilon == 0 else f"at {length_text(epsilon, self._norm())}"  # type: ignore[arg-type]
        return f"{line.title}, {where}: {with_interval(share, (low, high))}"


def _paint_mark(painter: QPainter, look: theme.Theme, place: QPointF, line: _Line) -> None:
    painter.setPen(QPen(QColor(look.surface), 1.2))
    painter.setBrush(look.qcolor(line.role))
    x, y, r = place.x(), place.y(), 4.5
    if line.mark == "circle":
        painter.drawEllipse(place, r, r)
    elif line.mark == "square":
        painter.drawRect(QRectF(x - r, y - r, 2 * r, 2 * r))
    elif line.mark == "triangle":
        painter.drawPolygon(
            QPolygonF([QPointF(x, y - r - 1), QPointF(x + r + 1, y + r), QPointF(x - r - 1, y + r)])
        )
    else:
        corners = [QPointF(x, y - r - 1), QPointF(x + r + 1, y), QPointF(x, y + r + 1), QPointF(x - r - 1, y)]
        painter.drawPolygon(QPolygonF(corners))
