"""The Train page: a real short run through real clicks, and every state a run can be in."""

from __future__ import annotations

import csv
import io
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton, QTableWidget

from advclip_gui.engine.events import CheckpointSaved, EvalDone, Log, Progress, StepDone, TrainingStarted
from advclip_gui.engine.runs import RunFolder
from advclip_gui.engine.statistics import wilson
from advclip_gui.gui import theme
from advclip_gui.gui.bridge import Backend
from advclip_gui.gui.io_thread import IoPool
from advclip_gui.gui.job_handle import ErrorInfo
from advclip_gui.gui.pages.train import TrainPage
from advclip_gui.gui.run_pace import Pace
from advclip_gui.gui.widgets import memory_meter
from advclip_gui.gui.widgets.result_card import result_text
from advclip_gui.gui.workspace import Workspace
from advclip_gui.presets import PRESETS
from advclip_gui.settings import DataSettings, RunSettings, TrainingSettings
from advclip_gui.wording import COMPARISON_TASK, PROTOCOL_SENTENCES
from tests.gui.page_room import Room, page_room

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from advclip_gui.engine.events import Event
    from advclip_gui.gui.job_handle import JobHandle

LEFT = Qt.MouseButton.LeftButton
LONG_MS = 180_000
"""Loading torch and a few steps take seconds, on a busy machine many."""
SHORT = {
    "training.steps": 6,
    "training.batch_size": 8,
    "adversary.inner_steps": 1,
    "monitor.every": 6,
    "monitor.images": 10,
    "monitor.attack_steps": 2,
    "monitor.final_images": 10,
    "monitor.checkpoint_every": 6,
    "device": "cpu",
}


@pytest.fixture
def room(qapp: Any) -> Iterator[Room]:
    """A page's surroundings; the device is never started, the test says what it reports."""
    with page_room(qapp) as made:
        yield made


@pytest.fixture
def page(qtbot: QtBot, room: Room) -> TrainPage:
    made = TrainPage(room.workspace, room.backend, room.io)
    qtbot.addWidget(made)
    made.resize(1196, 742)
    made.show()
    return made


def open_demo(qtbot: QtBot, workspace: Workspace) -> None:
    with qtbot.waitSignal(workspace.scan_changed, timeout=LONG_MS):
        workspace.open_demo(then="")
    qtbot.waitUntil(lambda: workspace.scanning is None)


def begin(qtbot: QtBot, room: Room, page: TrainPage, **values: Any) -> JobHandle:
    """Start a run by a click; its job waits in the queue for what the test delivers."""
    open_demo(qtbot, room.workspace)
    room.workspace.set_settings(PRESETS["demo"].settings.with_values(values))
    qtbot.mouseClick(page.controls.start_button, LEFT)
    assert room.workspace.training is not None
    return room.workspace.training


def tell(handle: JobHandle, *events: Event) -> None:
    for event in events:
        handle.deliver("event", event)
    handle.drained.emit()


def end(qtbot: QtBot, room: Room, handle: JobHandle, kind: str, payload: object = None) -> None:
    handle.deliver(kind, payload)
    handle.ended.emit()
    qtbot.waitUntil(lambda: not room.io.jobs)


def started(total: int = 150, first: int = 0) -> TrainingStarted:
    return TrainingStarted(
        run_dir="run",
        total_steps=total,
        first_step=first,
        trainable_parameters=92_160,
        device="CPU",
        protocol="sound",
        class_names=("cat", "dog"),
        epsilon=2 / 255,
    )


def step(number: int, total: int = 150) -> StepDone:
    return StepDone(
        step=number,
        total_steps=total,
        adversarial_loss=2.5,
        clean_loss=float("nan"),
        inner_gain=1.0,
        delta_norm=2 / 255,
        gradient_norm=0.5,
        learning_rate=1e-3,
        flipped_share=0.4,
        steps_per_second=2.5,
        seconds_left=(total - number) / 2.5,
        gradient_norm_a=0.4,
        gradient_norm_b=0.3,
    )


def measured(number: int, clean: int, robust: int, model: str = "adapter") -> EvalDone:
    return EvalDone(
        step=number,
        model=model,
        n=100,
        epsilon=2 / 255,
        attack="PGD-10",
        split="val",
        clean_accuracy=clean / 100,
        clean_interval=wilson(clean, 100),
        robust_accuracy=robust / 100,
        robust_interval=wilson(robust, 100),
    )


