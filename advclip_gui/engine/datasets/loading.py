"""Decode the images of a split: to the pixels that the model sees, or whole for random crops."""

from __future__ import annotations

import math
import tempfile
from typing import TYPE_CHECKING

from advclip_gui.engine.datasets.folder import bad_image_sentence
from advclip_gui.engine.datasets.pool import map_files
from advclip_gui.engine.datasets.records import Problem
from advclip_gui.engine.errors import DataError
from advclip_gui.engine.images import BadImageError, open_image, prepare

_LARGEST_SHARE = 0.5
"""Of the available memory that decoded images may take; beyond that the disk holds them."""

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.sampling import Sample


def load_pixels(
    root: Path,
    samples: Sequence[Sample],
    *,
    size: int,
    interpolation: str = "bicubic",
    resize_mode: str = "shortest",
    control: Control,
    task: str = "Loading images",
) -> tuple[NDArray[np.uint8], NDArray[np.int64], list[Problem]]:
    """Read and prepare images in a few threads; what cannot be read is skipped.

    Args:
        root: folder that the samples' paths are relative to.
        samples: which images, in which order.
        size: the backbone's input size in pixels.
        interpolation: as for `images.prepare`.
        resize_mode: as for `images.prepare`.
        control: reports progress and cancels.
        task: what the progress is called.

    Returns:
        pixels uint8 (N, size, size, 3), labels int64 (N,), and a problem for each skipped image. The
        rows are the samples whose path is in no problem, in their order.

    Raises:
        DataError: there are samples, but none can be read; or memory does not hold them.
        Cancelled: the user asked for it.
    """
    pixels, labels, _, problems = _load(root, samples, size, interpolation, resize_mode, control, task)
    return pixels, labels, problems


def load_whole(
    root: Path,
    samples: Sequence[Sample],
    *,
    side: int,
    interpolation: str = "bicubic",
    control: Control,
    task: str = "Loading images",
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32], list[Problem]]:
    """Read whole images, squashed to squares of one side; what cannot be read is skipped.

    Args:
        root: folder that the samples' paths are relative to.
        samples: which images, in which order.
        side: of the squares, in pixels.
        interpolation: as for `images.prepare`.
        control: reports progress and cancels.
        task: what the progress is called.

    Returns:
        As `load_pixels`, with each image's width / height, float32 (N,), in third place.

    Raises:
        DataError: there are samples, but none can be read; or memory does not hold them.
        Cancelled: the user asked for it.
    """
    return _load(root, samples, side, interpolation, "squash", control, task)


def _load(
    root: Path,
    samples: Sequence[Sample],
    size: int,
    interpolation: str,
    resize_mode: str,
    control: Control,
    task: str,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32], list[Problem]]:
    import numpy as np

    def load(sample: Sample) -> tuple[NDArray[np.uint8], float] | BadImageError:
        try:
            image = open_image(root / sample.path)
            return prepare(image, size, interpolation, resize_mode), image.width / image.height
        except BadImageError as error:
            return error

    problems: list[Problem] = []
    try:
        pixels = _room_for((len(samples), size, size, 3))
        labels = np.empty(len(samples), dtype=np.int64)
        ratios = np.empty(len(samples), dtype=np.float32)
        loaded = 0
        outcomes = map_files(load, samples, task=task, control=control)
        for sample, outcome in zip(samples, outcomes, strict=True):
            if isinstance(outcome, BadImageError):
                problems.append(Problem(sample.path, outcome.kind, bad_image_sentence(outcome)))
                continue
            (pixels[loaded], ratios[loaded]), labels[loaded] = outcome, sample.label
            loaded += 1
    except MemoryError as error:
        gigabytes = len(samples) * size * size * 3 / 2**30
        raise DataError(
            f"The memory does not hold {len(samples)} images of {size} x {size} pixels ({gigabytes:.1f} GB).",
            "Use fewer images.",
        ) from error
    if samples and not loaded:
        raise DataError(
            f"None of the {len(samples)} images under {root} can be read.",
            f"The first one, {problems[0].path}: {problems[0].message}",
        )
    return pixels[:loaded], labels[:loaded], ratios[:loaded], problems


def _room_for(shape: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """An array in memory, or in a scratch file that vanishes with it where memory is short of it."""
    import numpy as np
    import psutil

    size = math.prod(shape)
    if size <= _LARGEST_SHARE * psutil.virtual_memory().available:
        return np.empty(shape, dtype=np.uint8)
    try:
        with tempfile.TemporaryFile() as scratch:  # the mapping keeps it until it goes itself
            scratch.truncate(size)
            return np.memmap(scratch, dtype=np.uint8, mode="r+", shape=shape)
    except OSError as error:
        raise MemoryError from error
