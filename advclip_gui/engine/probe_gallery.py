"""The smallest epsilon of many images, searched for side by side, for a gallery sorted by it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from advclip_gui.engine.attacks.catalog import FGSM, PGD
from advclip_gui.engine.attacks.fgsm import fgsm
from advclip_gui.engine.attacks.pgd import pgd
from advclip_gui.engine.attacks.protocol import attack_mode, predictions, private_generator
from advclip_gui.engine.classifier import to_pixels
from advclip_gui.engine.control import Control
from advclip_gui.engine.errors import SettingsError
from advclip_gui.engine.gallery_item import GalleryItem
from advclip_gui.engine.pixels import device_of
from advclip_gui.engine.probe import TOLERANCE, smallest_epsilon
from advclip_gui.engine.probe_types import longest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from advclip_gui.engine.probe_types import ProbeRequest

TOGETHER: Final = 16
"""Images attacked in one batch: more gain little on a CPU, and the first answers come later."""
_WITH_LENGTHS_OF_THEIR_OWN: Final = {FGSM.name: fgsm, PGD.name: pgd}


@dataclass(slots=True, eq=False)
class _Entry:
    """An image under search, and the interval that holds its smallest epsilon.

    Until some epsilon has succeeded (`found`), `high` is the next one to be tried.
    """

    index: int
    image: NDArray[np.uint8]
    label: int | None
    low: float
    high: float
    attacked: int = -1
    after: int = -1
    found: bool = False
    done: bool = False

    @property
    def next(self) -> float:
        """The epsilon to be tried."""
        return (self.low + self.high) / 2 if self.found else self.high


class GallerySearch:
    """The bisection of `smallest_epsilon` for many images, up to `size` of them in each attack.

    FGSM and PGD give each image of a batch an epsilon of its own, and every image the random start
    it has alone: interval and class are those of `smallest_epsilon`, up to the rounding of sums in
    a batch. Other attacks search one image after the other. A target is left aside, since it would be
    some images' own class.

    Fill it with `add` up to `free`, call `step`, and again, until it is `empty`: what is found makes
    room. Nothing is kept of the classifier between two calls.
    """

    def __init__(self, request: ProbeRequest, *, size: int = TOGETHER, tolerance: float = TOLERANCE) -> None:
        """Begin.

        Args:
            request: how the images are attacked; its epsilon is the first upper end.
            size: images in one batch.
            tolerance: width of an interval at the end, in pixel units.

        Raises:
            SettingsError: a value of the request is out of its range.
        """
        request.options()
        self._request = replace(request, target=None)
        self._together = request.attack in _WITH_LENGTHS_OF_THEIR_OWN
        self._size = size if self._together else 1
        self._tolerance = tolerance
        self._entries: list[_Entry] = []

    @property
    def free(self) -> int:
        """How many images there is room for."""
        return self._size - len(self._entries)

    @property
    def empty(self) -> bool:
        """Whether nothing is left to be searched."""
        return not self._entries

    def add(self, index: int, image: NDArray[np.uint8], *, label: int | None) -> None:
        """Take an image in.

        Args:
            index: goes into its item.
            image: (H, W, 3), prepared as the model sees it; all of one size.
            label: its true class; None is the prediction on the clean image.
        """
        high = min(max(self._request.epsilon, 1 / 255), longest(self._request.norm, image.size))
        self._entries.append(_Entry(index, image, label, 0.0, high))

    def step(self, classifier: nn.Module, control: Control) -> list[GalleryItem]:
        """Attack all images once; return those whose interval is narrow enough now.

        Args:
            classifier: pixels (N, 3, H, W) in [0, 1] -> logits (N, C).
            control: asked for cancellation in every attack step.

        Raises:
            SettingsError: a label is not one of the classifier's.
            Cancelled: the control was cancelled; the images stay where they were.
        """
        if not self._entries:
            return []
        names = getattr(classifier, "class_names", None) or ()
        if self._together:
            self._attack(classifier, control)
        else:
            self._search_alone(classifier, control)
        items = [_item(entry, names) for entry in self._entries if entry.done]
        self._entries = [entry for entry in self._entries if not entry.done]
        return items

    def _attack(self, classifier: nn.Module, control: Control) -> None:
        device, request = device_of(classifier), self._request
        pixels = to_pixels(np.stack([entry.image for entry in self._entries]), device)
        with attack_mode(classifier):
            self._look_at_new(classifier, pixels)
            places = [place for place, entry in enumerate(self._entries) if not entry.done]
            if not places:
                return
            open_ = [self._entries[place] for place in places]
            if not request.epsilon > 0:
                request = replace(request, epsilon=1 / 255, step_size=None)
            result = _WITH_LENGTHS_OF_THEIR_OWN[request.attack](
                classifier,
                pixels[places],
                torch.tensor([entry.attacked for entry in open_], device=device),
                replace(request.options(), early_stop=True),
                generator=private_generator(request.seed, "probe"),
                control=control,
                scale=torch.tensor(
                    [entry.next / request.epsilon for entry in open_], dtype=torch.float64, device=device
                ),
            )
        limit = longest(request.norm, pixels[0].numel())
        after = predictions(result.logits).tolist()
        for entry, fooled, taken_for in zip(open_, result.success.tolist(), after, strict=True):
            self._narrow(entry, taken_for if fooled else None, limit)

    def _look_at_new(self, classifier: nn.Module, pixels: Tensor) -> None:
        """Classify what has just come in; what is wrong without an attack is done."""
        new = [place for place, entry in enumerate(self._entries) if entry.attacked < 0]
        if not new:
            return
        with torch.no_grad():
            logits: Tensor = classifier(pixels[new])
        predicted, largest = predictions(logits).tolist(), logits.argmax(dim=1).tolist()
        for place, taken_for, argmax in zip(new, predicted, largest, strict=True):
            entry = self._entries[place]
            entry.attacked = argmax if entry.label is None else entry.label
            if not 0 <= entry.attacked < logits.shape[1]:
                raise SettingsError(
                    f"There is no class {entry.attacked} to take as the label: there are {logits.shape[1]}."
                )
            if taken_for != entry.attacked:
                entry.high, entry.after, entry.found, entry.done = 0.0, taken_for, True, True

    def _narrow(self, entry: _Entry, after: int | None, limit: float) -> None:
        """Take the answer to the last attack in; `after` is the class it led to, None for failure."""
        tried = entry.next
        if after is not None:
            entry.high, entry.after, entry.found = tried, after, True
        elif entry.found:
            entry.low = tried
        elif tried >= limit:
            entry.low, entry.done = limit, True
        else:
            entry.low, entry.high = tried, min(2 * tried, limit)
        if entry.found:
            entry.done = entry.high - entry.low <= self._tolerance

    def _search_alone(self, classifier: nn.Module, control: Control) -> None:
        entry = self._entries[0]
        answer = smallest_epsilon(
            classifier,
            entry.image,
            self._request,
            label=entry.label,
            tolerance=self._tolerance,
            control=_Quiet(control),
        )
        entry.low, entry.high, entry.found = answer.low, answer.high, answer.found
        entry.after, entry.done = answer.after_label, True


class _Quiet(Control):
    """Asks the control it stands for and reports nothing: each image's progress would drown the gallery's."""

    def __init__(self, seen: Control) -> None:
        super().__init__(parent=seen)
        self._seen = seen

    def check(self) -> None:
        self._seen.check()


def _item(entry: _Entry, names: Sequence[str]) -> GalleryItem:
    after = ""
    if entry.found:
        after = str(names[entry.after]) if names else str(entry.after)
    return GalleryItem(index=entry.index, low=entry.low, high=entry.high, found=entry.found, after=after)