# --- a real run ---------------------------------------------------------------------------------


class Bench:
    """A page with the real engine behind it."""

    def __init__(self, qtbot: QtBot) -> None:
        self.io, self.backend = IoPool(), Backend()
        self.workspace = Workspace(self.backend, self.io)
        self.visited: list[str] = []
        self.probed: list[Any] = []
        self.exported: list[Path] = []
        self.workspace.navigate.connect(self.visited.append)
        self.workspace.probe_requested.connect(self.probed.append)
        self.workspace.export_requested.connect(self.exported.append)
        self.page = TrainPage(self.workspace, self.backend, self.io)
        qtbot.addWidget(self.page)
        self.page.resize(1196, 742)
        self.page.show()


@pytest.fixture
def bench(qtbot: QtBot, qapp: Any) -> Iterator[Bench]:
    theme.apply(qapp, "light")
    made = Bench(qtbot)
    try:
        yield made
    finally:
        made.backend.shut_down()
        made.io.shut_down()


def all_csv(page: TrainPage) -> dict[str, list[dict[str, str]]]:
    return {
        plot.objectName(): list(csv.DictReader(io.StringIO(plot.csv())))
        for plot in page.plots.plots
    }  # fmt: skip


def test_the_demo_trains_pauses_stops_resumes_and_shows_what_the_files_hold(
    qtbot: QtBot, bench: Bench
) -> None:
    """Needs seconds of processor time: it loads the engine and trains the bundled backbone."""
    page, workspace = bench.page, bench.workspace
    open_demo(qtbot, workspace)
    workspace.set_settings(PRESETS["demo"].settings.with_values({**SHORT, "training.steps": 24}))
    assert page.controls.start_button.isEnabled()
    qtbot.mouseClick(page.empty.start_button, LEFT)
    handle = workspace.training
    assert handle is not None
    assert page.stack.currentIndex() == 1
    assert page.status.badge.text() == "Waiting"
    bench.backend.start()
    record = workspace.record
    assert record is not None
    qtbot.waitUntil(lambda: record.progress is not None, timeout=LONG_MS)
    qtbot.waitUntil(lambda: bool(page.plots.loss.keys) and record.latest is not None, timeout=LONG_MS)

    qtbot.mouseClick(page.controls.pause_button, LEFT)
    assert handle.state == "paused"
    assert page.controls.pause_button.text() == "Continue"
    assert page.status.badge.text() == "Paused"
    qtbot.mouseClick(page.controls.pause_button, LEFT)
    assert handle.state == "running"
    qtbot.mouseClick(page.controls.probe_button, LEFT)
    assert bench.visited[-1] == "probe"
    assert bench.probed[-1].kind == "live"

    qtbot.mouseClick(page.controls.stop_button, LEFT)
    with qtbot.waitSignal(handle.ended, timeout=LONG_MS) if handle.active else _nothing():
        pass
    assert page.status.badge.text() == "Stopped"
    stopped_at = record.history.last_step
    assert 0 < stopped_at < 24
    assert page.result.isVisible()
    assert "stopped before its final evaluation" in page.result.note.text()
    assert "monitoring" in page.result.title_label.text()
    qtbot.mouseClick(page.result.export_button, LEFT)
    assert bench.exported == [workspace.run_dir]

    # The rest of it, from the checkpoint, in the same folder and the same curves.
    run_dir = workspace.run_dir
    assert run_dir is not None
    qtbot.mouseClick(page.controls.resume_button, LEFT)
    assert not page.result.isVisible()
    resumed = workspace.training
    assert resumed is not None
    assert resumed is not handle
    assert workspace.run_dir == run_dir
    with qtbot.waitSignal(resumed.ended, timeout=LONG_MS):
        pass
    assert page.status.badge.text() == "Finished"
    assert not page.controls.resume_button.isVisible()
    qtbot.waitUntil(lambda: not bench.io.jobs, timeout=LONG_MS)

    folder = RunFolder(run_dir)
    result = folder.result()
    assert result is not None
    assert "n = 10 test images" in page.result.note.text()
    assert page.result.badge.text() == "upper bound: FGSM + PGD-2"
    cells = page.result.table
    for row, key in enumerate(("zero_shot", "adapter")):
        for column, part in ((1, "clean"), (2, "robust")):
            share, (low, high) = result[key][f"{part}_accuracy"], result[key][f"{part}_interval"]
            expected = f"{100 * share:.1f} % ({100 * low:.1f} – {100 * high:.1f})"
            assert cells.text_at(row, column) == expected

    page.plots.smoothing.setValue(80)
    plots = all_csv(page)
    steps = [one for one in folder.metrics() if one["event"] == "step"]
    evals = [one for one in folder.metrics() if one["event"] == "eval"]
    assert steps[-1]["step"] == 24
    for name, label, key in (
        ("lossPlot", "Adversarial", "adversarial_loss"),
        ("lossPlot", "Clean", "clean_loss"),
        ("deltaPlot", "Mean", "delta_norm"),
        ("gainPlot", "Gain", "inner_gain"),
        ("flippedPlot", "Flipped", "flipped_share"),
        ("gradientPlot", "A", "gradient_norm_a"),
        ("gradientPlot", "B", "gradient_norm_b"),
        ("ratePlot", "Now", "learning_rate"),
    ):
        assert [int(row["step"]) for row in plots[name]] == [one["step"] for one in steps]
        assert [float(row[label]) for row in plots[name]] == [one[key] for one in steps]
    curve = [one for one in evals if one["model"] == "adapter" or one["step"] == 0]
    accuracy = plots["accuracyPlot"]
    assert [int(row["step"]) for row in accuracy] == [one["step"] for one in curve]
    for part in ("clean", "robust"):
        title = part.capitalize()
        assert [float(row[title]) for row in accuracy] == [one[f"{part}_accuracy"] for one in curve]
        assert [float(row[f"{title} low"]) for row in accuracy] == [
            one[f"{part}_interval"][0] for one in curve
        ]
        assert {float(row[f"Zero-shot, {part}"]) for row in accuracy} == {evals[0][f"{part}_accuracy"]}

    qtbot.waitUntil(lambda: any(ref.kind == "adapter" for ref in workspace.model_refs()), timeout=LONG_MS)
    qtbot.mouseClick(page.result.probe_button, LEFT)
    assert bench.probed[-1].adapter == str(run_dir)
    assert bench.probed[-1] in workspace.model_refs()
    qtbot.mouseClick(page.result.evaluate_button, LEFT)
    assert bench.visited[-2:] == ["probe", "evaluate"]


