"""The Runs page: every run on this machine and every adapter; compare, use, continue, export, tidy up."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QSplitter, QStackedWidget, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.run_commands import RunCommands, taken_here
from advclip_gui.gui.run_record import RunRecord, read_records
from advclip_gui.gui.run_recovery import RunRecovery
from advclip_gui.gui.run_text import counted, counted_of
from advclip_gui.gui.run_watch import RunWatch
from advclip_gui.gui.widgets.basics import Banner, Button, EmptyState, PageHeader, PrimaryButton, TextLabel
from advclip_gui.gui.widgets.run_actions import RunActions
from advclip_gui.gui.widgets.run_curves import ROLES, RunCurves
from advclip_gui.gui.widgets.run_details import RunDetails
from advclip_gui.gui.widgets.run_filter import RunFilter
from advclip_gui.gui.widgets.run_table import RunTable
from advclip_gui.gui.widgets.untitled_card import UntitledCard

if TYPE_CHECKING:
    from pathlib import Path

    from PySide6.QtGui import QDragEnterEvent, QDropEvent, QHideEvent, QShowEvent

    from advclip_gui.gui.bridge import Backend
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.job_handle import ErrorInfo, JobHandle
    from advclip_gui.gui.workspace import Workspace

_SUBTITLE = "Runs of this machine, and adapters."
MOST_COMPARED = len(ROLES)
"""Runs whose folders are read at once; more can be selected for the bin."""


class RunsPage(QWidget):
    """A table above, curves and settings of the selected runs below."""

    def __init__(
        self, workspace: Workspace, backend: Backend, io: IoPool, parent: QWidget | None = None
    ) -> None:
        """Build the page and list the runs."""
        super().__init__(parent)
        self.setObjectName("runsPage")
        self.setProperty("role", "page")
        self.setAcceptDrops(True)
        self._workspace = workspace
        self._io = io
        self._records: dict[Path, RunRecord] = {}
        self._reading: JobHandle | None = None
        self._select_when_listed: Path | None = None
        self._build()
        self.watch = RunWatch(workspace, self)
        self.commands = RunCommands(workspace, io, self.table, self.bin_banner, self)
        self.recovery = RunRecovery(workspace, self.banner, self.commands.go_on_with, self)
        self._connect()
        self._on_runs()

    # --- construction -------------------------------------------------------------------------

    def _build(self) -> None:
        look = theme.current()
        self.header = PageHeader("Runs", _SUBTITLE)
        self.filter = RunFilter()
        self.count = TextLabel("", "caption")
        self.count.setObjectName("runCount")
        self.import_button = Button(
            "Import run…", "import", name="importRun", tip="Take in a run folder from another machine."
        )
        self.open_button = Button(
            "Open adapter…",
            "folder-open-outline",
            name="openAdapter",
            tip="Use an adapter without its run: a folder of Export or peft, or a .pt of CLIP-LoRA.",
        )
        self.experiment_button = Button(
            "Experiments…",
            "table-large",
            name="experiments",
            tip="Repeat a recipe over shots and seeds: a table with mean and deviation, and a plot.",
        )
        for widget in (self.count, self.experiment_button, self.open_button, self.import_button):
            self.header.actions.addWidget(widget)
        self.banner, self.bin_banner = Banner(), Banner()
        self.banner.setObjectName("runsBanner")
        self.bin_banner.setObjectName("binBanner")
        self.bin_banner.clear()
        self.table = RunTable()
        self.actions_row = RunActions(self.table)
        self.curves = RunCurves()
        self.details = RunDetails()
        self.stack = QStackedWidget()
        self.stack.addWidget(self._make_empty())
        self.stack.addWidget(self._make_work())
        column = QVBoxLayout(self)
        column.setContentsMargins(look.xl, look.l, look.xl, look.l)
        column.setSpacing(look.m)
        for widget in (self.header, self.filter, self.banner, self.bin_banner):
            column.addWidget(widget)
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
            "curves, figures and adapter. Adapters from elsewhere can be opened or dropped here too.",
            [self.demo_button, self.recipe_button],
        )

    def _make_work(self) -> QWidget:
        look = theme.current()
        self.clear_button = Button(
            "Show all", "filter-off-outline", name="clearRunFilter", tip="Take the filter away."
        )
        no_hit = EmptyState(
            "filter-outline", "Nothing fits the filter", "Fewer words, or any state.", [self.clear_button]
        )
        self.rows = QStackedWidget()
        self.rows.addWidget(self.table)
        self.rows.addWidget(no_hit)
        card = UntitledCard()
        card.layout().setContentsMargins(1, look.s, 1, look.s)
        card.layout().setSpacing(look.s)
        card.body.addWidget(self.rows, 1)
        card.body.addWidget(self.actions_row)
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

    def _connect(self) -> None:
        workspace = self._workspace
        workspace.runs_changed.connect(self._on_runs)
        workspace.training_changed.connect(self._on_training)
        self.watch.looked.connect(self._on_looked)
        commands = self.commands
        commands.keeper.changed.connect(self._read)
        commands.imported.connect(self._on_imported)
        self.filter.changed.connect(self._on_filter)
        self.clear_button.clicked.connect(self.filter.clear)
        self.table.selection_changed.connect(self._on_selection)
        self.table.doubleClicked.connect(commands.use_in_probe)
        for key, act in (
            ("probe", commands.use_in_probe),
            ("evaluate", commands.evaluate),
            ("go_on", commands.continue_run),
            ("export", commands.export),
            ("rename", self.table.edit_name),
            ("note", commands.edit_note),
            ("folder", commands.open_folder),
            ("bin", commands.move_to_bin),
        ):
            self.actions_row.actions[key].triggered.connect(act)
        self.details.note_wanted.connect(commands.edit_note)
        self.import_button.clicked.connect(commands.import_run)
        self.open_button.clicked.connect(commands.open_adapter)
        self.experiment_button.clicked.connect(commands.show_experiments)
        self.demo_button.clicked.connect(self._open_demo)
        self.recipe_button.clicked.connect(self._go_to_recipe)
        find = QShortcut(QKeySequence.StandardKey.Find, self)
        find.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        find.activated.connect(self._find)

    # --- what outlives the window -------------------------------------------------------------

    def state(self) -> str:
        """Sorting, columns, and which kinds of rows are shown."""
        return json.dumps({**json.loads(self.table.arrangement()), **self.filter.remembered()})

    def recall(self, state: str) -> None:
        """Sort and show columns and kinds as before."""
        self.table.arrange(state)
        try:
            self.filter.recall(dict(json.loads(state)))
        except (ValueError, TypeError):
            return

    # --- looking at the disk ------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        """Look at the disk, and again whenever it changes."""
        super().showEvent(event)
        self._workspace.refresh_runs()
        self.watch.switch(True)
        self._read()

    def hideEvent(self, event: QHideEvent) -> None:
        """Look no more."""
        super().hideEvent(event)
        self.watch.switch(False)

    def _on_looked(self) -> None:
        if any(run.state == "running" for run in self.table.selected()):
            self._read()

    def _on_training(self) -> None:
        self._update_actions()
        self.watch.update()
        if self.isVisible():
            self._workspace.refresh_runs()

    def _on_runs(self) -> None:
        runs = self._workspace.listed.lines
        self.stack.setCurrentIndex(1 if runs else 0)
        for widget in (self.filter, self.count):
            widget.setVisible(bool(runs))
        self.filter.offer(runs)
        self.table.set_runs(runs)
        wanted = self._select_when_listed
        if wanted is not None and any(run.path == wanted for run in runs):
            self._select_when_listed = None
            self.filter.clear()
            self.table.select([wanted])
        self._count()
        self.watch.update()
        self.recovery.offer()

    # --- the runs selected --------------------------------------------------------------------

    def _find(self) -> None:
        self.filter.words.setFocus()
        self.filter.words.selectAll()

    def _on_filter(self) -> None:
        self.table.set_filter(self.filter.values())
        self._count()

    def _count(self) -> None:
        lines = self._workspace.listed.lines
        shown, every = len(self.table.runs.rows), len(lines)
        self.count.setText(counted(lines) if shown == every else counted_of(shown, lines))
        self.rows.setCurrentIndex(1 if every and not shown else 0)

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
        lines = tuple(self.table.selected()[:MOST_COMPARED])
        if lines:
            self._reading = self._io.submit(partial(read_records, lines), "Reading runs")
            self._reading.finished.connect(self._on_read)
            self._reading.failed.connect(self._on_unreadable)

    def _on_read(self, records: dict[Path, RunRecord]) -> None:
        if self.sender() is self._reading:
            self._reading = None
            self._records = self.commands.records = records
            self._show()

    def _on_unreadable(self, error: ErrorInfo) -> None:
        if self.sender() is self._reading:
            self._reading = None
            self._workspace.notify.emit("error", error.sentence, error.details)

    def _show(self) -> None:
        selected = self.table.selected()[:MOST_COMPARED]
        self.curves.show_runs(selected, self._records)
        # Several that have no curves leave their room to the table.
        self.curves.setVisible(len(selected) < 2 or any(not line.is_adapter for line in selected))
        self.details.show_runs(selected, self._records)
        self._update_actions()

    def _update_actions(self) -> None:
        run = self.commands.current()
        record = self._records.get(run.path) if run is not None else None
        training = self._workspace.is_training
        self.actions_row.show_state(self.table.selected(), record, training=training)

    # --- from elsewhere -----------------------------------------------------------------------

    def _on_imported(self, path: Path) -> None:
        self._select_when_listed = path

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take run folders and adapters; folders of images go to the window."""
        if taken_here(event.mimeData()) is not None:
            event.acceptProposedAction()
        else:
            event.ignore()

    def dropEvent(self, event: QDropEvent) -> None:
        """Look at what was dropped."""
        path = taken_here(event.mimeData())
        if path is not None:
            event.acceptProposedAction()
            self.commands.take(path)

    # --- where else to go ---------------------------------------------------------------------

    def _open_demo(self) -> None:
        self._workspace.open_demo()

    def _go_to_recipe(self) -> None:
        self._workspace.navigate.emit("recipe")
