"""Engine events -> coalesced Qt signals: a buffer that workers fill and a 25 Hz timer drains."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from advclip_gui.engine.control import Control
from advclip_gui.engine.events import Event, Progress
from advclip_gui.gui.gpu_thread import ENGINE_KEY, GpuThread, Job, Priority, SessionFactory, make_session
from advclip_gui.gui.job_handle import ErrorInfo, JobHandle, explain_error

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Backend", "Bridge", "ErrorInfo", "JobHandle", "explain_error"]

OUTCOMES = frozenset({"finished", "failed", "cancelled"})
DRAIN_INTERVAL_MS = 40
_DRAIN_BUDGET_S = 0.012


class Bridge(QObject):
    """Carries what workers report to the handles in the main thread, in order and in batches.

    Created in and owned by the main thread. Workers only call `post`, which appends to a buffer and
    emits one queued signal when the buffer was empty. The first event after a quiet time is handed
    out at once, later ones at 25 Hz; the timer runs only while there is something to drain.
    """

    note = Signal(str, object)
    """What a thread reports about itself (key 0): kind and payload."""
    _wake = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self._lock = threading.Lock()
        self._buffer: deque[tuple[int, str, object]] = deque()
        self._handles: dict[int, JobHandle] = {}
        self._keys = itertools.count(1)
        self._timer = QTimer(self)
        self._timer.setInterval(DRAIN_INTERVAL_MS)
        self._timer.timeout.connect(self._tick)
        self._wake.connect(self._woken, Qt.ConnectionType.QueuedConnection)

    def open(
        self,
        title: str,
        withdraw: Callable[[int], bool],
        *,
        serve: Callable[[], None] | None = None,
        parent: Control | None = None,
    ) -> JobHandle:
        """Make a handle and its control for a new job. Main thread only."""
        key = next(self._keys)

        def report(event: Event) -> None:
            self.post(key, "event", event)

        handle = JobHandle(key, title, Control(report, serve=serve, parent=parent), withdraw)
        self._handles[key] = handle
        return handle

    @property
    def handles(self) -> tuple[JobHandle, ...]:
        """Jobs that have not ended."""
        return tuple(self._handles.values())

    @property
    def draining(self) -> bool:
        """Whether the timer runs."""
        return self._timer.isActive()

    def post(self, key: int, kind: str, payload: object = None) -> None:
        """Queue something for the main thread; callable from any thread.

        Progress reports of one task that follow each other directly are merged into the latest.
        """
        item = (key, kind, payload)
        with self._lock:
            was_empty = not self._buffer
            if not was_empty and _supersedes(item, self._buffer[-1]):
                self._buffer[-1] = item
            else:
                self._buffer.append(item)
        if was_empty:
            self._wake.emit()

    def drain(self) -> None:
        """Hand out what has been posted, for at most a few milliseconds."""
        deadline = time.perf_counter() + _DRAIN_BUDGET_S
        touched: dict[int, JobHandle] = {}
        ended: list[JobHandle] = []
        while True:
            with self._lock:
                if not self._buffer:
                    break
                key, kind, payload = self._buffer.popleft()
            if key == ENGINE_KEY:
                self.note.emit(kind, payload)
                continue
            handle = self._handles.get(key)
            if handle is None:
                continue
            touched[key] = handle
            if kind in OUTCOMES:
                del self._handles[key]
                ended.append(handle)
            handle.deliver(kind, payload)
            if time.perf_counter() > deadline:
                break
        for handle in touched.values():
            handle.drained.emit()
        for handle in ended:
            handle.ended.emit()

    def drain_all(self) -> None:
        """Hand out everything and stop the timer; used at shutdown, when no worker is left."""
        while self._buffer:
            self.drain()
        self._timer.stop()

    def _woken(self) -> None:
        if not self._timer.isActive():
            self._timer.start()
            self.drain()

    def _tick(self) -> None:
        if self._buffer:
            self.drain()
        else:
            self._timer.stop()


def _supersedes(new: tuple[int, str, object], old: tuple[int, str, object]) -> bool:
    """Whether a report makes the one just before it needless."""
    return (
        new[0] == old[0]
        and isinstance(new[2], Progress)
        and isinstance(old[2], Progress)
        and new[2].task == old[2].task
    )


class Backend(QObject):
    """Everything the window knows of the device.

    Attributes:
        device_text: e.g. "CPU, 8 cores"; "" until the engine is loaded.
        ready: whether jobs begin at once.
        engine_error: why the engine could not be loaded, else None.
    """

    engine_ready = Signal(str)
    engine_failed = Signal(object)
    jobs_changed = Signal()

    def __init__(self, session_factory: SessionFactory = make_session, parent: QObject | None = None) -> None:
        """Prepare; nothing is imported before `start`."""
        super().__init__(parent)
        self.device_text = ""
        self.ready = False
        self.engine_error: ErrorInfo | None = None
        self._bridge = Bridge(self)
        self._bridge.note.connect(self._note)
        self._thread = GpuThread(self._bridge.post, session_factory)

    @property
    def jobs(self) -> tuple[JobHandle, ...]:
        """Jobs that have not ended, oldest first."""
        return self._bridge.handles

    def start(self) -> None:
        """Start the thread, which loads the engine; call it once the window is shown."""
        if not self._thread.isRunning():
            self._thread.start()

    def submit(self, job: Job) -> JobHandle:
        """Queue a job; its handle's signals arrive in the main thread."""
        serve = self._thread.serve_waiting if getattr(job, "serves", False) else None
        handle = self._bridge.open(job.title, self._thread.withdraw, serve=serve)
        handle.lasting = bool(getattr(job, "lasting", job.priority == Priority.BATCH))
        handle.ended.connect(self.jobs_changed)
        self._thread.submit(handle.key, job, handle.control)
        self.jobs_changed.emit()
        return handle

    def shut_down(self) -> bool:
        """Cancel everything and wait for the thread; True if it is gone."""
        gone = self._thread.shut_down()
        self._bridge.drain_all()
        return gone

    def _note(self, kind: str, payload: object) -> None:
        if kind == "engine_ready":
            self.ready = True
            self.device_text = str(payload)
            self.engine_ready.emit(self.device_text)
        elif kind == "engine_failed" and isinstance(payload, ErrorInfo):
            self.engine_error = payload
            self.engine_failed.emit(payload)
