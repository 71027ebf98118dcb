"""Experiments on the device: the queue, pause and stop, the live model in Probe, and what was cut off."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from advclip_gui.engine.control import Control
from advclip_gui.engine.datasets.folder import scan
from advclip_gui.engine.experiments.events import CellLive, ExperimentProgress
from advclip_gui.engine.experiments.folder import ExperimentFolder, experiments_root
from advclip_gui.engine.experiments.presets import EXPERIMENTS
from advclip_gui.engine.experiments.run import ExperimentResult
from advclip_gui.gui import theme
from advclip_gui.gui.bridge import Backend
from advclip_gui.gui.dialogs import experiment_question
from advclip_gui.gui.dialogs.experiment import ExperimentDialog
from advclip_gui.gui.experiment_jobs import ExperimentJob
from advclip_gui.gui.experiment_text import short_text, waiting_text
from advclip_gui.gui.io_thread import IoPool
from advclip_gui.gui.jobs import CallJob, TrainJob
from advclip_gui.gui.widgets.basics import Button
from advclip_gui.gui.widgets.model_chooser import ModelChooser
from advclip_gui.gui.workspace import Workspace
from advclip_gui.settings import DEMO_FOLDER, BackboneSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from advclip_gui.engine.datasets.records import DatasetScan

LEFT = Qt.MouseButton.LeftButton


class Session:
    device_text = "Test device"

    def set_live(self, live: object) -> None:
        pass

    def describe(self, settings: Any, control: Control, *, classes: int = 10) -> Any:
        return SimpleNamespace(estimated_seconds=1.0)


class Work:
    """Stands for training and for running experiments: holds until the test lets go."""

    def __init__(self) -> None:
        self.leave = threading.Event()
        self.began: list[str] = []
        self.controls: list[Control] = []

    def _hold(self, title: str, control: Control) -> None:
        self.began.append(title)
        self.controls.append(control)
        while not self.leave.is_set() and not control.stop_requested:
            control.between_steps()
            self.leave.wait(0.001)

    def train(self, job: TrainJob, _session: Any, control: Control) -> str:
        self._hold(job.title, control)
        return "result"

    def experiment(self, job: ExperimentJob, _session: Any, control: Control) -> ExperimentResult:
        ExperimentFolder(job.path).set_state("running")
        self._hold(job.settings.name, control)
        ExperimentFolder(job.path).set_state("stopped")
        return ExperimentResult(job.path, "stopped")


class Room:
    """A window with Probe's list of models, and the dialog on a page of it."""

    def __init__(self, root: Path, demo: DatasetScan) -> None:
        self.io, self.backend = IoPool(), Backend(Session)
        self.workspace = Workspace(self.backend, self.io)
        self.workspace.runs_root = root
        self.workspace.scan = demo
        self.window = QWidget()
        self.models = ModelChooser(name="probeModels", parent=self.window)
        self.workspace.models_changed.connect(self.show_models)
        self.page = QWidget(self.window)
        self.dialog = ExperimentDialog(self.workspace, self.page)

    def show_models(self) -> None:
        self.models.set_refs(self.workspace.model_refs())

    @property
    def kinds(self) -> list[str]:
        return [ref.kind for ref in self.models.refs]

    @property
    def where(self) -> str:
        return self.dialog.view.where.text()


@pytest.fixture(scope="module")
def demo() -> DatasetScan:
    return scan(DEMO_FOLDER, control=Control())


