"""`advclip-gui experiment`: definitions, refusals, status and tables; training itself is stood in for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from advclip_gui.commands.experiment import ExperimentWatcher, cell_line
from advclip_gui.engine.experiments import measure, run
from advclip_gui.engine.experiments.definition import ExperimentSettings
from advclip_gui.engine.experiments.events import CellDone, ExperimentProgress
from advclip_gui.engine.experiments.folder import ExperimentFolder, experiments_root
from advclip_gui.engine.runs import RunFolder
from advclip_gui.engine.training import RunResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TINY = ("--preset", "demo", "--shots", "1,2", "--seeds", "0", "--set", "base.device=cpu")


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Training and measuring take no time, and write down what was asked of them."""
    asked: list[str] = []

    def train(settings: Any, *, run_dir: Path, **others: Any) -> RunResult:
        asked.append(run_dir.name)
        RunFolder(run_dir).set_state("finished")
        return RunResult(run_dir, "finished", 1, {})

    def figures(self: Any, key: str, ref: Any, control: Any) -> dict[str, Any]:
        one = {"title": "Test", "n": 6, "clean": 0.5, "robust": 0.25, "label": "PGD", "warnings": []}
        return {"figures": {"test": one}, "evaluation_seconds": 1.0}

    monkeypatch.setattr(run, "train", train)
    monkeypatch.setattr(measure.Yardstick, "measure", figures)
    return asked


def test_a_run_ends_in_a_table_and_is_not_done_again(
    program: Callable[..., Any], tmp_path: Path, stand_in: list[str]
) -> None:
    out, told = tmp_path / "ein versuch", tmp_path / "told.json"
    done = program("experiment", "run", out, *TINY, "--json", told)
    assert done.status == 0, done.err
    assert len(stand_in) == 4
    assert "[5 of 5 done" in done.err
    assert sum("50.00" in line for line in done.out.splitlines()) == 5
    assert done.out.replace(str(out), "").isascii()
    result = json.loads(told.read_text(encoding="utf-8"))
    assert result["state"] == "finished"
    assert len(result["rows"]) == 5
    assert {"table.csv", "table.md", "table.tex", "plot.svg", "plot.png", "plot.pdf"} <= {
        p.name for p in out.iterdir()
    }
    again = program("experiment", "run", out)
    assert again.status == 0
    assert len(stand_in) == 4


def test_without_a_folder_it_goes_to_the_usual_place(program: Callable[..., Any]) -> None:
    assert program("experiment", "run", *TINY, "--methods", "zero-shot").status == 0
    (made,) = experiments_root().iterdir()
    assert program("experiment", "status", made.name).status == 0


def test_another_definition_is_refused_with_the_difference(
    program: Callable[..., Any], tmp_path: Path
) -> None:
    program("experiment", "new", tmp_path / "e", *TINY)
    refused = program("experiment", "run", tmp_path / "e", *TINY, "--seeds", "0,1")
    assert refused.status == 1
    assert "seeds: 0 before, 0, 1 now" in refused.err


def test_new_writes_what_run_takes(program: Callable[..., Any], tmp_path: Path, stand_in: list[str]) -> None:
    made = program("experiment", "new", tmp_path / "e", *TINY, "--set", "evaluation.images=7")
    assert "4 trainings" in made.out
    assert stand_in == []
    assert ExperimentFolder(tmp_path / "e").settings().evaluation.images == 7
    status = program("experiment", "status", tmp_path / "e")
    assert "not begun, 0 of 5 done" in status.out
    copy = tmp_path / "f"
    config = tmp_path / "e" / "experiment.toml"
    assert program("experiment", "run", copy, "--config", config, "--shots", "1").status == 0
    assert ExperimentFolder(copy).settings().shots == (1,)


def test_a_table_can_be_had_at_any_time(program: Callable[..., Any], tmp_path: Path) -> None:
    program("experiment", "new", tmp_path / "e", *TINY)
    files = [tmp_path / f"t{suffix}" for suffix in (".tex", ".svg")]
    shown = program("experiment", "table", tmp_path / "e", "--save", files[0], "--save", files[1])
    assert shown.status == 0
    assert "0 of 1" in shown.out
    assert all(path.stat().st_size for path in files)
    assert program("experiment", "table", tmp_path / "e", "--save", tmp_path / "t.doc").status == 2


def test_a_failure_is_an_exit_status_and_a_sentence(
    program: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(settings: Any, **others: Any) -> RunResult:
        raise MemoryError("no room")

    monkeypatch.setattr(run, "train", fail)
    done = program("experiment", "run", tmp_path / "e", *TINY)
    assert done.status == 1
    assert "4 of 5 could not be done" in done.err
    status = program("experiment", "status", tmp_path / "e")
    assert "failed, 1 of 5 done" in status.out
    assert status.out.count("MemoryError: no room") == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run",), "the folder of one that was begun"),
        (("run", "--recipe", "best"), "there is no recipe 'best'"),
        (("run", "--recipe", "plain"), "inner_steps is 0"),
        (("run", "--preset", "nothing"), "there is no experiment 'nothing'"),
        (("run", "--preset", "demo", "--shots", "one"), "whole numbers"),
        (("run", "--preset", "demo", "--methods", "best"), "zero-shot"),
        (("run", "--preset", "demo", "--set", "base.lora.rank"), "key=value"),
        (("run", "--preset", "demo", "--set", "base.lora.rang=2"), "rang"),
        (("run", "--preset", "cross-dataset"), "targets"),
        (("run", "--preset", "demo", "--config", "x.toml"), "not both"),
        (("run", "--seeds", "1"), "goes on as it was begun"),
    ],
)
def test_wrong_usage(program: Callable[..., Any], arguments: tuple[str, ...], words: str) -> None:
    outcome = program("experiment", *arguments)
    assert outcome.status == 2
    # Usage errors are wrapped to the width of the terminal.
    assert words.replace(" ", "") in outcome.err.replace("\n", "").replace(" ", "").replace("│", "")


