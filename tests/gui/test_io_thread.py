"""The pool for file work: the same handles and rules as the device's thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from advclip_gui.engine.errors import DataError
from advclip_gui.gui.io_thread import IoPool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytestqt.qtbot import QtBot

    from advclip_gui.engine.control import Control


@pytest.fixture
def io(qapp: Any) -> Iterator[IoPool]:
    pool = IoPool(workers=2)
    yield pool
    pool.shut_down()


def test_work_runs_off_the_main_thread_and_its_result_comes_back_into_it(qtbot: QtBot, io: IoPool) -> None:
    slots: list[threading.Thread] = []
    handle = io.submit(lambda _control: threading.current_thread(), "Scanning")
    handle.finished.connect(lambda _result: slots.append(threading.current_thread()))
    qtbot.waitSignal(handle.ended).wait()
    assert handle.title == "Scanning"
    assert handle.result is not threading.main_thread()
    assert slots == [threading.main_thread()]
    assert io.jobs == ()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DataError("Nothing here."), "Nothing here."),
        (RuntimeError("odd"), "Something went wrong that should not have: RuntimeError: odd."),
        (OSError(28, "No space left on device", "run"), "The system refused: No space left on device (run)."),
        (SystemExit(1), "Something went wrong that should not have: SystemExit: 1."),
    ],
)
def test_errors_arrive_as_sentences(qtbot: QtBot, io: IoPool, error: BaseException, message: str) -> None:
    def work(_control: Control) -> object:
        raise error

    handle = io.submit(work)
    qtbot.waitSignal(handle.ended).wait()
    assert handle.state == "failed"
    assert handle.error is not None
    assert handle.error.message == message
    assert "Traceback" in handle.error.details


def test_running_work_is_cancelled_through_its_control_and_waiting_work_never_begins(
    qtbot: QtBot, io: IoPool
) -> None:
    begun = [threading.Event(), threading.Event()]
    ran: list[int] = []

    def loop(number: int, control: Control) -> None:
        begun[number].set()
        while True:
            control.progress("loop", 0, 0)

    running = [io.submit(lambda control, n=n: loop(n, control)) for n in (0, 1)]
    waiting = io.submit(lambda _control: ran.append(1))
    assert all(event.wait(10) for event in begun)
    waiting.cancel()
    qtbot.waitSignal(waiting.ended).wait()
    assert [handle.state for handle in running] == ["running", "running"]
    for handle in running:
        handle.cancel()
    qtbot.waitUntil(lambda: not io.jobs)
    assert {handle.state for handle in (*running, waiting)} == {"cancelled"}
    assert ran == []


def test_shutdown_cancels_everything_and_refuses_later_work(qtbot: QtBot, io: IoPool) -> None:
    begun = threading.Event()

    def loop(control: Control) -> None:
        begun.set()
        while True:
            control.check()

    running = io.submit(loop)
    assert begun.wait(10)
    io.shut_down()
    assert running.state == "cancelled"
    late = io.submit(lambda _control: 1)
    qtbot.waitSignal(late.ended).wait()
    assert late.state == "cancelled"
    io.shut_down()
