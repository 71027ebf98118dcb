"""What a probe is asked and what it answers: plain values, free of torch, safe to build in a window."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

from advclip_gui.engine.attacks.catalog import AttackOptions, Norm, attack_info
from advclip_gui.engine.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from advclip_gui.engine.events import ProbeStep


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRequest:
    """How one image is attacked. Lengths in pixel units [0, 1].

    Attributes:
        attack: a name of the attack catalogue.
        norm: "Linf" or "L2".
        epsilon: largest perturbation.
        steps: gradient steps.
        step_size: length of one; None is 2.5 epsilon / steps.
        random_start: begin at a random point of the ball.
        restarts: runs from different random points.
        target: class to reach; None leaves the label by the shortest way.
        seed: of the random starts.
    """

    attack: str = "pgd"
    norm: Norm = "Linf"
    epsilon: float = 4 / 255
    steps: int = 10
    step_size: float | None = None
    random_start: bool = True
    restarts: int = 1
    target: int | None = None
    seed: int = 0

    def options(self) -> AttackOptions:
        """The attack's own settings.

        Raises:
            SettingsError: a value is out of its range, or there is no such attack.
        """
        attack_info(self.attack)
        return AttackOptions(
            eps=self.epsilon,
            norm=self.norm,
            steps=self.steps,
            step_size=self.step_size,
            random_start=self.random_start,
            restarts=self.restarts,
            keep="fooling",
        )

    @property
    def title(self) -> str:
        """For people, e.g. "PGD, 10 steps, 4/255"."""
        info = attack_info(self.attack)
        steps = f", {self.steps} steps" if "steps" in info.options else ""
        return f"{info.title}{steps}, {length_text(self.epsilon, self.norm)}"

    def to_json(self) -> dict[str, Any]:
        """Plain values; lengths as floats, which JSON keeps exactly."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
            SettingsError: an unknown key, or a value out of its range.
        """
        unknown = set(values) - {item.name for item in fields(cls)}
        if unknown:
            raise SettingsError(f"A probe has no setting '{sorted(unknown)[0]}'.")
        request = cls(**values)
        try:
            request.options()
        except TypeError as error:
            raise SettingsError(f"A setting of the probe has the wrong type: {error}.") from error
        return request


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProbeResult:
    """One image before and after the attack.

    Attributes:
        original: (H, W, 3) what the model sees.
        adversarial: (H, W, 3) rounded to 8 bits.
        perturbation: (H, W, 3) signed, pixel units, before rounding.
        before: probabilities of all classes on the original.
        after: probabilities on the adversarial image before rounding.
        after_8bit: probabilities on the rounded adversarial image.
        before_label: predicted class on the original.
        after_label: predicted class on the adversarial image before rounding.
        after_8bit_label: predicted class on the rounded adversarial image.
        attacked_label: the class the attack pushes away from.
        flipped: the prediction changed.
        flipped_after_8bit: it also changed for the rounded image.
        epsilon: in pixel units.
        linf: largest change of a pixel value, before rounding.
        l2: Euclidean length of the change, before rounding.
        steps: every iterate of the restart shown; the last is `adversarial`.
        class_names: one for each probability.
        milliseconds: wall-clock time of the whole probe.
        sentence: what happened, e.g. "coat -> dress at 1.4/255".
        request: what was asked.
        provenance: versions, device, dtype.
    """

    original: NDArray[np.uint8] = field(repr=False)
    adversarial: NDArray[np.uint8] = field(repr=False)
    perturbation: NDArray[np.float32] = field(repr=False)
    before: tuple[float, ...]
    after: tuple[float, ...]
    after_8bit: tuple[float, ...]
    before_label: int
    after_label: int
    after_8bit_label: int
    attacked_label: int
    flipped: bool
    flipped_after_8bit: bool
    epsilon: float
    linf: float
    l2: float
    steps: tuple[ProbeStep, ...] = field(repr=False)
    class_names: tuple[str, ...]
    milliseconds: float
    sentence: str
    request: ProbeRequest
    provenance: dict[str, str]

    @property
    def before_name(self) -> str:
        """The class predicted on the original."""
        return self.class_names[self.before_label]

    @property
    def after_name(self) -> str:
        """The class predicted on the adversarial image."""
        return self.class_names[self.after_label]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SmallestEpsilon:
    """Between which lengths the prediction flips, under the attack asked for.

    Attributes:
        low: the largest epsilon tried at which the attack failed (0 where even the clean image is
            wrong).
        high: the smallest epsilon tried at which it succeeded; without `found`, the largest tried.
        found: whether any did.
        norm: of both.
        attacked_label: the class the attack pushes away from.
        after_label: the class predicted at `high`; -1 without `found`.
        attacks: how many epsilons were tried.
        sentence: for people.
        adversarial: (H, W, 3) at `high`, rounded to 8 bits; None without `found`.
    """

    low: float
    high: float
    found: bool
    norm: Norm
    attacked_label: int
    after_label: int
    attacks: int
    sentence: str
    adversarial: NDArray[np.uint8] | None = field(repr=False, default=None)


def longest(norm: Norm, values: int) -> float:
    """The largest epsilon that can matter to an image of so many pixel values."""
    return 1.0 if norm == "Linf" else math.sqrt(values)


def length_text(value: float, norm: Norm) -> str:
    """Write an epsilon for people: "1.4/255", or "0.5 in L2"."""
    return f"{value * 255:.4g}/255" if norm == "Linf" else f"{value:.4g} in L2"


def probe_sentence(
    names: tuple[str, ...],
    *,
    attacked: int,
    before: int,
    after: int,
    after_8bit: int,
    request: ProbeRequest,
) -> str:
    """Say in one line what the attack did."""
    at = length_text(request.epsilon, request.norm)
    if after == before:
        sentence = f"Still {names[before]} at {at}"
    else:
        sentence = f"{names[before]} -> {names[after]} at {at}"
    if before != attacked:
        sentence = f"Wrong before any attack ({names[before]} for {names[attacked]}). {sentence}"
    if request.target is not None and after != request.target:
        sentence += f"; the target {names[request.target]} was not reached"
    if after != before and after_8bit == before:
        sentence += ", but not once it is saved as an 8-bit image"
    return sentence
