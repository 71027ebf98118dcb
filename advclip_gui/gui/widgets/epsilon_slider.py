"""A slider for epsilon: fine where predictions flip, with a ruler that can mark an interval."""

from __future__ import annotations

import math
from typing import NamedTuple

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QKeyEvent, QPainter, QPaintEvent, QPolygonF, QWheelEvent
from PySide6.QtWidgets import QSizePolicy, QSlider, QVBoxLayout, QWidget

from advclip_gui.gui import theme

_POSITIONS = 2000
_HANDLE_HALF = 8
"""Half the handle of the theme's slider: the handle's middle travels this far inside the edges."""


class Scale(NamedTuple):
    """A slider's range. Lengths in pixel units; `unit` is what one is counted in on screen."""

    maximum: float
    unit: float
    snap: float
    ticks: tuple[float, ...]
    name: str


LINF = Scale(16 / 255, 1 / 255, 0.05 / 255, (0, 0.5, 1, 2, 4, 8, 16), "255ths of the pixel range")
L2 = Scale(3.0, 1.0, 0.01, (0, 0.1, 0.25, 0.5, 1, 2, 3), "Euclidean length in pixel units")


class _Slider(QSlider):
    """Steps by the scale's own fineness; leaves the wheel to the page unless it has the focus."""

    stepped = Signal(int)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {
            Qt.Key.Key_Left: -1,
            Qt.Key.Key_Down: -1,
            Qt.Key.Key_Right: 1,
            Qt.Key.Key_Up: 1,
            Qt.Key.Key_PageDown: -10,
            Qt.Key.Key_PageUp: 10,
        }
        count = steps.get(Qt.Key(event.key()))
        if count is None:
            super().keyPressEvent(event)
        else:
            self.stepped.emit(count)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus() and event.angleDelta().y():
            self.stepped.emit(1 if event.angleDelta().y() > 0 else -1)
            event.accept()
        else:
            event.ignore()


class _Ruler(QWidget):
    """Numbers beneath the slider, and the interval of the smallest epsilon."""

    def __init__(self, owner: EpsilonSlider) -> None:
        super().__init__(owner)
        self._owner = owner
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        theme.signals().changed.connect(self.update)

    def sizeHint(self) -> QSize:
        look = theme.current()
        return QSize(160, round(QFontMetricsF(look.font(look.caption)).height()) + look.s)

    def paintEvent(self, event: QPaintEvent) -> None:
        look, owner = theme.current(), self._owner
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(look.font(look.caption))
        metrics = QFontMetricsF(painter.font())
        for tick in owner.scale.ticks:
            x = self._x(tick * owner.scale.unit)
            painter.setPen(QColor(look.border_strong))
            painter.drawLine(QPointF(x, 0), QPointF(x, 3))
            text = f"{tick:g}"
            width = metrics.horizontalAdvance(text)
            left = min(max(x - width / 2, 0), self.width() - width)
            painter.setPen(QColor(look.text_muted))
            painter.drawText(QPointF(left, look.xs + metrics.ascent() + 1), text)
        if owner.interval is not None:
            low, high = (self._x(value) for value in owner.interval)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(look.qcolor("adversarial"))
            painter.drawRect(QRectF(low, 0, max(high - low, 2.0), 4))
            painter.drawPolygon(QPolygonF([QPointF(high - 4, 7), QPointF(high + 4, 7), QPointF(high, 1)]))
        painter.end()

    def _x(self, value: float) -> float:
        share = self._owner.share(value)
        return _HANDLE_HALF + share * (self.width() - 2 * _HANDLE_HALF)


class EpsilonSlider(QWidget):
    """Position is the square root of epsilon's share of the range, so small values get most of the way."""

    moved = Signal(float)
    """Epsilon in pixel units, when the user moves the handle."""

    def __init__(self, *, name: str, parent: QWidget | None = None) -> None:
        """Start at 0 on the L-infinity scale."""
        super().__init__(parent)
        self.scale = LINF
        self.interval: tuple[float, float] | None = None
        self._value = 0.0
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.slider = _Slider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, _POSITIONS)
        self.slider.setObjectName(name)
        self.slider.setAccessibleName("Epsilon")
        self.slider.setToolTip(
            "How far the attack may change each pixel. Arrow keys step finely, Page keys ten times that."
        )
        self.slider.setMinimumHeight(22)
        self._ruler = _Ruler(self)
        column.addWidget(self.slider)
        column.addWidget(self._ruler)
        self.setFocusProxy(self.slider)
        self.slider.valueChanged.connect(self._on_position)
        self.slider.stepped.connect(self._on_stepped)

    def value(self) -> float:
        """Epsilon in pixel units."""
        return self._value

    def share(self, value: float) -> float:
        """Where on the slider a length lies, in [0, 1]."""
        return math.sqrt(min(max(value / self.scale.maximum, 0.0), 1.0))

    def set_value(self, value: float) -> None:
        """Move the handle without telling anyone; past the range it stands at the end."""
        self._value = value
        self.slider.blockSignals(True)
        self.slider.setValue(round(self.share(value) * _POSITIONS))
        self.slider.blockSignals(False)

    def set_scale(self, scale: Scale) -> None:
        """Change the range; the interval goes."""
        self.scale = scale
        self.interval = None
        self.set_value(self._value)
        self._ruler.update()

    def set_interval(self, interval: tuple[float, float] | None) -> None:
        """Mark an interval (low, high) in pixel units on the ruler."""
        self.interval = interval
        self._ruler.update()

    def _on_position(self, position: int) -> None:
        value = (position / _POSITIONS) ** 2 * self.scale.maximum
        self._take(round(value / self.scale.snap) * self.scale.snap)

    def _on_stepped(self, steps: int) -> None:
        wanted = (round(self._value / self.scale.snap) + steps) * self.scale.snap
        value = min(max(wanted, 0.0), self.scale.maximum)
        self.set_value(value)
        self.moved.emit(value)

    def _take(self, value: float) -> None:
        if value != self._value:
            self._value = value
            self.moved.emit(value)
