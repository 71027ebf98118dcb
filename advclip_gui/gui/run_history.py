"""The curves of one run, gathered from live events or from ``metrics.jsonl``: the same figures either way."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from advclip_gui.engine.events import EvalDone, StepDone

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STEP_FIELDS = tuple(item.name for item in dataclasses.fields(StepDone))
_BASELINE, _COMPARISON = "zero-shot", "clip-lora"


@dataclass(frozen=True, slots=True)
class Measured:
    """Clean and robust accuracy at a step; shares in [0, 1]."""

    step: int
    n: int
    epsilon: float
    attack: str
    split: str
    clean: float
    clean_interval: tuple[float, float]
    robust: float
    robust_interval: tuple[float, float]
    norm: str = "Linf"


@dataclass
class RunHistory:
    """Step reports by column, evaluations by step, and the zero-shot baseline.

    Attributes:
        columns: a list of floats for each field of `StepDone`; NaN where nothing was measured.
        evaluations: of the adapter, by rising step.
        comparison: of the CLIP-LoRA adapter trained beside it, by rising step.
        baseline: of zero-shot CLIP on the same images, None before it is measured.
    """

    columns: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in STEP_FIELDS})
    evaluations: list[Measured] = field(default_factory=list)
    comparison: list[Measured] = field(default_factory=list)
    baseline: Measured | None = None

    @property
    def steps(self) -> list[float]:
        """Steps at which losses were reported."""
        return self.columns["step"]

    @property
    def last_step(self) -> int:
        """The latest step anything is known of."""
        return int(
            max(self.steps[-1] if self.steps else 0, self.evaluations[-1].step if self.evaluations else 0)
        )

    def add(self, event: object) -> bool:
        """Take an engine event; True if it was one of the curves'."""
        if isinstance(event, StepDone):
            self._add_step({name: getattr(event, name) for name in STEP_FIELDS})
        elif isinstance(event, EvalDone):
            self._add_evaluation({item.name: getattr(event, item.name) for item in dataclasses.fields(event)})
        else:
            return False
        return True

    def add_records(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Take lines of ``metrics.jsonl``; what is damaged or of another kind is passed over."""
        for record in records:
            try:
                if record.get("event") == "step":
                    self._add_step(record)
                elif record.get("event") == "eval":
                    self._add_evaluation(record)
            except (KeyError, TypeError, ValueError):
                continue

    def before(self, step: int) -> RunHistory:
        """Return a copy with everything up to a step: what a resumed run keeps."""
        kept = [index for index, at in enumerate(self.steps) if at <= step]
        columns = {name: [values[index] for index in kept] for name, values in self.columns.items()}
        evaluations = [one for one in self.evaluations if one.step <= step]
        return RunHistory(columns, evaluations, list(self.comparison), self.baseline)

    def extend(self, later: RunHistory) -> None:
        """Add what another part of the same run has recorded after this one."""
        for index, step in enumerate(later.steps):
            if not self.steps or step > self.steps[-1]:
                for name, values in later.columns.items():
                    self.columns[name].append(values[index])
        for ours, theirs in ((self.evaluations, later.evaluations), (self.comparison, later.comparison)):
            for measured in theirs:
                _append(ours, measured)
        self.baseline = self.baseline or later.baseline

    def _add_step(self, values: Mapping[str, Any]) -> None:
        # Runs of earlier versions know fewer columns.
        row = {name: _number(values.get(name)) for name in STEP_FIELDS}
        row["step"] = float(values["step"])
        if not self.steps or row["step"] > self.steps[-1]:
            for name, value in row.items():
                self.columns[name].append(value)

    def _add_evaluation(self, values: Mapping[str, Any]) -> None:
        clean_low, clean_high = values["clean_interval"]
        robust_low, robust_high = values["robust_interval"]
        measured = Measured(
            step=int(values["step"]),
            n=int(values["n"]),
            epsilon=float(values["epsilon"]),
            attack=str(values["attack"]),
            split=str(values["split"]),
            clean=float(values["clean_accuracy"]),
            clean_interval=(float(clean_low), float(clean_high)),
            robust=float(values["robust_accuracy"]),
            robust_interval=(float(robust_low), float(robust_high)),
            norm=str(values.get("norm", "Linf")),
        )
        if values["model"] == _BASELINE:
            self.baseline = measured
            if not self.evaluations and measured.step == 0:
                # The untrained adapter is zero-shot CLIP: its curve begins at the baseline.
                self.evaluations.append(measured)
        elif values["model"] == _COMPARISON:
            _append(self.comparison, measured)
        else:
            _append(self.evaluations, measured)


def _append(known: list[Measured], measured: Measured) -> None:
    """Add an evaluation unless one of that step, or of a later one, is there."""
    if not known or measured.step > known[-1].step:
        known.append(measured)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
