"""Train AdvCLIP-LoRA in the sound protocol: min over LoRA, max over the perturbation."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from advclip_gui.engine import adapters
from advclip_gui.engine.backbones import file_sha256
from advclip_gui.engine.checkpoint import load_state, save_state
from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.datasets.sampling import split_digest, split_from_json, split_to_json
from advclip_gui.engine.devices import choose_device, describe_device, keep_freed_memory
from advclip_gui.engine.errors import DeviceError, TrainingError, UserError
from advclip_gui.engine.evaluation import evaluate
from advclip_gui.engine.events import CheckpointSaved, EvalDone, Event, Log, StepDone, TrainingStarted
from advclip_gui.engine.preparation import ImageSet, load_set, prepare
from advclip_gui.engine.quick_accuracy import quick_accuracy
from advclip_gui.engine.runs import RunFolder
from advclip_gui.engine.schedule import learning_rate
from advclip_gui.engine.trainer import LiveAdapter, Trainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor

    from advclip_gui.engine.classifier import ClipClassifier
    from advclip_gui.settings import RunSettings

_REPORT_EVERY = 5
"""Steps between two reports; diagnostics and the read-back of losses happen only then."""
_EVAL_BATCH = 128
_RATE_WINDOW = 20


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    Attributes:
        run_dir: the run's folder, with the adapter in ``adapter/``.
        state: "finished" or "stopped" (the user's wish; what was learnt is kept).
        steps: updates done.
        result: what ``result.json`` holds: final figures of zero-shot and adapter.
    """

    run_dir: Path
    state: str
    steps: int
    result: dict[str, Any]


