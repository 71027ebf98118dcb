"""Axes that write numbers the way the field does, and a view that zooms with a drag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt, Signal

if TYPE_CHECKING:
    from PySide6.QtGui import QColor

    from advclip_gui.gui import theme

Format = Literal["plain", "percent", "epsilon", "scientific"]
"""3.14; 42 %; 1.5/255; 2.0e-4."""


_LEAST_GAP = 17.0
"""Pixels between two numbers on the y axis below which they would touch."""


def written(value: float, form: Format, *, digits: int = 4) -> str:
    """Write one figure of a plot."""
    if form == "percent":
        return f"{100 * value:.1f} %"
    if form == "epsilon":
        return f"{255 * value:.{digits - 1}g}/255"
    if form == "scientific":
        return f"{value:.2e}" if value else "0"
    return f"{value:.{digits}g}"


class _GridAxis(pg.AxisItem):
    """Keeps the labels of the outermost grid lines, which stand half outside the axis."""

    def boundingRect(self) -> QRectF:
        """Leave room around; pyqtgraph drops what lies outside and forgets it where there is a grid."""
        room = 15.0
        return QRectF(super().boundingRect()).adjusted(-room, -room, room, room)


class FigureAxis(_GridAxis):
    """The y axis: numbers in the plot's form, no ticks, its width fixed so that the plot stays put."""

    def __init__(self, form: Format) -> None:
        """Remember the form."""
        self.form = form
        super().__init__("left", maxTickLength=0)
        self.enableAutoSIPrefix(False)

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        """Label the grid lines."""
        if self.form == "percent":
            places = 0 if spacing >= 0.0099 else 1
            return [f"{100 * value:.{places}f} %" for value in values]
        if self.form == "epsilon":
            return [f"{255 * value:.3g}/255" if value else "0" for value in values]
        if self.form == "scientific":
            return [f"{value:.1e}".replace("e-0", "e-") if value else "0" for value in values]
        return [f"{value:.4g}" for value in values]

    def tickSpacing(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, float]]:
        """Take one level of grid lines; epsilons at round multiples of 1/255."""
        if self.form == "epsilon":
            spread = (maxVal - minVal) * 255
            wanted = max(spread / max(size / 34, 3), 1e-9)
            steps = [unit * 10.0**power for power in range(-4, 4) for unit in (1, 2, 2.5, 5)]
            return [(next((step for step in steps if step >= wanted), 1000) / 255, 0)]
        spacing, offset = next(iter(super().tickSpacing(minVal, maxVal, size)))
        # A small plot has no room for the numbers pyqtgraph would choose.
        room = size / max(maxVal - minVal, 1e-300)
        for factor in (1.0, 2.0, 2.5, 5.0, 10.0):
            if factor * spacing * room >= _LEAST_GAP:
                return [(factor * spacing, offset)]
        return [(10 * spacing, offset)]

    def samples(self) -> str:
        """The widest label there may be."""
        return {"percent": "100 %", "epsilon": "0.75/255", "scientific": "1.0e-4"}.get(self.form, "0.005")


class StepAxis(_GridAxis):
    """The x axis: whole numbers only."""

    def __init__(self) -> None:
        """Make it."""
        super().__init__("bottom", maxTickLength=0)
        self.enableAutoSIPrefix(False)

    def tickSpacing(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, float]]:
        """Take one level of grid lines, never between two steps."""
        spacing, offset = next(iter(super().tickSpacing(minVal, maxVal, size)))
        return [(max(1.0, spacing), offset)]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        """Label the grid lines."""
        return [f"{value:,.0f}" for value in values]


class ZoomBox(pg.ViewBox):
    """Drag a rectangle to look closer, wheel to zoom; no context menu."""

    asked_back = Signal()
    """A double click: show everything again."""

    def __init__(self) -> None:
        """Zoom with a rectangle."""
        super().__init__(enableMenu=False)
        self.setMouseMode(pg.ViewBox.RectMode)
        self.disableAutoRange()

    def mouseDoubleClickEvent(self, event: Any) -> None:
        """Show everything."""
        if event.button() == Qt.MouseButton.LeftButton:
            event.accept()
            self.asked_back.emit()
        else:
            super().mouseDoubleClickEvent(event)

    def paint_selection(self, colour: QColor) -> None:
        """Give the rectangle its colour."""
        self.rbScaleBox.setPen(pg.mkPen(colour, width=1))
        fill = type(colour)(colour)
        fill.setAlphaF(0.15)
        self.rbScaleBox.setBrush(pg.mkBrush(fill))


def paint_axis(axis: pg.AxisItem, look: theme.Theme) -> None:
    """Quiet grid lines, small muted numbers."""
    font = look.font(look.caption)
    axis.setPen(pg.mkPen(look.plot_grid, width=1))
    axis.setTextPen(pg.mkPen(look.text_muted))
    axis.setTickFont(font)
    axis.setStyle(tickTextOffset=look.s // 2 + 2, hideOverlappingLabels=False)
    axis.setGrid(255)
    axis.setZValue(-1000)  # its grid belongs behind the lines, not through their points


def ticks_of(axis: pg.AxisItem, length: float) -> list[tuple[float, str]]:
    """The grid lines of an axis as shown, `length` pixels long: places and labels."""
    low, high = sorted(axis.range)
    found: list[tuple[float, str]] = []
    for spacing, values in axis.tickValues(low, high, length):
        found += list(zip(values, axis.tickStrings(values, 1.0, spacing), strict=True))
    return [(float(value), text) for value, text in found if low <= value <= high]
