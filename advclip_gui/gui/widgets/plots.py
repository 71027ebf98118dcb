"""Lines over steps: theme-aware, live, zoomed with the mouse, read off by hovering, exported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from advclip_gui.engine.errors import StorageError
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.plot_axes import Format, ticks_of, written
from advclip_gui.gui.widgets.plot_canvas import PlotCanvas
from advclip_gui.gui.widgets.plot_export import save_plot
from advclip_gui.gui.widgets.plot_header import PlotHeader
from advclip_gui.gui.widgets.plot_items import BaselineItem, SeriesItem, legend_entries
from advclip_gui.gui.widgets.plot_keys import take_key
from advclip_gui.gui.widgets.plot_legend import PlotLegend
from advclip_gui.gui.widgets.plot_print import PlotPrint
from advclip_gui.gui.widgets.plot_series import (
    Baseline,
    Series,
    Style,
    as_column,
    csv_text,
    end_of_axis,
    ends_of_y,
    nearest_place,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike
    from PySide6.QtGui import QKeyEvent

_ROOM = {True: 0.04, False: 0.08}
"""Free share of the y axis at both ends, where its ends are fixed and where they follow the figures."""


class LinePlot(QWidget):
    """Series with intervals, dashed baselines, and a legend with the figures under the pointer.

    Drag a rectangle to look closer, wheel to zoom, double click to see all; or, with the keyboard,
    arrows to read off, + and - to zoom, Home to see all. What is drawn may be smoothed; what is read
    off and exported is always what was measured.
    """

    saved = Signal(object)
    """The path of an export."""
    failed = Signal(str)
    """Why an export could not be written."""

    def __init__(
        self,
        title: str,
        x_label: str = "Step",
        y_label: str = "",
        *,
        name: str = "plot",
        form: Format = "plain",
        unit: str = "",
        digits: int = 4,
        y_range: tuple[float, float] | None = None,
        from_zero: bool = False,
        compact: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        """Start empty.

        Args:
            title: what is plotted, and under which protocol.
            x_label: name of the x axis.
            y_label: small beside the title: unit, attack, number of images.
            name: object name; that of the parts begins with it.
            form: how figures are written.
            unit: follows every figure of form "plain".
            digits: significant digits of those.
            y_range: fixed ends of the y axis; else it follows the figures.
            from_zero: let the y axis begin at 0.
            compact: for small multiples.
            parent: the owner.
        """
        super().__init__(parent)
        self.setObjectName(name)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._form, self._unit, self._digits = form, unit, digits
        self._y_range, self._from_zero, self._compact = y_range, from_zero, compact
        self._x_label, self._smoothing = x_label, 0.0
        self._total, self._reached = 0.0, 0.0
        self._items: dict[str, SeriesItem] = {}
        self._baselines: dict[str, BaselineItem] = {}
        self._hover_x: float | None = None
        self._zoomed = False
        self.view = PlotCanvas(form, x_label, compact=compact)
        self.view.pointed.connect(self.read_off)
        self.view.zoomed.connect(self._on_zoomed)
        self.view.asked_back.connect(self.reset_zoom)
        self.view.scale_changed.connect(self._dress)
        self.header = PlotHeader(title, y_label, name=name, compact=compact)
        self.title, self.note = self.header.title, self.header.note
        self.reset_button, self.export_button = self.header.reset_button, self.header.export_button
        self.reset_button.clicked.connect(self.reset_zoom)
        self.export_button.chosen.connect(self._export)
        self.legend = PlotLegend()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.current().xs)
        column.addLayout(self.header)
        column.addWidget(self.legend)
        column.addWidget(self.view, 1)
        self.set_title(title)
        theme.signals().changed.connect(self._dress)
        self._dress()
        self._fit()

    # --- figures ------------------------------------------------------------------------------

    @property
    def keys(self) -> tuple[str, ...]:
        """Lines shown, oldest first."""
        return tuple(self._items)

    @property
    def series(self) -> tuple[Series, ...]:
        """Their figures as measured."""
        return tuple(item.series for item in self._items.values())

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """The lines to compare with."""
        return tuple(item.baseline for item in self._baselines.values())

    def values(self, key: str) -> tuple[list[float], list[float]]:
        """Places and figures of a line, as measured."""
        series = self._items[key].series
        return series.xs.tolist(), series.ys.tolist()

    def set_title(self, title: str) -> None:
        """Say what is plotted."""
        self.header.set_title(title)
        self.setAccessibleName(title)

    def set_form(self, form: Format) -> None:
        """Write the figures in another form."""
        if form != self._form:
            self._form = self.view.y_axis.form = form
            self._dress()
            self._show_figures()

    def set_note(self, text: str) -> None:
        """Change the small text beside the title: protocol, attack, n."""
        self.note.setText(text)

    def set_series(
        self,
        key: str,
        xs: ArrayLike,
        ys: ArrayLike,
        label: str = "",
        style: Style = "solid",
        role: str = "clean",
        *,
        interval: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> None:
        """Add or replace a line.

        Args:
            key: which line.
            xs: places, ascending, (N,).
            ys: figures, (N,); NaN or None where there is none (the line then passes over the place).
            label: name in legend and CSV.
            style: "solid", "dashed", "points" or "marked" (a line with its points).
            role: name of a theme colour.
            interval: lower and upper ends, (N,) each, drawn as a band.
        """
        item = self._items.get(key)
        series = Series(key, label or key, role, style, as_column(xs), as_column(ys))
        if interval is not None:
            series.low, series.high = as_column(interval[0]), as_column(interval[1])
        if item is None:
            item = self._items[key] = SeriesItem(self.view.plotItem, series, len(self._items))
        else:
            series.smoother = item.series.smoother
        item.show_series(series, self._smoothing)
        self._changed()

    def set_baseline(
        self,
        key: str,
        y: float,
        label: str,
        role: str = "baseline",
        *,
        above: bool = True,
        in_legend: bool = False,
    ) -> None:
        """Add or move a dashed horizontal line; its label stands above or below it, or in the legend."""
        item = self._baselines.get(key)
        if item is None:
            item = self._baselines[key] = BaselineItem(self.view.plotItem)
        item.show_baseline(Baseline(key, label, role, float(y), above, in_legend), self._written(y))
        self._changed()

    def remove(self, key: str) -> None:
        """Take a line or baseline away."""
        item = self._items.pop(key, None) or self._baselines.pop(key, None)
        if item is not None:
            item.remove()
            self._changed()

    def clear(self) -> None:
        """Take every line away."""
        for key in (*self._items, *self._baselines):
            self.remove(key)
        self.reset_zoom()

    def set_smoothing(self, weight: float) -> None:
        """Draw moving averages with a weight in [0, 1) of the past, and the measured lines faintly."""
        if weight == self._smoothing:
            return
        self._smoothing = weight
        for item in self._items.values():
            item.show_series(item.series, weight)
        self._changed()

    @property
    def smoothing(self) -> float:
        """The weight of the past."""
        return self._smoothing

    def _changed(self) -> None:
        self._fit()
        self._show_figures()

    # --- view ---------------------------------------------------------------------------------

    @property
    def zoomed(self) -> bool:
        """Whether the user looks at a part."""
        return self._zoomed

    def set_total(self, total: float, reached: float = 0.0) -> None:
        """Tell where the x axis may end at most (0: not known) and how far it has to show at least."""
        if (total, reached) != (self._total, self._reached):
            self._total, self._reached = total, reached
            self._fit()

    def reset_zoom(self) -> None:
        """Show everything."""
        self._zoomed = False
        self.reset_button.hide()
        self._fit()

    def _on_zoomed(self, *_axes: object) -> None:
        self._zoomed = True
        self.reset_button.show()

    def _fit(self) -> None:
        if self._zoomed:
            return
        ends = [float(one.xs[-1]) for one in self.series if len(one.xs)]
        last = max([*ends, self._reached])
        end = end_of_axis(last, self._total or None) if last or not self._total else self._total
        self.view.setXRange(0.0, end, padding=0.015)
        # Numbers that nobody has measured would only look like figures.
        self.view.y_axis.setStyle(showValues=bool(ends or self._baselines or self._y_range))
        shown = [item.shown for item in self._items.values()]
        levels = [one.y for one in self.baselines]
        bottom, top = self._y_range or ends_of_y(self.series, shown, levels, from_zero=self._from_zero)
        self.view.setYRange(bottom, top, padding=_ROOM[self._y_range is not None])

    # --- reading off --------------------------------------------------------------------------

    def read_off(self, x: float | None) -> None:
        """Show the figures measured nearest to a place, with a line there; None: the latest ones."""
        self._hover_x = x
        self._show_figures()

    @property
    def place(self) -> float | None:
        """Where figures are read off; None: at each line's end."""
        return nearest_place(self.series, self._hover_x) if self._hover_x is not None else None

    def _show_figures(self) -> None:
        at = self.place
        self.view.mark(at)
        self.legend.set_entries(
            legend_entries(self._items.values(), self._baselines.values(), at, self._written)
        )
        where = "" if at is None else f"{self._x_label} {at:,.0f}: "
        self.setAccessibleDescription(where + self.legend.text)

    def _written(self, value: float) -> str:
        text = written(value, self._form, digits=self._digits)
        return text + self._unit if self._form == "plain" else text

    def zoom(self, factor: float) -> None:
        """Look closer (below 1) or at more (above 1)."""
        self.view.box.scaleBy(x=factor, y=1 if self._y_range else factor)
        self._on_zoomed()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Read off with the arrow keys, zoom with + and -, show everything with Home."""
        if not take_key(self, event.key()):
            super().keyPressEvent(event)

    # --- export -------------------------------------------------------------------------------

    def csv(self) -> str:
        """The measured figures, never the smoothed ones, with all their digits."""
        return csv_text(self._x_label.lower() or "x", self.series, self.baselines)

    def save(self, path: Path) -> Path:
        """Write PNG, SVG or CSV, as the path's ending says. Raises `StorageError`."""
        self.read_off(None)
        printed = self._printed()
        return save_plot(path, printed.size, printed.draw, self.csv(), printed.title)

    def _export(self, path: Path) -> None:
        try:
            self.saved.emit(self.save(path))
        except StorageError as error:
            self.failed.emit(str(error))

    def _printed(self) -> PlotPrint:
        (left, right), (bottom, top) = self.view.box.viewRange()
        smooth = f"smoothed {self._smoothing:.2f}" if self._smoothing > 0 else ""
        return PlotPrint(
            size=QSize(max(self.width(), 480), max(self.height(), 300)),
            title=self.title.text(),
            note=" · ".join(part for part in (self.note.text(), smooth) if part),
            x_label=self._x_label,
            x_range=(left, right),
            y_range=(bottom, top),
            x_ticks=ticks_of(self.view.x_axis, self.view.width()),
            y_ticks=ticks_of(self.view.y_axis, self.view.height()),
            items=tuple(self._items.values()),
            baselines=tuple((one.baseline, one.text) for one in self._baselines.values()),
            legend=self.legend,
        )

    # --- look ---------------------------------------------------------------------------------

    def _dress(self) -> None:
        look = theme.current()
        self.view.dress(look)
        for item in (*self._items.values(), *self._baselines.values()):
            item.paint(look)
        self.legend.update()
