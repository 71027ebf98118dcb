"""The thread that owns the device: one outcome per job, order, serving between steps, shutdown."""

from __future__ import annotations

import gc
import threading
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from advclip_gui.engine.control import Control
from advclip_gui.engine.errors import DataError
from advclip_gui.gui.gpu_thread import ENGINE_KEY, GpuThread, Priority
from advclip_gui.gui.job_handle import OUT_OF_MEMORY, ErrorInfo, explain_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OUTCOMES = ("finished", "failed", "cancelled")
PATIENCE_S = 30.0


class Post:
    """Stands for the bridge: keeps what is posted and lets a test wait for it."""

    def __init__(self) -> None:
        self.items: list[tuple[int, str, object]] = []
        self._changed = threading.Condition()

    def __call__(self, key: int, kind: str, payload: object = None) -> None:
        with self._changed:
            self.items.append((key, kind, payload))
            self._changed.notify_all()

    def wait(self, key: int, *kinds: str) -> tuple[str, object]:
        def found() -> list[tuple[str, object]]:
            return [(kind, payload) for k, kind, payload in self.items if k == key and kind in kinds]

        with self._changed:
            assert self._changed.wait_for(found, PATIENCE_S), f"job {key} posted no {kinds}: {self.items}"
            return found()[0]

    def outcome(self, key: int) -> tuple[str, object]:
        return self.wait(key, *OUTCOMES)

    def order(self, kind: str) -> list[int]:
        return [key for key, found, _ in self.items if found == kind]


@dataclass
class Work:
    """A job made of a function."""

    call: Callable[[Any, Control], object]
    priority: int = Priority.INTERACTIVE
    title: str = "Work"

    def run(self, session: Any, control: Control) -> object:
        return self.call(session, control)


@dataclass
class Session:
    device_text: str = "Test device"
    closed_on: list[threading.Thread] = field(default_factory=list)

    def close(self) -> None:
        self.closed_on.append(threading.current_thread())


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def gpu(qapp: Any, post: Post, session: Session) -> Iterator[GpuThread]:
    thread = GpuThread(post, lambda: session)
    yield thread
    assert thread.shut_down()


def hold(gate: threading.Event) -> Work:
    """A batch job that keeps the thread busy until the gate opens."""

    def call(_session: Any, _control: Control) -> None:
        assert gate.wait(PATIENCE_S)

    return Work(call, Priority.BATCH)


def raising(error: BaseException) -> Work:
    def call(_session: Any, _control: Control) -> object:
        raise error

    return Work(call)


# --- outcomes ---------------------------------------------------------------------------------------


def test_a_result_comes_back_and_the_engine_says_what_it_runs_on(gpu: GpuThread, post: Post) -> None:
    gpu.start()
    gpu.submit(1, Work(lambda session, _: session.device_text), Control())
    assert post.outcome(1) == ("finished", "Test device")
    assert [item for item in post.items if item[0] == ENGINE_KEY] == [
        (ENGINE_KEY, "engine_ready", "Test device")
    ]
    assert [kind for key, kind, _ in post.items if key == 1] == ["started", "finished"]


def cuda_out_of_memory() -> BaseException:
    import torch

    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DataError("The folder is gone.", "Choose another."), "The folder is gone."),
        (cuda_out_of_memory, OUT_OF_MEMORY.message),
        (lambda: RuntimeError("CUDA error: out of memory"), OUT_OF_MEMORY.message),
        (lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), OUT_OF_MEMORY.message),
        (lambda: RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), OUT_OF_MEMORY.message),
        (
            lambda: RuntimeError(
                "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
            ),
            OUT_OF_MEMORY.message,
        ),
        (lambda: RuntimeError("DefaultCPUAllocator: not enough memory"), OUT_OF_MEMORY.message),
        (MemoryError, OUT_OF_MEMORY.message),
        (lambda: RuntimeError("shapes differ"), "Something went wrong that should not have: RuntimeError"),
        (StopIteration, "Something went wrong that should not have: StopIteration."),
        (lambda: PermissionError(13, "Permission denied", "a.jpg"), "The system refused: Permission denied"),
        (lambda: SystemExit(3), "Something went wrong that should not have: SystemExit"),
    ],
)
def test_every_error_arrives_as_failed_and_the_thread_lives_on(
    gpu: GpuThread, post: Post, make: Callable[[], BaseException], message: str
) -> None:
    gpu.start()
    gpu.submit(1, raising(make()), Control())
    kind, error = post.outcome(1)
    assert kind == "failed"
    assert isinstance(error, ErrorInfo)
    assert error.message.startswith(message)
    assert "Traceback" in error.details
    gpu.submit(2, Work(lambda *_: 7), Control())
    assert post.outcome(2) == ("finished", 7)


def test_a_user_error_keeps_its_way_out() -> None:
    found = explain_error(DataError("The folder is gone.", "Choose another."))
    assert (found.message, found.hint) == ("The folder is gone.", "Choose another.")
    assert found.sentence == "The folder is gone. Choose another."


