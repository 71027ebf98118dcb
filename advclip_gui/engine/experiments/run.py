"""Run an experiment: train what is not trained yet, measure what is not measured yet, write each down."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from advclip_gui.engine.control import Cancelled, Interrupted
from advclip_gui.engine.errors import CheckpointError, DataError, UserError
from advclip_gui.engine.events import Log, Progress, StepDone, TrainingStarted
from advclip_gui.engine.experiments.events import CellDone, ExperimentProgress
from advclip_gui.engine.experiments.figures import read_figures
from advclip_gui.engine.experiments.folder import ExperimentFolder
from advclip_gui.engine.experiments.measure import Yardstick
from advclip_gui.engine.experiments.pace import ZERO_SHOT, Pace, work
from advclip_gui.engine.experiments.tables import save_all
from advclip_gui.engine.experiments.test_sets import TestSet, find_test_sets
from advclip_gui.engine.experiments.watching import Watched
from advclip_gui.engine.model_ref import ModelRef
from advclip_gui.engine.runs import RunFolder
from advclip_gui.engine.training import train

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.events import Event
    from advclip_gui.engine.experiments.definition import Cell, ExperimentSettings
    from advclip_gui.engine.experiments.folder import ExperimentState
    from advclip_gui.engine.session import Session


@dataclass(frozen=True, slots=True)
class ExperimentResult:
    """How an experiment ended.

    Attributes:
        path: its folder.
        state: "finished", "stopped" (by the user), or "failed" (some cells did; the others are done).
        message: what failed, "" where nothing did.
    """

    path: Path
    state: ExperimentState
    message: str = ""


def run_experiment(
    settings: ExperimentSettings, *, session: Session, control: Control, path: Path
) -> ExperimentResult:
    """Do what is left of an experiment.

    Finished cells are never done again; one cut off goes on from its checkpoint or from what its
    evaluation has found; one that failed is tried again. A cell that fails is recorded with its
    sentence, and the others go on.

    The table and the plot lie in the folder, and grow with every cell.

    Args:
        settings: the definition; in a folder with an experiment it must be the same.
        session: measures the models; trainings take the device that the recipe names.
        control: cancel, stop (keeps the step at hand), pause, events, and probes between two steps.
        path: the experiment's folder.

    Raises:
        SettingsError: another experiment was begun in this folder.
        CheckpointError: another process is at work there, or it holds something else.
        DataError: the images cannot be used, or are not those the experiment was begun with.
        StorageError: something cannot be written.
        Cancelled: through `control`; all that is done is kept.
    """
    folder = ExperimentFolder(path)
    folder.check_free()
    folder.define(settings)
    folder.set_state("running")
    try:
        result = _Runner(settings, folder, session, control).run()
    except Cancelled:
        folder.set_state("cancelled")
        raise
    except UserError as error:
        folder.set_state("failed", str(error))
        raise
    except BaseException as error:
        folder.set_state("failed", f"{type(error).__name__}: {error}")
        raise
    save_all(read_figures(folder), path)
    folder.set_state(result.state, result.message)
    return result


class _Runner:
    """The experiment while it runs."""

    def __init__(
        self, settings: ExperimentSettings, folder: ExperimentFolder, session: Session, control: Control
    ) -> None:
        self.settings, self.folder, self.session, self.outer = settings, folder, session, control
        self.cells = settings.cells
        self.zero_shot = "zero-shot" in settings.methods
        self.steps = {cell.key: self._steps_done(cell) for cell in self.cells}
        self.failed: dict[str, str] = {}
        self._told: tuple[object, ...] = ()
        self.pace = Pace()
        for cell in self.cells:
            record = folder.record(cell.key)
            if record.get("state") == "finished":
                self.pace.trained(cell, record.get("steps", 0), record.get("seconds", 0.0))
        keys = [cell.key for cell in self.cells] + [ZERO_SHOT] * self.zero_shot
        self.total = len(keys)
        self.done = {key for key in keys if folder.is_done(key)}
        for key in self.done:
            self.pace.evaluated(folder.record(key).get("evaluation_seconds", 0.0))

    def _steps_done(self, cell: Cell) -> int:
        return cell.settings.total_steps if self.folder.is_done(cell.key) else 0

    def run(self) -> ExperimentResult:
        if len(self.done) < self.total:
            test_sets = find_test_sets(self.settings, Watched(self.outer, self.forward))
            self._same_images(test_sets)
            yardstick = Yardstick(self.settings, self.folder, self.session, test_sets)
            try:
                if self.zero_shot and ZERO_SHOT not in self.done:
                    self._attempt(ZERO_SHOT, "Zero-shot CLIP", lambda: self._measure_zero_shot(yardstick))
                for cell in self.cells:
                    if cell.key not in self.done:
                        self._attempt(cell.key, cell.title, lambda cell=cell: self._do(cell, yardstick))
            except Interrupted:
                return ExperimentResult(self.folder.path, "stopped")
        self.tell("", "")
        if not self.failed:
            return ExperimentResult(self.folder.path, "finished")
        key, sentence = next(iter(self.failed.items()))
        count = len(self.failed)
        message = f"{count} of {self.total} could not be done; the first, {key}: {sentence}"
        return ExperimentResult(self.folder.path, "failed", message)

    def _same_images(self, test_sets: tuple[TestSet, ...]) -> None:
        now = {one.key: one.facts() for one in test_sets}
        before = self.folder.test_sets()
        if not before:
            self.folder.write_test_sets(now)
            return
        changed = [one.title for one in test_sets if before.get(one.key, {}).get("digest") != one.digest]
        if changed:
            raise DataError(
                f"The test images ({', '.join(changed)}) are not those the experiment was begun with.",
                "Put the data back as it was, or begin a new experiment.",
            )

    def _attempt(self, key: str, title: str, work: Any) -> None:
        """Do one part; what fails is written down and left behind."""
        self.outer.between_steps()
        if self.outer.stop_requested:
            raise Interrupted
        try:
            record = work()
        except (Cancelled, Interrupted):
            raise
        except Exception as error:  # noqa: BLE001 (each cell is a job of its own: the others go on)
            sentence = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            self.failed[key] = sentence
            self.folder.write_record(key, {"state": "failed", "title": title, "message": sentence})
            self._report_end(key, title, "failed", sentence)
            self.tell(title, "")
            return
        self.folder.write_record(key, {"state": "finished", "title": title, **record})
        self.done.add(key)
        self.pace.evaluated(record["evaluation_seconds"])
        figures = tuple(
            (one["title"], one["n"], one["clean"], one["robust"]) for one in record["figures"].values()
        )
        save_all(read_figures(self.folder), self.folder.path, (".csv", ".md"))
        self._report_end(key, title, "finished", figures=figures)

    def _report_end(
        self,
        key: str,
        title: str,
        state: str,
        message: str = "",
        figures: tuple[tuple[str, int, float, float], ...] = (),
    ) -> None:
        self.outer.report(
            CellDone(
                key=key,
                title=title,
                state=state,
                message=message,
                figures=figures,
                ended=len(self.done) + len(self.failed),
                total=self.total,
                seconds_left=self._seconds_left(),
            )
        )

    def _seconds_left(self) -> float | None:
        left = [
            (cell, cell.settings.total_steps - self.steps[cell.key])
            for cell in self.cells
            if cell.key not in self.done and cell.key not in self.failed
        ]
        return self.pace.seconds_left(left, self.total - len(self.done) - len(self.failed))

    def _measure_zero_shot(self, yardstick: Yardstick) -> dict[str, Any]:
        ref = ModelRef("zero_shot", self.settings.base.backbone, title="Zero-shot CLIP")
        return yardstick.measure(ZERO_SHOT, ref, self._evaluating("Zero-shot CLIP"))

    def _do(self, cell: Cell, yardstick: Yardstick) -> dict[str, Any]:
        run_dir = self.folder.run_dir(cell.key)
        seconds = self._train(cell, run_dir)
        ref = ModelRef("adapter", self.settings.base.backbone, adapter=str(run_dir), title=cell.title)
        measured = yardstick.measure(cell.key, ref, self._evaluating(cell.title))
        facts = {"method": cell.method, "shots": cell.shots, "seed": cell.seed}
        # A run that was cut off is known by its last part only: no pace is taken from it.
        return {**facts, "steps": self.steps[cell.key] if seconds else 0, "seconds": seconds, **measured}

    def _train(self, cell: Cell, run_dir: Path) -> float:
        """Train a cell to its end; return the seconds it took where that was done in one go, else 0."""
        run = RunFolder(run_dir)
        if run.has_settings and run.settings().model_copy(update={"name": ""}) != cell.settings.model_copy(
            update={"name": ""}
        ):
            raise CheckpointError(f"The run in {run_dir} has other settings than this experiment's.")
        if run.state() == "finished" and run.has_adapter:
            self.steps[cell.key] = cell.settings.total_steps
            return 0.0
        whole = not run.has_checkpoint
        ear = _TrainingEar(self, cell)
        began = time.perf_counter()
        try:
            result = train(
                run.settings() if run.has_settings else cell.settings,
                control=ear.control,
                run_dir=run_dir,
                resume=run.has_settings,
                on_live=self.session.set_live,
            )
        finally:
            self.session.set_live(None)
        if result.state == "stopped":
            raise Interrupted
        # Training may end early, by patience.
        self.steps[cell.key] = cell.settings.total_steps
        return round(time.perf_counter() - began - ear.control.idle, 3) if whole else 0.0

    def _evaluating(self, title: str) -> Watched:
        def hear(event: Event) -> None:
            if isinstance(event, Progress) and event.task == "Evaluating":
                self.tell(title, "evaluating", event.done, event.total)
            else:
                self.forward(event)

        return Watched(self.outer, hear)

    def forward(self, event: Event) -> None:
        """Pass on what is worth knowing of a part; most of it is only its own."""
        if isinstance(event, Progress) or (isinstance(event, Log) and event.level != "info"):
            self.outer.report(event)

    def tell(self, title: str, phase: str, step: int = 0, total_steps: int = 0) -> None:
        """Report how far the whole has come, once for each step."""
        now = (len(self.done), len(self.failed), title, phase, step)
        if now == self._told:
            return
        self._told = now
        ended = len(self.done) + len(self.failed)
        amount = sum(work(cell) for cell in self.cells)
        trained = sum(work(cell) * self.steps[cell.key] / cell.settings.total_steps for cell in self.cells)
        share = trained / amount if amount else ended / self.total
        self.outer.report(
            ExperimentProgress(
                done=len(self.done),
                failed=len(self.failed),
                total=self.total,
                title=title,
                phase=phase,
                step=step,
                total_steps=total_steps,
                # The last model has still to be measured when the last training has ended.
                share=1.0 if ended == self.total else min(0.99, share),
                seconds_left=self._seconds_left(),
            )
        )


class _TrainingEar:
    """Hears one training: turns its steps into the experiment's progress and the pace."""

    def __init__(self, runner: _Runner, cell: Cell) -> None:
        self._runner, self._cell = runner, cell
        self.control = Watched(runner.outer, self._hear)
        self._at = math.nan

    def _hear(self, event: Event) -> None:
        if isinstance(event, TrainingStarted):
            self._at = self._clock()
            self._runner.steps[self._cell.key] = event.first_step
            self._runner.tell(self._cell.title, "training", event.first_step, event.total_steps)
        elif isinstance(event, StepDone):
            now, steps = self._clock(), self._runner.steps
            self._runner.pace.trained(self._cell, event.step - steps[self._cell.key], now - self._at)
            self._at, steps[self._cell.key] = now, event.step
            self._runner.tell(self._cell.title, "training", event.step, event.total_steps)
        else:
            self._runner.forward(event)

    def _clock(self) -> float:
        return time.perf_counter() - self.control.idle
