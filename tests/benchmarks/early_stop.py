"""What attacking each sample only until it is fooled saves: PGD-100 against PGD-100 to the end elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from _measure import figure, run
from torch import nn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from advclip_gui.engine.attacks.catalog import AttackOptions

STEPS = 100
FLIPPED = 0.8
LIMIT = 0.35
BATCH = 24


def measure(quick: bool) -> dict[str, Any]:
    """Both attack the demo's test images with the bundled backbone, from the images themselves, in pairs.

    Only images that are right without an attack take part: leaving the others out would save more.
    """
    import torch
    import torchattacks

    from advclip_gui.engine.attacks.protocol import attack_mode

    classifier, images, labels = _task(20 if quick else 100)
    eps = _epsilon(classifier, images, labels)
    options = _options(eps)
    counter = _Counting(classifier)
    oracle = torchattacks.PGD(counter, eps=eps, alpha=options.alpha, steps=STEPS, random_start=False)
    times: dict[str, list[float]] = {"ours": [], "whole": []}
    held: dict[str, Tensor] = {}
    counts: dict[str, tuple[int, int]] = {}
    with attack_mode(classifier):
        for pair in range(2 if quick else 3):
            for name in ("ours", "whole") if pair % 2 == 0 else ("whole", "ours"):
                counter.forwards = counter.backwards = 0
                began = time.perf_counter()
                if name == "ours":
                    held[name] = _ours(counter, images, labels, options)
                else:
                    held[name] = _whole(counter, oracle, images, labels)
                times[name].append(time.perf_counter() - began)
                counts[name] = (counter.forwards, counter.backwards)
    ratios = [ours / whole for ours, whole in zip(times["ours"], times["whole"], strict=True)]
    ratio = figure(ratios, "ratio")
    return {
        "figures": {
            "early stop over every sample to the end": ratio,
            "early stop": figure(times["ours"], "s"),
            "every sample to the end": figure(times["whole"], "s"),
        },
        "details": {
            "backbone": "advclip-mini",
            "limit": LIMIT,
            "within limit": ratio["median"] <= LIMIT,
            "images": len(labels),
            "epsilon": f"{eps * 255:.3g}/255",
            "step size": "epsilon / 4",
            "flipped": float((~held["ours"]).float().mean()),
            "different verdicts": int((held["ours"] != held["whole"]).sum()),
            "forwards": {name: count[0] for name, count in counts.items()},
            "backwards": {name: count[1] for name, count in counts.items()},
            "threads": torch.get_num_threads(),
        },
    }


def _options(eps: float) -> AttackOptions:
    from advclip_gui.engine.attacks.catalog import AttackOptions

    return AttackOptions(eps=eps, steps=STEPS, step_size=eps / 4, random_start=False, early_stop=True)


def _ours(
    classifier: nn.Module, images: NDArray[np.uint8], labels: NDArray[np.int64], options: AttackOptions
) -> Tensor:
    """The worst-case evaluation as the program runs it: which samples hold, (N,) bool."""
    import torch

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.worst_case import WorstCase

    worst = WorstCase(
        classifier,
        images,
        labels,
        device=torch.device("cpu"),
        batch_size=BATCH,
        seed=0,
        control=Control(),
    )
    worst.clean_pass(lambda _: None)
    worst.attack("pgd", options, lambda _: None)
    return torch.from_numpy(worst.holding)


def _whole(counter: _Counting, oracle: Any, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Tensor:
    """Every sample attacked to the end by the library; holding where no iterate fools, (N,) bool."""
    import torch

    from advclip_gui.engine.classifier import to_pixels

    held = []
    for first in range(0, len(labels), BATCH):
        pixels = to_pixels(images[first : first + BATCH], torch.device("cpu")).contiguous()
        truth = torch.from_numpy(labels[first : first + BATCH])
        counter.watch(truth)
        last = oracle(pixels, truth)
        with torch.no_grad():
            counter(last)
        held.append(counter.holding())
    return torch.cat(held)


def _epsilon(classifier: nn.Module, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
    """By bisection, where about 80 % are flipped within ten steps."""
    import torch

    from advclip_gui.engine.attacks.registry import run_attack
    from advclip_gui.engine.classifier import to_pixels

    pixels, truth = to_pixels(images, torch.device("cpu")).contiguous(), torch.from_numpy(labels)
    low, high = 0.0, 4 / 255
    for _ in range(5):
        middle = (low + high) / 2
        asked = {"eps": middle, "step_size": middle / 4, "random_start": False, "early_stop": True}
        flipped = sum(
            int(run_attack("pgd", classifier, some, those, **asked).success.sum())
            for some, those in zip(pixels.split(BATCH), truth.split(BATCH), strict=True)
        )
        low, high = (middle, high) if flipped < FLIPPED * len(labels) else (low, middle)
    return high


def _task(count: int) -> tuple[nn.Module, NDArray[np.uint8], NDArray[np.int64]]:
    """The zero-shot classifier, and `count` of the demo's test images that it gets right, evenly spread."""
    import numpy as np
    import torch

    from advclip_gui.engine.classifier import to_pixels
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.images import open_image, prepare
    from advclip_gui.engine.model_ref import ModelRef
    from advclip_gui.engine.resources import demo_folder
    from advclip_gui.engine.session import Session
    from advclip_gui.settings import BackboneSettings

    folder = demo_folder() / "test"
    names = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))
    ref = ModelRef(kind="zero_shot", backbone=BackboneSettings())
    classifier = Session("cpu").classifier(ref, names, ("a photo of a {}.",), Control())
    found, labels = [], []
    for number, name in enumerate(names):
        files = sorted((folder / name).iterdir())
        pictures = np.stack([prepare(open_image(path), classifier.image_size) for path in files])
        with torch.no_grad():
            right = classifier(to_pixels(pictures, torch.device("cpu"))).argmax(dim=1) == number
        pictures = pictures[right.numpy()][: count // len(names)]
        found.append(pictures)
        labels.extend([number] * len(pictures))
    return classifier, np.concatenate(found), np.array(labels, dtype=np.int64)


class _Counting(nn.Module):
    """Counts images sent forward and gradients sent back, and can watch which are ever misclassified."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.forwards = self.backwards = 0
        self._labels: Tensor | None = None
        self._held: Tensor | None = None

    def forward(self, pixels: Tensor) -> Tensor:
        self.forwards += len(pixels)
        self.backwards += len(pixels) if pixels.requires_grad else 0
        logits: Tensor = self.inner(pixels)
        if self._labels is not None:
            right = logits.detach().argmax(dim=1) == self._labels
            self._held = right if self._held is None else self._held & right
        return logits

    def watch(self, labels: Tensor) -> None:
        self._labels, self._held = labels, None

    def holding(self) -> Tensor:
        assert self._held is not None
        held, self._labels, self._held = self._held, None, None
        return held


if __name__ == "__main__":
    run(measure)
