"""The list of runs, and what is done with whole run folders: rename, note, import, delete."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from advclip_gui.engine import run_import, run_list
from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.errors import CheckpointError, SettingsError, StorageError
from advclip_gui.engine.experiments.definition import ExperimentSettings
from advclip_gui.engine.experiments.folder import ExperimentFolder, experiments_root
from advclip_gui.engine.run_cells import cell_folders
from advclip_gui.engine.run_import import look_at, take_in
from advclip_gui.engine.run_list import RunIndex, last_step, list_runs
from advclip_gui.engine.run_removal import delete_run
from advclip_gui.engine.runs import RunFolder
from advclip_gui.engine.saved_models import find_run
from advclip_gui.settings import RunSettings

if TYPE_CHECKING:
    from pathlib import Path


def make_run(path: Path, name: str = "One", state: Any = "finished", **values: Any) -> RunFolder:
    run = RunFolder(path)
    settings = RunSettings(name=name).with_values(values) if values else RunSettings(name=name)
    run.start(settings, device="CPU", split={"class_names": ["a", "b"]})
    run.set_state(state)
    run.write_result({"adapter": {"n": 10, "clean_accuracy": 0.5, "robust_accuracy": 0.25}})
    return run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the folders that were read in full."""
    read: list[str] = []
    summarise = run_list.summarise

    def counted(path: Path) -> Any:
        read.append(path.name)
        return summarise(path)

    monkeypatch.setattr(run_list, "summarise", counted)
    return read


class TestIndex:
    def test_reads_only_what_has_changed(self, root, reads) -> None:
        one, _two = make_run(root / "one"), make_run(root / "two", "Two")
        index = RunIndex(root)
        before = index.read()
        assert sorted(reads) == ["one", "two"]
        assert index.read() == before
        assert len(reads) == 2
        one.set_note("Tried again")
        assert {run.name: run.note for run in index.read()} == {"One": "Tried again", "Two": ""}
        assert reads[2:] == ["one"]

    @pytest.mark.parametrize(
        "change",
        [
            lambda run: run.rename("Other"),
            lambda run: run.write_result({"adapter": {"n": 9, "clean_accuracy": 0.9}}),
            lambda run: run.set_state("failed"),
            lambda run: (run.adapter_dir.mkdir(), (run.adapter_dir / "adapter_model.safetensors").touch()),
            lambda run: (run.path / "settings.toml").unlink(),
        ],
        ids=["name", "result", "state", "adapter", "gone"],
    )
    def test_sees_every_change(self, root, change) -> None:
        run = make_run(root / "one")
        index = RunIndex(root)
        before = index.read()
        change(run)
        assert index.read() == list_runs(root) != before

    def test_the_next_start_reads_nothing_again(self, root, reads) -> None:
        make_run(root / "one")
        first = RunIndex(root).read()
        assert RunIndex(root).read() == first
        assert reads == ["one"]
        assert first[0].backbone_settings == RunSettings().backbone

    @pytest.mark.parametrize("damage", ["{ half", "[]", '{"format": "0", "runs": {}}'])
    def test_a_damaged_memory_is_as_if_absent(self, root, reads, damage) -> None:
        make_run(root / "one")
        first = RunIndex(root).read()
        RunIndex(root).memory.write_text(damage)
        assert RunIndex(root).read() == first
        assert reads == ["one", "one"]

    def test_a_run_in_training_moves_on_and_is_never_taken_from_memory(self, root) -> None:
        run = make_run(root / "one", state="running")
        index = RunIndex(root)
        assert [(one.state, one.step) for one in index.read()] == [("running", 0)]
        with (run.path / "metrics.jsonl").open("a") as stream:
            stream.write('{"event": "step", "step": 7}\n{"event": "st')
        assert [one.step for one in index.read()] == [7]
        record = json.loads((run.path / "state.json").read_text())
        (run.path / "state.json").write_text(json.dumps({**record, "pid": 2**22 + 1}))
        assert [one.state for one in index.read()] == ["interrupted"]

    def test_a_folder_that_cannot_be_written_to_is_listed_all_the_same(self, root, monkeypatch) -> None:
        make_run(root / "one")

        def refuse(*_: object) -> None:
            raise StorageError("no")

        monkeypatch.setattr(run_list, "write_text_atomic", refuse)
        assert len(RunIndex(root).read()) == 1

    def test_foreign_figures_are_as_if_absent(self, root) -> None:
        run = make_run(root / "one")
        wrong = {"n": "ten", "clean_accuracy": "x", "robust_accuracy": 7}
        run.write_result({"adapter": wrong, "zero_shot": 3})
        (run.path / "state.json").write_text('{"state": "no such", "started": "then"}')
        line = list_runs(root)[0]
        assert (line.n, line.clean, line.robust, line.zero_shot_clean) == (None,) * 4
        assert (line.state, line.started) == ("interrupted", 0.0)

    def test_last_step_of_a_long_file(self, tmp_path) -> None:
        path = tmp_path / "metrics.jsonl"
        path.write_text("".join(f'{{"step": {step}}}\n' for step in range(5000)) + '{"step": 50')
        assert last_step(path) == 4999
        assert last_step(tmp_path / "none") == 0


