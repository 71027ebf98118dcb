"""The Runs page changes runs: names, notes, the bin, import; and sorts, filters and remembers."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QApplication, QLineEdit

from advclip_gui.engine import runs as run_files
from advclip_gui.engine.control import Control
from advclip_gui.engine.run_list import summarise
from advclip_gui.engine.runs import RunFolder
from advclip_gui.gui import model_list, run_bin, run_watch
from advclip_gui.gui.dialogs.experiment import ExperimentDialog
from advclip_gui.gui.dialogs.run_import import RunImportDialog
from advclip_gui.gui.dialogs.run_note import DeleteQuestion, NoteDialog
from advclip_gui.gui.widgets import run_columns
from advclip_gui.gui.widgets.run_model import RunsModel
from advclip_gui.gui.widgets.run_table import RunTable
from tests.gui.page_room import Room, page_room
from tests.gui.test_runs_page import choose, names, open_page, settle, text, write_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytestqt.qtbot import QtBot

    from advclip_gui.gui.pages.runs import RunsPage

LEFT = Qt.MouseButton.LeftButton


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


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bin beside the runs, where the system's would be."""
    files = tmp_path / "Trash" / "files"
    files.mkdir(parents=True)
    (tmp_path / "Trash" / "info").mkdir()

    def move(path: Path) -> tuple[bool, str]:
        (tmp_path / "Trash" / "info" / f"{path.name}.trashinfo").write_text("[Trash Info]\n")
        path.rename(files / path.name)
        return True, str(files / path.name)

    monkeypatch.setattr(run_bin, "to_bin", move)
    return files


def focus(page: RunsPage) -> None:
    page.table.setFocus()


# --- name and note ----------------------------------------------------------------------------------


def test_f2_renames_in_place(qtbot: QtBot, room: Room, root: Path) -> None:
    path = write_run(root, "Old name", changes={"adversary.epsilon": "3/255"})
    page = open_page(qtbot, room)
    choose(qtbot, room, page, "Old name")
    qtbot.keyClick(page.table, Qt.Key.Key_F2)
    editor = page.table.findChild(QLineEdit)
    editor.selectAll()
    qtbot.keyClicks(editor, "New name")
    with qtbot.waitSignal(room.workspace.runs_changed):
        qtbot.keyClick(editor, Qt.Key.Key_Return)
    settle(qtbot, room)
    assert names(page) == ["New name"]
    assert RunFolder(path).settings().name == "New name"
    assert RunFolder(path).settings().adversary.epsilon == pytest.approx(3 / 255)


def test_a_name_being_typed_is_not_taken_away_by_a_new_run(qtbot: QtBot, room: Room, root: Path) -> None:
    write_run(root, "One", age=10)
    page = open_page(qtbot, room)
    choose(qtbot, room, page, "One")
    qtbot.keyClick(page.table, Qt.Key.Key_F2)
    editor = page.table.findChild(QLineEdit)
    qtbot.keyClicks(editor, "Half")
    with qtbot.waitSignal(room.workspace.runs_changed):
        write_run(root, "Two")
        room.workspace.refresh_runs()
    settle(qtbot, room)
    assert editor.text() == "Half"
    assert names(page) == ["One"]
    qtbot.keyClick(editor, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: names(page) == ["Two", "One"])


def test_a_name_that_cannot_be_kept_is_said_and_the_old_one_stays(
    qtbot: QtBot, room: Room, root: Path
) -> None:
    write_run(root, "One")
    page = open_page(qtbot, room)
    run = page.table.selected()[0]
    page.commands.keeper.rename(run, "x" * 300)
    settle(qtbot, room)
    qtbot.waitUntil(lambda: bool(room.notes))
    assert room.notes[0][0] == "error"
    assert names(page) == ["One"]


def test_a_note_is_written_shown_and_found(qtbot: QtBot, room: Room, root: Path) -> None:
    path = write_run(root, "One", age=10)
    write_run(root, "Two")
    page = open_page(qtbot, room)
    choose(qtbot, room, page, "One")
    assert page.details.note.isHidden()
    qtbot.keyClick(page.table, Qt.Key.Key_F4)
    dialog = page.findChild(NoteDialog)
    qtbot.keyClicks(dialog.text, "Best so far")
    with qtbot.waitSignal(room.workspace.runs_changed):
        qtbot.mouseClick(dialog.save_button, LEFT)
    settle(qtbot, room)
    assert RunFolder(path).note() == "Best so far"
    assert page.details.note.text.text() == "Best so far"
    page.filter.words.setText("so far")
    assert names(page) == ["One"]
    settle(qtbot, room)


