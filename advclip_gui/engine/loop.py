"""Steps, reports, evaluations, checkpoints and the choice of the best adapter of one training."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING, Any, Literal

import torch

from advclip_gui.engine import adapters, released
from advclip_gui.engine.checkpoint import BestAdapter, TrainingState, load_state, save_state
from advclip_gui.engine.control import Cancelled, Interrupted
from advclip_gui.engine.errors import TrainingError
from advclip_gui.engine.events import PLAIN_TASK, CheckpointSaved, EvalDone, Event, Log, StepDone
from advclip_gui.engine.quick_accuracy import QuickAccuracy, quick_accuracy
from advclip_gui.engine.schedule import learning_rate

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from advclip_gui.engine.classifier import ClipClassifier
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.released import ReleasedAccuracy
    from advclip_gui.engine.runs import RunFolder
    from advclip_gui.engine.trainer import Trainer

_REPORT_EVERY = 5
"""Steps between two reports; diagnostics and the read-back of losses happen only then."""
_EVAL_BATCH = 128
_RATE_WINDOW = 20

Role = Literal["adapter", "clip-lora"]


class Loop:
    """One training from its first step to its last, of the run's adapter or of the plain one beside it.

    Attributes:
        last: the most recent evaluation, None before the first.
        best: the best adapter so far, where the run selects one.
        ended: whether training has come to its end, by its schedule or early.
    """

    def __init__(self, trainer: Trainer, control: Control, folder: RunFolder, role: Role = "adapter") -> None:
        """Prepare; nothing is computed yet."""
        self.trainer = trainer
        self.control = control
        self.folder = folder
        self.role = role
        self.settings = trainer.settings
        self.last: EvalDone | None = None
        self.best: BestAdapter | None = None
        self.ended = False
        self._eval_batch = _EVAL_BATCH
        self._times: list[float] = []
        self._kept: dict[str, Tensor] | None = None
        self._recorded: dict[tuple[str, int], dict[str, Any]] = {
            (record["model"], record["step"]): record
            for record in folder.metrics()
            if record.get("event") == "eval"
        }

    @property
    def checkpoint_path(self) -> Path:
        """Where this training's state is kept."""
        own = self.role == "adapter"
        return self.folder.checkpoint_path if own else self.folder.plain_checkpoint_path

    @property
    def adapter_dir(self) -> Path:
        """Where this training's adapter is kept."""
        return self.folder.adapter_dir if self.role == "adapter" else self.folder.plain_adapter_dir

    def restore(self, state: TrainingState) -> None:
        """Take up a saved state. Raises `CheckpointError` where it does not fit."""
        self.trainer.restore(state, str(self.folder.path))
        self.best, self.ended = state.best, state.ended
        steps = [step for model, step in self._recorded if model == self.role and step <= state.step]
        considered = state.best.seen if state.best is not None else -1
        if steps and (not self.settings.selects or max(steps) <= considered):
            self.last = _from_record(self._recorded[self.role, max(steps)])

    def restore_if_saved(self) -> None:
        """Take up the state on disk, if there is one. Raises `CheckpointError` where it does not fit."""
        if self.checkpoint_path.is_file():
            self.restore(load_state(self.checkpoint_path))

    def run(self) -> bool:
        """Train to the end or to the user's stop; return whether it was stopped.

        Raises:
            Cancelled: the state of the last whole step is saved.
            TrainingError: likewise.
            DeviceError: not even one image at a time fits into the device's memory.
        """
        try:
            while not self.ended:
                self.control.between_steps()
                if self.control.stop_requested:
                    break
                try:
                    self._next()
                except Interrupted:
                    continue  # what was left half-done is done again, or not at all after a stop
        except (Cancelled, TrainingError):
            self.save()
            raise
        self.save()
        self._kept = self.kept_adapter()
        return not self.ended

    def _next(self) -> None:
        """Do the evaluation that is due, or else one step."""
        trainer, total = self.trainer, self.settings.total_steps
        every = self.settings.monitor.every
        due = trainer.step > 0 and (trainer.step % every == 0 or trainer.step == total)
        if due and (self.last is None or self.last.step != trainer.step):
            self._choose(self.evaluate(self.role))
        if trainer.step == total:
            self.ended = True
        if not self.ended:
            self._step()

    def _step(self) -> None:
        trainer, total = self.trainer, self.settings.total_steps
        began = time.perf_counter()
        diagnose = (trainer.step + 1) % _REPORT_EVERY == 0 or trainer.step in {0, total - 1}
        scalars = trainer.advance(self.control.interruptible(), diagnose=diagnose)
        self._times = [*self._times[1 - _RATE_WINDOW :], time.perf_counter() - began]
        if diagnose:
            self._report(scalars, sum(self._times) / len(self._times))
        if trainer.step % self.settings.monitor.checkpoint_every == 0 and trainer.step < total:
            self.save()

    def _report(self, scalars: dict[str, Tensor], seconds: float) -> None:
        trainer, total = self.trainer, self.settings.total_steps
        if self.role != "adapter":
            self.control.progress(PLAIN_TASK, trainer.step, total)
            return
        values = {key: float(value) for key, value in scalars.items()}
        clean, adversarial = values.get("clean", math.nan), values.get("adversarial", math.nan)
        self._emit(
            StepDone(
                step=trainer.step,
                total_steps=total,
                adversarial_loss=adversarial,
                clean_loss=clean,
                inner_gain=adversarial - clean,
                delta_norm=values.get("delta", 0.0),
                gradient_norm=values["gradient"],
                gradient_norm_a=values["gradient_a"],
                gradient_norm_b=values["gradient_b"],
                learning_rate=learning_rate(self.settings.training, trainer.step - 1, total),
                flipped_share=values.get("flipped", 0.0),
                steps_per_second=1 / seconds,
                seconds_left=seconds * (total - trainer.step),
            )
        )
        if skipped := trainer.skipped:
            message = f"Skipped because the loss was not finite, so far: {skipped}."
            self.control.report(Log(message=message, level="warning"))

    def _emit(self, event: Event) -> None:
        self.folder.append(event)
        self.control.report(event)

    def evaluate(self, model: str) -> EvalDone:
        """Measure clean and robust accuracy on the monitor images; record and report them.

        What the run folder holds already is not measured again.

        Raises:
            Interrupted: the user wants to stop or to pause.
            Cancelled: through the control.
        """
        known = self._recorded.get((model, self.trainer.step))
        if known is not None:
            event = _from_record(known)
            self.control.report(event)
        else:
            event = self._measure(model)
            self._emit(event)
        self.last = event
        return event

    def _measure(self, model: str) -> EvalDone:
        settings, prepared = self.settings, self.trainer.prepared
        with self.trainer.evaluation_mode() as classifier:
            accuracy = self._accuracy(classifier)
        attack = f"PGD-{settings.monitor.attack_steps}"
        return EvalDone(
            step=self.trainer.step,
            model=model,
            n=accuracy.n,
            epsilon=settings.monitor.epsilon,
            attack=f"{attack}, as released" if settings.protocol == "released" else attack,
            split=prepared.monitor_split,
            clean_accuracy=accuracy.clean_accuracy,
            clean_interval=accuracy.clean_interval,
            robust_accuracy=accuracy.robust_accuracy,
            robust_interval=accuracy.robust_interval,
            norm=settings.monitor.norm,
        )

    def _accuracy(self, classifier: ClipClassifier) -> QuickAccuracy | ReleasedAccuracy:
        """Evaluate in batches the device's memory holds."""
        monitor, images = self.settings.monitor, self.trainer.prepared.monitor
        while True:
            try:
                if self.settings.protocol == "released":
                    return released.evaluate(
                        classifier,
                        images.images,
                        images.labels,
                        epsilon=monitor.epsilon,
                        steps=monitor.attack_steps,
                        batch_size=self._eval_batch,
                        control=self.control.interruptible(),
                    )
                return quick_accuracy(
                    classifier,
                    images.images,
                    images.labels,
                    epsilon=monitor.epsilon,
                    norm=monitor.norm,
                    steps=monitor.attack_steps,
                    batch_size=self._eval_batch,
                    seed=self.settings.training.seed,
                    control=self.control.interruptible(),
                )
            except torch.OutOfMemoryError:
                if self._eval_batch == 1:
                    raise
            self._eval_batch //= 2

    def _choose(self, event: EvalDone) -> None:
        """Keep the adapter if it is the best so far; end early where patience is exhausted."""
        best, patience = self.best, self.settings.training.patience
        if not self.settings.selects or (best is not None and best.seen >= event.step):
            return
        evaluations = (0 if best is None else best.evaluations) + 1
        if best is None or event.robust_accuracy > best.accuracy:
            adapter = adapters.adapter_state(self.trainer.backbone.model)
            self.best = BestAdapter(event.step, event.robust_accuracy, 0, evaluations, event.step, adapter)
            return
        self.best = dataclasses.replace(best, since=best.since + 1, evaluations=evaluations, seen=event.step)
        if 0 < patience <= self.best.since and self.trainer.step < self.settings.total_steps:
            self.ended = True
            self.control.report(
                Log(
                    message=f"Training ends early: the robust validation accuracy has not risen in "
                    f"{self.best.since} evaluations. The adapter of step {best.step} is kept."
                )
            )

    @property
    def kept_step(self) -> int:
        """Updates that the kept adapter has seen."""
        return self.trainer.step if self.best is None else self.best.step

    def kept_adapter(self) -> dict[str, Tensor]:
        """The adapter this training is about: the best where one is selected, else the current one."""
        if self.best is not None:
            return self.best.adapter
        if self._kept is not None:
            return self._kept  # another training may be using the backbone by now
        return adapters.adapter_state(self.trainer.backbone.model)

    def save(self) -> None:
        """Write checkpoint and kept adapter. Raises `StorageError`; the old files then stay."""
        trainer = self.trainer
        state = dataclasses.replace(trainer.state(), best=self.best, ended=self.ended)
        save_state(self.checkpoint_path, state)
        adapters.save_adapter(
            trainer.backbone, self.adapter_dir, state.adapter if self.best is None else self.best.adapter
        )
        self.control.report(CheckpointSaved(step=trainer.step, path=str(self.checkpoint_path)))


def _from_record(record: dict[str, Any]) -> EvalDone:
    names = {field.name for field in dataclasses.fields(EvalDone)}
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in record.items()
        if key in names
    }
    return EvalDone(**values)