class TestFind:
    def test_by_folder_by_name_and_by_path(self, root) -> None:
        path = make_run(root / "one", "A name").path
        assert find_run("one", root) == find_run("A name", root) == find_run(str(path), root) == path

    def test_none_and_several(self, root) -> None:
        make_run(root / "one", "Same")
        make_run(root / "two", "Same")
        with pytest.raises(CheckpointError, match="There is no run 'three'"):
            find_run("three", root)
        with pytest.raises(CheckpointError, match=r"2 runs are named 'Same'.*(one .*two|two .*one)"):
            find_run("Same", root)

    def test_by_how_a_name_begins_if_only_one_does(self, root) -> None:
        sixteen = make_run(root / "one", "Pets 16 shots").path
        make_run(root / "two", "Pets 4 shots")
        pets = make_run(root / "three", "Pets").path
        assert find_run("pets 1", root) == sixteen
        assert find_run("Pets", root) == pets  # exactly so comes first
        with pytest.raises(CheckpointError, match=r"3 runs begin with 'pet'.*one \(Pets 16 shots\)"):
            find_run("pet", root)


class TestParts:
    """Cells of experiments: runs of their own, whose figures the experiment has measured."""

    @pytest.fixture
    def cell(self, root) -> RunFolder:
        experiment = ExperimentFolder(experiments_root(root) / "20260101-pets")
        experiment.define(ExperimentSettings(name="Pets by shots", seeds=(1,), shots=(4,)))
        return make_run(experiment.run_dir("clip-lora-4-shots-seed-1"), "CLIP-LoRA, 4 shots, seed 1")

    def test_are_listed_under_their_experiment_where_asked_for(self, root, cell) -> None:
        make_run(root / "own", "Own")
        assert [run.name for run in list_runs(root)] == ["Own"]
        every = {run.name: run for run in list_runs(root, parts=True)}
        assert every["Own"].part_of == ""
        assert every["CLIP-LoRA, 4 shots, seed 1"].part_of == "Pets by shots"
        assert every["CLIP-LoRA, 4 shots, seed 1"].path == cell.path

    def test_their_figures_come_from_the_experiment_when_they_do(self, root, cell) -> None:
        (cell.path / "result.json").unlink()
        index = RunIndex(root)
        (line,) = index.read()
        assert (line.clean, line.robust, line.n) == (None, None, None)
        experiment = ExperimentFolder(cell.path.parent.parent)
        found = {"test": {"title": "test", "n": 8, "clean": 0.75, "robust": 0.5}}
        experiment.write_record(cell.path.name, {"state": "finished", "figures": found})
        (line,) = index.read()
        assert (line.clean, line.robust, line.n) == (0.75, 0.5, 8)
        assert line.zero_shot_clean is None
        bare = {"test": {"title": "test", "n": 8, "clean": 0.25, "robust": 0.0}}
        experiment.write_record("zero-shot", {"state": "finished", "figures": bare})
        (line,) = index.read()
        assert (line.zero_shot_clean, line.zero_shot_robust) == (0.25, 0.0)
        assert RunIndex(root).read() == [line]

    def test_a_damaged_experiment_is_named_after_its_folder(self, root, cell) -> None:
        (cell.path.parent.parent / "experiment.toml").write_text("kind = 7")
        assert [run.part_of for run in RunIndex(root).read()] == ["20260101-pets"]

    def test_the_folders_to_watch_for_the_next_one(self, root, cell) -> None:
        begun = experiments_root(root) / "20260102-begun"
        begun.mkdir()
        cells = cell.path.parent
        assert cell_folders(root, 9) == [experiments_root(root), begun, cells, cells.parent]
        ExperimentFolder(cells.parent).write_record("zero-shot", {})
        assert cell_folders(root, 9) == [experiments_root(root), begun, cells, cells.parent / "records"]
        assert cell_folders(root, 1) == [experiments_root(root), begun]
        assert cell_folders(root / "nowhere", 9) == []


