"""Adapters without a run, and parts of experiments, as rows of the Runs page: used, tidied, compared."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtCore import QMimeData, QPoint, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QLineEdit, QStackedWidget

from advclip_gui.engine import runs as run_files
from advclip_gui.engine.adapter_library import AdapterLibrary
from advclip_gui.engine.errors import StorageError
from advclip_gui.engine.exchange.info import AdapterInfo, record_of
from advclip_gui.engine.experiments.definition import ExperimentSettings
from advclip_gui.engine.experiments.folder import ExperimentFolder, experiments_root
from advclip_gui.engine.files import write_json_atomic
from advclip_gui.gui.dialogs import export_many
from advclip_gui.gui.dialogs.adapter_open import AdapterDialog
from advclip_gui.gui.dialogs.export_many import ExportManyDialog
from advclip_gui.gui.dialogs.run_import import RunImportDialog
from advclip_gui.gui.dialogs.run_note import NoteDialog
from advclip_gui.gui.widgets import run_columns
from advclip_gui.gui.widgets.probe_views import COMPARE
from advclip_gui.presets import PRESETS
from advclip_gui.settings import BackboneSettings
from tests.gui.page_room import Room, image_tree, page_room
from tests.gui.test_runs_page import choose, names, open_page, settle, text, write_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from advclip_gui.engine.adapter_library import LibraryAdapter
    from advclip_gui.gui.pages.runs import RunsPage

LEFT = Qt.MouseButton.LeftButton
FIGURES = {"n": 50, "epsilon": 1 / 255, "norm": "Linf", "protocol": "sound"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    monkeypatch.setattr(run_files, "runs_root", lambda: folder)
    return folder


@pytest.fixture
def room(qapp: Any, root: Path) -> Iterator[Room]:
    with page_room(qapp) as made:
        yield made


def write_adapter(
    folder: Path, name: str, *, known: bool = True, robust: float = 0.4, rank: int = 4, **changes: Any
) -> LibraryAdapter:
    """Write what Export would, without tensors, and name it in the library."""
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"x")
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 8, "target_modules": ["vision_model.a"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    settings = PRESETS["demo"].settings.with_values({"name": name, **changes})
    measured = {**FIGURES, "clean_accuracy": 0.7, "robust_accuracy": robust}
    info = AdapterInfo(
        BackboneSettings(),
        ("cat", "dog"),
        ("a {}.",),
        "",
        settings if known else None,
        name,
        {"adapter": measured} if known else {},
    )
    write_json_atomic(folder / "advclip.json", record_of(info, "peft"))
    return AdapterLibrary().open_folder(folder, name)


def write_cell(root: Path, key: str, *, folder: ExperimentFolder | None = None, **more: Any) -> Path:
    if folder is None:
        folder = ExperimentFolder(experiments_root(root) / "20260101-pets")
        folder.define(ExperimentSettings(name="Pets by shots"))
    return write_run(folder.path / "cells", key, **more)


def tips(page: RunsPage) -> dict[str, str]:
    """What the buttons that are off say."""
    buttons = page.actions_row.buttons
    return {key: button.toolTip() for key, button in buttons.items() if not button.isEnabled()}


# --- rows -------------------------------------------------------------------------------------------


def test_an_adapter_is_a_row_with_what_its_card_says(
    qtbot: QtBot, room: Room, root: Path, tmp_path: Path
) -> None:
    write_run(root, "Run", age=60)
    write_adapter(tmp_path / "told", "Told")
    write_adapter(tmp_path / "mute", "Mute", known=False)
    page = open_page(qtbot, room)
    assert names(page) == ["Mute", "Told", "Run"]
    columns = (run_columns.STATE, run_columns.SHOTS, run_columns.CLEAN, run_columns.ROBUST)
    assert [text(page, 1, column) for column in columns] == ["Adapter", "16", "70.0 %", "40.0 %"]
    assert text(page, 1, run_columns.BACKBONE) == "advclip-mini"
    assert [text(page, 0, column) for column in columns] == ["Adapter", "–", "–", "–"]
    unknown = (run_columns.DATA, run_columns.METHOD, run_columns.PROTOCOL, run_columns.EPSILON)
    assert {text(page, 0, column) for column in unknown} == {"–"}
    tip = page.table.runs.index(0, run_columns.SHOTS).data(Qt.ItemDataRole.ToolTipRole)
    assert tip == "The adapter's files do not say."
    sign, other = (
        page.table.runs.index(row, 0).data(Qt.ItemDataRole.DecorationRole).pixmap(16).toImage()
        for row in (0, 2)
    )
    assert sign != other
    assert page.count.text() == "1 run, 2 adapters"


def test_adapters_alone_are_enough_for_a_list(qtbot: QtBot, room: Room, tmp_path: Path) -> None:
    write_adapter(tmp_path / "told", "Told")
    page = open_page(qtbot, room)
    assert page.stack.currentIndex() == 1
    assert "Clean 70.0 %, robust 40.0 % (sound, L∞), as its card says." in page.details.sentence.text()
    assert page.curves.sentence.text() == "An adapter without its run has no curves."
    titles = [page.details.table.text_at(row, 0) for row in range(page.details.table.rowCount())]
    assert titles[:3] == ["Backbone", "Classes", "Prompts"]
    assert "LoRA · Rank r" in titles


def test_runs_or_adapters_or_both_and_the_choice_is_remembered(
    qtbot: QtBot, room: Room, root: Path, tmp_path: Path
) -> None:
    write_run(root, "Run")
    write_cell(root, "cell-a")
    write_adapter(tmp_path / "told", "Told")
    page = open_page(qtbot, room)
    assert set(names(page)) == {"Run", "cell-a", "Told"}
    page.filter.kind.setCurrentIndex(page.filter.kind.findData("adapter"))
    assert names(page) == ["Told"]
    page.filter.kind.setCurrentIndex(page.filter.kind.findData("run"))
    assert set(names(page)) == {"Run", "cell-a"}
    qtbot.mouseClick(page.filter.parts, LEFT, pos=QPoint(8, page.filter.parts.height() // 2))
    assert names(page) == ["Run"]
    stored = page.state()
    settle(qtbot, room)
    again = open_page(qtbot, room)
    again.recall(stored)
    assert names(again) == ["Run"]
    qtbot.mouseClick(again.clear_button, LEFT)
    again.recall("[1, 2]")
    assert set(names(again)) == {"Run", "cell-a", "Told"}
    settle(qtbot, room)


def test_without_adapters_and_parts_the_filter_does_not_speak_of_them(
    qtbot: QtBot, room: Room, root: Path
) -> None:
    write_run(root, "Run")
    page = open_page(qtbot, room)
    assert page.filter.kind.isHidden()
    assert page.filter.parts.isHidden()
    assert page.filter.words.isVisible()


# --- what makes sense -------------------------------------------------------------------------------


def test_what_makes_no_sense_is_off_and_says_why(
    qtbot: QtBot, room: Room, root: Path, tmp_path: Path
) -> None:
    write_adapter(tmp_path / "told", "Told")
    page = open_page(qtbot, room)
    assert tips(page) == {"go_on": "An adapter without its run has no checkpoint to go on from."}
    write_cell(root, "cell-a", state="stopped")
    with qtbot.waitSignal(room.workspace.runs_changed):
        room.workspace.refresh_runs()
    settle(qtbot, room)
    choose(qtbot, room, page, "cell-a")
    assert tips(page) == {
        "go_on": "It is part of 'Pets by shots': continue the experiment instead.",
        "bin": "Parts of an experiment stay with it.",
    }
    choose(qtbot, room, page, "Told", "cell-a")
    assert set(tips(page)) == {"go_on", "rename", "note", "folder"}
    assert page.actions_row.buttons["probe"].text() == "Compare in Probe"
    page.table.clearSelection()
    assert set(tips(page).values()) == {"Select a run or an adapter first."}


def test_one_that_is_gone_says_so_and_can_only_be_kept_in_order(
    qtbot: QtBot, room: Room, tmp_path: Path
) -> None:
    one = write_adapter(tmp_path / "stick" / "told", "Told")
    (tmp_path / "stick").rename(tmp_path / "pulled out")
    page = open_page(qtbot, room)
    assert set(tips(page)) == {"probe", "evaluate", "go_on", "export"}
    assert tips(page)["probe"] == f"The folder {one.folder} is not there at the moment."
    assert page.details.sentence.text() == tips(page)["probe"]
    (tmp_path / "pulled out").rename(tmp_path / "stick")
    with qtbot.waitSignal(room.workspace.runs_changed):
        room.workspace.refresh_runs()
    settle(qtbot, room)
    assert set(tips(page)) == {"go_on"}


def test_an_adapter_is_renamed_and_annotated_in_the_library(qtbot: QtBot, room: Room, tmp_path: Path) -> None:
    one = write_adapter(tmp_path / "told", "Told")
    page = open_page(qtbot, room)
    choose(qtbot, room, page, "Told")
    qtbot.keyClick(page.table, Qt.Key.Key_F2)
    editor = page.table.findChild(QLineEdit)
    editor.selectAll()
    qtbot.keyClicks(editor, "Better")
    with qtbot.waitSignal(room.workspace.runs_changed):
        qtbot.keyClick(editor, Qt.Key.Key_Return)
    settle(qtbot, room)
    qtbot.keyClick(page.table, Qt.Key.Key_F4)
    dialog = page.findChild(NoteDialog)
    qtbot.keyClicks(dialog.text, "from the stick")
    with qtbot.waitSignal(room.workspace.runs_changed):
        qtbot.mouseClick(dialog.save_button, LEFT)
    settle(qtbot, room)
    kept = AdapterLibrary().get(one.key)
    assert (kept.name, kept.note) == ("Better", "from the stick")
    assert names(page) == ["Better"]
    assert page.details.note.text.text() == "from the stick"


def test_runs_and_adapters_go_to_the_bin_together_and_come_back(
    qtbot: QtBot, room: Room, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from advclip_gui.gui import run_bin

    def move(path: Path) -> tuple[bool, str]:
        path.rename(tmp_path / "trash")
        return True, str(tmp_path / "trash")

    monkeypatch.setattr(run_bin, "to_bin", move)
    write_run(root, "Run", age=60)
    write_adapter(tmp_path / "told", "Told")
    page = open_page(qtbot, room)
    choose(qtbot, room, page, "Told", "Run")
    with qtbot.waitSignal(room.workspace.runs_changed):
        qtbot.keyClick(page.table, Qt.Key.Key_Delete)
    settle(qtbot, room)
    assert names(page) == []
    said = "1 run and 1 adapter are in the bin. The folders of adapters stay where they are."
    assert page.bin_banner.message == said
    assert (tmp_path / "told" / "advclip.json").is_file()
    with qtbot.waitSignal(room.workspace.runs_changed):
        qtbot.mouseClick(page.bin_banner._actions[0], LEFT)
    settle(qtbot, room)
    assert names(page) == ["Told", "Run"]


# --- experiments ------------------------------------------------------------------------------------


def test_a_part_names_its_experiment_and_appears_by_itself(
    qtbot: QtBot, room: Room, root: Path, tmp_path: Path
) -> None:
    write_cell(root, "cell-a", age=60)
    page = open_page(qtbot, room)
    assert text(page, 0, run_columns.NAME) == "Pets by shots · cell-a"
    page.table.setColumnHidden(run_columns.PART, False)
    assert text(page, 0, run_columns.PART) == "Pets by shots"
    assert "Part of the experiment Pets by shots." in page.details.sentence.text()
    assert str(root / "experiments" / "20260101-pets" / "cells") in page.watch.folders
    elsewhere = write_run(tmp_path / "later", "cell-b", state="running", figures=None)
    with qtbot.waitSignal(room.workspace.runs_changed):
        elsewhere.rename(root / "experiments" / "20260101-pets" / "cells" / "cell-b")
    settle(qtbot, room)
    assert names(page) == ["cell-b", "cell-a"]
    assert page.watch.timer.isActive()
    page.hide()
    settle(qtbot, room)


def test_a_lost_part_is_not_offered_as_a_run_to_go_on_with(qtbot: QtBot, room: Room, root: Path) -> None:
    write_cell(root, "cell-a", state="interrupted")
    page = open_page(qtbot, room)
    assert names(page) == ["cell-a"]
    assert page.banner.isHidden()


# --- comparing --------------------------------------------------------------------------------------


def differences(page: RunsPage) -> dict[str, list[str]]:
    table = page.details.table
    return {
        table.text_at(row, 0): [table.text_at(row, column) for column in range(1, table.columnCount())]
        for row in range(table.rowCount())
    }


def test_adapters_compare_in_a_table_without_curves(
    qtbot: QtBot, room: Room, root: Path, tmp_path: Path
) -> None:
    write_adapter(tmp_path / "a", "First", robust=0.25, **{"lora.rank": 2})
    write_adapter(tmp_path / "b", "Second", rank=2)
    write_adapter(tmp_path / "c", "Third", known=False)
    page = open_page(qtbot, room)
    choose(qtbot, room, page, "First", "Second")
    assert page.details.title_label.text() == "What differs"
    found = differences(page)
    assert found["Robust accuracy"] == ["40.0 %", "25.0 %"]
    assert found["Rank r"] == ["2", "4"]
    assert found["LoRA · Rank r"] == ["8", "2"]
    assert page.curves.isHidden()
    choose(qtbot, room, page, "First", "Third")
    found = differences(page)
    assert list(found) == ["Clean accuracy", "Robust accuracy", "Data", "Method", "Protocol", "Shots", "ε"]
    assert (found["Robust accuracy"], found["Shots"]) == (["–", "25.0 %"], ["–", "16"])
    assert "Not all of them tell the settings" in page.details.sentence.text()


def test_a_run_and_an_adapter_compare_and_the_run_keeps_its_curve(
    qtbot: QtBot, room: Room, root: Path, tmp_path: Path
) -> None:
    path = write_run(root, "Run", age=60)
    write_adapter(tmp_path / "a", "Adapter", **{"monitor.epsilon": "4/255"})
    page = open_page(qtbot, room)
    choose(qtbot, room, page, "Run", "Adapter")
    assert set(page.curves.plot.keys) >= {str(path)}
    assert str(tmp_path / "a") not in page.curves.plot.keys
    assert differences(page)["Clean accuracy"] == ["70.0 %", "70.0 %"]


def test_several_are_compared_on_the_probe_page(qtbot: QtBot, room: Room, root: Path, tmp_path: Path) -> None:
    from advclip_gui.gui.pages.probe import ProbePage
    from advclip_gui.gui.pages.runs import RunsPage

    write_run(root, "Run", age=60)
    one = write_adapter(tmp_path / "a", "Adapter")
    cell = write_cell(root, "cell-a", age=90)
    with qtbot.waitSignal(room.workspace.scan_changed, timeout=30_000):
        room.workspace.open_folder(image_tree(tmp_path / "photos"))
    window = QStackedWidget()
    qtbot.addWidget(window)
    probe = ProbePage(room.workspace, room.backend, room.io)
    page = RunsPage(room.workspace, room.backend, room.io)
    for widget in (probe, page):
        window.addWidget(widget)
    window.setCurrentWidget(page)
    window.resize(1196, 745)
    with qtbot.waitExposed(window):
        window.show()
    settle(qtbot, room)
    choose(qtbot, room, page, "Adapter", "Run", "cell-a")
    qtbot.mouseClick(page.actions_row.buttons["probe"], LEFT)
    assert probe.views.shown == COMPARE
    compared = [ref.adapter for ref in probe.views.compare.refs()]
    assert compared == [str(one.folder), str(root / "run-run"), str(cell)]
    choose(qtbot, room, page, "Adapter", "Run")
    qtbot.mouseClick(page.actions_row.buttons["probe"], LEFT)
    assert [ref.adapter for ref in probe.views.compare.refs()] == compared[:2]
    probe.shut_down()
    settle(qtbot, room)


def test_several_are_compared_on_the_evaluate_page(
    qtbot: QtBot, room: Room, root: Path, tmp_path: Path
) -> None:
    from advclip_gui.gui.pages.evaluate import EvaluatePage

    write_run(root, "Run", age=60)
    write_adapter(tmp_path / "a", "Adapter")
    write_cell(root, "cell-a", age=90)
    page = open_page(qtbot, room)
    evaluate = EvaluatePage(room.workspace, room.backend, room.io)
    qtbot.addWidget(evaluate)
    choose(qtbot, room, page, "Adapter", "Run", "cell-a")
    assert page.actions_row.buttons["evaluate"].text() == "Compare in Evaluate"
    qtbot.mouseClick(page.actions_row.buttons["evaluate"], LEFT)
    checked = {ref.title for ref in evaluate.form.checked_refs()}
    assert checked == {"Zero-shot", "Run", "Adapter", "Pets by shots · cell-a"}
    settle(qtbot, room)


def test_models_on_different_backbones_are_not_compared(qtbot: QtBot, room: Room, root: Path) -> None:
    write_run(root, "Small")
    write_run(root, "Big", changes={"backbone.name": "ViT-B-32", "backbone.weights": "openai"})
    page = open_page(qtbot, room)
    choose(qtbot, room, page, "Small", "Big")
    said = "They sit on different backbones; select adapters of one."
    assert (tips(page)["probe"], tips(page)["evaluate"]) == (said, said)


# --- export -----------------------------------------------------------------------------------------


def test_several_are_exported_at_once_into_a_folder_each(
    qtbot: QtBot, room: Room, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[Path, Path, str]] = []

    def run(job: Any, _session: Any, _control: Any) -> Any:
        if job.source.name == "run-broken":
            raise StorageError("The disk is full.")
        written.append((job.source, job.out, job.format))
        job.out.mkdir(parents=True)
        return SimpleNamespace(folder=job.out, snippet="")

    monkeypatch.setattr(export_many.ExportJob, "run", run)
    write_run(root, "Run", age=60)
    write_run(root, "Broken", age=70)
    write_adapter(tmp_path / "a", "Run")
    page = open_page(qtbot, room)
    page.table.selectAll()
    settle(qtbot, room)
    qtbot.mouseClick(page.actions_row.buttons["export"], LEFT)
    dialog = page.findChild(ExportManyDialog)
    assert not dialog.folder_button.isVisible()
    dialog.destination.setText("here")
    assert not dialog.export_button.isEnabled()
    dialog.destination.setText(str(tmp_path / "out"))
    room.backend.start()
    qtbot.mouseClick(dialog.export_button, LEFT)
    qtbot.waitUntil(lambda: "2 of 3" in dialog.banner.message)
    assert "Broken: The disk is full." in dialog.banner.message
    assert [out.name for _, out, _ in written] == ["run-adapter", "run-adapter-2"]
    assert {source for source, _, _ in written} == {tmp_path / "a", root / "run-run"}
    assert {kind for _, _, kind in written} == {"peft"}
    assert dialog.folder_button.isVisible()
    dialog.close()
    settle(qtbot, room)


# --- dropping ---------------------------------------------------------------------------------------


def drop(page: RunsPage, path: Path) -> bool:
    """Drop a file on the page; whether it wanted it."""
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    place, none = QPoint(50, 50), Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(place, Qt.DropAction.CopyAction, mime, LEFT, none)
    page.dragEnterEvent(enter)
    if enter.isAccepted():
        page.dropEvent(QDropEvent(place.toPointF(), Qt.DropAction.CopyAction, mime, LEFT, none))
    return enter.isAccepted()


def test_an_adapter_is_dropped_and_opened_where_it_lies(
    qtbot: QtBot, room: Room, root: Path, tmp_path: Path
) -> None:
    write_run(root, "Run")
    one = write_adapter(tmp_path / "told", "Told")
    AdapterLibrary().remove(one.key)
    page = open_page(qtbot, room)
    assert drop(page, tmp_path / "told")
    dialog = page.findChild(AdapterDialog)
    qtbot.waitUntil(dialog.open_button.isEnabled)
    assert dialog.found.text() == (
        "An adapter of this program: rank 4, 1 matrix (1 vision), advclip-mini (bundled), 2 classes. "
        "It stays where it is."
    )
    assert dialog.words.backbone_box.isHidden()
    assert dialog.words.class_box.isHidden()
    dialog.words.name.setText("Dropped")
    with qtbot.waitSignal(room.workspace.runs_changed):
        qtbot.mouseClick(dialog.open_button, LEFT)
    settle(qtbot, room)
    assert [run.name for run in page.table.selected()] == ["Dropped"]
    assert room.notes == [("success", "The adapter 'Dropped' is open. Probe and Evaluate offer it.")]


def test_a_run_folder_is_dropped_and_images_go_to_the_window(
    qtbot: QtBot, room: Room, root: Path, tmp_path: Path
) -> None:
    foreign = write_run(tmp_path / "other", "Theirs")
    page = open_page(qtbot, room)
    assert not drop(page, image_tree(tmp_path / "photos"))
    assert drop(page, foreign)
    dialog = page.findChild(RunImportDialog)
    qtbot.waitUntil(dialog.import_button.isEnabled)
    dialog.reject()
    settle(qtbot, room)


def test_the_first_run_and_the_first_experiment_of_all_are_noticed(
    qtbot: QtBot, room: Room, root: Path, tmp_path: Path
) -> None:
    root.rmdir()
    made = write_run(tmp_path / "elsewhere", "First")
    page = open_page(qtbot, room)
    assert str(tmp_path) in page.watch.folders
    page.watch.timer.setInterval(20)
    root.mkdir()
    qtbot.waitUntil(lambda: str(root) in page.watch.folders)
    made.rename(root / "first")
    qtbot.waitUntil(lambda: names(page) == ["First"])
    experiment = ExperimentFolder(experiments_root(root) / "pets")
    experiment.define(ExperimentSettings(name="Pets"))
    qtbot.waitUntil(lambda: str(experiment.path) in page.watch.folders)
    write_cell(root, "cell-a", folder=experiment)
    qtbot.waitUntil(lambda: "cell-a" in names(page))
    experiment.write_record("run-cell-a", {"figures": {"test": {"n": 8, "clean": 0.25, "robust": 0.125}}})
    qtbot.waitUntil(lambda: text(page, names(page).index("cell-a"), run_columns.CLEAN) == "25.0 %")
    page.hide()
    settle(qtbot, room)
