"""The growing table and plot of an experiment, and their export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QPainter
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from advclip_gui.engine.experiments.plot import DARK, LIGHT, plot_svg
from advclip_gui.engine.experiments.tables import cells_of
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Button, EmptyState, Muted
from advclip_gui.gui.widgets.figure_table import FigureTable
from advclip_gui.gui.widgets.segmented import Segmented

if TYPE_CHECKING:
    from PySide6.QtGui import QPaintEvent, QResizeEvent

    from advclip_gui.engine.experiments.figures import Figures

_FORMATS = (
    "CSV table (*.csv)",
    "Markdown table (*.md)",
    "LaTeX table (*.tex)",
    "SVG plot (*.svg)",
    "PNG plot (*.png)",
    "PDF plot (*.pdf)",
)
_HEAD = ("Test set", "Method", "Shots", "Seeds", "Images", "Clean (%)", "Robust (%)")


class PlotView(QWidget):
    """Paints the plot as wide as there is room, in the colours of the window."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Nothing to show yet."""
        super().__init__(parent)
        self.setObjectName("experimentPlot")
        self.setAccessibleName("Accuracy over shots")
        self._figures: Figures | None = None
        self._renderer = QSvgRenderer(self)
        theme.signals().changed.connect(self._draw)

    def show_figures(self, figures: Figures | None) -> None:
        """Draw other figures."""
        self._figures = figures
        self._draw()

    def _draw(self) -> None:
        if self._figures is not None:
            svg = plot_svg(self._figures, DARK if theme.current().dark else LIGHT)
            self._renderer.load(QByteArray(svg.encode("utf-8")))
        self._fit()
        self.update()

    def _fit(self) -> None:
        size = self._renderer.defaultSize() if self._figures is not None else QSize(1, 1)
        self.setFixedHeight(max(1, round(size.height() * self.width() / max(1, size.width()))))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the shape."""
        super().resizeEvent(event)
        self._fit()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint."""
        if self._figures is not None:
            painter = QPainter(self)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._renderer.render(painter, QRectF(self.rect()))
            painter.end()


class ExperimentResults(QWidget):
    """Table or plot; what is read with them below."""

    export_requested = Signal(object)
    """The file that table or plot are to be written to; its ending says which."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Nothing to show yet."""
        super().__init__(parent)
        self.setObjectName("experimentResults")
        self.figures: Figures | None = None
        self.folder: Path | None = None
        look = theme.current()
        self.view = Segmented(
            (("table", "Table", "Mean and deviation over seeds."), ("plot", "Plot", "Accuracy over shots.")),
            name="experimentView",
            label="Show",
        )
        self.export_button = Button(
            "Export…",
            "export-variant",
            name="experimentExport",
            tip="Save as CSV, Markdown, LaTeX, SVG, PNG or PDF, as far as it has come.",
        )
        self.export_button.setAutoDefault(False)
        self.export_button.clicked.connect(self._choose_export)
        self.table = FigureTable(name="experimentTable", label="Figures of the experiment")
        self.plot = PlotView()
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inside = QWidget()
        inner = QVBoxLayout(inside)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.addWidget(self.plot)
        inner.addStretch(1)
        scroll.setWidget(inside)
        self.stack = QStackedWidget()
        self.empty = EmptyState(
            "chart-line",
            "No figures yet",
            "Every model that is measured adds a line to one table and a point to one plot, mean and "
            "deviation over the seeds. Both can be saved at any time.",
        )
        for page in (self.table, scroll, self.empty):
            self.stack.addWidget(page)
        self.notes = Muted("")
        self.notes.setObjectName("experimentNotes")
        row = QHBoxLayout()
        row.setSpacing(look.s)
        row.addWidget(self.view)
        row.addStretch(1)
        row.addWidget(self.export_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.s)
        column.addLayout(row)
        column.addWidget(self.stack, 1)
        column.addWidget(self.notes)
        self.view.chosen.connect(self._on_view)
        self.show_figures(None)

    def show_figures(self, figures: Figures | None) -> None:
        """Show what has been found so far; None is nothing."""
        self.figures = figures
        rows = [cells_of(row) for row in figures.rows] if figures is not None else []
        place = self.table.verticalScrollBar().value()
        self.table.set_rows(_HEAD, rows)
        self.table.verticalScrollBar().setValue(place)
        self.plot.show_figures(figures)
        self.notes.setText(" ".join(figures.notes) if figures is not None else "")
        # Where all is tested on the same images, nobody needs to be told on each line.
        self.table.setColumnHidden(0, figures is not None and len(figures.test_sets) == 1)
        header = self.table.horizontalHeader()
        if rows:
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        # Methods are words, not figures.
        words = [self.table.item(row, 1) for row in range(len(rows))]
        for item in (self.table.horizontalHeaderItem(1), *words):
            if item is not None:
                item.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        for widget in (self.view, self.export_button):
            widget.setVisible(figures is not None)
        self._on_view(self.view.value())

    def _choose_export(self) -> None:
        plot = self.view.value() == "plot"
        start = (self.folder or Path.home()) / ("plot.pdf" if plot else "table.csv")
        # What is on screen comes first.
        formats = ";;".join(reversed(_FORMATS) if plot else _FORMATS)
        chosen, kind = QFileDialog.getSaveFileName(self, "Export table or plot", str(start), formats)
        if chosen:
            path = Path(chosen)
            ending = kind.rpartition("*")[2].rstrip(")")
            self.export_requested.emit(path if path.suffix else path.with_suffix(ending))

    def _on_view(self, key: str) -> None:
        if self.figures is None:
            self.stack.setCurrentWidget(self.empty)
        else:
            self.stack.setCurrentIndex(0 if key == "table" else 1)
