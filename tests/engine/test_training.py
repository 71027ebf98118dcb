"""Training: it learns, it is exact, and it ends as it was told to."""

from __future__ import annotations

import json
import shutil
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from advclip_gui.engine import adapters, training
from advclip_gui.engine.adversary import Adversary, Perturbed
from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.errors import CheckpointError, DeviceError, StorageError, TrainingError
from advclip_gui.engine.events import CheckpointSaved, EvalDone, StepDone, TrainingStarted
from advclip_gui.engine.objective import Objective, divergence
from advclip_gui.engine.probe import ProbeRequest, probe
from advclip_gui.engine.run_import import look_at, take_in
from advclip_gui.engine.run_list import list_runs
from advclip_gui.engine.runs import RunFolder
from advclip_gui.engine.sound import SoundProtocol
from advclip_gui.engine.training import train
from advclip_gui.settings import AdversarySettings, TrainingSettings

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = adapters.WEIGHTS_FILE


def adapter_bytes(run_dir) -> bytes:
    return (run_dir / "adapter" / WEIGHTS).read_bytes()


class Watcher:
    """Collects events and may act on them."""

    def __init__(self, act=None) -> None:
        self.events: list[object] = []
        self.act = act
        self.control = Control(self)

    def __call__(self, event) -> None:
        self.events.append(event)
        if self.act is not None:
            self.act(event, self.control)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Where `reference` puts its run, once for this module."""
    return tmp_path_factory.mktemp("finished") / "run"


@pytest.fixture
def reference(finished, small_run) -> Path:
    """The folder of `small_run` without any interruption; only read."""
    if not finished.exists():
        train(small_run, control=Control(), run_dir=finished)
    return finished


def test_run_folder_is_whole(reference, small_run) -> None:
    run = RunFolder(reference)
    assert run.settings() == small_run
    assert run.state() == "finished"
    assert run.has_checkpoint
    assert {record["event"] for record in run.metrics()} == {"step", "eval"}
    split = run.split()
    assert len(split["train"]) == 12
    assert all(not entry["path"].startswith("/") and len(entry["sha256"]) == 64 for entry in split["train"])
    result = run.result()
    for model in ("adapter", "zero_shot"):
        entry = result[model]
        assert 0 <= entry["robust_accuracy"] <= entry["clean_accuracy"] <= 1
        low, high = entry["clean_interval"]
        assert low <= entry["clean_accuracy"] <= high
        assert entry["n"] == 6
    assert json.loads((reference / "environment.json").read_text())["packages"]["torch"]
    assert not list(reference.rglob("*.part"))
    summary = list_runs(reference.parent)[0]
    assert (summary.clean, summary.n, summary.state) == (result["adapter"]["clean_accuracy"], 6, "finished")


def test_same_settings_same_bytes(reference, small_run, tmp_path) -> None:
    train(small_run, control=Control(), run_dir=tmp_path / "again")
    assert adapter_bytes(tmp_path / "again") == adapter_bytes(reference)


def test_another_seed_another_adapter(reference, small_run, tmp_path) -> None:
    other = small_run.with_values({"training.seed": 1, "monitor.final_images": 0})
    train(other, control=Control(), run_dir=tmp_path / "other")
    assert adapter_bytes(tmp_path / "other") != adapter_bytes(reference)


def test_probes_in_between_change_nothing(reference, small_run, tmp_path, photo) -> None:
    lent = []
    flips = []

    def serve() -> None:
        if lent and lent[-1] is not None:
            torch.rand(3)  # a probe may draw from the global stream
            with lent[-1].borrow() as classifier:
                flips.append(probe(classifier, photo, ProbeRequest(steps=2), label=0, control=Control()))

    train(small_run, control=Control(serve=serve), run_dir=tmp_path / "probed", on_live=lent.append)
    assert len(flips) == 7  # before each step, and before the last evaluation
    assert lent[-1] is None
    assert adapter_bytes(tmp_path / "probed") == adapter_bytes(reference)
    # The probe sees the adapter change.
    assert flips[0].before != flips[-1].before


def test_imported_renamed_and_with_its_images_elsewhere_it_goes_on_to_the_same_bytes(
    reference, small_run, tmp_path
) -> None:
    def stop_at_three(event, control) -> None:
        if isinstance(event, EvalDone) and event.step == 3:
            control.stop()

    train(small_run, control=Watcher(stop_at_three).control, run_dir=tmp_path / "there" / "run")
    images = tmp_path / "moved"
    shutil.copytree(small_run.data.folder, images)
    plan = look_at(tmp_path / "there" / "run", Control())
    here = RunFolder(take_in(plan, Control(), root=tmp_path / "runs", data_folder=str(images)))
    here.rename("Another name")
    settings = here.settings()
    assert (settings.data.folder, settings.name) == (str(images), "Another name")
    train(settings, control=Control(), run_dir=here.path, resume=True)
    assert here.state() == "finished"
    assert adapter_bytes(here.path) == adapter_bytes(reference)


@pytest.mark.parametrize("kind", ["per_sample", "universal"])
def test_stopped_and_resumed_is_as_if_never_stopped(small_run, tmp_path, kind) -> None:
    settings = small_run.with_values({"adversary.kind": kind})
    train(settings, control=Control(), run_dir=tmp_path / "whole")

    def stop_at_three(event, control) -> None:
        if isinstance(event, EvalDone) and event.step == 3:
            control.stop()

    watcher = Watcher(stop_at_three)
    stopped = train(settings, control=watcher.control, run_dir=tmp_path / "run")
    assert (stopped.state, stopped.steps) == ("stopped", 3)
    assert RunFolder(tmp_path / "run").state() == "stopped"
    assert stopped.result["monitor"]["adapter"]["step"] == 3
    resumed = train(settings, control=Control(), run_dir=tmp_path / "run", resume=True)
    assert (resumed.state, resumed.steps) == ("finished", 6)
    assert adapter_bytes(tmp_path / "run") == adapter_bytes(tmp_path / "whole")
    ours, theirs = (
        [{k: v for k, v in r.items() if k not in {"steps_per_second", "seconds_left"}} for r in run.metrics()]
        for run in (RunFolder(tmp_path / "run"), RunFolder(tmp_path / "whole"))
    )
    assert [r for r in ours if r["event"] == "eval"] == [r for r in theirs if r["event"] == "eval"]


def test_a_resumed_run_may_be_stopped_before_its_first_evaluation(small_run, tmp_path) -> None:
    def stop_at_three(event, control) -> None:
        if isinstance(event, EvalDone) and event.step == 3:
            control.stop()

    train(small_run, control=Watcher(stop_at_three).control, run_dir=tmp_path / "run")
    control = Control()
    control.stop()
    stopped = train(small_run, control=control, run_dir=tmp_path / "run", resume=True)
    assert (stopped.state, stopped.steps) == ("stopped", 3)
    assert stopped.result["monitor"]["adapter"]["step"] == 3


def test_cancel_is_noticed_within_an_inner_step_and_can_be_resumed(small_run, tmp_path, monkeypatch) -> None:
    control = Control()
    perturb = Adversary.perturb
    calls: list[None] = []

    def cancelling(self, *given, **options) -> Perturbed:
        if len(calls) == 4:
            control.cancel()
        calls.append(None)
        return perturb(self, *given, **options)

    monkeypatch.setattr(Adversary, "perturb", cancelling)
    with pytest.raises(Cancelled):
        train(small_run, control=control, run_dir=tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    assert run.state() == "cancelled"
    monkeypatch.undo()
    train(small_run, control=Control(), run_dir=tmp_path / "run", resume=True)
    train(small_run, control=Control(), run_dir=tmp_path / "whole")
    assert adapter_bytes(tmp_path / "run") == adapter_bytes(tmp_path / "whole")


def test_pause_holds_between_steps_and_serves_probes(small_run, tmp_path) -> None:
    served = threading.Event()
    control = Control(serve=lambda: served.set() if control.paused else None)
    control.pause()
    result: list[training.RunResult] = []
    thread = threading.Thread(
        target=lambda: result.append(train(small_run, control=control, run_dir=tmp_path / "run"))
    )
    thread.start()
    assert served.wait(60)
    assert not result
    control.resume()
    thread.join(120)
    assert result[0].state == "finished"


def test_events_tell_the_whole_story(small_run, tmp_path) -> None:
    watcher = Watcher()
    train(small_run, control=watcher.control, run_dir=tmp_path / "run")
    started = watcher.of(TrainingStarted)[0]
    assert (started.total_steps, started.protocol, started.class_names) == (
        6,
        "sound",
        ("cat", "ship", "truck"),
    )
    evaluations = [(event.model, event.step) for event in watcher.of(EvalDone)]
    assert evaluations == [("zero-shot", 0), ("adapter", 3), ("adapter", 6)]
    assert [event.step for event in watcher.of(CheckpointSaved)] == [2, 4, 6]
    last = watcher.of(StepDone)[-1]
    assert last.adversarial_loss >= last.clean_loss - 1e-6
    assert last.inner_gain == pytest.approx(last.adversarial_loss - last.clean_loss)
    assert last.delta_norm == pytest.approx(2 / 255, abs=1e-6)


def test_training_lowers_the_adversarial_loss(small_run, tmp_path) -> None:
    settings = small_run.with_values(
        {
            "training.steps": 30,
            "training.augmentation": "none",
            "training.batch_size": 12,
            "training.learning_rate": 0.005,
            "lora.dropout": 0.0,
            "monitor.final_images": 0,
        }
    )
    watcher = Watcher()
    train(settings, control=watcher.control, run_dir=tmp_path / "run")
    losses = [event.adversarial_loss for event in watcher.of(StepDone)]
    assert losses[-1] < 0.7 * losses[0]


def test_without_an_adversary_it_is_plain_clip_lora(small_run, tmp_path) -> None:
    settings = small_run.with_values({"adversary.inner_steps": 0})
    watcher = Watcher()
    result = train(settings, control=watcher.control, run_dir=tmp_path / "run")
    assert result.result["method"] == "CLIP-LoRA"
    assert all(np.isnan(event.adversarial_loss) for event in watcher.of(StepDone))
    assert all(np.isfinite(event.clean_loss) for event in watcher.of(StepDone))


def poison(monkeypatch, factor: float, when) -> None:
    """Multiply the loss of some updates by NaN or infinity; `when` is asked with the update's number."""
    original, calls = SoundProtocol.loss, []

    def poisoned(self, *given) -> torch.Tensor:
        calls.append(None)
        return original(self, *given) * (factor if when(len(calls)) else 1.0)

    monkeypatch.setattr(SoundProtocol, "loss", poisoned)


