"""One long-lived QThread that owns the device and runs jobs in order of priority."""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import threading
import traceback
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol

from PySide6.QtCore import QThread

from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.gui.job_handle import ErrorInfo, explain_error

if TYPE_CHECKING:
    from PySide6.QtCore import QObject

_log = logging.getLogger(__name__)

Post = Callable[[int, str, object], None]
"""`Bridge.post`: key of the job, kind of message, payload."""
SessionFactory = Callable[[], Any]
ENGINE_KEY = 0
"""Key under which the thread reports that the engine is loaded, or why not."""


class Priority(IntEnum):
    """Which job goes first; interactive ones are also served between two training steps."""

    INTERACTIVE = 0
    TRAINING = 10
    BATCH = 20


class GaveWay(Exception):  # noqa: N818 (an outcome, not an error)
    """A job with `gives_way` left its work where it stood; it is queued again and goes on later."""


class Job(Protocol):
    """Work for the device; `run` is called on the GPU thread."""

    title: str
    priority: int

    def run(self, session: Any, control: Control) -> object:
        """Do the work and return the result; raise `Cancelled` when asked to end."""
        ...


def make_session() -> Any:
    """Import torch, open_clip and peft (seconds), leave one core to the window, open the device."""
    import torch

    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
    from advclip_gui.engine.session import Session

    return Session("auto")


class GpuThread(QThread):
    """Runs `Job`s one after the other; whatever happens, each ends in exactly one outcome.

    `submit` and `withdraw` may be called from any thread. The control of a training job has
    `serve_waiting` as its `serve`.
    """

    def __init__(
        self, post: Post, session_factory: SessionFactory = make_session, parent: QObject | None = None
    ) -> None:
        """Keep where to report and how to open the device; nothing is imported before `start`."""
        super().__init__(parent)
        self.setObjectName("gpuThread")
        self._post = post
        self._session_factory = session_factory
        self._session: Any = None
        self._broken: ErrorInfo | None = None
        self._queue: list[tuple[int, int, int, Job, Control]] = []
        self._condition = threading.Condition()
        self._order = itertools.count()
        self._quit = False
        self._running: list[tuple[Job, Control]] = []

    def submit(self, key: int, job: Job, control: Control) -> None:
        """Queue a job."""
        with self._condition:
            refused = self._quit
            if not refused:
                heapq.heappush(self._queue, (int(job.priority), next(self._order), key, job, control))
                self._condition.notify()
        if refused:
            self._post(key, "cancelled", None)

    def withdraw(self, key: int) -> bool:
        """Take a job that has not begun out of the queue and report it as cancelled."""
        with self._condition:
            kept = [item for item in self._queue if item[2] != key]
            found = len(kept) != len(self._queue)
            self._queue[:] = kept
            heapq.heapify(self._queue)
        if found:
            self._post(key, "cancelled", None)
        return found

    def shut_down(self, timeout_ms: int = 15_000) -> bool:
        """Cancel everything, end the loop and wait; True if the thread is gone."""
        with self._condition:
            self._quit = True
            for _, control in self._running:
                control.cancel()
            self._condition.notify_all()
        gone = not self.isRunning() or self.wait(timeout_ms)
        if gone:
            self._drop_queue()
        return gone

    def run(self) -> None:
        """Thread body: open the engine, then serve the queue until told to quit."""
        try:
            if not self._quit:
                self._open_engine()
            while (item := self._next()) is not None:
                self._execute(*item)
        finally:
            with self._condition:
                self._quit = True  # whatever ended the loop, later jobs must not wait for ever
            self._drop_queue()
            self._close_engine()

    def serve_waiting(self) -> None:
        """Run jobs that may come between two steps of the job at hand, and everything while it is paused.

        Raises:
            GaveWay: the job at hand keeps a training waiting and can be gone on with later.
        """
        with self._condition:
            job, owner = self._running[-1]
            if getattr(job, "gives_way", False) and not owner.cancelled and self._training_waits():
                raise GaveWay
        while not owner.cancelled:
            limit = Priority.BATCH if owner.paused else Priority.INTERACTIVE
            with self._condition:
                if self._quit or not self._queue:
                    return
                waiting = [item for item in self._queue if item[0] <= limit and item[0] != Priority.TRAINING]
                if not waiting:
                    return  # a second training never runs inside the first
                chosen = min(waiting)
                self._queue.remove(chosen)
                heapq.heapify(self._queue)
            self._execute(*chosen[2:])

    def _training_waits(self) -> bool:
        """Whether the job at hand keeps a training from beginning, or one around it from going on."""
        around = [control for job, control in self._running[:-1] if job.priority == Priority.TRAINING]
        if around:
            return not around[-1].paused
        return any(item[0] == Priority.TRAINING for item in self._queue)

    def _drop_queue(self) -> None:
        with self._condition:
            left, self._queue[:] = list(self._queue), []
        for item in left:
            self._post(item[2], "cancelled", None)

    def _open_engine(self) -> None:
        try:
            self._session = self._session_factory()
            text = str(getattr(self._session, "device_text", ""))
            self._post(ENGINE_KEY, "engine_ready", text)
        except Exception as error:  # noqa: BLE001 (the job boundary: a broken installation is reported)
            _log.exception("The engine could not be loaded")
            found = explain_error(error)
            self._broken = ErrorInfo(
                f"The engine could not be loaded. {found.message}",
                "Run 'advclip-gui doctor' or install the program again.",
                found.details,
            )
            self._post(ENGINE_KEY, "engine_failed", self._broken)

    def _close_engine(self) -> None:
        session, self._session = self._session, None
        close = getattr(session, "close", None)
        if close is not None:
            try:
                close()
            except Exception:  # noqa: BLE001 (shutting down: logged, nothing else can be done)
                _log.exception("Closing the engine failed")

    def _next(self) -> tuple[int, Job, Control] | None:
        with self._condition:
            while not self._queue and not self._quit:
                self._condition.wait()
            if self._quit:
                return None
            _priority, _order, key, job, control = heapq.heappop(self._queue)
            return key, job, control

    def _execute(self, key: int, job: Job, control: Control) -> None:
        outcome: tuple[str, object] | None = ("failed", ErrorInfo("The job ended without a result."))
        with self._condition:
            self._running.append((job, control))
            if self._quit:
                control.cancel()
        try:
            control.check()
            self._post(key, "started", None)
            if self._broken is not None:
                outcome = ("failed", self._broken)
            else:
                outcome = ("finished", job.run(self._session, control))
        except Cancelled:
            outcome = ("cancelled", None)
        except GaveWay:
            outcome = None
        except (Exception, SystemExit) as error:  # noqa: BLE001 (the job boundary: logged and reported)
            _log.exception("%s failed", job.title)
            outcome = ("failed", explain_error(error))
            # The traceback's frames keep tensors alive, which matters most when memory has run out.
            traceback.clear_frames(error.__traceback__)
        finally:
            with self._condition:
                self._running.pop()
            if outcome is None:
                self.submit(key, job, control)
            else:
                self._post(key, *outcome)
