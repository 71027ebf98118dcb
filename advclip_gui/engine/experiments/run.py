"""Run an experiment: train what is not trained yet, measure what is not measured yet, write each down."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from advclip_gui.engine.control import Cancelled, Control, Interrupted
from advclip_gui.engine.errors import CheckpointError, DataError, SettingsError, UserError
from advclip_gui.engine.events import Log
from advclip_gui.engine.experiments.definition import METHODS
from advclip_gui.engine.experiments.events import CellLive
from advclip_gui.engine.experiments.figures import measured_of, read_figures
from advclip_gui.engine.experiments.folder import ExperimentFolder
from advclip_gui.engine.experiments.measure import Yardstick
from advclip_gui.engine.experiments.pace import ZERO_SHOT
from advclip_gui.engine.experiments.progress import Standing, TrainingEar
from advclip_gui.engine.experiments.tables import save_all
from advclip_gui.engine.experiments.test_sets import TestSet, find_test_sets
from advclip_gui.engine.experiments.watching import Watched
from advclip_gui.engine.files import free_folder
from advclip_gui.engine.model_ref import ModelRef
from advclip_gui.engine.runs import RunFolder
from advclip_gui.engine.training import train

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from advclip_gui.engine.classifier import ClipClassifier
    from advclip_gui.engine.experiments.definition import Cell, ExperimentSettings
    from advclip_gui.engine.experiments.folder import ExperimentState
    from advclip_gui.engine.session import Session
    from advclip_gui.engine.trainer import LiveAdapter


@dataclass(frozen=True, slots=True)
class ExperimentResult:
    """How an experiment ended.

    Attributes:
        path: its folder.
        state: "finished", "stopped" (there is something left to do), or "failed" (some cells did; the
            others are done).
        message: what failed, "" where nothing did.
    """

    path: Path
    state: ExperimentState
    message: str = ""


def run_experiment(
    settings: ExperimentSettings,
    *,
    session: Session,
    control: Control,
    path: Path,
    only: Collection[str] = (),
) -> ExperimentResult:
    """Do what is left of an experiment.

    Finished cells are never done again; one cut off goes on from its checkpoint or from what its
    evaluation has found; one that failed is tried again. A cell that fails is recorded with its
    sentence, and the others go on.

    The table and the plot lie in the folder, and grow with every cell.

    Args:
        settings: the definition; in a folder with an experiment it must be the same.
        session: measures the models and lends the one in training; trainings take the device that
            the recipe names.
        control: cancel, stop (keeps the step at hand), pause, events, and probes between two steps.
        path: the experiment's folder.
        only: keys of cells (or "zero-shot") to do now; empty does all.

    Raises:
        SettingsError: another experiment was begun in this folder, or there is no cell of such a key.
        CheckpointError: another process is at work there, or it holds something else.
        DataError: the images cannot be used, a class has too few of them, or they are not those the
            experiment was begun with. Nothing is written for an experiment that had not begun.
        StorageError: something cannot be written.
        Cancelled: through `control`; all that is done is kept.
    """
    folder = ExperimentFolder(path)
    folder.check_free()
    known = {ZERO_SHOT, *(cell.key for cell in settings.cells)}
    unknown = sorted(set(only) - known)
    if unknown:
        example = next((cell.key for cell in settings.cells), ZERO_SHOT)
        raise SettingsError(
            f"The experiment has no cell '{unknown[0]}'.", f"A cell is called {example}, for example."
        )
    test_sets = None if folder.exists else find_test_sets(settings, control)
    folder.define(settings)
    folder.set_state("running")
    try:
        result = _Runner(settings, folder, session, control, frozenset(only)).run(test_sets)
    except Cancelled:
        folder.set_state("cancelled")
        raise
    except UserError as error:
        folder.set_state("failed", str(error))
        raise
    except BaseException as error:
        folder.set_state("failed", f"{type(error).__name__}: {error}")
        raise
    finally:
        session.set_live(None)
    save_all(read_figures(folder), path)
    folder.set_state(result.state, result.message)
    return result


class _Runner:
    """The experiment while it runs."""

    def __init__(
        self,
        settings: ExperimentSettings,
        folder: ExperimentFolder,
        session: Session,
        control: Control,
        only: frozenset[str],
    ) -> None:
        self.settings, self.folder, self.session, self.outer = settings, folder, session, control
        self.titles = {ZERO_SHOT: METHODS["zero-shot"]} if "zero-shot" in settings.methods else {}
        self.titles |= {cell.key: cell.title for cell in settings.cells}
        self.wanted = only or self.titles.keys()
        records = {key: folder.record(key) for key in self.titles}
        sound = {key: one for key, one in records.items() if measured_of(one, settings) is not None}
        self.standing = Standing(settings, sound, control)

    def run(self, test_sets: tuple[TestSet, ...] | None) -> ExperimentResult:
        left = [key for key in self.titles if key in self.wanted and key not in self.standing.done]
        if left:
            test_sets = test_sets or find_test_sets(self.settings, Watched(self.outer, self.standing.forward))
            self._same_images(test_sets)
            yardstick = Yardstick(self.settings, self.folder, self.session, test_sets)
            cells = {cell.key: cell for cell in self.settings.cells}
            try:
                for key in left:
                    self._attempt(key, cells.get(key), yardstick)
            except Interrupted:
                return ExperimentResult(self.folder.path, "stopped")
        self.standing.tell("", "")
        return self._result()

    def _result(self) -> ExperimentResult:
        failed = read_figures(self.folder).failed
        if failed:
            title, sentence = next(iter(failed.items()))
            message = f"{len(failed)} of {len(self.titles)} could not be done; the first, {title}: {sentence}"
            return ExperimentResult(self.folder.path, "failed", message)
        whole = len(self.standing.done) == len(self.titles)
        return ExperimentResult(self.folder.path, "finished" if whole else "stopped")

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

    def _attempt(self, key: str, cell: Cell | None, yardstick: Yardstick) -> None:
        """Do one part; what fails is written down and left behind."""
        self.outer.between_steps()
        if self.outer.stop_requested:
            raise Interrupted
        title = self.titles[key]
        self.standing.begin(key)
        try:
            record = self._measure_zero_shot(yardstick) if cell is None else self._do(cell, yardstick)
        except (Cancelled, Interrupted):
            raise
        except Exception as error:  # noqa: BLE001 (each cell is a job of its own: the others go on)
            sentence = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            self.folder.write_record(key, {"state": "failed", "title": title, "message": sentence})
            self.standing.end(key, title, None, sentence)
            self.standing.tell(title, "")
            return
        self.folder.write_record(key, {"state": "finished", "title": title, **record})
        save_all(read_figures(self.folder), self.folder.path, (".csv", ".md"))
        self.standing.end(key, title, record)

    def _measure_zero_shot(self, yardstick: Yardstick) -> dict[str, Any]:
        title = self.titles[ZERO_SHOT]
        ref = ModelRef("zero_shot", self.settings.base.backbone, title=title)
        return yardstick.measure(ZERO_SHOT, ref, self.standing.evaluating(title))

    def _do(self, cell: Cell, yardstick: Yardstick) -> dict[str, Any]:
        run_dir = self.folder.run_dir(cell.key)
        trained = self._train(cell, run_dir)
        ref = ModelRef("adapter", self.settings.base.backbone, adapter=str(run_dir), title=cell.title)
        learnt = _Learnt(self.session, ref, run_dir, self.settings.base.data.templates)
        # It quacks like the adapter in training, for probes that were asked for while it was.
        self.session.set_live(cast("LiveAdapter", learnt))
        measured = yardstick.measure(cell.key, ref, self.standing.evaluating(cell.title))
        facts = {"method": cell.method, "shots": cell.shots, "seed": cell.seed}
        return {**facts, **trained, **measured}

    def _train(self, cell: Cell, run_dir: Path) -> dict[str, Any]:
        """Train a cell to its end; return steps and seconds where that was done in one go, else zeros.

        A run that was cut off is known by its last part only: no pace is taken from it.
        """
        unknown = {"steps": 0, "seconds": 0.0, "around_seconds": 0.0}
        run = RunFolder(run_dir)
        self._check_settings(cell, run)
        if run.state() == "finished" and run.has_adapter:
            self.standing.steps[cell.key] = cell.settings.total_steps
            return unknown
        whole = not run.has_checkpoint
        ear = TrainingEar(self.standing, cell, self.outer)
        try:
            result = self._train_or_begin_again(cell, run, ear.control)
        finally:
            self.session.set_live(None)
        if result.state == "stopped":
            raise Interrupted
        # Training may end early, by patience.
        self.standing.steps[cell.key] = cell.settings.total_steps
        around = ear.seconds - ear.step_seconds
        if not whole:
            return unknown
        self.standing.pace.surrounded(around)
        return {
            "steps": cell.settings.total_steps,
            "seconds": round(ear.seconds, 3),
            "around_seconds": round(around, 3),
        }

    @staticmethod
    def _check_settings(cell: Cell, run: RunFolder) -> None:
        if not run.has_settings:
            return
        free = {"name": ""}
        if run.settings().model_copy(update=free) != cell.settings.model_copy(update=free):
            raise CheckpointError(f"The run in {run.path} has other settings than this experiment's.")

    def _train_or_begin_again(self, cell: Cell, run: RunFolder, control: Control) -> Any:
        """Train; a checkpoint that cannot be read is put aside, and the cell begins anew."""
        resume = run.has_settings

        def lend(live: LiveAdapter | None) -> None:
            self.session.set_live(live)
            told = CellLive(title=cell.title, run_dir=str(run.path), live=live is not None)
            self.outer.report(told)

        def work(resume: bool) -> Any:
            settings = run.settings() if resume else cell.settings
            return train(settings, control=control, run_dir=run.path, resume=resume, on_live=lend)

        try:
            return work(resume)
        except CheckpointError as error:
            if not resume:
                raise
            aside = free_folder(self.folder.path / "damaged", run.path.name)
            aside.parent.mkdir(exist_ok=True)
            run.path.rename(aside)
            words = f"{cell.title} begins again: {error.message} What there was is kept in {aside}."
            self.outer.report(Log(level="warning", message=words))
        return work(False)


class _Learnt:
    """The adapter of the cell that was trained last, lent like the live one."""

    def __init__(self, session: Session, ref: ModelRef, run_dir: Path, templates: tuple[str, ...]) -> None:
        self._session, self._ref, self._templates = session, ref, templates
        self._names = tuple((RunFolder(run_dir).split() or {}).get("class_names", ()))

    @contextmanager
    def borrow(self) -> Iterator[ClipClassifier]:
        yield self._session.classifier(self._ref, self._names, self._templates, Control())

    def provenance(self) -> dict[str, str]:
        return self._session.provenance(self._ref)