def test_a_folder_without_an_experiment_is_named(program: Callable[..., Any], tmp_path: Path) -> None:
    assert "no experiment in" in program("experiment", "status", tmp_path).sentence


def test_progress_tells_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    watcher = ExperimentWatcher(interactive=False)
    figures = (("Test", 9, 0.5, 0.25),)
    watcher.control.report(ExperimentProgress(done=2, failed=0, total=9, title="x", phase="training"))
    watcher.control.report(
        CellDone(
            key="k", title="Cell", state="finished", figures=figures, ended=3, total=9, seconds_left=150.0
        )
    )
    assert capsys.readouterr().err == (
        "Cell: Test clean 50.0 %, robust 25.0 % (n = 9)  [3 of 9 done, about 3 min left]\n"
    )
    failed = CellDone(key="k", title="Cell", state="failed", message="No room.")
    assert cell_line(failed) == "Cell: failed. No room."


def test_cross_dataset_takes_its_folders(program: Callable[..., Any], tmp_path: Path) -> None:
    made = program(
        "experiment", "new", tmp_path / "e", "--preset", "cross-dataset", "--target", "a", "--target", "b"
    )
    assert made.status == 0
    settings = ExperimentSettings.from_file(tmp_path / "e" / "experiment.toml")
    assert (settings.kind, settings.targets) == ("cross-dataset", ("a", "b"))


def test_one_command_is_the_papers_experiment_on_a_folder(
    program: Callable[..., Any], tmp_path: Path, photos: Path
) -> None:
    """Nothing is written first, and nothing but the folder is said."""
    made = program("experiment", "new", tmp_path / "e", "--data", photos)
    assert "30 trainings, 93,000 steps" in made.out
    settings = ExperimentSettings.from_file(tmp_path / "e" / "experiment.toml")
    assert (settings.kind, settings.shots, settings.seeds) == ("few-shot", (1, 2, 4, 8, 16), (1, 2, 3))
    assert settings.methods == ("zero-shot", "clip-lora", "advclip-lora")
    assert (settings.base.data.folder, settings.base.protocol) == (str(photos), "sound")
    assert (settings.base.backbone.name, settings.base.lora.rank) == ("ViT-B-32", 2)
    program("experiment", "new", tmp_path / "f", "--data", photos, "--recipe", "released", "--target", "x")
    other = ExperimentSettings.from_file(tmp_path / "f" / "experiment.toml")
    assert (other.kind, other.targets, other.shots) == ("cross-dataset", ("x",), (16,))
    assert (other.base.protocol, other.base.data.folder) == ("released", str(photos))
    program("experiment", "new", tmp_path / "g", "--data", photos, "--recipe", "demo", "--shots", "3,1,32")
    own = ExperimentSettings.from_file(tmp_path / "g" / "experiment.toml")
    assert (own.shots, own.base.data.folder) == ((1, 3, 32), str(photos))
    assert own.evaluation.epsilon == own.base.monitor.epsilon


def test_the_amount_is_said_first(program: Callable[..., Any], tmp_path: Path) -> None:
    begun = program("experiment", "run", tmp_path / "e", *TINY)
    assert "4 trainings, 80 steps, about" in begun.err or "4 trainings, 80 steps, up to" in begun.err
    assert "trainings" not in program("experiment", "run", tmp_path / "e").err


def test_what_the_data_cannot_give_is_refused_before_anything(
    program: Callable[..., Any], tmp_path: Path, photos: Path, stand_in: list[str]
) -> None:
    refused = program("experiment", "run", tmp_path / "e", *TINY, "--data", photos, "--shots", "1,5")
    assert refused.status == 1
    assert "'black_cat' (4), 'dog' (4) have fewer training images than the 5 shots" in refused.err
    assert "Lower the shots to 4" in refused.err
    assert stand_in == []
    assert not (tmp_path / "e").exists()


def test_a_failed_part_is_named_and_run_again_alone(
    program: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: list[str]
) -> None:
    worked = run.train

    def fail(settings: Any, *, run_dir: Path, **others: Any) -> RunResult:
        if run_dir.name.startswith("clip"):
            raise MemoryError("no room")
        return worked(settings, run_dir=run_dir, **others)

    monkeypatch.setattr(run, "train", fail)
    out = tmp_path / "e"
    done = program("experiment", "run", out, *TINY)
    assert "2 of 5 could not be done; the first, CLIP-LoRA, 1 shot, seed 0: MemoryError" in done.err
    monkeypatch.setattr(run, "train", worked)
    key = "clip-lora-2-shots-seed-0"
    status = program("experiment", "status", out)
    assert f"advclip-gui experiment run '{out}' --only {key}" in status.out
    stand_in.clear()
    assert program("experiment", "run", out, "--only", key).status == 1
    assert stand_in == [key]
    status = program("experiment", "status", out)
    assert "4 of 5 done" in status.out
    assert key not in status.out
    wrong = program("experiment", "run", out, "--only", "clip")
    assert "The experiment has no cell 'clip'. A cell is called clip-lora-1-shots-seed-0" in wrong.err
