"""Class probabilities before and after the attack, side by side, with the names in the middle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEasingCurve, QEvent, QSize, Qt, QVariantAnimation
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QHelpEvent,
    QHideEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.bar_painting import BarPainter, BarRow
from advclip_gui.gui.widgets.bar_rows import StableRows

if TYPE_CHECKING:
    from collections.abc import Sequence

ANIMATION_MS = 140
_MARKS = (("check-decagram-outline", "good"), ("bullseye-arrow", "warning"))
"""Behind the true label and the target."""


class ProbabilityBars(QWidget):
    """Two mirrored bar charts; the left one grows to the left, the right one to the right.

    Rows keep their class while epsilon is dragged (`StableRows`). The predicted class of each side is
    bold and pointed at; the true label and the target carry a mark besides the colour. In a narrow place
    the two bars of a class lie one above the other, the clean one on top.
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
        return QSize(220, round(self._row_height() * 7))

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
        bars = BarPainter(painter, self.width(), self._row_height())
        bars.paint(self._headings, self._bar_rows(), 0.5 if self._dimmed else 1.0)
        painter.end()

    def _bar_rows(self) -> list[BarRow]:
        """What is painted at this moment of the animation."""
        clean = _argmax(self._before)
        fooled = _argmax(self._after) if self._after else None
        role = "adversarial" if fooled is not None and fooled != clean else "clean"
        marked = (self._label, self._target)
        rows = [
            BarRow(
                self._names[c],
                self._before[c],
                self._shown[c] if self._shown else None,
                clean=c == clean,
                fooled=c == fooled,
                role=role,
                marks=tuple(mark for mark, one in zip(_MARKS, marked, strict=True) if c == one),
            )
            for c in self._rows.rows
        ]
        shown = set(self._rows.rows)
        others = [c for c in range(len(self._names)) if c not in shown]
        if others:
            rest = sum(self._shown[c] for c in others) if self._shown else None
            text = f"{len(others)} other class" + ("es" if len(others) > 1 else "")
            before = sum(self._before[c] for c in others)
            rows.append(BarRow(text, before, rest, role="baseline", rest=True))
        return rows

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


def _argmax(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)
