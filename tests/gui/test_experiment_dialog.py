"""The window of experiments: what is asked for, one job on the device, and figures that grow."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QWidget

from advclip_gui.engine.control import Control
from advclip_gui.engine.datasets.folder import DatasetScan, scan
from advclip_gui.engine.experiments.definition import ExperimentSettings
from advclip_gui.engine.experiments.estimate import Estimate
from advclip_gui.engine.experiments.events import CellDone, ExperimentProgress
from advclip_gui.engine.experiments.folder import ExperimentFolder, experiments_root
from advclip_gui.engine.experiments.presets import EXPERIMENTS
from advclip_gui.engine.experiments.run import ExperimentResult
from advclip_gui.gui import theme
from advclip_gui.gui.dialogs.experiment import ExperimentDialog, open_experiments
from advclip_gui.gui.experiment_jobs import EstimateJob, ExperimentJob
from advclip_gui.gui.experiment_text import amount_text, progress_text, waiting_text
from advclip_gui.gui.gpu_thread import Priority
from advclip_gui.gui.io_thread import IoPool
from advclip_gui.gui.job_handle import ErrorInfo
from advclip_gui.presets import PRESETS
from advclip_gui.settings import DEMO_FOLDER
from tests.gui.probe_fakes import HandBackend, end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture(scope="module")
def demo() -> DatasetScan:
    """The bundled data, looked at once for all tests."""
    return scan(DEMO_FOLDER, control=Control())


@pytest.fixture
def workspace(qapp: Any, tmp_path: Path, demo: DatasetScan) -> Iterator[Any]:
    theme.apply(qapp, "light")
    io = IoPool()
    yield SimpleNamespace(
        settings=PRESETS["demo"].settings,
        backend=HandBackend(),
        io=io,
        scan=demo,
        runs_root=tmp_path / "runs",
        training=None,
        is_training=False,
        set_learning=lambda backbone: None,
        refresh_runs=lambda: None,
    )
    io.shut_down()


@pytest.fixture
def dialog(qtbot: QtBot, workspace: Any) -> ExperimentDialog:
    made = ExperimentDialog(workspace)
    qtbot.addWidget(made)
    with qtbot.waitExposed(made):
        made.show()
    return made


def record(folder: ExperimentFolder, key: str, clean: float) -> None:
    one = {"title": "Test", "n": 6, "clean": clean, "robust": 0.2, "label": "PGD", "warnings": []}
    folder.write_record(key, {"state": "finished", "figures": {"test": one}, "evaluation_seconds": 1.0})


def start(dialog: ExperimentDialog, qtbot: QtBot) -> tuple[Any, Any]:
    """One click; the data is looked at first."""
    backend = dialog._workspace.backend
    before = backend.count("ExperimentJob")
    qtbot.mouseClick(dialog.controls.start_button, LEFT)
    qtbot.waitUntil(lambda: backend.count("ExperimentJob") > before)
    return backend.last("ExperimentJob")


def begin(job: ExperimentJob) -> ExperimentFolder:
    """What the engine writes first."""
    folder = ExperimentFolder(job.path)
    folder.set_state("running")
    return folder


def test_one_click_asks_for_the_papers(qtbot: QtBot, dialog: ExperimentDialog, workspace: Any) -> None:
    job, _handle = start(dialog, qtbot)
    settings = job.settings
    assert (settings.kind, settings.shots, settings.seeds) == ("few-shot", (1, 2, 4, 8, 16), (1, 2, 3))
    assert settings.methods == ("zero-shot", "clip-lora", "advclip-lora")
    assert settings.base == workspace.settings
    assert settings.evaluation.epsilon == workspace.settings.monitor.epsilon
    assert job.path.parent == workspace.runs_root / "experiments"
    assert (job.priority, job.serves) == (Priority.TRAINING, True)


def test_choices_reach_the_job(qtbot: QtBot, dialog: ExperimentDialog) -> None:
    dialog.form.shots.setText("3,1 20")
    dialog.form.methods["clip-lora"].setChecked(False)
    dialog.form.seeds.setText("5 7")
    dialog.form.images.set_value(0)
    job, _ = start(dialog, qtbot)
    assert job.settings.shots == (1, 3, 20)
    assert job.settings.seeds == (5, 7)
    assert job.settings.methods == ("zero-shot", "advclip-lora")
    assert job.settings.evaluation.images == 0


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda form: form.seeds.setText("1, x"), "Seeds are whole numbers"),
        (lambda form: form.shots.setText("1, -2"), "Shots are whole numbers"),
        (lambda form: form.shots.setText("0"), "Shots are whole numbers"),
        (lambda form: form.shots.setText("5000"), "shots are from 1 to 1024"),
        (lambda form: form.shots.setText("9" * 5000), "Shots are whole numbers"),
        (lambda form: [box.setChecked(False) for box in form.methods.values()], "method"),
    ],
)
def test_what_does_not_fit_cannot_be_started(
    dialog: ExperimentDialog, spoil: Callable[[Any], object], words: str
) -> None:
    assert dialog.controls.start_button.isEnabled()
    spoil(dialog.form)
    assert not dialog.controls.start_button.isEnabled()
    assert words in dialog.amount.text()


def test_cross_dataset_asks_for_folders(qtbot: QtBot, dialog: ExperimentDialog, tmp_path: Path) -> None:
    assert not dialog.form.target_box.isVisible()
    qtbot.mouseClick(dialog.form.kind._buttons["cross-dataset"], LEFT)
    assert dialog.form.target_box.isVisible()
    assert "other folder" in dialog.amount.text()
    assert not dialog.controls.start_button.isEnabled()
    other = tmp_path / "other"
    for name in ("a", "b"):
        (other / name).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(other / name / "1.png")
    dialog.form.add(str(other))
    job, _ = start(dialog, qtbot)
    assert job.settings.targets == (str(other),)
    assert job.settings.shots == (16,)


def test_a_start_is_not_lost_when_an_older_answer_comes(
    qtbot: QtBot, dialog: ExperimentDialog, workspace: Any
) -> None:
    qtbot.waitUntil(lambda: workspace.backend.count("EstimateJob") > 0)
    _, older = workspace.backend.last("EstimateJob")
    dialog.form.seeds.setText("9")
    qtbot.mouseClick(dialog.controls.start_button, LEFT)
    end(older, "finished", Estimate(30, 4500, 3600.0, 9000.0))
    qtbot.waitUntil(lambda: workspace.backend.count("ExperimentJob") == 1)


def test_what_is_typed_stays_when_the_kind_changes(qtbot: QtBot, dialog: ExperimentDialog) -> None:
    buttons = dialog.form.kind._buttons
    qtbot.mouseClick(buttons["base-to-new"], LEFT)
    assert dialog.form.shots.text() == "16"
    qtbot.mouseClick(buttons["few-shot"], LEFT)
    assert dialog.form.shots.text() == "1, 2, 4, 8, 16"
    dialog.form.shots.setText("1, 32")
    qtbot.mouseClick(buttons["base-to-new"], LEFT)
    assert dialog.form.shots.text() == "1, 32"


def test_shots_that_the_data_cannot_give_are_refused_before_the_start(
    qtbot: QtBot, dialog: ExperimentDialog, workspace: Any
) -> None:
    dialog.form.shots.setText("1, 32")
    qtbot.waitUntil(lambda: "'airplane' (24)" in dialog.amount.text())
    assert "fewer training images than the 32 shots asked for. Lower the shots to 24" in dialog.amount.text()
    assert dialog.form.shots.property("invalid")
    assert not dialog.controls.start_button.isEnabled()
    dialog.form.shots.setText("1, 24")
    assert not dialog.form.shots.property("invalid")
    job, _ = start(dialog, qtbot)
    assert job.settings.shots == (1, 24)


def test_a_click_before_the_data_was_looked_at_is_answered_too(
    qtbot: QtBot, dialog: ExperimentDialog, workspace: Any
) -> None:
    dialog.form.shots.setText("32")
    qtbot.mouseClick(dialog.controls.start_button, LEFT)
    assert dialog.amount.text() == "Looking at the data …"
    qtbot.waitUntil(lambda: "the 32 shots" in dialog.amount.text())
    assert workspace.backend.count("ExperimentJob") == 0
    assert not experiments_root(workspace.runs_root).exists()


def test_the_paper_is_measured_with_attacks_that_can_be_reported_on_all_images(
    qtbot: QtBot, dialog: ExperimentDialog, workspace: Any
) -> None:
    assert dialog.form.settings().evaluation.attack == "quick"  # the demo is to be tried
    paper = PRESETS["paper-b32"].settings.with_values({"data.folder": "/somewhere"})
    workspace.settings = paper
    dialog.prepare()
    how = dialog.form.settings().evaluation
    assert (how.attack, how.images, how.epsilon) == ("standard", 0, paper.monitor.epsilon)
    workspace.settings = PRESETS["released"].settings
    dialog.prepare()
    assert dialog.form.released.isVisible()
    assert not dialog.form.attack.isVisible()


def test_base_to_new_takes_all_classes_of_a_halved_recipe(
    qtbot: QtBot, dialog: ExperimentDialog, workspace: Any
) -> None:
    workspace.settings = workspace.settings.with_values({"data.classes": "base"})
    dialog.prepare()
    qtbot.mouseClick(dialog.form.kind._buttons["base-to-new"], LEFT)
    job, _ = start(dialog, qtbot)
    assert job.settings.kind == "base-to-new"
    assert job.settings.base.data.classes == "all"


def test_the_amount_is_said_with_a_time(qtbot: QtBot, dialog: ExperimentDialog, workspace: Any) -> None:
    assert dialog.amount.text() == "30 trainings, 4,500 steps"
    qtbot.waitUntil(lambda: workspace.backend.count("EstimateJob") > 0)
    job, handle = workspace.backend.last("EstimateJob")
    assert isinstance(job, EstimateJob)
    end(handle, "finished", Estimate(30, 4500, 3600.0, 9000.0))
    assert dialog.amount.text() == "30 trainings, 4,500 steps, about 1 to 3 h on this device"


def test_an_old_estimate_is_not_shown(qtbot: QtBot, dialog: ExperimentDialog, workspace: Any) -> None:
    qtbot.waitUntil(lambda: workspace.backend.count("EstimateJob") > 0)
    _, handle = workspace.backend.last("EstimateJob")
    dialog.form.seeds.setText("1")
    assert dialog.amount.text() == "10 trainings, 1,500 steps"
    end(handle, "finished", Estimate(30, 4500, 3600.0, 9000.0))
    assert dialog.amount.text() == "10 trainings, 1,500 steps"


def test_the_table_grows_with_every_cell(qtbot: QtBot, dialog: ExperimentDialog) -> None:
    job, handle = start(dialog, qtbot)
    handle.deliver("started", None)
    assert dialog.controls.stop_button.isVisible()
    assert not dialog.form.editor.isVisible()
    assert "Seeds: 1, 2, 3" in dialog.form.summary.text()
    folder = begin(job)
    record(folder, "zero-shot", 0.61)
    told = ExperimentProgress(
        done=1, failed=0, total=31, title="CLIP-LoRA, 1 shot, seed 1", phase="training", step=30,
        total_steps=150, share=0.25, seconds_left=600.0,
    )  # fmt: skip
    handle.deliver("event", told)
    handle.deliver("event", CellDone(key="zero-shot", title="Zero-shot CLIP", state="finished"))
    handle.drained.emit()
    assert dialog.view.bar.value() == 250
    assert dialog.view.where.text() == (
        "1 of 31 done. CLIP-LoRA, 1 shot, seed 1: step 30 of 150. About 10 min left."
    )
    qtbot.waitUntil(lambda: dialog.view.results.figures is not None)
    assert dialog.view.results.table.rowCount() == 11
    assert dialog.view.results.table.text_at(0, 5) == "61.00"
    assert dialog.view.results.table.text_at(1, 3) == "0 of 3"
    end(handle, "cancelled")


def test_closing_the_window_does_not_end_it(qtbot: QtBot, dialog: ExperimentDialog, workspace: Any) -> None:
    _, handle = start(dialog, qtbot)
    handle.deliver("started", None)
    dialog.reject()
    assert handle.active
    assert not handle.control.cancelled
    dialog.show()
    assert dialog.controls.stop_button.isVisible()
    end(handle, "cancelled")


def test_a_stopped_one_is_continued_in_its_folder(
    qtbot: QtBot, dialog: ExperimentDialog, workspace: Any
) -> None:
    job, handle = start(dialog, qtbot)
    handle.deliver("started", None)
    folder = begin(job)
    record(folder, "zero-shot", 0.5)
    qtbot.mouseClick(dialog.controls.stop_button, LEFT)
    assert handle.control.stop_requested
    assert not dialog.controls.stop_button.isEnabled()
    end(handle, "finished", ExperimentResult(job.path, "stopped"))
    qtbot.waitUntil(lambda: dialog.view.where.text() == "1 of 31 done.")
    assert dialog.controls.start_button.text() == "Continue"
    again, handle = start(dialog, qtbot)
    assert (again.path, again.settings) == (job.path, job.settings)
    end(handle, "cancelled")
    qtbot.mouseClick(dialog.controls.new_button, LEFT)
    assert dialog.path is None
    assert dialog.form.editor.isVisible()
    assert dialog.controls.start_button.text() == "Start"


def test_a_finished_one_is_not_continued(qtbot: QtBot, dialog: ExperimentDialog, tmp_path: Path) -> None:
    folder = ExperimentFolder(tmp_path / "mein versuch")
    settings = EXPERIMENTS["demo"]
    folder.define(settings)
    for key in ("zero-shot", *(cell.key for cell in settings.cells)):
        record(folder, key, 0.7)
    dialog.open_folder(folder.path)
    qtbot.waitUntil(lambda: dialog.view.results.figures is not None)
    assert not dialog.controls.start_button.isVisible()
    assert dialog.view.where.text() == "9 of 9 done."
    assert dialog.form.summary.text().startswith("Demo experiment")


def test_a_folder_without_an_experiment_is_said(dialog: ExperimentDialog, tmp_path: Path) -> None:
    dialog.open_folder(tmp_path)
    assert "is no experiment" in dialog.view.banner.message
    assert dialog.path is None


def test_failed_cells_and_failures_stand_in_the_banner(qtbot: QtBot, dialog: ExperimentDialog) -> None:
    job, handle = start(dialog, qtbot)
    begin(job)
    end(handle, "finished", ExperimentResult(job.path, "failed", "1 of 31 could not be done."))
    assert (dialog.view.banner.level, "1 of 31" in dialog.view.banner.message) == ("warning", True)
    assert dialog.controls.start_button.text() == "Continue"
    _, handle = start(dialog, qtbot)
    end(handle, "failed", ErrorInfo("The disk is full.", "Free some space."))
    assert dialog.view.banner.message == "The disk is full. Free some space."


def test_one_that_is_taken_out_of_the_queue_leaves_the_form(
    qtbot: QtBot, dialog: ExperimentDialog, workspace: Any
) -> None:
    job, handle = start(dialog, qtbot)
    assert ExperimentFolder(job.path).exists  # it outlives the program while it waits
    assert dialog.controls.stop_button.text() == "Take out"
    qtbot.mouseClick(dialog.controls.stop_button, LEFT)
    end(handle, "cancelled")
    assert dialog.path is None
    assert dialog.form.editor.isVisible()
    assert not job.path.exists()


@pytest.mark.parametrize("ending", ["csv", "md", "tex", "svg", "png", "pdf"])
def test_what_is_there_can_be_exported(
    qtbot: QtBot, dialog: ExperimentDialog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    folder = ExperimentFolder(tmp_path / "e")
    folder.define(EXPERIMENTS["demo"])
    record(folder, "zero-shot", 0.7)
    dialog.open_folder(folder.path)
    qtbot.waitUntil(lambda: dialog.view.results.figures is not None)
    target = tmp_path / "für den artikel"
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *args: (str(target), f"Something (*.{ending})")
    )
    qtbot.mouseClick(dialog.view.results.export_button, LEFT)
    written = target.with_suffix(f".{ending}")
    qtbot.waitUntil(lambda: dialog.view.banner.message == f"Saved {written}.")
    assert written.stat().st_size


def test_the_plot_is_drawn_in_both_themes(
    qtbot: QtBot, dialog: ExperimentDialog, tmp_path: Path, qapp: Any
) -> None:
    folder = ExperimentFolder(tmp_path / "e")
    folder.define(EXPERIMENTS["demo"])
    record(folder, "clip-lora-1-shots-seed-0", 0.7)
    dialog.open_folder(folder.path)
    qtbot.waitUntil(lambda: dialog.view.results.figures is not None)
    qtbot.mouseClick(dialog.view.results.view._buttons["plot"], LEFT)
    grounds = []
    for mode in ("light", "dark"):
        theme.apply(qapp, mode)  # type: ignore[arg-type]
        qtbot.wait(1)
        grounds.append(dialog.view.results.plot.grab().toImage().pixelColor(2, 2).lightness())
    assert grounds[0] > 200 > 80 > grounds[1]
    theme.apply(qapp, "light")


@pytest.mark.parametrize("kind", ["few-shot", "base-to-new"])
def test_the_table_fits_into_the_smallest_window(
    qtbot: QtBot, dialog: ExperimentDialog, tmp_path: Path, kind: str
) -> None:
    folder = ExperimentFolder(tmp_path / "e")
    values = {"kind": kind, "shots": [16], "seeds": [0, 1]}
    folder.define(EXPERIMENTS["demo"].with_values(values))
    keys = {"base": "Base classes", "new": "New classes"} if kind == "base-to-new" else {"test": "Test"}
    for seed in (0, 1):
        figures = {
            key: {"title": title, "n": 1000, "clean": 0.61 + 0.1 * seed, "robust": 0.2, "label": "PGD"}
            for key, title in keys.items()
        }
        record = {"state": "finished", "figures": figures}
        folder.write_record(f"advclip-lora-16-shots-seed-{seed}", record)
    dialog.resize(dialog.minimumSizeHint())
    dialog.open_folder(folder.path)
    table = dialog.view.results.table
    qtbot.waitUntil(lambda: table.rowCount() > 0)
    qtbot.waitUntil(lambda: table.columnWidth(1) >= table.sizeHintForColumn(1))
    assert table.isColumnHidden(0) is (kind == "few-shot")
    assert table.horizontalScrollBar().maximum() == 0
    assert any("±" in table.text_at(row, 5) for row in range(table.rowCount()))


def test_there_is_one_window(qtbot: QtBot, workspace: Any) -> None:
    page = QWidget()
    qtbot.addWidget(page)
    first = open_experiments(workspace, page)
    first.reject()
    assert open_experiments(workspace, page) is first


def test_the_job_hands_everything_to_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from advclip_gui.engine.experiments import run

    asked: dict[str, Any] = {}

    def record_call(settings: Any, **given: Any) -> str:
        asked.update(given, settings=settings)
        return "done"

    monkeypatch.setattr(run, "run_experiment", record_call)
    session, control = object(), Control()
    job = ExperimentJob(EXPERIMENTS["demo"], tmp_path)
    assert job.run(session, control) == "done"
    told = {"settings": job.settings, "session": session, "control": control, "path": tmp_path, "only": ()}
    assert asked == told


# --- words and numbers ------------------------------------------------------------------------


def test_words() -> None:
    settings = ExperimentSettings(shots=(1,), seeds=(0,), methods=("clip-lora",))
    assert amount_text(settings) == "1 training, 500 steps"
    assert waiting_text([], ready=True) == "Waiting for the device."
    assert progress_text(None, "running", "Checking images") == "Checking images …"
    told = ExperimentProgress(
        done=2, failed=1, total=9, title="X", phase="evaluating", step=5, total_steps=10
    )
    assert progress_text(told, "running") == "2 of 9 done, 1 failed. X: evaluating 5 of 10 images."
    assert progress_text(told, "stopping").endswith("Stopping …")
