"""Tell how far a transfer is, how fast it goes and how long it will take."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from advclip_gui.engine.control import Control

_REPORT_EVERY_S = 0.1
_SPEED_OVER_S = 5.0


class Meter:
    """Progress with speed and time left, at most ten times a second."""

    def __init__(self, control: Control, task: str, start: int) -> None:
        """Begin now, with `start` bytes that are here already."""
        self._control = control
        self._task = task
        self._samples = deque([(time.monotonic(), start)])
        self._next = 0.0

    def update(self, done: int, total: int, remark: str) -> None:
        """Report bytes done of bytes in all (0: unknown); a remark takes the place of the speed."""
        now = time.monotonic()
        if now < self._next and done != total and not remark:
            return
        self._next = now + _REPORT_EVERY_S
        if remark:
            self._samples.clear()
        self._samples.append((now, done))
        while now - self._samples[0][0] > _SPEED_OVER_S and len(self._samples) > 2:
            self._samples.popleft()
        self._control.progress(self._task, done, total, remark or self._detail(total))

    def _detail(self, total: int) -> str:
        (first_time, first), (last_time, last) = self._samples[0], self._samples[-1]
        # The first chunk may come before the clock has moved, or stand in for a part already here.
        if last_time - first_time < _REPORT_EVERY_S or last <= first:
            return ""
        speed = (last - first) / (last_time - first_time)
        left = f", {duration((total - last) / speed)} left" if total else ""
        return f"{speed / 1e6:.1f} MB/s{left}"


def duration(seconds: float) -> str:
    """Write a time as people say it, rounded up: ``"12 s"``, ``"3 min"``, ``"2 h 1 min"``."""
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
