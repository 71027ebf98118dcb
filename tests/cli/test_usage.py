"""Exit codes and sentences of the command line, without loading a model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import typer

from advclip_gui import __main__, __version__, cli
from advclip_gui.commands import train
from advclip_gui.commands.options import epsilon, epsilons
from advclip_gui.commands.output import percent_with_interval, plain
from advclip_gui.commands.watcher import StopNow, Watcher, count_text
from advclip_gui.engine.control import Cancelled
from advclip_gui.engine.errors import CheckpointError, SettingsError, UserError
from advclip_gui.engine.events import EvalDone, Log, Progress
from advclip_gui.engine.runs import RunFolder
from advclip_gui.presets import PRESETS
from advclip_gui.settings import RunSettings
from advclip_gui.wording import COMPARISON_TASK, PROTOCOL_SENTENCES

if TYPE_CHECKING:
    from collections.abc import Callable


# --- which door -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "window"),
    [
        ([], True),
        (["--demo"], True),
        (["--help"], False),
        (["--version"], False),
        (["train", "--demo"], False),
        (["doctor"], False),
        (["trian"], False),
    ],
)
def test_the_arguments_choose_the_door(arguments: list[str], window: bool) -> None:
    assert __main__.wants_window(arguments) == window


def test_a_folder_opens_the_window(tmp_path: Path) -> None:
    assert __main__.wants_window([str(tmp_path)])


def test_the_list_of_commands_is_the_one_of_the_command_line() -> None:
    names = {command.name or command.callback.__name__ for command in cli.app.registered_commands}  # type: ignore[union-attr]
    groups = {group.name for group in cli.app.registered_groups}
    assert names | groups == set(__main__.COMMANDS)


# --- usage ------------------------------------------------------------------------------------


def test_help_and_version(program: Callable[..., Any]) -> None:
    assert program("--version").out.strip() == f"advclip-gui {__version__}"
    shown = program("--help")
    assert shown.status == 0
    for command in __main__.COMMANDS:
        assert f"\n  {command} " in shown.out
        assert program(command, "--help").status == 0


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["trian"], "No such command"),
        (["train"], "give a settings file, or --demo, or --preset"),
        (["train", "--demo", "settings.toml"], "not both"),
        (["train", "--resume"], "--run-dir"),
        (["train", "--demo", "--set", "lora.rank"], "section.key=value"),
        (["train", "--demo", "--set", "lora.rank=many"], "lora.rank: "),
        (["train", "--demo", "--set", "lora.rnak=1"], "There is no setting 'lora.rnak'"),
        (["train", "--demo", "--set", "adversary.epsilon=-1"], "adversary.epsilon: "),
        (["train", "--nonsense"], "No such option"),
        (["train", "--preset", "papre"], "there is no preset 'papre'; take one of demo, paper-b32"),
        (["train", "--demo", "--preset", "trades"], "not both"),
        (["train", "--demo", "--protocol", "loose"], "loose"),
        (
            ["train", "--demo", "--protocol", "released", "--set", "adversary.norm=L2"],
            "adversary.norm = Linf",
        ),
        (["train", "--demo", "--set", "lora.layers=9-4"], "runs backwards"),
        (["screenshots", "x", "--steps", "0"], "'--steps'"),
        (["evaluate"], "Missing argument"),
        (["evaluate", "advclip-mini", "--eps", "-1"], "below 0"),
        (["evaluate", "advclip-mini", "--eps", "300"], "did you mean 300/255"),
        (["evaluate", "advclip-mini", "--eps", "1/255,four"], "not a length"),
        (["evaluate", "advclip-mini", "--eps", ","], "at least one"),
        (["evaluate", "advclip-mini", "--eps", "nan"], "not a length"),
        (["evaluate", "advclip-mini", "--steps", "0"], "'--steps'"),
        (["evaluate", "advclip-mini", "--norm", "L3"], "L3"),
        (["evaluate", "advclip-mini", "--report", "figures.pdf"], "must end in .html"),
        (["attack", "x.png"], "Missing option '--model'"),
        (["attack", "x.png", "--model", "advclip-mini", "--eps", "300"], "did you mean 300/255"),
        (["export", "run"], "Missing option '--out'"),
        (["export", "run", "--out", "x", "--format", "tar"], "tar"),
        (["adapters", "import", "x.pt", "--classes", "a,b"], "Missing option '--backbone'"),
        (["adapters", "import", "x.pt", "--backbone", "advclip-mini", "--classes", "a"], "two or more"),
        (["bench", "nonsense"], "no benchmark 'nonsense'"),
    ],
)
def test_wrong_usage_ends_with_2(program: Callable[..., Any], arguments: list[str], part: str) -> None:
    outcome = program(*arguments)
    assert outcome.status == 2
    assert part in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["train", "gone.toml"], "gone.toml cannot be read"),
        (["data", "gone"], "does not exist"),
        (["export", "gone", "--out", "x"], "There is no run or adapter 'gone'"),
        (["adapters", "open", "gone"], "is not there"),
        (["adapters", "rename", "gone", "x"], "There is no adapter 'gone'"),
        (
            ["adapters", "import", "gone", "--backbone", "advclip-mini", "--classes", "a,b"],
            "no file or folder",
        ),
        (["data", "demo", "--json", "gone/x.json"], "The folder of gone"),
        (["doctor", "--json", "."], "needs a file name"),
    ],
)
def test_failure_ends_with_1_and_a_sentence(
    program: Callable[..., Any],
    arguments: list[str],
    part: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = program(*arguments)
    assert outcome.status == 1
    assert part in outcome.sentence
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("error", "status", "part"),
    [
        (UserError("The disk is full.", "Free some space."), 1, "The disk is full. Free some space."),
        (RuntimeError("inner\nsecond line"), 1, "Something unexpected went wrong (RuntimeError: inner)"),
        (MemoryError(), 1, "not enough memory"),
        (Cancelled(), 130, "Cancelled."),
        (StopNow(), 130, "Cancelled."),
    ],
)
def test_whatever_is_raised_becomes_a_sentence_and_a_status(
    program: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: int,
    part: str,
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr("advclip_gui.engine.datasets.drawing.scan_data", fail)
    outcome = program("data", "demo")
    assert outcome.status == status
    assert part in outcome.sentence


def test_debug_shows_the_traceback(program: Callable[..., Any]) -> None:
    outcome = program("data", "/no/such/folder", "--debug")
    assert outcome.status == 1
    assert "Traceback" in outcome.err
    assert "DataError" in outcome.err


def test_the_module_is_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "advclip_gui", "--version"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert (done.returncode, done.stdout.strip()) == (0, f"advclip-gui {__version__}")


# --- which run --------------------------------------------------------------------------------

DEMO = PRESETS["demo"].settings


def checkpointed(folder: Path, settings: RunSettings, state: Any = "cancelled") -> RunFolder:
    run = RunFolder(folder)
    run.start(settings, device="CPU", split={})
    run.set_state(state)
    run.checkpoint_path.parent.mkdir()
    run.checkpoint_path.write_bytes(b"")
    return run


def test_the_demo_is_planned() -> None:
    assert train.plan(None, True, (), None, False) == (DEMO, False)
    changed, _ = train.plan(None, True, ("lora.rank=2", "adversary.epsilon = 1/255"), None, False)
    assert changed.lora.rank == 2
    assert changed.adversary.epsilon == pytest.approx(1 / 255)


def test_a_protocol_sets_what_it_fixes_and_presets_are_named() -> None:
    released, _ = train.plan(None, True, ("lora.layers=0,2-3",), None, False, protocol="released")
    assert released == DEMO.with_values({"lora.layers": "0, 2, 3"}).under("released")
    assert released.lora.layers == (0, 2, 3)
    named, _ = train.plan(None, False, (), None, False, preset="released")
    assert named == PRESETS["released"].settings
    sound, _ = train.plan(None, False, (), None, False, preset="released", protocol="sound")
    assert sound.protocol == "sound"


def test_a_resumed_run_keeps_its_protocol(tmp_path: Path) -> None:
    checkpointed(tmp_path / "run", DEMO)
    with pytest.raises(typer.BadParameter, match="started with"):
        train.plan(None, False, (), tmp_path / "run", True, protocol="released")


def test_a_settings_file_is_planned(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("[lora]\nrank = 3\n", encoding="utf-8")
    settings, resume = train.plan(path, False, ("lora.alpha=2",), tmp_path / "run", False)
    assert (settings.lora.rank, settings.lora.alpha, resume) == (3, 2.0, False)


def test_a_run_is_resumed_with_its_own_settings(tmp_path: Path) -> None:
    settings = RunSettings(name="mine")
    checkpointed(tmp_path / "run", settings)
    assert train.plan(None, False, (), tmp_path / "run", True) == (settings, True)
    with pytest.raises(SettingsError, match="not the settings"):
        train.plan(None, True, (), tmp_path / "run", True)
    with pytest.raises(typer.BadParameter, match="started with"):
        train.plan(None, False, ("lora.rank=2",), tmp_path / "run", True)


def test_resuming_nothing_starts_anew_where_the_settings_are_given(tmp_path: Path) -> None:
    assert train.plan(None, True, (), tmp_path / "new", True) == (DEMO, False)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        train.plan(None, False, (), tmp_path / "new", True)


def test_a_taken_folder_is_refused(tmp_path: Path) -> None:
    checkpointed(tmp_path / "run", DEMO)
    with pytest.raises(CheckpointError, match="is not empty"):
        train.plan(None, True, (), tmp_path / "run", False)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(CheckpointError, match="is not empty"):
        train.plan(None, True, (), file, False)


def test_a_run_of_another_process_is_left_alone(tmp_path: Path) -> None:
    checkpointed(tmp_path / "run", DEMO, state="running")
    with pytest.raises(CheckpointError, match="another process"):
        train.plan(None, True, (), tmp_path / "run", True)


# --- small parts ------------------------------------------------------------------------------


def test_lengths_are_read() -> None:
    assert epsilons("1/255, 0.5/255,0") == pytest.approx((1 / 255, 0.5 / 255, 0))
    assert epsilon("3", norm="L2") == 3


def test_results_are_plain_for_json() -> None:
    value = {"a": (1, float("nan"), float("inf")), "p": Path("x"), "e": Progress(task="t", done=1, total=2)}
    assert plain(value) == {
        "a": [1, None, None],
        "p": "x",
        "e": {"task": "t", "done": 1, "total": 2, "detail": "", "within": 0.0},
    }


def test_shares_are_written_with_their_interval() -> None:
    assert percent_with_interval(0.725, (0.6, 0.8)) == "72.5 % (60.0 to 80.0)"
    assert percent_with_interval(None, None) == "-"


def test_without_a_terminal_only_what_belongs_in_a_log_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with Watcher(interactive=False) as watcher:
        control = watcher.control
        control.progress("Scanning", 1, 2)
        control.report(Log(message="a note"))
        control.report(Log(message="a doubt", level="warning"))
        control.report(
            EvalDone(
                step=5,
                model="adapter",
                n=100,
                epsilon=2 / 255,
                attack="PGD-10",
                split="val",
                clean_accuracy=0.8,
                clean_interval=(0.7, 0.9),
                robust_accuracy=0.2,
                robust_interval=(0.1, 0.3),
            )
        )
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "a note",
        "Warning: a doubt",
        "Step 5  adapter  clean 80.0 %  robust 20.0 %  (PGD-10, 2/255 in Linf, n = 100 validation images)",
    ]


def test_training_is_watched_with_its_protocol_and_its_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    with Watcher(interactive=False, protocol="released") as watcher:
        for done in (5, 10):
            watcher.control.progress(COMPARISON_TASK, done, 20)
        watcher.control.report(
            EvalDone(
                step=10,
                model="clip-lora",
                n=40,
                epsilon=0.5,
                norm="L2",
                attack="PGD-100, as released",
                split="val",
                clean_accuracy=0.8,
                clean_interval=(0.7, 0.9),
                robust_accuracy=0.2,
                robust_interval=(0.1, 0.3),
            )
        )
    assert capsys.readouterr().err.splitlines() == [
        "Training CLIP-LoRA for comparison ...",
        "Step 10  CLIP-LoRA  clean 80.0 %  robust 20.0 %  "
        "(released protocol, PGD-100, as released, 0.5 in L2, n = 40 validation images)",
    ]


def figures(clean: float, robust: float, **more: Any) -> dict[str, Any]:
    return {
        "n": 500,
        "epsilon": 2 / 255,
        "clean_accuracy": clean,
        "clean_interval": [clean - 0.03, clean + 0.03],
        "robust_accuracy": robust,
        "robust_interval": [robust - 0.03, robust + 0.03],
        **more,
    }


def test_three_models_are_printed_with_protocol_norm_and_kept_step(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = {
        "method": "AdvCLIP-LoRA",
        "kept_step": 75,
        "evaluations": 6,
        "steps": 100,
        "stopped_early": True,
        "monitor": {"adapter": {"n": 100, "split": "val"}},
        "adapter": figures(0.7, 0.46),
        "clip_lora": figures(0.82, 0.12),
        "zero_shot": figures(0.72, 0.18),
    }
    settings = DEMO.with_values({"training.patience": 1})
    train.show({"run_dir": "runs/a", "result": result}, settings)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["zero-shot", "CLIP-LoRA", "AdvCLIP-LoRA"]
    assert "46.0 % (43.0 to 49.0)" in lines[3]
    assert lines[4] == "Sound protocol, 500 test images, epsilon 2/255 in Linf; Wilson 95 % intervals."
    assert lines[5].startswith("Robust accuracy is an upper bound")
    assert lines[6] == (
        "Adapter of step 75, the best of 6 evaluations on 100 validation images; training ended early, "
        "after 100 of 150 steps."
    )
    assert lines[7] == "Run folder: runs/a"


def test_released_figures_are_printed_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    more = {"fgsm_accuracy": 0.3, "fgsm_interval": [0.27, 0.33]}
    result = {"adapter": figures(0.7, 0.46, **more), "zero_shot": figures(0.72, 0.18, **more)}
    train.show({"run_dir": "runs/a", "result": result}, PRESETS["released"].settings)
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].split() == ["clean", "accuracy", "FGSM", "PGD"]
    assert "30.0 % (27.0 to 33.0)" in shown
    assert "Released protocol, 500 test images" in shown
    assert shown.count(PROTOCOL_SENTENCES["released"]) == 1
    assert "upper bound" not in shown


def test_pictures_take_the_number_of_steps(
    program: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[int | None] = []
    # The module itself is not imported: it needs a screen.
    module = SimpleNamespace(main=lambda _out, *, steps=None: asked.append(steps))
    monkeypatch.setitem(sys.modules, "advclip_gui.gui.screenshots", module)
    assert program("screenshots", str(tmp_path), "--steps", "6").status == 0
    assert program("screenshots", str(tmp_path)).status == 0
    assert asked == [6, None]


def test_downloads_are_counted_in_megabytes() -> None:
    assert count_text("Downloading ViT-B/32", 12_300_000, 605_000_000) == "12.3 of 605.0 MB"
    assert count_text("Downloading ViT-B/32", 0, 0) == "0.0 MB"
    assert count_text("Scanning", 1200, 3000) == "1,200/3,000"


def test_on_a_terminal_progress_moves(capsys: pytest.CaptureFixture[str]) -> None:
    with Watcher(interactive=True) as watcher:
        watcher.control.progress("Scanning", 1, 2, "cats")
        watcher.control.progress("Hashing", 3, 0)
        watcher.control.report(Log(message="[a note]"))
        watcher.control.progress("Scanning", 2, 2)
    shown = capsys.readouterr().err
    assert "[a note]" in shown


def test_ctrl_c_cancels_at_the_next_step_and_twice_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    import signal

    before = signal.getsignal(signal.SIGINT)
    with Watcher(interactive=False) as watcher:
        control = watcher.control
        signal.raise_signal(signal.SIGINT)
        assert control.cancelled
        with pytest.raises(Cancelled):
            control.check()
        with pytest.raises(StopNow):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert "again to stop at once" in capsys.readouterr().err


def test_ctrl_c_before_the_work_begins_stops_at_once() -> None:
    import signal

    with Watcher(interactive=False), pytest.raises(StopNow):
        signal.raise_signal(signal.SIGINT)