class TestFailures:
    def test_non_finite_losses_are_skipped_then_end_the_run_with_the_last_good_adapter(
        self, small_run, tmp_path, monkeypatch
    ) -> None:
        poison(monkeypatch, torch.nan, lambda call: call > 2)
        settings = small_run.with_values({"training.steps": 20})
        with pytest.raises(TrainingError, match="5 times in a row"):
            train(settings, control=Control(), run_dir=tmp_path / "run")
        run = RunFolder(tmp_path / "run")
        assert run.state() == "failed"
        assert "Lower the learning rate" in run.state_message()
        assert all(value.isfinite().all() for value in load_file(run.adapter_dir / WEIGHTS).values())

    def test_a_single_bad_step_is_counted_and_passed_over(self, small_run, tmp_path, monkeypatch) -> None:
        poison(monkeypatch, torch.inf, lambda call: call == 3)
        result = train(small_run, control=Control(), run_dir=tmp_path / "run")
        assert result.result["skipped_steps"] == 1
        assert result.state == "finished"

    def test_out_of_memory_says_what_to_change(self, small_run, tmp_path, monkeypatch) -> None:
        def full(*_):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

        monkeypatch.setattr(SoundProtocol, "loss", full)
        with pytest.raises(DeviceError, match=r"with a single image at a time.*smaller backbone"):
            train(small_run, control=Control(), run_dir=tmp_path / "run")
        assert RunFolder(tmp_path / "run").state() == "failed"

    def test_a_full_disk_leaves_the_last_checkpoint(self, small_run, tmp_path, monkeypatch) -> None:
        def full(tensors, path, metadata=None):
            if len(calls) >= 1:
                raise OSError(28, "No space left on device")
            calls.append(None)
            return save_file(tensors, path, metadata=metadata)

        from safetensors.torch import save_file

        calls: list[None] = []
        monkeypatch.setattr("advclip_gui.engine.checkpoint.save_file", full)
        with pytest.raises(StorageError, match="disk is full"):
            train(small_run, control=Control(), run_dir=tmp_path / "run")
        monkeypatch.undo()
        run = RunFolder(tmp_path / "run")
        assert run.state() == "failed"
        assert not list((tmp_path / "run").rglob("*.part"))
        train(small_run, control=Control(), run_dir=tmp_path / "run", resume=True)
        assert run.state() == "finished"

    def test_resuming_needs_a_checkpoint_and_the_same_settings(self, reference, small_run, tmp_path) -> None:
        with pytest.raises(CheckpointError, match="no checkpoint"):
            train(small_run, control=Control(), run_dir=tmp_path / "none", resume=True)
        (tmp_path / "run" / "checkpoint").mkdir(parents=True)
        source = RunFolder(reference)
        (tmp_path / "run" / "checkpoint" / "state.safetensors").write_bytes(
            source.checkpoint_path.read_bytes()
        )
        (tmp_path / "run" / "split.json").write_text((reference / "split.json").read_text())
        other = small_run.with_values({"training.learning_rate": 0.02})
        with pytest.raises(CheckpointError, match="other settings"):
            train(other, control=Control(), run_dir=tmp_path / "run", resume=True)


