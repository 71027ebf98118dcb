"""The bookkeeping of a worst-case evaluation: which images still hold, and what fooled the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from advclip_gui.engine.attacks.catalog import AttackOptions, Norm, attack_info
from advclip_gui.engine.attacks.norms import ball
from advclip_gui.engine.attacks.protocol import AttackResult, predictions, private_generator
from advclip_gui.engine.attacks.registry import run_prepared
from advclip_gui.engine.classifier import to_pixels
from advclip_gui.engine.pixels import quantise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from advclip_gui.engine.control import Control


class WorstCase:
    """The state of an evaluation, image by image.

    Attributes:
        classifier: under attack, in `attack_mode`.
        labels: (N,) true classes.
        classes: number of logits; known after `clean_pass`.
        dtype: of the logits.
        clean_predicted: (N,) predictions without an attack.
        right: (N,) bool, right without an attack.
        predicted: (N,) predictions under the attacks so far.
        holding: (N,) bool, no attack so far fooled it.
        holding_8bit: (N,) bool, no adversarial image so far fools once it is rounded to 8 bits.
        not_finite_outputs: clean images for which some logit is not finite.
        smallest: (N,) the epsilon that fooled it; 0 where wrong without an attack, NaN for none.
        notes: how attacks had to differ from their definitions, each sentence once.
    """

    def __init__(
        self,
        classifier: nn.Module,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        *,
        device: torch.device,
        batch_size: int,
        seed: int,
        control: Control,
    ) -> None:
        """Keep what is evaluated; nothing is computed yet."""
        n = len(images)
        self.classifier = classifier
        self.labels = labels
        self.classes = 0
        self.dtype = ""
        self.clean_predicted = np.full(n, -1, dtype=np.int64)
        self.right = np.zeros(n, dtype=bool)
        self.predicted = self.clean_predicted
        self.holding = self.right
        self.holding_8bit = self.right
        self.not_finite_outputs = 0
        self.smallest = np.full(n, np.nan)
        self.notes: list[str] = []
        self._images = images
        self._device = device
        self._batch_size = batch_size
        self._seed = seed
        self._control = control
        self._attacked = self._not_finite = self._outside = 0
        self._fooled = self._unconfirmed = self._lost_in_8bit = 0
        self._excess = -np.inf

    def clean_pass(self, tell: Callable[[int], None]) -> None:
        """Classify all images without an attack."""
        for places in self._batches(np.arange(len(self._images))):
            logits = self._logits(self._pixels(places))
            self.classes, self.dtype = logits.shape[1], str(logits.dtype).removeprefix("torch.")
            self.clean_predicted[places] = predictions(logits).cpu().numpy()
            self.not_finite_outputs += int((~logits.isfinite().all(dim=1)).sum())
            tell(len(places))
        self.right = self.clean_predicted == self.labels
        self.predicted = self.clean_predicted.copy()
        self.holding, self.holding_8bit = self.right.copy(), self.right.copy()
        self.smallest[~self.right] = 0.0

    def attack(self, name: str, options: AttackOptions, tell: Callable[[int], None]) -> None:
        """Attack what still holds; then what holds only once it is rounded, until it does so no more."""
        before = self.holding.copy()
        tell(len(before) - int(before.sum()))
        if options.eps == 0:
            tell(int(before.sum()))
            return
        for places in self._batches(before.nonzero()[0]):
            self._take(places, self._run(name, options, places, "first", self.classifier), options)
            tell(len(places))
        if not _can_survive_rounding(options.eps, options.norm):
            return
        lost = self.holding_8bit & ~self.holding
        if "steps" not in attack_info(name).options:
            # A single step would only find the same image again.
            lost &= ~before
        rounding = _Rounding(self.classifier)
        for places in self._batches(lost.nonzero()[0]):
            self._take_rounded(places, self._run(name, options, places, "rounded", rounding), options)

    def confusion(self, predicted: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
        """Counts, true class x predicted class; predictions that are no number are left out."""
        table = np.zeros((self.classes, self.classes), dtype=np.int64)
        known = predicted >= 0
        np.add.at(table, (self.labels[known], predicted[known]), 1)
        return tuple(tuple(row) for row in table.tolist())

    def audit(self) -> dict[str, Any]:
        """What was checked on every adversarial image.

        `norm_excess` is the largest norm minus its epsilon; `fooled` counts adversarial images,
        `unconfirmed` those that fooled in the attack but not when asked again, `lost_in_8bit` those
        that rounding undid.
        """
        excess = float(self._excess) if self._attacked else 0.0
        return {
            "attacked": self._attacked,
            "norm_excess": excess,
            "norm_within": excess <= 1e-6,
            "inside_box": self._outside == 0,
            "not_finite": self._not_finite,
            "fooled": self._fooled,
            "unconfirmed": self._unconfirmed,
            "lost_in_8bit": self._lost_in_8bit,
        }

    def _run(
        self,
        name: str,
        options: AttackOptions,
        places: NDArray[np.int64],
        stage: str,
        classifier: nn.Module,
    ) -> AttackResult:
        labels = torch.as_tensor(self.labels[places], dtype=torch.int64, device=self._device)
        generator = private_generator(self._seed, name, options.eps, stage, int(places[0]))
        result = run_prepared(
            name,
            classifier,
            self._pixels(places),
            labels,
            options,
            generator=generator,
            control=self._control,
        )
        self.notes.extend(note for note in result.notes if note not in self.notes)
        return result

    def _take(self, places: NDArray[np.int64], result: AttackResult, options: AttackOptions) -> None:
        """Check the adversarial images and note whom they fool, as they are and rounded."""
        self._inspect(self._pixels(places), result.adversarial, options)
        fooled = result.success.cpu().numpy()
        if not fooled.any():
            return
        found, numbers = result.adversarial[result.success], places[fooled]
        again = predictions(self._logits(found)).cpu().numpy()
        rounded = predictions(self._logits(quantise(found))).cpu().numpy()
        truth = self.labels[numbers]
        self._unconfirmed += int((again == truth).sum())
        self._lost_in_8bit += int((rounded == truth).sum())
        self._fooled += len(numbers)
        new = self.holding[numbers]
        self.smallest[numbers[new]] = options.eps
        self.predicted[numbers[new]] = predictions(result.logits).cpu().numpy()[fooled][new]
        self.holding[numbers] = False
        self.holding_8bit[numbers[rounded != truth]] = False

    def _take_rounded(self, places: NDArray[np.int64], result: AttackResult, options: AttackOptions) -> None:
        """Check adversarial images that were made to fool once they are rounded, and note whom they do."""
        self._inspect(self._pixels(places), result.adversarial, options)
        fooled = result.success.cpu().numpy()
        if not fooled.any():
            return
        numbers = places[fooled]
        rounded = predictions(self._logits(quantise(result.adversarial[result.success]))).cpu().numpy()
        wrong = rounded != self.labels[numbers]
        self._unconfirmed += int((~wrong).sum())
        self._fooled += len(numbers)
        self.holding_8bit[numbers[wrong]] = False

    def _inspect(self, pixels: Tensor, adversarial: Tensor, options: AttackOptions) -> None:
        sizes = ball(options.norm).size(adversarial - pixels)
        finite = adversarial.isfinite().flatten(1).all(dim=1)
        inside = ((adversarial >= 0) & (adversarial <= 1)).flatten(1).all(dim=1)
        self._attacked += len(pixels)
        self._not_finite += int((~finite).sum())
        self._outside += int((~inside).sum())
        self._excess = max(self._excess, float(sizes.max()) - options.eps)

    def _pixels(self, places: NDArray[np.int64]) -> Tensor:
        return to_pixels(self._images[places], self._device)

    def _logits(self, pixels: Tensor) -> Tensor:
        # Not inference mode: what a classifier caches in it, autograd refuses later.
        with torch.no_grad():
            logits: Tensor = self.classifier(pixels)
        return logits

    def _batches(self, places: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        for first in range(0, len(places), self._batch_size):
            self._control.check()
            yield places[first : first + self._batch_size]


class _Rounding(nn.Module):
    """A classifier behind an 8-bit file; the gradient passes as if nothing had been rounded."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.classifier(pixels + (quantise(pixels) - pixels).detach())
        return logits


def _can_survive_rounding(eps: float, norm: Norm) -> bool:
    """Whether rounding to 8 bits can leave any change: in L-infinity not below half a level."""
    return norm != "Linf" or eps * 255 >= 0.5
