"""Which process works on a folder, written down so that another one can ask whether it still lives."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping


def process_mark() -> dict[str, Any]:
    """This process: its id, and when it began, since ids are given again."""
    return {"pid": os.getpid(), "process_started": psutil.Process().create_time()}


def process_lives(record: Mapping[str, Any]) -> bool:
    """Whether the process of a record that holds a `process_mark` still lives."""
    pid, began = record.get("pid"), record.get("process_started")
    if not isinstance(pid, int) or not isinstance(began, int | float):
        return False
    try:
        process = psutil.Process(pid)
        # One that was killed stays listed until its parent has asked for it.
        gone = process.status() == psutil.STATUS_ZOMBIE
        return not gone and bool(abs(process.create_time() - began) < 1)
    except (psutil.Error, ValueError):
        return False
