"""The right side of the experiments: what is on the device, how far the one shown is, and its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.experiment_text import ended_text, progress_text, waiting_text
from advclip_gui.gui.widgets.basics import Banner, TextLabel
from advclip_gui.gui.widgets.elided_label import ElidedLabel
from advclip_gui.gui.widgets.experiment_results import ExperimentResults
from advclip_gui.gui.widgets.experiment_waiting import FailedCells, QueueView

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from advclip_gui.engine.experiments.figures import Figures
    from advclip_gui.gui.experiment_queue import QueuedExperiment
    from advclip_gui.gui.job_handle import ErrorInfo

_PER_MILLE = 1000


class ExperimentView(QWidget):
    """Shows; what is to be done is decided elsewhere."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Nothing to show yet."""
        super().__init__(parent)
        look = theme.current()
        self.setMinimumWidth(21 * look.xxl)
        self.banner = Banner()
        self.banner.setObjectName("experimentBanner")
        self.banner.clear()
        self.queue = QueueView()
        self.where = TextLabel("", wrap=True)
        self.where.setObjectName("experimentWhere")
        self.bar = QProgressBar()
        self.bar.setObjectName("experimentBar")
        self.bar.setAccessibleName("Progress of the experiment")
        self.bar.setTextVisible(False)
        self.bar.setRange(0, _PER_MILLE)
        self.failed = FailedCells()
        self.results = ExperimentResults()
        self.place = ElidedLabel("", "muted", mode=Qt.TextElideMode.ElideMiddle)
        self.place.setObjectName("experimentPlace")
        self.place.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.s)
        for widget in (self.banner, self.queue, self.where, self.bar, self.failed):
            column.addWidget(widget)
        column.addWidget(self.results, 1)
        column.addWidget(self.place)

    def clear(self) -> None:
        """Another experiment, or none, is going to be shown."""
        self.banner.clear()
        self.results.show_figures(None)
        self.failed.show_failed({}, {}, free=False)
        self.where.setText("")

    def show_place(self, path: Path | None) -> None:
        """Name the folder."""
        self.place.setText(f"Folder: {path}" if path is not None else "")
        self.place.setVisible(path is not None)
        self.results.folder = path

    def show_error(self, error: ErrorInfo, about: str = "") -> None:
        """Say what went wrong, and, in front, with what."""
        self.banner.show_message("error", f"{about}{error.sentence}", error.details)

    def show_figures(self, figures: Figures, *, free: bool) -> None:
        """Show table, plot and failures; `free`: nothing is at work on it."""
        self.results.show_figures(figures)
        self.failed.show_failed(figures.failed, figures.failed_keys, free=free)

    def show_entry(self, entry: QueuedExperiment | None, ahead: Sequence[str], *, ready: bool) -> None:
        """Say how far it is.

        Args:
            entry: the experiment shown while it is on the device or waits, else None.
            ahead: what goes first.
            ready: whether the engine is loaded.
        """
        figures = self.results.figures
        self.bar.setVisible(entry is not None and not entry.waits)
        if entry is None:
            self.where.setText(ended_text(figures) if figures is not None else "")
        elif entry.waits:
            self.where.setText(waiting_text(ahead, ready=ready))
        else:
            told = entry.progress
            self.bar.setRange(0, 0 if told is None and entry.handle.state == "running" else _PER_MILLE)
            self.bar.setValue(0 if told is None else round(_PER_MILLE * told.share))
            self.where.setText(progress_text(told, entry.handle.state, entry.detail))
        self.where.setVisible(bool(self.where.text()))
