"""Experiments: what is run, that nothing is done twice, and that all tables say the same."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from safetensors.torch import load_file

from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.datasets.drawing import draw_split, scan_data
from advclip_gui.engine.errors import (
    CheckpointError,
    DataError,
    SettingsError,
    StorageError,
    TrainingError,
)
from advclip_gui.engine.events import Event, StepDone
from advclip_gui.engine.experiments import measure, run
from advclip_gui.engine.experiments.definition import METHODS, ExperimentSettings, differences
from advclip_gui.engine.experiments.events import CellDone, ExperimentProgress
from advclip_gui.engine.experiments.figures import read_figures
from advclip_gui.engine.experiments.folder import ExperimentFolder, new_experiment_dir
from advclip_gui.engine.experiments.pace import Pace
from advclip_gui.engine.experiments.presets import EXPERIMENTS, cross_dataset
from advclip_gui.engine.experiments.run import run_experiment
from advclip_gui.engine.experiments.test_sets import find_test_sets
from advclip_gui.engine.experiments.watching import Evaluating, Watched
from advclip_gui.engine.runs import RunFolder
from advclip_gui.engine.session import Session
from advclip_gui.engine.training import RunResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from advclip_gui.settings import RunSettings


def make(base: RunSettings, **values: Any) -> ExperimentSettings:
    plain = base.model_dump(mode="json", exclude_none=True)
    given = {"shots": [1, 2], "seeds": [0, 1], "base": plain, "evaluation": {"images": 6, "steps": 2}}
    return ExperimentSettings.checked({**given, **values})


# --- the definition ---------------------------------------------------------------------------


def test_every_method_seed_and_number_of_shots_is_one_run(small_run: RunSettings) -> None:
    settings = make(small_run, shots=[4, 1, 4], seeds=[3, 5])
    keys = [cell.key for cell in settings.cells]
    assert settings.shots == (1, 4)
    assert len(keys) == len(set(keys)) == 2 * 2 * 2
    for cell in settings.cells:
        told = cell.settings
        assert (told.data.shots, told.data.seed, told.training.seed) == (cell.shots, cell.seed, cell.seed)
        assert told.method == METHODS[cell.method]
        assert told.monitor.final_images == 0
    plain, adversarial = (cell.settings for cell in settings.cells[:2])
    same = {"name": "", "adversary": small_run.adversary}
    assert plain.model_copy(update=same) == adversarial.model_copy(update=same)
    assert settings.total_steps == 8 * small_run.training.steps


def test_plain_clip_lora_has_nothing_adversarial(small_run: RunSettings) -> None:
    base = small_run.with_values({"training.trades_beta": 6.0, "training.clean_share": 1.0})
    cell = make(base, methods=["clip-lora"]).cells[0]
    assert cell.settings.training.trades_beta == 0
    assert cell.settings.training.clean_share == 0
    assert cell.settings.adversary.inner_steps == 0


def test_a_split_seed_fixes_the_sample(small_run: RunSettings) -> None:
    cells = make(small_run, split_seed=7).cells
    assert {cell.settings.data.seed for cell in cells} == {7}
    assert {cell.settings.training.seed for cell in cells} == {0, 1}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"shots": [0]}, "shots are from 1"),
        ({"seeds": []}, "seeds"),
        ({"kind": "cross-dataset"}, "needs targets"),
        ({"targets": ["x"]}, "belong to cross-dataset"),
        ({"methods": ["best"]}, "zero-shot"),
        ({"shots": list(range(1, 101)), "seeds": list(range(10))}, "more than 1000"),
        ({"evaluation": {"epsilon": "300/255"}}, "whole range"),
        ({"shot": [1]}, "no setting 'shot'"),
    ],
)
def test_what_does_not_fit_is_said(small_run: RunSettings, values: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        make(small_run, **values)


def test_a_recipe_that_an_experiment_cannot_take_is_refused(small_run: RunSettings) -> None:
    with pytest.raises(SettingsError, match="inner_steps is 0"):
        make(small_run.with_values({"adversary.inner_steps": 0}))
    with pytest.raises(SettingsError, match="split_file"):
        make(small_run.with_values({"data.split_file": "list.csv"}))
    with pytest.raises(SettingsError, match="divides the classes itself"):
        make(small_run.with_values({"data.classes": "new"}), kind="base-to-new")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_presets_survive_a_file(name: str) -> None:
    assert ExperimentSettings.from_toml(EXPERIMENTS[name].to_toml()) == EXPERIMENTS[name]


def test_the_paper_is_five_shots_three_seeds_and_two_trainings_each() -> None:
    cells = EXPERIMENTS["paper-few-shot"].cells
    assert len(cells) == 5 * 3 * 2
    assert {cell.settings.total_steps for cell in cells} == {500, 1000, 2000, 4000, 8000}


def test_cross_dataset_needs_its_folders() -> None:
    assert cross_dataset(("a", "b")).targets == ("a", "b")
    with pytest.raises(SettingsError, match="targets"):
        cross_dataset(())


def test_the_difference_between_definitions_is_named(small_run: RunSettings) -> None:
    old = make(small_run)
    new = old.with_values({"shots": [1, 8], "base.lora.rank": "4", "name": "Other"})
    assert differences(old, new) == ["shots: 1, 2 before, 1, 8 now", "base.lora.rank: 2 before, 4 now"]
    assert differences(old, old.with_values({"name": "Other"})) == []


# --- the folder -------------------------------------------------------------------------------


def test_another_definition_in_the_same_folder_is_refused(small_run: RunSettings, tmp_path: Path) -> None:
    folder = ExperimentFolder(tmp_path / "one")
    settings = make(small_run)
    folder.define(settings)
    folder.define(settings)
    with pytest.raises(SettingsError, match="seeds: 0, 1 before, 0, 2 now"):
        folder.define(settings.with_values({"seeds": [0, 2]}))
    assert folder.settings() == settings


def test_a_folder_with_other_things_is_left_alone(small_run: RunSettings, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="not empty"):
        ExperimentFolder(tmp_path).define(make(small_run))
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_two_processes_never_work_on_one_experiment(small_run: RunSettings, tmp_path: Path) -> None:
    import psutil

    folder = ExperimentFolder(tmp_path / "one")
    folder.define(make(small_run))
    folder.set_state("running")
    record = json.loads((folder.path / "state.json").read_text())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        began = psutil.Process(other.pid).create_time()
        (folder.path / "state.json").write_text(
            json.dumps({**record, "pid": other.pid, "process_started": began})
        )
        assert folder.state() == "running"
        with pytest.raises(CheckpointError, match="another process"):
            folder.check_free()
        other.kill()
        # Killed, but not yet asked for by this process, its parent: it is listed still.
        while psutil.pid_exists(other.pid) and psutil.Process(other.pid).status() != psutil.STATUS_ZOMBIE:
            pass
        assert folder.state() == "interrupted"
        folder.check_free()


def test_new_folders_never_collide(small_run: RunSettings, tmp_path: Path) -> None:
    settings = make(small_run, name="Mein / Versuch")
    first = new_experiment_dir(settings, tmp_path)
    first.mkdir()
    second = new_experiment_dir(settings, tmp_path)
    assert first != second
    assert first.name.endswith("mein-versuch")


# --- what is tested on ------------------------------------------------------------------------


@pytest.fixture
def without_test_part(tmp_path: Path) -> Path:
    root = tmp_path / "all in one"
    for number, name in enumerate(("ant", "bee", "cat", "dog", "elk")):
        (root / name).mkdir(parents=True)
        for shade in range(12):
            Image.new("RGB", (20, 20), (20 * shade, 50 * number, 9)).save(root / name / f"{shade}.png")
    return root


def test_no_cell_trains_on_what_any_model_is_tested_on(
    small_run: RunSettings, without_test_part: Path
) -> None:
    base = small_run.with_values({"data.folder": str(without_test_part), "data.val_shots": 1})
    settings = make(base, evaluation={"images": 0})
    (test,) = find_test_sets(settings, Control())
    tested = {sample.path for sample in test.samples}
    used = set()
    for cell in settings.cells:
        split = draw_split(scan_data(cell.settings.data, Control()), cell.settings.data)
        used.update(sample.path for sample in (*split.train, *split.val))
    assert tested
    assert tested.isdisjoint(used)
    assert len(tested) + len(used) == 60


def test_seeds_that_use_every_image_up_are_refused(small_run: RunSettings, without_test_part: Path) -> None:
    base = small_run.with_values({"data.folder": str(without_test_part), "data.val_shots": 4})
    with pytest.raises(DataError, match="one seed or another"):
        find_test_sets(make(base, shots=[8], seeds=[0, 1]), Control())


def test_new_classes_are_the_second_half_and_tested_whole(
    small_run: RunSettings, without_test_part: Path
) -> None:
    base = small_run.with_values({"data.folder": str(without_test_part), "data.val_shots": 1})
    settings = make(base, kind="base-to-new", evaluation={"images": 0})
    known, new = find_test_sets(settings, Control())
    assert known.class_names == ("ant", "bee", "cat")
    assert new.class_names == ("dog", "elk")
    assert len(new.samples) == 24
    assert {sample.label for sample in new.samples} == {0, 1}
    assert {cell.settings.data.classes for cell in settings.cells} == {"base"}


def test_every_folder_of_cross_dataset_has_a_name_of_its_own(
    small_run: RunSettings, without_test_part: Path, small_folder: Path
) -> None:
    targets = [str(without_test_part), str(without_test_part)]
    settings = make(small_run, kind="cross-dataset", targets=targets, evaluation={"images": 7})
    found = find_test_sets(settings, Control())
    assert [one.title for one in found] == [small_folder.name, "all in one", "all in one (2)"]
    assert [len(one.samples) for one in found] == [7, 7, 7]
    assert len({one.key for one in found}) == 3


# --- running ----------------------------------------------------------------------------------


class Workshop:
    """Stands in for training and measuring, and writes down what was asked of both."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trained: list[str] = []
        self.resumed: list[str] = []
        self.measured: list[str] = []
        self.before: Callable[[str], None] = lambda key: None
        monkeypatch.setattr(run, "train", self.train)
        monkeypatch.setattr(measure.Yardstick, "measure", self.measure)

    def train(
        self, settings: RunSettings, *, control: Control, run_dir: Path, resume: bool, on_live: Any
    ) -> RunResult:
        folder = RunFolder(run_dir)
        folder.set_state("running")
        folder.start(settings, device="cpu", split={})
        (self.resumed if resume else self.trained).append(run_dir.name)
        self.before(run_dir.name)
        control.between_steps()
        state = "stopped" if control.stop_requested else "finished"
        if state == "finished":
            (folder.adapter_dir).mkdir(exist_ok=True)
            (folder.adapter_dir / "adapter_model.safetensors").write_bytes(b"")
        folder.set_state(state)  # type: ignore[arg-type]
        return RunResult(run_dir, state, 1, {})

    def measure(self, key: str, ref: Any, control: Control) -> dict[str, Any]:
        self.measured.append(key)
        self.before(f"measure {key}")
        clean = 0.5 + 0.01 * len(self.measured)
        one = {"title": "Test", "n": 6, "clean": clean, "robust": 0.25, "label": "PGD", "warnings": []}
        return {"figures": {"test": one}, "evaluation_seconds": 1.0}


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    return Workshop(monkeypatch)


