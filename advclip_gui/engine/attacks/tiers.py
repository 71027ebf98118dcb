"""Which attacks an evaluation runs under one name, and with what budget; free of torch, for forms too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from advclip_gui.engine.attacks.catalog import (
    APGD_CE,
    APGD_T,
    FGSM,
    INFOS,
    PGD,
    SQUARE,
    TARGET_CLASSES,
    AttackInfo,
    AttackOptions,
    Norm,
    attack_info,
)
from advclip_gui.engine.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Planned:
    """An attack with its budget.

    Attributes:
        name: of the attack.
        steps: gradient steps, or queries.
        restarts: runs from different random points.
    """

    name: str
    steps: int
    restarts: int = 1

    @property
    def info(self) -> AttackInfo:
        """What the catalogue says of it."""
        return attack_info(self.name)

    @property
    def title(self) -> str:
        """With its steps, e.g. "PGD-10"."""
        return f"{self.info.title}-{self.steps}" if "steps" in self.info.options else self.info.title

    def options(self, eps: float, norm: Norm, target_classes: int) -> AttackOptions:
        """To be run with early stop at this epsilon. Raises `SettingsError`."""
        return AttackOptions(
            eps=eps,
            norm=norm,
            steps=self.steps,
            restarts=self.restarts,
            early_stop=True,
            target_classes=target_classes,
        )

    def cost(self, target_classes: int) -> int:
        """Forward and backward passes for an image that holds to the end, about."""
        if "steps" not in self.info.options:
            return 3
        runs = self.restarts * (target_classes if "target_classes" in self.info.options else 1)
        return runs * ((2 if self.info.gradient else 1) * self.steps + 1)

    def checks(self, target_classes: int) -> int:
        """How often it asks for cancellation for images that hold to the end, about."""
        runs = self.restarts * (target_classes if "target_classes" in self.info.options else 1)
        return runs * (self.steps + 1) if "steps" in self.info.options else 2

    def provenance(self, target_classes: int) -> dict[str, Any]:
        """What a figure says of it, in plain values."""
        listens = self.info.options
        own = "step_size" in listens
        step_size = "2.5 epsilon / steps" if own else "2 epsilon, halved as it goes"
        if "steps" not in listens:
            step_size = "epsilon"
        plain: dict[str, Any] = {
            "name": self.name,
            "title": self.title,
            "steps": self.steps if "steps" in listens else 1,
            "step_size": step_size if self.info.gradient else None,
            "random_start": "random_start" in listens or not self.info.gradient,
            "restarts": self.restarts if "restarts" in listens else 1,
        }
        if "target_classes" in listens:
            plain["target_classes"] = target_classes
        return plain


@dataclass(frozen=True, slots=True)
class Tier:
    """A row of attacks under one name.

    Attributes:
        name: what `evaluate` and files call it.
        title: for a choice.
        description: one sentence for a tooltip.
        attacks: in the order they are run; each attacks what the earlier ones left.
        upper_bound: the robust accuracy is known to come out too high.
    """

    name: str
    title: str
    description: str
    attacks: tuple[Planned, ...]
    upper_bound: bool = False


QUICK: Final = Tier(
    "quick",
    "Quick",
    "FGSM and PGD-10: seconds, and an upper bound. A stronger attack may find more.",
    (Planned(FGSM.name, 1), Planned(PGD.name, 10)),
    upper_bound=True,
)
STANDARD: Final = Tier(
    "standard",
    "Standard",
    "APGD-CE and APGD-T with 100 steps: no settings that can be chosen badly, fit to be reported.",
    (Planned(APGD_CE.name, 100), Planned(APGD_T.name, 100)),
)
THOROUGH: Final = Tier(
    "thorough",
    "Thorough",
    "As standard with three restarts, then Square with 5,000 queries, which needs no gradient.",
    (Planned(APGD_CE.name, 100, 3), Planned(APGD_T.name, 100, 3), Planned(SQUARE.name, 5000)),
)
TIERS: Final = {tier.name: tier for tier in (QUICK, STANDARD, THOROUGH)}


@dataclass(frozen=True, slots=True)
class Plan:
    """What an evaluation runs.

    Attributes:
        attack: the tier or attack that was asked for.
        attacks: with their budgets.
        reduced: a tier with fewer steps, queries, restarts or targets than its name promises.
    """

    attack: str
    attacks: tuple[Planned, ...]
    reduced: bool

    @property
    def upper_bound(self) -> bool:
        """Whether the figures must be called one."""
        tier = TIERS.get(self.attack)
        return tier is None or tier.upper_bound or self.reduced

    @property
    def label(self) -> str:
        """What the figures are, e.g. "FGSM + PGD-10, an upper bound"."""
        label = " + ".join(planned.title for planned in self.attacks)
        tier = TIERS.get(self.attack)
        if tier is not None and not tier.upper_bound:
            label += f" ({tier.name}{', with a reduced budget' if self.reduced else ''})"
        return f"{label}, an upper bound" if self.upper_bound else label


def plan(
    attack: str,
    *,
    steps: int | None = None,
    restarts: int | None = None,
    queries: int | None = None,
    target_classes: int = TARGET_CLASSES,
) -> Plan:
    """The attacks of a tier, or the one attack of this name, with the budgets asked for.

    Args:
        attack: a tier or an attack.
        steps: of the gradient attacks; None is what the tier or attack is known with.
        restarts: of the gradient attacks; None likewise.
        queries: of the attacks that take no gradient; None likewise.
        target_classes: of APGD-T.

    Raises:
        SettingsError: there is neither, or a budget is out of range.
    """
    tier = TIERS.get(attack)
    if tier is None and attack not in {info.name for info in INFOS}:
        known = ", ".join([*TIERS, *(info.name for info in INFOS)])
        raise SettingsError(f"There is no attack or tier '{attack}'.", f"Choose one of {known}.")
    usual = tier.attacks if tier else (Planned(attack, attack_info(attack).default_steps),)
    chosen = []
    for planned in usual:
        if planned.info.steps_name == "queries":
            now = replace(planned, steps=planned.steps if queries is None else queries)
        elif "steps" in planned.info.options:
            now = replace(planned, steps=planned.steps if steps is None else steps)
        else:
            now = planned
        # A tier's Square runs once: its queries are its budget.
        if restarts is not None and (tier is None or planned.info.gradient):
            now = replace(now, restarts=restarts)
        chosen.append(now)
    reduced = tier is not None and (
        (
            target_classes < TARGET_CLASSES
            and any("target_classes" in planned.info.options for planned in usual)
        )
        or any(
            now.steps < before.steps or now.restarts < before.restarts
            for now, before in zip(chosen, usual, strict=True)
            if "steps" in before.info.options
        )
    )
    return Plan(attack, tuple(chosen), reduced)