class TestAdversary:
    """Against a linear loss g.x the best perturbation is eps * sign(g), away from the box edges."""

    def perturb(self, pixels, gradient, **settings):
        adversary = Adversary(AdversarySettings(**settings), 4, torch.device("cpu"))
        generator = torch.Generator().manual_seed(0)
        found = adversary.perturb(pixels, lambda x, part: (x * gradient).sum(), generator, Control())
        return found.delta, found.images

    @pytest.mark.parametrize("kind", ["per_sample", "universal"])
    @pytest.mark.parametrize("random_start", [False, True])
    def test_reaches_the_corner_of_the_ball(self, kind, random_start) -> None:
        torch.manual_seed(0)
        pixels = 0.3 + 0.4 * torch.rand(2, 3, 4, 4)
        gradient = torch.randn(1, 3, 4, 4)
        delta, result = self.perturb(
            pixels,
            gradient,
            kind=kind,
            inner_steps=10,
            epsilon=0.05,
            step_size=0.02,
            random_start=random_start,
        )
        torch.testing.assert_close(result - pixels, (0.05 * gradient.sign()).expand(2, 3, 4, 4))
        if kind == "universal":
            torch.testing.assert_close(delta, 0.05 * gradient.sign())

    def test_stays_in_the_box(self) -> None:
        pixels = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 4, 4).contiguous()
        _, result = self.perturb(pixels, torch.ones(1, 3, 4, 4), inner_steps=5, epsilon=0.1, step_size=0.05)
        assert result.min() >= 0
        assert result.max() <= 1
        assert torch.allclose(result[1], torch.ones(3, 4, 4))

    def test_the_universal_one_is_carried_over(self) -> None:
        settings = AdversarySettings(kind="universal", inner_steps=1, epsilon=0.1, step_size=0.02)
        adversary = Adversary(settings, 4, torch.device("cpu"))
        pixels, generator = torch.full((2, 3, 4, 4), 0.5), torch.Generator()
        for _ in range(3):
            found = adversary.perturb(pixels, lambda x, part: x.sum(), generator, Control())
            adversary.universal = found.delta
        assert torch.allclose(adversary.universal, torch.tensor(0.06))


