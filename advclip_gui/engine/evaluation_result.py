"""What an evaluation answers: plain numbers, free of torch, and the same in every report."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A reason to doubt the figures.

    Attributes:
        kind: "random_output", "zero_gradients", "softmax_output", "accuracy_rises",
            "single_step_wins", "loss_does_not_rise", "temperature", "black_box_wins",
            "survives_huge_epsilon", "at_chance", "not_finite" or "seen_images".
        sentence: for people.
    """

    kind: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EpsilonResult:
    """Worst case over all attacks at one epsilon. Shares of all n images, in [0, 1].

    Attributes:
        epsilon: in pixel units.
        robust_hits: images right at every epsilon up to this one.
        robust_accuracy: their share.
        interval: Wilson's 95 % interval of it.
        robust_hits_after_8bit: images that no adversarial image still fools once it is rounded to
            8 bits.
        robust_after_8bit: their share.
        interval_after_8bit: Wilson's 95 % interval of it.
        waterfall: attack title to accuracy left after it, in the order they were run.
        confusion: true class x predicted class under attack, counts.
        seconds: time the attacks took.
    """

    epsilon: float
    robust_hits: int
    robust_accuracy: float
    interval: tuple[float, float]
    robust_hits_after_8bit: int
    robust_after_8bit: float
    interval_after_8bit: tuple[float, float]
    waterfall: dict[str, float]
    confusion: tuple[tuple[int, ...], ...] = field(repr=False)
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassResult:
    """One class.

    Attributes:
        name: as in the prompts.
        n: images of this class.
        clean_hits: right without an attack.
        robust_hits: right under attack, one for each epsilon.
    """

    name: str
    n: int
    clean_hits: int
    robust_hits: tuple[int, ...]

    @property
    def clean_accuracy(self) -> float | None:
        """Share in [0, 1]; None without images."""
        return self.clean_hits / self.n if self.n else None

    @property
    def robust_accuracy(self) -> tuple[float | None, ...]:
        """Share in [0, 1] for each epsilon; None without images."""
        return tuple(hits / self.n if self.n else None for hits in self.robust_hits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Clean and robust accuracy of one model, with everything a trusted figure carries.

    Attributes:
        model: its name.
        attack: tier or attack asked for.
        label: what the figures are, e.g. "FGSM + PGD-10, an upper bound".
        norm: of epsilon.
        n: images.
        class_names: one for each class.
        clean_hits: images right without an attack; only these are attacked.
        clean_accuracy: their share.
        clean_interval: Wilson's 95 % interval of it.
        epsilons: from the smallest to the largest.
        per_class: one for each class.
        confusion_clean: true class x predicted class, counts.
        clean_predictions: one for each image.
        smallest_epsilon: for each image, the smallest evaluated epsilon that fooled it; 0 where it
            is wrong without an attack, None where none did.
        flipped_to: for each image, the class predicted there; None where none did.
        findings: reasons to doubt the figures.
        audit: largest norm over epsilon, box, not-a-number and confirmation counts.
        provenance: how the figures came about.
        seconds: whole time.
        notes: how an attack had to differ from its definition, e.g. with too few classes.
    """

    model: str
    attack: str
    label: str
    norm: str
    n: int
    class_names: tuple[str, ...]
    clean_hits: int
    clean_accuracy: float
    clean_interval: tuple[float, float]
    epsilons: tuple[EpsilonResult, ...]
    per_class: tuple[ClassResult, ...] = field(repr=False)
    confusion_clean: tuple[tuple[int, ...], ...] = field(repr=False)
    clean_predictions: tuple[int, ...] = field(repr=False)
    smallest_epsilon: tuple[float | None, ...] = field(repr=False)
    flipped_to: tuple[int | None, ...] = field(repr=False)
    findings: tuple[Finding, ...]
    audit: dict[str, Any]
    provenance: dict[str, Any]
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """The findings' sentences."""
        return tuple(finding.sentence for finding in self.findings)

    @property
    def confusion_adversarial(self) -> tuple[tuple[int, ...], ...]:
        """True class x predicted class at the largest epsilon."""
        return self.epsilons[-1].confusion

    def at(self, epsilon: float) -> EpsilonResult:
        """The result at the evaluated epsilon nearest to this one."""
        return min(self.epsilons, key=lambda result: abs(result.epsilon - epsilon))

    def to_json(self) -> dict[str, Any]:
        """Plain values; epsilons also as k/255."""
        document = asdict(self)
        document["warnings"] = list(self.warnings)
        for plain in document["epsilons"]:
            plain["epsilon_text"] = f"{plain['epsilon'] * 255:.10g}/255"
        return document

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Evaluation:
        """The inverse of `to_json`, also after a round through a file."""
        values = {key: value for key, value in document.items() if key != "warnings"}
        values["epsilons"] = tuple(
            EpsilonResult(
                **{
                    key: _tuples(value) if isinstance(value, list | tuple) else value
                    for key, value in plain.items()
                    if key != "epsilon_text"
                }
            )
            for plain in values["epsilons"]
        )
        values["per_class"] = tuple(
            ClassResult(**{**plain, "robust_hits": tuple(plain["robust_hits"])})
            for plain in values["per_class"]
        )
        values["findings"] = tuple(Finding(**plain) for plain in values["findings"])
        for key in ("class_names", "clean_interval", "confusion_clean", "clean_predictions"):
            values[key] = _tuples(values[key])
        for key in ("smallest_epsilon", "flipped_to", "notes"):
            values[key] = tuple(values.get(key, ()))
        return cls(**values)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value
