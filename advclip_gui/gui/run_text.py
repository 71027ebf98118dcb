"""Runs in words: figures with their change, dates, states."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from advclip_gui.gui.evaluation_text import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.run_list import RunSummary

ADAPTER_ICON = "tune-variant"
DASH = "–"
STATES = {
    "running": ("Running", "progress-clock", "accent", "In training at this moment."),
    "finished": ("Finished", "check-circle-outline", "good", "All steps were done."),
    "stopped": ("Stopped", "stop-circle-outline", "text_muted", "Ended early; what was learnt is kept."),
    "cancelled": ("Cancelled", "cancel", "text_muted", "Ended without a final evaluation."),
    "failed": ("Failed", "alert-circle-outline", "bad", "Ended with an error."),
    "interrupted": ("Interrupted", "alert-outline", "warning", "Its process ended without a last word."),
    "adapter": ("Adapter", ADAPTER_ICON, "violet", "An adapter without its run, ready to be used."),
    "missing": ("Adapter", "alert-circle-outline", "bad", "It cannot be used at the moment."),
}
"""State of a run, or of an adapter without one: title, icon, colour role, explanation."""
CONTINUABLE = frozenset({"stopped", "cancelled", "failed", "interrupted"})
"""States from which training can go on, where there is a checkpoint."""


def counted(lines: Sequence[RunSummary]) -> str:
    """Say how many there are: "1 run", "12 runs, 3 adapters"."""
    adapters = sum(line.is_adapter for line in lines)
    runs = len(lines) - adapters
    told = ((runs, "run", "runs"), (adapters, "adapter", "adapters"))
    return ", ".join(f"{count:,} {one if count == 1 else many}" for count, one, many in told if count)


def counted_of(shown: int, lines: Sequence[RunSummary]) -> str:
    """Say how many of them the filter leaves: "2 of 12 runs"."""
    adapters = any(line.is_adapter for line in lines)
    what = "runs and adapters" if adapters else "run" if len(lines) == 1 else "runs"
    return f"{shown:,} of {len(lines):,} {what}"


def points(share: float | None, baseline: float | None) -> str:
    """Write the change from a baseline in percentage points: "+3.2"; "" where one is missing."""
    if share is None or baseline is None:
        return ""
    change = 100 * (share - baseline)
    return f"{change:+.1f}".replace("-", "−")


def with_change(share: float | None, baseline: float | None) -> str:
    """Write a share and its change: "19.0 % (+3.2)"."""
    change = points(share, baseline)
    return f"{percent(share)} ({change})" if change else percent(share)


def when(started: float, now: datetime | None = None) -> str:
    """Write when a run began, as short as it can be understood; "–" where it is not known."""
    if not started:
        return "–"
    now = now or datetime.now().astimezone()
    moment = datetime.fromtimestamp(started, tz=now.tzinfo)
    if moment.date() == now.date():
        return f"Today {moment:%H:%M}"
    if moment.year == now.year:
        return f"{moment.day} {moment:%b %H:%M}"
    return f"{moment:%Y-%m-%d}"


def moment(started: float) -> str:
    """Write when a run began in full."""
    if not started:
        return "Not recorded"
    return f"{datetime.fromtimestamp(started).astimezone():%Y-%m-%d %H:%M:%S}"
