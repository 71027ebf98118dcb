"""From settings to everything a run stands on: images, split, backbone, adapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from advclip_gui.engine.backbones import Backbone, load_backbone
from advclip_gui.engine.class_names import prompt_names
from advclip_gui.engine.datasets.drawing import draw_split, scan_data
from advclip_gui.engine.datasets.loading import load_pixels, load_whole
from advclip_gui.engine.errors import DataError
from advclip_gui.engine.events import Log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.records import DatasetScan, Problem
    from advclip_gui.engine.datasets.sampling import Sample, Split
    from advclip_gui.engine.model_input import InputForm
    from advclip_gui.settings import RunSettings


_WHOLE_SIDE = 1.5
"""Side of whole training images, in sides of the model's input: small crops keep some detail."""


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Decoded images: uint8 (N, S, S, 3), labels int64 (N,), their relative paths.

    Attributes:
        ratios: width / height of the originals, float32 (N,), where the images are whole ones squashed
            to squares for random crops; None where they are what the model sees.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    paths: tuple[str, ...] = ()
    ratios: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """N."""
        return len(self.images)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What training starts from."""

    scan: DatasetScan
    split: Split
    class_names: tuple[str, ...]
    backbone: Backbone
    train: ImageSet
    monitor: ImageSet
    monitor_split: str
    """"val", or "test" where there is no validation set."""


def load_set(
    root: Path, samples: Sequence[Sample], model: Backbone | InputForm, control: Control
) -> ImageSet:
    """Decode samples as a model takes them; unreadable ones are left out and logged.

    Raises:
        DataError: not one of them can be read.
        Cancelled: through `control`.
    """
    images, labels, problems = load_pixels(
        root,
        samples,
        size=model.image_size,
        interpolation=model.interpolation,
        resize_mode=model.resize_mode,
        control=control,
    )
    if len(images) == 0:
        raise DataError(f"None of the {len(samples)} images in {root} could be read.")
    return ImageSet(images, labels, _left(samples, problems, control))


def load_whole_set(root: Path, samples: Sequence[Sample], backbone: Backbone, control: Control) -> ImageSet:
    """Decode whole samples for random crops, with detail to spare; otherwise as `load_set`."""
    images, labels, ratios, problems = load_whole(
        root,
        samples,
        side=round(_WHOLE_SIDE * backbone.image_size),
        interpolation=backbone.interpolation,
        control=control,
    )
    return ImageSet(images, labels, _left(samples, problems, control), ratios)


def _left(samples: Sequence[Sample], problems: Sequence[Problem], control: Control) -> tuple[str, ...]:
    """Paths of the samples that could be read; the others are logged."""
    for problem in problems:
        control.report(Log(message=f"Left out {problem.path}: {problem.message}", level="warning"))
    left_out = {problem.path for problem in problems}
    return tuple(sample.path for sample in samples if sample.path not in left_out)


def prepare(
    settings: RunSettings, *, device: torch.device, control: Control, split: Split | None = None
) -> Prepared:
    """Scan, sample, load the backbone and decode what training needs.

    Args:
        settings: of the run.
        device: for the backbone.
        control: progress and cancel.
        split: the recorded split of a run that is resumed.

    Raises:
        UserError: whatever is wrong with folder, images, backbone or checkpoint.
        Cancelled: through `control`.
    """
    data = settings.data
    scanned = scan_data(data, control)
    if split is None:
        split = draw_split(scanned, data)
        for note in split.notes:
            control.report(Log(message=note))
    names = prompt_names(scanned, data.class_names, split.class_folders)
    backbone = load_backbone(settings.backbone, device=device, control=control)
    load_train = load_whole_set if settings.training.augmentation == "paper" else load_set
    train = load_train(scanned.root, split.train, backbone, control)
    watched, name = (split.val, "val") if split.val else (split.test, "test")
    if not watched:
        watched, name = split.train, "train"
        control.report(
            Log(
                message="No validation or test images are left; the curves show training images.",
                level="warning",
            )
        )
    monitor = load_set(scanned.root, watched[: settings.monitor.images], backbone, control)
    return Prepared(scanned, split, names, backbone, train, monitor, name)
