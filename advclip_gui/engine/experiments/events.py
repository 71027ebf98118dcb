"""What a running experiment reports, beside the log of its runs."""

from __future__ import annotations

from dataclasses import dataclass

from advclip_gui.engine.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentProgress(Event):
    """How far it has come. `seconds_left` is None until a training and a model have shown their pace."""

    done: int
    """Cells and zero-shot evaluations that need nothing more."""
    failed: int
    total: int
    title: str
    """What is being done now."""
    phase: str
    """"training" or "evaluating"."""
    step: int = 0
    total_steps: int = 0
    share: float = 0.0
    """Of all work, in [0, 1]: by the time it takes where that is known, else by the trainings' steps."""
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellLive(Event):
    """The adapter of a cell can be borrowed from the session while it learns, or not any more."""

    title: str
    run_dir: str
    """Of the cell; its adapter lies there at the end."""
    live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CellDone(Event):
    """A cell, or the zero-shot model, was measured or failed; the table has grown."""

    key: str
    title: str
    state: str
    """"finished" or "failed"."""
    ended: int = 0
    """Parts of the experiment that have ended so far, this one among them."""
    total: int = 0
    seconds_left: float | None = None
    message: str = ""
    figures: tuple[tuple[str, int, float, float], ...] = ()
    """Title of the test set, n, clean and robust accuracy in [0, 1]."""
