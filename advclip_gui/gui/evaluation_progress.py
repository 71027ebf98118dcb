"""How far an evaluation of several models is, and how long it will take."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.events import Progress

TASK = "Evaluating"
"""The engine's name for the part that takes the time; it runs once for each model."""


class EvaluationProgress:
    """Tells which of the models is at work; their progress comes as that of all of them together."""

    def __init__(self, titles: Sequence[str]) -> None:
        """Name the models, in the order they are evaluated."""
        self._titles = tuple(titles)
        self._line = "Preparing …"
        self._began: float | None = None
        self.share = 0.0
        """How much is done, in [0, 1]."""

    def take(self, event: Progress, now: float) -> None:
        """Note what the engine reports at a time in seconds."""
        if event.task != TASK:
            counted = f"{event.done:,} of {event.total:,}" if event.total else f"{event.done:,}"
            self._line = f"{event.task}: {counted}"
            return
        if self._began is None:
            self._began = now
        self.share = event.share
        images = event.total // max(len(self._titles), 1) or 1
        model = min(max(event.done - 1, 0) // images, len(self._titles) - 1)
        done = event.done - model * images
        self._line = f"{self._titles[model]}: {event.detail}, {done:,} of {images:,} images"

    def text(self, now: float) -> str:
        """One line: what is done now, and the time left where it can be told."""
        left = self.seconds_left(now)
        return self._line if left is None else f"{self._line}. About {duration(left)} left."

    def seconds_left(self, now: float) -> float | None:
        """Estimate from the time taken so far; None while too little is done."""
        if self._began is None or self.share < 0.03 or now - self._began < 1.0:
            return None
        return (now - self._began) * (1 - self.share) / self.share


def duration(seconds: float) -> str:
    """Write a time for people: "40 s", "3 min", "1 h 20 min"."""
    if seconds < 60:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
