"""Attack one image and watch every step; find the smallest epsilon that flips it."""

from __future__ import annotations

import math
import platform
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from advclip_gui import __version__
from advclip_gui.engine.attacks.norms import ball
from advclip_gui.engine.attacks.protocol import attack_mode, predictions, private_generator
from advclip_gui.engine.attacks.registry import run_prepared
from advclip_gui.engine.classifier import to_pixels
from advclip_gui.engine.errors import SettingsError
from advclip_gui.engine.pixels import device_of, from_pixels
from advclip_gui.engine.probe_files import SavedProbe, load_probe, save_probe
from advclip_gui.engine.probe_trace import Watch, height_width_channels, probabilities
from advclip_gui.engine.probe_types import (
    ProbeRequest,
    ProbeResult,
    SmallestEpsilon,
    length_text,
    longest,
    probe_sentence,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from advclip_gui.engine.attacks.protocol import AttackResult
    from advclip_gui.engine.control import Control

__all__ = [
    "ProbeRequest",
    "ProbeResult",
    "SavedProbe",
    "SmallestEpsilon",
    "load_probe",
    "probe",
    "save_probe",
    "smallest_epsilon",
]

TOLERANCE: Final = 0.05 / 255
"""How narrow the interval of the smallest epsilon gets, in pixel units."""


def probe(
    classifier: nn.Module,
    image: NDArray[np.uint8],
    request: ProbeRequest,
    *,
    label: int | None = None,
    control: Control,
) -> ProbeResult:
    """Attack one image; report a `ProbeStep` for every iterate as it happens.

    The last iterate is shown; where only an earlier one fools the classifier, that one.

    Args:
        classifier: pixels (N, 3, H, W) in [0, 1] -> logits (N, C).
        image: (H, W, 3), prepared as the model sees it.
        request: how it is attacked.
        label: the class to leave; None is the prediction on the clean image.
        control: receives the steps, and is asked for cancellation in each.

    Raises:
        SettingsError: a value of the request is out of its range.
        Cancelled: the control was cancelled.
    """
    began = time.perf_counter()
    subject = _Subject(classifier, image, request, label)
    watch = Watch(subject.pixels, control)
    options = request.options()
    with attack_mode(classifier):
        result = subject.attack(request, control, trace=watch)
        adversarial = from_pixels(result.adversarial)[0]
        rounded = subject.logits_of(adversarial)
    steps = watch.steps_to(result)
    delta = result.adversarial - subject.pixels
    before, after = int(predictions(subject.clean)), int(predictions(result.logits))
    after_8bit = int(predictions(rounded))
    return ProbeResult(
        original=image.copy(),
        adversarial=adversarial,
        perturbation=height_width_channels(delta),
        before=probabilities(subject.clean),
        after=probabilities(result.logits),
        after_8bit=probabilities(rounded),
        before_label=before,
        after_label=after,
        after_8bit_label=after_8bit,
        attacked_label=subject.label,
        flipped=after != before,
        flipped_after_8bit=after_8bit != before,
        epsilon=options.eps,
        linf=float(ball("Linf").size(delta)),
        l2=float(ball("L2").size(delta)),
        steps=steps,
        class_names=subject.names,
        milliseconds=(time.perf_counter() - began) * 1000,
        sentence=probe_sentence(
            subject.names,
            attacked=subject.label,
            before=before,
            after=after,
            after_8bit=after_8bit,
            request=request,
        ),
        request=request,
        provenance={
            "torch": torch.__version__,
            "device": str(subject.pixels.device),
            "dtype": str(result.logits.dtype).removeprefix("torch."),
            # Sums are added up in another order with another number of threads.
            "threads": str(torch.get_num_threads()) if subject.device.type == "cpu" else "",
            "machine": torch.cuda.get_device_name(subject.device)
            if subject.device.type == "cuda"
            else platform.machine(),
            "python": platform.python_version(),
            "program": __version__,
        },
    )


def smallest_epsilon(
    classifier: nn.Module,
    image: NDArray[np.uint8],
    request: ProbeRequest,
    *,
    label: int | None = None,
    tolerance: float = TOLERANCE,
    control: Control,
) -> SmallestEpsilon:
    """Bisect for the smallest epsilon at which some iterate of the attack succeeds.

    The upper end starts at the request's epsilon and doubles until the attack succeeds. A given
    step size is scaled along with epsilon. Reports `Progress` with the interval as its detail.

    Args:
        classifier: pixels (N, 3, H, W) in [0, 1] -> logits (N, C).
        image: (H, W, 3), prepared as the model sees it.
        request: how it is attacked; its epsilon is the first upper end.
        label: the class to leave; None is the prediction on the clean image.
        tolerance: width of the interval at the end, in pixel units.
        control: asked for cancellation in every attack step.

    Raises:
        SettingsError: a value of the request is out of its range.
        Cancelled: the control was cancelled.
    """
    if not tolerance > 0:
        raise SettingsError(f"The tolerance must be larger than 0, not {tolerance:g}.")
    request.options()
    subject = _Subject(classifier, image, request, label)
    search = _Bisection(subject, request, tolerance, control)
    with attack_mode(classifier):
        return search.run()


class _Subject:
    """The image under attack, and what the classifier says of it untouched."""

    def __init__(
        self, classifier: nn.Module, image: NDArray[np.uint8], request: ProbeRequest, label: int | None
    ) -> None:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"a probe needs a (H, W, 3) uint8 image, not {image.shape} {image.dtype}")
        self.classifier = classifier
        self.device = device_of(classifier)
        # A copy: an image straight from a decoder may be read-only, which torch warns of.
        self.pixels = to_pixels(np.array(image)[None], self.device)
        with attack_mode(classifier):
            self.clean = self.logits_of(image)
        classes = self.clean.shape[1]
        names = getattr(classifier, "class_names", None)
        self.names: tuple[str, ...] = tuple(names) if names else tuple(str(k) for k in range(classes))
        self.label = int(self.clean.argmax()) if label is None else label
        for what, value in (("label", self.label), ("target", request.target)):
            if value is not None and not 0 <= value < classes:
                raise SettingsError(f"There is no class {value} to take as the {what}: there are {classes}.")
        if request.target is not None and request.target == self.label:
            raise SettingsError(
                f"The target is the class the image already has, {self.names[self.label]}.",
                "Choose another target.",
            )
        self._targets = None if request.target is None else torch.tensor([request.target], device=self.device)

    def logits_of(self, image: NDArray[np.uint8]) -> Tensor:
        """(1, C)."""
        with torch.no_grad():
            answer: Tensor = self.classifier(to_pixels(np.array(image)[None], self.device))
        return answer

    def attack(
        self,
        request: ProbeRequest,
        control: Control,
        *,
        trace: Watch | None = None,
        early_stop: bool = False,
    ) -> AttackResult:
        """The same seed gives the same start, whatever was probed before."""
        return run_prepared(
            request.attack,
            self.classifier,
            self.pixels,
            torch.tensor([self.label], device=self.device),
            replace(request.options(), early_stop=early_stop),
            targets=self._targets,
            trace=trace,
            generator=private_generator(request.seed, "probe"),
            control=control,
        )


