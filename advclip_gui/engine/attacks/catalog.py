"""Which attacks there are and what can be set for each; free of torch, so a form may read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from advclip_gui.engine.errors import SettingsError

Norm = Literal["Linf", "L2"]
Keep = Literal["last", "fooling"]

NORMS: Final[tuple[Norm, ...]] = get_args(Norm)
LOSSES: Final = ("ce",)
TARGET_CLASSES: Final = 9
MAX_STEPS: Final = 100_000
MAX_RESTARTS: Final = 1_000
MAX_TARGET_CLASSES: Final = 100_000


@dataclass(frozen=True, slots=True)
class AttackInfo:
    """What a form shows of an attack.

    Attributes:
        name: key of the registry and of files, e.g. ``"pgd"``.
        title: how the field writes it.
        description: one sentence for a tooltip.
        norms: the threat models it is defined for.
        options: which of `AttackOptions` it listens to, besides `eps` and `norm`.
        gradient: whether it uses the classifier's gradient.
        default_steps: the steps it is known with, where the reader asks for none.
        steps_name: what the field calls its steps.
    """

    name: str
    title: str
    description: str
    norms: tuple[Norm, ...] = NORMS
    options: frozenset[str] = frozenset()
    gradient: bool = True
    default_steps: int = 10
    steps_name: str = "steps"


FGSM: Final = AttackInfo(
    "fgsm",
    "FGSM",
    "Fast gradient sign method: one step of length epsilon along the gradient of the loss.",
)
PGD: Final = AttackInfo(
    "pgd",
    "PGD",
    "Projected gradient descent: many small steps, each brought back into the epsilon ball.",
    options=frozenset({"steps", "step_size", "random_start", "restarts"}),
)
NOISE: Final = AttackInfo(
    "noise",
    "Random noise",
    "Control: uniform noise in the epsilon ball, which knows nothing of the classifier.",
    options=frozenset({"restarts"}),
    gradient=False,
)
APGD_CE: Final = AttackInfo(
    "apgd-ce",
    "APGD-CE",
    "Auto-PGD on the cross-entropy: PGD with momentum that halves its own step size and goes back to its "
    "best point.",
    options=frozenset({"steps", "random_start", "restarts"}),
    default_steps=100,
)
APGD_DLR: Final = AttackInfo(
    "apgd-dlr",
    "APGD-DLR",
    "Auto-PGD on the difference of logits ratio, which no scale of the logits can hide; needs 3 classes.",
    options=frozenset({"steps", "random_start", "restarts"}),
    default_steps=100,
)
APGD_T: Final = AttackInfo(
    "apgd-t",
    "APGD-T",
    "Auto-PGD toward each of the likeliest other classes, one after the other, by the targeted ratio of "
    "logits; needs 4 classes.",
    options=frozenset({"steps", "random_start", "restarts", "target_classes"}),
    default_steps=100,
)
SQUARE: Final = AttackInfo(
    "square",
    "Square",
    "Black-box random search: changes one square at a time and keeps what lowers the margin. Uses no "
    "gradient.",
    options=frozenset({"steps", "restarts"}),
    gradient=False,
    default_steps=5000,
    steps_name="queries",
)
UNIVERSAL: Final = AttackInfo(
    "universal",
    "Universal",
    "One perturbation for all images attacked together, as in the paper's inner maximisation; on a single "
    "image it is PGD.",
    options=frozenset({"steps", "step_size", "random_start", "restarts"}),
)
INFOS: Final = (FGSM, PGD, NOISE, UNIVERSAL, APGD_CE, APGD_DLR, APGD_T, SQUARE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackOptions:
    """How an attack is run. Lengths are in pixel units, i.e. for images in [0, 1].

    Attributes:
        eps: radius of the ball around the image.
        norm: of that ball.
        steps: gradient steps; queries of an attack that takes no gradient.
        step_size: length alpha of one step; None is 2.5 eps / steps.
        random_start: begin at a random point of the ball.
        restarts: runs from different random points; each attacks only what still holds.
        early_stop: leave a sample alone as soon as an iterate fools the classifier.
        keep: what is returned without `early_stop`: the "last" iterate, or, where the last does
            not fool but an earlier one did, the latest "fooling" one.
        loss: what is ascended; APGD's names say theirs.
        target_classes: how many other classes APGD-T tries, the likeliest first; all where there are fewer.
    """

    eps: float
    norm: Norm = "Linf"
    steps: int = 10
    step_size: float | None = None
    random_start: bool = True
    restarts: int = 1
    early_stop: bool = False
    keep: Keep = "last"
    loss: str = "ce"
    target_classes: int = TARGET_CLASSES

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            SettingsError: a sentence that names the wrong value.
        """
        if self.norm not in NORMS:
            raise SettingsError(f"There is no norm '{self.norm}'.", f"Choose one of {', '.join(NORMS)}.")
        if self.loss not in LOSSES:
            raise SettingsError(
                f"There is no attack loss '{self.loss}'.", f"Choose one of {', '.join(LOSSES)}."
            )
        if self.keep not in get_args(Keep):
            raise SettingsError(f"An attack can keep 'last' or 'fooling', not '{self.keep}'.")
        _check_length("Epsilon", self.eps, self.norm)
        if self.step_size is not None:
            _check_length("The step size", self.step_size, self.norm)
        _check_count("steps", self.steps, MAX_STEPS)
        _check_count("restarts", self.restarts, MAX_RESTARTS)
        _check_count("target classes", self.target_classes, MAX_TARGET_CLASSES)

    @property
    def alpha(self) -> float:
        """The step size in use."""
        return 2.5 * self.eps / self.steps if self.step_size is None else self.step_size


def _check_length(name: str, value: float, norm: Norm) -> None:
    # Not (low <= value) is also true for NaN.
    if not value >= 0.0:
        raise SettingsError(f"{name} must be 0 or larger, not {value:g}.", "Write it as k/255, e.g. 4/255.")
    # In L2 a ball wider than 1 is ordinary: the unit box has a diagonal of sqrt(3 H W).
    limit = 1.0 if norm == "Linf" else 1e4
    if value > limit:
        raise SettingsError(
            f"{name} must be at most {limit:g} in {norm}, not {value:g}: pixels lie in [0, 1].",
            "Write it as k/255, e.g. 4/255.",
        )


def _check_count(name: str, value: int, most: int) -> None:
    if type(value) is not int or not 1 <= value <= most:
        raise SettingsError(f"An attack needs between 1 and {most:,} {name}, not {value}.")


def attack_info(name: str) -> AttackInfo:
    """Look up an attack.

    Raises:
        SettingsError: there is none of this name.
    """
    for info in INFOS:
        if info.name == name:
            return info
    known = ", ".join(info.name for info in INFOS)
    raise SettingsError(f"There is no attack '{name}'.", f"Choose one of {known}.")
