"""The Runs page: the table, comparing, and what can be done with a run, through real clicks and keys."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QPushButton

from advclip_gui.engine import runs as run_files
from advclip_gui.engine.run_list import summarise
from advclip_gui.engine.runs import RunFolder
from advclip_gui.gui import run_text
from advclip_gui.gui.pages.runs import RunsPage
from advclip_gui.gui.run_record import read_record, read_records
from advclip_gui.gui.widgets import run_columns, run_model
from advclip_gui.gui.widgets.run_columns import EPSILON, PROTOCOL
from advclip_gui.presets import PRESETS
from advclip_gui.settings import BackboneSettings, RunSettings
from advclip_gui.wording import PROTOCOL_SENTENCES
from tests.gui.page_room import Room, page_room

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytestqt.qtbot import QtBot

LEFT = Qt.MouseButton.LeftButton
GONE_PROCESS = 2**22 + 1
"""No process has so high a number on the systems the tests run on."""


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


def write_run(
    root: Path,
    name: str,
    *,
    state: Any = "finished",
    age: float = 0.0,
    figures: tuple[float, float] | None = (0.7, 0.4),
    checkpoint: bool = True,
    message: str = "",
    changes: dict[str, Any] | None = None,
    evaluated: int = 3,
) -> Path:
    """Write what training would: settings, state, metrics, result, adapter and checkpoint."""
    settings = PRESETS["demo"].settings.with_values({"name": name, **(changes or {})})
    folder = RunFolder(root / f"run-{name.lower().replace(' ', '-') or 'unnamed'}")
    folder.start(settings, device="cpu", split={"class_names": ["cat", "dog"]})
    folder.set_state("running" if state == "interrupted" else state, message)
    record = json.loads((folder.path / "state.json").read_text())
    record["started"] = time.time() - age
    if state == "interrupted":
        record["pid"] = GONE_PROCESS
    (folder.path / "state.json").write_text(json.dumps(record))
    events = [evaluation(0, "zero-shot", 0.75, 0.16)]
    events += [evaluation(10 * k, "adapter", 0.75, 0.16 + 0.05 * k) for k in range(1, evaluated + 1)]
    (folder.path / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    if checkpoint:
        folder.checkpoint_path.parent.mkdir()
        folder.checkpoint_path.write_bytes(b"x")
    if figures is not None:
        folder.adapter_dir.mkdir()
        (folder.adapter_dir / "adapter_model.safetensors").write_bytes(b"x")
        folder.write_result({"adapter": accuracies(*figures), "zero_shot": accuracies(0.75, 0.16)})
    return folder.path


def accuracies(clean: float, robust: float) -> dict[str, Any]:
    return {
        "n": 1000,
        "clean_accuracy": clean,
        "clean_interval": [clean - 0.03, clean + 0.03],
        "robust_accuracy": robust,
        "robust_interval": [robust - 0.03, robust + 0.03],
    }


def evaluation(step: int, model: str, clean: float, robust: float) -> dict[str, Any]:
    return {"event": "eval", "step": step, "model": model, **accuracies(clean, robust), "n": 40}


def settle(qtbot: QtBot, room: Room) -> None:
    qtbot.waitUntil(lambda: not room.io.jobs, timeout=30_000)


def open_page(qtbot: QtBot, room: Room) -> RunsPage:
    page = RunsPage(room.workspace, room.backend, room.io)
    qtbot.addWidget(page)
    page.resize(1196, 745)
    with qtbot.waitExposed(page):
        page.show()
    settle(qtbot, room)
    return page


def names(page: RunsPage) -> list[str]:
    return [run.name for run in page.table.shown()]


def text(page: RunsPage, row: int, column: int) -> str:
    return str(page.table.model().index(row, column).data())


def choose(qtbot: QtBot, room: Room, page: RunsPage, *chosen: str) -> None:
    """Click the rows of these runs, all but the first with Ctrl held."""
    for position, name in enumerate(chosen):
        place = page.table.visualRect(page.table.model().index(names(page).index(name), 0)).center()
        keys = Qt.KeyboardModifier.ControlModifier if position else Qt.KeyboardModifier.NoModifier
        qtbot.mouseClick(page.table.viewport(), LEFT, keys, place)
    settle(qtbot, room)
    assert {run.name for run in page.table.selected()} == set(chosen)


# --- the table --------------------------------------------------------------------------------------


def test_without_runs_the_page_says_so_and_offers_what_to_do(qtbot: QtBot, room: Room) -> None:
    page = open_page(qtbot, room)
    assert page.stack.currentIndex() == 0
    assert page.filter.isHidden()
    qtbot.mouseClick(page.recipe_button, LEFT)
    assert room.visited == ["recipe"]
    with qtbot.waitSignal(room.workspace.scan_changed, timeout=30_000):
        qtbot.mouseClick(page.demo_button, LEFT)
    settle(qtbot, room)
    assert room.visited == ["recipe", "train"]


def test_runs_are_listed_newest_first_with_their_figures(qtbot: QtBot, room: Room, root: Path) -> None:
    write_run(root, "Old", age=90_000, figures=(0.7, 0.4))
    write_run(root, "New", state="stopped", figures=(0.72, 0.1))
    write_run(root, "Broken", age=100, state="failed", figures=None)
    page = open_page(qtbot, room)
    assert names(page) == ["New", "Broken", "Old"]
    assert text(page, 0, run_columns.CLEAN) == "72.0 % (−3.0)"
    assert text(page, 0, run_columns.ROBUST) == "10.0 % (−6.0)"
    assert text(page, 2, run_columns.ROBUST) == "40.0 % (+24.0)"
    assert text(page, 1, run_columns.ROBUST) == "–"
    assert text(page, 0, run_columns.IMAGES) == "1,000"
    assert [text(page, row, run_columns.STATE) for row in range(3)] == ["Stopped", "Failed", "Finished"]
    assert text(page, 0, run_columns.STARTED).startswith("Today")
    assert page.count.text() == "3 runs"


def test_a_click_on_a_head_sorts_by_the_figure_and_not_by_its_text(
    qtbot: QtBot, room: Room, root: Path
) -> None:
    for name, robust in (("nine", 0.09), ("forty", 0.4), ("ten", 0.1)):
        write_run(root, name, figures=(0.7, robust))
    write_run(root, "none", figures=None)
    page = open_page(qtbot, room)
    head = page.table.horizontalHeader()
    place = head.viewport().rect().center()
    place.setX(head.sectionViewportPosition(run_columns.ROBUST) + 8)
    qtbot.mouseClick(head.viewport(), LEFT, pos=place)
    rising = names(page)
    qtbot.mouseClick(head.viewport(), LEFT, pos=place)
    assert rising == ["none", "nine", "ten", "forty"]
    assert names(page) == rising[::-1]


def test_the_filter_keeps_the_runs_with_every_word(qtbot: QtBot, room: Room, root: Path) -> None:
    write_run(root, "Rank four", changes={"lora.rank": 4})
    write_run(root, "Plain", changes={"adversary.inner_steps": 0})
    write_run(root, "Lost", state="interrupted", figures=None)
    page = open_page(qtbot, room)
    qtbot.keyClicks(page.filter.words, "ADVCLIP-lora finished")
    assert names(page) == ["Rank four"]
    assert page.count.text() == "1 of 3 runs"
    assert [run.name for run in page.table.selected()] == ["Rank four"]
    page.filter.words.setText("nothing like it")
    assert names(page) == []
    assert page.commands.current() is None
    assert not page.actions_row.buttons["folder"].isEnabled()
    qtbot.mouseClick(page.clear_button, LEFT)
    assert len(names(page)) == 3
    settle(qtbot, room)


def test_the_selection_survives_a_new_run(qtbot: QtBot, room: Room, root: Path) -> None:
    write_run(root, "One", age=100)
    write_run(root, "Two", age=50)
    page = open_page(qtbot, room)
    choose(qtbot, room, page, "One")
    with qtbot.waitSignal(room.workspace.runs_changed):
        write_run(root, "Three")
        room.workspace.refresh_runs()
    settle(qtbot, room)
    assert names(page) == ["Three", "Two", "One"]
    assert [run.name for run in page.table.selected()] == ["One"]


def test_another_runs_folder_is_watched_where_the_workspace_has_one(
    qtbot: QtBot, room: Room, root: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    room.workspace.runs_root = own
    page = open_page(qtbot, room)
    assert str(own) in page.watch.folders
    assert str(root) not in page.watch.folders
    elsewhere = write_run(root.parent / "elsewhere", "Two")
    with qtbot.waitSignal(room.workspace.runs_changed):
        elsewhere.rename(own / "Two")
    settle(qtbot, room)
    assert names(page) == ["Two"]
    room.workspace.runs_root = None
    page.hide()
    page.show()
    settle(qtbot, room)
    qtbot.waitUntil(lambda: str(root) in page.watch.folders)
    assert str(own) not in page.watch.folders


RELEASED = {
    "protocol": "released",
    "adversary.kind": "universal",
    "training.clean_share": 0.0,
    "training.warmup": 0.0,
}


def test_protocol_and_norm_are_listed_filtered_and_explained(qtbot: QtBot, room: Room, root: Path) -> None:
    write_run(root, "Ours")
    write_run(root, "Theirs", changes=RELEASED)
    write_run(root, "Round", changes={"monitor.norm": "L2", "monitor.epsilon": 0.5})
    page = open_page(qtbot, room)
    model = page.table.runs
    cells = {
        model.index(row, 0).data(): [model.index(row, column).data() for column in (PROTOCOL, EPSILON)]
        for row in range(3)
    }
    assert cells == {
        "Ours": ["Sound", "2/255"],
        "Theirs": ["Released", "2/255"],
        "Round": ["Sound", "0.5 L2"],
    }
    for words, expected in (("released", ["Theirs"]), ("L2", ["Round"]), ("sound linf", ["Ours"])):
        page.filter.words.setText(words)
        assert names(page) == expected
        settle(qtbot, room)
    page.filter.words.clear()
    choose(qtbot, room, page, "Theirs")
    assert page.details.sentence.text().count(PROTOCOL_SENTENCES["released"]) == 1
    assert "(released, L∞)" in page.details.sentence.text()
    assert page.curves.plot.title.text() == "Accuracy while training · released, L∞"
    assert page.curves.notice.text() == PROTOCOL_SENTENCES["released"]
    choose(qtbot, room, page, "Round")
    assert page.curves.plot.title.text() == "Accuracy while training · sound, L2"
    assert page.curves.notice.isHidden()
    table = page.details.table
    shown = {table.text_at(row, 0): table.text_at(row, 1) for row in range(table.rowCount())}
    assert (shown["Evaluation · Norm"], shown["Evaluation · Epsilon"]) == ("L2", "0.5")


def test_curves_of_both_protocols_are_never_overlaid_without_their_names(
    qtbot: QtBot, room: Room, root: Path
) -> None:
    write_run(root, "Ours")
    write_run(root, "Theirs", changes=RELEASED)
    page = open_page(qtbot, room)
    choose(qtbot, room, page, "Ours", "Theirs")
    assert {one.label for one in page.curves.plot.series} == {"Ours (sound, L∞)", "Theirs (released, L∞)"}
    assert {one.label for one in page.curves.plot.baselines} == {
        "Zero-shot (sound, L∞)",
        "Zero-shot (released, L∞)",
    }
    assert page.curves.plot.title.text() == "Accuracy while training · mixed"
    assert "Zero-shot (sound, L∞) 16.0 %" in page.curves.plot.legend.text
    assert page.curves.notice.isVisible()
    assert PROTOCOL_SENTENCES["released"] in page.details.sentence.text()


def test_a_run_shows_the_comparison_and_the_kept_step(qtbot: QtBot, room: Room, root: Path) -> None:
    path = write_run(root, "Mine", changes={"training.keep_best": True, "lora.layers": "0, 2, 3"})
    with (path / "metrics.jsonl").open("a") as file:
        for step, robust in ((10, 0.1), (20, 0.08)):
            file.write(json.dumps(evaluation(step, "clip-lora", 0.8, robust)) + "\n")
    result = json.loads((path / "result.json").read_text())
    more = {"clip_lora": accuracies(0.8, 0.08), "kept_step": 20, "evaluations": 3}
    (path / "result.json").write_text(json.dumps({**result, **more}))
    page = open_page(qtbot, room)
    choose(qtbot, room, page, "Mine")
    assert page.curves.plot.values("clip-lora") == ([10.0, 20.0], [0.1, 0.08])
    assert line(page, path)[-1] == (30.0, 0.31)
    assert "CLIP-LoRA beside it: clean 80.0 %" in page.details.sentence.text()
    assert "Adapter of step 20, the best of 3 evaluations." in page.details.sentence.text()
    table = page.details.table
    shown = {table.text_at(row, 0): table.text_at(row, 1) for row in range(table.rowCount())}
    assert shown["LoRA · Layers"] == "0, 2-3"


def test_a_new_folder_on_disk_is_noticed_while_the_page_is_on_screen(
    qtbot: QtBot, room: Room, root: Path
) -> None:
    write_run(root, "One", age=100)
    page = open_page(qtbot, room)
    elsewhere = write_run(root.parent / "elsewhere", "Two")
    with qtbot.waitSignal(room.workspace.runs_changed):
        elsewhere.rename(root / "Two")
    settle(qtbot, room)
    assert names(page) == ["Two", "One"]
    page.hide()
    assert page.watch.folders == []


def test_the_timer_runs_only_while_the_page_is_on_screen_and_a_run_is_in_training(
    qtbot: QtBot, room: Room, root: Path
) -> None:
    path = write_run(root, "Running", state="running", figures=None)
    page = open_page(qtbot, room)
    timer = page.watch.timer
    assert timer.isActive()
    page.hide()
    assert not timer.isActive()
    page.show()
    assert timer.isActive()
    settle(qtbot, room)
    RunFolder(path).set_state("finished")
    with qtbot.waitSignal(room.workspace.runs_changed):
        timer.timeout.emit()
    settle(qtbot, room)
    assert not timer.isActive()


def test_a_running_run_is_drawn_again_as_it_goes_on(qtbot: QtBot, room: Room, root: Path) -> None:
    path = write_run(root, "Running", state="running", figures=None)
    page = open_page(qtbot, room)
    before = line(page, path)
    with (path / "metrics.jsonl").open("a") as stream:
        stream.write(json.dumps(evaluation(40, "adapter", 0.7, 0.5)) + "\n")
    page.watch.timer.timeout.emit()
    settle(qtbot, room)
    assert line(page, path) == [*before, (40.0, 0.5)]


# --- comparing --------------------------------------------------------------------------------------


def line(page: RunsPage, path: Path) -> list[tuple[float, float]]:
    xs, ys = page.curves.plot.values(str(path))
    return [(x, round(y, 6)) for x, y in zip(xs, ys, strict=True)]


def test_one_run_shows_its_curve_its_figures_and_every_setting(qtbot: QtBot, room: Room, root: Path) -> None:
    path = write_run(root, "Mine", figures=(0.7, 0.4))
    page = open_page(qtbot, room)
    assert line(page, path) == [(0.0, 0.16), (10.0, 0.21), (20.0, 0.26), (30.0, 0.31)]
    assert [one.y for one in page.curves.plot.baselines] == [0.16]
    qtbot.mouseClick(page.findChild(QPushButton, "curveKind.clean"), LEFT)
    assert {y for _, y in line(page, path)} == {0.75}
    details = page.details
    assert "Clean 70.0 % (67.0 – 73.0), robust 40.0 % (37.0 – 43.0)" in details.sentence.text()
    shown = {
        details.table.text_at(row, 0): details.table.text_at(row, 1)
        for row in range(details.table.rowCount())
    }
    assert shown["Adversary · Epsilon"] == "2/255"
    assert shown["Data · Image folder"] == "Demo photos"
    assert "Name" not in shown
    assert details.place.text() == str(path)


def test_several_runs_overlay_their_curves_and_show_only_what_differs(
    qtbot: QtBot, room: Room, root: Path
) -> None:
    one = write_run(root, "One", age=1)
    other = write_run(root, "Other", changes={"lora.rank": 4, "adversary.epsilon": "1/255"})
    page = open_page(qtbot, room)
    choose(qtbot, room, page, "One", "Other")
    assert {str(one), str(other)} <= set(page.curves.plot.keys)
    table = page.details.table
    rows = [[table.text_at(row, column) for column in range(3)] for row in range(table.rowCount())]
    assert rows == [["LoRA · Rank r", "4", "8"], ["Adversary · Epsilon", "1/255", "2/255"]]
    assert page.details.sentence.text() == "Both runs agree in all but 2 settings."
    assert page.commands.current() is None
    assert not any(
        button.isEnabled()
        for button in (page.actions_row.buttons[key] for key in ("go_on", "rename", "note", "folder"))
    )
    marks = {page.table.runs.index(row, 0).data(run_model.RUN_ROLE).path for row in range(2)}
    assert marks == set(page.table.runs._marks)


def test_runs_measured_at_different_epsilons_are_not_compared_silently(
    qtbot: QtBot, room: Room, root: Path
) -> None:
    write_run(root, "One")
    write_run(root, "Other", changes={"monitor.epsilon": "4/255"})
    page = open_page(qtbot, room)
    choose(qtbot, room, page, "One", "Other")
    assert "different epsilons" in page.details.sentence.text()


def test_equal_runs_are_said_to_be_equal(qtbot: QtBot, room: Room, root: Path) -> None:
    write_run(root, "One")
    write_run(root, "Other")
    page = open_page(qtbot, room)
    choose(qtbot, room, page, "One", "Other")
    assert page.details.sentence.text() == "Both runs have the same settings."
    assert page.details.table.isHidden()


def test_a_failed_run_says_why(qtbot: QtBot, room: Room, root: Path) -> None:
    write_run(root, "Bad", state="failed", figures=None, message="The loss was not finite.", evaluated=2)
    page = open_page(qtbot, room)
    assert page.details.sentence.text().startswith("Failed: The loss was not finite. Step 20 of 150.")


def test_a_run_whose_folder_vanishes_does_no_harm(qtbot: QtBot, room: Room, root: Path) -> None:
    path = write_run(root, "Gone")
    page = open_page(qtbot, room)
    path.rename(root.parent / "gone")
    page._read()
    settle(qtbot, room)
    qtbot.waitUntil(lambda: names(page) == [])
    assert page.stack.currentIndex() == 0
    assert room.notes == []


# --- what can be done with a run --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "figures", "checkpoint", "probe", "go_on", "reason"),
    [
        ("finished", (0.7, 0.4), True, True, False, ""),
        ("stopped", (0.7, 0.4), True, True, True, ""),
        ("cancelled", None, True, False, True, "It left no adapter."),
        ("interrupted", None, True, False, True, "It left no adapter."),
        ("failed", None, False, False, False, "It left no checkpoint to continue from."),
        ("running", None, True, False, False, "It has no adapter yet."),
    ],
)
def test_the_buttons_offer_what_the_run_allows(
    qtbot: QtBot,
    room: Room,
    root: Path,
    state: str,
    figures: tuple[float, float] | None,
    checkpoint: bool,
    probe: bool,
    go_on: bool,
    reason: str,
) -> None:
    write_run(root, "Run", state=state, figures=figures, checkpoint=checkpoint)
    page = open_page(qtbot, room)
    assert page.actions_row.buttons["probe"].isEnabled() == probe
    assert page.actions_row.buttons["export"].isEnabled() == probe
    assert page.actions_row.buttons["go_on"].isEnabled() == go_on
    assert page.actions_row.buttons["folder"].isEnabled()
    assert page.actions_row.reason.text() == reason


def test_use_in_probe_takes_the_backbone_opens_the_images_and_chooses_the_adapter(
    qtbot: QtBot, room: Room, root: Path
) -> None:
    path = write_run(root, "Mine")
    room.workspace.set_settings(RunSettings(backbone=BackboneSettings(name="ViT-B-32")))
    page = open_page(qtbot, room)
    with (
        qtbot.waitSignal(room.workspace.scan_changed, timeout=30_000),
        qtbot.waitSignal(room.workspace.probe_requested) as asked,
    ):
        qtbot.mouseClick(page.actions_row.buttons["probe"], LEFT)
    settle(qtbot, room)
    ref = asked.args[0]
    assert (ref.kind, ref.adapter, ref.title) == ("adapter", str(path), "Mine")
    assert room.workspace.settings.backbone.name == "advclip-mini"
    assert room.workspace.settings.data.folder == "demo"
    assert room.visited == ["probe"]
    assert ref in room.workspace.model_refs()
    assert room.notes[0][0] == "info"


def test_continue_resumes_the_run_and_shows_the_training(
    qtbot: QtBot, room: Room, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_run(root, "Stopped", state="stopped")
    resumed: list[Path] = []
    monkeypatch.setattr(room.workspace, "resume_training", lambda run: resumed.append(run) or object())
    page = open_page(qtbot, room)
    qtbot.mouseClick(page.actions_row.buttons["go_on"], LEFT)
    assert resumed == [path]
    assert room.visited == ["train"]


def test_an_interrupted_run_is_offered_at_the_top_until_it_is_dismissed(
    qtbot: QtBot, room: Room, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_run(root, "Lost", state="interrupted", figures=None)
    write_run(root, "Hopeless", state="interrupted", figures=None, checkpoint=False)
    resumed: list[Path] = []
    monkeypatch.setattr(room.workspace, "resume_training", lambda run: resumed.append(run) or object())
    page = open_page(qtbot, room)
    assert page.banner.isVisible()
    assert page.banner.message == "The run 'Lost' was interrupted; its last checkpoint is safe."
    qtbot.mouseClick(page.banner.findChild(QPushButton, "bannerAction0"), LEFT)
    assert resumed == [path]
    assert page.banner.isHidden()
    page._on_runs()
    assert page.banner.isVisible()
    qtbot.mouseClick(page.banner.close_button, LEFT)
    page._on_runs()
    assert page.banner.isHidden()
    settle(qtbot, room)


def test_export_asks_for_the_dialog_and_open_folder_for_the_files(
    qtbot: QtBot, room: Room, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_run(root, "Mine")
    opened: list[str] = []
    answers = iter([True, False])

    def open_url(url: Any) -> bool:
        opened.append(url.toLocalFile())
        return next(answers)

    monkeypatch.setattr(QDesktopServices, "openUrl", open_url)
    page = open_page(qtbot, room)
    with qtbot.waitSignal(room.workspace.export_requested) as asked:
        qtbot.mouseClick(page.actions_row.buttons["export"], LEFT)
    assert asked.args == [path]
    qtbot.mouseClick(page.actions_row.buttons["folder"], LEFT)
    assert room.notes == []
    qtbot.mouseClick(page.actions_row.buttons["folder"], LEFT)
    assert [Path(one) for one in opened] == [path, path]
    assert room.notes == [("warning", f"The files are in {path}.")]


# --- words ------------------------------------------------------------------------------------------


def test_dates_are_as_short_as_they_can_be_understood() -> None:
    now = datetime(2026, 5, 20, 15, 0).astimezone()
    assert run_text.when(datetime(2026, 5, 20, 9, 5).timestamp(), now) == "Today 09:05"
    assert run_text.when(datetime(2026, 2, 3, 9, 5).timestamp(), now) == "3 Feb 09:05"
    assert run_text.when(datetime(2025, 2, 3, 9, 5).timestamp(), now) == "2025-02-03"
    assert run_text.when(0.0, now) == "–"


def test_changes_are_in_percentage_points_with_a_sign() -> None:
    assert run_text.with_change(0.19, 0.158) == "19.0 % (+3.2)"
    assert run_text.with_change(0.7, 0.75) == "70.0 % (−5.0)"
    assert run_text.with_change(0.7, None) == "70.0 %"
    assert run_text.with_change(None, 0.7) == "–"


def test_a_step_evaluated_again_after_a_resume_counts_once(root: Path) -> None:
    path = write_run(root, "Resumed", evaluated=1)
    with (path / "metrics.jsonl").open("a") as stream:
        stream.write(json.dumps(evaluation(10, "adapter", 0.7, 0.3)) + "\n")
        stream.write('{"event": "eval", "step": 20, "mod')
    curve = read_record(path).curve("robust")
    assert (curve.steps, curve.shares) == ((0.0, 10.0), (0.16, 0.3))


def test_folders_that_are_no_runs_are_left_out(root: Path) -> None:
    from advclip_gui.engine.control import Control

    there, gone = summarise(write_run(root, "Mine")), summarise(write_run(root, "Gone"))
    gone.path.rename(root / "elsewhere")
    assert set(read_records((there, gone), Control())) == {there.path}
