"""Clean and robust accuracy of a few images, as cheaply as it can be had: the live curve of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from advclip_gui.engine.attacks.catalog import AttackOptions
from advclip_gui.engine.attacks.pgd import pgd
from advclip_gui.engine.attacks.protocol import attack_mode, predictions, private_generator
from advclip_gui.engine.classifier import to_pixels
from advclip_gui.engine.pixels import device_of
from advclip_gui.engine.statistics import wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from advclip_gui.engine.attacks.catalog import Norm
    from advclip_gui.engine.control import Control


@dataclass(frozen=True, slots=True)
class QuickAccuracy:
    """Counts, shares in [0, 1], and their Wilson 95 % intervals."""

    n: int
    clean_hits: int
    robust_hits: int
    clean_accuracy: float
    clean_interval: tuple[float, float]
    robust_accuracy: float
    robust_interval: tuple[float, float]


def quick_accuracy(
    classifier: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    epsilon: float,
    norm: Norm = "Linf",
    steps: int,
    batch_size: int,
    seed: int,
    control: Control,
) -> QuickAccuracy:
    """Count what is right on clean images, and what stays right under PGD.

    One random start, step size 2.5 epsilon / steps. Clean-wrong images are not attacked, and an
    image no further once it is fooled. The global random streams are not touched.

    Args:
        classifier: pixels (N, 3, H, W) in [0, 1] -> logits (N, C).
        images: (N, H, W, 3).
        labels: (N,).
        epsilon: in pixel units.
        norm: "Linf" or "L2".
        steps: of PGD.
        batch_size: images at a time.
        seed: of the random starts.
        control: asked for cancellation in every attack step.

    Raises:
        SettingsError: epsilon or steps out of range.
        Cancelled: the control was cancelled.
    """
    options = AttackOptions(eps=epsilon, norm=norm, steps=steps, early_stop=True)
    device, n, clean_hits, robust_hits = device_of(classifier), len(images), 0, 0
    with attack_mode(classifier):
        for first in range(0, n, batch_size):
            control.check()
            pixels = to_pixels(np.array(images[first : first + batch_size]), device)
            truth = torch.tensor(labels[first : first + batch_size], dtype=torch.int64, device=device)
            # Not inference mode: what a classifier caches in it, autograd refuses later.
            with torch.no_grad():
                right = predictions(classifier(pixels)) == truth
            survivors = int(right.sum())
            clean_hits += survivors
            if survivors and epsilon > 0:
                generator = private_generator(seed, "quick", first)
                result = pgd(
                    classifier, pixels[right], truth[right], options, generator=generator, control=control
                )
                survivors -= int(result.success.sum())
            robust_hits += survivors
    return QuickAccuracy(
        n=n,
        clean_hits=clean_hits,
        robust_hits=robust_hits,
        clean_accuracy=clean_hits / n if n else 0.0,
        clean_interval=wilson(clean_hits, n),
        robust_accuracy=robust_hits / n if n else 0.0,
        robust_interval=wilson(robust_hits, n),
    )
