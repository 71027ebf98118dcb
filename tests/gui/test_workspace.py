"""What the pages share: opening data, the recipe, training, models and the list of runs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from advclip_gui.engine import runs as run_files
from advclip_gui.engine.adapter_library import AdapterLibrary
from advclip_gui.engine.experiments.definition import ExperimentSettings
from advclip_gui.engine.experiments.folder import ExperimentFolder, experiments_root
from advclip_gui.engine.runs import RunFolder
from advclip_gui.gui import theme
from advclip_gui.gui.bridge import Backend
from advclip_gui.gui.io_thread import IoPool
from advclip_gui.gui.jobs import TrainJob
from advclip_gui.gui.workspace import Workspace
from advclip_gui.presets import PRESETS
from advclip_gui.settings import BackboneSettings, RunSettings
from tests import bad_images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from advclip_gui.engine.control import Control


class Session:
    device_text = "Test device"

    def set_live(self, live: object) -> None:
        self.live = live


class Trainings:
    """Stands for `engine.training.train`: holds until a test lets it go."""

    def __init__(self) -> None:
        self.leave = threading.Event()
        self.began = threading.Event()
        self.calls: list[tuple[RunSettings, Path, bool]] = []

    def run(self, job: TrainJob, _session: Any, control: Control) -> str:
        self.calls.append((job.settings, job.run_dir, job.resume))
        self.began.set()
        while not self.leave.is_set() and not control.stop_requested:
            control.between_steps()
            self.leave.wait(0.001)
        return "result"


class Room:
    def __init__(self) -> None:
        self.io = IoPool()
        self.backend = Backend(Session)
        self.workspace = Workspace(self.backend, self.io)
        self.notes: list[tuple[str, str]] = []
        self.visited: list[str] = []
        self.workspace.notify.connect(lambda level, message, _details: self.notes.append((level, message)))
        self.workspace.navigate.connect(self.visited.append)


@pytest.fixture
def room(qapp: Any) -> Iterator[Room]:
    theme.apply(qapp, "light")
    made = Room()
    yield made
    assert made.backend.shut_down()
    made.io.shut_down()


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Trainings]:
    made = Trainings()
    monkeypatch.setattr(TrainJob, "run", lambda job, session, control: made.run(job, session, control))
    yield made
    made.leave.set()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all runs."""
    folder = tmp_path / "runs"
    monkeypatch.setattr(run_files, "runs_root", lambda: folder)
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number in range(6):
        bad_images.good_jpeg(
            tmp_path / "pets" / ("cat", "red_fox")[number % 2] / f"{number}.jpg", seed=number
        )
    return tmp_path / "pets"


def write_run(
    root: Path, name: str, *, state: Any = "finished", adapter: bool = True, **settings: Any
) -> Path:
    folder = RunFolder(root / name)
    folder.start(RunSettings(name=name, **settings), device="cpu", split={"class_names": ["cat", "dog"]})
    folder.set_state(state)
    if adapter:
        folder.adapter_dir.mkdir()
        (folder.adapter_dir / "adapter_model.safetensors").write_bytes(b"x")
    return folder.path


def open_images(qtbot: QtBot, room: Room, folder: Path) -> None:
    with qtbot.waitSignal(room.workspace.scan_changed, timeout=30_000):
        room.workspace.open_folder(folder)
    qtbot.waitUntil(lambda: room.workspace.scanning is None, timeout=30_000)


def list_runs(qtbot: QtBot, room: Room) -> None:
    room.workspace.refresh_runs()
    qtbot.waitUntil(lambda: not room.io.jobs, timeout=30_000)


# --- data -------------------------------------------------------------------------------------------


def test_opening_a_folder_scans_it_takes_its_classes_and_shows_the_data(
    qtbot: QtBot, room: Room, images: Path
) -> None:
    open_images(qtbot, room, images)
    workspace = room.workspace
    assert workspace.scan is not None
    assert workspace.scan.root == images
    assert workspace.data.folder == str(images)
    assert workspace.class_names() == ("cat", "red fox")
    assert workspace.recent == [str(images)]
    assert room.visited == ["data"]
    assert room.notes == []


def test_edited_class_names_are_used_and_forgotten_with_the_folder(
    qtbot: QtBot, room: Room, images: Path, tmp_path: Path
) -> None:
    open_images(qtbot, room, images)
    workspace = room.workspace
    workspace.set_data(workspace.data.model_copy(update={"class_names": {"cat": "tabby"}, "shots": 2}))
    assert workspace.class_names() == ("tabby", "red fox")
    for number in range(4):
        bad_images.good_jpeg(tmp_path / "others" / "ab"[number % 2] / f"{number}.jpg", seed=number)
    open_images(qtbot, room, tmp_path / "others")
    assert workspace.class_names() == ("a", "b")
    assert workspace.data.shots == 2
    assert workspace.recent == [str(tmp_path / "others"), str(images)]


