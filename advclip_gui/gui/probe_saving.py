"""Saves the probe on screen: asks where, writes the three files off the main thread, tells how it went."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from advclip_gui.gui.probe_reading import save_result

if TYPE_CHECKING:
    from advclip_gui.engine.probe_types import ProbeResult
    from advclip_gui.gui.bridge import JobHandle
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.probe_controller import Question


class ProbeSaver(QObject):
    """One save at a time."""

    saved = Signal(object)
    """The paths."""
    failed = Signal(object)
    busy_changed = Signal()

    def __init__(self, io: IoPool, parent: QWidget) -> None:
        """Dialogs stand above `parent`."""
        super().__init__(parent)
        self._io, self._window = io, parent
        self._handle: JobHandle | None = None

    @property
    def busy(self) -> bool:
        """Whether files are being written."""
        return self._handle is not None

    def ask(self, question: Question, result: ProbeResult) -> None:
        """Let the user choose a name, and write."""
        stem = f"{Path(question.image.title).stem}-{result.request.attack}".replace(" ", "-").lower()
        name, _ = QFileDialog.getSaveFileName(
            self._window, "Save this probe", f"{stem}.json", "Probe (*.json)"
        )
        if name:
            self.save_to(question, result, Path(name))

    def save_to(self, question: Question, result: ProbeResult, path: Path) -> None:
        """Write PATH.json and the two images beside it."""
        self._handle = self._io.submit(partial(save_result, result, question, path), "Saving the probe")
        self._handle.finished.connect(self.saved)
        self._handle.failed.connect(self.failed)
        self._handle.ended.connect(self._on_ended)
        self.busy_changed.emit()

    def _on_ended(self) -> None:
        self._handle = None
        self.busy_changed.emit()
