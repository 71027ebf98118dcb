"""What the window asks of the device for an experiment: to run it, and how long that takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from advclip_gui.gui.gpu_thread import Priority

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.experiments.definition import ExperimentSettings


@dataclass
class ExperimentJob:
    """What is left of an experiment; serves interactive jobs between the steps of trainings and attacks."""

    settings: ExperimentSettings
    path: Path
    only: tuple[str, ...] = ()
    """Keys of the cells to do now; empty does all."""
    title: str = "Experiment"
    priority: int = Priority.TRAINING
    serves: ClassVar[bool] = True

    def run(self, session: Any, control: Control) -> object:
        """Return the engine's ExperimentResult; while a cell trains, the session offers its adapter."""
        from advclip_gui.engine.experiments.run import run_experiment

        return run_experiment(self.settings, session=session, control=control, path=self.path, only=self.only)


@dataclass
class EstimateJob:
    """Trainings, steps and time of an experiment.

    Attributes:
        classes: of the data.
        images: to test on, None where nobody has counted them.
        root: where earlier runs are, None for the platform's place.
    """

    settings: ExperimentSettings
    classes: int = 10
    images: int | None = None
    root: Path | None = None
    title: str = "Experiment estimate"
    priority: int = Priority.INTERACTIVE

    def run(self, session: Any, control: Control) -> object:
        """Return the engine's Estimate."""
        from advclip_gui.engine.experiments.earlier import earlier_runs
        from advclip_gui.engine.experiments.estimate import estimate

        return estimate(
            self.settings,
            lambda recipe: session.describe(recipe, control, classes=self.classes),
            classes=self.classes,
            images=self.images,
            earlier=earlier_runs(self.settings.base, session.device_text, self.root),
        )
