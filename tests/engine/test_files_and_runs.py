"""Files are whole or not there; a run folder tells how its run stands."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from safetensors import SafetensorError

from advclip_gui.engine.errors import CheckpointError, StorageError
from advclip_gui.engine.events import EvalDone, Log, StepDone
from advclip_gui.engine.files import append_line, atomic_file, write_text_atomic
from advclip_gui.engine.run_list import list_runs
from advclip_gui.engine.runs import RunFolder, new_run_dir, runs_root
from advclip_gui.settings import RunSettings


class TestFiles:
    def test_replaces_whole_and_leaves_nothing_beside(self, tmp_path) -> None:
        path = tmp_path / "a" / "settings.toml"
        write_text_atomic(path, "ä = 1\n")
        write_text_atomic(path, "b = 2\n")
        assert path.read_text(encoding="utf-8") == "b = 2\n"
        assert list(path.parent.iterdir()) == [path]

    @pytest.mark.parametrize(
        ("number", "sentence"), [(28, "disk is full"), (13, "no permission"), (5, "not be written")]
    )
    def test_what_fails_keeps_the_old_file(self, tmp_path, number, sentence) -> None:
        path = tmp_path / "result.json"
        path.write_text("old")

        def write_half() -> None:
            with atomic_file(path) as temporary:
                temporary.write_text("half")
                raise OSError(number, "made to fail")

        with pytest.raises(StorageError, match=sentence):
            write_half()
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]

    def test_a_full_disk_in_the_words_of_safetensors(self, tmp_path) -> None:
        path = tmp_path / "adapter.safetensors"
        path.write_text("old")
        with pytest.raises(StorageError, match=f"disk is full: {path}"), atomic_file(path):
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        with pytest.raises(StorageError, match="could not be written"), atomic_file(path):
            raise SafetensorError("Error while serializing: something new")
        assert path.read_text() == "old"

    def test_an_error_of_another_kind_keeps_the_old_file_too(self, tmp_path) -> None:
        path = tmp_path / "x"
        path.write_text("old")
        with pytest.raises(ZeroDivisionError), atomic_file(path):
            raise ZeroDivisionError
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]

    def test_a_folder_that_is_a_file(self, tmp_path) -> None:
        (tmp_path / "taken").write_text("x")
        with pytest.raises(StorageError):
            write_text_atomic(tmp_path / "taken" / "a.txt", "x")

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device that is always full")
    def test_appending_to_a_full_disk(self) -> None:
        from pathlib import Path

        with pytest.raises(StorageError, match="disk is full"):
            append_line(Path("/dev/full"), "x")


def step(number: int) -> StepDone:
    return StepDone(
        step=number,
        total_steps=9,
        adversarial_loss=float("nan"),
        clean_loss=1.0,
        inner_gain=0.0,
        delta_norm=0.0,
        gradient_norm=1.0,
        learning_rate=1e-3,
        flipped_share=0.0,
        steps_per_second=1.0,
        seconds_left=1.0,
    )


class TestRunFolder:
    @pytest.fixture
    def run(self, tmp_path) -> RunFolder:
        run = RunFolder(tmp_path / "runs" / "one")
        run.start(RunSettings(name="One"), device="CPU", split={"class_names": ["a", "b"]})
        return run

    def test_metrics_hold_what_is_drawn_and_survive_a_cut_line(self, run) -> None:
        run.append(step(5))
        run.append(Log(message="not a metric"))
        run.append(
            EvalDone(
                step=5,
                model="adapter",
                n=10,
                epsilon=2 / 255,
                attack="PGD-10",
                split="val",
                clean_accuracy=0.5,
                clean_interval=(0.2, 0.8),
                robust_accuracy=0.1,
                robust_interval=(0.0, 0.4),
            )
        )
        with (run.path / "metrics.jsonl").open("a") as stream:
            stream.write('{"event": "step", "st')
        records = run.metrics()
        assert [record["event"] for record in records] == ["step", "eval"]
        assert records[0]["adversarial_loss"] is None
        assert records[1]["epsilon"] == 2 / 255
        run.keep_metrics_until(4)
        assert run.metrics() == []

    def test_states(self, run) -> None:
        assert run.state() == "interrupted"
        run.set_state("running")
        assert run.state() == "running"
        run.set_state("failed", "The disk is full.")
        assert (run.state(), run.state_message()) == ("failed", "The disk is full.")

    def test_a_killed_process_leaves_an_interrupted_run(self, run) -> None:
        code = (
            "import os, signal, sys\nfrom pathlib import Path\n"
            "from advclip_gui.engine.runs import RunFolder\n"
            "RunFolder(Path(sys.argv[1])).set_state('running')\nos.kill(os.getpid(), signal.SIGKILL)\n"
        )
        subprocess.run([sys.executable, "-c", code, str(run.path)], check=False, timeout=60)
        assert json.loads((run.path / "state.json").read_text())["state"] == "running"
        assert run.state() == "interrupted"

    def test_damaged_files_are_as_if_absent(self, run) -> None:
        for name in ("state.json", "result.json", "split.json"):
            (run.path / name).write_text("{ half")
        assert (run.state(), run.result(), run.split()) == ("interrupted", None, None)

    def test_environment_names_versions_and_no_place(self, run) -> None:
        text = (run.path / "environment.json").read_text()
        assert json.loads(text)["packages"]["torch"]
        assert str(run.path.parent) not in text
        assert os.path.expanduser("~") not in text

    def test_listing(self, run, tmp_path) -> None:
        run.set_state("finished")
        (tmp_path / "runs" / "no run").mkdir()
        (tmp_path / "runs" / "broken").mkdir()
        (tmp_path / "runs" / "broken" / "settings.toml").write_text("rank = ")
        second = RunFolder(tmp_path / "runs" / "two")
        second.start(RunSettings(name="Two"), device="CPU", split={})
        second.set_state("stopped")
        listed = list_runs(tmp_path / "runs")
        assert [summary.name for summary in listed] == ["Two", "One"]
        assert (listed[1].backbone, listed[1].data, listed[1].clean) == (
            "advclip-mini (bundled)",
            "Demo photos",
            None,
        )
        assert list_runs(tmp_path / "nowhere") == []

    def test_no_run_folder_says_so(self, tmp_path) -> None:
        with pytest.raises(CheckpointError, match="is no run folder"):
            RunFolder(tmp_path).settings()

    def test_new_folders_do_not_meet(self, user_folders) -> None:
        first = new_run_dir(RunSettings(name="Größe 1/2"))
        assert first.parent == runs_root()
        assert user_folders in first.parents
        assert first.name.endswith("-gr-e-1-2")
        first.mkdir(parents=True)
        assert not new_run_dir(RunSettings(name="Größe 1/2")).exists()
