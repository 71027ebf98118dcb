"""How the run in training stands: progress, speed, time left, and its two accuracies beside zero-shot."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QFrame, QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.evaluation_progress import TASK as EVALUATION_TASK
from advclip_gui.gui.evaluation_text import percent
from advclip_gui.gui.run_pace import Pace
from advclip_gui.gui.widgets.basics import Badge, Stat
from advclip_gui.gui.widgets.elided_label import ElidedLabel
from advclip_gui.gui.widgets.memory_meter import MemoryMeter
from advclip_gui.gui.widgets.status_strip import duration_text
from advclip_gui.gui.widgets.untitled_card import UntitledCard
from advclip_gui.wording import COMPARISON_TASK

if TYPE_CHECKING:
    from advclip_gui.gui.bridge import Backend
    from advclip_gui.gui.training_record import TrainingRecord

_WORDS = {
    "waiting": "Waiting",
    "running": "Training",
    "paused": "Paused",
    "stopping": "Stopping …",
    "cancelling": "Cancelling …",
    "finished": "Finished",
    "stopped": "Stopped",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
_PER_MILLE = 1000
_TONES = {"running": "accent", "finished": "good", "failed": "bad", "paused": "warning", "stopped": "warning"}


class RunStatus(UntitledCard):
    """One row: what runs, how far it is, what it has reached, what it costs."""

    def __init__(self, backend: Backend, parent: QWidget | None = None) -> None:
        """Lay out the row."""
        super().__init__(parent)
        look = theme.current()
        self.layout().setContentsMargins(look.l, look.m, look.l, look.m)
        self._pace = Pace()
        self._shown: TrainingRecord | None = None
        row = QHBoxLayout()
        row.setSpacing(look.xl)
        left = QVBoxLayout()
        left.setSpacing(look.xs)
        head = QHBoxLayout()
        head.setSpacing(look.s)
        self.badge = Badge("Waiting")
        self.badge.setObjectName("runState")
        self.name = ElidedLabel("", "title")
        head.addWidget(self.badge)
        head.addWidget(self.name, 1)
        self.bar = QProgressBar()
        self.bar.setObjectName("progressBar")
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Steps done")
        self.line = ElidedLabel("", "caption")
        self.line.setObjectName("progressLine")
        left.addLayout(head)
        left.addWidget(self.bar)
        left.addWidget(self.line)
        row.addLayout(left, 5)
        self.clean = Stat("Clean accuracy", tip="Share of images classified rightly as they are")
        self.robust = Stat(
            "Robust accuracy",
            tip="Share of images still classified rightly under the attack (an upper bound)",
        )
        for stat in (self.clean, self.robust):
            stat.set_value("–", "not measured")
            stat.setMinimumWidth(8 * look.l)
            row.addWidget(_divider())
            row.addWidget(stat)
        self.meter = MemoryMeter(backend)
        self.meter.setFixedWidth(13 * look.l)
        row.addWidget(_divider())
        row.addWidget(self.meter)
        self.body.addLayout(row)

    def show_record(self, record: TrainingRecord) -> None:
        """Show how a run stands now."""
        state = state_word(record)
        self.badge.setText(badge_word(record))
        self.badge.set_tone(_TONES.get(state, ""))
        settings = record.settings
        self.name.setText(
            f"{settings.name or settings.method} – {settings.method}, {settings.data.shots} shots"
        )
        self._show_progress(record, state)
        baseline, shown = record.history.baseline, record.history.evaluations
        latest = shown[-1] if shown else None
        for stat, part in ((self.clean, "clean"), (self.robust, "robust")):
            now, before = getattr(latest, part, None), getattr(baseline, part, None)
            note = "not measured yet" if before is None else f"zero-shot {percent(before)}"
            stat.set_value(percent(now if now is not None else before), note)

    def _show_progress(self, record: TrainingRecord, state: str) -> None:
        if record is not self._shown or state != "running":
            self._pace.restart()
        self._shown = record
        total, done = record.total_steps, record.history.last_step
        progress = record.progress
        if progress is not None and record.handle.active:
            # The bar counts in thousandths: counts may be bytes, more than its 32 bits can hold.
            self.bar.setRange(0, _PER_MILLE if progress.total else 0)
            if progress.total:
                self.bar.setValue(round(_PER_MILLE * progress.done / progress.total))
            counted = f"{progress.done:,} of {progress.total:,}" if progress.total else ""
            parts = [progress.task, counted, progress.detail]
        else:
            self.bar.setRange(0, total)
            self.bar.setValue(done)
            parts = self._step_parts(record, state, done, total)
        self.line.setText(" · ".join(part for part in parts if part))

    def _step_parts(self, record: TrainingRecord, state: str, done: int, total: int) -> list[str]:
        if state == "waiting":
            return ["Begins as soon as the device is free"]
        if state == "running" and record.started is None and not done:
            return ["Preparing"]
        parts = [f"Step {done:,} of {total:,}"]
        latest = record.latest
        if latest is not None and record.handle.active:
            parts.append(f"{latest.steps_per_second:.3g} steps/s")
            if state == "running" and latest.step < total:
                self._pace.reach(latest.step, time.monotonic())
                left = self._pace.seconds_left(total)
                parts.append(f"{duration_text(latest.seconds_left if left is None else left)} left")
        return parts


def state_word(record: TrainingRecord) -> str:
    """The state of a run, as its files name it too."""
    state = record.handle.state
    if state == "queued":
        return "waiting"
    if state == "finished":
        return str(getattr(record.handle.result, "state", "finished"))
    return state


def badge_word(record: TrainingRecord) -> str:
    """What the badge says of a run."""
    state = state_word(record)
    if state == "running":
        if record.started is None:
            return "Preparing"
        if record.progress is not None and record.progress.task == COMPARISON_TASK:
            return "Comparing"
        # Only the final evaluation reports progress; after an early end it begins before the last step.
        if record.progress is not None and record.progress.task == EVALUATION_TASK:
            return "Evaluating"
        if record.comparison is not None:
            return "Evaluating"
        if record.history.last_step >= record.total_steps:
            return "Evaluating"
    return _WORDS.get(state, state)


def _divider() -> QFrame:
    line = QFrame()
    line.setProperty("role", "line")
    line.setFixedWidth(1)
    return line
