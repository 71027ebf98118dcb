"""The colour scale beneath a perturbation: which colour is how much change."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QLinearGradient, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from advclip_gui.gui import theme

_STOPS = 12
_BAR = 8


class PerturbationLegend(QWidget):
    """A gradient between its two ends; keeps its place while there is nothing to explain."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Explain nothing yet."""
        super().__init__(parent)
        self.setObjectName("probeLegend")
        self.low = self.high = ""
        self._colours: tuple[QColor, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Colour scale of the perturbation")
        theme.signals().changed.connect(self.update)

    def sizeHint(self) -> QSize:
        """One line of small text."""
        look = theme.current()
        return QSize(120, round(QFontMetricsF(look.font(look.caption)).height()))

    def clear(self) -> None:
        """Explain nothing."""
        self._show("", "", (), "")

    def show_signed(self, factor: float) -> None:
        """Explain a picture of 0.5 + factor * perturbation."""
        most = _in_255ths(0.5 / factor)
        greys = tuple(QColor.fromRgbF(level, level, level) for level in (0.0, 0.5, 1.0))
        told = (
            f"Each of red, green and blue on its own: grey is no change, black is −{most} and white +{most}; "
            f"amplified {factor:g} times."
        )
        self._show(f"−{most}", f"+{most}", greys, told)

    def show_heat(self, largest: float) -> None:
        """Explain a heat map whose palest colour is a change of `largest`, in pixel units."""
        # Imported here: it brings numpy, which the window does not wait for.
        import numpy as np

        from advclip_gui.engine.perturbation_view import heat_colours

        most = _in_255ths(largest)
        colours = tuple(
            QColor(*(int(channel) for channel in colour))
            for colour in heat_colours(np.linspace(0, 1, _STOPS))
        )
        told = (
            f"How much a pixel changed, whatever the sign, as the mean of red, green and blue: dark blue is "
            f"0, pale yellow {most} in all three."
        )
        self._show("0", most, colours, told)

    def _show(self, low: str, high: str, colours: tuple[QColor, ...], told: str) -> None:
        self.low, self.high, self._colours = low, high, colours
        self.setToolTip(told)
        self.setAccessibleDescription(told)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Low end, gradient, high end."""
        if not self._colours:
            return
        look = theme.current()
        painter = QPainter(self)
        painter.setFont(look.font(look.caption))
        painter.setPen(QColor(look.text_muted))
        metrics = QFontMetricsF(painter.font())
        left = metrics.horizontalAdvance(self.low) + look.s
        right = metrics.horizontalAdvance(self.high) + look.s
        box = QRectF(self.rect())
        flag = Qt.AlignmentFlag
        painter.drawText(box, int(flag.AlignLeft | flag.AlignVCenter), self.low)
        painter.drawText(box, int(flag.AlignRight | flag.AlignVCenter), self.high)
        bar = QRectF(left, box.center().y() - _BAR / 2, box.width() - left - right, _BAR)
        gradient = QLinearGradient(bar.topLeft(), QPointF(bar.right(), bar.top()))
        for place, colour in enumerate(self._colours):
            gradient.setColorAt(place / (len(self._colours) - 1), colour)
        painter.fillRect(bar, gradient)
        painter.setPen(QPen(QColor(look.border), 1))
        painter.drawRect(bar)
        painter.end()


def _in_255ths(length: float) -> str:
    return f"{length * 255:.3g}/255"
