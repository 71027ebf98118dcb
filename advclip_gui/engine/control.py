"""The token every long call takes: cancel, stop, pause, progress and work between steps."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from advclip_gui.engine.events import Event, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

_PAUSE_POLL_S = 0.02


class Cancelled(Exception):  # noqa: N818 (an outcome, not an error)
    """The user asked for the call to end; nothing is wrong."""


class Interrupted(Exception):  # noqa: N818 (an outcome, not an error)
    """A step was left half-done so that a stop or a pause takes effect at once; it is done again."""


def _ignore(event: Event) -> None:
    """Report to nobody."""


class Control:
    """Thread-safe link between a long call and whoever watches it.

    The watcher calls `cancel`, `stop`, `pause` and `resume` from any thread. The call itself calls
    `check` at least once in every attack step or batch, `between_steps` between two training steps,
    and `report` for every event.
    """

    def __init__(
        self,
        report: Callable[[Event], None] | None = None,
        *,
        serve: Callable[[], None] | None = None,
        parent: Control | None = None,
    ) -> None:
        """Keep the listeners.

        Args:
            report: receives every event, on the calling thread.
            serve: runs other short work (a probe) between two training steps and while paused.
            parent: a control whose cancellation also cancels this one.
        """
        self._report = report or _ignore
        self._serve = serve
        self._parent = parent
        self._cancel = threading.Event()
        self._stop = threading.Event()
        self._pause = threading.Event()

    def cancel(self) -> None:
        """End as soon as possible; the result is dropped."""
        self._cancel.set()

    def stop(self) -> None:
        """End after the step at hand and keep what has been learnt."""
        self._stop.set()

    def pause(self) -> None:
        """Hold between two steps."""
        self._pause.set()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._pause.clear()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called here or on the parent."""
        return self._cancel.is_set() or (self._parent is not None and self._parent.cancelled)

    @property
    def stop_requested(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    @property
    def paused(self) -> bool:
        """Whether the call holds, or will at its next step."""
        return self._pause.is_set()

    def check(self) -> None:
        """Raise `Cancelled` if the user asked for it. Cheap: call it in every inner step."""
        if self.cancelled:
            raise Cancelled

    def interruptible(self) -> Control:
        """A view for work that is thrown away and done again: `check` leaves it on stop and pause."""
        return _Interruptible(self)

    def holding(self) -> Control:
        """A view for work that cannot be done again: `check` waits in place while paused."""
        return _Holding(self)

    def counting(self, asked: Callable[[], None]) -> Control:
        """A view whose every `check` is also told of: a long call's steps, while it runs."""
        return _Counting(self, asked)

    def part(self, index: int, count: int) -> Control:
        """A view for one of several equal parts: progress told there is progress of the whole."""
        return _Part(self, index, count)

    def report(self, event: Event) -> None:
        """Hand an event to the watcher."""
        self._report(event)

    def progress(self, task: str, done: int, total: int, detail: str = "", within: float = 0.0) -> None:
        """Check for cancellation and report progress of a named task; `total` 0 means unknown."""
        self.check()
        self._report(Progress(task=task, done=done, total=total, detail=detail, within=within))

    def between_steps(self) -> None:
        """Serve waiting work, hold while paused, and raise `Cancelled` if asked to."""
        while True:
            self.check()
            if self._serve is not None:
                self._serve()
            if not self.paused or self.stop_requested:
                return
            time.sleep(_PAUSE_POLL_S)


class _View(Control):
    """Reports to, and is cancelled with, the control it looks at."""

    def __init__(self, seen: Control) -> None:
        super().__init__(seen.report, parent=seen)
        self._seen = seen


class _Interruptible(_View):
    def check(self) -> None:
        super().check()
        if self._seen.stop_requested or self._seen.paused:
            raise Interrupted


class _Holding(_View):
    def check(self) -> None:
        super().check()
        while self._seen.paused and not self._seen.stop_requested:
            time.sleep(_PAUSE_POLL_S)
            super().check()
        if self._seen.stop_requested:
            raise Interrupted


class _Counting(_View):
    def __init__(self, seen: Control, asked: Callable[[], None]) -> None:
        super().__init__(seen)
        self._asked = asked

    def check(self) -> None:
        self._seen.check()
        self._asked()


class _Part(_View):
    def __init__(self, seen: Control, index: int, count: int) -> None:
        super().__init__(seen)
        self._index, self._count = index, count

    def progress(self, task: str, done: int, total: int, detail: str = "", within: float = 0.0) -> None:
        self._seen.progress(task, self._index * total + done, self._count * total, detail, within)
