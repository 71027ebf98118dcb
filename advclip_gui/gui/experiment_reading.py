"""Reads and writes an experiment's figures, and looks at its data, off the main thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from advclip_gui.engine.experiments.figures import read_figures
from advclip_gui.engine.experiments.folder import ExperimentFolder
from advclip_gui.engine.experiments.tables import save_figures
from advclip_gui.engine.experiments.test_sets import find_test_sets
from advclip_gui.engine.experiments.unfinished import unfinished

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.records import DatasetScan
    from advclip_gui.engine.experiments.definition import ExperimentSettings
    from advclip_gui.engine.experiments.figures import Figures
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.job_handle import ErrorInfo, JobHandle


class ExperimentReader(QObject):
    """One reading at a time; what changes meanwhile is read once more."""

    read = Signal(object, object)
    """The folder and its Figures."""
    saved = Signal(object)
    """The file that was written."""
    failed = Signal(object)
    """ErrorInfo."""
    cut_off = Signal(object)
    """A tuple of Unfinished."""

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

    def look_for_cut_off(self, root: Path | None) -> None:
        """Look for experiments that can go on; `cut_off` follows."""
        handle = self._io.submit(lambda _control: unfinished(root), "Looking for experiments")
        handle.finished.connect(self.cut_off)
        handle.failed.connect(self.failed)

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


class DataCheck(QObject):
    """Whether the data can give what an experiment asks for: shots, seeds, and images left to test on.

    Attributes:
        settings: checked last, or being checked.
        images: of the largest test set; None while that is not known.
        problem: why it cannot be done, "" where it can or is not known yet.
    """

    done = Signal()

    def __init__(self, io: IoPool, parent: QObject | None = None) -> None:
        """Nothing is checked yet."""
        super().__init__(parent)
        self._io = io
        self._handle: JobHandle | None = None
        self.settings: ExperimentSettings | None = None
        self.images: int | None = None
        self.problem = ""

    def passed(self, settings: ExperimentSettings) -> bool:
        """Whether these are known to be possible."""
        return self.settings == settings and self._handle is None and not self.problem

    def asks(self, settings: ExperimentSettings) -> bool:
        """Whether these are being checked."""
        return self.settings == settings and self._handle is not None

    def refuses(self, settings: ExperimentSettings) -> str:
        """Why these cannot be done, as far as that is known."""
        return self.problem if self.settings == settings else ""

    def ask(self, settings: ExperimentSettings, known: DatasetScan | None) -> None:
        """Look at the data; `done` follows, unless something else is asked for meanwhile.

        Args:
            settings: of the experiment.
            known: its data with all classes, where it has been scanned.
        """
        if settings == self.settings:
            if self._handle is None:
                self.done.emit()
            return
        if self._handle is not None:
            self._handle.cancel()
        self.settings, self.images, self.problem = settings, None, ""

        def work(control: Control) -> object:
            return max(len(one.samples) for one in find_test_sets(settings, control, known=known))

        self._handle = self._io.submit(work, "Checking the data of an experiment")
        self._handle.finished.connect(self._on_found)
        self._handle.failed.connect(self._on_failed)

    def forget(self) -> None:
        """Look again next time."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle, self.settings = None, None

    def _on_found(self, images: int) -> None:
        if self.sender() is self._handle:
            self._handle, self.images = None, images
            self.done.emit()

    def _on_failed(self, error: ErrorInfo) -> None:
        if self.sender() is self._handle:
            self._handle, self.problem = None, error.sentence
            self.done.emit()