class TestNameAndNote:
    def test_rename_changes_the_name_only(self, root) -> None:
        run = make_run(root / "one", **{"adversary.epsilon": "3/255"})
        before = run.settings()
        run.rename("  4 \n shots ")
        assert run.settings() == before.model_copy(update={"name": "4 shots"})
        with pytest.raises(SettingsError):
            run.rename("x" * 201)
        assert run.settings().name == "4 shots"

    def test_a_note_is_kept_and_taken_away(self, root) -> None:
        run = make_run(root / "one")
        assert run.note() == ""
        run.set_note("Höher\nals sonst ")
        assert run.note() == "Höher\nals sonst"
        run.set_note(" ")
        assert not (run.path / "note.txt").exists()

    def test_a_renamed_or_moved_run_can_still_be_resumed(self) -> None:
        from advclip_gui.engine.trainer import _what_counts

        before = RunSettings()
        moved = before.with_values({"name": "Other", "data.folder": "/elsewhere"})
        assert _what_counts(moved) == _what_counts(before)
        assert _what_counts(before.with_values({"data.shots": 8})) != _what_counts(before)
        assert _what_counts(before.with_values({"lora.rank": 8})) != _what_counts(before)


class TestImport:
    @pytest.fixture
    def foreign(self, tmp_path: Path) -> RunFolder:
        run = make_run(tmp_path / "other machine" / "one", "Theirs", **{"data.folder": "/no/such/photos"})
        run.adapter_dir.mkdir()
        (run.adapter_dir / "adapter_model.safetensors").write_bytes(b"x" * 3000)
        run.set_note("From the big machine")
        (run.path / ".result.json.abc.part").write_text("left over")
        return run

    def test_comes_in_whole_under_a_new_name(self, foreign, root) -> None:
        plan = look_at(foreign.path, Control())
        assert plan.missing_data == "/no/such/photos"
        assert plan.size == sum((foreign.path / path).stat().st_size for path in plan.files)
        path = take_in(plan, Control(), root=root)
        assert path.parent == root
        assert path.name.endswith("-theirs")
        line = list_runs(root)[0]
        assert (line.name, line.note, line.has_adapter) == ("Theirs", "From the big machine", True)
        assert line.started == foreign.started()
        assert sorted(one.name for one in root.iterdir()) == [path.name]
        assert not list(path.rglob("*.part"))
        assert take_in(plan, Control(), root=root) != path

    def test_its_images_can_be_pointed_to(self, foreign, root, tmp_path) -> None:
        path = take_in(look_at(foreign.path, Control()), Control(), root=root, data_folder=str(tmp_path))
        assert RunFolder(path).settings().data.folder == str(tmp_path)
        assert foreign.settings().data.folder == "/no/such/photos"

    def test_a_run_in_training_there_is_interrupted_here(self, foreign, root) -> None:
        foreign.set_state("running")
        path = take_in(look_at(foreign.path, Control()), Control(), root=root)
        assert RunFolder(path).state() == "interrupted"
        assert foreign.state() == "running"

    def test_links_that_lead_out_are_refused(self, foreign, root, tmp_path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("x")
        (foreign.path / "adapter" / "more").symlink_to(secret)
        with pytest.raises(CheckpointError, match=r"more is a link that leads out"):
            look_at(foreign.path, Control())
        (foreign.path / "adapter" / "more").unlink()
        (foreign.path / "folder").symlink_to(tmp_path)
        with pytest.raises(CheckpointError, match="leads out"):
            look_at(foreign.path, Control())

    def test_a_link_that_stays_inside_becomes_a_file(self, foreign, root) -> None:
        (foreign.path / "copy.json").symlink_to(foreign.path / "result.json")
        path = take_in(look_at(foreign.path, Control()), Control(), root=root)
        assert not (path / "copy.json").is_symlink()
        assert (path / "copy.json").read_text() == (foreign.path / "result.json").read_text()

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_what_is_no_file_is_refused(self, foreign) -> None:
        os.mkfifo(foreign.path / "pipe")
        with pytest.raises(CheckpointError, match="no plain file"):
            look_at(foreign.path, Control())

    def test_folders_that_are_no_run_say_what_they_are(self, foreign, tmp_path) -> None:
        with pytest.raises(CheckpointError, match=r"It holds runs: one\."):
            look_at(foreign.path.parent, Control())
        with pytest.raises(CheckpointError, match="There is no folder"):
            look_at(tmp_path / "nowhere", Control())
        (foreign.path / "settings.toml").write_text("rank = ")
        with pytest.raises(CheckpointError, match="is no run folder"):
            look_at(foreign.path, Control())

    def test_too_many_files(self, foreign, monkeypatch) -> None:
        monkeypatch.setattr(run_import, "MOST_FILES", 3)
        with pytest.raises(CheckpointError, match="more than 3 files"):
            look_at(foreign.path, Control())

    def test_a_full_disk_is_noticed_before(self, foreign, root, monkeypatch) -> None:
        plan = look_at(foreign.path, Control())
        monkeypatch.setattr(run_import, "_SPARE_BYTES", 2**62)
        with pytest.raises(StorageError, match="MB are free"):
            take_in(plan, Control(), root=root)
        assert list(root.iterdir()) == []

    def test_a_cancelled_import_leaves_nothing(self, foreign, root) -> None:
        control = Control(lambda event: control.cancel())
        plan = look_at(foreign.path, Control())
        with pytest.raises(Cancelled):
            take_in(plan, control, root=root)
        assert list(root.iterdir()) == []

    def test_the_folder_of_runs_cannot_be_taken_into_itself(self, root) -> None:
        make_run(root, "Odd")
        with pytest.raises(CheckpointError, match="cannot be one of them"):
            take_in(look_at(root, Control()), Control(), root=root)


class TestDelete:
    def test_goes_for_good(self, root) -> None:
        path = make_run(root / "one").path
        delete_run(path)
        assert list(root.iterdir()) == []

    def test_a_run_in_training_and_other_folders_stay(self, root) -> None:
        run = make_run(root / "one", state="running")
        with pytest.raises(CheckpointError, match="in training"):
            delete_run(run.path)
        (root / "photos").mkdir()
        with pytest.raises(CheckpointError, match="no run folder"):
            delete_run(root / "photos")
        run.set_state("stopped")
        (root / "link").symlink_to(run.path)
        with pytest.raises(CheckpointError, match="no run folder"):
            delete_run(root / "link")
        assert run.path.is_dir()