# --- the bin ----------------------------------------------------------------------------------------


def test_del_moves_to_the_bin_and_the_banner_puts_back(
    qtbot: QtBot, room: Room, root: Path, bin_folder: Path
) -> None:
    write_run(root, "One", age=20)
    write_run(root, "Two", age=10)
    write_run(root, "Three")
    page = open_page(qtbot, room)
    choose(qtbot, room, page, "One", "Two")
    with qtbot.waitSignal(room.workspace.runs_changed):
        qtbot.keyClick(page.table, Qt.Key.Key_Delete)
    settle(qtbot, room)
    assert names(page) == ["Three"]
    assert page.bin_banner.message == "2 runs are in the bin."
    assert len(list(bin_folder.iterdir())) == 2
    with qtbot.waitSignal(room.workspace.runs_changed):
        qtbot.mouseClick(page.bin_banner._actions[0], LEFT)
    settle(qtbot, room)
    assert names(page) == ["Three", "Two", "One"]
    assert not list(bin_folder.parent.glob("*/*"))
    assert page.bin_banner.isHidden()


@pytest.mark.skipif(sys.platform != "linux", reason="would fill the real bin: only here it is the test's own")
def test_the_system_s_own_bin_takes_a_run_and_gives_it_back(root: Path, user_folders: Path) -> None:
    path = write_run(root, "One")
    before = sorted(file.relative_to(path) for file in path.rglob("*"))
    outcome = run_bin.move_to_bin([summarise(path)], Control())
    if not outcome.binned:
        pytest.skip("there is no bin for the tests' folder")
    assert not path.exists()
    assert user_folders in Path(outcome.binned[0].place).parents
    assert run_bin.put_back(outcome.binned, Control()) == [path]
    assert sorted(file.relative_to(path) for file in path.rglob("*")) == before
    assert not list(user_folders.rglob("*.trashinfo"))


def test_a_run_in_training_stays(qtbot: QtBot, room: Room, root: Path, bin_folder: Path) -> None:
    path = write_run(root, "Busy", state="running", figures=None)
    write_run(root, "Idle", age=10)
    page = open_page(qtbot, room)
    choose(qtbot, room, page, "Busy")
    assert not page.actions_row.buttons["bin"].isEnabled()
    choose(qtbot, room, page, "Busy", "Idle")
    with qtbot.waitSignal(room.workspace.runs_changed):
        qtbot.mouseClick(page.actions_row.buttons["bin"], LEFT)
    settle(qtbot, room)
    assert names(page) == ["Busy"]
    assert page.bin_banner.message.startswith("'Idle' is in the bin. The run in run-busy is in training")
    assert path.is_dir()


