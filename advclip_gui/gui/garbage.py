"""Collect cyclic garbage in the main thread only.

Python collects on whichever thread happens to allocate. On the device's thread that would run the
destructors of widgets and timers there, which Qt forbids: a widget's then waits for ever.
"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL_MS = 250
"""Short, so that little has gathered at each look."""
_BULK = 10_000
"""New objects at one look that can only be data, such as the images of a folder under scan."""
_FULL_EVERY_S = 60.0
"""A full collection takes longer than a frame, so it waits for an idle minute."""


class MainThreadGarbage(QObject):
    """Switches Python's own collection off while it lives and looks a few times a second instead.

    Until `settle` nothing is collected: while modules are imported there is hardly any garbage, and
    walking through all that is new would hold the window.
    """

    def __init__(self, idle: Callable[[], bool], parent: QObject | None = None) -> None:
        """Take over at once.

        Args:
            idle: whether nothing is under way that a pause of some 50 ms would disturb.
            parent: an object of the main thread.
        """
        super().__init__(parent)
        self._idle = idle
        self._settled = False
        self._full_at = time.monotonic() + _FULL_EVERY_S
        self._before = gc.isenabled()
        self._timer = QTimer(self)
        self._timer.setObjectName("garbage")
        self._timer.setInterval(INTERVAL_MS)
        self._timer.timeout.connect(self.look)
        gc.disable()
        self._timer.start()

    def look(self) -> None:
        """Collect the young generations where their thresholds are passed, all of them when idle."""
        if not self._settled:
            return
        if time.monotonic() >= self._full_at and self._idle():
            gc.collect()
            self._full_at = time.monotonic() + _FULL_EVERY_S
            return
        counts, thresholds = gc.get_count(), gc.get_threshold()
        if counts[0] > _BULK:
            # No garbage, and walking through it now and once a minute would hold the window.
            gc.freeze()
        elif counts[1] > thresholds[1]:
            gc.collect(1)
        elif counts[0] > thresholds[0]:
            gc.collect(0)

    def settle(self) -> None:
        """Leave what is alive now (the engine's modules) out of later collections, which get short.

        Nothing is collected first: that would hold the window for a quarter of a second.
        """
        gc.freeze()
        self._settled = True

    def stop(self) -> None:
        """Give collection back to Python."""
        self._timer.stop()
        gc.unfreeze()
        if self._before:
            gc.enable()
