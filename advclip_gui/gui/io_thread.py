"""Torch-free work (scans, thumbnails, lists of runs) off the main thread."""

from __future__ import annotations

import logging
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.gui.bridge import Bridge, ErrorInfo, explain_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from advclip_gui.gui.job_handle import JobHandle

_log = logging.getLogger(__name__)


class IoPool(QObject):
    """A few threads for reading files; same handles and same rules as the GPU thread."""

    def __init__(self, parent: QObject | None = None, *, workers: int | None = None) -> None:
        """Start with no thread; they come with the first work."""
        super().__init__(parent)
        self._bridge = Bridge(self)
        count = workers or max(2, min(4, os.cpu_count() or 2))
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="io")
        self._futures: dict[int, Future[None]] = {}
        self._lock = threading.Lock()
        self._closed = False

    def submit(
        self, work: Callable[[Control], object], title: str = "", *, lasting: bool = False
    ) -> JobHandle:
        """Run `work(control)` on a pool thread; its result comes with `finished`.

        `work` should call `control.check()` or `control.progress(...)` now and then. Closing the window
        asks first while something `lasting` is at work.
        """
        handle = self._bridge.open(title, self._withdraw)
        handle.lasting = lasting
        key, control = handle.key, handle.control
        if self._closed:
            self._bridge.post(key, "cancelled")
            return handle
        with self._lock:
            future = self._pool.submit(self._run, key, work, control)
            self._futures[key] = future
        return handle

    @property
    def jobs(self) -> tuple[JobHandle, ...]:
        """Work that has not ended, oldest first."""
        return self._bridge.handles

    def shut_down(self) -> None:
        """Cancel everything and wait for the threads."""
        self._closed = True
        for handle in self._bridge.handles:
            handle.cancel()
        self._pool.shutdown(wait=True)
        self._bridge.drain_all()

    def _withdraw(self, key: int) -> bool:
        with self._lock:
            future = self._futures.get(key)
            withdrawn = future is not None and future.cancel()
            if withdrawn:
                del self._futures[key]
        if withdrawn:
            self._bridge.post(key, "cancelled")
        return withdrawn

    def _run(self, key: int, work: Callable[[Control], object], control: Control) -> None:
        outcome: tuple[str, object] = ("failed", ErrorInfo("The work ended without a result."))
        try:
            control.check()
            self._bridge.post(key, "started")
            outcome = ("finished", work(control))
        except Cancelled:
            outcome = ("cancelled", None)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (the job boundary: logged and reported)
            _log.info("Background work failed", exc_info=True)
            outcome = ("failed", explain_error(error))
        finally:
            with self._lock:
                self._futures.pop(key, None)
            self._bridge.post(key, *outcome)
