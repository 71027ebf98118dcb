"""All that is known of the run in training: curves, log, progress, outcome; outlives the page."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from advclip_gui.engine.events import CheckpointSaved, EvalDone, Log, Progress, StepDone, TrainingStarted
from advclip_gui.gui.run_history import RunHistory
from advclip_gui.wording import COMPARISON_TASK, PROTOCOL_SENTENCES, images_text, not_comparable, radius_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import Any

    from advclip_gui.gui.job_handle import ErrorInfo, JobHandle
    from advclip_gui.settings import RunSettings

_MOST_LINES = 5000
_WHO = {"zero-shot": "Zero-shot", "clip-lora": "CLIP-LoRA"}


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the log; `level` is "info", "warning" or "error"."""

    clock: str
    level: str
    message: str


class TrainingRecord(QObject):
    """Listens to one training job from its first event to its last.

    Attributes:
        handle: the job.
        settings: of the run.
        run_dir: its folder.
        history: its curves.
        started: what the engine said when everything was loaded, None before.
        progress: of the task at hand (loading, evaluating), None between.
        comparison: how far the CLIP-LoRA training beside it is, None before it begins.
        latest: the last step report.
        log: lines, oldest first.
        error: why it failed, else None.
    """

    changed = Signal()
    """Something is new; at most 25 times a second."""

    def __init__(
        self, handle: JobHandle, settings: RunSettings, run_dir: Path, parent: QObject | None = None
    ) -> None:
        """Begin to listen."""
        super().__init__(parent)
        self.handle, self.settings, self.run_dir = handle, settings, run_dir
        self.history = RunHistory()
        self.started: TrainingStarted | None = None
        self.progress: Progress | None = None
        self.comparison: Progress | None = None
        self.latest: StepDone | None = None
        self.log: list[LogLine] = []
        self.error: ErrorInfo | None = None
        self.checkpoint_step = 0
        handle.event.connect(self._take)
        handle.drained.connect(self.changed)
        handle.finished.connect(self._finished)
        handle.failed.connect(self._failed)
        handle.cancelled.connect(self._cancelled)
        handle.state_changed.connect(self._state)

    @property
    def result(self) -> dict[str, Any] | None:
        """The final figures, as in ``result.json``; None before the end."""
        found = getattr(self.handle.result, "result", None)
        return found if isinstance(found, dict) else None

    @property
    def total_steps(self) -> int:
        """LoRA updates of the whole run."""
        return self.settings.total_steps

    def restore(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Put what an earlier part of this run has recorded before what is already here."""
        past = RunHistory()
        past.add_records(records)
        first = self.started.first_step if self.started is not None else None
        merged = past if first is None else past.before(first)
        merged.extend(self.history)
        self.history = merged
        self.changed.emit()

    def write(self, level: str, message: str) -> None:
        """Add a line to the log."""
        self.log.append(LogLine(time.strftime("%H:%M:%S"), level, message))
        if len(self.log) > _MOST_LINES:
            del self.log[: _MOST_LINES // 10]

    def _take(self, event: object) -> None:
        self.history.add(event)
        if isinstance(event, StepDone):
            self.latest = event
            self.progress = None
        elif isinstance(event, Progress):
            if self.progress is None or self.progress.task != event.task:
                self.write("info", event.task)
            self.progress = event
            if event.task == COMPARISON_TASK:
                self.comparison = event
        elif isinstance(event, TrainingStarted):
            self.started = event
            self.progress = None
            begin = f"{'Going on' if event.first_step else 'Starting'} at step {event.first_step}"
            parameters = f"{event.trainable_parameters:,} trainable parameters"
            self.write("info", f"{begin} of {event.total_steps}: {parameters} on {event.device}.")
            warning = not_comparable(event.protocol)
            self.write("warning" if warning else "info", warning or PROTOCOL_SENTENCES["sound"])
        elif isinstance(event, EvalDone):
            self.progress = self.comparison if event.model == "clip-lora" else None
            self.write("info", self._measured(event))
        elif isinstance(event, CheckpointSaved):
            self.checkpoint_step = event.step
            self.write("info", f"Checkpoint saved at step {event.step}.")
        elif isinstance(event, Log):
            self.write(event.level, event.message)

    def _measured(self, event: EvalDone) -> str:
        who = _WHO.get(event.model, "")
        at = "" if event.model == "zero-shot" else f"step {event.step}"
        title = ", ".join(part for part in (who, at) if part)
        return (
            f"{title[:1].upper()}{title[1:]}: clean {event.clean_accuracy:.1%}, "
            f"robust {event.robust_accuracy:.1%} ({self.settings.protocol} protocol, {event.attack} at "
            f"{radius_text(event.epsilon, event.norm)}, {images_text(event.n, event.split)})."
        )

    @property
    def kept_step(self) -> int | None:
        """The step whose adapter was chosen and kept, None where the last one was, or before the end."""
        result = self.result or {}
        step = result.get("kept_step")
        return step if self.settings.selects and isinstance(step, int) else None

    def _state(self, state: str) -> None:
        words = {
            "paused": "Paused; probes and evaluations have the device.",
            "stopping": "Stopping after the step at hand; what has been learnt is kept.",
            "cancelling": "Cancelling.",
        }
        if state in words:
            self.write("info", words[state])

    def _finished(self, result: object) -> None:
        self.progress = None
        state = getattr(result, "state", "finished")
        steps = getattr(result, "steps", self.history.last_step)
        self.write("info", f"{'Stopped' if state == 'stopped' else 'Finished'} after {steps} steps.")

    def _failed(self, error: ErrorInfo) -> None:
        self.progress = None
        self.error = error
        self.write("error", error.sentence)

    def _cancelled(self) -> None:
        self.progress = None
        self.write("warning", "Cancelled.")
