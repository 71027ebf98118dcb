"""Images for training: decoded once from 500 px JPEGs, then a batch of views a step, beside the step."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _measure import QUICK_REPEATS, figure, repeats, run, seconds
from _models import MIB, PeakMemory, prepared, random_backbone, training_settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from advclip_gui.engine.backbones import Backbone
    from advclip_gui.engine.datasets.sampling import Sample
    from advclip_gui.engine.preparation import ImageSet

CLASSES, SHOTS, SHOTS_QUICK = 100, 16, 4
BATCH_SIZE = 32
WIDTH, HEIGHT, QUALITY = 500, 375, 90
_PICTURES = 16


def measure(quick: bool) -> dict[str, Any]:
    """Decode 16 shots of 100 classes (4 in a quick run); take batches; update."""
    import torch

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.devices import choose_device, describe_device
    from advclip_gui.engine.preparation import load_set, load_whole_set

    device, control = choose_device("auto"), Control()
    backbone = random_backbone(device)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        samples = _write_images(root, SHOTS_QUICK if quick else SHOTS)
        size = sum((root / sample.path).stat().st_size for sample in samples) / len(samples)
        for title, load in (("evaluation", load_set), ("training", load_whole_set)):
            memory, rates = PeakMemory(torch.device("cpu")), []
            for _ in range(1 if quick else QUICK_REPEATS):
                began = time.perf_counter()
                images = load(root, samples, backbone, control)
                rates.append(len(images) / (time.perf_counter() - began))
            side = images.images.shape[1]
            case = f"decoding for {title}, {side} px"
            figures[case] = figure(rates, "images/s")
            figures[f"{case}, all once"] = figure([len(images) / rate for rate in rates], "s")
            figures[f"{case}, kept"] = figure([images.images.nbytes / MIB], "MiB")
            if (peak := memory.above_start()) is not None:
                figures[f"{case}, peak memory"] = figure([peak / MIB], "MiB")
            if len(images) != len(samples):
                raise RuntimeError(f"only {len(images)} of {len(samples)} images could be read")
    figures |= _steps(backbone, images, quick)
    details = {
        "device": describe_device(device),
        "images": f"{len(images)} JPEGs of {WIDTH} x {HEIGHT}, {size / 1000:.0f} kB each, in the file cache",
        "update": "ViT-B/32, 100 classes, universal perturbation, m = 2, both towers, float32; "
        "it takes its own batch too",
    }
    return {"figures": figures, "details": details}


def _steps(backbone: Backbone, images: ImageSet, quick: bool) -> dict[str, Any]:
    """Time taking batches of augmented views, and whole training steps on the decoded images."""
    import torch

    from advclip_gui.engine.augmentation import augment
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.devices import keep_freed_memory
    from advclip_gui.engine.trainer import Trainer

    keep_freed_memory()  # as training does
    settings = training_settings("sound", batch_size=BATCH_SIZE)
    base = prepared(backbone, CLASSES, BATCH_SIZE)
    trainer, control = Trainer(settings, dataclasses.replace(base, train=images)), Control()
    store, random = trainer.images, torch.Generator().manual_seed(0)
    steps = itertools.count()

    def take() -> None:
        chosen = trainer.batches.at(next(steps))
        side, ratios = backbone.image_size, store.ratios(chosen)
        augment(store.pixels(chosen), "paper", random, side=side, ratios=ratios)
        store.labels(chosen)
        if backbone.device.type == "cuda":
            torch.cuda.synchronize()

    def update() -> None:
        float(trainer.advance(control, diagnose=False)["loss"])

    batches = seconds(take, 3 * repeats(quick), warm_up=3)
    updates = seconds(update, 1 if quick else QUICK_REPEATS)
    share = statistics.median(batches) / statistics.median(updates)
    return {
        f"batch of {BATCH_SIZE}": figure([1000 * value for value in batches], "ms"),
        f"update on {BATCH_SIZE} images": figure([1000 * value for value in updates], "ms"),
        "batch's share of an update": figure([100 * share], "%"),
    }


def _write_images(root: Path, shots: int) -> list[Sample]:
    """Write the same files on every machine: shifted and flipped views of a few synthetic photographs."""
    import numpy as np
    from PIL import Image

    from advclip_gui.engine.datasets.sampling import Sample

    pictures = [_picture(seed) for seed in range(_PICTURES)]
    numbers = np.random.default_rng(0)
    samples = []
    for label in range(CLASSES):
        folder = root / f"class {label:03}"
        folder.mkdir()
        for shot in range(shots):
            picture = pictures[(label * shots + shot) % _PICTURES]
            picture = np.roll(picture, tuple(numbers.integers(0, HEIGHT, 2)), axis=(0, 1))
            if numbers.random() < 0.5:
                picture = picture[:, ::-1]
            path = folder / f"{shot:03}.jpg"
            Image.fromarray(np.ascontiguousarray(picture)).save(path, quality=QUALITY)
            samples.append(Sample(str(path.relative_to(root)), label))
    return samples


def _picture(seed: int) -> NDArray[np.uint8]:
    """A picture with a photograph's statistics: amplitude falls as 1 / frequency, edges, some noise."""
    import numpy as np

    numbers = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None])
    frequency[0, 0] = np.inf

    def cloud() -> NDArray[np.float64]:
        spectrum = np.fft.rfft2(numbers.normal(size=(HEIGHT, WIDTH))) / frequency
        smooth = np.fft.irfft2(spectrum, s=(HEIGHT, WIDTH))
        return smooth / smooth.std()

    light, tint, shape = cloud(), cloud(), cloud() > 0.3
    picture = 120 + 45 * np.where(shape, light, 0.6 * light[::-1] - 0.8)[..., None]
    picture = picture + 12 * tint[..., None] * numbers.normal(size=3)
    picture = picture + numbers.normal(0, 3, picture.shape)  # the sensor's
    return np.clip(picture, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    run(measure)
