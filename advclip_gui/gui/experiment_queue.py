"""Experiments handed to the device: one runs, the others wait; which of them learns just now."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from advclip_gui.engine.events import Log, Progress
from advclip_gui.engine.experiments.events import CellDone, CellLive, ExperimentProgress
from advclip_gui.engine.experiments.folder import ExperimentFolder
from advclip_gui.gui.experiment_jobs import ExperimentJob
from advclip_gui.gui.widgets.model_chooser import ModelChooser

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from PySide6.QtWidgets import QWidget

    from advclip_gui.engine.experiments.definition import ExperimentSettings
    from advclip_gui.gui.job_handle import JobHandle
    from advclip_gui.gui.workspace import Workspace


class QueuedExperiment(QObject):
    """One experiment on the device, or waiting for it. Lives in the main thread.

    Attributes:
        settings: its definition.
        path: its folder.
        handle: of its job.
        progress: what was told last, None before it has begun.
        detail: what is done before the first step, such as a scan.
    """

    changed = Signal()
    """State or progress; once for each batch of events."""
    grew = Signal()
    """The table has."""
    warned = Signal(str)
    lent = Signal(object)
    """A CellLive."""
    ended = Signal()

    def __init__(self, job: ExperimentJob, handle: JobHandle, parent: QObject) -> None:
        """Follow a job."""
        super().__init__(parent)
        self.settings, self.path, self.handle = job.settings, job.path, handle
        self.progress: ExperimentProgress | None = None
        self.detail = ""
        self._taken_out = False
        handle.event.connect(self._on_event)
        handle.drained.connect(self.changed)
        handle.state_changed.connect(self.changed)
        handle.ended.connect(self._on_ended)

    @property
    def title(self) -> str:
        """What it is called."""
        return self.settings.name or self.settings.kind

    @property
    def waits(self) -> bool:
        """Whether the device has not taken it up yet."""
        return self.handle.state == "queued"

    def stop(self) -> None:
        """End after the step at hand; one that waits is taken out of the queue."""
        self._taken_out = self.waits
        self.handle.stop()

    def hold_or_go_on(self) -> None:
        """Pause, or continue a paused one."""
        if self.handle.state == "paused":
            self.handle.resume()
        else:
            self.handle.pause()

    def _on_event(self, event: object) -> None:
        if isinstance(event, ExperimentProgress):
            self.progress, self.detail = event, ""
        elif isinstance(event, CellDone):
            self.grew.emit()
        elif isinstance(event, CellLive):
            self.lent.emit(event)
        elif isinstance(event, Progress):
            self.detail = event.task
        elif isinstance(event, Log):
            self.warned.emit(event.message)

    def _on_ended(self) -> None:
        folder = ExperimentFolder(self.path)
        if folder.exists and folder.state() == "new":
            if self._taken_out:
                folder.withdraw()
            else:
                # The program is being closed: the next start offers to go on.
                folder.set_state("cancelled")
        self.ended.emit()


class ExperimentQueue(QObject):
    """The experiments that have not ended, in their order."""

    changed = Signal()
    """Another experiment in it, or one less, or another state."""
    ended = Signal(object)
    """A QueuedExperiment that is not in it any more."""

    def __init__(self, workspace: Workspace, owner: QWidget) -> None:
        """Start empty; Probe's list of models is looked for in the owner's window."""
        super().__init__(owner)
        self._workspace, self._owner = workspace, owner
        self.entries: list[QueuedExperiment] = []
        self._followed: dict[str, object] = {}

    def submit(self, settings: ExperimentSettings, path: Path, only: Iterable[str] = ()) -> QueuedExperiment:
        """Hand an experiment to the device, behind what it has already.

        Its definition is written at once, so that it outlives the program while it waits.

        Raises:
            UserError: the folder cannot be written, or holds another experiment.
        """
        ExperimentFolder(path).define(settings)
        job = ExperimentJob(settings, path, tuple(only), title=f"Experiment {settings.name}".strip())
        entry = QueuedExperiment(job, self._workspace.backend.submit(job), self)
        self.entries.append(entry)
        entry.lent.connect(partial(self._on_lent, entry))
        entry.changed.connect(self.changed)
        entry.ended.connect(partial(self._on_ended, entry))
        self.changed.emit()
        return entry

    def find(self, path: Path | None) -> QueuedExperiment | None:
        """The one in a folder, None where none is at work there."""
        return next((entry for entry in self.entries if entry.path == path), None)

    def ahead_of(self, entry: QueuedExperiment) -> list[str]:
        """What the device does first: a run in training, and experiments before this one."""
        training = self._workspace.training
        first = []
        if training is not None and training.active and training.key < entry.handle.key:
            held = " (paused)" if training.state == "paused" else ""
            first.append(f"{training.title}{held}")
        place = self.entries.index(entry) if entry in self.entries else 0
        return first + [one.title for one in self.entries[:place]]

    def _on_ended(self, entry: QueuedExperiment) -> None:
        self.entries.remove(entry)
        self._lend(None)
        self._followed.clear()
        self._workspace.refresh_runs()
        self.changed.emit()
        self.ended.emit(entry)
        entry.deleteLater()

    # --- the model that learns ----------------------------------------------------------------

    def _on_lent(self, entry: QueuedExperiment, event: CellLive) -> None:
        self._lend(entry if event.live else None)

    def _lend(self, entry: QueuedExperiment | None) -> None:
        """Offer the cell in training among the models; who had chosen the one before gets the next."""
        choosers = self._owner.window().findChildren(ModelChooser)
        parent = self._owner.parentWidget()
        if parent is not None:
            choosers += parent.window().findChildren(ModelChooser)
        live = {one.objectName(): one for one in choosers if _is_live(one)}
        if entry is None:
            self._workspace.set_learning(None)
            self._followed |= {name: one.ref() for name, one in live.items() if not _is_live(one)}
            return
        self._workspace.set_learning(entry.settings.base.backbone)
        followed, self._followed = self._followed, {}
        for one in choosers:
            offered = next((ref for ref in one.refs if ref.kind == "live"), None)
            stayed = one.objectName() in followed and one.ref() == followed[one.objectName()]
            if offered is not None and stayed:  # else the user has chosen another one since
                one.choose(offered)


def _is_live(chooser: ModelChooser) -> bool:
    ref = chooser.ref()
    return ref is not None and ref.kind == "live"