def test_without_a_bin_it_asks_and_deletes(
    qtbot: QtBot, room: Room, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_run(root, "One")
    monkeypatch.setattr(run_bin, "to_bin", lambda _path: (False, ""))
    page = open_page(qtbot, room)

    def ask() -> DeleteQuestion:
        page.commands.move_to_bin()
        settle(qtbot, room)
        qtbot.waitUntil(lambda: page.findChild(DeleteQuestion) is not None)
        return page.findChild(DeleteQuestion)

    question = ask()
    assert "There is no bin for 'One'." in question.text()
    question.reject()
    QApplication.processEvents()
    assert path.is_dir()
    qtbot.waitUntil(lambda: page.findChild(DeleteQuestion) is None)
    question = ask()
    assert question.focusWidget() is question.keep_button
    with qtbot.waitSignal(room.workspace.runs_changed):
        qtbot.mouseClick(question.delete_button, LEFT)
    settle(qtbot, room)
    assert not path.exists()
    assert names(page) == []


def test_what_left_the_bin_meanwhile_is_said(qtbot: QtBot, room: Room, root: Path, bin_folder: Path) -> None:
    path = write_run(root, "One")
    page = open_page(qtbot, room)
    with qtbot.waitSignal(room.workspace.runs_changed):
        page.commands.move_to_bin()
    settle(qtbot, room)
    (bin_folder / path.name).rename(bin_folder.parent / "gone")
    qtbot.mouseClick(page.bin_banner._actions[0], LEFT)
    qtbot.waitUntil(lambda: bool(room.notes))
    assert room.notes == [("error", f"The run {path.name} is no longer in the bin.")]
    settle(qtbot, room)


def test_the_neighbour_of_what_went_is_selected(
    qtbot: QtBot, room: Room, root: Path, bin_folder: Path
) -> None:
    for number in range(5):
        write_run(root, f"Run {number}", age=number)
    page = open_page(qtbot, room)
    choose(qtbot, room, page, "Run 2", "Run 3")
    with qtbot.waitSignal(room.workspace.runs_changed):
        page.commands.move_to_bin()
    settle(qtbot, room)
    assert [run.name for run in page.table.selected()] == ["Run 4"]


def test_experiments_are_reached_from_the_page(qtbot: QtBot, room: Room) -> None:
    page = open_page(qtbot, room)
    qtbot.mouseClick(page.experiment_button, LEFT)
    dialog = page.findChild(ExperimentDialog)
    assert dialog.isVisible()
    dialog.close()
    settle(qtbot, room)


# --- import -----------------------------------------------------------------------------------------


def test_import_looks_says_what_is_missing_and_selects_the_copy(
    qtbot: QtBot, room: Room, root: Path, tmp_path: Path
) -> None:
    write_run(root, "Here")
    foreign = write_run(tmp_path / "other", "Theirs", age=99, changes={"data.folder": "/no/such/photos"})
    page = open_page(qtbot, room)
    qtbot.mouseClick(page.import_button, LEFT)
    dialog = page.findChild(RunImportDialog)
    assert not dialog.import_button.isEnabled()
    dialog.source.setText(str(tmp_path))
    settle(qtbot, room)
    qtbot.waitUntil(lambda: "is no run folder" in dialog.found.text())
    assert not dialog.import_button.isEnabled()
    dialog.source.setText(str(foreign))
    settle(qtbot, room)
    qtbot.waitUntil(dialog.import_button.isEnabled)
    assert dialog.found.text().startswith("Theirs: AdvCLIP-LoRA on advclip-mini, 16 shots, finished.")
    assert dialog.data_box.isVisible()
    dialog.data.setText("/nor/this")
    assert not dialog.import_button.isEnabled()
    dialog.data.setText(str(tmp_path))
    with qtbot.waitSignal(room.workspace.runs_changed):
        qtbot.mouseClick(dialog.import_button, LEFT)
    settle(qtbot, room)
    assert names(page) == ["Here", "Theirs"]
    assert [run.name for run in page.table.selected()] == ["Theirs"]
    assert RunFolder(page.table.selected()[0].path).settings().data.folder == str(tmp_path)


def test_closing_the_dialog_cancels_what_it_does(
    qtbot: QtBot, room: Room, root: Path, tmp_path: Path
) -> None:
    foreign = write_run(tmp_path / "other", "Theirs")
    page = open_page(qtbot, room)
    page.commands.import_run()
    dialog = page.findChild(RunImportDialog)
    dialog.source.setText(str(foreign))
    dialog.reject()
    settle(qtbot, room)
    assert list(root.iterdir()) == []


# --- sort, filter, columns, memory ------------------------------------------------------------------


def test_state_and_method_filter_the_rows(qtbot: QtBot, room: Room, root: Path) -> None:
    write_run(root, "Adv", age=20)
    write_run(root, "Plain", age=10, changes={"adversary.inner_steps": 0})
    write_run(root, "Failed", state="failed", figures=None)
    page = open_page(qtbot, room)
    page.filter.state.setCurrentIndex(page.filter.state.findData("failed"))
    assert names(page) == ["Failed"]
    page.filter.clear()
    page.filter.method.setCurrentIndex(page.filter.method.findData("CLIP-LoRA"))
    assert names(page) == ["Plain"]
    page.filter.state.setCurrentIndex(page.filter.state.findData("failed"))
    assert names(page) == []
    assert page.clear_button.isVisible()
    assert page.count.text() == "0 of 3 runs"
    qtbot.mouseClick(page.clear_button, LEFT)
    assert names(page) == ["Failed", "Plain", "Adv"]
    settle(qtbot, room)


def test_sorting_and_columns_are_remembered(qtbot: QtBot, room: Room, root: Path) -> None:
    for name, robust in (("nine", 0.09), ("forty", 0.4), ("ten", 0.1)):
        write_run(root, name, figures=(0.7, robust))
    page = open_page(qtbot, room)
    page.table.sortByColumn(run_columns.ROBUST, Qt.SortOrder.AscendingOrder)
    menu = page.table.columns_menu()
    actions = {action.text(): action for action in menu.actions()}
    assert not actions["Note"].isChecked()
    actions["Note"].trigger()
    actions["Data"].trigger()
    menu.close()
    stored = page.state()
    other = open_page(qtbot, room)
    other.recall(stored)
    assert names(other) == ["nine", "ten", "forty"]
    assert other.table.isColumnHidden(run_columns.DATA)
    assert not other.table.isColumnHidden(run_columns.NOTE)
    for damaged in ("", "{ half", json.dumps({"sort": "colour", "hidden": []}), "[]"):
        other.recall(damaged)
    assert names(other) == ["nine", "ten", "forty"]
    settle(qtbot, room)


def test_a_wide_window_gives_every_column_more_room(qtbot: QtBot, room: Room, root: Path) -> None:
    write_run(root, "One")
    page = open_page(qtbot, room)
    narrow = page.table.columnWidth(run_columns.BACKBONE)
    page.resize(1600, 900)
    assert page.table.columnWidth(run_columns.BACKBONE) == narrow + run_columns.ROOMY[run_columns.BACKBONE]
    assert page.table.columnWidth(run_columns.NAME) >= run_columns.NAME_ROOM
    page.resize(1196, 745)
    assert page.table.columnWidth(run_columns.BACKBONE) == narrow
    page.resize(700, 745)
    assert page.table.columnWidth(run_columns.NAME) == run_columns.NAME_LEAST
    assert page.table.horizontalScrollBar().maximum() > 0
    page.resize(1196, 745)
    assert page.table.horizontalScrollBar().maximum() == 0


def test_sorting_keeps_what_is_selected(qtbot: QtBot, room: Room, root: Path) -> None:
    for name, age in (("a", 30), ("b", 20), ("c", 10)):
        write_run(root, name, age=age)
    page = open_page(qtbot, room)
    choose(qtbot, room, page, "b", "c")
    page.table.sortByColumn(run_columns.NAME, Qt.SortOrder.AscendingOrder)
    assert [run.name for run in page.table.selected()] == ["b", "c"]


def test_a_run_in_training_elsewhere_shows_how_far_it_is(qtbot: QtBot, room: Room, root: Path) -> None:
    page = open_page(qtbot, room)
    path = write_run(root, "Elsewhere", state="running", figures=None, evaluated=3)
    qtbot.waitUntil(lambda: names(page) == ["Elsewhere"])
    settle(qtbot, room)
    assert text(page, 0, run_columns.STATE) == "Running 20 %"
    with (path / "metrics.jsonl").open("a") as stream:
        stream.write('{"event": "step", "step": 75}\n')
    page.watch.timer.timeout.emit()
    settle(qtbot, room)
    assert text(page, 0, run_columns.STATE) == "Running 50 %"


def test_a_run_whose_settings_come_late_is_noticed(
    qtbot: QtBot, room: Room, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder is made before the model is loaded; the watcher says nothing of files inside."""
    monkeypatch.setattr(run_watch, "_LOOKS_AFTER_A_CHANGE", 200)
    page = open_page(qtbot, room)
    page.watch.timer.setInterval(20)
    (root / "run-late").mkdir()
    qtbot.waitUntil(page.watch.timer.isActive)
    write_run(root, "Late")
    qtbot.waitUntil(lambda: names(page) == ["Late"])
    page.hide()
    settle(qtbot, room)


def test_the_page_imports_no_torch() -> None:
    code = "import sys, advclip_gui.gui.pages.runs; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# --- menu, keys, evaluate ---------------------------------------------------------------------------


def test_the_menu_offers_what_the_buttons_offer(qtbot: QtBot, room: Room, root: Path) -> None:
    write_run(root, "One", state="failed", figures=None, checkpoint=False)
    page = open_page(qtbot, room)
    menu = page.actions_row.menu()
    offered = {action.text(): action.isEnabled() for action in menu.actions() if action.text()}
    assert offered == {
        "Probe": False,
        "Evaluate": False,
        "Continue": False,
        "Export…": False,
        "Rename": True,
        "Note…": True,
        "Open folder": True,
        "Move to the bin": True,
    }
    menu.close()
    page.table.customContextMenuRequested.emit(QPoint(5, 5))
    popup = QApplication.activePopupWidget()
    assert popup is not None
    popup.close()


def test_every_control_has_a_name_and_a_tooltip(qtbot: QtBot, room: Room, root: Path) -> None:
    write_run(root, "One")
    page = open_page(qtbot, room)
    controls = [
        *page.actions_row.buttons.values(), page.experiment_button, page.open_button, page.import_button,
        page.filter.words, page.filter.kind, page.filter.parts,
    ]  # fmt: skip
    controls += [page.filter.state, page.filter.method, page.table, page.clear_button]
    assert all(control.accessibleName() and control.toolTip() for control in controls)


def test_evaluate_asks_for_the_adapters_selected(qtbot: QtBot, room: Room, root: Path) -> None:
    one = write_run(root, "One", age=10)
    two = write_run(root, "Two")
    write_run(root, "Bare", age=5, figures=None)
    page = open_page(qtbot, room)
    choose(qtbot, room, page, "One", "Two", "Bare")
    with qtbot.waitSignal(room.workspace.evaluation_requested) as asked:
        qtbot.mouseClick(page.actions_row.buttons["evaluate"], LEFT)
    assert [ref.adapter for ref in asked.args[0]] == [str(two), str(one)]
    assert room.visited == ["evaluate"]
    settle(qtbot, room)


def test_the_evaluate_page_checks_them_and_zero_shot(qtbot: QtBot, room: Room, root: Path) -> None:
    from advclip_gui.gui.pages.evaluate import EvaluatePage

    for number in range(5):
        write_run(root, f"Run {number}", age=number)
    page = open_page(qtbot, room)
    evaluate = EvaluatePage(room.workspace, room.backend, room.io)
    qtbot.addWidget(evaluate)
    choose(qtbot, room, page, "Run 3", "Run 4")
    page.commands.evaluate()
    assert [ref.title for ref in evaluate.form.checked_refs()] == ["Zero-shot", "Run 3", "Run 4"]
    settle(qtbot, room)


def test_of_many_adapters_the_newest_are_offered_and_those_asked_for(
    qtbot: QtBot, room: Room, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from advclip_gui.gui.pages.evaluate import EvaluatePage

    monkeypatch.setattr(model_list, "MOST_OFFERED", 2)
    for number in range(5):
        write_run(root, f"Run {number}", age=number)
    page = open_page(qtbot, room)
    evaluate = EvaluatePage(room.workspace, room.backend, room.io)
    qtbot.addWidget(evaluate)
    assert [ref.title for ref in room.workspace.model_refs()] == ["Zero-shot", "Run 0", "Run 1"]
    choose(qtbot, room, page, "Run 4")
    page.commands.evaluate()
    assert [ref.title for ref in evaluate.form.checked_refs()] == ["Zero-shot", "Run 4"]
    assert [ref.title for ref in room.workspace.model_refs()][-1] == "Run 4"
    settle(qtbot, room)


def test_more_runs_than_can_be_compared_are_not_all_read(qtbot: QtBot, room: Room, root: Path) -> None:
    for number in range(15):
        write_run(root, f"Run {number}", age=number)
    page = open_page(qtbot, room)
    page.table.selectAll()
    settle(qtbot, room)
    assert len(page.commands.records) == 7
    assert len(page.curves.plot.series) == 7
    assert page.actions_row.reason.text() == "15 runs selected: the first 7 are compared below."


def test_selecting_all_asks_little_of_the_model(
    qtbot: QtBot, room: Room, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_run(root, "One")
    lines = [dataclasses.replace(summarise(path), path=root / f"run-{number}") for number in range(300)]
    asked: list[int] = []
    flags = RunsModel.flags
    # Before the first call: later ones go where that one went.
    monkeypatch.setattr(RunsModel, "flags", lambda model, index: asked.append(0) or flags(model, index))
    table = RunTable()
    qtbot.addWidget(table)
    table.resize(1150, 400)
    table.set_runs(lines)
    table.grab()
    asked.clear()
    table.selectAll()
    table.grab()
    assert len(table.selected()) == 300
    assert len(asked) < 2 * 300  # not once for every cell of every row