@pytest.fixture
def session() -> Any:
    class Empty:
        def set_live(self, live: object) -> None:
            pass

    return Empty()


def test_zero_shot_is_measured_once_and_every_cell_once(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path
) -> None:
    settings, events = make(small_run), []
    result = run_experiment(settings, session=session, control=Control(events.append), path=tmp_path / "e")
    assert result.state == ExperimentFolder(tmp_path / "e").state() == "finished"
    assert workshop.measured.count("zero-shot") == 1
    assert workshop.trained == [cell.key for cell in settings.cells]
    done = [event for event in events if isinstance(event, CellDone)]
    assert len(done) == 9
    last = [event for event in events if isinstance(event, ExperimentProgress)][-1]
    assert (last.done, last.total, last.share) == (9, 9, 1.0)
    again = run_experiment(settings, session=session, control=Control(), path=tmp_path / "e")
    assert again.state == "finished"
    assert len(workshop.measured) == 9


def test_without_zero_shot_there_is_none(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path
) -> None:
    settings = make(small_run, methods=["clip-lora"], shots=[1], seeds=[0])
    run_experiment(settings, session=session, control=Control(), path=tmp_path / "e")
    assert workshop.measured == ["clip-lora-1-shots-seed-0"]


def test_a_failed_cell_says_why_and_is_tried_again(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path
) -> None:
    settings = make(small_run)
    bad = settings.cells[2].key

    def fail(key: str) -> None:
        if key == bad:
            raise TrainingError("The loss is not a number.", "Lower the rate.")

    workshop.before = fail
    result = run_experiment(settings, session=session, control=Control(), path=tmp_path / "e")
    folder = ExperimentFolder(tmp_path / "e")
    assert result.state == folder.state() == "failed"
    assert "1 of 9" in result.message
    assert folder.record(bad)["message"] == "The loss is not a number. Lower the rate."
    figures = read_figures(folder)
    assert (figures.done, figures.total) == (8, 9)
    assert list(figures.failed.values()) == ["The loss is not a number. Lower the rate."]
    workshop.before = lambda key: None
    workshop.trained.clear()
    result = run_experiment(settings, session=session, control=Control(), path=tmp_path / "e")
    assert result.state == "finished"
    assert workshop.trained == []
    assert workshop.resumed == [bad]