@pytest.fixture
def room(qtbot: QtBot, tmp_path: Path, demo: DatasetScan, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    # A test that fails leaves work behind; nobody is there to be asked.
    monkeypatch.setattr(experiment_question, "ask_close_while_experimenting", lambda *_: "stop")
    made = Room(tmp_path / "runs", demo)
    qtbot.addWidget(made.window)
    made.window.show()
    made.dialog.show()
    made.backend.start()
    qtbot.waitUntil(lambda: made.backend.ready)
    yield made
    made.io.shut_down()
    made.backend.shut_down()


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    made = Work()
    monkeypatch.setattr(TrainJob, "run", lambda job, session, control: made.train(job, session, control))
    monkeypatch.setattr(
        ExperimentJob, "run", lambda job, session, control: made.experiment(job, session, control)
    )
    yield made
    made.leave.set()


def start(room: Room, qtbot: QtBot, seeds: str) -> Any:
    """Define an experiment by its seeds, and click Start."""
    room.dialog.form.seeds.setText(seeds)
    before = len(room.dialog.queue.entries)
    qtbot.mouseClick(room.dialog.controls.start_button, LEFT)
    qtbot.waitUntil(lambda: len(room.dialog.queue.entries) > before)
    return room.dialog.queue.entries[-1]


def button(widget: QWidget, name: str) -> Button:
    found = widget.findChild(Button, name)
    assert found is not None
    return found


# --- the queue --------------------------------------------------------------------------------


def test_it_waits_for_the_training_and_the_next_one_for_it(
    qtbot: QtBot, room: Room, work: Work, tmp_path: Path
) -> None:
    room.workspace.start_training()
    qtbot.waitUntil(lambda: len(work.began) == 1)
    first = start(room, qtbot, "1")
    assert room.where == "Waiting for the device: Training Demo goes first."
    assert not room.dialog.view.bar.isVisible()
    qtbot.mouseClick(room.dialog.controls.new_button, LEFT)
    second = start(room, qtbot, "2")
    assert room.where == f"Waiting for the device: Training Demo and {first.title} go first."
    assert room.dialog.view.queue.isVisible()
    assert work.began == ["Training Demo"]

    # The second is taken out; the first begins when the run ends.
    qtbot.mouseClick(room.dialog.controls.stop_button, LEFT)
    qtbot.waitUntil(lambda: room.dialog.queue.entries == [first])
    assert not second.path.exists()
    qtbot.mouseClick(button(room.dialog.view.queue, "experimentShow.0"), LEFT)
    assert room.dialog.path == first.path
    assert not room.dialog.view.queue.isVisible()
    work.leave.set()
    qtbot.waitUntil(lambda: work.began == ["Training Demo", first.title])
    qtbot.waitUntil(lambda: not room.dialog.queue.entries)


def test_a_second_experiment_begins_after_the_first(qtbot: QtBot, room: Room, work: Work) -> None:
    first = start(room, qtbot, "1")
    qtbot.waitUntil(lambda: len(work.began) == 1)
    qtbot.mouseClick(room.dialog.controls.new_button, LEFT)
    assert room.dialog.form.editor.isVisible()
    second = start(room, qtbot, "5")
    assert room.where == f"Waiting for the device: {first.title} goes first."
    assert len(work.began) == 1
    qtbot.mouseClick(button(room.dialog.view.queue, "experimentEnd.0"), LEFT)
    qtbot.waitUntil(lambda: len(work.began) == 2)
    qtbot.waitUntil(lambda: room.dialog.queue.entries == [second])
    assert room.dialog.path == second.path
    assert "was stopped" in room.dialog.view.banner.message
    room.dialog.stop()
    qtbot.waitUntil(lambda: not room.dialog.queue.entries)


def test_a_waiting_one_is_left_to_the_next_start_when_the_program_is_closed(
    qtbot: QtBot, room: Room, work: Work
) -> None:
    start(room, qtbot, "1")
    qtbot.mouseClick(room.dialog.controls.new_button, LEFT)
    second = start(room, qtbot, "2")
    path = second.path
    room.backend.shut_down()
    assert ExperimentFolder(path).state() == "cancelled"


# --- pause and stop ---------------------------------------------------------------------------


def test_pause_and_continue_by_mouse_and_keyboard(qtbot: QtBot, room: Room, work: Work) -> None:
    controls = room.dialog.controls
    entry = start(room, qtbot, "1")
    qtbot.waitUntil(lambda: entry.handle.state == "running")
    assert (controls.pause_button.text(), controls.pause_button.isEnabled()) == ("Pause", True)
    qtbot.mouseClick(controls.pause_button, LEFT)
    assert work.controls[0].paused
    assert controls.pause_button.text() == "Continue"
    assert controls.pause_button.accessibleName() == "Continue"
    assert room.where == "Paused."
    # The device serves everything else meanwhile.
    asked = room.backend.submit(CallJob(lambda session, control: "answer"))
    qtbot.waitUntil(lambda: asked.result == "answer")
    assert entry.handle.state == "paused"
    qtbot.keyClick(room.dialog, Qt.Key.Key_P, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: not work.controls[0].paused)
    assert controls.pause_button.text() == "Pause"
    controls.pause_button.setFocus()
    qtbot.keyClick(controls.pause_button, Qt.Key.Key_Space)
    assert entry.handle.state == "paused"
    qtbot.keyClick(room.dialog, Qt.Key.Key_Period, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: not room.dialog.queue.entries)
    assert work.controls[0].stop_requested
    assert not work.controls[0].cancelled
    assert controls.start_button.text() == "Continue"


# --- the model that learns --------------------------------------------------------------------


def lend(entry: Any, *, live: bool) -> None:
    entry.handle.deliver("event", CellLive(title="A cell", run_dir="x", live=live))


def test_probe_offers_the_cell_that_learns_and_follows_to_the_next(
    qtbot: QtBot, room: Room, work: Work
) -> None:
    room.show_models()
    entry = start(room, qtbot, "1")
    qtbot.waitUntil(lambda: entry.handle.state == "running")
    assert "live" not in room.kinds
    lend(entry, live=True)
    assert room.kinds[:2] == ["zero_shot", "live"]
    live = room.models.refs[1]
    assert live.title == "In training (live)"
    room.models.choose(live)

    lend(entry, live=False)
    assert "live" not in room.kinds
    assert room.models.ref().kind == "zero_shot"  # type: ignore[union-attr]
    lend(entry, live=True)
    assert room.models.ref() == live

    # Who has chosen another model meanwhile keeps it.
    lend(entry, live=False)
    other = room.models.refs[0]
    room.models.choose_like(other)
    entry.stop()
    lend(entry, live=True)
    qtbot.waitUntil(lambda: not room.dialog.queue.entries)
    assert "live" not in room.kinds
    assert room.models.ref() == other


def test_another_backbone_is_not_offered(qtbot: QtBot, room: Room, work: Work) -> None:
    room.show_models()
    entry = start(room, qtbot, "1")
    recipe = room.workspace.settings
    other = BackboneSettings(name="ViT-B-16", weights="openai")
    room.workspace.set_settings(recipe.model_copy(update={"backbone": other}))
    lend(entry, live=True)
    assert "live" not in room.kinds
    room.workspace.set_settings(recipe)
    assert "live" in room.kinds
    entry.stop()
    qtbot.waitUntil(lambda: not room.dialog.queue.entries)


# --- what was cut off -------------------------------------------------------------------------


def cut_off(root: Path, name: str) -> ExperimentFolder:
    folder = ExperimentFolder(experiments_root(root) / name)
    folder.define(EXPERIMENTS["demo"])
    folder.set_state("cancelled")
    one = {"title": "Test", "n": 6, "clean": 0.5, "robust": 0.2, "label": "PGD", "warnings": []}
    folder.write_record("zero-shot", {"state": "finished", "figures": {"test": one}})
    return folder


def test_the_next_start_offers_to_continue(qtbot: QtBot, room: Room, work: Work) -> None:
    folder = cut_off(room.workspace.runs_root, "one")  # type: ignore[arg-type]
    room.dialog.prepare()
    banner = room.dialog.view.banner
    qtbot.waitUntil(lambda: "was cut off" in banner.message)
    assert banner.message == "'Demo experiment' was cut off; 1 of 9 are done and kept."
    assert room.dialog.path is None
    continue_button = next(one for one in banner.findChildren(Button) if one.text() == "Continue")
    qtbot.mouseClick(continue_button, LEFT)
    qtbot.waitUntil(lambda: work.began == ["Demo experiment"])
    assert room.dialog.path == folder.path
    room.dialog.stop()
    qtbot.waitUntil(lambda: not room.dialog.queue.entries)


def test_what_was_dismissed_is_not_offered_again(qtbot: QtBot, room: Room) -> None:
    cut_off(room.workspace.runs_root, "one")  # type: ignore[arg-type]
    banner = room.dialog.view.banner
    room.dialog.prepare()
    qtbot.waitUntil(lambda: "was cut off" in banner.message)
    room.dialog._on_dismissed()
    banner.clear()
    with qtbot.waitSignal(room.dialog._reader.cut_off):
        room.dialog.prepare()
    assert not banner.isVisible()


@pytest.mark.parametrize("answer", ["stay", "stop"])
def test_closing_the_window_asks_while_one_is_at_work(
    qtbot: QtBot, room: Room, work: Work, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    asked: list[int] = []

    def ask(_parent: QWidget, count: int) -> str:
        asked.append(count)
        return answer

    monkeypatch.setattr(experiment_question, "ask_close_while_experimenting", ask)
    entry = start(room, qtbot, "1")
    assert room.window.close() is (answer == "stop")
    assert asked == [1]
    entry.stop()
    qtbot.waitUntil(lambda: not room.dialog.queue.entries)
    assert room.window.close()
    assert asked == [1]


# --- a part that failed -----------------------------------------------------------------------


def test_a_failed_part_is_named_and_run_again_alone(
    qtbot: QtBot, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[ExperimentJob] = []

    def run(job: ExperimentJob, _session: Any, _control: Control) -> ExperimentResult:
        jobs.append(job)
        return ExperimentResult(job.path, "failed", "1 of 9 could not be done.")

    monkeypatch.setattr(ExperimentJob, "run", run)
    folder = cut_off(room.workspace.runs_root, "one")  # type: ignore[arg-type]
    key = EXPERIMENTS["demo"].cells[1].key
    folder.write_record(key, {"state": "failed", "message": "The loss is not a number."})
    room.dialog.open_folder(folder.path)
    failed = room.dialog.view.failed
    qtbot.waitUntil(failed.isVisible)
    again = button(failed, f"experimentAgain.{key}")
    assert again.accessibleName() == "Run AdvCLIP-LoRA, 1 shot, seed 0 again"
    texts = [label.text() for label in failed.findChildren(QWidget) if hasattr(label, "text")]
    assert "The loss is not a number." in texts
    qtbot.mouseClick(again, LEFT)
    qtbot.waitUntil(lambda: len(jobs) == 1)
    assert (jobs[0].path, jobs[0].only) == (folder.path, (key,))
    qtbot.waitUntil(lambda: not room.dialog.queue.entries)
    qtbot.waitUntil(lambda: "1 of 9" in room.dialog.view.banner.message)


# --- words ------------------------------------------------------------------------------------


def test_words() -> None:
    assert waiting_text([], ready=False) == "Waiting for the engine to load."
    assert waiting_text(["A", "B", "C"], ready=True) == "Waiting for the device: A, B and C go first."
    told = ExperimentProgress(done=2, failed=1, total=9, title="", phase="", seconds_left=120.0)
    assert short_text(told, "running") == "3 of 9 done, about 2 min left"
    assert short_text(told, "paused") == "Paused, 3 of 9 done"
    assert short_text(None, "queued") == "Waits"


@pytest.fixture(autouse=True)
def _light(qapp: Any) -> None:
    theme.apply(qapp, "light")
