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
_AHEAD = 4
_REPORT_EVERY = 16
_REPORTS = 1000


def map_files(
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    *,
    task: str,
    control: Control,
    chunk: int = 1,
) -> Iterator[_Result]:
    """Yield ``function(item)`` for every item, in the order of the items.

    Reading and decoding release the interpreter lock, so a few threads help. Progress of `task` is
    reported on the calling thread.

    Args:
        function: called in the threads.
        items: one call each.
        task: what the progress is called.
        control: progress and cancel.
        chunk: items that are handed to a thread at once: more for quick work, fewer for slow.

    Raises:
        Cancelled: within a few chunks after `control.cancel`.
    """
    total = len(items)
    workers = min(_MAX_WORKERS, os.cpu_count() or 1)
    control.progress(task, 0, total)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="images")
    waiting: deque[Future[list[_Result]]] = deque()
    done = told = 0

    def work(part: Sequence[_Item]) -> list[_Result]:
        return [function(item) for item in part]

    try:
        starts = iter(range(0, total, chunk))
        more = True
        while more or waiting:
            while more and len(waiting) < _AHEAD * workers:
                start = next(starts, None)
                more = start is not None
                if start is not None:
                    waiting.append(pool.submit(work, items[start : start + chunk]))
            control.check()
            if not waiting:
                break
            results = waiting.popleft().result()
            yield from results
            done += len(results)
            if done - told >= max(_REPORT_EVERY, total // _REPORTS):
                told = done
                control.progress(task, done, total)
        control.progress(task, total, total)
    finally:
        pool.shutdown(cancel_futures=True)
