"""From worker to window: order, coalescing, batches, the handle's states, and the thread slots run in."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtCore import QObject

from advclip_gui.engine.errors import DataError
from advclip_gui.engine.events import Log, Progress
from advclip_gui.gui.bridge import Backend, Bridge
from advclip_gui.gui.gpu_thread import Priority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytestqt.qtbot import QtBot

    from advclip_gui.engine.control import Control
    from advclip_gui.gui.job_handle import JobHandle


@dataclass
class Work:
    call: Callable[[Any, Control], object]
    priority: int = Priority.INTERACTIVE
    title: str = "Work"
    serves: bool = False

    def run(self, session: Any, control: Control) -> object:
        return self.call(session, control)


class Session:
    device_text = "Test device"


class Watch(QObject):
    """Writes down every signal of a handle and the thread its slot ran in."""

    def __init__(self, handle: JobHandle) -> None:
        super().__init__()
        self.seen: list[tuple[str, object]] = []
        self.threads: set[threading.Thread] = set()
        handle.started.connect(self.on_started)
        handle.event.connect(self.on_event)
        handle.drained.connect(self.on_drained)
        handle.finished.connect(self.on_finished)
        handle.failed.connect(self.on_failed)
        handle.cancelled.connect(self.on_cancelled)
        handle.ended.connect(self.on_ended)

    def note(self, name: str, payload: object = None) -> None:
        self.seen.append((name, payload))
        self.threads.add(threading.current_thread())

    def on_started(self) -> None:
        self.note("started")

    def on_event(self, event: object) -> None:
        self.note("event", event)

    def on_drained(self) -> None:
        self.note("drained")

    def on_finished(self, result: object) -> None:
        self.note("finished", result)

    def on_failed(self, error: object) -> None:
        self.note("failed", error)

    def on_cancelled(self) -> None:
        self.note("cancelled")

    def on_ended(self) -> None:
        self.note("ended")

    def names(self, *skip: str) -> list[str]:
        return [name for name, _ in self.seen if name not in skip]

    def events(self) -> list[Any]:
        return [payload for name, payload in self.seen if name == "event"]


@pytest.fixture
def backend(qapp: Any) -> Iterator[Backend]:
    made = Backend(Session)
    made.start()
    yield made
    assert made.shut_down()


def submit(backend: Backend, work: Work) -> tuple[JobHandle, Watch]:
    handle = backend.submit(work)
    return handle, Watch(handle)


# --- outcomes ---------------------------------------------------------------------------------------


def test_signals_come_in_order_in_the_main_thread_and_ended_comes_last_and_once(
    qtbot: QtBot, backend: Backend
) -> None:
    def call(_session: Any, control: Control) -> str:
        for number in range(50):
            control.report(Log(message=str(number)))
        return "done"

    handle, watch = submit(backend, Work(call))
    qtbot.waitSignal(handle.ended).wait()
    assert watch.names("drained") == ["started", *["event"] * 50, "finished", "ended"]
    assert [event.message for event in watch.events()] == [str(number) for number in range(50)]
    assert watch.names()[-2:] == ["drained", "ended"]
    assert watch.threads == {threading.main_thread()}
    assert (handle.state, handle.result, handle.active) == ("finished", "done", False)


def test_an_error_becomes_failed_with_the_sentence(qtbot: QtBot, backend: Backend) -> None:
    def call(_session: Any, _control: Control) -> object:
        raise DataError("There is no such folder.", "Choose another.")

    handle, watch = submit(backend, Work(call))
    qtbot.waitSignal(handle.ended).wait()
    assert watch.names("drained") == ["started", "failed", "ended"]
    assert handle.error is not None
    assert handle.error.sentence == "There is no such folder. Choose another."


def test_cancelling_a_running_job(qtbot: QtBot, backend: Backend) -> None:
    def call(_session: Any, control: Control) -> object:
        while True:
            control.check()
            time.sleep(0.001)

    handle, watch = submit(backend, Work(call))
    qtbot.waitSignal(handle.started).wait()
    handle.cancel()
    assert handle.state == "cancelling"
    qtbot.waitSignal(handle.ended).wait()
    assert watch.names("drained") == ["started", "cancelled", "ended"]
    handle.cancel()
    assert handle.state == "cancelled"


def test_cancelling_a_queued_job_withdraws_it(qtbot: QtBot, backend: Backend) -> None:
    gate = threading.Event()
    first, _ = submit(backend, Work(lambda *_: gate.wait(10)))
    queued, watch = submit(backend, Work(lambda *_: 1, Priority.BATCH))
    qtbot.waitSignal(first.started).wait()
    queued.cancel()
    qtbot.waitSignal(queued.ended).wait()
    assert first.active
    gate.set()
    qtbot.waitSignal(first.ended).wait()
    assert watch.names("drained") == ["cancelled", "ended"]


def test_pause_resume_and_stop(qtbot: QtBot, backend: Backend) -> None:
    steps: list[int] = []

    def call(_session: Any, control: Control) -> int:
        while not control.stop_requested:
            control.between_steps()
            steps.append(1)
            time.sleep(0.001)
        return len(steps)

    handle, _ = submit(backend, Work(call, Priority.TRAINING, serves=True))
    states: list[str] = []
    handle.state_changed.connect(states.append)
    qtbot.waitSignal(handle.started).wait()
    handle.pause()
    probe, _ = submit(backend, Work(lambda *_: len(steps)))
    qtbot.waitSignal(probe.finished).wait()
    again, _ = submit(backend, Work(lambda *_: len(steps)))
    qtbot.waitSignal(again.finished).wait()
    # One step may have been under way when the pause was asked for.
    assert again.result - probe.result <= 1  # type: ignore[operator]
    handle.resume()
    qtbot.waitUntil(lambda: len(steps) > again.result)  # type: ignore[operator]
    handle.stop()
    qtbot.waitSignal(handle.ended).wait()
    assert states == ["running", "paused", "running", "stopping", "finished"]


def test_stopping_a_queued_job_cancels_it(qtbot: QtBot, backend: Backend) -> None:
    gate = threading.Event()
    first, _ = submit(backend, Work(lambda *_: gate.wait(10)))
    queued, _ = submit(backend, Work(lambda *_: 1, Priority.TRAINING))
    qtbot.waitSignal(first.started).wait()
    queued.stop()
    qtbot.waitSignal(queued.ended).wait()
    assert queued.state == "cancelled"
    gate.set()
    qtbot.waitSignal(first.ended).wait()


# --- batches ----------------------------------------------------------------------------------------


def test_thousands_of_events_make_few_batches(qtbot: QtBot, backend: Backend) -> None:
    """At 25 batches a second a window repaints 25 times, however often the engine reports."""
    total, seconds = 1000, 1.0

    def call(_session: Any, control: Control) -> None:
        start = time.monotonic()
        for number in range(total):
            control.report(Log(message=str(number)))
            wait = start + seconds * number / total - time.monotonic()
            if wait > 0:
                time.sleep(wait)

    begun = time.monotonic()
    handle, watch = submit(backend, Work(call))
    qtbot.waitSignal(handle.ended, timeout=20_000).wait()
    lasted = time.monotonic() - begun
    counts = Counter(watch.names())
    assert counts["event"] == total
    assert counts["drained"] <= 25 * lasted + 5


def test_progress_reports_that_follow_each_other_merge_into_the_latest(qapp: Any) -> None:
    bridge = Bridge()
    handle = bridge.open("Work", lambda _key: False)
    watch = Watch(handle)
    report = handle.control.report
    for done in range(1, 101):
        report(Progress(task="scan", done=done, total=100))
    report(Log(message="between"))
    report(Progress(task="scan", done=100, total=100))
    report(Progress(task="hash", done=1, total=2))
    bridge.post(handle.key, "finished", None)
    bridge.drain_all()
    assert [(type(event).__name__, getattr(event, "done", None)) for event in watch.events()] == [
        ("Progress", 100),
        ("Log", None),
        ("Progress", 100),
        ("Progress", 1),
    ]
    assert watch.names()[-2:] == ["drained", "ended"]


def test_a_slow_listener_does_not_hold_the_window_for_a_whole_backlog(qtbot: QtBot) -> None:
    bridge = Bridge()
    handle = bridge.open("Work", lambda _key: False)
    batches: list[int] = []
    seen: list[object] = []

    def slow(event: object) -> None:
        seen.append(event)
        time.sleep(0.003)

    handle.event.connect(slow)
    handle.drained.connect(lambda: batches.append(len(seen)))
    for number in range(40):
        bridge.post(handle.key, "event", Log(message=str(number)))
    bridge.post(handle.key, "finished", None)
    qtbot.waitSignal(handle.ended).wait()
    assert len(seen) == 40
    assert max(b - a for a, b in zip([0, *batches], batches, strict=False)) <= 10
    qtbot.waitUntil(lambda: not bridge.draining)


def test_the_timer_rests_when_there_is_nothing_to_drain(qtbot: QtBot, backend: Backend) -> None:
    handle, _ = submit(backend, Work(lambda *_: 1))
    qtbot.waitSignal(handle.ended).wait()
    bridge = backend.findChild(Bridge)
    assert bridge is not None
    qtbot.waitUntil(lambda: not bridge.draining)


# --- the façade -------------------------------------------------------------------------------------


def test_the_engine_announces_itself(qtbot: QtBot) -> None:
    backend = Backend(Session)
    assert not backend.ready
    with qtbot.waitSignal(backend.engine_ready) as ready:
        backend.start()
    assert ready.args == ["Test device"]
    assert backend.ready
    assert backend.device_text == "Test device"
    assert backend.shut_down()


def test_an_engine_that_does_not_load_is_told_once_and_fails_the_jobs(qtbot: QtBot) -> None:
    def broken() -> object:
        raise OSError("no libtorch")

    backend = Backend(broken)
    handle = backend.submit(Work(lambda *_: 1))
    with qtbot.waitSignals([backend.engine_failed, handle.ended]):
        backend.start()
    assert backend.engine_error is not None
    assert handle.error == backend.engine_error
    assert not backend.ready
    assert backend.shut_down()


def test_jobs_lists_what_has_not_ended(qtbot: QtBot, backend: Backend) -> None:
    gate = threading.Event()
    changes: list[int] = []
    backend.jobs_changed.connect(lambda: changes.append(len(backend.jobs)))
    handle, _ = submit(backend, Work(lambda *_: gate.wait(10)))
    assert backend.jobs == (handle,)
    gate.set()
    qtbot.waitSignal(handle.ended).wait()
    assert backend.jobs == ()
    assert changes == [1, 0]


def test_shutdown_ends_every_job_and_leaves_nothing_running(qtbot: QtBot) -> None:
    backend = Backend(Session)
    backend.start()

    def call(_session: Any, control: Control) -> object:
        while True:
            control.check()
            time.sleep(0.001)

    running, watch = submit(backend, Work(call))
    qtbot.waitSignal(running.started).wait()
    queued, queued_watch = submit(backend, Work(lambda *_: 1))
    assert backend.shut_down()
    assert watch.names("drained") == ["started", "cancelled", "ended"]
    assert queued_watch.names("drained") == ["cancelled", "ended"]
    bridge = backend.findChild(Bridge)
    assert bridge is not None
    assert not bridge.draining
    late, _ = submit(backend, Work(lambda *_: 1))
    qtbot.waitUntil(lambda: late.state == "cancelled")
    qtbot.waitUntil(lambda: not bridge.draining)
    assert queued.state == "cancelled"
