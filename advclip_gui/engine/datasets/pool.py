"""Run a function over many files in a few threads, in order, and stop at once when cancelled."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from advclip_gui.engine.control import Control

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_MAX_WORKERS = 4
_REPORT_EVERY = 16


def map_files(
    function: Callable[[_Item], _Result], items: Sequence[_Item], *, task: str, control: Control
) -> Iterator[_Result]:
    """Yield ``function(item)`` for every item, in the order of the items.

    Reading and decoding release the interpreter lock, so a few threads help. Progress of `task` is
    reported on the calling thread.

    Raises:
        Cancelled: within a few items after `control.cancel`.
    """
    total = len(items)
    workers = min(_MAX_WORKERS, os.cpu_count() or 1)
    control.progress(task, 0, total)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="images")
    waiting: deque[Future[_Result]] = deque()
    done = 0
    try:
        remaining = iter(items)
        for item in remaining:
            waiting.append(pool.submit(function, item))
            if len(waiting) < 4 * workers:
                continue
            control.check()
            yield waiting.popleft().result()
            done += 1
            if done % _REPORT_EVERY == 0:
                control.progress(task, done, total)
        while waiting:
            control.check()
            yield waiting.popleft().result()
            done += 1
        control.progress(task, total, total)
    finally:
        pool.shutdown(cancel_futures=True)