@pytest.mark.parametrize("where", ["clip-lora-2-shots-seed-0", "measure clip-lora-2-shots-seed-0"])
def test_cancelling_keeps_what_is_done(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path, where: str
) -> None:
    settings, control = make(small_run), Control()

    def cancel(key: str) -> None:
        if key == where:
            raise Cancelled

    workshop.before = cancel
    with pytest.raises(Cancelled):
        run_experiment(settings, session=session, control=control, path=tmp_path / "e")
    folder = ExperimentFolder(tmp_path / "e")
    assert folder.state() == "cancelled"
    assert read_figures(folder).done == 3
    workshop.before = lambda key: None
    before = len(workshop.trained)
    run_experiment(settings, session=session, control=Control(), path=tmp_path / "e")
    # What was trained already is only measured; what was cut off is taken up.
    assert workshop.resumed == ([] if where.startswith("measure") else ["clip-lora-2-shots-seed-0"])
    assert len(workshop.trained) == len(settings.cells)
    assert before == 3
    assert folder.state() == "finished"


def test_a_stop_ends_it_without_counting_the_cell(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path
) -> None:
    settings, control = make(small_run), Control()
    workshop.before = lambda key: control.stop() if key.startswith("advclip-lora-1") else None
    result = run_experiment(settings, session=session, control=control, path=tmp_path / "e")
    assert result.state == "stopped"
    assert not ExperimentFolder(tmp_path / "e").is_done("advclip-lora-1-shots-seed-0")
    workshop.before = lambda key: None
    run_experiment(settings, session=session, control=Control(), path=tmp_path / "e")
    assert workshop.resumed == ["advclip-lora-1-shots-seed-0"]


