"""The area of a plot on pyqtgraph: axes, zoom, and the line under the pointer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, QSize, Signal
from PySide6.QtGui import QColor, QFontMetricsF
from PySide6.QtWidgets import QFrame

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.plot_axes import FigureAxis, Format, StepAxis, ZoomBox, paint_axis

if TYPE_CHECKING:
    from PySide6.QtCore import QObject


class PlotCanvas(pg.PlotWidget):
    """Says where the pointer is and what the user does to the view; draws no figures itself.

    Attributes:
        box: the part of the plane that is shown.
        x_axis: whole numbers.
        y_axis: figures in the plot's form.
    """

    pointed = Signal(object)
    """The x under the pointer, None when it leaves."""
    zoomed = Signal()
    scale_changed = Signal()
    """The window has moved to a screen with finer or coarser pixels."""
    asked_back = Signal()
    """The user wants to see everything again."""

    def __init__(self, form: Format, x_label: str, *, compact: bool) -> None:
        """Make axes and cursor; `compact` leaves the name of the x axis out."""
        self.box = ZoomBox()
        self.x_axis, self.y_axis = StepAxis(), FigureAxis(form)
        super().__init__(viewBox=self.box, axisItems={"left": self.y_axis, "bottom": self.x_axis})
        look = theme.current()
        self._x_label = "" if compact else x_label
        self.setFocusPolicy(pg.QtCore.Qt.FocusPolicy.NoFocus)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setMinimumSize(QSize(4 * look.xxl, look.xxl + look.xl if compact else 4 * look.xxl))
        self.plotItem.hideButtons()
        self.plotItem.setMenuEnabled(False)
        # The menu is never shown, but without a parent it would outlive the plot.
        self.plotItem.ctrlMenu.setParent(self, self.plotItem.ctrlMenu.windowFlags())
        self.plotItem.layout.setContentsMargins(0, look.xs, look.s, 0)
        self._cursor = pg.InfiniteLine(angle=90, movable=False)
        self._label = pg.InfLineLabel(self._cursor, text="{value:,.0f}", position=0.06)
        self._cursor.hide()
        self.plotItem.addItem(self._cursor, ignoreBounds=True)
        self.scene().sigMouseMoved.connect(self._on_mouse)
        self.viewport().installEventFilter(self)
        self.box.sigRangeChangedManually.connect(self._on_zoomed)
        self.box.asked_back.connect(self.asked_back)

    def mark(self, x: float | None) -> None:
        """Show a vertical line with its place, or none."""
        self._cursor.setVisible(x is not None)
        if x is not None:
            self._cursor.setPos(x)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Notice that the pointer leaves."""
        if event.type() == QEvent.Type.Leave and watched is self.viewport():
            self.pointed.emit(None)
        return bool(super().eventFilter(watched, event))

    def event(self, event: QEvent) -> bool:
        """Notice another screen."""
        if event.type() == QEvent.Type.DevicePixelRatioChange:
            self.scale_changed.emit()
        return bool(super().event(event))

    def _on_mouse(self, place: QPointF) -> None:
        inside = self.box.sceneBoundingRect().contains(place)
        self.pointed.emit(float(self.box.mapSceneToView(place).x()) if inside else None)

    def _on_zoomed(self, _axes: object) -> None:
        self.zoomed.emit()

    def dress(self, look: theme.Theme) -> None:
        """Take the theme's colours and sizes."""
        self.setBackground(QColor(look.surface))
        metrics = QFontMetricsF(look.font(look.caption))
        self.y_axis.setWidth(math.ceil(metrics.horizontalAdvance(self.y_axis.samples())) + look.m)
        for axis in (self.x_axis, self.y_axis):
            paint_axis(axis, look)
        if self._x_label:
            style = {"color": look.text_muted, "font-size": f"{look.caption:.1f}pt"}
            self.x_axis.setLabel(self._x_label, **style)
            self.x_axis.setHeight(math.ceil(2 * metrics.height()) + look.m)
        else:
            self.x_axis.setHeight(math.ceil(metrics.height()) + look.s)
        self.box.paint_selection(QColor(look.accent))
        self._cursor.setPen(pg.mkPen(look.text_muted, width=1))
        self._label.setColor(look.text)
        self._label.fill = pg.mkBrush(look.sunken)
        self._label.textItem.setFont(look.font(look.caption))
