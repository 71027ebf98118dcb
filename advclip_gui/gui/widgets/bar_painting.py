"""Draws the rows of the probability bars: mirrored where there is room, else one bar above the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF

from advclip_gui.gui import probe_text, theme

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QPainter

COMPACT_BELOW = 360
"""Pixels of width under which mirrored bars would be too short to be compared."""
_MARK = 14
_POINTER = 20
_LEFT, _RIGHT = Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight
_MIDDLE = Qt.AlignmentFlag.AlignVCenter


def percent(share: float) -> str:
    """Write a share in [0, 1] for reading: 98.3 %, 0.2 %, <0.1 %."""
    if 0 < share < 0.001:
        return "<0.1 %"
    if 0.999 < share < 1:
        return ">99.9 %"
    return f"{100 * share:.1f} %"


@dataclass(frozen=True)
class BarRow:
    """One class, or the sum of those that have no row.

    Attributes:
        name: what it is called.
        before: clean probability.
        after: probability under attack, None while unknown.
        clean: the model's clean prediction.
        fooled: the prediction under attack.
        role: colour of the bar under attack.
        marks: icons and their colours behind the name.
        rest: the sum of all other classes, told quietly.
    """

    name: str
    before: float
    after: float | None
    clean: bool = False
    fooled: bool = False
    role: str = "clean"
    marks: tuple[tuple[str, str], ...] = ()
    rest: bool = False


class BarPainter:
    """Paints headings and rows into a width; the row's height is given."""

    def __init__(self, painter: QPainter, width: float, height: float) -> None:
        """Paint with `painter`, in rows of `height`."""
        self._painter, self._width, self._height = painter, width, height
        self._look = theme.current()
        bold = QFontMetricsF(self._look.font(weight=QFont.Weight.DemiBold))
        self._write = probe_text.percent if width < COMPACT_BELOW else percent
        self._figure = bold.horizontalAdvance(self._write(0.9999)) + self._look.s

    def paint(self, headings: tuple[str, str], rows: Sequence[BarRow], opacity: float) -> None:
        """Paint everything, in the way that suits the width.

        Args:
            headings: what the two sides are.
            rows: top to bottom.
            opacity: of the rows; the headings stay as they are.
        """
        compact = self._width < COMPACT_BELOW
        (self._compact_headings if compact else self._headings)(headings)
        self._painter.setOpacity(opacity)
        for number, row in enumerate(rows, start=1):
            (self._compact_row if compact else self._row)(row, number * self._height)

    # Side by side ----------------------------------------------------------------------------------

    def _columns(self) -> tuple[QRectF, QRectF, QRectF]:
        gap = self._look.m
        third = (self._width - 2 * gap) / 3
        lefts = (0.0, third + gap, 2 * (third + gap))
        left, middle, right = (QRectF(x, 0, third, self._height) for x in lefts)
        return left, middle, right

    def _headings(self, headings: tuple[str, str]) -> None:
        left, _, right = self._columns()
        for column, text, side in ((left, headings[0], _RIGHT), (right, headings[1], _LEFT)):
            self._heading(column, text, side)

    def _row(self, row: BarRow, top: float) -> None:
        left, middle, right = (column.translated(0, top) for column in self._columns())
        thick = self._height * 0.56
        down = (self._height - thick) / 2
        room = left.width() - self._figure
        track = QRectF(left.right() - room, top + down, room, thick)
        self._bar(track, row.before, "baseline" if row.rest else "clean", row.clean, mirrored=True)
        self._share(left, row.before, row.clean, _LEFT)
        if row.after is not None:
            track = QRectF(right.left(), top + down, room, thick)
            self._bar(track, row.after, row.role, row.fooled)
            self._share(right, row.after, row.fooled, _RIGHT)
        self._name(row, middle, 2 * (_MARK + self._look.xs), Qt.AlignmentFlag.AlignHCenter)
        y = middle.center().y() - _POINTER / 2
        if row.clean:
            spot = QRectF(middle.left() - _POINTER / 4, y, _POINTER, _POINTER)
            theme.icon("menu-left", "clean").paint(self._painter, spot.toRect())
        if row.fooled:
            spot = QRectF(middle.right() - 3 * _POINTER / 4, y, _POINTER, _POINTER)
            theme.icon("menu-right", row.role).paint(self._painter, spot.toRect())

    # One above the other ---------------------------------------------------------------------------

    def _compact_columns(self, top: float) -> tuple[QRectF, QRectF, QRectF, QRectF]:
        """Name, bars, figure before, figure after."""
        gap = self._look.xs
        name = min(self._width * 0.36, 120.0)
        bars = max(self._width - name - 2 * self._figure - gap, 0.0)
        widths = (name, bars, self._figure, self._figure)
        lefts = (0.0, name + gap, name + gap + bars, name + gap + bars + self._figure)
        boxes = [QRectF(x, top, width, self._height) for x, width in zip(lefts, widths, strict=True)]
        return boxes[0], boxes[1], boxes[2], boxes[3]

    def _compact_headings(self, headings: tuple[str, str]) -> None:
        for column, text in zip(self._compact_columns(0.0)[2:], headings, strict=True):
            self._heading(column, text, _RIGHT)

    def _compact_row(self, row: BarRow, top: float) -> None:
        name, bars, before, after = self._compact_columns(top)
        thick = self._height * 0.3
        upper = QRectF(bars.left(), bars.center().y() - thick - 0.5, bars.width(), thick)
        self._bar(upper, row.before, "baseline" if row.rest else "clean", row.clean)
        self._share(before, row.before, row.clean, _RIGHT)
        if row.after is not None:
            self._bar(upper.translated(0, thick + 1), row.after, row.role, row.fooled)
            self._share(after, row.after, row.fooled, _RIGHT)
        self._name(row, name, 0.0, _LEFT)

    # Parts -----------------------------------------------------------------------------------------

    def _heading(self, box: QRectF, text: str, side: Qt.AlignmentFlag) -> None:
        painter, look = self._painter, self._look
        painter.setFont(look.font(look.caption, weight=QFont.Weight.DemiBold))
        painter.setPen(QColor(look.text_muted))
        metrics = QFontMetricsF(painter.font())
        shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, box.width())
        painter.drawText(box, int(side | _MIDDLE), shown)

    def _bar(
        self, track: QRectF, share: float, role: str, predicted: bool, *, mirrored: bool = False
    ) -> None:
        painter, look = self._painter, self._look
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(look.sunken))
        painter.drawRoundedRect(track, 3, 3)
        length = max(track.width() * min(max(share, 0.0), 1.0), 1.0)
        bar = QRectF(track)
        bar.setWidth(length)
        if mirrored:
            bar.moveRight(track.right())
        painter.setBrush(look.qcolor(role, 1.0 if predicted else 0.55))
        painter.drawRoundedRect(bar, min(3.0, length / 2), 3)

    def _share(self, box: QRectF, share: float, predicted: bool, side: Qt.AlignmentFlag) -> None:
        painter, look = self._painter, self._look
        painter.setFont(look.font(weight=QFont.Weight.DemiBold if predicted else QFont.Weight.Normal))
        painter.setPen(QColor(look.text if predicted else look.text_muted))
        painter.drawText(box, int(side | _MIDDLE), self._write(share))

    def _name(self, row: BarRow, box: QRectF, margin: float, side: Qt.AlignmentFlag) -> None:
        """The name and its marks; `margin` is kept free for what else stands there."""
        painter, look = self._painter, self._look
        bold = row.clean or row.fooled
        if row.rest:
            painter.setFont(look.font(look.caption))
            painter.setPen(QColor(look.text_muted))
        else:
            painter.setFont(look.font(weight=QFont.Weight.DemiBold if bold else QFont.Weight.Normal))
            painter.setPen(QColor(look.text))
        marks = (_MARK + look.xs) * len(row.marks)
        metrics = QFontMetricsF(painter.font())
        shown = metrics.elidedText(row.name, Qt.TextElideMode.ElideRight, box.width() - marks - margin)
        width = metrics.horizontalAdvance(shown) + marks
        x = box.left() if side == _LEFT else box.center().x() - width / 2
        painter.drawText(QRectF(x, box.top(), width, box.height()), int(_MIDDLE), shown)
        x += metrics.horizontalAdvance(shown) + look.xs
        for icon, role in row.marks:
            spot = QRectF(x, box.center().y() - _MARK / 2, _MARK, _MARK)
            theme.icon(icon, role).paint(painter, spot.toRect())
            x += _MARK + look.xs
