"""The line at the bottom: what the engine does, the device, the job at hand with time left and Cancel."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QProgressBar, QWidget

from advclip_gui.engine.events import Progress, StepDone
from advclip_gui.gui import theme
from advclip_gui.gui.run_pace import Pace
from advclip_gui.gui.widgets.basics import IconButton, TextLabel
from advclip_gui.gui.widgets.elided_label import ElidedLabel

if TYPE_CHECKING:
    from advclip_gui.gui.bridge import Backend, ErrorInfo
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.job_handle import JobHandle

_QUIET_TITLES = frozenset({"Probe", "Recipe facts", "Listing runs", "Thumbnails", ""})
"""Work too short or too frequent to be announced."""
_FEW_SECONDS = 3.0


def duration_text(seconds: float) -> str:
    """E.g. "40 s", "3 min", "2 h 5 min"."""
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class StatusStrip(QFrame):
    """Shows one job at a time: the one that was submitted last and still runs."""

    def __init__(self, backend: Backend, io: IoPool, parent: QWidget | None = None) -> None:
        """Watch the backend."""
        super().__init__(parent)
        look = theme.current()
        self.setProperty("role", "status")
        self._backend, self._io = backend, io
        self._shown: JobHandle | None = None
        self._began = 0.0
        self._pace = Pace()
        self._steps_left = 0
        row = QHBoxLayout(self)
        row.setContentsMargins(look.m, look.xs, look.m, look.xs)
        row.setSpacing(look.s)
        self.engine = TextLabel("Loading the engine …", "caption")
        self.engine.setObjectName("engineLine")
        row.addWidget(self.engine)
        self.job = ElidedLabel("")
        self.job.setProperty("role", "caption")
        self.job.setObjectName("jobLine")
        self.job.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.bar = QProgressBar()
        self.bar.setObjectName("jobProgress")
        self.bar.setTextVisible(False)
        self.bar.setFixedWidth(10 * look.l)
        self.bar.setAccessibleName("Progress of the job at hand")
        self.cancel = IconButton("close", "Cancel this job", name="jobCancel")
        self.cancel.clicked.connect(self._cancel)
        row.addWidget(self.job, 1)
        row.addWidget(self.bar)
        row.addWidget(self.cancel)
        row.addStretch()
        # As high without a job as with one: the pages above must not move when work begins.
        kept = self.cancel.sizePolicy()
        kept.setRetainSizeWhenHidden(True)
        self.cancel.setSizePolicy(kept)
        for widget in (self.job, self.bar, self.cancel):
            widget.hide()
        backend.engine_ready.connect(self._engine_ready)
        backend.engine_failed.connect(self._engine_failed)
        backend.jobs_changed.connect(self._choose)
        if backend.ready:
            self._engine_ready(backend.device_text)

    def follow(self, handle: JobHandle) -> None:
        """Also show work of the file pool, e.g. a scan."""
        handle.ended.connect(self._choose)
        self._show(handle)

    def _engine_ready(self, device: str) -> None:
        self.engine.setText(device)
        self.engine.setToolTip("The device that computes")

    def _engine_failed(self, error: ErrorInfo) -> None:
        self.engine.set_role("bad")
        self.engine.setText(error.message)
        self.engine.setToolTip(error.hint)

    def _choose(self) -> None:
        jobs = [job for job in (*self._io.jobs, *self._backend.jobs) if job.title not in _QUIET_TITLES]
        job = jobs[-1] if jobs else None
        if job is not self._shown:
            self._show(job)

    def _show(self, job: JobHandle | None) -> None:
        if self._shown is not None and self._shown is not job:
            self._shown.event.disconnect(self._event)
            self._shown.state_changed.disconnect(self._state)
        fresh = job is not None and job is not self._shown
        self._shown = job
        for widget in (self.job, self.bar, self.cancel):
            widget.setVisible(job is not None)
        if job is None:
            return
        self._began = time.monotonic()
        if fresh:
            self._pace.restart()
            self._steps_left = 0
            job.event.connect(self._event)
            job.state_changed.connect(self._state)
        self.bar.setRange(0, 0)
        self.cancel.setEnabled(True)
        self.job.setText(f"{job.title} – waiting" if job.state == "queued" else job.title)

    def _state(self, state: str) -> None:
        if self._shown is None:
            return
        if state in {"cancelling", "stopping"}:
            self.cancel.setEnabled(False)
            self.job.setText(f"{self._shown.title} – {state} …")
        elif state == "paused":
            self.job.setText(f"{self._shown.title} – paused")
        elif state == "running":
            self._began = time.monotonic()
            self._pace.restart()

    def _event(self, event: object) -> None:
        if self._shown is None or self._shown.state not in {"queued", "running"}:
            return
        if isinstance(event, StepDone):
            self._pace.reach(event.step, time.monotonic())
            self._steps_left = event.total_steps - event.step
            left = self._pace.seconds_left(event.total_steps)
            self._progress(event.step, event.total_steps, event.seconds_left if left is None else left, "")
        elif isinstance(event, Progress) and not self._steps_left:
            # Between two steps accuracies are measured; the bar goes on showing the run.
            spent = time.monotonic() - self._began
            left = None
            if event.share and spent > _FEW_SECONDS:
                left = spent * (1 - event.share) / event.share
            self._progress(event.done, event.total, left, event.task)

    def _progress(self, done: int, total: int, left: float | None, task: str) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        assert self._shown is not None
        text = self._shown.title
        if task and task != text:
            text += f" – {task[:1].lower()}{task[1:]}"
        if left is not None:
            text += f" – {duration_text(left)} left"
        self.job.setText(text)

    def _cancel(self) -> None:
        if self._shown is not None:
            # A run keeps what it has learnt; other work is dropped.
            if self._shown.title.startswith("Training"):
                self._shown.stop()
            else:
                self._shown.cancel()
