"""A probe from disk on the Probe page: opened, run again, and held against what was saved."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from advclip_gui.engine.errors import UserError
from advclip_gui.gui.probe_controller import PickedImage, Question

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.model_ref import ModelRef
    from advclip_gui.engine.probe_files import SavedProbe
    from advclip_gui.engine.probe_types import ProbeResult
    from advclip_gui.gui.bridge import ErrorInfo, JobHandle
    from advclip_gui.gui.io_thread import IoPool


def read_probe(path: Path, control: Control) -> SavedProbe:
    """Read a saved probe. Raises `SettingsError`."""
    from advclip_gui.engine.probe_files import load_probe

    control.check()
    return load_probe(path)


class SavedProbeReader(QObject):
    """Keeps the probe that was opened last, for as long as its image is the one under attack."""

    opened = Signal(object)
    """The image inside the file, as a PickedImage."""
    failed = Signal(object)

    def __init__(self, io: IoPool, parent: QObject | None = None) -> None:
        """Open nothing yet."""
        super().__init__(parent)
        self._io = io
        self._handle: JobHandle | None = None
        self._name = ""
        self.probe: SavedProbe | None = None
        self._image: PickedImage | None = None

    def open(self, path: Path) -> None:
        """Read a file; `opened` follows."""
        self._handle = self._io.submit(partial(read_probe, path), f"Reading {path.name}")
        self._name = path.name
        self._handle.finished.connect(self._on_read)
        self._handle.failed.connect(self._on_failed)

    def of(self, image: PickedImage | None) -> SavedProbe | None:
        """The saved probe this image comes from, None where it is from elsewhere."""
        return self.probe if image is not None and image is self._image else None

    def cancel(self) -> None:
        """Drop what is being read."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.cancel()

    def model(self) -> tuple[ModelRef | None, str]:
        """The model of the probe that is open, or None and a sentence why it cannot be told."""
        from advclip_gui.engine.probe_repeat import model_of

        if self.probe is None:
            return None, ""
        try:
            return model_of(self.probe), ""
        except UserError as error:
            return None, str(error)

    def verdict(self, question: Question, result: ProbeResult) -> tuple[str, str] | None:
        """Level and sentence on whether the saved probe was repeated; None for another attack."""
        saved = self.of(question.image)
        if saved is None or result.request != saved.request:
            return None
        from advclip_gui.engine.probe_repeat import compare

        found = compare(saved, result, templates=question.templates)
        return ("success" if found.same else "warning"), found.sentence

    def _on_read(self, saved: SavedProbe) -> None:
        if self.sender() is not self._handle:
            return
        self._handle = None
        self.probe = saved
        label = saved.model.get("true_label")
        known = isinstance(label, int) and 0 <= label < len(saved.class_names)
        title = str(saved.model.get("image") or self._name)
        self._image = PickedImage(title, saved.image, label if known else None, saved.image)
        self.opened.emit(self._image)

    def _on_failed(self, error: ErrorInfo) -> None:
        if self.sender() is self._handle:
            self._handle = None
            self.failed.emit(error)
