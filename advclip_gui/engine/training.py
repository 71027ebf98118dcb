"""Train AdvCLIP-LoRA: min over LoRA, max over the perturbation; one call is one run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from advclip_gui.engine.checkpoint import load_state
from advclip_gui.engine.control import Cancelled, Control, Interrupted
from advclip_gui.engine.datasets.sampling import split_from_json, split_to_json
from advclip_gui.engine.devices import choose_device, describe_device, keep_freed_memory
from advclip_gui.engine.errors import CheckpointError, DataError, DeviceError, UserError
from advclip_gui.engine.events import EvalDone, TrainingStarted
from advclip_gui.engine.final_figures import final_figures
from advclip_gui.engine.loop import Loop
from advclip_gui.engine.preparation import Prepared, prepare
from advclip_gui.engine.runs import RunFolder, RunState
from advclip_gui.engine.trainer import LiveAdapter, Trainer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from advclip_gui.settings import RunSettings


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    Attributes:
        run_dir: the run's folder, with the adapter in ``adapter/``.
        state: "finished" or "stopped" (the user's wish; what was learnt is kept).
        steps: updates done.
        result: what ``result.json`` holds: final figures of every model of the run.
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
            Each is answered within one inner step.
        run_dir: a folder of the run's own.
        resume: go on from the checkpoint in `run_dir`; a run that was cut off before its first one
            begins again, on the same images.
        on_live: is lent the live adapter before the first step, and None when it is gone.

    Raises:
        UserError: what is wrong and what to do; the run is marked failed, its last checkpoint stays.
        Cancelled: the run is marked cancelled, its checkpoint stays.
    """
    folder = RunFolder(run_dir)
    if resume and not folder.has_checkpoint and not folder.has_settings:
        raise CheckpointError(f"There is no checkpoint to resume from in {run_dir}.")
    try:
        folder.set_state("running")
        return _train(settings, control, folder, resume, on_live or (lambda live: None))
    except Cancelled:
        folder.set_state("cancelled")
        raise
    except torch.OutOfMemoryError as error:
        failure = DeviceError(
            "The device ran out of memory.", "Take a smaller backbone, or close what else uses the device."
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
    saved = load_state(folder.checkpoint_path) if resume and folder.has_checkpoint else None
    recorded = folder.split() if resume else None
    prepared = prepare(
        settings, device=device, control=control, split=split_from_json(recorded) if recorded else None
    )
    if settings.selects and prepared.monitor_split != "val":
        raise DataError(
            "There are no validation images to choose the best adapter by.",
            "Raise the validation shots, or switch 'keep best' and 'patience' off.",
        )
    trainer = Trainer(settings, prepared)
    if saved is None:
        split = split_to_json(prepared.split, prepared.scan.root, control=control)
        folder.start(
            settings,
            device=describe_device(device),
            split={
                **split,
                "class_names": list(prepared.class_names),
                "layout": prepared.scan.layout,
                "dataset": prepared.scan.dataset,
            },
        )
    if saved is None or not saved.ended:
        folder.keep_metrics_until(0 if saved is None else saved.step)
    main = Loop(trainer, control, folder)
    evaluations = _zero_shot(main, control)
    if saved is not None:
        main.restore(saved)
    control.report(
        TrainingStarted(
            run_dir=str(folder.path),
            total_steps=settings.total_steps,
            first_step=trainer.step,
            trainable_parameters=sum(matrix.numel() for matrix in trainer.matrices.values()),
            device=describe_device(device),
            protocol=settings.protocol,
            class_names=prepared.class_names,
            epsilon=settings.monitor.epsilon,
            norm=settings.monitor.norm,
        )
    )
    on_live(LiveAdapter(trainer))
    try:
        stopped = main.run()
    finally:
        on_live(None)
    plain = None if stopped else _compare(main, prepared, control, folder)
    result = _result(main, plain, stopped, evaluations)
    if not stopped:
        result |= final_figures(main, plain, control)
    folder.write_result(result)
    state: RunState = "stopped" if stopped else "finished"
    folder.set_state(state)
    return RunResult(folder.path, state, trainer.step, result)


def _zero_shot(main: Loop, control: Control) -> dict[str, EvalDone]:
    """Evaluate before the first step: B is zero, so the untrained adapter is zero-shot CLIP."""
    while not control.stop_requested:
        try:
            event = main.evaluate("zero-shot")
        except Interrupted:
            control.between_steps()
            continue
        main.last = None
        return {"zero-shot": event}
    return {}


def _compare(main: Loop, prepared: Prepared, control: Control, folder: RunFolder) -> Loop | None:
    """Train CLIP-LoRA on the same backbone, images and seeds, where that is wanted."""
    settings = main.settings
    if not settings.training.compare_plain or not settings.adversary.inner_steps:
        return None
    plain_settings = settings.model_copy(
        update={
            "adversary": settings.adversary.model_copy(update={"inner_steps": 0}),
            "training": settings.training.model_copy(update={"clean_share": 0.0, "trades_beta": 0.0}),
        }
    )
    with main.trainer.holding(main.kept_adapter()):
        plain = Loop(Trainer(plain_settings, prepared), control, folder, "clip-lora")
        plain.restore_if_saved()
        stopped = plain.run()
    return None if stopped else plain


def _result(
    main: Loop, plain: Loop | None, stopped: bool, evaluations: dict[str, EvalDone]
) -> dict[str, Any]:
    """What a run's end is, but for the final figures."""
    settings, trainer = main.settings, main.trainer
    for loop in (main, *([plain] if plain else [])):
        if loop.last is not None:
            evaluations[loop.role] = loop.last
    return {
        "state": "stopped" if stopped else "finished",
        "method": settings.method,
        "protocol": settings.protocol,
        "norm": settings.monitor.norm,
        "steps": trainer.step,
        "stopped_early": main.ended and trainer.step < settings.total_steps,
        "kept_step": main.kept_step,
        "evaluations": 0 if main.best is None else main.best.evaluations,
        "skipped_steps": trainer.skipped,
        "micro_batch": trainer.micro_batch,
        "trainable_parameters": sum(matrix.numel() for matrix in trainer.matrices.values()),
        "backbone_sha256": trainer.backbone.sha256,
        "class_names": list(trainer.prepared.class_names),
        "monitor": {model: asdict(event) for model, event in evaluations.items()},
    }
