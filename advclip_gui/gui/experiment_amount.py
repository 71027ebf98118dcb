"""What an experiment that is being defined amounts to, and whether its data can give it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from advclip_gui.gui.experiment_jobs import EstimateJob
from advclip_gui.gui.experiment_reading import DataCheck
from advclip_gui.gui.experiment_text import amount_text

if TYPE_CHECKING:
    from advclip_gui.engine.datasets.records import DatasetScan
    from advclip_gui.engine.experiments.definition import ExperimentSettings
    from advclip_gui.engine.experiments.estimate import Estimate
    from advclip_gui.gui.job_handle import JobHandle
    from advclip_gui.gui.workspace import Workspace

_ASK_MS = 300


class ExperimentAmount(QObject):
    """Looks at the data first, then asks the device for the time; the latest definition counts."""

    changed = Signal()
    """The data has been looked at, or the time is known."""

    def __init__(self, workspace: Workspace, parent: QObject | None = None) -> None:
        """Nothing is asked yet."""
        super().__init__(parent)
        self._workspace = workspace
        self._check = DataCheck(workspace.io, self)
        self._check.done.connect(self._on_checked)
        self._wanted: ExperimentSettings | None = None
        self._asked: JobHandle | None = None
        self._asked_for: ExperimentSettings | None = None
        self._found: Estimate | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_ASK_MS)
        self._timer.timeout.connect(self._look_now)
        workspace.backend.engine_ready.connect(self._on_checked)

    def look(self, settings: ExperimentSettings, *, at_once: bool = False) -> None:
        """Find out, a moment after the last change or at once."""
        self._wanted = settings
        if at_once:
            self._timer.stop()
            self._look_now()
        elif settings != self._check.settings:
            self._timer.start()

    def rest(self) -> None:
        """Nothing is being defined."""
        self._wanted = None
        self._timer.stop()

    def forget(self) -> None:
        """The data may be other data now."""
        self._check.forget()

    def passed(self, settings: ExperimentSettings) -> bool:
        """Whether the data is known to give it."""
        return self._check.passed(settings)

    def looking(self, settings: ExperimentSettings) -> bool:
        """Whether their data is being looked at."""
        return self._check.asks(settings)

    def problem(self, settings: ExperimentSettings) -> str:
        """Why it cannot, as far as that is known."""
        return self._check.refuses(settings)

    def text(self, settings: ExperimentSettings, *, begun: bool) -> str:
        """Trainings, steps and the time, if it is known; of one that was begun, the progress tells it."""
        return amount_text(settings, self._found if self._asked_for == settings and not begun else None)

    def _look_now(self) -> None:
        if self._wanted is not None:
            self._check.ask(self._wanted, self._known(self._wanted))

    def _known(self, settings: ExperimentSettings) -> DatasetScan | None:
        """The data where it is open already, with all its classes."""
        workspace, data = self._workspace, settings.base.data
        mine = workspace.settings.data
        same = (mine.folder, mine.layout, mine.classes) == (data.folder, data.layout, "all")
        return workspace.scan if same else None

    def _on_checked(self) -> None:
        settings, backend = self._wanted, self._workspace.backend
        if settings is not None and self.passed(settings) and backend.ready and settings != self._asked_for:
            if self._asked is not None:
                self._asked.cancel()
            scan = self._workspace.scan
            classes = len(scan.classes) if scan is not None else 10
            job = EstimateJob(settings, classes, self._check.images, self._workspace.runs_root)
            self._asked_for, self._found = settings, None
            self._asked = backend.submit(job)
            self._asked.finished.connect(self._on_estimate)
        self.changed.emit()

    def _on_estimate(self, found: Estimate) -> None:
        if self.sender() is self._asked:
            self._found = found
            self.changed.emit()
