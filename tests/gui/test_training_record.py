"""Curves from events and from files are the same; a record keeps what a late page needs."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from advclip_gui.engine.control import Control
from advclip_gui.engine.events import CheckpointSaved, EvalDone, Log, Progress, StepDone, TrainingStarted
from advclip_gui.gui.job_handle import ErrorInfo, JobHandle
from advclip_gui.gui.run_history import RunHistory
from advclip_gui.gui.training_record import TrainingRecord
from advclip_gui.gui.widgets.run_status import badge_word
from advclip_gui.settings import RunSettings
from advclip_gui.wording import COMPARISON_TASK, PROTOCOL_SENTENCES

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot


def step(number: int, loss: float = 1.0) -> StepDone:
    return StepDone(
        step=number,
        total_steps=100,
        adversarial_loss=loss,
        clean_loss=math.nan,
        inner_gain=math.nan,
        delta_norm=2 / 255,
        gradient_norm=0.5,
        learning_rate=1e-3,
        flipped_share=0.1,
        steps_per_second=2.0,
        seconds_left=10.0,
    )


def measured(number: int, model: str = "adapter", robust: float = 0.2) -> EvalDone:
    return EvalDone(
        step=number,
        model=model,
        n=40,
        epsilon=2 / 255,
        attack="PGD-10",
        split="val",
        clean_accuracy=0.75,
        clean_interval=(0.6, 0.86),
        robust_accuracy=robust,
        robust_interval=(robust - 0.1, robust + 0.1),
    )


def as_record(event: Any) -> dict[str, Any]:
    name = {"StepDone": "step", "EvalDone": "eval"}[type(event).__name__]
    values = {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in asdict(event).items()
    }
    return {"event": name, **values}


EVENTS = (
    measured(0, "zero-shot", 0.1),
    step(5, 2.0),
    measured(10),
    step(10),
    measured(20, robust=0.3),
    step(15),
)


@pytest.fixture
def handle(qapp: Any) -> JobHandle:
    return JobHandle(1, "Training", Control(), lambda _key: False)


@pytest.fixture
def record(handle: JobHandle) -> TrainingRecord:
    return TrainingRecord(handle, RunSettings(), Path("run"))


def send(handle: JobHandle, *events: Any) -> None:
    for event in events:
        handle.deliver("event", event)
    handle.drained.emit()


def test_events_and_files_give_the_same_curves() -> None:
    live, read = RunHistory(), RunHistory()
    for event in EVENTS:
        assert live.add(event)
    read.add_records(as_record(event) for event in EVENTS)
    assert live.evaluations == read.evaluations
    assert live.baseline == read.baseline
    assert live.columns["adversarial_loss"] == read.columns["adversarial_loss"] == [2.0, 1.0, 1.0]
    assert all(math.isnan(value) for value in read.columns["clean_loss"])
    assert live.last_step == 20


def test_the_curve_begins_at_the_zero_shot_baseline() -> None:
    history = RunHistory()
    history.add(measured(0, "zero-shot", 0.1))
    assert [one.step for one in history.evaluations] == [0]
    history.add(measured(10))
    assert [one.robust for one in history.evaluations] == [0.1, 0.2]
    assert not history.add(Log(message="something else"))


def test_damaged_lines_are_passed_over() -> None:
    history = RunHistory()
    history.add_records(
        [
            {"event": "step"},
            {"event": "eval", "clean_interval": 3},
            {},
            as_record(step(5)),
            as_record(step(5)),
        ]
    )
    assert history.steps == [5.0]


def test_a_record_follows_its_job(qtbot: QtBot, handle: JobHandle, record: TrainingRecord) -> None:
    with qtbot.waitSignals([record.changed, record.changed]):
        send(handle, Progress(task="Loading the backbone", done=0, total=0))
        assert record.progress is not None
        send(handle, Progress(task="Loading the backbone", done=1, total=2), *EVENTS)
    assert record.progress is None
    assert record.latest == EVENTS[-1]
    send(
        handle,
        TrainingStarted(
            run_dir="run",
            total_steps=100,
            first_step=0,
            trainable_parameters=184_320,
            device="CPU",
            protocol="sound",
            class_names=("a", "b"),
            epsilon=2 / 255,
        ),
        CheckpointSaved(step=50, path="x"),
        Log(message="A step was skipped.", level="warning"),
    )
    assert record.checkpoint_step == 50
    messages = [line.message for line in record.log]
    assert messages.count("Loading the backbone") == 1
    assert (
        "Step 20: clean 75.0%, robust 30.0% (sound protocol, PGD-10 at 2/255 in L∞, 40 validation images)."
    ) in messages
    assert "Starting at step 0 of 100: 184,320 trainable parameters on CPU." in messages
    assert record.log[-1].level == "warning"
    handle.deliver("finished", SimpleNamespace(state="stopped", steps=20, result={"steps": 20}))
    assert record.result == {"steps": 20}
    assert record.log[-1].message == "Stopped after 20 steps."


def test_the_comparison_keeps_its_own_curve(handle: JobHandle, record: TrainingRecord) -> None:
    progress = Progress(task=COMPARISON_TASK, done=40, total=100)
    send(handle, *EVENTS, progress, Progress(task="Measuring", done=1, total=2))
    send(handle, measured(10, "clip-lora", 0.5), measured(25, "clip-lora", 0.6))
    assert [one.step for one in record.history.comparison] == [10, 25]
    assert [one.step for one in record.history.evaluations] == [0, 10, 20]
    assert record.history.last_step == 20
    assert record.progress == progress  # what goes on after the evaluation
    record.restore([as_record(event) for event in (*EVENTS, measured(10, "clip-lora", 0.5))])
    assert [one.robust for one in record.history.comparison] == [0.5, 0.6]


def test_runs_of_earlier_versions_keep_their_curves() -> None:
    old = as_record(step(5))
    for name in ("gradient_norm_a", "gradient_norm_b"):
        del old[name]
    evaluation = as_record(measured(10))
    evaluation.pop("norm")
    history = RunHistory()
    history.add_records([old, evaluation])
    assert history.steps == [5.0]
    assert history.columns["gradient_norm"] == [0.5]
    assert math.isnan(history.columns["gradient_norm_a"][0])
    assert history.evaluations[0].norm == "Linf"


def test_released_runs_say_in_the_log_that_they_cannot_be_compared(
    handle: JobHandle, record: TrainingRecord
) -> None:
    started = TrainingStarted(
        run_dir="run",
        total_steps=100,
        first_step=0,
        trainable_parameters=1,
        device="CPU",
        protocol="released",
        class_names=("a",),
        epsilon=0.01,
    )
    send(handle, started)
    assert (record.log[-1].level, record.log[-1].message) == ("warning", PROTOCOL_SENTENCES["released"])


def test_a_failure_is_kept(handle: JobHandle, record: TrainingRecord) -> None:
    handle.deliver("failed", ErrorInfo("The disk is full.", "Free some space."))
    assert record.error is not None
    assert record.log[-1].level == "error"
    assert record.result is None


def test_an_earlier_part_comes_before_what_has_arrived_meanwhile(
    handle: JobHandle, record: TrainingRecord
) -> None:
    send(handle, measured(0, "zero-shot", 0.1), step(25), measured(30, robust=0.4))
    record.restore([as_record(event) for event in EVENTS])
    assert record.history.steps == [5.0, 10.0, 15.0, 25.0]
    assert [one.step for one in record.history.evaluations] == [0, 10, 20, 30]
    assert record.history.baseline is not None


def test_what_came_after_the_checkpoint_is_forgotten(handle: JobHandle, record: TrainingRecord) -> None:
    started = TrainingStarted(
        run_dir="run",
        total_steps=100,
        first_step=10,
        trainable_parameters=1,
        device="CPU",
        protocol="sound",
        class_names=("a",),
        epsilon=0.01,
    )
    send(handle, started, step(15, 9.0))
    record.restore([as_record(event) for event in EVENTS])
    assert record.history.columns["adversarial_loss"] == [2.0, 1.0, 9.0]
    assert [one.step for one in record.history.evaluations] == [0, 10]


def test_the_badge_names_the_final_evaluation_after_an_early_end(
    handle: JobHandle, record: TrainingRecord
) -> None:
    handle.deliver("started", None)
    begun = TrainingStarted(
        run_dir="run",
        total_steps=100,
        first_step=0,
        trainable_parameters=1,
        device="CPU",
        protocol="sound",
        class_names=("cat", "dog"),
        epsilon=2 / 255,
    )
    send(handle, begun, step(40))
    assert badge_word(record) == "Training"
    send(handle, measured(40))
    assert badge_word(record) == "Training"
    send(handle, Progress(task="Evaluating", done=3, total=20, detail="PGD-10"))
    assert badge_word(record) == "Evaluating"
    send(handle, Progress(task=COMPARISON_TASK, done=3, total=20))
    assert badge_word(record) == "Comparing"
