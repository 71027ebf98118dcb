"""Images to attack, from the data, a file or the clipboard, read off the main thread."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from advclip_gui.engine.catalog import entry
from advclip_gui.engine.errors import BackboneError
from advclip_gui.gui.probe_controller import PickedImage
from advclip_gui.gui.probe_reading import read_picture, take_picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from PySide6.QtGui import QImage

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.records import ImageRecord
    from advclip_gui.gui.bridge import ErrorInfo, JobHandle
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.workspace import Workspace


class ImageReader(QObject):
    """Reads one image at a time; a new one cancels what is still under way."""

    read = Signal(object)
    """The image, as a PickedImage."""
    failed = Signal(object)
    """Why the latest one cannot be read, as an ErrorInfo."""

    def __init__(self, workspace: Workspace, io: IoPool, parent: QObject | None = None) -> None:
        """Read nothing yet."""
        super().__init__(parent)
        self._workspace, self._io = workspace, io
        self._handle: JobHandle | None = None
        self._as: tuple[str, int | None] = ("", None)

    @property
    def busy(self) -> bool:
        """Whether an image is being read."""
        return self._handle is not None

    def take_record(self, record: ImageRecord) -> None:
        """Read an image of the data; its class is the true one."""
        scan = self._workspace.scan
        if scan is not None:
            self._read(scan.path_of(record), record.path, scan.class_folders.index(record.class_name))

    def take_file(self, path: Path) -> None:
        """Read any image file; its true class is not known."""
        self._read(path, path.name, None)

    def take_image(self, image: QImage) -> None:
        """Take what was pasted or dropped."""
        self._submit(partial(take_picture, image, self._model_size()), "Pasted image", None)

    def cancel(self) -> None:
        """Drop what is under way."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.cancel()

    def _read(self, path: Path, title: str, label: int | None) -> None:
        self._submit(partial(read_picture, path, self._model_size()), title, label)

    def _submit(self, work: Callable[[Control], object], title: str, label: int | None) -> None:
        self.cancel()
        handle = self._io.submit(work, f"Reading {title}")
        self._handle, self._as = handle, (title, label)
        handle.finished.connect(self._on_read)
        handle.failed.connect(self._on_failed)

    def _on_read(self, pictures: tuple[object, object]) -> None:
        if self.sender() is self._handle:
            self._handle = None
            title, label = self._as
            pixels, preview = pictures
            self.read.emit(PickedImage(title, pixels, label, preview))  # type: ignore[arg-type]

    def _on_failed(self, error: ErrorInfo) -> None:
        if self.sender() is self._handle:
            self._handle = None
            self.failed.emit(error)

    def _model_size(self) -> int:
        """Input size of the backbone, 0 where only the loaded model will tell."""
        try:
            return entry(self._workspace.settings.backbone).image_size
        except BackboneError:
            return 0