def train(
    settings: RunSettings,
    *,
    control: Control,
    run_dir: Path,
    resume: bool = False,
    on_live: Callable[[LiveAdapter | None], None] | None = None,
) -> RunResult:
    """Run a whole training and leave everything it produced in `run_dir`.

    The same settings, seeds, device and versions give the same adapter, also when probes are served
    in between, and when the run is cut off and resumed at any step.

    Args:
        settings: of the run; with `resume` they must be those the run was started with.
        control: cancel, stop (keeps what is learnt), pause, events, and probes between two steps.
        run_dir: a folder of the run's own.
        resume: go on from the checkpoint in `run_dir`.
        on_live: is lent the live adapter before the first step, and None when it is gone.

    Raises:
        UserError: what is wrong and what to do; the run is marked failed, its last checkpoint stays.
        Cancelled: the run is marked cancelled, its checkpoint stays.
    """
    folder = RunFolder(run_dir)
    try:
        folder.set_state("running")
        return _train(settings, control, folder, resume, on_live or (lambda live: None))
    except Cancelled:
        folder.set_state("cancelled")
        raise
    except torch.OutOfMemoryError as error:
        half = max(1, settings.training.batch_size // 2)
        failure = DeviceError(
            "The device ran out of memory.",
            f"Lower the batch size from {settings.training.batch_size} to {half}, or take another backbone.",
        )
        folder.set_state("failed", str(failure))
        raise failure from error
    except UserError as error:
        folder.set_state("failed", str(error))
        raise
    except BaseException as error:
        folder.set_state("failed", f"{type(error).__name__}: {error}")
        raise


def _train(
    settings: RunSettings,
    control: Control,
    folder: RunFolder,
    resume: bool,
    on_live: Callable[[LiveAdapter | None], None],
) -> RunResult:
    keep_freed_memory()
    device = choose_device(settings.device)
    saved = load_state(folder.checkpoint_path) if resume else None
    recorded = folder.split() if resume else None
    prepared = prepare(
        settings, device=device, control=control, split=split_from_json(recorded) if recorded else None
    )
    trainer = Trainer(settings, prepared)
    if saved is None:
        split = split_to_json(prepared.split, prepared.scan.root, control=control)
        folder.start(
            settings,
            device=describe_device(device),
            split={**split, "class_names": list(prepared.class_names)},
        )
    else:
        folder.keep_metrics_until(saved.step)
    loop = _Loop(trainer, control, folder)
    # B is zero, so the untrained adapter is zero-shot CLIP.
    zero_shot = loop.monitor("zero-shot")
    if saved is not None:
        trainer.restore(saved, str(folder.path))
    control.report(
        TrainingStarted(
            run_dir=str(folder.path),
            total_steps=settings.total_steps,
            first_step=trainer.step,
            trainable_parameters=sum(p.numel() for p in trainer.parameters),
            device=describe_device(device),
            protocol=settings.protocol,
            class_names=prepared.class_names,
            epsilon=settings.monitor.epsilon,
        )
    )
    on_live(LiveAdapter(trainer))
    try:
        stopped = loop.run(zero_shot)
        result = loop.final_result(stopped)
    except Cancelled:
        loop.save()
        raise
    except TrainingError:
        loop.save()
        raise
    finally:
        on_live(None)
    folder.write_result(result)
    state = "stopped" if stopped else "finished"
    folder.set_state("stopped" if stopped else "finished")
    return RunResult(folder.path, state, trainer.step, result)


class _Loop:
    """Steps, reports, evaluations and checkpoints of one run."""

    def __init__(self, trainer: Trainer, control: Control, folder: RunFolder) -> None:
        self.trainer = trainer
        self.control = control
        self.folder = folder
        self.settings = trainer.settings
        self.last_monitor: dict[str, EvalDone] = {}
        self._zero_shot_final: dict[str, Any] | None = None

    def emit(self, event: Event) -> None:
        """Write an event to the run folder and report it."""
        self.folder.append(event)
        self.control.report(event)

    def run(self, zero_shot: EvalDone) -> bool:
        """Train to the end or to the user's stop; return whether it was stopped."""
        trainer, monitor, total = self.trainer, self.settings.monitor, self.settings.total_steps
        if trainer.step == 0:
            self.last_monitor["adapter"] = zero_shot
        times: list[float] = []
        while trainer.step < total:
            self.control.between_steps()
            if self.control.stop_requested:
                break
            began = time.perf_counter()
            diagnose = (trainer.step + 1) % _REPORT_EVERY == 0 or trainer.step in {0, total - 1}
            scalars = trainer.advance(self.control, diagnose=diagnose)
            times = [*times[1 - _RATE_WINDOW :], time.perf_counter() - began]
            if diagnose:
                self._report(scalars, sum(times) / len(times))
            if trainer.step % monitor.every == 0 or trainer.step == total:
                self.monitor("adapter")
            if trainer.step % monitor.checkpoint_every == 0 and trainer.step < total:
                self.save()
        stopped = trainer.step < total
        last = self.last_monitor.get("adapter")  # none yet in a resumed run
        if stopped and (last is None or last.step != trainer.step):
            self.monitor("adapter")
        self.save()
        return stopped

    def _report(self, scalars: dict[str, Tensor], seconds: float) -> None:
        values = {key: float(value) for key, value in scalars.items()}
        trainer, total = self.trainer, self.settings.total_steps
        clean, adversarial = values.get("clean", math.nan), values.get("adversarial", math.nan)
        self.emit(
            StepDone(
                step=trainer.step,
                total_steps=total,
                adversarial_loss=adversarial,
                clean_loss=clean,
                inner_gain=adversarial - clean,
                delta_norm=values.get("delta", 0.0),
                gradient_norm=values["gradient"],
                learning_rate=learning_rate(self.settings.training, trainer.step - 1, total),
                flipped_share=values.get("flipped", 0.0),
                steps_per_second=1 / seconds,
                seconds_left=seconds * (total - trainer.step),
            )
        )
        if trainer.skipped:
            message = f"Skipped because the loss was not finite, so far: {trainer.skipped}."
            self.control.report(Log(message=message, level="warning"))

    def monitor(self, model: str) -> EvalDone:
        """Evaluate clean and robust accuracy on the monitor images and record them."""
        settings, prepared = self.settings, self.trainer.prepared
        with self.trainer.evaluation_mode() as classifier:
            accuracy = quick_accuracy(
                classifier,
                prepared.monitor.images,
                prepared.monitor.labels,
                epsilon=settings.monitor.epsilon,
                steps=settings.monitor.attack_steps,
                batch_size=_EVAL_BATCH,
                seed=settings.training.seed,
                control=self.control,
            )
        event = EvalDone(
            step=self.trainer.step,
            model=model,
            n=accuracy.n,
            epsilon=settings.monitor.epsilon,
            attack=f"PGD-{settings.monitor.attack_steps}",
            split=prepared.monitor_split,
            clean_accuracy=accuracy.clean_accuracy,
            clean_interval=accuracy.clean_interval,
            robust_accuracy=accuracy.robust_accuracy,
            robust_interval=accuracy.robust_interval,
        )
        self.last_monitor[model] = event
        already = any(r.get("model") == model and r.get("step") == event.step for r in self.folder.metrics())
        if already:
            self.control.report(event)
        else:
            self.emit(event)
        return event

    def save(self) -> None:
        """Write checkpoint and adapter; a full disk costs the checkpoint, never the run."""
        trainer = self.trainer
        save_state(self.folder.checkpoint_path, trainer.state())
        adapters.save_adapter(trainer.backbone, self.folder.adapter_dir)
        self.control.report(CheckpointSaved(step=trainer.step, path=str(self.folder.checkpoint_path)))

    def final_result(self, stopped: bool) -> dict[str, Any]:
        """Final figures on test images (left out after a stop: the user is waiting)."""
        settings, trainer = self.settings, self.trainer
        result: dict[str, Any] = {
            "state": "stopped" if stopped else "finished",
            "method": settings.method,
            "protocol": settings.protocol,
            "steps": trainer.step,
            "skipped_steps": trainer.skipped,
            "trainable_parameters": sum(p.numel() for p in trainer.parameters),
            "backbone_sha256": trainer.backbone.sha256,
            "class_names": list(trainer.prepared.class_names),
            "monitor": {model: asdict(event) for model, event in self.last_monitor.items()},
        }
        test = trainer.prepared.split.test[: settings.monitor.final_images]
        if stopped or not test:
            return result
        images = load_set(trainer.prepared.scan.root, test, trainer.backbone, self.control)
        with self.trainer.evaluation_mode() as classifier:
            result["adapter"] = self._final(classifier, images, settings.method)
        with self._without_adapter() as classifier:
            result["zero_shot"] = self._final(classifier, images, "zero-shot")
        return result

    @contextmanager
    def _without_adapter(self) -> Iterator[ClipClassifier]:
        """Within: zero-shot CLIP, the adapter's B set to zero; it is put back exactly."""
        learnt = adapters.adapter_state(self.trainer.backbone.model)
        zero = {key: value if "lora_A" in key else torch.zeros_like(value) for key, value in learnt.items()}
        adapters.load_adapter_state(self.trainer.backbone.model, zero, source="memory")
        try:
            with self.trainer.evaluation_mode() as classifier:
                yield classifier
        finally:
            adapters.load_adapter_state(self.trainer.backbone.model, learnt, source="memory")

    def _final(self, classifier: ClipClassifier, images: ImageSet, model_name: str) -> dict[str, Any]:
        settings = self.settings
        evaluation = evaluate(
            classifier,
            images.images,
            images.labels,
            epsilons=[settings.monitor.epsilon],
            attack="quick",
            steps=settings.monitor.attack_steps,
            seed=settings.training.seed,
            control=self.control,
            model_name=model_name,
            provenance={
                "protocol": settings.protocol,
                "backbone": self.trainer.backbone.title,
                "backbone_sha256": self.trainer.backbone.sha256,
                "adapter_sha256": file_sha256(self.folder.adapter_dir / adapters.WEIGHTS_FILE, self.control),
                "split_digest": split_digest(self.trainer.prepared.split),
                "prompts": list(settings.data.templates),
            },
        )
        first = evaluation.epsilons[0]
        return {
            "n": evaluation.n,
            "epsilon": first.epsilon,
            "clean_accuracy": evaluation.clean_accuracy,
            "clean_interval": list(evaluation.clean_interval),
            "robust_accuracy": first.robust_accuracy,
            "robust_interval": list(first.interval),
            "evaluation": evaluation.to_json(),
        }
