"""The loop around a step: parts of a batch, interruption, the best adapter, and CLIP-LoRA beside."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file

from advclip_gui.engine import loop as loop_module
from advclip_gui.engine.adversary import Adversary
from advclip_gui.engine.checkpoint import load_state
from advclip_gui.engine.control import Control
from advclip_gui.engine.errors import DataError
from advclip_gui.engine.events import EvalDone, Log, Progress, StepDone
from advclip_gui.engine.runs import RunFolder
from advclip_gui.engine.sound import SoundProtocol
from advclip_gui.engine.training import train

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.settings import RunSettings

WEIGHTS = "adapter_model.safetensors"


def weights(folder: Path) -> bytes:
    return (folder / WEIGHTS).read_bytes()


@pytest.fixture
def short(small_run) -> RunSettings:
    """As `small_run`, without the final evaluation."""
    return small_run.with_values({"monitor.final_images": 0, "monitor.images": 4})


# --- a batch in parts -------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [{}, {"training.clean_share": 0.5, "training.trades_beta": 1.0}])
def test_accumulated_parts_are_the_whole_batch(short, tmp_path, extra) -> None:
    settings = short.with_values(
        {"training.steps": 2, "adversary.kind": "universal", "lora.dropout": 0.25, **extra}
    )
    train(settings, control=Control(), run_dir=tmp_path / "whole")
    parts = settings.with_values({"training.accumulation": 3})
    train(parts, control=Control(), run_dir=tmp_path / "parts")
    whole, summed = (load_file(tmp_path / name / "adapter" / WEIGHTS) for name in ("whole", "parts"))
    for key, value in whole.items():
        torch.testing.assert_close(summed[key], value, rtol=0, atol=1e-3)  # two updates move each by 2e-2


def out_of_memory_above(monkeypatch, images: int) -> None:
    original = SoundProtocol.loss

    def limited(self, classifier, text, batch, found, part):
        if part.stop - part.start > images:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return original(self, classifier, text, batch, found, part)

    monkeypatch.setattr(SoundProtocol, "loss", limited)


@pytest.mark.parametrize("kind", ["per_sample", "universal"])
def test_out_of_memory_halves_the_micro_batch_and_changes_nothing_else(
    short, tmp_path, monkeypatch, kind
) -> None:
    settings = short.with_values({"adversary.kind": kind})
    said: list[str] = []
    with monkeypatch.context() as patch:
        out_of_memory_above(patch, 1)
        result = train(
            settings,
            control=Control(lambda event: said.append(event.message) if isinstance(event, Log) else None),
            run_dir=tmp_path / "limited",
        )
    assert result.result["micro_batch"] == 1
    assert [text for text in said if "ran out of memory" in text] == [
        f"The device ran out of memory: from here on {count} images of a batch are computed at once and "
        "their gradients added up. The result stays the same."
        for count in (2, 1)
    ]
    train(settings.with_values({"training.accumulation": 4}), control=Control(), run_dir=tmp_path / "parts")
    assert weights(tmp_path / "limited" / "adapter") == weights(tmp_path / "parts" / "adapter")


def test_out_of_memory_in_an_evaluation_takes_smaller_batches(short, tmp_path, monkeypatch) -> None:
    original, sizes = loop_module.quick_accuracy, []

    def limited(*given, batch_size, **options):
        sizes.append(batch_size)
        if batch_size > 32:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(*given, batch_size=batch_size, **options)

    monkeypatch.setattr(loop_module, "quick_accuracy", limited)
    result = train(short, control=Control(), run_dir=tmp_path / "run")
    assert sizes[:3] == [128, 64, 32]
    assert set(sizes[3:]) == {32}
    assert result.state == "finished"


# --- stop and pause within an inner step ------------------------------------------------------


def at_inner_step(monkeypatch, number: int, act) -> None:
    """Call `act` just before the inner step with this number, counted over the whole run from 0."""
    original, counted = Adversary.perturb, []

    class Counting(Control):
        def __init__(self, seen: Control) -> None:
            super().__init__()
            self.seen = seen

        def check(self) -> None:
            if len(counted) == number:
                act()
            counted.append(None)
            self.seen.check()

    def perturb(self, pixels, loss, generator, control, **options):
        return original(self, pixels, loss, generator, Counting(control), **options)

    monkeypatch.setattr(Adversary, "perturb", perturb)


def test_stop_is_answered_within_an_inner_step(short, tmp_path, monkeypatch) -> None:
    control = Control()
    at_inner_step(monkeypatch, 9, control.stop)  # the second inner step of the fifth update
    stopped = train(short, control=control, run_dir=tmp_path / "run")
    assert (stopped.state, stopped.steps) == ("stopped", 4)
    monkeypatch.undo()
    train(short, control=Control(), run_dir=tmp_path / "run", resume=True)
    train(short, control=Control(), run_dir=tmp_path / "whole")
    assert weights(tmp_path / "run" / "adapter") == weights(tmp_path / "whole" / "adapter")


@pytest.mark.parametrize("kind", ["per_sample", "universal"])
def test_pause_is_answered_within_an_inner_step_and_changes_nothing(
    short, tmp_path, monkeypatch, kind
) -> None:
    settings = short.with_values({"adversary.kind": kind})
    served: list[int] = []
    steps: list[int] = []

    def serve() -> None:
        if control.paused:
            served.append(steps[-1])
            control.resume()

    control = Control(serve=serve)
    with monkeypatch.context() as patch:
        at_inner_step(patch, 5, control.pause)
        lent: list = []

        def watch(live) -> None:
            lent.append(live)
            steps.append(0)

        original = SoundProtocol.commit

        def commit(self, found):
            original(self, found)
            steps.append(steps[-1] + 1)

        patch.setattr(SoundProtocol, "commit", commit)
        train(settings, control=control, run_dir=tmp_path / "paused", on_live=watch)
    assert served == [2]  # two whole updates; the third was left in its second inner step
    train(settings, control=Control(), run_dir=tmp_path / "whole")
    assert weights(tmp_path / "paused" / "adapter") == weights(tmp_path / "whole" / "adapter")


def test_stop_leaves_an_evaluation_at_once(short, tmp_path, monkeypatch) -> None:
    control = Control()
    original = loop_module.quick_accuracy

    def stopping(*given, **options):
        if evaluated:
            control.stop()
        evaluated.append(None)
        return original(*given, **options)

    evaluated: list[None] = []
    monkeypatch.setattr(loop_module, "quick_accuracy", stopping)
    stopped = train(short, control=control, run_dir=tmp_path / "run")
    assert (stopped.state, stopped.steps) == ("stopped", 3)
    assert "adapter" not in stopped.result["monitor"]
    assert len(evaluated) == 2


# --- the best adapter -------------------------------------------------------------------------


def scripted(monkeypatch, accuracies: list[float]) -> None:
    """Let the evaluations of the adapter say these robust accuracies, one after another."""
    original = loop_module.Loop._measure
    left = list(accuracies)

    def measure(self, model):
        event = original(self, model)
        return event if model == "zero-shot" else dataclasses.replace(event, robust_accuracy=left.pop(0))

    monkeypatch.setattr(loop_module.Loop, "_measure", measure)


def copies(monkeypatch) -> dict[int, bytes]:
    """The adapter at every evaluated step."""
    kept: dict[int, bytes] = {}
    original = loop_module.Loop._choose

    def choose(self, event):
        from safetensors.torch import save

        from advclip_gui.engine import adapters

        state = adapters.adapter_state(self.trainer.backbone.model)
        kept[event.step] = save(state, {"format": "pt"})
        original(self, event)

    monkeypatch.setattr(loop_module.Loop, "_choose", choose)
    return kept


def test_patience_ends_early_and_keeps_the_best(short, tmp_path, monkeypatch) -> None:
    settings = short.with_values({"training.steps": 12, "training.patience": 2, "monitor.every": 2})
    scripted(monkeypatch, [0.2, 0.6, 0.6, 0.5, 0.9, 0.9])
    seen = copies(monkeypatch)
    result = train(settings, control=Control(), run_dir=tmp_path / "run")
    values = {key: result.result[key] for key in ("steps", "kept_step", "stopped_early", "evaluations")}
    assert values == {"steps": 8, "kept_step": 4, "stopped_early": True, "evaluations": 4}
    assert weights(tmp_path / "run" / "adapter") == seen[4] != seen[8]
    assert RunFolder(tmp_path / "run").state() == "finished"


def test_keep_best_trains_to_the_end(short, tmp_path, monkeypatch) -> None:
    settings = short.with_values({"training.keep_best": True, "monitor.every": 2})
    scripted(monkeypatch, [0.1, 0.7, 0.3])
    seen = copies(monkeypatch)
    result = train(settings, control=Control(), run_dir=tmp_path / "run")
    assert (result.steps, result.result["kept_step"], result.result["stopped_early"]) == (6, 4, False)
    assert weights(tmp_path / "run" / "adapter") == seen[4]
    state = load_state(RunFolder(tmp_path / "run").checkpoint_path)
    assert (state.step, state.ended) == (6, True)


@pytest.mark.parametrize("stop_at", [2, 4, 5])
def test_the_best_adapter_survives_a_stop(short, tmp_path, monkeypatch, stop_at) -> None:
    settings = short.with_values({"training.steps": 12, "training.patience": 2, "monitor.every": 2})
    control = Control()
    with monkeypatch.context() as patch:
        scripted(patch, [0.2, 0.6, 0.6, 0.5, 0.9, 0.9])
        at_inner_step(patch, 2 * stop_at, control.stop)
        stopped = train(settings, control=control, run_dir=tmp_path / "run")
        assert stopped.steps == stop_at
        patch.undo()
        scripted(patch, [0.2, 0.6, 0.6, 0.5, 0.9, 0.9][stop_at // 2 :])
        resumed = train(settings, control=Control(), run_dir=tmp_path / "run", resume=True)
    assert (resumed.steps, resumed.result["kept_step"], resumed.result["evaluations"]) == (8, 4, 4)


def test_selection_needs_validation_images(short, tmp_path) -> None:
    settings = short.with_values({"training.keep_best": True, "data.val_shots": 0})
    with pytest.raises(DataError, match=r"no validation images.*Raise the validation shots"):
        train(settings, control=Control(), run_dir=tmp_path / "run")


# --- CLIP-LoRA beside -------------------------------------------------------------------------


def test_three_models_on_the_same_images(small_run, tmp_path) -> None:
    settings = small_run.with_values({"training.compare_plain": True})
    events: list[object] = []
    result = train(settings, control=Control(events.append), run_dir=tmp_path / "run").result
    assert [result[key]["n"] for key in ("zero_shot", "clip_lora", "adapter")] == [6, 6, 6]
    digests = {result[key]["evaluation"]["provenance"]["split_digest"] for key in ("zero_shot", "adapter")}
    assert len(digests) == 1
    assert "adapter_sha256" not in result["zero_shot"]["evaluation"]["provenance"]
    assert [(e.model, e.step) for e in events if isinstance(e, EvalDone)] == [
        ("zero-shot", 0), ("adapter", 3), ("adapter", 6), ("clip-lora", 3), ("clip-lora", 6),
    ]  # fmt: skip
    assert [e.step for e in events if isinstance(e, StepDone)] == [1, 5, 6]
    assert any(isinstance(e, Progress) and e.task == loop_module.PLAIN_TASK for e in events)
    # Each is what it would be alone.
    train(small_run, control=Control(), run_dir=tmp_path / "adversarial")
    assert weights(tmp_path / "run" / "adapter") == weights(tmp_path / "adversarial" / "adapter")
    plain = small_run.with_values({"adversary.inner_steps": 0})
    alone = train(plain, control=Control(), run_dir=tmp_path / "plain").result
    assert weights(tmp_path / "run" / "clip-lora") == weights(tmp_path / "plain" / "adapter")
    assert alone["adapter"]["robust_accuracy"] == result["clip_lora"]["robust_accuracy"]


def test_a_run_cut_off_while_clip_lora_trains_goes_on_there(short, tmp_path) -> None:
    settings = short.with_values({"training.compare_plain": True})

    def stop(event: object) -> None:
        if isinstance(event, EvalDone) and (event.model, event.step) == ("clip-lora", 3):
            control.stop()

    control = Control(stop)
    train(settings, control=control, run_dir=tmp_path / "run")
    assert load_state(RunFolder(tmp_path / "run").plain_checkpoint_path).step == 3
    before = weights(tmp_path / "run" / "adapter")
    train(settings, control=Control(), run_dir=tmp_path / "run", resume=True)
    assert weights(tmp_path / "run" / "adapter") == before
    train(settings, control=Control(), run_dir=tmp_path / "whole")
    assert weights(tmp_path / "run" / "clip-lora") == weights(tmp_path / "whole" / "clip-lora")


# --- the released protocol and lower precision ------------------------------------------------


def test_a_released_run_is_stopped_resumed_and_evaluated(small_run, tmp_path) -> None:
    settings = small_run.under("released")
    whole = train(settings, control=Control(), run_dir=tmp_path / "whole").result
    assert whole["protocol"] == "released"
    for key in ("zero_shot", "adapter"):
        figures = whole[key]
        assert figures["n"] == 6
        assert figures["robust_accuracy"] <= figures["fgsm_accuracy"] + 1e-9
        assert "evaluation" not in figures  # which holds sound figures only

    def stop_at_three(event: object) -> None:
        if isinstance(event, EvalDone) and event.step == 3:
            control.stop()

    control = Control(stop_at_three)
    train(settings, control=control, run_dir=tmp_path / "run")
    train(settings, control=Control(), run_dir=tmp_path / "run", resume=True)
    assert weights(tmp_path / "run" / "adapter") == weights(tmp_path / "whole" / "adapter")


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("protocol", ["sound", "released"])
def test_lower_precision_learns_and_keeps_its_adapter_in_float32(
    short, tmp_path, precision, protocol
) -> None:
    settings = short.with_values({"precision": precision, "training.steps": 6}).under(protocol)
    result = train(settings, control=Control(), run_dir=tmp_path / "run")
    # Half precision starts with a loss scale that may be too large, and halves it.
    assert result.result["skipped_steps"] <= (2 if precision == "float16" else 0)
    state = load_file(tmp_path / "run" / "adapter" / WEIGHTS)
    assert {value.dtype for value in state.values()} == {torch.float32}
    moved = [value for key, value in state.items() if "lora_B" in key]
    assert all(value.isfinite().all() and value.any() for value in moved)
