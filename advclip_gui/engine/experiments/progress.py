"""Where a running experiment stands: what has ended, what is left, and how long that will take."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from advclip_gui.engine.events import Log, Progress, StepDone, TrainingStarted
from advclip_gui.engine.experiments.events import CellDone, ExperimentProgress
from advclip_gui.engine.experiments.pace import ZERO_SHOT, Pace, work
from advclip_gui.engine.experiments.watching import Watched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.events import Event
    from advclip_gui.engine.experiments.definition import Cell, ExperimentSettings, Method


class Standing:
    """Counts, and tells of every step.

    Attributes:
        done: keys that need nothing more.
        failed: sentence by key, of this start.
        steps: done so far of each training.
        pace: what has been measured.
    """

    def __init__(
        self, settings: ExperimentSettings, records: Mapping[str, dict[str, Any]], control: Control
    ) -> None:
        """Take up what is on disk.

        Args:
            settings: of the experiment.
            records: of the parts that are finished, by key.
            control: hears of everything.
        """
        self.cells = settings.cells
        self._outer = control
        self._methods: dict[str, Method] = {cell.key: cell.method for cell in self.cells}
        if "zero-shot" in settings.methods:
            self._methods[ZERO_SHOT] = "zero-shot"
        self.total = len(self._methods)
        self.done = set(records)
        self.failed: dict[str, str] = {}
        self.pace = Pace()
        self.steps = {cell.key: cell.settings.total_steps * (cell.key in records) for cell in self.cells}
        self._now = ""
        self._evaluating: tuple[Watched, float] | None = None
        self._share = 0.0
        self._told: tuple[object, ...] = ()
        for cell in self.cells:
            record = records.get(cell.key)
            if record is not None:
                around = float(record.get("around_seconds", 0.0))
                self.pace.begin()
                self.pace.trained(cell, record.get("steps", 0), record.get("seconds", 0.0) - around)
                self.pace.surrounded(around)
        for key, record in records.items():
            self.pace.evaluated(self._methods[key], record.get("evaluation_seconds", 0.0))

    @property
    def ended(self) -> int:
        """Parts that have ended, well or not."""
        return len(self.done) + len(self.failed)

    def begin(self, key: str) -> None:
        """A part begins."""
        self._now, self._evaluating = key, None
        self.pace.begin()

    def end(
        self,
        key: str,
        title: str,
        record: Mapping[str, Any] | None,
        message: str = "",
    ) -> None:
        """A part has ended, with its record, or failed with a sentence."""
        figures: tuple[tuple[str, int, float, float], ...] = ()
        self._now, self._evaluating = "", None
        if record is None:
            self.failed[key] = message
        else:
            self.done.add(key)
            self.pace.evaluated(self._methods[key], record["evaluation_seconds"])
            figures = tuple(
                (one["title"], one["n"], one["clean"], one["robust"]) for one in record["figures"].values()
            )
        self._outer.report(
            CellDone(
                key=key,
                title=title,
                state="failed" if record is None else "finished",
                message=message,
                figures=figures,
                ended=self.ended,
                total=self.total,
                seconds_left=self.seconds_left(),
            )
        )

    def seconds_left(self) -> float | None:
        """As far as that can be told."""
        ended = self.done | self.failed.keys()
        left = [cell for cell in self.cells if cell.key not in ended]
        seconds = self.pace.seconds_left(
            [(cell, cell.settings.total_steps - self.steps[cell.key]) for cell in left],
            [method for key, method in self._methods.items() if key not in ended],
            whole=sum(not self.steps[cell.key] and cell.key != self._now for cell in left),
        )
        if seconds is None or self._evaluating is None:
            return seconds
        control, since = self._evaluating
        whole = self.pace.seconds_per_evaluation(self._methods[self._now]) or 0.0
        return seconds - min(whole, time.perf_counter() - control.idle - since)

    def _share_done(self, seconds_left: float | None) -> float:
        """Of the time, else of the steps; what has been told is never taken back."""
        if self.ended == self.total:
            return 1.0
        everything = [(cell, cell.settings.total_steps) for cell in self.cells]
        whole = self.pace.seconds_left(everything, self._methods.values(), whole=len(everything))
        if seconds_left is not None and whole:
            share = 1 - seconds_left / whole
        else:
            amount = sum(work(cell) for cell in self.cells)
            trained = sum(
                work(cell) * self.steps[cell.key] / cell.settings.total_steps for cell in self.cells
            )
            share = trained / amount if amount else self.ended / self.total
        # The last model has still to be measured when the last training has ended.
        self._share = max(self._share, min(0.99, share))
        return self._share

    def tell(self, title: str, phase: str, step: int = 0, total_steps: int = 0) -> None:
        """Report how far the whole has come, once for each step."""
        now = (len(self.done), len(self.failed), title, phase, step)
        if now == self._told:
            return
        self._told = now
        seconds_left = self.seconds_left()
        self._outer.report(
            ExperimentProgress(
                done=len(self.done),
                failed=len(self.failed),
                total=self.total,
                title=title,
                phase=phase,
                step=step,
                total_steps=total_steps,
                share=self._share_done(seconds_left),
                seconds_left=seconds_left,
            )
        )

    def forward(self, event: Event) -> None:
        """Pass on what is worth knowing of a part; most of it is only its own."""
        if isinstance(event, Progress) or (isinstance(event, Log) and event.level != "info"):
            self._outer.report(event)

    def evaluating(self, title: str) -> Watched:
        """A control for measuring a model: its progress is the experiment's."""

        def hear(event: Event) -> None:
            if isinstance(event, Progress) and event.task == "Evaluating":
                self.tell(title, "evaluating", event.done, event.total)
            else:
                self.forward(event)

        control = Watched(self._outer, hear)
        self._evaluating = control, time.perf_counter()
        return control


class TrainingEar:
    """Hears one training: turns its steps into the experiment's progress and the pace.

    Attributes:
        control: for the training.
        step_seconds: spent on steps, and on the evaluations between them.
    """

    def __init__(self, standing: Standing, cell: Cell, control: Control) -> None:
        """Nothing is heard yet."""
        self._standing, self._cell = standing, cell
        self.control = Watched(control, self._hear)
        self.step_seconds = 0.0
        self._began = self._at = self.clock()

    @property
    def seconds(self) -> float:
        """Since the beginning, without pauses and what was served."""
        return self.clock() - self._began

    def _hear(self, event: Event) -> None:
        standing, cell = self._standing, self._cell
        if isinstance(event, TrainingStarted):
            self._at = self.clock()
            standing.steps[cell.key] = event.first_step
            standing.tell(cell.title, "training", event.first_step, event.total_steps)
        elif isinstance(event, StepDone):
            now = self.clock()
            standing.pace.trained(cell, event.step - standing.steps[cell.key], now - self._at)
            self.step_seconds += now - self._at
            self._at, standing.steps[cell.key] = now, event.step
            standing.tell(cell.title, "training", event.step, event.total_steps)
        else:
            standing.forward(event)

    def clock(self) -> float:
        """Seconds that count."""
        return time.perf_counter() - self.control.idle