class _Bisection:
    """The interval that holds the smallest epsilon, narrowed attack by attack."""

    def __init__(self, subject: _Subject, request: ProbeRequest, tolerance: float, control: Control) -> None:
        self.subject = subject
        self.request = request
        self.tolerance = tolerance
        self.control = control
        self.limit = longest(request.norm, subject.pixels.numel())
        self.attacks = 0
        self.low = 0.0
        self.high = min(max(request.epsilon, 1 / 255), self.limit)
        self.best: AttackResult | None = None

    def run(self) -> SmallestEpsilon:
        """Find an upper end, then halve."""
        if self._fooled_at(0.0):
            return self._answer(0.0, 0.0)
        while not self._fooled_at(self.high):
            self.low = self.high
            if self.high >= self.limit:
                return self._answer(self.limit, self.limit)
            self.high = min(2 * self.high, self.limit)
            self._tell(None)
        while self.high - self.low > self.tolerance:
            middle = (self.low + self.high) / 2
            if self._fooled_at(middle):
                self.high = middle
            else:
                self.low = middle
            self._tell(math.ceil(math.log2(max((self.high - self.low) / self.tolerance, 1.0))))
        return self._answer(self.low, self.high)

    def _fooled_at(self, epsilon: float) -> bool:
        given, whole = self.request.step_size, self.request.epsilon
        step_size = None if given is None or whole <= 0 else min(given * epsilon / whole, self.limit)
        request = replace(self.request, epsilon=epsilon, step_size=step_size)
        if epsilon == 0:
            request = replace(request, attack="noise", restarts=1)
        result = self.subject.attack(request, self.control, early_stop=True)
        self.attacks += 1
        if bool(result.success):
            self.best = result
            return True
        return False

    def _tell(self, left: int | None) -> None:
        norm = self.request.norm
        detail = f"{length_text(self.low, norm)} to {length_text(self.high, norm)}"
        total = 0 if left is None else self.attacks + left
        self.control.progress("Smallest epsilon", self.attacks, total, detail)

    def _answer(self, low: float, high: float) -> SmallestEpsilon:
        subject, best, norm = self.subject, self.best, self.request.norm
        label = subject.label
        after = -1 if best is None else int(predictions(best.logits))
        if best is None:
            sentence = (
                f"Still {subject.names[label]} at {length_text(high, norm)}, the largest epsilon there is."
            )
        elif high == 0:
            sentence = f"Already {subject.names[after]} without any attack."
        else:
            sentence = f"{subject.names[label]} -> {subject.names[after]} at {length_text(high, norm)}"
        return SmallestEpsilon(
            low=low,
            high=high,
            found=best is not None,
            norm=norm,
            attacked_label=label,
            after_label=after,
            attacks=self.attacks,
            sentence=sentence,
            adversarial=None if best is None else from_pixels(best.adversarial)[0],
        )
