"""Reads and writes an experiment's figures off the main thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from advclip_gui.engine.experiments.figures import read_figures
from advclip_gui.engine.experiments.folder import ExperimentFolder
from advclip_gui.engine.experiments.tables import save_figures

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.experiments.figures import Figures
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.job_handle import JobHandle


class ExperimentReader(QObject):
    """One reading at a time; what changes meanwhile is read once more."""

    read = Signal(object, object)
    """The folder and its Figures."""
    saved = Signal(object)
    """The file that was written."""
    failed = Signal(object)
    """ErrorInfo."""

    def __init__(self, io: IoPool, parent: QObject | None = None) -> None:
        """Nothing is read yet."""
        super().__init__(parent)
        self._io = io
        self._reading: JobHandle | None = None
        self._next: Path | None = None

    def ask(self, path: Path) -> None:
        """Read the figures of an experiment; `read` follows."""
        if self._reading is not None:
            self._next = path
            return

        def work(_control: Control) -> object:
            return path, read_figures(ExperimentFolder(path))

        self._reading = self._io.submit(work, "Reading an experiment")
        self._reading.finished.connect(self._on_read)
        self._reading.failed.connect(self.failed)
        self._reading.ended.connect(self._on_ended)

    def save(self, figures: Figures, path: Path) -> None:
        """Write the table or the plot as it stands; the ending says which."""

        def work(_control: Control) -> object:
            save_figures(figures, path)
            return path

        handle = self._io.submit(work, "Exporting an experiment")
        handle.finished.connect(self.saved)
        handle.failed.connect(self.failed)

    def _on_read(self, found: tuple[Path, Figures]) -> None:
        self.read.emit(*found)

    def _on_ended(self) -> None:
        self._reading = None
        path, self._next = self._next, None
        if path is not None:
            self.ask(path)
