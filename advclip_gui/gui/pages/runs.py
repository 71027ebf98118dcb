"""The Runs page: every run on this machine; compare, probe, continue and export them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QFileSystemWatcher, Qt, QTimer, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from advclip_gui.engine import runs as run_files
from advclip_gui.engine.model_ref import ModelRef
from advclip_gui.engine.runs import RunFolder
from advclip_gui.gui import theme
from advclip_gui.gui.run_record import RunRecord, read_records
from advclip_gui.gui.run_text import CONTINUABLE
from advclip_gui.gui.widgets.basics import Banner, Button, EmptyState, PageHeader, PrimaryButton, TextLabel
from advclip_gui.gui.widgets.run_curves import RunCurves
from advclip_gui.gui.widgets.run_details import RunDetails
from advclip_gui.gui.widgets.run_table import RunTable
from advclip_gui.gui.widgets.untitled_card import UntitledCard

if TYPE_CHECKING:
    from pathlib import Path

    from PySide6.QtGui import QHideEvent, QShowEvent

    from advclip_gui.engine.run_list import RunSummary
    from advclip_gui.gui.bridge import Backend
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.job_handle import ErrorInfo, JobHandle
    from advclip_gui.gui.workspace import Workspace

REFRESH_MS = 2000
"""Between two looks at the disk, while the page is on screen and a run is in training."""
_SUBTITLE = "Every run on this machine, started in this window or from the command line."


class RunsPage(QWidget):
    """A table above, curves and settings of the selected runs below."""

    def __init__(
        self, workspace: Workspace, backend: Backend, io: IoPool, parent: QWidget | None = None
    ) -> None:
        """Build the page and list the runs."""
        super().__init__(parent)
        self.setObjectName("runsPage")
        self.setProperty("role", "page")
        self._workspace = workspace
        self._io = io
        self._records: dict[Path, RunRecord] = {}
        self._reading: JobHandle | None = None
        self._dismissed: set[Path] = set()
        self._build()
        self._watcher = QFileSystemWatcher(self)
        self._watcher.directoryChanged.connect(self._on_disk)
        self._timer = QTimer(self)
        self._timer.setInterval(REFRESH_MS)
        self._timer.timeout.connect(self._on_timer)
        self._connect()
        self._on_runs()

    # --- construction -------------------------------------------------------------------------

    def _build(self) -> None:
        look = theme.current()
        self.header = PageHeader("Runs", _SUBTITLE)
        self.filter = QLineEdit()
        self.filter.setObjectName("runFilter")
        self.filter.setAccessibleName("Filter runs")
        self.filter.setPlaceholderText("Filter by name, method, protocol, norm …")
        self.filter.setToolTip("Show only the runs that contain all these words.")
        self.filter.setClearButtonEnabled(True)
        self.filter.setMinimumWidth(18 * look.l)
        self.count = TextLabel("", "caption")
        self.count.setObjectName("runCount")
        self.header.actions.addWidget(self.count)
        self.header.actions.addWidget(self.filter)
        self.banner = Banner()
        self.banner.setObjectName("runsBanner")
        self.table = RunTable()
        self.curves = RunCurves()
        self.details = RunDetails()
        self.stack = QStackedWidget()
        self.stack.addWidget(self._make_empty())
        self.stack.addWidget(self._make_work())
        column = QVBoxLayout(self)
        column.setContentsMargins(look.xl, look.l, look.xl, look.l)
        column.setSpacing(look.m)
        column.addWidget(self.header)
        column.addWidget(self.banner)
        column.addWidget(self.stack, 1)

    def _make_empty(self) -> QWidget:
        self.demo_button = PrimaryButton(
            "Try the demo", "play", name="runsDemo", tip="Open the bundled photos and the demo's recipe."
        )
        self.recipe_button = Button(
            "Go to Recipe", "tune-variant", name="runsRecipe", tip="Set up a training of your own."
        )
        return EmptyState(
            "history",
            "No runs yet",
            "Every training, here or from the command line, is kept as a run: its settings, "
            "curves, figures and adapter.",
            [self.demo_button, self.recipe_button],
        )

    def _make_work(self) -> QWidget:
        look = theme.current()
        card = UntitledCard()
        card.layout().setContentsMargins(1, look.s, 1, look.s)
        card.layout().setSpacing(look.s)
        card.body.addWidget(self.table, 1)
        card.body.addLayout(self._make_actions())
        lower = QSplitter(Qt.Orientation.Horizontal)
        lower.setObjectName("runsLower")
        lower.addWidget(self.curves)
        lower.addWidget(self.details)
        lower.setSizes([620, 520])
        self.splitter = QSplitter(Qt.Orientation.Vertical)
        self.splitter.setObjectName("runsSplitter")
        self.splitter.addWidget(card)
        self.splitter.addWidget(lower)
        self.splitter.setSizes([330, 340])
        for splitter in (lower, self.splitter):
            splitter.setChildrenCollapsible(False)
        return self.splitter

    def _make_actions(self) -> QHBoxLayout:
        look = theme.current()
        self.probe_button = Button(
            "Use in Probe", "crosshairs-gps", name="useInProbe", tip="Attack images with this run's adapter."
        )
        self.continue_button = Button(
            "Continue", "play", name="continueRun", tip="Go on training from the run's last checkpoint."
        )
        self.export_button = Button(
            "Export…", "export-variant", name="exportRun", tip="Write the adapter in peft's format."
        )
        self.folder_button = Button(
            "Open folder", "folder-open-outline", name="openRunFolder", tip="Show the run's files."
        )
        self.reason = TextLabel("", "caption")
        self.reason.setObjectName("runReason")
        row = QHBoxLayout()
        row.setContentsMargins(look.m, 0, look.m, 0)
        row.setSpacing(look.s)
        for button in (self.probe_button, self.continue_button, self.export_button, self.folder_button):
            row.addWidget(button)
        row.addStretch(1)
        row.addWidget(self.reason)
        return row

    def _connect(self) -> None:
        workspace = self._workspace
        workspace.runs_changed.connect(self._on_runs)
        workspace.training_changed.connect(self._on_training)
        self.filter.textChanged.connect(self._on_filter)
        self.table.selection_changed.connect(self._on_selection)
        self.table.doubleClicked.connect(self._on_double_click)
        self.probe_button.clicked.connect(self.use_in_probe)
        self.continue_button.clicked.connect(self.continue_run)
        self.export_button.clicked.connect(self.export)
        self.folder_button.clicked.connect(self.open_folder)
        self.demo_button.clicked.connect(self._open_demo)
        self.recipe_button.clicked.connect(self._go_to_recipe)
        self.banner.dismissed.connect(self._on_dismissed)

    # --- looking at the disk ------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        """Look at the disk, and again whenever it changes."""
        super().showEvent(event)
        self._workspace.refresh_runs()
        self._watch()
        self._read()

    def hideEvent(self, event: QHideEvent) -> None:
        """Look no more."""
        super().hideEvent(event)
        self._watch()

    def _watch(self) -> None:
        root = self._workspace.runs_root or run_files.runs_root()
        wanted = {str(root)} if self.isVisible() and root.is_dir() else set()
        watched = set(self._watcher.directories())
        if watched - wanted:
            self._watcher.removePaths(sorted(watched - wanted))
        if wanted - watched:
            self._watcher.addPaths(sorted(wanted - watched))
        running = self._workspace.is_training or any(
            run.state == "running" for run in self._workspace.last_runs
        )
        if self.isVisible() and running:
            if not self._timer.isActive():
                self._timer.start()
        else:
            self._timer.stop()

    def _on_disk(self) -> None:
        self._workspace.refresh_runs()

    def _on_timer(self) -> None:
        self._workspace.refresh_runs()
        if any(run.state == "running" for run in self.table.selected()):
            self._read()

    def _on_training(self) -> None:
        self._update_actions()
        self._watch()
        if self.isVisible():
            self._workspace.refresh_runs()

    def _on_runs(self) -> None:
        runs = self._workspace.last_runs
        self.stack.setCurrentIndex(1 if runs else 0)
        self.filter.setVisible(bool(runs))
        self.count.setVisible(bool(runs))
        self.table.set_runs(runs)
        self._count()
        self._watch()
        self._offer_recovery()

    # --- the runs selected --------------------------------------------------------------------

    def _on_filter(self, words: str) -> None:
        self.table.set_filter(words)
        self._count()

    def _count(self) -> None:
        shown, every = len(self.table.shown()), len(self._workspace.last_runs)
        runs = "1 run" if every == 1 else f"{every:,} runs"
        self.count.setText(runs if shown == every else f"{shown:,} of {runs}")

    def _on_selection(self) -> None:
        selected = self.table.selected()
        self.table.runs.set_marks(RunCurves.marks(selected))
        self._show()
        self._read()

    def _read(self) -> None:
        """Read the folders of the selected runs, off the main thread."""
        if not self.isVisible():
            return
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        paths = tuple(run.path for run in self.table.selected())
        if paths:
            self._reading = self._io.submit(partial(read_records, paths), "Reading runs")
            self._reading.finished.connect(self._on_read)
            self._reading.failed.connect(self._on_unreadable)

    def _on_read(self, records: dict[Path, RunRecord]) -> None:
        if self.sender() is self._reading:
            self._reading = None
            self._records = records
            self._show()

    def _on_unreadable(self, error: ErrorInfo) -> None:
        if self.sender() is self._reading:
            self._reading = None
            self._workspace.notify.emit("error", error.sentence, error.details)

    def _show(self) -> None:
        selected = self.table.selected()
        self.curves.show_runs(selected, self._records)
        self.details.show_runs(selected, self._records)
        self._update_actions()

    def current(self) -> RunSummary | None:
        """The run the buttons are about: the one selected, None where it is not exactly one."""
        selected = self.table.selected()
        return selected[0] if len(selected) == 1 else None

    def _update_actions(self) -> None:
        run = self.current()
        has_adapter = run is not None and run.has_adapter
        self.probe_button.setEnabled(has_adapter)
        self.export_button.setEnabled(has_adapter)
        self.folder_button.setEnabled(run is not None)
        record = self._records.get(run.path) if run is not None else None
        stands = run is not None and run.state in CONTINUABLE
        here = record is not None and record.has_checkpoint
        self.continue_button.setEnabled(stands and here and not self._workspace.is_training)
        self.reason.setText(self._reason(run, record))

    def _reason(self, run: RunSummary | None, record: RunRecord | None) -> str:
        if run is None:
            several = len(self.table.selected())
            return f"{several} runs selected: compared below." if several else "No run is selected."
        if run.state in CONTINUABLE and record is not None:
            if not record.has_checkpoint:
                return "It left no checkpoint to continue from."
            if self._workspace.is_training:
                return "It can be continued when the run in training has ended."
        if not run.has_adapter:
            return "It has no adapter yet." if run.state == "running" else "It left no adapter."
        return ""

    # --- after a crash ------------------------------------------------------------------------

    def _offer_recovery(self) -> None:
        lost = [
            run
            for run in self._workspace.last_runs
            if run.state == "interrupted"
            and run.path not in self._dismissed
            and RunFolder(run.path).has_checkpoint
        ]
        self._lost = lost
        if not lost or self._workspace.is_training:
            self.banner.clear()
            return
        first = lost[0]
        more = f" {len(lost) - 1} more are marked below." if len(lost) > 1 else ""
        self.banner.show_message(
            "warning",
            f"The run '{first.name}' was interrupted; its last checkpoint is safe.{more}",
            actions=[("Continue", partial(self._continue, first))],
        )

    def _on_dismissed(self) -> None:
        self._dismissed.update(run.path for run in self._lost)

    # --- actions ------------------------------------------------------------------------------

    def use_in_probe(self) -> None:
        """Choose the run's adapter on the Probe page; its images are opened where none are."""
        run, workspace = self.current(), self._workspace
        if run is None or not run.has_adapter:
            return
        if run.backbone_settings != workspace.settings.backbone:
            workspace.set_settings(workspace.settings.model_copy(update={"backbone": run.backbone_settings}))
            workspace.notify.emit("info", f"The recipe's backbone is now {run.backbone}, as in this run.", "")
        record = self._records.get(run.path)
        if workspace.scan is None and workspace.scanning is None and record is not None:
            workspace.open_folder(record.settings.data.folder, then="")
        workspace.navigate.emit("probe")
        ref = ModelRef("adapter", run.backbone_settings, adapter=str(run.path), title=run.name)
        workspace.probe_requested.emit(ref)

    def continue_run(self) -> None:
        """Go on training the selected run."""
        run = self.current()
        if run is not None:
            self._continue(run)

    def _continue(self, run: RunSummary) -> None:
        if self._workspace.resume_training(run.path) is not None:
            self.banner.clear()
            self._workspace.navigate.emit("train")

    def export(self) -> None:
        """Ask for the export of the selected run's adapter."""
        run = self.current()
        if run is not None and run.has_adapter:
            self._workspace.export_requested.emit(run.path)

    def open_folder(self) -> None:
        """Show the run's files in the system's file manager."""
        run = self.current()
        if run is not None and not QDesktopServices.openUrl(QUrl.fromLocalFile(str(run.path))):
            self._workspace.notify.emit("warning", f"The run is in {run.path}.", "")

    def _on_double_click(self) -> None:
        self.use_in_probe()

    def _open_demo(self) -> None:
        self._workspace.open_demo()

    def _go_to_recipe(self) -> None:
        self._workspace.navigate.emit("recipe")