class _nothing:  # noqa: N801 (stands in for a context manager)
    def __enter__(self) -> None: ...

    def __exit__(self, *_args: object) -> None: ...


def test_a_run_that_cannot_be_prepared_fails_with_a_sentence(
    qtbot: QtBot, bench: Bench, tmp_path: Path
) -> None:
    """Needs seconds of processor time: it loads the engine."""
    page, workspace = bench.page, bench.workspace
    open_demo(qtbot, workspace)
    checkpoint = tmp_path / "not a checkpoint.safetensors"
    checkpoint.write_bytes(b"nothing of the kind")
    workspace.set_settings(
        PRESETS["demo"].settings.with_values(
            {**SHORT, "backbone.name": "local", "backbone.checkpoint": str(checkpoint)}
        )
    )
    bench.backend.start()
    qtbot.mouseClick(page.controls.start_button, LEFT)
    assert workspace.training is not None
    with qtbot.waitSignal(workspace.training.ended, timeout=LONG_MS):
        pass
    assert page.banner.level == "error"
    assert "not a checkpoint.safetensors" in page.banner.message
    assert page.banner.details_text.toPlainText()
    assert page.status.badge.text() == "Failed"
    assert not page.controls.resume_button.isVisible()
    recipe = page.banner.findChild(QPushButton, "bannerAction0")
    qtbot.mouseClick(recipe, LEFT)
    assert bench.visited[-1] == "recipe"
    qtbot.waitUntil(lambda: not bench.io.jobs)


# --- before a run -------------------------------------------------------------------------------


