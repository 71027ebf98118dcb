"""What the pages share: the scanned data, the recipe, the run in training and the list of runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from advclip_gui.engine.class_names import prompt_names
from advclip_gui.engine.model_ref import ModelRef
from advclip_gui.gui.data_opening import DataMemory, OpenedData, open_data
from advclip_gui.gui.jobs import TrainJob
from advclip_gui.gui.model_list import Listed, RunListing, saved_refs
from advclip_gui.gui.training_record import TrainingRecord
from advclip_gui.presets import PRESETS
from advclip_gui.settings import DEMO_FOLDER, DataSettings, RunSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from advclip_gui.engine.adapter_library import LibraryAdapter
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.folder import DatasetScan
    from advclip_gui.engine.datasets.memory import Remembered
    from advclip_gui.engine.run_list import RunSummary
    from advclip_gui.gui.bridge import Backend, ErrorInfo, JobHandle
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.settings import BackboneSettings
    from advclip_gui.settings.data import LayoutName


class Workspace(QObject):
    """State shared by the pages, with a signal for every change. Lives in the main thread.

    Attributes:
        backend: the device's façade.
        io: the pool for file work.
        scan: the data as found on disk, only the classes that the settings ask for; None before any is open.
        settings: what the recipe form shows and the next run will use.
        scanning: the handle of the scan under way, else None.
        training: the handle of the run under way or last ended, else None.
        run_dir: its folder.
        record: its curves, log and outcome.
        runs_root: where runs are kept, None for the platform's data folder.
        last_runs: runs on disk as of the last `refresh_runs`, newest first, without those of experiments.
        listed: these, those of experiments, and adapters opened or imported without a run.
    """

    scan_changed = Signal()
    scanning_changed = Signal()
    settings_changed = Signal(object)
    training_changed = Signal()
    training_started = Signal(object)
    """The new run's JobHandle, before its first event."""
    models_changed = Signal()
    runs_changed = Signal()
    """Other runs or adapters are listed, or something about them is other than it was."""
    folders_changed = Signal()
    """New runs, parts of experiments or adapters may appear in other folders."""
    recent_changed = Signal()
    navigate = Signal(str)
    notify = Signal(str, str, str)
    """Level ("info", "success", "warning", "error"), message, details."""
    probe_requested = Signal(object)
    """A ModelRef the Probe page should choose."""
    evaluation_requested = Signal(object)
    """A tuple of ModelRefs the Evaluate page should check, and no others."""
    image_requested = Signal(str)
    """Path, below the data folder, of an image the Probe page should attack."""
    export_requested = Signal(object)
    """The folder of a run whose adapter the user wants to hand on."""

    def __init__(self, backend: Backend, io: IoPool, parent: QObject | None = None) -> None:
        """Start with no data and the default recipe."""
        super().__init__(parent)
        self.backend = backend
        self.io = io
        self.scan: DatasetScan | None = None
        self.settings: RunSettings = PRESETS["demo"].settings
        self.scanning: JobHandle | None = None
        self.training: JobHandle | None = None
        self.training_settings: RunSettings | None = None
        self.run_dir: Path | None = None
        self.record: TrainingRecord | None = None
        self.runs_root: Path | None = None
        self.last_runs: tuple[RunSummary, ...] = ()
        self.listed = Listed()
        self.recent: list[str] = []
        self._opened = OpenedData()
        self._memory = DataMemory(io)
        self._asked_for: frozenset[Path] = frozenset()
        self._learning: BackboneSettings | None = None
        self._listing = RunListing(io, self)
        self._listing.listed.connect(self._runs_listed)
        self._listing.failed.connect(self._listing_failed)
        self._opening = ""
        self._then = ""
        self._quiet = False

    @property
    def data(self) -> DataSettings:
        """The data part of the settings."""
        return self.settings.data

    def set_settings(self, settings: RunSettings) -> None:
        """Replace the recipe; pages hear of it once, and only if something changed."""
        if settings == self.settings:
            return
        before = self.settings
        self.settings = settings
        scan = self.scan
        if self._opened.whole is not None:
            self._memory.keep(before.data, settings.data)
            self.scan = self._opened.restricted(settings.data.classes)
        self.settings_changed.emit(settings)
        if self.scan is not scan:
            self.scan_changed.emit()
        if settings.backbone != before.backbone or settings.data != before.data:
            self.models_changed.emit()

    def set_data(self, data: DataSettings) -> None:
        """Replace the data part of the recipe."""
        self.set_settings(self.settings.model_copy(update={"data": data}))

    def class_names(self) -> tuple[str, ...]:
        """Names used in prompts, in label order; empty before data is open."""
        return prompt_names(self.scan, self.data.class_names) if self.scan is not None else ()

    def templates(self) -> tuple[str, ...]:
        """Prompt templates."""
        return self.data.templates

    # --- data ---------------------------------------------------------------------------------

    def open_folder(
        self, folder: Path | str, *, then: str = "data", layout: LayoutName | None = None, quiet: bool = False
    ) -> JobHandle:
        """Scan a folder, zip or list (or "demo") in the background, then show the page `then` ("" stays).

        `layout` None is the layout of the settings for their own folder, else what was chosen for this
        one before. `quiet` is for who tells of a failure itself.
        """
        if self.scanning is not None:
            self.scanning.cancel()
        name = DEMO_FOLDER if str(folder) == DEMO_FOLDER else str(Path(folder).expanduser().absolute())

        if layout is None and name == self.data.folder:
            layout = self.data.layout

        work = partial(open_data, name, layout)
        handle = self.io.submit(work, f"Scanning {'the demo' if name == DEMO_FOLDER else Path(name).name}")
        self._opening, self._then, self._quiet = name, then, quiet
        self.scanning = handle
        handle.finished.connect(self._scan_finished)
        handle.failed.connect(self._scan_failed)
        handle.ended.connect(self._scan_ended)
        self.scanning_changed.emit()
        return handle

    def open_demo(self, *, then: str = "train") -> JobHandle:
        """Take the demo's preset and open the bundled images."""
        self.set_settings(PRESETS["demo"].settings)
        return self.open_folder(DEMO_FOLDER, then=then)

    def rescan(self, *, quiet: bool = False) -> JobHandle:
        """Look at the open folder again."""
        return self.open_folder(self.data.folder, then="", quiet=quiet)

    def set_layout(self, layout: LayoutName, *, quiet: bool = False) -> JobHandle:
        """Read the open data in another layout; the settings follow once that has worked."""
        return self.open_folder(self.data.folder, then="", layout=layout, quiet=quiet)

    def _scan_finished(self, opened: tuple[DatasetScan, Remembered, LayoutName]) -> None:
        if self.sender() is not self.scanning:
            return
        scan, kept, layout = opened
        folder = self._opening
        self._opened.whole = self.scan = scan
        if folder != self.data.folder:
            # What suits the demo's many images must not be carried into a folder with few.
            demo = self.data == PRESETS["demo"].settings.data
            base = DataSettings() if demo else self.data
            own = {"class_names": kept.class_names, "skip": kept.skip, "layout": layout}
            fresh = {"folder": folder, "classes": "all", "split_file": "", **own}
            self.set_data(base.model_copy(update=fresh))
        elif layout != self.data.layout:
            self.set_data(self.data.model_copy(update={"layout": layout}))
        self.scan = self._opened.restricted(self.data.classes)
        if folder != DEMO_FOLDER:
            self.recent = [folder, *(other for other in self.recent if other != folder)][:8]
            self.recent_changed.emit()
        self.scan_changed.emit()
        self.models_changed.emit()
        if self._then:
            self.navigate.emit(self._then)

    def _scan_failed(self, error: ErrorInfo) -> None:
        if self.sender() is self.scanning and not self._quiet:
            self.notify.emit("error", error.sentence, error.details)

    def _scan_ended(self) -> None:
        if self.sender() is self.scanning:
            self.scanning = None
            self.scanning_changed.emit()

    # --- training -----------------------------------------------------------------------------

    @property
    def is_training(self) -> bool:
        """Whether a run is queued, running or paused."""
        return self.training is not None and self.training.active

    def start_training(self, settings: RunSettings | None = None) -> JobHandle | None:
        """Start a run in a new folder; None (and a notification) if that is not possible now."""
        settings = settings or self.settings
        if self.is_training:
            self.notify.emit("warning", "A run is already in training; stop it first.", "")
            return None
        from advclip_gui.engine.errors import UserError
        from advclip_gui.engine.runs import new_run_dir

        try:
            run_dir = new_run_dir(settings, self.runs_root)
        except (UserError, OSError) as error:
            self.notify.emit("error", str(error), "")
            return None
        return self._submit_training(
            TrainJob(settings, run_dir, title=f"Training {settings.name or settings.method}")
        )

    def resume_training(self, run_dir: Path) -> JobHandle | None:
        """Go on with a run that was stopped or interrupted, from its checkpoint."""
        if self.is_training:
            self.notify.emit("warning", "A run is already in training; stop it first.", "")
            return None
        from advclip_gui.engine.errors import UserError
        from advclip_gui.engine.runs import RunFolder

        try:
            settings = RunFolder(run_dir).settings()
        except (UserError, OSError) as error:
            self.notify.emit("error", str(error), "")
            return None
        name = settings.name or settings.method
        return self._submit_training(TrainJob(settings, run_dir, resume=True, title=f"Training {name}"))

    def _submit_training(self, job: TrainJob) -> JobHandle:
        handle = self.backend.submit(job)
        self.training = handle
        self.training_settings = job.settings
        self.run_dir = job.run_dir
        if self.record is not None:
            self.record.deleteLater()
        self.record = TrainingRecord(handle, job.settings, job.run_dir, self)
        if job.resume:
            self._restore_record(self.record)
        handle.started.connect(self._training_moved)
        handle.ended.connect(self._training_ended)
        self.training_started.emit(handle)
        self._training_moved()
        return handle

    def _restore_record(self, record: TrainingRecord) -> None:
        """Read what an earlier part of the run has recorded."""

        def work(_control: Control) -> object:
            from advclip_gui.engine.runs import RunFolder

            return RunFolder(record_dir).metrics()

        record_dir = record.run_dir
        self.io.submit(work).finished.connect(record.restore)

    def _training_moved(self) -> None:
        self.training_changed.emit()
        self.models_changed.emit()

    def _training_ended(self) -> None:
        self._training_moved()
        self.refresh_runs()

    # --- models and runs ----------------------------------------------------------------------

    def model_refs(self) -> list[ModelRef]:
        """Models that can be probed and evaluated now: zero-shot, the live one, finished adapters.

        Of many adapters, the newest and those asked for with `offer`.
        """
        backbone = self.settings.backbone
        refs = [ModelRef("zero_shot", backbone, title="Zero-shot")]
        run = self.training_settings if self.is_training else None
        if backbone in (self._learning, run.backbone if run is not None else None):
            refs.append(ModelRef("live", backbone, title="In training (live)"))
        return refs + saved_refs(backbone, self.listed.lines, self._asked_for)

    def adapter_opened(self, adapter: LibraryAdapter) -> None:
        """Tell of an adapter that has just come to the library, and list it."""
        known = adapter.info is not None and adapter.info.backbone == self.settings.backbone
        where = "Probe and Evaluate offer it." if known else "Probe and Evaluate offer it with its backbone."
        self.notify.emit("success", f"The adapter '{adapter.name}' is open. {where}", "")
        self.refresh_runs()

    def set_learning(self, backbone: BackboneSettings | None) -> None:
        """Offer a live model that is no run's, such as a cell's of an experiment; None takes it away."""
        if backbone != self._learning:
            self._learning = backbone
            self.models_changed.emit()

    def offer(self, paths: Iterable[Path]) -> None:
        """Offer the adapters of these runs among the models, however many newer ones there are."""
        more = self._asked_for.union(paths)
        if more != self._asked_for:
            self._asked_for = more
            self.models_changed.emit()

    def refresh_runs(self) -> None:
        """Read the list of runs again in the background; `runs_changed` follows."""
        self._listing.read(self.runs_root)

    def _runs_listed(self, listed: Listed) -> None:
        before, self.listed = self.listed, listed
        self.last_runs = tuple(line for line in listed.lines if not line.part_of and not line.is_adapter)
        if listed.lines != before.lines:
            self.runs_changed.emit()
            self.models_changed.emit()
        if listed.folders != before.folders:
            self.folders_changed.emit()

    def _listing_failed(self, error: ErrorInfo) -> None:
        self.notify.emit("error", error.sentence, error.details)
