"""`advclip-gui runs`, through the program itself."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from advclip_gui.engine.experiments.definition import ExperimentSettings
from advclip_gui.engine.experiments.folder import ExperimentFolder, experiments_root
from advclip_gui.engine.runs import RunFolder
from advclip_gui.settings import RunSettings
from tests.cli.strict_json import read as read_json

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    for name, shots, state in (("One", 4, "finished"), ("Two", 8, "failed")):
        run = RunFolder(folder / name.lower())
        settings = RunSettings(name=name).with_values({"data.shots": shots})
        run.start(settings, device="CPU", split={})
        run.set_state(state, "The loss was not finite." if state == "failed" else "")
        if state == "finished":
            entry = {
                "n": 10,
                "clean_accuracy": 0.5,
                "clean_interval": [0.2, 0.8],
                "robust_accuracy": 0.25,
                "robust_interval": [0.1, 0.5],
            }
            run.write_result({"adapter": entry})
    return folder


def rows(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines()]


def test_parts_of_experiments_are_listed_when_asked_for_and_shown_by_their_place(
    program: Any, root: Path, tmp_path: Path
) -> None:
    experiment = ExperimentFolder(experiments_root(root) / "pets")
    experiment.define(ExperimentSettings(name="Pets"))
    cell = RunFolder(experiment.run_dir("a"))
    cell.start(RunSettings(name="AdvCLIP-LoRA, 4 shots"), device="CPU", split={})
    cell.set_state("finished")
    assert "pets" not in program("runs", "list", "--root", root).out
    done = program("runs", "list", "--experiments", "--root", root, "--json", tmp_path / "list.json")
    (told,) = [run for run in read_json(tmp_path / "list.json")["runs"] if run["part_of"]]
    assert (told["folder"], told["part_of"]) == ("experiments/pets/cells/a", "Pets")
    assert told["folder"] in done.out
    assert "4 shots" in program("runs", "show", told["folder"], "--root", root).out


def test_a_run_is_found_by_how_its_name_begins(program: Any, root: Path) -> None:
    assert "4" in program("runs", "show", "on", "--root", root).out
    RunFolder(root / "one").rename("Two more")
    refused = program("runs", "show", "tw", "--root", root)
    assert refused.status == 1
    assert "2 runs begin with 'tw'" in refused.err


def test_list_filters_and_writes_json(program: Any, root: Path, tmp_path: Path) -> None:
    done = program("runs", "list", "--root", root, "--json", tmp_path / "list.json")
    assert done.status == 0
    assert [row[0] for row in rows(done.out)] == ["folder", "two", "one"]
    told = read_json(tmp_path / "list.json")
    assert [(run["folder"], run["state"], run["clean"]) for run in told["runs"]] == [
        ("two", "failed", None),
        ("one", "finished", 0.5),
    ]
    assert [row[0] for row in rows(program("runs", "list", "4 shots", "--root", root).out)][1:] == ["one"]
    only = program("runs", "list", "--state", "failed", "--root", root)
    assert [row[0] for row in rows(only.out)][1:] == ["two"]
    assert "1 more" in program("runs", "list", "--limit", 1, "--root", root).out
    assert program("runs", "list", "nothing", "--root", root).out == "No run fits.\n"
    assert program("runs", "list", "--root", tmp_path / "none").out == "There are no runs yet.\n"
    assert program("runs", "list", "--state", "happy", "--root", root).status == 2


def test_show_tells_all_of_a_run(program: Any, root: Path, tmp_path: Path) -> None:
    RunFolder(root / "one").set_note("Worth another look")
    done = program("runs", "show", "One", "--root", root, "--json", tmp_path / "one.json")
    for part in ("Finished", "clean 50.0 % (20.0 to 80.0)", "Note: Worth another look", "Data · Shots"):
        assert part in done.out
    assert read_json(tmp_path / "one.json")["settings"]["data"]["shots"] == 4
    assert "Failed: The loss was not finite." in program("runs", "show", "two", "--root", root).out
    assert program("runs", "show", "three", "--root", root).sentence.startswith("There is no run 'three'.")


def test_diff_shows_only_what_differs(program: Any, root: Path, tmp_path: Path) -> None:
    done = program("runs", "diff", "one", "two", "--root", root, "--json", tmp_path / "diff.json")
    assert [row[0] for row in rows(done.out)] == ["One", "Clean", "Robust", "Data"]
    assert read_json(tmp_path / "diff.json")["differences"] == [
        {"title": "Data · Shots", "values": ["4", "8"]}
    ]
    assert "settings are the same" in program("runs", "diff", "one", "one", "--root", root).out
    assert program("runs", "diff", "one", "--root", root).status == 2


def test_rename_and_note(program: Any, root: Path) -> None:
    assert program("runs", "rename", "one", "4 shots", "--root", root).out == "'One' is now '4 shots'.\n"
    assert RunFolder(root / "one").settings().name == "4 shots"
    assert program("runs", "note", "one", "--root", root).out == "There is no note.\n"
    program("runs", "note", "one", "Keep this", "--root", root)
    assert program("runs", "note", "one", "--root", root).out == "Keep this\n"
    program("runs", "note", "one", "", "--root", root)
    assert RunFolder(root / "one").note() == ""


def test_import_says_what_is_missing(program: Any, root: Path, tmp_path: Path) -> None:
    run = RunFolder(root / "one")
    settings = run.settings().with_values({"data.folder": "/no/such/photos"})
    (run.path / "settings.toml").write_text(settings.to_toml())
    here = tmp_path / "here"
    done = program("runs", "import", run.path, "--root", here, "--name", "Came in")
    assert done.status == 0
    assert "'Came in' is in" in done.out
    assert "not on this machine (/no/such/photos)" in done.out
    pointed = program("runs", "import", run.path, "--root", here, "--data", tmp_path)
    assert "not on this machine" not in pointed.out
    assert program("runs", "import", run.path, "--root", here, "--data", "/nowhere/at/all").status == 1
    assert len(list(here.glob("*/settings.toml"))) == 2
    assert program("runs", "import", tmp_path, "--root", here).status == 1


def test_delete_asks_and_refuses_a_run_in_training(
    program: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert program("runs", "delete", "one", "--root", root).status == 1
    assert (root / "one").is_dir()
    RunFolder(root / "two").set_state("running")
    done = program("runs", "delete", "one", "two", "--yes", "--root", root)
    assert (done.status, "in training" in done.err) == (1, True)
    assert (root / "one").is_dir(), "nothing goes where one is refused"
    RunFolder(root / "two").set_state("stopped")
    assert program("runs", "delete", "one", "two", "--yes", "--root", root).status == 0
    assert not list(root.glob("*/settings.toml"))


def test_the_list_needs_neither_torch_nor_qt(root: Path) -> None:
    code = f"""
import sys
from advclip_gui.__main__ import main
main(["runs", "list", "--root", {str(root)!r}])
main(["runs", "diff", "one", "two", "--root", {str(root)!r}])
print(sorted({{"torch", "PySide6"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
