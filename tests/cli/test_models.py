"""The commands that load a model, on the bundled one, with cases as small as they can be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from advclip_gui import __main__
from advclip_gui.commands.models import choose_model
from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.resources import demo_folder
from advclip_gui.engine.runs import RunFolder
from tests.cli.strict_json import read

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    "name=small",
    "device=cpu",
    "data.shots=1",
    "data.val_shots=1",
    "training.steps=2",
    "training.batch_size=4",
    "adversary.inner_steps=1",
    "monitor.every=1",
    "monitor.images=4",
    "monitor.attack_steps=1",
    "monitor.final_images=6",
)


def assignments(*more: str) -> list[str]:
    return [word for pair in (*SMALL, *more) for word in ("--set", pair)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two steps on the demo; takes a few seconds of processor time."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    arguments = ["train", "--demo", *assignments(), "--run-dir", str(folder)]
    assert __main__.main([*arguments, "--json", str(folder.parent / "train.json")]) == 0
    return folder


@pytest.fixture(scope="module")
def photo() -> Path:
    return sorted((demo_folder() / "test" / "ship").iterdir())[0]


# --- which model a word means -----------------------------------------------------------------


def test_a_backbone_is_found_by_name() -> None:
    mini = choose_model("advclip-mini")
    assert (mini.ref.kind, mini.ref.backbone.name, len(mini.class_names)) == ("zero_shot", "advclip-mini", 10)
    openai = choose_model("ViT-B-32:openai")
    assert (openai.ref.backbone.name, openai.ref.backbone.weights) == ("ViT-B-32", "openai")
    assert openai.class_names == ()


def test_a_file_is_a_local_checkpoint(tmp_path: Path) -> None:
    weights = tmp_path / "b 16.safetensors"
    weights.touch()
    chosen = choose_model(str(weights), architecture="ViT-B-16")
    assert chosen.ref.backbone.name == "local"
    assert chosen.ref.backbone.architecture == "ViT-B-16"
    assert Path(chosen.ref.backbone.checkpoint) == weights


@pytest.mark.parametrize("word", ["nothing", "local", "ViT-B-32:unheard-of", "gone/run"])
def test_a_word_that_means_nothing_is_refused(word: str) -> None:
    with pytest.raises(CheckpointError, match="There is no run, adapter"):
        choose_model(word)


def test_a_folder_without_an_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no adapter"):
        choose_model(str(tmp_path))


# --- attack -----------------------------------------------------------------------------------


def test_an_image_is_attacked_and_saved(program: Callable[..., Any], photo: Path, tmp_path: Path) -> None:
    outcome = program(
        "attack", photo, "--model", "advclip-mini", "--eps", "8/255", "--steps", 3, "--label", "ship",
        "--out", tmp_path / "out", "--json", tmp_path / "attack.json",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    result = read(tmp_path / "attack.json")
    assert outcome.out.startswith(result["sentence"])
    assert result["class_names"][result["attacked_label"]] == "ship"
    assert result["epsilon_text"] == "8/255"
    assert result["linf"] <= 8 / 255 + 1e-6
    assert sum(result["before"]) == pytest.approx(1, abs=1e-4)
    assert len(result["saved"]) == 3
    saved = np.asarray(Image.open(next(path for path in result["saved"] if "adversarial" in path)), dtype=int)
    original = np.asarray(Image.open(photo).convert("RGB"), dtype=int)
    assert 0 < np.abs(saved - original).max() <= 8


def test_a_saved_probe_is_repeated_exactly(program: Callable[..., Any], photo: Path, tmp_path: Path) -> None:
    out, again, told = tmp_path / "out", tmp_path / "again", tmp_path / "told.json"
    outcome = program(
        "attack", photo, "--model", "advclip-mini", "--eps", "3/255", "--steps", 3, "--seed", 11,
        "--out", out, "--device", "cpu",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    (probe,) = out.glob("*.json")
    outcome = program("attack", "--from", probe, "--out", again, "--device", "cpu", "--json", told)
    assert outcome.status == 0, outcome.err
    assert "Repeated exactly" in outcome.out
    assert read(told)["repeated"] == {"same": True, "differences": []}
    pixels = [np.asarray(Image.open(next(folder.glob("*-adversarial.png")))) for folder in (out, again)]
    assert np.array_equal(*pixels)
    assert read(next(again.glob("*.json")))["adversarial"] == read(probe)["adversarial"]

    other = sorted((demo_folder() / "test" / "cat").iterdir())[0]
    outcome = program("attack", other, "--from", probe, "--device", "cpu")
    assert outcome.status == 1
    assert "Not the same adversarial pixels" in outcome.out
    assert "The image is another one" in outcome.out

    outcome = program("attack", "--from", probe, "--eps", "1/255")
    assert outcome.status == 2
    assert "leave out --eps" in outcome.err


def test_a_bare_backbone_asks_for_classes(program: Callable[..., Any], photo: Path) -> None:
    outcome = program("attack", photo, "--model", "ViT-B-32")
    assert outcome.status == 2
    assert "--classes" in outcome.err


def test_a_backbone_that_is_not_here_is_one_sentence(program: Callable[..., Any], photo: Path) -> None:
    outcome = program("attack", photo, "--model", "ViT-B-32:openai", "--classes", "cat,dog")
    assert outcome.status == 1
    assert "is not on this machine" in outcome.sentence
    assert "Local checkpoint file" in outcome.sentence
    assert "--download" in outcome.sentence


def test_offline_a_download_is_one_sentence(program: Callable[..., Any], tmp_path: Path) -> None:
    outcome = program(
        "train", "--demo", "--download", "--set", "backbone.name=ViT-B-16", "--run-dir", tmp_path / "run"
    )
    assert outcome.status == 1
    assert "HF_HUB_OFFLINE" in outcome.sentence
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_that_is_not_there_is_named(program: Callable[..., Any], tmp_path: Path) -> None:
    outcome = program(
        "train", "--demo", "--set", "backbone.name=local", "--set", "backbone.checkpoint=/gone/b32.pt"
    )
    assert outcome.status == 1
    assert "/gone/b32.pt" in outcome.sentence


@pytest.mark.parametrize(
    ("arguments", "status", "part"),
    [
        (["--target", "unicorn"], 2, "'unicorn' is not one of the classes"),
        (["--classes", "cat"], 2, "two or more"),
        (["--attack", "magic"], 1, "There is no attack 'magic'"),
        (["--model", "nothing"], 1, "There is no run, adapter"),
    ],
)
def test_wrong_words_are_named(
    program: Callable[..., Any], photo: Path, arguments: list[str], status: int, part: str
) -> None:
    model = [] if "--model" in arguments else ["--model", "advclip-mini"]
    outcome = program("attack", photo, *model, *arguments)
    assert outcome.status == status
    assert part in outcome.err


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0 cut"])
def test_what_is_no_picture_is_refused(program: Callable[..., Any], tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "täuschung 1.jpg"
    path.write_bytes(content)
    outcome = program("attack", path, "--model", "advclip-mini")
    assert outcome.status == 1
    assert "täuschung 1.jpg" in outcome.sentence


def test_a_checkpoint_that_is_none_is_refused(
    program: Callable[..., Any], photo: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"nonsense")
    outcome = program("attack", photo, "--model", weights, "--classes", "cat,dog")
    assert outcome.status == 1
    assert "weights.safetensors is not a safetensors file" in outcome.sentence


# --- train, evaluate, export ------------------------------------------------------------------


def test_a_run_leaves_everything_behind(finished: Path) -> None:
    summary = read(finished.parent / "train.json")
    assert (summary["command"], summary["state"], summary["steps"]) == ("train", "finished", 2)
    assert summary["result"]["adapter"]["n"] == 6
    run = RunFolder(finished)
    assert run.state() == "finished"
    assert run.settings().name == "small"
    assert {record["event"] for record in run.metrics()} == {"step", "eval"}
    assert run.has_adapter
    assert run.has_checkpoint


def test_a_finished_run_is_not_trained_again(program: Callable[..., Any], finished: Path) -> None:
    before = (finished / "metrics.jsonl").read_bytes()
    outcome = program("train", "--resume", "--run-dir", finished)
    assert outcome.status == 0
    assert "finished already" in outcome.out
    assert (finished / "metrics.jsonl").read_bytes() == before


def test_training_over_a_run_is_refused(program: Callable[..., Any], finished: Path) -> None:
    outcome = program("train", "--demo", "--run-dir", finished)
    assert outcome.status == 1
    assert "is not empty" in outcome.sentence


def test_a_class_with_too_few_images_is_named(
    program: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    outcome = program(
        "train",
        "--demo",
        *assignments(f"data.folder={photos}", "data.shots=9"),
        "--run-dir",
        tmp_path / "run",
    )
    assert outcome.status == 1
    assert "black" in outcome.sentence
    assert "9" in outcome.sentence


def test_an_exported_adapter_gives_the_same_figures(
    program: Callable[..., Any], finished: Path, tmp_path: Path
) -> None:
    exported = tmp_path / "exported"
    outcome = program("export", finished, "--out", exported, "--json", tmp_path / "export.json")
    assert outcome.status == 0, outcome.err
    told = read(tmp_path / "export.json")
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(told["files"])
    assert told["snippet"].strip() in outcome.out

    figures = {}
    for name, model in (("run", finished), ("exported", exported)):
        path = tmp_path / f"{name}.json"
        outcome = program(
            "evaluate", model, "--data", "demo", "--split", "val", "--images", 8, "--eps", "1/255,2/255",
            "--steps", 1, "--device", "cpu", "--json", path,
        )  # fmt: skip
        assert outcome.status == 0, outcome.err
        assert "Clean accuracy" in outcome.out
        figures[name] = read(path)
    assert figures["run"]["attack"] == "quick"
    assert [entry["epsilon_text"] for entry in figures["run"]["epsilons"]] == ["1/255", "2/255"]
    assert (
        figures["run"]["provenance"]["adapter_sha256"] == figures["exported"]["provenance"]["adapter_sha256"]
    )


def test_a_run_is_evaluated_on_the_images_it_set_aside(
    program: Callable[..., Any], finished: Path, tmp_path: Path
) -> None:
    path = tmp_path / "evaluation.json"
    outcome = program(
        "evaluate", finished, "--images", 5, "--eps", "2/255", "--attack", "fgsm", "--json", path,
        "--report", tmp_path / "report.html",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    result = read(path)
    assert result["n"] == 5
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f'<data value="{result["epsilons"][0]["robust_accuracy"]!r}">' in page
    assert f"Saved {tmp_path / 'report.html'}" in outcome.out
    assert "as recorded" in result["provenance"]["split"]
    assert len(result["provenance"]["backbone_sha256"]) == 64


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("train", "10 of the 10 images were among those the adapter was trained on"),
        ("val", "10 of the 10 images were among its validation images"),
        ("test", ""),
    ],
)
def test_images_the_adapter_has_seen_are_told(
    program: Callable[..., Any], finished: Path, tmp_path: Path, part: str, said: str
) -> None:
    path = tmp_path / "evaluation.json"
    outcome = program(
        "evaluate", finished, "advclip-mini", "--split", part, "--images", 10, "--eps", "1/255",
        "--attack", "fgsm", "--json", path,
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    told = [
        [one["sentence"] for one in evaluation["findings"] if one["kind"] == "seen_images"]
        for evaluation in read(path)["evaluations"]
    ]
    assert [len(sentences) for sentences in told] == [bool(said), 0]  # zero-shot has seen none
    assert said in "".join(told[0])


def test_an_evaluation_is_taken_up_from_its_file(
    program: Callable[..., Any], finished: Path, tmp_path: Path
) -> None:
    asked = ["evaluate", finished, "--images", 5, "--eps", "2/255", "--attack", "pgd", "--steps", 2]
    first, second, journal = tmp_path / "first.json", tmp_path / "second.json", tmp_path / "kept.jsonl"
    assert program(*asked, "--resume", journal, "--json", first).status == 0
    lines = journal.read_text(encoding="utf-8").splitlines()
    assert len(lines) >= 2
    assert program(*asked, "--resume", journal, "--json", second).status == 0
    assert journal.read_text(encoding="utf-8").splitlines() == lines  # nothing was found anew
    assert read(first)["epsilons"][0]["robust_accuracy"] == read(second)["epsilons"][0]["robust_accuracy"]


def test_several_models_are_evaluated_on_the_same_images(
    program: Callable[..., Any], finished: Path, tmp_path: Path
) -> None:
    path, page, journal = tmp_path / "both.json", tmp_path / "both.html", tmp_path / "kept.jsonl"
    outcome = program(
        "evaluate", finished, "advclip-mini", "--images", 5, "--eps", "2/255", "--attack", "fgsm",
        "--json", path, "--report", page, "--resume", journal,
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert outcome.out.count("Clean accuracy") == 2
    both = read(path)["evaluations"]
    assert both[1]["model"].endswith(", zero-shot")
    for key in ("images_sha256", "split", "split_digest", "prompts", "data"):
        assert both[0]["provenance"][key] == both[1]["provenance"][key]
    assert len(both[0]["provenance"]["split_digest"]) == 64
    text = page.read_text(encoding="utf-8")
    assert 'class="line baseline"' in text  # zero-shot is drawn as what the adapter is compared with
    assert all(one["model"] in text for one in both)
    assert {journal.name, "kept-2.jsonl"} <= {path.name for path in tmp_path.iterdir()}


def test_a_file_that_is_no_journal_is_kept(
    program: Callable[..., Any], finished: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "thesis.txt"
    mine.write_text("three years", encoding="utf-8")
    outcome = program("evaluate", finished, "--images", 5, "--resume", mine)
    assert outcome.status == 1
    assert "does not hold what an evaluation has found" in outcome.sentence
    assert mine.read_text(encoding="utf-8") == "three years"


def test_a_run_is_evaluated_on_other_images(
    program: Callable[..., Any], finished: Path, photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / "evaluation.json"
    outcome = program(
        "evaluate", finished, "--data", photos, "--eps", "1/255", "--attack", "fgsm", "--json", path
    )
    assert outcome.status == 0, outcome.err
    result = read(path)
    assert (result["n"], result["class_names"]) == (8, ["black cat", "dog"])


def test_an_attack_that_does_not_exist_is_named_before_anything_is_loaded(
    program: Callable[..., Any], finished: Path
) -> None:
    outcome = program("evaluate", finished, "--attack", "magic")
    assert outcome.status == 1
    assert "There is no attack or tier 'magic'" in outcome.sentence


@pytest.mark.slow(reason="a process of its own imports torch, trains a few steps and is interrupted")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
def test_ctrl_c_cancels_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    import signal

    run = tmp_path / "run"
    command = [sys.executable, "-m", "advclip_gui", "train", "--demo", "--run-dir", str(run)]
    endless = assignments("training.steps=4000", "monitor.every=4000", "monitor.checkpoint_every=1")
    with subprocess.Popen(
        [*command, *endless], cwd=ROOT, env={**os.environ}, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("Training"):
                break
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    assert said.rstrip().endswith("Cancelled.")
    assert "Traceback" not in said
    assert RunFolder(run).state() == "cancelled"
    assert RunFolder(run).has_checkpoint
    assert "advclip-gui train --resume --run-dir" in said


# --- doctor and bench -------------------------------------------------------------------------


def test_the_doctor_finds_nothing(program: Callable[..., Any], tmp_path: Path) -> None:
    outcome = program("doctor", "--json", tmp_path / "doctor.json")
    assert outcome.status == 0, outcome.out
    report = read(tmp_path / "doctor.json")
    assert report["healthy"]
    assert "Device" in {check["name"] for check in report["checks"]}


def test_the_doctor_names_what_is_broken(
    program: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from advclip_gui.commands import doctor

    def broken() -> Any:
        raise OSError("no such library")

    monkeypatch.setattr(doctor, "CHECKS", {"Device": broken, "Python": doctor.CHECKS["Python"]})
    outcome = program("doctor")
    assert outcome.status == 1
    assert "FAIL  Device  OSError: no such library" in outcome.out
    assert outcome.sentence == "Not working: Device."


def test_the_benchmarks_are_found(program: Callable[..., Any]) -> None:
    outcome = program("bench", "--list")
    assert outcome.status == 0
    assert {"startup", "step_time", "probe_latency"} <= set(outcome.out.split())


def test_a_benchmark_runs_in_its_own_process(
    program: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from advclip_gui.commands import bench

    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(
        "import json, sys\n"
        "figure = {'median': 1.5, 'min': 1, 'max': 2, 'n': 3, 'unit': 'ms'}\n"
        "print('chatter')\nprint(json.dumps({'figures': {'a': figure}, 'details': sys.argv[1:]}))\n"
    )
    bad.write_text("raise SystemExit('the window did not open')")
    monkeypatch.setattr(bench, "_PLACES", (tmp_path / "gone", tmp_path))
    outcome = program("bench", "good", "--quick", "--json", tmp_path / "bench.json")
    assert outcome.status == 0, outcome.err
    result = read(tmp_path / "bench.json")["benchmarks"]["good"]
    assert (result["figures"]["a"]["median"], result["details"]) == (1.5, ["--quick"])
    outcome = program("bench", "bad")
    assert outcome.status == 1
    assert outcome.sentence == "The benchmark bad failed: the window did not open"