def test_without_images_start_is_off_with_the_reason(qtbot: QtBot, room: Room, page: TrainPage) -> None:
    assert page.stack.currentIndex() == 0
    assert not page.controls.start_button.isEnabled()
    assert page.controls.start_button.toolTip() == "Open an image folder, or the demo, first."
    assert not page.empty.start_button.isVisible()
    qtbot.mouseClick(page.empty.data_button, LEFT)
    assert room.visited == ["data"]
    assert not page.status.meter.running


def test_the_demo_is_one_click_away(qtbot: QtBot, room: Room, page: TrainPage) -> None:
    with qtbot.waitSignal(room.workspace.scan_changed, timeout=LONG_MS):
        qtbot.mouseClick(page.empty.demo_button, LEFT)
        assert not page.controls.start_button.isEnabled()
        assert "scanned" in page.empty.title.text()
    qtbot.waitUntil(lambda: page.controls.start_button.isEnabled())
    assert room.visited == ["train"]
    assert "150 steps on 16 images of each of 10 classes" in page.empty.text.text()
    assert "sound protocol" in page.header.subtitle.text()
    qtbot.mouseClick(page.empty.recipe_button, LEFT)
    assert room.visited[-1] == "recipe"


def test_an_engine_that_did_not_load_is_the_reason(qtbot: QtBot, room: Room, page: TrainPage) -> None:
    open_demo(qtbot, room.workspace)
    error = ErrorInfo("The engine could not be loaded.", "Install it again.")
    room.backend.engine_error = error
    room.backend.engine_failed.emit(error)
    assert page.controls.start_button.toolTip() == error.sentence
    assert page.empty.text.text() == error.sentence
    qtbot.mouseClick(page.controls.start_button, LEFT)
    assert room.workspace.training is None


# --- while it runs ------------------------------------------------------------------------------


def test_preparation_is_shown_before_the_first_step(qtbot: QtBot, room: Room, page: TrainPage) -> None:
    handle = begin(qtbot, room, page)
    assert page.status.line.text() == "Begins as soon as the device is free"
    handle.deliver("started", None)
    tell(handle)
    assert page.status.badge.text() == "Preparing"
    tell(handle, Progress(task="Looking for images", done=12, total=0))
    qtbot.waitUntil(lambda: page.status.line.text() == "Looking for images")
    assert page.status.bar.maximum() == 0  # busy, length unknown
    detail = Progress(task="Loading the backbone", done=1, total=3, detail="weights")
    tell(handle, detail)
    qtbot.waitUntil(lambda: page.status.line.text() == "Loading the backbone · 1 of 3 · weights")
    assert 0 < page.status.bar.value() < page.status.bar.maximum()
    assert not page.controls.probe_button.isVisible()
    assert page.status.meter.running
    end(qtbot, room, handle, "cancelled")


def test_curves_figures_and_log_follow_the_events(qtbot: QtBot, room: Room, page: TrainPage) -> None:
    handle = begin(qtbot, room, page)
    handle.deliver("started", None)
    tell(handle, measured(0, 80, 20, "zero-shot"), started())
    tell(handle, *(step(number) for number in range(5, 31, 5)))
    tell(handle, measured(15, 78, 25), measured(30, 76, 33), CheckpointSaved(step=30, path="x"))
    tell(handle, Log(message="1 step skipped.", level="warning"))
    qtbot.waitUntil(lambda: "1 step skipped" in page.log.text.toPlainText())
    assert page.plots.accuracy.values("robust") == ([0.0, 15.0, 30.0], [0.2, 0.25, 0.33])
    assert [one.y for one in page.plots.accuracy.baselines] == [0.8, 0.2]
    assert page.plots.loss.values("adversarial_loss")[0] == [5.0, 10.0, 15.0, 20.0, 25.0, 30.0]
    assert all(plot.title.text().endswith(" · sound, L∞") for plot in page.plots.plots[:-1])
    assert page.plots.rate.title.text() == "Learning rate · sound"
    assert page.plots.gradient.values("gradient_norm_a")[1][-1] == 0.4
    assert page.plots.gradient.values("gradient_norm_b")[1][-1] == 0.3
    assert page.plots.gain.values("inner_gain")[1][-1] == 1.0
    assert page.plots.flipped.values("flipped_share")[1][-1] == 0.4
    assert page.plots.flipped.legend.text == "Flipped 40.0 %"
    assert page.plots.accuracy.note.text() == "PGD-10 at 2/255 in L∞ · 100 validation images · 95 % bands"
    assert page.status.robust.value.text() == "33.0 %"
    assert page.status.robust.note.text() == "zero-shot 20.0 %"
    assert page.status.line.text().startswith("Step 30 of 150 · 2.5 steps/s · ")
    assert page.status.line.text().endswith(" left")
    assert page.status.bar.value() == 30
    assert page.controls.probe_button.isVisible()

    page.log.level.setCurrentIndex(1)
    assert page.log.text.toPlainText().endswith("1 step skipped.")
    assert "Checkpoint" not in page.log.text.toPlainText()
    page.log.level.setCurrentIndex(0)
    qtbot.keyClicks(page.log.filter, "checkpoint")
    assert page.log.text.toPlainText().count("\n") == 0
    end(qtbot, room, handle, "cancelled")