class TestObjective:
    """Each term against its formula, from two plain forward passes."""

    @pytest.fixture
    def parts(self, backbone):
        from advclip_gui.engine.classifier import build_classifier

        classifier = build_classifier(backbone, ("cat", "ship", "truck"), ("{}",))
        torch.manual_seed(0)
        return classifier, torch.rand(4, 3, 16, 16), torch.rand(4, 3, 16, 16), torch.tensor([0, 1, 2, 1])

    @pytest.mark.parametrize(("share", "beta"), [(0.0, 0.0), (0.3, 0.0), (1.0, 6.0), (0.5, 1.0), (1.0, 0.0)])
    def test_formula(self, parts, share, beta) -> None:
        classifier, clean, adversarial, labels = parts
        settings = TrainingSettings(clean_share=share, trades_beta=beta)
        objective = Objective.of(settings)
        loss = objective.loss(classifier, classifier.text_features, clean, adversarial, labels)
        before, after = classifier(clean), classifier(adversarial)
        rows = torch.arange(4)
        ce_clean = -before.log_softmax(-1)[rows, labels].mean()
        ce_adversarial = -after.log_softmax(-1)[rows, labels].mean()
        p, q = before.softmax(-1), after.softmax(-1)
        kl = (p * (p / q).log()).sum(-1).mean()
        torch.testing.assert_close(loss, (1 - share) * ce_adversarial + share * ce_clean + beta * kl)
        torch.testing.assert_close(divergence(after, before), kl)