def test_other_test_images_than_at_the_beginning_are_refused(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path, without_test_part: Path
) -> None:
    base = small_run.with_values({"data.folder": str(without_test_part), "data.val_shots": 1})
    settings = make(base, evaluation={"images": 0})
    workshop.before = lambda key: (_ for _ in ()).throw(Cancelled) if key.startswith("measure adv") else None
    with pytest.raises(Cancelled):
        run_experiment(settings, session=session, control=Control(), path=tmp_path / "e")
    Image.new("RGB", (20, 20)).save(without_test_part / "ant" / "new.png")
    with pytest.raises(DataError, match="not those the experiment was begun with"):
        run_experiment(settings, session=session, control=Control(), path=tmp_path / "e")


def test_a_full_disk_ends_it(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: ExperimentFolder, key: str, record: dict[str, Any]) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(ExperimentFolder, "write_record", full)
    with pytest.raises(StorageError):
        run_experiment(make(small_run), session=session, control=Control(), path=tmp_path / "e")
    assert ExperimentFolder(tmp_path / "e").state() == "failed"


def test_a_run_cut_off_at_any_step_ends_in_the_same_figures(small_run: RunSettings, tmp_path: Path) -> None:
    """A real one, twice: whole, and cancelled in the middle of its training and taken up again."""
    settings = make(small_run, shots=[2], seeds=[1], methods=["zero-shot", "advclip-lora"])
    whole = run_experiment(settings, session=Session("cpu"), control=Control(), path=tmp_path / "whole")
    assert whole.state == "finished"

    control = Control()

    def cut(event: Event) -> None:
        if isinstance(event, ExperimentProgress) and event.phase == "training" and event.step >= 1:
            control.cancel()

    control._report = cut
    with pytest.raises(Cancelled):
        run_experiment(settings, session=Session("cpu"), control=control, path=tmp_path / "cut")
    key = settings.cells[0].key
    halfway = ExperimentFolder(tmp_path / "cut")
    assert RunFolder(halfway.run_dir(key)).has_checkpoint
    assert not halfway.is_done(key)
    assert halfway.is_done("zero-shot")
    run_experiment(settings, session=Session("cpu"), control=Control(), path=tmp_path / "cut")

    adapters = [
        load_file(tmp_path / name / "cells" / key / "adapter" / "adapter_model.safetensors")
        for name in ("whole", "cut")
    ]
    assert all((adapters[0][name] == adapters[1][name]).all() for name in adapters[0])
    tables = [read_figures(ExperimentFolder(tmp_path / name)).rows for name in ("whole", "cut")]
    assert tables[0] == tables[1]
    assert {row.n for row in tables[0]} == {6}
    assert all((tmp_path / "cut" / f"table{suffix}").is_file() for suffix in (".csv", ".md", ".tex"))
    assert not list((tmp_path / "cut" / "journals").glob("*"))