def test_a_hidden_page_catches_up_when_it_is_shown(qtbot: QtBot, room: Room, page: TrainPage) -> None:
    handle = begin(qtbot, room, page)
    handle.deliver("started", None)
    page.hide()
    assert not page.status.meter.running
    tell(handle, started(), step(5))
    assert page.plots.loss.values("adversarial_loss")[0] == []
    page.show()
    assert page.plots.loss.values("adversarial_loss")[0] == [5.0]
    assert page.status.meter.running
    end(qtbot, room, handle, "cancelled")


def test_a_page_made_later_shows_the_run_from_its_beginning(
    qtbot: QtBot, room: Room, page: TrainPage
) -> None:
    handle = begin(qtbot, room, page)
    handle.deliver("started", None)
    tell(handle, started(), step(5), step(10))
    late = TrainPage(room.workspace, room.backend, room.io)
    qtbot.addWidget(late)
    assert late.stack.currentIndex() == 1
    assert late.plots.loss.values("adversarial_loss")[0] == [5.0, 10.0]
    end(qtbot, room, handle, "cancelled")


def test_smoothing_is_for_the_eye_only(qtbot: QtBot, room: Room, page: TrainPage) -> None:
    handle = begin(qtbot, room, page)
    tell(handle, started(), step(5), step(10))
    before = page.plots.loss.csv()
    page.plots.smoothing.setFocus()
    for _ in range(3):
        qtbot.keyClick(page.plots.smoothing, Qt.Key.Key_PageUp)
    assert page.plots.loss.smoothing == pytest.approx(0.3)
    assert page.plots.smoothing_value.text() == "0.30"
    assert page.plots.loss.csv() == before
    assert page.plots.accuracy.smoothing == 0
    end(qtbot, room, handle, "cancelled")


def test_saving_a_plot_is_told_and_what_went_wrong_too(
    qtbot: QtBot, room: Room, page: TrainPage, tmp_path: Path
) -> None:
    handle = begin(qtbot, room, page)
    page.plots.loss.saved.emit(tmp_path / "loss.csv")
    assert room.notes[-1] == ("success", f"The plot was saved to {tmp_path / 'loss.csv'}.")
    page.plots.loss.failed.emit("The disk is full.")
    assert page.banner.message == "The disk is full."
    end(qtbot, room, handle, "cancelled")


# --- how it ends --------------------------------------------------------------------------------


