"""Replays an attack: a slider over its steps, with the loss drawn above it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QHideEvent, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QSlider, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import IconButton, TextLabel

if TYPE_CHECKING:
    from collections.abc import Sequence

PLAY_MS = 180
_HANDLE_HALF = 8


class _LossLine(QWidget):
    """The loss at every step, the step at hand, and the steps at which the prediction is flipped."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.losses: tuple[float, ...] = ()
        self.flipped: tuple[bool, ...] = ()
        self.position = 0
        self.setFixedHeight(26)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        theme.signals().changed.connect(self.update)

    def paintEvent(self, event: QPaintEvent) -> None:
        if len(self.losses) < 2:
            return
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        points = [self._point(index) for index in range(len(self.losses))]
        bottom = self.height() - 1.0
        area = QPainterPath(QPointF(points[0].x(), bottom))
        for point in points:
            area.lineTo(point)
        area.lineTo(points[-1].x(), bottom)
        painter.fillPath(area, look.qcolor("adversarial", 0.12))
        painter.setPen(QPen(look.qcolor("adversarial"), 1.6))
        painter.drawPolyline(points)
        for point, flipped in zip(points, self.flipped, strict=True):
            painter.setPen(QPen(look.qcolor("adversarial"), 1.2))
            painter.setBrush(look.qcolor("adversarial") if flipped else QColor(look.window))
            painter.drawEllipse(point, 2.4, 2.4)
        here = points[self.position]
        painter.setPen(QPen(QColor(look.text), 1.4))
        painter.setBrush(look.qcolor("adversarial") if self.flipped[self.position] else QColor(look.window))
        painter.drawEllipse(here, 4.5, 4.5)
        painter.end()

    def _point(self, index: int) -> QPointF:
        finite = [loss for loss in self.losses if math.isfinite(loss)] or [0.0]
        low, high = min(finite), max(finite)
        loss = self.losses[index] if math.isfinite(self.losses[index]) else high
        share = (loss - low) / (high - low) if high > low else 0.5
        x = _HANDLE_HALF + index / (len(self.losses) - 1) * (self.width() - 2 * _HANDLE_HALF)
        return QPointF(x, self.height() - 6 - share * (self.height() - 12))


class ReplayBar(QWidget):
    """Play button, steps, loss. Emits `moved(index)`; the last index is the result itself."""

    moved = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start without steps."""
        super().__init__(parent)
        look = theme.current()
        self._numbers: tuple[int, ...] = ()
        self._total = 0
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(look.m)
        self.play_button = IconButton("play", "Replay the attack step by step", name="probeReplay")
        self.play_button.setProperty("kind", "plain")
        self.play_button.setMinimumSize(QSize(look.control_height, look.control_height))
        self.play_button.clicked.connect(self._toggle)
        row.addWidget(self.play_button)
        middle = QVBoxLayout()
        middle.setSpacing(0)
        self.line = _LossLine()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setObjectName("probeStepSlider")
        self.slider.setAccessibleName("Step of the attack")
        self.slider.setToolTip(
            "Move through the steps of the attack: image, perturbation, bars and loss go together."
        )
        self.slider.setPageStep(1)
        self.slider.setMinimumHeight(20)
        self.slider.valueChanged.connect(self._on_moved)
        middle.addWidget(self.line)
        middle.addWidget(self.slider)
        row.addLayout(middle, 1)
        texts = QVBoxLayout()
        texts.setSpacing(0)
        self.step_label = TextLabel("", "")
        self.step_label.setObjectName("probeStepText")
        self.loss_label = TextLabel("", "caption")
        self.loss_label.setObjectName("probeLossText")
        for label in (self.step_label, self.loss_label):
            label.setFixedWidth(112)
            texts.addWidget(label)
        row.addLayout(texts)
        self._timer = QTimer(self)
        self._timer.setInterval(PLAY_MS)
        self._timer.timeout.connect(self._advance)
        self.clear()

    @property
    def index(self) -> int:
        """Position, from 0."""
        return self.slider.value()

    @property
    def at_end(self) -> bool:
        """Whether the result itself is shown."""
        return self.slider.value() == self.slider.maximum()

    @property
    def playing(self) -> bool:
        """Whether it moves by itself."""
        return self._timer.isActive()

    def clear(self) -> None:
        """Nothing to replay."""
        self.set_steps((), (), (), 0)

    def set_steps(
        self, numbers: Sequence[int], losses: Sequence[float], flipped: Sequence[bool], total: int
    ) -> None:
        """Take another attack and stand at its end, without telling anyone.

        Args:
            numbers: what each step is called, 0 for the starting point.
            losses: in nats, one per step.
            flipped: whether the prediction differs from the clean one there.
            total: steps of the whole attack.
        """
        self.stop()
        self._numbers, self._total = tuple(numbers), total
        self.line.losses, self.line.flipped = tuple(losses), tuple(flipped)
        self.slider.blockSignals(True)
        self.slider.setRange(0, max(len(numbers) - 1, 0))
        self.slider.setValue(self.slider.maximum())
        self.slider.blockSignals(False)
        self.setEnabled(len(numbers) > 1)
        self._tell()

    def stop(self) -> None:
        """Hold still."""
        self._timer.stop()
        self.play_button.set_icon("play")

    def _toggle(self) -> None:
        if self._timer.isActive():
            self.stop()
            return
        if self.at_end:
            self.slider.setValue(0)
        self._timer.start()
        self.play_button.set_icon("pause")

    def _advance(self) -> None:
        self.slider.setValue(self.slider.value() + 1)
        if self.at_end:
            self.stop()

    def _on_moved(self, index: int) -> None:
        self._tell()
        self.moved.emit(index)

    def _tell(self) -> None:
        index = self.slider.value()
        self.line.position = index
        self.line.update()
        if not self._numbers:
            self.step_label.setText("No steps yet")
            self.loss_label.setText("")
            return
        number = self._numbers[index]
        self.step_label.setText(f"Step {number} of {self._total}" if number else "Start")
        self.loss_label.setText(f"loss {self.line.losses[index]:.3f}")
        self.slider.setAccessibleDescription(f"{self.step_label.text()}, {self.loss_label.text()}")

    def hideEvent(self, event: QHideEvent) -> None:
        """Do not play to nobody."""
        self.stop()
        super().hideEvent(event)
