"""Views of a control: the watcher hears of the whole, its parts stay cancellable at every step."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from advclip_gui.engine.control import Control, Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable

    from advclip_gui.engine.events import Event


class Watched(Control):
    """Everything as the control it looks at, but for the events, which go to `hear`.

    Attributes:
        idle: seconds spent paused, or serving others, between two steps.
    """

    def __init__(self, seen: Control, hear: Callable[[Event], None]) -> None:
        """Look at a control."""
        super().__init__(hear, parent=seen)
        self._seen = seen
        self.idle = 0.0

    def cancel(self) -> None:
        """As in `Control`."""
        self._seen.cancel()

    def stop(self) -> None:
        """As in `Control`."""
        self._seen.stop()

    def pause(self) -> None:
        """As in `Control`."""
        self._seen.pause()

    def resume(self) -> None:
        """As in `Control`."""
        self._seen.resume()

    @property
    def stop_requested(self) -> bool:
        """As in `Control`."""
        return self._seen.stop_requested

    @property
    def paused(self) -> bool:
        """As in `Control`."""
        return self._seen.paused

    def check(self) -> None:
        """As in `Control`."""
        self._seen.check()

    def between_steps(self) -> None:
        """Serve waiting work and hold while paused."""
        began = time.perf_counter()
        self._seen.between_steps()
        self.idle += time.perf_counter() - began


class Evaluating(Watched):
    """For an evaluation: each of its steps serves waiting work, holds while paused, and ends on a stop.

    What is served must not find autograd as the attack around it has left it.
    """

    def check(self) -> None:
        """Raise `Cancelled` or `Interrupted` if the user asked for it."""
        super().check()
        with torch.inference_mode(False), torch.enable_grad():
            self.between_steps()
        if self.stop_requested:
            raise Interrupted