def test_what_a_failed_job_held_is_let_go(gpu: GpuThread, post: Post) -> None:
    class Big:
        pass

    kept: list[weakref.ref[Big]] = []

    def call(_session: Any, _control: Control) -> None:
        big = Big()
        kept.append(weakref.ref(big))
        raise RuntimeError("out of memory")

    gpu.start()
    gpu.submit(1, Work(call), Control())
    post.outcome(1)
    gpu.submit(2, Work(lambda *_: None), Control())
    post.outcome(2)
    gc.collect()
    assert kept[0]() is None


def test_cancelling_a_running_job_ends_it_as_cancelled(gpu: GpuThread, post: Post) -> None:
    control, begun = Control(), threading.Event()

    def call(_session: Any, inner: Control) -> None:
        begun.set()
        while True:
            inner.progress("loop", 0, 0)

    gpu.start()
    gpu.submit(1, Work(call), control)
    assert begun.wait(PATIENCE_S)
    control.cancel()
    assert post.outcome(1) == ("cancelled", None)


def test_a_job_cancelled_before_it_began_never_starts(gpu: GpuThread, post: Post) -> None:
    control = Control()
    control.cancel()
    gpu.start()
    gpu.submit(1, Work(lambda *_: 1), control)
    assert post.outcome(1) == ("cancelled", None)
    assert post.order("started") == []


def test_an_engine_that_cannot_be_opened_fails_every_job_with_the_reason(qapp: Any, post: Post) -> None:
    def broken() -> object:
        raise ImportError("libcudart.so.13: cannot open shared object file")

    thread = GpuThread(post, broken)
    thread.submit(1, Work(lambda *_: 1), Control())
    thread.start()
    kind, error = post.outcome(1)
    thread.submit(2, Work(lambda *_: 1), Control())
    assert post.outcome(2)[0] == "failed"
    assert thread.shut_down()
    assert kind == "failed"
    assert isinstance(error, ErrorInfo)
    assert error.message.startswith("The engine could not be loaded.")
    assert "libcudart" in error.details
    assert post.wait(ENGINE_KEY, "engine_failed")[1] == error


# --- order ------------------------------------------------------------------------------------------


def test_interactive_before_training_before_batch_and_first_come_first_served(
    gpu: GpuThread, post: Post
) -> None:
    priorities = (
        Priority.BATCH,
        Priority.TRAINING,
        Priority.INTERACTIVE,
        Priority.BATCH,
        Priority.INTERACTIVE,
    )
    for key, priority in enumerate(priorities, start=1):
        gpu.submit(key, Work(lambda *_: None, priority), Control())
    gpu.start()
    for key in range(1, 6):
        post.outcome(key)
    assert post.order("finished") == [3, 5, 2, 1, 4]


def test_withdrawing_takes_only_a_job_that_has_not_begun(gpu: GpuThread, post: Post) -> None:
    gate = threading.Event()
    gpu.start()
    gpu.submit(1, hold(gate), Control())
    post.wait(1, "started")
    gpu.submit(2, Work(lambda *_: 2), Control())
    gpu.submit(3, Work(lambda *_: 3), Control())
    assert gpu.withdraw(2)
    assert not gpu.withdraw(2)
    assert not gpu.withdraw(1)
    assert post.outcome(2) == ("cancelled", None)
    gate.set()
    assert post.outcome(3) == ("finished", 3)
    assert post.outcome(1) == ("finished", None)
    assert sorted(key for key, kind, _ in post.items if kind in OUTCOMES) == [1, 2, 3]


# --- between two training steps ---------------------------------------------------------------------


def training(control_box: list[Control], reached: threading.Event, leave: threading.Event) -> Work:
    """Like a training loop: a step, then `between_steps`, until told to leave."""

    def call(_session: Any, control: Control) -> str:
        control_box.append(control)
        while not leave.is_set() and not control.stop_requested:
            control.between_steps()
            reached.set()
            leave.wait(0.001)
        return "trained"

    return Work(call, Priority.TRAINING, "Training")


def test_only_interactive_jobs_run_inside_a_training_and_everything_but_a_training_while_it_is_paused(
    gpu: GpuThread, post: Post
) -> None:
    reached, leave = threading.Event(), threading.Event()
    control = Control(serve=gpu.serve_waiting)
    gpu.start()
    gpu.submit(1, training([], reached, leave), control)
    assert reached.wait(PATIENCE_S)
    gpu.submit(2, Work(lambda *_: None, Priority.BATCH), Control())
    gpu.submit(3, Work(lambda *_: None, Priority.TRAINING), Control())
    gpu.submit(4, Work(lambda *_: "probe"), Control())
    assert post.outcome(4) == ("finished", "probe")
    assert post.order("finished") == [4]
    control.pause()
    post.outcome(2)
    assert post.order("finished") == [4, 2]
    control.resume()
    leave.set()
    assert post.outcome(1) == ("finished", "trained")
    post.outcome(3)
    assert post.order("finished") == [4, 2, 1, 3]


