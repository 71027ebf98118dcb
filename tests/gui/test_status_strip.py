"""The line at the bottom: engine, job at hand, progress, time left, Cancel."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtCore import QObject, Qt, Signal

from advclip_gui.engine.control import Control
from advclip_gui.engine.events import Progress
from advclip_gui.gui import theme
from advclip_gui.gui.job_handle import ErrorInfo, JobHandle
from advclip_gui.gui.widgets import status_strip
from advclip_gui.gui.widgets.status_strip import StatusStrip
from tests.gui.test_training_record import step

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

LEFT = Qt.MouseButton.LeftButton


class OneBackend(QObject):
    """Has the jobs it is given."""

    engine_ready = Signal(str)
    engine_failed = Signal(object)
    jobs_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.ready, self.device_text = False, ""
        self.jobs: tuple[JobHandle, ...] = ()

    def begin(self, title: str) -> JobHandle:
        handle = JobHandle(len(self.jobs) + 1, title, Control(), lambda _key: False)
        self.jobs = (*self.jobs, handle)
        self.jobs_changed.emit()
        handle.deliver("started", None)
        return handle

    def end(self, handle: JobHandle) -> None:
        self.jobs = tuple(job for job in self.jobs if job is not handle)
        handle.deliver("finished", None)
        self.jobs_changed.emit()


@pytest.fixture
def backend(qapp: Any) -> OneBackend:
    theme.apply(qapp, "light")
    return OneBackend()


@pytest.fixture
def strip(qtbot: QtBot, backend: OneBackend) -> StatusStrip:
    strip = StatusStrip(backend, SimpleNamespace(jobs=()))  # type: ignore[arg-type]
    qtbot.addWidget(strip)
    strip.resize(1000, 30)
    with qtbot.waitExposed(strip):
        strip.show()
    return strip


def test_the_engine_line(backend: OneBackend, strip: StatusStrip) -> None:
    assert strip.engine.text().startswith("Loading the engine")
    backend.engine_ready.emit("CPU, 2 cores")
    assert strip.engine.text() == "CPU, 2 cores"
    backend.engine_failed.emit(ErrorInfo("The engine could not be loaded.", "Run the doctor."))
    assert strip.engine.text() == "The engine could not be loaded."
    assert strip.engine.toolTip() == "Run the doctor."


def test_a_run_shows_its_steps_and_not_what_is_measured_between_them(
    backend: OneBackend, strip: StatusStrip
) -> None:
    run = backend.begin("Training Demo")
    run.deliver("event", Progress(task="Loading images", done=3, total=10))
    assert (strip.bar.value(), strip.bar.maximum()) == (3, 10)
    run.deliver("event", step(25))
    run.deliver("event", Progress(task="Evaluating", done=1, total=7))
    assert (strip.bar.value(), strip.bar.maximum()) == (25, 100)
    assert strip.job.text() == "Training Demo – 10 s left"
    run.deliver("event", step(100))
    run.deliver("event", Progress(task="Evaluating", done=1, total=7))
    assert (strip.bar.value(), strip.bar.maximum()) == (1, 7)
    backend.end(run)
    assert strip.job.isHidden()
    assert strip.bar.isHidden()


def test_time_left_counts_the_evaluations_too(
    backend: OneBackend, strip: StatusStrip, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(status_strip.time, "monotonic", lambda: clock[0])
    run = backend.begin("Training Demo")
    run.deliver("event", step(10))
    clock[0] += 20.0
    run.deliver("event", step(20))
    assert strip.job.text() == "Training Demo – 3 min left"
    backend.end(run)


def test_the_text_keeps_clear_of_the_bar(backend: OneBackend, strip: StatusStrip, qapp: Any) -> None:
    backend.begin("Training a run with rather a long name that says a lot")
    qapp.processEvents()
    assert strip.job.geometry().right() < strip.bar.geometry().left()
    assert strip.engine.geometry().right() < strip.job.geometry().left()
    assert strip.job.width() > strip.width() / 2


def test_cancel_stops_a_run_and_cancels_other_work(
    qtbot: QtBot, backend: OneBackend, strip: StatusStrip
) -> None:
    evaluation = backend.begin("Evaluation")
    qtbot.mouseClick(strip.cancel, LEFT)
    assert evaluation.control.cancelled
    assert not strip.cancel.isEnabled()
    backend.end(evaluation)
    run = backend.begin("Training Demo")
    assert strip.cancel.isEnabled()
    qtbot.mouseClick(strip.cancel, LEFT)
    assert run.control.stop_requested
    assert not run.control.cancelled


def test_short_work_is_not_announced(backend: OneBackend, strip: StatusStrip) -> None:
    backend.begin("Probe")
    assert strip.job.isHidden()


def test_the_strip_is_as_high_without_a_job(backend: OneBackend, strip: StatusStrip) -> None:
    """Else the pages above move each time work begins."""
    before = strip.sizeHint().expandedTo(strip.minimumSize()).height()
    run = backend.begin("Smallest epsilon")
    assert strip.cancel.isVisibleTo(strip)
    assert strip.sizeHint().expandedTo(strip.minimumSize()).height() == before
    backend.end(run)


def test_part_of_a_unit_moves_the_time_left(
    backend: OneBackend, strip: StatusStrip, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(status_strip.time, "monotonic", lambda: clock[0])
    job = backend.begin("Evaluation")
    clock[0] += 10.0
    job.deliver("event", Progress(task="Evaluating", done=0, total=2, within=0.5))
    assert strip.job.text() == "Evaluation – evaluating – 30 s left"
    backend.end(job)
