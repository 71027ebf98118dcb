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
    title: str = "Experiment"
    priority: int = Priority.TRAINING
    serves: ClassVar[bool] = True

    def run(self, session: Any, control: Control) -> object:
        """Return the engine's ExperimentResult; while a cell trains, the session offers its adapter."""
        from advclip_gui.engine.experiments.run import run_experiment

        return run_experiment(self.settings, session=session, control=control, path=self.path)


@dataclass
class EstimateJob:
    """Trainings, steps and time of an experiment."""

    settings: ExperimentSettings
    classes: int = 10
    title: str = "Experiment estimate"
    priority: int = Priority.INTERACTIVE

    def run(self, session: Any, control: Control) -> object:
        """Return the engine's Estimate."""
        from advclip_gui.engine.experiments.estimate import estimate

        return estimate(self.settings, lambda recipe: session.describe(recipe, control, classes=self.classes))
