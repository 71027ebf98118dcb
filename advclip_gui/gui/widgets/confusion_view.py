"""A confusion matrix one can read: rows are true classes, columns what the model says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QHelpEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from advclip_gui.gui import theme

if TYPE_CHECKING:
    from collections.abc import Sequence

_LABELS_UP_TO = 30
_LONGEST_LABEL = 84.0


class ConfusionView(QWidget):
    """Each cell's ink is its share of the true class; the diagonal has a colour of its own."""

    def __init__(self, title: str, *, name: str, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.setObjectName(name)
        self._title = title
        self._names: tuple[str, ...] = ()
        self._counts: tuple[tuple[int, ...], ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(220, 220)
        theme.signals().changed.connect(self.update)

    def sizeHint(self) -> QSize:
        """A square."""
        return QSize(400, 400)

    @property
    def counts(self) -> tuple[tuple[int, ...], ...]:
        """What is shown."""
        return self._counts

    def set_matrix(self, title: str, names: Sequence[str], counts: Sequence[Sequence[int]]) -> None:
        """Show another matrix.

        Args:
            title: what it is of.
            names: classes.
            counts: true class x predicted class.
        """
        self._title, self._names = title, tuple(names)
        self._counts = tuple(tuple(row) for row in counts)
        self.setAccessibleName(title)
        self.setAccessibleDescription(self._spoken())
        self.update()

    def most_confused(self, count: int = 3) -> list[tuple[int, int]]:
        """True and predicted class of the commonest mistakes, the worst first."""
        size = len(self._counts)
        wrong = [(i, j) for i in range(size) for j in range(size) if i != j and self._counts[i][j]]
        return sorted(wrong, key=lambda cell: -self._counts[cell[0]][cell[1]])[:count]

    def paintEvent(self, event: QPaintEvent) -> None:
        """Title, labels, cells."""
        look = theme.current()
        painter = QPainter(self)
        painter.setFont(look.font(weight=QFont.Weight.DemiBold))
        painter.setPen(QColor(look.text))
        line = QFontMetricsF(painter.font()).height()
        painter.drawText(QRectF(0, 0, self.width(), line), int(Qt.AlignmentFlag.AlignLeft), self._title)
        if self._counts:
            self._paint_cells(painter, look)
        painter.end()

    def _grid(self) -> tuple[QRectF, float]:
        """Where the cells are, and the size of one."""
        look = theme.current()
        metrics = QFontMetricsF(look.font(look.caption))
        margin = 0.0
        if len(self._names) <= _LABELS_UP_TO:
            widest = max((metrics.horizontalAdvance(name) for name in self._names), default=0.0)
            margin = min(widest, _LONGEST_LABEL) + look.s
        top = QFontMetricsF(look.font()).height() + look.s
        room = min(self.width() - margin, self.height() - top - margin)
        cell = max(room / max(len(self._counts), 1), 1.0)
        return QRectF(margin, top, cell * len(self._counts), cell * len(self._counts)), cell

    def _paint_cells(self, painter: QPainter, look: theme.Theme) -> None:
        grid, cell = self._grid()
        painter.fillRect(grid, QColor(look.sunken))
        gap = 1.0 if cell > 6 else 0.0
        figures = cell >= 20
        painter.setFont(look.font(look.caption))
        metrics = QFontMetricsF(painter.font())
        for i, row in enumerate(self._counts):
            total = max(sum(row), 1)
            for j, count in enumerate(row):
                box = QRectF(grid.left() + j * cell, grid.top() + i * cell, cell - gap, cell - gap)
                share = count / total
                role = "robust" if i == j else "adversarial"
                painter.fillRect(box, QColor(look.surface))
                if count:
                    painter.fillRect(box, look.qcolor(role, _ink(share)))
                if figures and count and metrics.horizontalAdvance(str(count)) < cell:
                    painter.setPen(readable_on(look.qcolor(role, _ink(share)), look))
                    painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), str(count))
        if len(self._names) <= _LABELS_UP_TO:
            self._paint_labels(painter, look, grid, cell)

    def _paint_labels(self, painter: QPainter, look: theme.Theme, grid: QRectF, cell: float) -> None:
        painter.setPen(QColor(look.text_muted))
        metrics = QFontMetricsF(painter.font())
        if cell < metrics.height() * 0.8:
            return
        for index, name in enumerate(self._names):
            text = metrics.elidedText(name, Qt.TextElideMode.ElideRight, _LONGEST_LABEL)
            side = QRectF(0, grid.top() + index * cell, grid.left() - theme.current().xs, cell)
            painter.drawText(side, int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter), text)
            painter.save()
            painter.translate(QPointF(grid.left() + (index + 0.5) * cell, grid.bottom() + look.xs))
            painter.rotate(90)
            below = QRectF(0, -cell / 2, _LONGEST_LABEL + look.s, cell)
            painter.drawText(below, int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter), text)
            painter.restore()

    def event(self, event: QEvent) -> bool:
        """Tell the cell under the pointer."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent) and self._counts:
            grid, cell = self._grid()
            place = QPointF(event.pos()) - grid.topLeft()
            i, j = int(place.y() // cell), int(place.x() // cell)
            if 0 <= i < len(self._counts) and 0 <= j < len(self._counts):
                QToolTip.showText(event.globalPos(), self._sentence(i, j), self)
                return True
        return super().event(event)

    def _sentence(self, i: int, j: int) -> str:
        count, total = self._counts[i][j], sum(self._counts[i])
        share = f" ({100 * count / total:.1f} %)" if total else ""
        verb = "recognised" if i == j else f"taken for {self._names[j]}"
        return f"{self._names[i]} {verb}: {count} of {total}{share}"

    def _spoken(self) -> str:
        total = sum(map(sum, self._counts))
        right = sum(row[i] for i, row in enumerate(self._counts))
        mistakes = "; ".join(self._sentence(i, j) for i, j in self.most_confused())
        return f"{right} of {total} on the diagonal. {mistakes}".strip()


def _ink(share: float) -> float:
    """Opacity of a cell that holds this share of its true class."""
    return 0.08 + 0.82 * share**0.7


def readable_on(colour: QColor, look: theme.Theme) -> QColor:
    """Of the theme's two text colours the one that stands out more from a colour laid over the surface."""
    ground, alpha = QColor(look.surface), colour.alphaF()
    mixed = [
        alpha * over + (1 - alpha) * under
        for over, under in zip(_channels(colour), _channels(ground), strict=True)
    ]
    behind = _luminance(mixed)

    def contrast(text: QColor) -> float:
        light, dark = sorted((_luminance(_channels(text)), behind), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    return max((QColor(look.text), QColor(look.accent_text)), key=contrast)


def _channels(colour: QColor) -> list[float]:
    return [colour.redF(), colour.greenF(), colour.blueF()]


def _luminance(channels: Sequence[float]) -> float:
    """Relative luminance in [0, 1], as WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
