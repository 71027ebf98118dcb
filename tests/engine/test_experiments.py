"""Experiments: what they are made of, their folder, and which images they are tested on."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from advclip_gui.engine.control import Control
from advclip_gui.engine.datasets.drawing import draw_split, scan_data
from advclip_gui.engine.datasets.folder import scan
from advclip_gui.engine.errors import CheckpointError, DataError, SettingsError
from advclip_gui.engine.experiments import test_sets
from advclip_gui.engine.experiments.definition import METHODS, ExperimentSettings, differences
from advclip_gui.engine.experiments.folder import ExperimentFolder, new_experiment_dir
from advclip_gui.engine.experiments.presets import EXPERIMENTS, cross_dataset
from advclip_gui.engine.experiments.test_sets import find_test_sets
from advclip_gui.engine.experiments.unfinished import unfinished
from tests.engine.experiment_workshop import make

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.settings import RunSettings


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
    paper = EXPERIMENTS["paper-few-shot"]
    assert paper.methods == ("zero-shot", "clip-lora", "advclip-lora")
    # Every test image, under attacks that can be reported.
    assert (paper.evaluation.attack, paper.evaluation.images, paper.evaluation.steps) == ("standard", 0, 0)
    assert (paper.base.lora.rank, paper.base.lora.alpha, paper.base.lora.dropout) == (2, 1.0, 0.25)
    assert (paper.base.training.batch_size, paper.base.training.learning_rate) == (32, 2e-4)
    cells = paper.cells
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


@pytest.mark.parametrize("kind", ["few-shot", "base-to-new"])
def test_too_few_images_for_the_shots_are_refused_with_the_class(
    small_run: RunSettings, without_test_part: Path, kind: str
) -> None:
    for shade in range(10):
        (without_test_part / "bee" / f"{shade}.png").unlink()
    base = small_run.with_values({"data.folder": str(without_test_part), "data.val_shots": 0})
    with pytest.raises(DataError, match=r"The class 'bee' \(2\) has fewer training images than the 3 shots"):
        find_test_sets(make(base, shots=[1, 3], kind=kind), Control())


def test_data_that_was_scanned_is_not_scanned_again(
    small_run: RunSettings, small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = scan(str(small_folder), control=Control())
    expected = find_test_sets(make(small_run), Control())
    monkeypatch.setattr(test_sets, "scan", lambda *args, **more: pytest.fail("scanned again"))
    assert find_test_sets(make(small_run), Control(), known=known) == expected


# --- what can go on ---------------------------------------------------------------------------


def test_what_was_cut_off_is_found(small_run: RunSettings, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    settings = make(small_run, name="Mine")
    states = ("interrupted", "cancelled", "stopped", "failed", "finished", "running")
    for number, state in enumerate(states):
        folder = ExperimentFolder(root / "experiments" / f"{number}-{state}")
        folder.define(settings)
        folder.set_state("running" if state == "interrupted" else state)  # type: ignore[arg-type]
        if state == "interrupted":
            # The power went in the middle of a write.
            (folder.path / "state.json").write_text('{"state": "runn')
    ExperimentFolder(root / "experiments" / "7-new").define(settings)
    (root / "experiments" / "8-other").mkdir()
    found = unfinished(root)
    assert [(one.path.name, one.name, one.done, one.total) for one in found] == [
        ("1-cancelled", "Mine", 0, 9),
        ("0-interrupted", "Mine", 0, 9),
    ]
    assert unfinished(tmp_path / "nothing here") == ()


def test_a_definition_is_withdrawn_while_nothing_was_run(small_run: RunSettings, tmp_path: Path) -> None:
    folder = ExperimentFolder(tmp_path / "one")
    folder.define(make(small_run))
    folder.withdraw()
    assert not folder.path.exists()
    folder.define(make(small_run))
    folder.set_state("stopped")
    folder.withdraw()
    assert folder.exists