def test_a_folder_that_cannot_be_used_is_a_notice_and_leaves_the_open_one(
    qtbot: QtBot, room: Room, images: Path, tmp_path: Path
) -> None:
    open_images(qtbot, room, images)
    before = room.workspace.scan
    handle = room.workspace.open_folder(tmp_path / "nowhere")
    qtbot.waitSignal(handle.ended).wait()
    assert [level for level, _ in room.notes] == ["error"]
    assert "nowhere" in room.notes[0][1]
    assert room.workspace.scan is before
    assert room.workspace.data.folder == str(images)
    assert room.workspace.scanning is None


def test_opening_another_folder_gives_up_the_scan_under_way(qtbot: QtBot, room: Room, images: Path) -> None:
    first = room.workspace.open_folder(images.parent / "nowhere")
    open_images(qtbot, room, images)
    qtbot.waitUntil(lambda: not first.active)
    assert room.workspace.scan is not None
    assert room.workspace.scan.root == images
    assert room.notes == []


def test_the_demo_brings_its_preset(qtbot: QtBot, room: Room) -> None:
    room.workspace.set_settings(PRESETS["paper-b32"].settings)
    with qtbot.waitSignal(room.workspace.scan_changed, timeout=30_000):
        room.workspace.open_demo()
    qtbot.waitUntil(lambda: room.workspace.scanning is None, timeout=30_000)
    assert room.workspace.settings == PRESETS["demo"].settings
    assert len(room.workspace.class_names()) == 10
    assert room.visited == ["train"]
    assert room.workspace.recent == []


# --- the recipe -------------------------------------------------------------------------------------


def test_settings_are_told_once_and_only_when_they_differ(room: Room) -> None:
    heard: list[object] = []
    models: list[int] = []
    room.workspace.settings_changed.connect(heard.append)
    room.workspace.models_changed.connect(lambda: models.append(1))
    room.workspace.set_settings(room.workspace.settings.model_copy())
    assert heard == []
    other = room.workspace.settings.model_copy(update={"name": "Other"})
    room.workspace.set_settings(other)
    assert heard == [other]
    assert models == []
    room.workspace.set_settings(other.model_copy(update={"backbone": BackboneSettings(name="ViT-B-32")}))
    assert models == [1]


# --- training ---------------------------------------------------------------------------------------


def test_a_run_is_told_started_shown_as_live_and_listed_when_it_has_ended(
    qtbot: QtBot, room: Room, trainings: Trainings, root: Path
) -> None:
    workspace = room.workspace
    changes: list[bool] = []
    workspace.training_changed.connect(lambda: changes.append(workspace.is_training))
    room.backend.start()
    with qtbot.waitSignal(workspace.training_started) as told:
        handle = workspace.start_training()
    assert handle is not None
    assert told.args == [handle]
    assert workspace.training is handle
    assert workspace.is_training
    assert workspace.run_dir is not None
    assert workspace.run_dir.parent == root
    assert not workspace.run_dir.exists()
    assert [ref.kind for ref in workspace.model_refs()] == ["zero_shot", "live"]
    qtbot.waitUntil(trainings.began.is_set)
    assert trainings.calls == [(workspace.settings, workspace.run_dir, False)]

    assert workspace.start_training() is None
    assert workspace.resume_training(workspace.run_dir) is None
    assert [level for level, _ in room.notes] == ["warning", "warning"]

    write_run(root, workspace.run_dir.name, backbone=workspace.settings.backbone)
    with qtbot.waitSignal(workspace.runs_changed):
        trainings.leave.set()
    assert not workspace.is_training
    assert changes[-1] is False
    assert [ref.kind for ref in workspace.model_refs()] == ["zero_shot", "adapter"]


def test_a_run_in_another_backbone_is_not_offered_as_live(
    qtbot: QtBot, room: Room, trainings: Trainings, root: Path
) -> None:
    workspace = room.workspace
    workspace.start_training()
    workspace.set_settings(PRESETS["paper-b32"].settings)
    assert [ref.kind for ref in workspace.model_refs()] == ["zero_shot"]