def checkpoint(room: Room) -> None:
    """What a run leaves from which it can go on."""
    assert room.workspace.run_dir is not None
    folder = RunFolder(room.workspace.run_dir)
    folder.start(room.workspace.settings, device="CPU", split={})
    folder.checkpoint_path.parent.mkdir(parents=True)
    folder.checkpoint_path.write_bytes(b"state")
    lines = [{"event": "step", **{name: getattr(step(5), name) for name in StepDone.__slots__}}]
    (folder.path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_failure_stands_on_the_page_with_the_way_on(qtbot: QtBot, room: Room, page: TrainPage) -> None:
    handle = begin(qtbot, room, page)
    handle.deliver("started", None)
    tell(handle, started(), step(5))
    checkpoint(room)
    error = ErrorInfo("The device ran out of memory.", "Lower the batch size.", "Traceback: …")
    end(qtbot, room, handle, "failed", error)
    assert page.banner.level == "error"
    assert page.banner.message == error.sentence
    assert not page.banner.details_text.isVisible()
    qtbot.mouseClick(page.banner.details_button, LEFT)
    assert page.banner.details_text.toPlainText() == "Traceback: …"
    assert page.status.badge.text() == "Failed"
    assert page.controls.resume_button.isVisible()
    way_on = page.banner.findChild(QPushButton, "bannerAction0")
    assert way_on.text() == "Resume from checkpoint"
    qtbot.mouseClick(way_on, LEFT)
    again = room.workspace.training
    assert again is not None
    assert again is not handle
    assert not page.banner.isVisible()
    qtbot.waitUntil(lambda: page.plots.loss.values("adversarial_loss")[0] == [5.0])  # what was recorded
    tell(again, started(first=5), step(10))
    qtbot.waitUntil(lambda: page.plots.loss.values("adversarial_loss")[0] == [5.0, 10.0])
    end(qtbot, room, again, "cancelled")


@pytest.mark.parametrize("kept", [True, False])
def test_a_cancelled_run_says_whether_it_can_go_on(
    qtbot: QtBot, room: Room, page: TrainPage, kept: bool
) -> None:
    handle = begin(qtbot, room, page)
    if kept:
        checkpoint(room)
    end(qtbot, room, handle, "cancelled")
    assert page.controls.resume_button.isVisible() == kept
    assert ("in its checkpoint" in page.banner.message) == kept
    assert page.controls.start_button.isEnabled()


def test_a_queued_run_is_stopped_at_once(qtbot: QtBot, room: Room, page: TrainPage) -> None:
    handle = begin(qtbot, room, page)
    qtbot.mouseClick(page.controls.stop_button, LEFT)
    qtbot.waitUntil(lambda: not handle.active)
    assert page.status.badge.text() == "Cancelled"
    qtbot.waitUntil(lambda: not room.io.jobs)


def test_an_interrupted_run_is_offered_at_the_next_start(
    qtbot: QtBot, room: Room, page: TrainPage, tmp_path: Path
) -> None:
    room.workspace.run_dir = tmp_path / "run"
    checkpoint(room)
    run = SimpleNamespace(
        path=tmp_path / "run",
        name="Night run",
        state="interrupted",
        has_checkpoint=True,
        has_adapter=False,
        backbone_settings=None,
    )
    room.workspace.last_runs = (run,)  # type: ignore[assignment]
    room.workspace.runs_changed.emit()
    assert "'Night run' was interrupted" in page.banner.message
    qtbot.mouseClick(page.banner.findChild(QPushButton, "bannerAction0"), LEFT)
    assert room.workspace.training is not None
    assert page.stack.currentIndex() == 1
    end(qtbot, room, room.workspace.training, "cancelled")


# --- words --------------------------------------------------------------------------------------


def figures(clean: int, robust: int, n: int = 100) -> dict[str, Any]:
    return {
        "n": n,
        "epsilon": 2 / 255,
        "clean_accuracy": clean / n,
        "clean_interval": list(wilson(clean, n)),
        "robust_accuracy": robust / n,
        "robust_interval": list(wilson(robust, n)),
    }


def test_a_result_says_what_changed_and_whether_it_is_more_than_chance() -> None:
    text = result_text(
        {
            "method": "AdvCLIP-LoRA",
            "protocol": "sound",
            "zero_shot": figures(80, 20),
            "adapter": figures(75, 60),
        }
    )
    assert text.sentence == "Robust +40.0 points (intervals apart), clean −5.0 points (intervals overlap)."
    assert text.badge == "upper bound: FGSM + PGD-10"
    assert text.head[2] == "Robust accuracy at 2/255 in L∞"
    assert text.tag == "sound, L∞"
    assert text.rows[0][:2] == ["Zero-shot", "80.0 % (71.1 – 86.7)"]
    assert "n = 100 test images" in text.note
    assert "sound protocol" in text.note
    assert "not comparable" not in text.note


def test_three_models_stand_in_one_table_with_the_kept_step() -> None:
    settings = RunSettings(training=TrainingSettings(steps=300, patience=3, batch_size=32))
    text = result_text(
        {
            "method": "AdvCLIP-LoRA",
            "protocol": "sound",
            "norm": "L2",
            "steps": 150,
            "kept_step": 75,
            "evaluations": 12,
            "stopped_early": True,
            "micro_batch": 8,
            "class_names": ["cat", "dog"],
            "monitor": {"adapter": {"n": 40, "split": "val"}},
            "zero_shot": figures(80, 20),
            "clip_lora": figures(90, 10),
            "adapter": figures(75, 60),
        },
        settings,
    )
    assert [row[0] for row in text.rows] == ["Zero-shot", "CLIP-LoRA", "AdvCLIP-LoRA"]
    assert text.rows[1][2].startswith("10.0 %")
    assert text.tag == "sound, L2"
    assert text.head[2] == "Robust accuracy at 0.007843 in L2"
    assert text.sentence.startswith("Against Zero-shot: robust +40.0 points")
    assert "Against CLIP-LoRA: robust +50.0 points (intervals apart)" in text.sentence
    assert (
        "Adapter of step 75, the best of 12 evaluations on 40 validation images; training ended early, "
        "after 150 of 300 steps." in text.note
    )
    assert "Memory ran out: 8 of 32 images were computed at a time" in text.note


def test_a_run_stopped_before_its_first_evaluation_shows_the_baseline_alone() -> None:
    text = result_text(
        {"method": "AdvCLIP-LoRA", "monitor": {"zero-shot": {**figures(80, 20), "split": "val"}}}
    )
    assert [row[0] for row in text.rows] == ["Zero-shot"]
    assert text.sentence == ""
    assert "stopped before its final evaluation, and before any of its adapter" in text.note
    assert "100 validation images" in text.note


def test_a_small_training_set_is_no_shortage_of_memory() -> None:
    settings = RunSettings(data=DataSettings(shots=4), training=TrainingSettings(batch_size=32))
    result = {"micro_batch": 8, "class_names": ["cat", "dog"], "kept_step": 150, "adapter": figures(75, 60)}
    text = result_text(result, settings)
    assert "memory" not in text.note
    assert "Adapter of step" not in text.note  # nothing was chosen: the last one was kept


def test_released_figures_show_fgsm_and_say_they_cannot_be_compared() -> None:
    settings = PRESETS["released"].settings
    released = {**figures(80, 20), "fgsm_accuracy": 0.3, "fgsm_interval": list(wilson(30, 100))}
    text = result_text(
        {"method": "AdvCLIP-LoRA", "protocol": "released", "zero_shot": released, "adapter": released},
        settings,
    )
    assert text.head == ["Model", "Clean accuracy", "FGSM", "PGD at 2/255 in L∞"]
    assert text.rows[1][2].startswith("30.0 %")
    assert text.badge == "as released: FGSM, PGD-100"
    assert text.tag == "released, L∞"
    assert text.note.count(PROTOCOL_SENTENCES["released"]) == 1


def test_the_comparison_is_named_drawn_and_counted(qtbot: QtBot, room: Room, page: TrainPage) -> None:
    handle = begin(qtbot, room, page, **{"training.compare_plain": True})
    handle.deliver("started", None)
    tell(handle, measured(0, 80, 20, "zero-shot"), started(), step(150), measured(150, 75, 40))
    qtbot.waitUntil(lambda: page.status.badge.text() == "Evaluating")
    tell(handle, Progress(task=COMPARISON_TASK, done=30, total=150))
    qtbot.waitUntil(lambda: page.status.badge.text() == "Comparing")
    assert page.status.line.text() == "Training CLIP-LoRA for comparison · 30 of 150"
    tell(handle, measured(75, 85, 15, "clip-lora"), measured(150, 90, 10, "clip-lora"))
    qtbot.waitUntil(lambda: "clip-lora robust" in page.plots.accuracy.keys)
    assert page.plots.accuracy.values("clip-lora robust") == ([75.0, 150.0], [0.15, 0.1])
    assert page.plots.accuracy.values("robust") == ([0.0, 150.0], [0.2, 0.4])  # the adapter's stays its own
    assert page.status.badge.text() == "Comparing"
    assert page.status.robust.value.text() == "40.0 %"
    assert "CLIP-LoRA, step 75: clean 85.0%" in page.log.text.toPlainText()
    assert "100 validation images" in page.log.text.toPlainText()
    tell(handle, Progress(task="Evaluating", done=1, total=3))
    qtbot.waitUntil(lambda: page.status.badge.text() == "Evaluating")
    end(qtbot, room, handle, "cancelled")


def test_the_kept_step_is_marked_in_the_plot(qtbot: QtBot, room: Room, page: TrainPage) -> None:
    handle = begin(qtbot, room, page, **{"training.keep_best": True})
    handle.deliver("started", None)
    tell(handle, measured(0, 80, 20, "zero-shot"), started(), step(5))
    tell(handle, measured(75, 78, 45), measured(150, 76, 33))
    assert "kept" not in page.plots.accuracy.keys
    result = {"kept_step": 75, "evaluations": 2, "adapter": figures(76, 45)}
    end(qtbot, room, handle, "finished", SimpleNamespace(result=result, state="finished", steps=150))
    assert page.plots.accuracy.values("kept") == ([75.0], [0.45])
    assert "Kept: step 75" in page.plots.accuracy.legend.text
    assert "Adapter of step 75, the best of 2 evaluations." in page.result.note.text()


def test_released_and_l2_are_in_every_title_and_the_notice_stands_once(
    qtbot: QtBot, room: Room, page: TrainPage
) -> None:
    handle = begin(qtbot, room, page, **{"adversary.norm": "L2", "monitor.norm": "L2"})
    tell(handle, started(), step(5))
    assert page.plots.accuracy.title.text() == "Accuracy · sound, L2"
    assert page.plots.delta.title.text() == "|δ|₂ · sound, L2"
    assert page.plots.delta.legend.text == "Mean 0.007843"  # a length, not a count of 255ths
    assert page.plots.notice.text() == ""
    assert "sound protocol, L2" in page.header.subtitle.text()
    end(qtbot, room, handle, "cancelled")
    room.workspace.set_settings(PRESETS["demo"].settings.under("released"))
    qtbot.mouseClick(page.controls.start_button, LEFT)
    again = room.workspace.training
    assert again is not None
    assert all(plot.title.text().endswith(" · released, L∞") for plot in page.plots.plots[:-1])
    assert page.plots.notice.text() == PROTOCOL_SENTENCES["released"]
    end(qtbot, room, again, "cancelled")


def test_the_comparison_is_called_as_the_engine_calls_it() -> None:
    from advclip_gui.engine.loop import PLAIN_TASK

    assert COMPARISON_TASK == PLAIN_TASK


def test_a_result_without_figures_says_so() -> None:
    text = result_text({"state": "stopped", "monitor": {}})
    assert text.rows == []
    assert text.note == "No accuracy was measured."


def test_the_pace_counts_evaluations_and_forgets_pauses() -> None:
    pace = Pace()
    assert pace.seconds_left(100) is None
    for number in range(11):
        pace.reach(number, 2.0 * number)
    assert pace.seconds_left(100) == pytest.approx(180)
    pace.reach(10, 25.0)
    assert pace.seconds_left(100) == pytest.approx(180)
    pace.restart()
    pace.reach(10, 1000.0)
    assert pace.seconds_left(100) is None


def test_the_meter_reads_the_machine(qtbot: QtBot, room: Room, page: TrainPage) -> None:
    handle = begin(qtbot, room, page)
    meter = page.status.meter
    assert meter.text("memory").endswith(" GB")
    assert meter.text("cpu").endswith(" %")
    assert meter.device.text() == "The engine is loading …"
    assert page.findChild(QTableWidget, "resultTable") is page.result.table
    end(qtbot, room, handle, "cancelled")


def test_the_memory_of_an_accelerator_is_asked_for_on_its_thread(
    qtbot: QtBot, room: Room, page: TrainPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_meter, "_device_memory", lambda _session, _control: (3 * 10**9, 24 * 10**9))
    handle = begin(qtbot, room, page)
    meter = page.status.meter
    room.workspace.training = None
    handle.cancel()
    room.backend.start()
    qtbot.waitUntil(lambda: meter.device.text() == "Test device")
    meter.measure()
    qtbot.waitUntil(lambda: meter.text("device") == "3.0 of 24 GB")
    qtbot.waitUntil(lambda: not room.backend.jobs and not room.io.jobs)
