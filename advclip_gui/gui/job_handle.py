"""What the main thread holds of work that runs elsewhere: its state, its events, its outcome."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from advclip_gui.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from advclip_gui.engine.control import Control


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An error as the user sees it: what happened, what to do, and what to copy into a report."""

    message: str
    hint: str = ""
    details: str = ""

    @property
    def sentence(self) -> str:
        """Message and hint in one line."""
        return f"{self.message} {self.hint}".strip()


OUT_OF_MEMORY = ErrorInfo(
    "The device ran out of memory.",
    "Choose a smaller batch size or backbone, or close other programs that use the device, and start again.",
)

_NO_MEMORY = (
    "out of memory",  # CUDA outside torch's allocator, and MPS
    "alloc_failed",  # cuBLAS, cuDNN
    "not enough memory",  # the CPU allocator on Windows
    "can't allocate memory",  # the CPU allocator elsewhere
)
"""What a plain RuntimeError says where memory has run out."""


def explain_error(error: BaseException) -> ErrorInfo:
    """Turn any exception into a sentence, a way out and the traceback."""
    details = "".join(traceback.format_exception(error))
    if isinstance(error, UserError):
        return ErrorInfo(error.message, error.hint, details)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return ErrorInfo(OUT_OF_MEMORY.message, OUT_OF_MEMORY.hint, details)
    if isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY):
        return ErrorInfo(OUT_OF_MEMORY.message, OUT_OF_MEMORY.hint, details)
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        return ErrorInfo(f"The system refused: {error.strerror}{where}.", "", details)
    text = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    return ErrorInfo(
        f"Something went wrong that should not have: {what}.",
        "The window is alive and nothing saved is lost; the details help to report it.",
        details,
    )


class JobHandle(QObject):
    """A job seen from the main thread. Exactly one of finished, failed, cancelled comes, then `ended`.

    Owned by the main thread; the worker never touches it.

    Attributes:
        control: the token the running call holds.
        title: what the job does, for the status bar.
        key: its number in the bridge.
    """

    started = Signal()
    event = Signal(object)
    """An engine event, in order."""
    drained = Signal()
    """A batch of events has been handed out: the moment to repaint once."""
    finished = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    ended = Signal()
    state_changed = Signal(str)

    def __init__(self, key: int, title: str, control: Control, withdraw: Callable[[int], bool]) -> None:
        """Keep the links; `withdraw(key)` takes a job that has not begun out of its queue."""
        super().__init__()
        self.key = key
        self.title = title
        self.control = control
        self.lasting = False
        """Whether the user waits for it for so long that closing the window asks first."""
        self._withdraw = withdraw
        self._state = "queued"
        self.result: object = None
        self.error: ErrorInfo | None = None

    @property
    def state(self) -> str:
        """One of queued, running, paused, stopping, cancelling, finished, failed, cancelled."""
        return self._state

    @property
    def active(self) -> bool:
        """Whether the job has not ended yet."""
        return self._state not in ("finished", "failed", "cancelled")

    def cancel(self) -> None:
        """End as soon as possible and drop the result."""
        if self.active:
            self.control.cancel()
            self._set_state("cancelling")
            self._withdraw(self.key)

    def stop(self) -> None:
        """End after the step at hand and keep the result; a job that has not begun is cancelled."""
        if self._state == "queued" and self._withdraw(self.key):
            self._set_state("cancelling")
        elif self._state in ("queued", "running", "paused"):
            # It may have begun although word of that is still under way.
            self.control.stop()
            self._set_state("stopping")

    def pause(self) -> None:
        """Hold between two steps; interactive jobs are served meanwhile."""
        if self._state == "running":
            self.control.pause()
            self._set_state("paused")

    def resume(self) -> None:
        """Go on after `pause`."""
        if self._state == "paused":
            self.control.resume()
            self._set_state("running")

    def deliver(self, kind: str, payload: object) -> None:
        """Emit what the worker has posted; called by the bridge in the main thread."""
        if kind == "event":
            self.event.emit(payload)
        elif kind == "started":
            if self._state == "queued":
                self._set_state("running")
            self.started.emit()
        elif kind == "finished":
            self.result = payload
            self._set_state("finished")
            self.finished.emit(payload)
        elif kind == "failed":
            self.error = payload if isinstance(payload, ErrorInfo) else ErrorInfo(str(payload))
            self._set_state("failed")
            self.failed.emit(self.error)
        elif kind == "cancelled":
            self._set_state("cancelled")
            self.cancelled.emit()

    def _set_state(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self.state_changed.emit(state)
