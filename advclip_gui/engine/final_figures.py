"""The end of a run: zero-shot CLIP, CLIP-LoRA and AdvCLIP-LoRA on the same test images."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from advclip_gui.engine import adapters, released
from advclip_gui.engine.backbones import file_sha256
from advclip_gui.engine.control import Interrupted
from advclip_gui.engine.datasets.sampling import split_digest
from advclip_gui.engine.errors import DeviceError
from advclip_gui.engine.evaluation import evaluate
from advclip_gui.engine.preparation import ImageSet, load_set

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

    from advclip_gui.engine.classifier import ClipClassifier
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.evaluation_result import Evaluation
    from advclip_gui.engine.loop import Loop

Found = TypeVar("Found")
_BATCHES = (None, 32, 8, 1)
"""Images at a time: what suits the device, then less where its memory does not hold them."""


def final_figures(main: Loop, plain: Loop | None, control: Control) -> dict[str, Any]:
    """Evaluate every model of a run; what a stop leaves no time for is left out.

    Args:
        main: the run's own training.
        plain: the CLIP-LoRA training beside it, where there was one.
        control: a pause holds in place; a stop ends it.

    Returns:
        "adapter", "clip_lora" (where there is one) and "zero_shot", each with n, accuracies and
        intervals; nothing where there are no test images.

    Raises:
        Cancelled: through `control`.
    """
    trainer, settings = main.trainer, main.settings
    test = trainer.prepared.split.test[: settings.monitor.final_images]
    if not test:
        return {}
    images = load_set(trainer.prepared.scan.root, test, trainer.backbone, control)
    learnt = main.kept_adapter()
    models: list[tuple[str, str, Mapping[str, Tensor], Path | None]] = [
        ("adapter", settings.method, learnt, main.adapter_dir)
    ]
    if plain is not None:
        models.append(("clip_lora", plain.settings.method, plain.kept_adapter(), plain.adapter_dir))
    models.append(("zero_shot", "zero-shot", _untrained(learnt), None))
    figures: dict[str, Any] = {}
    try:
        for key, name, adapter, folder in models:
            with trainer.holding(adapter), trainer.evaluation_mode() as classifier:
                figures[key] = _figures(main, classifier, images, name, folder, control.holding())
    except Interrupted:
        pass  # the user is waiting: the models measured so far are reported
    return figures


def _untrained(adapter: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """With B zero the model is zero-shot CLIP."""
    return {key: value if "lora_A" in key else torch.zeros_like(value) for key, value in adapter.items()}


def _figures(
    main: Loop, classifier: ClipClassifier, images: ImageSet, name: str, folder: Path | None, control: Control
) -> dict[str, Any]:
    monitor = main.settings.monitor
    if main.settings.protocol == "released":
        accuracy = in_smaller_batches(
            lambda size: released.evaluate(
                classifier,
                images.images,
                images.labels,
                epsilon=monitor.epsilon,
                steps=monitor.attack_steps,
                batch_size=size or 64,
                control=control,
            )
        )
        return {"epsilon": monitor.epsilon, **dataclasses.asdict(accuracy)}
    provenance = _provenance(main, folder, control)
    evaluation: Evaluation = in_smaller_batches(
        lambda size: evaluate(
            classifier,
            images.images,
            images.labels,
            epsilons=[monitor.epsilon],
            norm=monitor.norm,
            attack="quick",
            steps=monitor.attack_steps,
            batch_size=size,
            seed=main.settings.training.seed,
            control=control,
            model_name=name,
            provenance=provenance,
        )
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


def in_smaller_batches(measure: Callable[[int | None], Found]) -> Found:
    """Measure as many at a time as suit the device (None), then fewer where its memory does not hold them."""
    for size in _BATCHES[:-1]:
        try:
            return measure(size)
        except (DeviceError, torch.OutOfMemoryError):
            continue
    return measure(_BATCHES[-1])


def _provenance(main: Loop, folder: Path | None, control: Control) -> dict[str, Any]:
    trainer, settings = main.trainer, main.settings
    values: dict[str, Any] = {
        "protocol": settings.protocol,
        "backbone": trainer.backbone.title,
        "backbone_sha256": trainer.backbone.sha256,
        "split_digest": split_digest(trainer.prepared.split),
        "prompts": list(settings.data.templates),
    }
    if folder is not None:
        values["adapter_sha256"] = file_sha256(folder / adapters.WEIGHTS_FILE, control)
    return values
