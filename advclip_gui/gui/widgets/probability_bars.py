"""Class probabilities before and after the attack, side by side, with the names in the middle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEasingCurve, QEvent, QRectF, QSize, Qt, QVariantAnimation
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetricsF,
    QHelpEvent,
    QHideEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.bar_rows import StableRows

if TYPE_CHECKING:
    from collections.abc import Sequence

ANIMATION_MS = 140
_MARK = 14
_POINTER = 20


def percent(share: float) -> str:
    """Write a share in [0, 1] for reading: 98.3 %, 0.2 %, <0.1 %."""
    if 0 < share < 0.001:
        return "<0.1 %"
    if 0.999 < share < 1:
        return ">99.9 %"
    return f"{100 * share:.1f} %"


class ProbabilityBars(QWidget):
    """Two mirrored bar charts; the left one grows to the left, the right one to the right.

    Rows keep their class while epsilon is dragged (`StableRows`). The predicted class of each side is
    bold and pointed at; the true label and the target carry a mark besides the colour.
    """

    def __init__(self, rows: int = 6, parent: QWidget | None = None) -> None:
        """Make room for `rows` classes and one row for all others."""
        super().__init__(parent)
        self._rows = StableRows(rows)
        self._preferred = rows
        self._names: tuple[str, ...] = ()
        self._before: tuple[float, ...] = ()
        self._after: tuple[float, ...] = ()
        self._shown: tuple[float, ...] = ()
        self._from: tuple[float, ...] = ()
        self._label: int | None = None
        self._target: int | None = None
        self._headings = ("Before", "After")
        self._dimmed = False
        self._animation = QVariantAnimation(self)
        self._animation.setStartValue(0.0)
        self._animation.setEndValue(1.0)
        self._animation.setDuration(ANIMATION_MS)
        self._animation.setEasingCurve(QEasingCurve.Type.OutCubic)
        self._animation.valueChanged.connect(self._on_progress)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setAccessibleName("Class probabilities before and after the attack")
        self.setToolTip("")
        theme.signals().changed.connect(self.update)

    # What is shown ---------------------------------------------------------------------------------

    def clear(self) -> None:
        """Show nothing; keeps its place."""
        self._names = self._before = self._after = self._shown = ()
        self._animation.stop()
        self._tell()
        self.update()

    def set_subject(
        self,
        class_names: Sequence[str],
        before: Sequence[float],
        after: Sequence[float] | None = None,
        *,
        label: int | None = None,
        target: int | None = None,
        keep_rows: bool = False,
    ) -> None:
        """Show another image or model.

        Args:
            class_names: all classes.
            before: clean probabilities, one per class, sum 1.
            after: probabilities under attack; None while unknown.
            label: the true class, if known.
            target: the class a targeted attack aims at.
            keep_rows: leave the classes where they are; for the same image and another state of the model.
        """
        kept = (
            keep_rows and self._names == tuple(class_names) and (self._label, self._target) == (label, target)
        )
        self._names = tuple(class_names)
        self._before = tuple(before)
        # No higher than all classes and the heading need: the room is the images'.
        self.setMaximumHeight(round(self._row_height() * (len(self._names) + 2)))
        self._label, self._target = label, target
        if kept:
            self.set_after(after)
            return
        self._fit_rows()
        self._choose_rows(after)
        self._after = tuple(after) if after is not None else ()
        self._animation.stop()
        self._shown = self._after
        self._tell()
        self.updateGeometry()
        self.update()

    def set_after(self, after: Sequence[float] | None, *, animate: bool = True) -> None:
        """Show other probabilities under attack for the same subject."""
        if not self._names:
            return
        if after is None:
            self._after = self._shown = ()
        else:
            new = tuple(after)
            self._rows.update(new)
            start = self._shown if len(self._shown) == len(new) else self._before
            self._after, self._from = new, start
            self._animation.stop()
            if animate and self.isVisible():
                self._animation.start()
            else:
                self._shown = new
        self._tell()
        self.update()

    def set_headings(self, before: str, after: str) -> None:
        """Say what the two sides are."""
        self._headings = (before, after)
        self.update()

    def set_dimmed(self, dimmed: bool) -> None:
        """Fade figures that are about to be replaced."""
        if dimmed != self._dimmed:
            self._dimmed = dimmed
            self.update()

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the classes shown, top to bottom."""
        return tuple(self._names[c] for c in self._rows.rows) if self._names else ()

    @property
    def values(self) -> dict[str, tuple[float, float | None]]:
        """Final (not animated) probabilities before and after, for the rows shown."""
        return {
            self._names[c]: (self._before[c], self._after[c] if self._after else None)
            for c in (self._rows.rows if self._names else ())
        }

    # Painting --------------------------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        """Heading and all rows."""
        return QSize(480, round(self._row_height() * (self._preferred + 2)))

    def minimumSizeHint(self) -> QSize:
        """Heading, five rows and the rest."""
        return QSize(280, round(self._row_height() * 7))

    def _row_height(self) -> float:
        look = theme.current()
        return QFontMetricsF(look.font()).height() + look.xs

    def paintEvent(self, event: QPaintEvent) -> None:
        """Headings, then one row per class, then the sum of all others."""
        look = theme.current()
        painter = QPainter(self)
        if not self._names:
            painter.setFont(look.font())
            painter.setPen(QColor(look.text_disabled))
            painter.drawText(
                self.rect(), int(Qt.AlignmentFlag.AlignCenter), "Class probabilities, before and after"
            )
            painter.end()
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        height = self._row_height()
        left, middle, right = self._columns()
        self._paint_headings(painter, look, height)
        painter.setOpacity(0.5 if self._dimmed else 1.0)
        top = height
        clean = max(range(len(self._before)), key=self._before.__getitem__)
        flipped = max(range(len(self._after)), key=self._after.__getitem__) if self._after else None
        for c in self._rows.rows:
            y = QRectF(0, top, 0, height)
            self._paint_bar(painter, look, left, y, self._before[c], "clean", c == clean, mirrored=True)
            if self._shown:
                role = "adversarial" if flipped is not None and flipped != clean else "clean"
                self._paint_bar(painter, look, right, y, self._shown[c], role, c == flipped, mirrored=False)
            self._paint_name(
                painter, look, QRectF(middle.left(), top, middle.width(), height), c, clean, flipped
            )
            top += height
        others = [c for c in range(len(self._names)) if c not in set(self._rows.rows)]
        if others:
            y = QRectF(0, top, 0, height)
            self._paint_bar(
                painter, look, left, y, sum(self._before[c] for c in others), "baseline", False, mirrored=True
            )
            if self._shown:
                rest = sum(self._shown[c] for c in others)
                self._paint_bar(painter, look, right, y, rest, "baseline", False, mirrored=False)
            painter.setFont(look.font(look.caption))
            painter.setPen(QColor(look.text_muted))
            box = QRectF(middle.left(), top, middle.width(), height)
            text = f"{len(others)} other class" + ("es" if len(others) > 1 else "")
            painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), text)
        painter.end()

    def _columns(self) -> tuple[QRectF, QRectF, QRectF]:
        gap = theme.current().m
        third = (self.width() - 2 * gap) / 3
        return (
            QRectF(0, 0, third, 0),
            QRectF(third + gap, 0, third, 0),
            QRectF(2 * (third + gap), 0, third, 0),
        )

    def _paint_headings(self, painter: QPainter, look: theme.Theme, height: float) -> None:
        left, _, right = self._columns()
        painter.setFont(look.font(look.caption, weight=QFont.Weight.DemiBold))
        painter.setPen(QColor(look.text_muted))
        centre = Qt.AlignmentFlag.AlignVCenter
        metrics = QFontMetricsF(painter.font())
        for column, text, side in (
            (left, self._headings[0], Qt.AlignmentFlag.AlignRight),
            (right, self._headings[1], Qt.AlignmentFlag.AlignLeft),
        ):
            shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, column.width())
            painter.drawText(QRectF(column.left(), 0, column.width(), height), int(side | centre), shown)

    def _paint_bar(
        self,
        painter: QPainter,
        look: theme.Theme,
        column: QRectF,
        row: QRectF,
        share: float,
        role: str,
        predicted: bool,
        *,
        mirrored: bool,
    ) -> None:
        font = look.font(weight=QFont.Weight.DemiBold if predicted else QFont.Weight.Normal)
        figure = QFontMetricsF(look.font(weight=QFont.Weight.DemiBold)).horizontalAdvance(">99.9 %") + look.s
        room = column.width() - figure
        thick = row.height() * 0.56
        track = QRectF(0, row.top() + (row.height() - thick) / 2, room, thick)
        track.moveLeft(column.right() - room if mirrored else column.left())
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(look.sunken))
        painter.drawRoundedRect(track, 3, 3)
        length = max(room * min(max(share, 0.0), 1.0), 1.0)
        bar = QRectF(track)
        bar.setWidth(length)
        if mirrored:
            bar.moveRight(track.right())
        painter.setBrush(look.qcolor(role, 1.0 if predicted else 0.55))
        painter.drawRoundedRect(bar, min(3.0, length / 2), 3)
        painter.setFont(font)
        painter.setPen(QColor(look.text if predicted else look.text_muted))
        box = QRectF(column.left(), row.top(), column.width(), row.height())
        side = Qt.AlignmentFlag.AlignLeft if mirrored else Qt.AlignmentFlag.AlignRight
        painter.drawText(box, int(side | Qt.AlignmentFlag.AlignVCenter), percent(share))

    def _paint_name(
        self, painter: QPainter, look: theme.Theme, box: QRectF, c: int, clean: int, flipped: int | None
    ) -> None:
        bold = c in (clean, flipped)
        painter.setFont(look.font(weight=QFont.Weight.DemiBold if bold else QFont.Weight.Normal))
        painter.setPen(QColor(look.text))
        marks = [("check-decagram-outline", "good")] if c == self._label else []
        marks += [("bullseye-arrow", "warning")] if c == self._target else []
        metrics = QFontMetricsF(painter.font())
        taken = (_MARK + look.xs) * len(marks) + 2 * (_MARK + look.xs)
        name = metrics.elidedText(self._names[c], Qt.TextElideMode.ElideRight, box.width() - taken)
        width = metrics.horizontalAdvance(name) + (_MARK + look.xs) * len(marks)
        x = box.center().x() - width / 2
        painter.drawText(QRectF(x, box.top(), width, box.height()), int(Qt.AlignmentFlag.AlignVCenter), name)
        x += metrics.horizontalAdvance(name) + look.xs
        y = box.center().y() - _MARK / 2
        for icon, role in marks:
            theme.icon(icon, role).paint(painter, QRectF(x, y, _MARK, _MARK).toRect())
            x += _MARK + look.xs
        if c == clean:
            spot = QRectF(box.left() - _POINTER / 4, box.center().y() - _POINTER / 2, _POINTER, _POINTER)
            theme.icon("menu-left", "clean").paint(painter, spot.toRect())
        if c == flipped:
            role = "adversarial" if flipped != clean else "clean"
            left = box.right() - 3 * _POINTER / 4
            spot = QRectF(left, box.center().y() - _POINTER / 2, _POINTER, _POINTER)
            theme.icon("menu-right", role).paint(painter, spot.toRect())

    # Behind it -------------------------------------------------------------------------------------

    def _choose_rows(self, after: Sequence[float] | None) -> None:
        pinned = [c for c in (self._label, self._target) if c is not None]
        self._rows.reset(self._before, after, pinned=pinned)

    def _on_progress(self, share: float) -> None:
        if len(self._from) == len(self._after):
            pairs = zip(self._from, self._after, strict=True)
            self._shown = self._after if share >= 1 else tuple(a + (b - a) * share for a, b in pairs)
            self.update()

    def hideEvent(self, event: QHideEvent) -> None:
        """Animate nothing nobody sees."""
        self._animation.stop()
        self._shown = self._after
        super().hideEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show as many rows as fit."""
        super().resizeEvent(event)
        if self._fit_rows() and self._names:
            self._choose_rows(self._after or None)

    def _fit_rows(self) -> bool:
        """Adapt the number of rows to the height; True if it has changed."""
        room = int(self.height() / self._row_height() + 0.1) - 1
        # The row of the others is needed only where not all classes fit.
        fits = max(room if len(self._names) <= room else room - 1, 2)
        changed = fits != self._rows.count
        self._rows.count = fits
        return changed

    def event(self, event: QEvent) -> bool:
        """Show the exact figures of the row under the pointer."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent) and self._names:
            row = int(event.pos().y() / self._row_height()) - 1
            if 0 <= row < len(self._rows.rows):
                QToolTip.showText(event.globalPos(), self._sentence(self._rows.rows[row]), self)
                return True
        return super().event(event)

    def _sentence(self, c: int) -> str:
        after = f", {100 * self._after[c]:.2f} % after" if self._after else ""
        notes = [
            note for note, known in (("true label", self._label), ("target", self._target)) if known == c
        ]
        tail = f" ({', '.join(notes)})" if notes else ""
        return f"{self._names[c]}: {100 * self._before[c]:.2f} % before{after}{tail}"

    def _tell(self) -> None:
        text = (
            "; ".join(self._sentence(c) for c in self._rows.rows) if self._names else "no probabilities yet"
        )
        self.setAccessibleDescription(text)
