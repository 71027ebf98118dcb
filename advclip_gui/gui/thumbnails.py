"""Thumbnails read off the main thread: newest request first, a bounded number kept."""

from __future__ import annotations

import os
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage

from advclip_gui.gui import theme
from advclip_gui.gui.thumbnail_reading import read_thumbnails

if TYPE_CHECKING:
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.job_handle import JobHandle

BATCH = 12
"""Images in one job: few enough that a scroll is answered at once."""
IN_FLIGHT = 1 if (os.cpu_count() or 1) <= 2 else 2
"""Jobs at a time: one processor is the window's."""
WAITING = 240
"""Requests that are remembered; what was scrolled past long ago is not worth reading."""
CACHE_BYTES = 64 * 2**20
"""Pixels that one loader keeps at most, however fine the screen is."""


class ThumbnailLoader(QObject):
    """Gives square thumbnails by path; what is not there yet is read and announced by `loaded`."""

    loaded = Signal(list)
    """Relative paths whose thumbnails can be asked for now."""

    def __init__(
        self,
        io: IoPool,
        *,
        side: int = 96,
        ratio: float = 1.0,
        capacity: int = 1500,
        parent: QObject | None = None,
    ) -> None:
        """Prepare an empty cache.

        Args:
            io: reads the files.
            side: edge of a thumbnail in device-independent pixels.
            ratio: device pixels per device-independent pixel.
            capacity: thumbnails kept, fewer where they would take more than `CACHE_BYTES`.
            parent: the owner.
        """
        super().__init__(parent)
        self._io = io
        self._side = side
        self._ratio = ratio
        self._capacity = max(1, min(capacity, int(CACHE_BYTES / (4 * (side * ratio) ** 2))))
        self._root = Path()
        self._radius = theme.current().radius_small * ratio
        self._cache: OrderedDict[str, QImage] = OrderedDict()
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._asked: set[str] = set()
        self._jobs: dict[JobHandle, tuple[str, ...]] = {}

    @property
    def side(self) -> int:
        """Edge of a thumbnail in device-independent pixels."""
        return self._side

    @property
    def cached(self) -> int:
        """Number of thumbnails kept."""
        return len(self._cache)

    @property
    def busy(self) -> bool:
        """Whether files are being read, or wait for it."""
        return bool(self._jobs or self._waiting)

    def set_root(self, root: Path) -> None:
        """Forget everything and read from another folder."""
        self.stop()
        self._cache.clear()
        self._root = root

    def stop(self) -> None:
        """Drop all requests."""
        self._waiting.clear()
        self._asked.clear()
        for job in tuple(self._jobs):
            job.cancel()
        self._jobs.clear()

    def picture(self, path: str) -> QImage | None:
        """Return a thumbnail, a null image for a file that cannot be read, or None for "later"."""
        found = self._cache.get(path)
        if found is not None:
            self._cache.move_to_end(path)
            return found
        if path not in self._asked:
            self._waiting[path] = None
            self._waiting.move_to_end(path)
            while len(self._waiting) > WAITING:
                self._waiting.popitem(last=False)
            self._pump()
        return None

    def _pump(self) -> None:
        while self._waiting and len(self._jobs) < IN_FLIGHT:
            paths = tuple(self._waiting.popitem(last=True)[0] for _ in range(min(BATCH, len(self._waiting))))
            self._asked.update(paths)
            edge = round(self._side * self._ratio)
            work = partial(read_thumbnails, self._root, paths, edge, self._radius)
            job = self._io.submit(work)
            self._jobs[job] = paths
            job.ended.connect(self._on_ended)

    def _on_ended(self) -> None:
        job = self.sender()
        paths = self._jobs.pop(job, ())  # type: ignore[call-overload]
        if not paths:
            return  # of a folder that is no longer shown
        self._asked.difference_update(paths)
        images = job.result if isinstance(job.result, dict) else {}  # type: ignore[attr-defined]
        for path in paths:
            # No QPixmap: each would give up the interpreter lock, and wait for the readers to get it back.
            picture = images.get(path) or QImage()
            picture.setDevicePixelRatio(self._ratio)
            self._cache[path] = picture
        while len(self._cache) > self._capacity:
            self._cache.popitem(last=False)
        self.loaded.emit(list(paths))
        self._pump()
