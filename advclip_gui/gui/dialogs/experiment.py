"""An experiment in one click: what to run, how long it takes, how far it is, and its table and plot."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QProgressBar,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from advclip_gui.engine.errors import SettingsError, UserError
from advclip_gui.engine.events import Log, Progress
from advclip_gui.engine.experiments.events import CellDone, ExperimentProgress
from advclip_gui.engine.experiments.folder import ExperimentFolder, experiments_root, new_experiment_dir
from advclip_gui.gui import theme
from advclip_gui.gui.experiment_jobs import EstimateJob, ExperimentJob
from advclip_gui.gui.experiment_reading import ExperimentReader
from advclip_gui.gui.experiment_text import amount_text, failed_text, progress_text
from advclip_gui.gui.widgets.basics import Banner, Button, Muted, PrimaryButton, TextLabel
from advclip_gui.gui.widgets.experiment_form import ExperimentForm
from advclip_gui.gui.widgets.experiment_results import ExperimentResults

if TYPE_CHECKING:
    from advclip_gui.engine.experiments.definition import ExperimentSettings
    from advclip_gui.engine.experiments.estimate import Estimate
    from advclip_gui.engine.experiments.figures import Figures
    from advclip_gui.gui.job_handle import ErrorInfo, JobHandle
    from advclip_gui.gui.workspace import Workspace

_ASK_MS = 300
_PER_MILLE = 1000
_FORMATS = "CSV table (*.csv);;Markdown table (*.md);;LaTeX table (*.tex);;SVG plot (*.svg);;PNG plot (*.png)"


def open_experiments(workspace: Workspace, parent: QWidget) -> ExperimentDialog:
    """Show the window of experiments; there is one, and what it runs goes on while it is closed."""
    dialog = parent.findChild(ExperimentDialog) or ExperimentDialog(workspace, parent)
    dialog.prepare()
    dialog.show()
    dialog.raise_()
    dialog.activateWindow()
    return dialog


class ExperimentDialog(QDialog):
    """Form at the left, progress and figures at the right. Not modal: probes are served meanwhile.

    Attributes:
        path: folder of the experiment shown, None for one that is still to be begun.
    """

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        """Propose a few-shot experiment with the recipe at hand."""
        super().__init__(parent)
        self.setObjectName("experimentDialog")
        self.setWindowTitle("Experiment")
        self._workspace = workspace
        self.path: Path | None = None
        self._settings: ExperimentSettings | None = None
        self._handle: JobHandle | None = None
        self._asked: JobHandle | None = None
        self._progress: ExperimentProgress | None = None
        self._detail = ""
        self._reader = ExperimentReader(workspace.io, self)
        self._reader.read.connect(self._on_read)
        self._reader.saved.connect(self._on_exported)
        self._reader.failed.connect(self._on_failed)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_ASK_MS)
        self._timer.timeout.connect(self._ask)
        look = theme.current()
        self.resize(34 * look.xxl, 21 * look.xxl)
        row = QHBoxLayout(self)
        row.setContentsMargins(look.xl, look.l, look.xl, look.l)
        row.setSpacing(look.xl)
        row.addWidget(self._make_left())
        row.addLayout(self._make_right(), 1)
        self.form.changed.connect(self._on_changed)
        self.prepare()

    # --- building -----------------------------------------------------------------------------

    def _make_left(self) -> QWidget:
        look = theme.current()
        self.form = ExperimentForm()
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self.form)
        self.amount = TextLabel("", wrap=True)
        self.amount.setObjectName("experimentAmount")
        self.start_button = PrimaryButton(
            "Start", "play", name="experimentStart", tip="Queue all runs on the device."
        )
        self.stop_button = Button(
            "Stop", "stop", name="experimentStop", tip="End after the step at hand; it can be continued."
        )
        self.new_button = Button("New", "plus", name="experimentNew", tip="Define another experiment.")
        self.open_button = Button(
            "Open…", "folder-open-outline", name="experimentOpen", tip="Show or continue an earlier one."
        )
        buttons = (self.start_button, self.stop_button, self.new_button, self.open_button)
        clicks = (self.start, self.stop, self.begin_new, self._choose)
        line = QHBoxLayout()
        line.setSpacing(look.s)
        for button, click in zip(buttons, clicks, strict=True):
            button.setAutoDefault(False)
            button.clicked.connect(click)
            line.addWidget(button)
        line.addStretch(1)
        left = QWidget()
        left.setFixedWidth(12 * look.xxl)
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.m)
        column.addWidget(TextLabel("Experiment", "title"))
        column.addWidget(scroll, 1)
        column.addWidget(self.amount)
        column.addLayout(line)
        return left

    def _make_right(self) -> QVBoxLayout:
        look = theme.current()
        self.banner = Banner(closable=False)
        self.banner.setObjectName("experimentBanner")
        self.banner.clear()
        self.bar = QProgressBar()
        self.bar.setObjectName("experimentBar")
        self.bar.setAccessibleName("Progress of the experiment")
        self.bar.setTextVisible(False)
        self.bar.setRange(0, _PER_MILLE)
        self.where = TextLabel("", wrap=True)
        self.where.setObjectName("experimentWhere")
        self.place = Muted("")
        self.place.setObjectName("experimentPlace")
        self.place.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.results = ExperimentResults()
        self.results.export_requested.connect(self._choose_export)
        column = QVBoxLayout()
        column.setSpacing(look.s)
        for widget in (self.banner, self.where, self.bar):
            column.addWidget(widget)
        column.addWidget(self.results, 1)
        column.addWidget(self.place)
        return column

    # --- which experiment ---------------------------------------------------------------------

    def prepare(self) -> None:
        """Take the recipe as it is now, unless an experiment is shown."""
        if self.path is None:
            self.form.set_recipe(self._workspace.settings)
        self._update()

    def begin_new(self) -> None:
        """Show nothing but the form again."""
        if self._handle is None:
            if self._settings is not None:
                self.form.propose(self._settings)
            self.path, self._settings, self._progress = None, None, None
            self.banner.clear()
            self.results.show_figures(None)
            self.prepare()

    def open_folder(self, folder: Path) -> None:
        """Show an experiment that exists; it can be continued."""
        if self._handle is not None:
            return
        try:
            settings = ExperimentFolder(folder).settings()
        except UserError as error:
            self.banner.show_message("error", str(error))
            return
        self.path, self._settings, self._progress = folder, settings, None
        self.banner.clear()
        self.results.show_figures(None)
        self._read()
        self._update()

    def _choose(self) -> None:
        place = experiments_root(self._workspace.runs_root)
        chosen = QFileDialog.getExistingDirectory(self, "Folder of an experiment", str(place))
        if chosen:
            self.open_folder(Path(chosen))

    # --- how much it is -----------------------------------------------------------------------

    def _on_changed(self) -> None:
        self.form.mark_seeds()
        self._update()

    def _definition(self) -> ExperimentSettings | None:
        """The experiment shown, or what the form asks for; None, with the reason, where it does not fit."""
        if self._settings is not None:
            self.amount.set_role("")
            return self._settings
        try:
            settings = self.form.settings()
        except SettingsError as error:
            self.amount.setText(str(error))
            self.amount.set_role("bad")
            return None
        self.amount.set_role("")
        return settings

    def _update(self) -> None:
        """Buttons and counts; the time is asked for a moment later."""
        running, begun = self._handle is not None, self.path is not None
        settings = self._definition()
        self.form.lock(self._settings)
        done = self.results.figures is not None and self.results.figures.done == self.results.figures.total
        self.start_button.setText("Continue" if begun else "Start")
        self.start_button.setVisible(not running)
        self.start_button.setEnabled(settings is not None and not done)
        self.stop_button.setVisible(running)
        self.new_button.setVisible(begun and not running)
        self.open_button.setVisible(not running)
        self.bar.setVisible(running)
        self.where.setVisible(running or begun)
        self.place.setText(f"Folder: {self.path}" if begun else "")
        if settings is not None:
            self.amount.setText(amount_text(settings))
        if settings is not None and not begun:
            self._timer.start()
        else:
            self._timer.stop()

    def _ask(self) -> None:
        settings = self._definition()
        backend = self._workspace.backend
        if settings is None or not backend.ready or self.path is not None:
            return
        if self._asked is not None:
            self._asked.cancel()
        scan = self._workspace.scan
        self._asked = backend.submit(EstimateJob(settings, len(scan.classes) if scan is not None else 10))
        self._asked.finished.connect(partial(self._on_estimate, settings))

    def _on_estimate(self, settings: ExperimentSettings, found: Estimate) -> None:
        if self.path is None and self._definition() == settings:
            self.amount.setText(amount_text(settings, found))

    # --- running ------------------------------------------------------------------------------

    def start(self) -> None:
        """Queue what is left of it."""
        settings = self._definition()
        if settings is None or self._handle is not None:
            return
        if self.path is None:
            self.path = new_experiment_dir(settings, experiments_root(self._workspace.runs_root))
        self._settings = settings
        self.banner.clear()
        self._progress, self._detail = None, ""
        title = f"Experiment {settings.name}".strip()
        handle = self._workspace.backend.submit(ExperimentJob(settings, self.path, title=title))
        self._handle = handle
        handle.event.connect(self._on_event)
        handle.drained.connect(self._show_progress)
        handle.state_changed.connect(self._show_progress)
        handle.finished.connect(self._on_finished)
        handle.failed.connect(self._on_failed)
        handle.ended.connect(self._on_ended)
        self._update()
        self._show_progress()

    def stop(self) -> None:
        """End after the step at hand."""
        if self._handle is not None:
            self._handle.stop()
            self.stop_button.setEnabled(False)

    def _on_event(self, event: object) -> None:
        if isinstance(event, ExperimentProgress):
            self._progress, self._detail = event, ""
        elif isinstance(event, CellDone):
            self._read()
        elif isinstance(event, Progress):
            self._detail = event.task
        elif isinstance(event, Log):
            self.banner.show_message("warning", event.message)

    def _show_progress(self) -> None:
        if self._handle is None:
            return
        told = self._progress
        self.bar.setRange(0, 0 if told is None else _PER_MILLE)
        if told is not None:
            self.bar.setValue(round(_PER_MILLE * told.share))
        self.where.setText(progress_text(told, self._handle.state, self._detail))

    def _on_finished(self, result: object) -> None:
        state, message = getattr(result, "state", ""), getattr(result, "message", "")
        if state == "failed":
            self.banner.show_message("warning", f"{message} The others are done; Continue tries again.")
        elif state == "finished":
            self.banner.show_message("success", "The experiment is done.")

    def _on_failed(self, error: ErrorInfo) -> None:
        self.banner.show_message("error", error.sentence, error.details)

    def _on_ended(self) -> None:
        self._handle = None
        self.stop_button.setEnabled(True)
        if self.path is not None and not ExperimentFolder(self.path).exists:
            self.path = self._settings = None  # withdrawn before it began: nothing was written
        self._read()
        self._update()

    # --- figures ------------------------------------------------------------------------------

    def _read(self) -> None:
        if self.path is not None:
            self._reader.ask(self.path)

    def _on_read(self, path: Path, figures: Figures) -> None:
        if path != self.path:
            return
        self.results.show_figures(figures)
        if self._handle is None:
            self.where.setText(f"{figures.done} of {figures.total} done" + failed_text(figures))
            self._update()

    def _choose_export(self) -> None:
        start = str((self.path or Path.home()) / "table.csv")
        chosen, kind = QFileDialog.getSaveFileName(self, "Export table or plot", start, _FORMATS)
        if chosen:
            path = Path(chosen)
            self.export(path if path.suffix else path.with_suffix(kind.rpartition("*")[2].rstrip(")")))

    def export(self, path: Path) -> None:
        """Write the table or the plot as it stands; the ending says which."""
        if self.results.figures is not None:
            self._reader.save(self.results.figures, path)

    def _on_exported(self, path: Path) -> None:
        self.banner.show_message("success", f"Saved {path}.")