def test_an_error_in_a_served_job_leaves_the_training_alone(gpu: GpuThread, post: Post) -> None:
    reached, leave = threading.Event(), threading.Event()
    gpu.start()
    gpu.submit(1, training([], reached, leave), Control(serve=gpu.serve_waiting))
    assert reached.wait(PATIENCE_S)
    gpu.submit(2, raising(RuntimeError("out of memory")), Control())
    assert post.outcome(2)[0] == "failed"
    leave.set()
    assert post.outcome(1) == ("finished", "trained")


def test_stopping_a_paused_training_keeps_its_result(gpu: GpuThread, post: Post) -> None:
    reached, leave = threading.Event(), threading.Event()
    control = Control(serve=gpu.serve_waiting)
    gpu.start()
    gpu.submit(1, training([], reached, leave), control)
    assert reached.wait(PATIENCE_S)
    control.pause()
    control.stop()
    assert post.outcome(1) == ("finished", "trained")


@dataclass
class Search:
    """Like a gallery: much work that can be left between two parts, and gone on with."""

    parts: int
    reached: threading.Event
    priority: int = Priority.BATCH
    title: str = "Search"
    gives_way: bool = True
    done: int = 0

    def run(self, _session: Any, control: Control) -> int:
        while self.done < self.parts:
            control.between_steps()
            self.done += 1
            self.reached.set()
            threading.Event().wait(0.001)
        return self.done


def test_a_search_gives_way_to_a_training_and_goes_on_after_it(gpu: GpuThread, post: Post) -> None:
    search, trained = Search(10**9, threading.Event()), threading.Event()
    gpu.start()
    gpu.submit(1, search, Control(serve=gpu.serve_waiting))
    assert search.reached.wait(PATIENCE_S)

    def call(*_: Any) -> str:
        search.parts = search.done + 3  # the end is near only now: it had to leave before
        trained.set()
        return "trained"

    gpu.submit(2, Work(call, Priority.TRAINING), Control(serve=gpu.serve_waiting))
    assert post.outcome(2) == ("finished", "trained")
    assert post.outcome(1) == ("finished", search.parts)
    assert post.order("started") == [1, 2, 1]
    assert post.order("finished") == [2, 1]


def test_a_search_within_a_paused_training_gives_way_when_that_goes_on(gpu: GpuThread, post: Post) -> None:
    reached, leave = threading.Event(), threading.Event()
    control = Control(serve=gpu.serve_waiting)
    search = Search(10**9, threading.Event())
    gpu.start()
    gpu.submit(1, training([], reached, leave), control)
    assert reached.wait(PATIENCE_S)
    control.pause()
    gpu.submit(2, search, Control(serve=gpu.serve_waiting))
    assert search.reached.wait(PATIENCE_S)
    reached.clear()
    control.resume()
    assert reached.wait(PATIENCE_S)
    leave.set()
    assert post.outcome(1) == ("finished", "trained")
    search.parts = search.done + 3
    assert post.outcome(2) == ("finished", search.parts)


def test_a_search_that_gave_way_can_be_cancelled(gpu: GpuThread, post: Post) -> None:
    search, leave, reached = Search(10**9, threading.Event()), threading.Event(), threading.Event()
    gpu.start()
    gpu.submit(1, search, Control(serve=gpu.serve_waiting))
    assert search.reached.wait(PATIENCE_S)
    gpu.submit(2, training([], reached, leave), Control(serve=gpu.serve_waiting))
    assert reached.wait(PATIENCE_S)
    assert gpu.withdraw(1)
    assert post.outcome(1) == ("cancelled", None)
    leave.set()
    assert post.outcome(2) == ("finished", "trained")


# --- the end ----------------------------------------------------------------------------------------


def test_shutdown_cancels_what_runs_and_what_waits_and_closes_the_engine_on_its_thread(
    gpu: GpuThread, post: Post, session: Session
) -> None:
    reached = threading.Event()
    box: list[Control] = []
    gpu.start()
    gpu.submit(1, training(box, reached, threading.Event()), Control(serve=gpu.serve_waiting))
    assert reached.wait(PATIENCE_S)
    gpu.submit(2, Work(lambda *_: None, Priority.BATCH), Control())
    assert gpu.shut_down()
    assert box[0].cancelled
    assert not gpu.isRunning()
    assert {key: post.outcome(key)[0] for key in (1, 2)} == {1: "cancelled", 2: "cancelled"}
    assert len(session.closed_on) == 1
    assert session.closed_on[0] is not threading.main_thread()
    gpu.submit(3, Work(lambda *_: None), Control())
    assert post.outcome(3) == ("cancelled", None)


def test_shutdown_before_the_start_opens_nothing(qapp: Any, post: Post) -> None:
    opened: list[bool] = []
    thread = GpuThread(post, lambda: opened.append(True))
    thread.submit(1, Work(lambda *_: None), Control())
    assert thread.shut_down()
    assert post.outcome(1) == ("cancelled", None)
    thread.start()
    assert thread.wait(int(PATIENCE_S * 1000))
    assert opened == []