# --- views of the control ---------------------------------------------------------------------


def test_an_evaluation_serves_probes_with_autograd_as_usual() -> None:
    import torch

    seen = []
    outer = Control(serve=lambda: seen.append((torch.is_grad_enabled(), torch.is_inference_mode_enabled())))
    with torch.inference_mode():
        Evaluating(outer, lambda event: None).check()
    assert seen == [(True, False)]


def test_a_view_is_stopped_and_cancelled_with_what_it_looks_at() -> None:
    heard: list[Event] = []
    outer = Control()
    view = Watched(outer, heard.append)
    view.progress("Work", 1, 2)
    assert len(heard) == 1
    outer.pause()
    assert view.paused
    outer.stop()
    assert view.stop_requested
    outer.cancel()
    with pytest.raises(Cancelled):
        view.interruptible().check()


def test_the_pace_of_one_method_tells_of_the_other(small_run: RunSettings) -> None:
    settings = make(small_run.with_values({"adversary.inner_steps": 2}))
    plain, adversarial = settings.cells[:2]
    pace = Pace()
    assert pace.seconds_left([(plain, 10)], 1) is None
    pace.trained(plain, 10, 5.0)
    assert pace.seconds_left([(plain, 10)], 0) == pytest.approx(5.0)
    assert pace.seconds_left([(adversarial, 10)], 0) == pytest.approx(15.0)
    pace.trained(adversarial, 10, 20.0)
    pace.evaluated(3.0)
    assert pace.seconds_left([(plain, 2), (adversarial, 5)], 2) == pytest.approx(1.0 + 10.0 + 6.0)


def test_the_time_left_comes_from_the_steps(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from advclip_gui.engine.events import TrainingStarted

    clock = [0.0]
    monkeypatch.setattr(run.time, "perf_counter", lambda: clock[0])
    original = workshop.train

    def train(settings: RunSettings, *, control: Control, **others: Any) -> RunResult:
        facts: dict[str, Any] = {"run_dir": "", "trainable_parameters": 1, "device": "", "protocol": ""}
        control.report(TrainingStarted(**facts, total_steps=6, first_step=0, class_names=(), epsilon=0.0))
        clock[0] += 3.0
        losses = dict.fromkeys(
            ("adversarial_loss", "clean_loss", "inner_gain", "delta_norm", "gradient_norm", "learning_rate"),
            0.0,
        )
        rates = {"flipped_share": 0.0, "steps_per_second": 1.0, "seconds_left": 3.0}
        control.report(StepDone(step=3, total_steps=6, **losses, **rates))
        return original(settings, control=control, **others)

    monkeypatch.setattr(run, "train", train)
    events: list[Event] = []
    settings = make(small_run, shots=[1], methods=["clip-lora"])
    run_experiment(settings, session=session, control=Control(events.append), path=tmp_path / "e")
    halfway = next(one for one in events if isinstance(one, ExperimentProgress) and one.step == 3)
    # 3 steps left of this one and 6 of the next, a second each; nothing has been measured yet.
    assert halfway.seconds_left == pytest.approx(9.0)
    assert halfway.share == pytest.approx(3 / 12)