def test_later_edits_do_not_reach_the_run(qtbot: QtBot, room: Room, trainings: Trainings, root: Path) -> None:
    chosen = room.workspace.settings
    room.workspace.start_training()
    room.workspace.set_settings(chosen.model_copy(update={"name": "Later"}))
    room.backend.start()
    qtbot.waitUntil(trainings.began.is_set)
    assert trainings.calls[0][0] == chosen


def test_resuming_takes_the_settings_of_the_run(
    qtbot: QtBot, room: Room, trainings: Trainings, root: Path
) -> None:
    path = write_run(root, "stopped", state="stopped")
    room.backend.start()
    handle = room.workspace.resume_training(path)
    assert handle is not None
    assert handle.title == "Training stopped"
    qtbot.waitUntil(trainings.began.is_set)
    assert trainings.calls == [(RunSettings(name="stopped"), path, True)]
    handle.stop()
    qtbot.waitSignal(handle.ended).wait()
    assert handle.result == "result"
    qtbot.waitUntil(lambda: not room.io.jobs, timeout=30_000)


def test_resuming_what_is_no_run_is_a_notice(room: Room, tmp_path: Path) -> None:
    assert room.workspace.resume_training(tmp_path) is None
    assert room.notes[0][0] == "error"
    assert "is no run folder" in room.notes[0][1]
    assert not room.workspace.is_training


# --- models and runs --------------------------------------------------------------------------------


def test_adapters_are_offered_for_their_backbone_only_and_only_where_they_exist(
    qtbot: QtBot, room: Room, root: Path
) -> None:
    backbone = room.workspace.settings.backbone
    path = write_run(root, "mine", backbone=backbone)
    write_run(root, "unfinished", backbone=backbone, state="interrupted", adapter=False)
    write_run(root, "big", backbone=BackboneSettings(name="ViT-B-32"))
    list_runs(qtbot, room)
    assert {run.name for run in room.workspace.last_runs} == {"mine", "unfinished", "big"}
    refs = room.workspace.model_refs()
    assert [(ref.kind, ref.title, ref.adapter) for ref in refs] == [
        ("zero_shot", "Zero-shot", ""),
        ("adapter", "mine", str(path)),
    ]


def test_a_list_that_did_not_change_is_not_told_again(qtbot: QtBot, room: Room, root: Path) -> None:
    told: list[int] = []
    room.workspace.runs_changed.connect(lambda: told.append(1))
    list_runs(qtbot, room)
    assert told == []
    write_run(root, "one")
    room.workspace.refresh_runs()
    room.workspace.refresh_runs()
    room.workspace.refresh_runs()
    qtbot.waitUntil(lambda: not room.io.jobs, timeout=30_000)
    assert told == [1]


def test_an_adapter_without_a_run_is_told_and_offered(
    room: Room, root: Path, tmp_path: Path, qtbot: QtBot
) -> None:
    elsewhere = write_run(tmp_path / "from a colleague", "theirs")
    (elsewhere / "adapter" / "adapter_config.json").write_text("{}")
    opened = AdapterLibrary().open_folder(elsewhere)
    with qtbot.waitSignals([room.workspace.models_changed, room.workspace.runs_changed]):
        room.workspace.adapter_opened(opened)
    (one,) = [ref for ref in room.workspace.model_refs() if ref.kind == "adapter"]
    assert (one.adapter, one.title) == (str(elsewhere), "theirs")
    assert not room.workspace.last_runs
    assert room.notes == [("success", "The adapter 'theirs' is open. Probe and Evaluate offer it.")]
    qtbot.waitUntil(lambda: not room.io.jobs, timeout=30_000)


def test_two_of_a_name_are_told_apart_and_parts_are_offered_when_asked_for(
    room: Room, root: Path, tmp_path: Path, qtbot: QtBot
) -> None:
    backbone = room.workspace.settings.backbone
    write_run(root, "same", backbone=backbone)
    elsewhere = write_run(tmp_path / "from a colleague", "same")
    (elsewhere / "adapter" / "adapter_config.json").write_text("{}")
    opened = AdapterLibrary().open_folder(elsewhere)
    experiment = ExperimentFolder(experiments_root(root) / "pets")
    experiment.define(ExperimentSettings(name="Pets"))
    cell = write_run(experiment.path / "cells", "one of them", backbone=backbone)
    list_runs(qtbot, room)
    titles = [ref.title for ref in room.workspace.model_refs()]
    assert titles == ["Zero-shot", "same (same)", f"same ({opened.key})"]
    assert [run.name for run in room.workspace.last_runs] == ["same"]
    room.workspace.offer([cell])
    assert "Pets · one of them" in [ref.title for ref in room.workspace.model_refs()]
