"""The bookkeeping of a worst-case evaluation: which images still hold, and what fooled the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from advclip_gui.engine.attacks.catalog import UNIVERSAL, AttackOptions, Norm, attack_info
from advclip_gui.engine.attacks.norms import ball
from advclip_gui.engine.attacks.protocol import AttackResult, Goal, predictions, private_generator
from advclip_gui.engine.attacks.registry import run_prepared
from advclip_gui.engine.attacks.universal import Ascent, apply_universal
from advclip_gui.engine.classifier import to_pixels
from advclip_gui.engine.pixels import quantise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.evaluation_journal import Journal


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
        journal: where each batch's answer is kept, and taken from; None keeps nothing.
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
        self.journal: Journal | None = None
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
        targets = before.nonzero()[0]
        if name == UNIVERSAL.name:
            self._attack_together(targets, options, tell)
            return
        for places in self._batches(targets):
            self._take(places, self._answer(name, options, places, rounding=False), options)
            tell(len(places))
        if not _can_survive_rounding(options.eps, options.norm):
            return
        lost = self.holding_8bit & ~self.holding
        if "steps" not in attack_info(name).options:
            # A single step would only find the same image again.
            lost &= ~before
        for places in self._batches(lost.nonzero()[0]):
            self._take(places, self._answer(name, options, places, rounding=True), options)

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

    def _attack_together(
        self, places: NDArray[np.int64], options: AttackOptions, tell: Callable[[int], None]
    ) -> None:
        """One perturbation for all of these images, found over all their batches in every step.

        What rounding undoes is not attacked again: that would be a second perturbation.
        """
        if not len(places):
            return
        delta: Tensor | None = None
        for batch in self._batches(places):
            key = f"{UNIVERSAL.name} {options.eps!r} first {int(batch[0])} {len(batch)}"
            answer = self.journal.get(key) if self.journal else None
            if answer is None:
                if delta is None:
                    delta = self._common_perturbation(places, options)
                pixels, goal = self._part(batch)
                result = apply_universal(self.classifier, pixels, goal, delta)
                answer = self._inspect(pixels, result, options, rounding=False)
                if self.journal:
                    self.journal.add(key, answer)
            self._take(batch, answer, options)
            tell(len(batch))
        note = "Universal: one perturbation for all images that still held, found anew at each epsilon."
        if note not in self.notes:
            self.notes.append(note)

    def _common_perturbation(self, places: NDArray[np.int64], options: AttackOptions) -> Tensor:
        parts = [lambda batch=batch: self._part(batch) for batch in self._batches(places)]
        ascent = Ascent(self.classifier, parts, options, like=self._pixels(places[:1]), control=self._control)
        with torch.enable_grad():
            return ascent.run(private_generator(self._seed, UNIVERSAL.name, options.eps))

    def _part(self, places: NDArray[np.int64]) -> tuple[Tensor, Goal]:
        labels = torch.as_tensor(self.labels[places], dtype=torch.int64, device=self._device)
        return self._pixels(places), Goal(labels, None)

    def _answer(
        self, name: str, options: AttackOptions, places: NDArray[np.int64], *, rounding: bool
    ) -> dict[str, Any]:
        """What an attack on these images found: from the journal, or by running it."""
        stage, first = "rounded" if rounding else "first", int(places[0])
        key = f"{name} {options.eps!r} {stage} {first} {len(places)}"
        known = self.journal.get(key) if self.journal else None
        if known is not None:
            return known
        labels = torch.as_tensor(self.labels[places], dtype=torch.int64, device=self._device)
        pixels = self._pixels(places)
        result = run_prepared(
            name,
            _Rounding(self.classifier) if rounding else self.classifier,
            pixels,
            labels,
            options,
            generator=private_generator(self._seed, name, options.eps, stage, first),
            control=self._control,
        )
        answer = self._inspect(pixels, result, options, rounding=rounding)
        if self.journal:
            self.journal.add(key, answer)
        return answer

    def _inspect(
        self, pixels: Tensor, result: AttackResult, options: AttackOptions, *, rounding: bool
    ) -> dict[str, Any]:
        """Check the adversarial images, and ask again about those that fool, as they are and rounded."""
        adversarial = result.adversarial
        excess = float(ball(options.norm).size(adversarial - pixels).max()) - options.eps
        finite = adversarial.isfinite().flatten(1).all(dim=1)
        inside = ((adversarial >= 0) & (adversarial <= 1)).flatten(1).all(dim=1)
        found = adversarial[result.success]
        again, rounded = [], []
        if len(found):
            rounded = predictions(self._logits(quantise(found))).tolist()
            # Made to fool once it is rounded, an image need not do so before.
            again = rounded if rounding else predictions(self._logits(found)).tolist()
        return {
            "rounding": rounding,
            "fooled": result.success.nonzero().squeeze(1).tolist(),
            "predicted": predictions(result.logits)[result.success].tolist() if len(found) else [],
            "again": again,
            "rounded": rounded,
            "excess": excess if excess == excess else None,
            "not_finite": int((~finite).sum()),
            "outside": int((~inside).sum()),
            "notes": list(result.notes),
        }

    def _take(self, places: NDArray[np.int64], answer: dict[str, Any], options: AttackOptions) -> None:
        """Note whom the adversarial images fool."""
        self._attacked += len(places)
        self._not_finite += answer["not_finite"]
        self._outside += answer["outside"]
        self._excess = max(self._excess, -np.inf if answer["excess"] is None else answer["excess"])
        self.notes.extend(note for note in answer["notes"] if note not in self.notes)
        numbers = places[np.array(answer["fooled"], dtype=np.int64)]
        truth = self.labels[numbers]
        rounded = np.array(answer["rounded"], dtype=np.int64)
        self._fooled += len(numbers)
        self._unconfirmed += int((np.array(answer["again"], dtype=np.int64) == truth).sum())
        self.holding_8bit[numbers[rounded != truth]] = False
        if answer["rounding"]:
            return
        self._lost_in_8bit += int((rounded == truth).sum())
        new = self.holding[numbers]
        self.smallest[numbers[new]] = options.eps
        self.predicted[numbers[new]] = np.array(answer["predicted"], dtype=np.int64)[new]
        self.holding[numbers] = False

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
