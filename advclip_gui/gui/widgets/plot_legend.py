"""The legend of a plot: a sample of each line, its name and its value, wrapped to the width there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetricsF, QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from advclip_gui.gui import theme

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QPaintEvent, QResizeEvent

MARKS = ("o", "s", "t1", "d")
"""pyqtgraph's names for the points of the first, second, ... line: told apart without colour."""


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """A line of the plot.

    Attributes:
        label: its name.
        role: its colour.
        style: "solid", "dashed", "points" or "marked".
        value: the figure beside the name; "" for none.
        mark: one of `MARKS` where its points are drawn, else "".
    """

    label: str
    role: str
    style: str
    value: str
    mark: str = ""


class PlotLegend(QWidget):
    """Painted, so that it prints as it looks."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self._entries: tuple[LegendEntry, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        theme.signals().changed.connect(self._fit)
        self._fit()

    @property
    def entries(self) -> tuple[LegendEntry, ...]:
        """What is shown."""
        return self._entries

    def set_entries(self, entries: Sequence[LegendEntry]) -> None:
        """Show these lines."""
        if tuple(entries) == self._entries:
            return
        self._entries = tuple(entries)
        self._fit()
        self.update()

    @property
    def text(self) -> str:
        """All it says, in one line."""
        return ", ".join(f"{one.label} {one.value}".strip() for one in self._entries)

    def sizeHint(self) -> QSize:
        """As high as its rows."""
        return QSize(10, self.minimumHeight())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Wrap again."""
        super().resizeEvent(event)
        self._fit()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw samples, names and values."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.draw(painter, self.width())
        painter.end()

    def height_for(self, width: float) -> int:
        """Height of all rows at a width."""
        rows = max((row for _entry, _x, row in self._places(width)), default=0) + 1
        return round(rows * self._line_height())

    def draw(self, painter: QPainter, width: float) -> None:
        """Draw at the painter's origin."""
        look = theme.current()
        plain, strong = self._fonts()
        metrics, line = QFontMetricsF(plain), self._line_height()
        middle = int(Qt.AlignmentFlag.AlignVCenter)
        for entry, x, row in self._places(width):
            y = row * line
            _draw_sample(painter, look, QPointF(x, y + line / 2), entry)
            left = x + look.l + look.xs
            painter.setPen(look.qcolor("text_muted"))
            painter.setFont(plain)
            room = max(width - left, 0.0)
            label = metrics.elidedText(entry.label, Qt.TextElideMode.ElideMiddle, room)
            painter.drawText(QRectF(left, y, room, line), middle, label)
            painter.setPen(look.qcolor("text"))
            painter.setFont(strong)
            left += metrics.horizontalAdvance(label) + look.xs
            painter.drawText(QRectF(left, y, max(width - left, 0.0), line), middle, entry.value)

    def _fonts(self) -> tuple[QFont, QFont]:
        look = theme.current()
        return look.font(look.caption), look.font(look.caption, weight=QFont.Weight.DemiBold)

    def _places(self, width: float) -> list[tuple[LegendEntry, float, int]]:
        """Entry, x and row."""
        look = theme.current()
        plain, strong = (QFontMetricsF(font) for font in self._fonts())
        x, row, places = 0.0, 0, []
        for entry in self._entries:
            needed = look.l + look.xs + plain.horizontalAdvance(entry.label)
            needed += look.xs + strong.horizontalAdvance(entry.value)
            if x and x + needed > width:
                x, row = 0.0, row + 1
            places.append((entry, x, row))
            x += needed + look.m
        return places

    def _line_height(self) -> float:
        return QFontMetricsF(self._fonts()[0]).height() + theme.current().xs / 2

    def _fit(self) -> None:
        height = self.height_for(self.width())
        if height != self.minimumHeight() or height != self.maximumHeight():
            self.setFixedHeight(height)


def _draw_sample(painter: QPainter, look: theme.Theme, start: QPointF, entry: LegendEntry) -> None:
    colour = look.qcolor(entry.role)
    if entry.style != "points":
        pen = QPen(colour, look.line)
        if entry.style == "dashed":
            pen.setDashPattern([2.0, 1.5])
        painter.setPen(pen)
        painter.drawLine(start, start + QPointF(look.l, 0))
    if entry.mark:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        draw_mark(painter, start + QPointF(look.l / 2, 0), entry.mark, look.xs - 0.5)
        painter.setBrush(Qt.BrushStyle.NoBrush)


def draw_mark(painter: QPainter, centre: QPointF, mark: str, r: float) -> None:
    """Draw a point in the painter's pen and brush; `r` is half its size."""
    x, y = centre.x(), centre.y()
    if mark == "s":
        painter.drawRect(QRectF(x - r, y - r, 2 * r, 2 * r))
    elif mark in ("t1", "d"):
        corners = [QPointF(x, y - r), QPointF(x + r, y + r), QPointF(x - r, y + r)]
        if mark == "d":
            corners = [QPointF(x, y - r), QPointF(x + r, y), QPointF(x, y + r), QPointF(x - r, y)]
        painter.drawPolygon(QPolygonF(corners))
    else:
        painter.drawEllipse(centre, r, r)
