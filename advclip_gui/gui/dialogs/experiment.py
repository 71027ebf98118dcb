"""An experiment in one click: what to run, how long it takes, how far it is, and its table and plot."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QDialog, QFileDialog, QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from advclip_gui.engine.errors import SettingsError, UserError
from advclip_gui.engine.experiments.folder import ExperimentFolder, experiments_root, new_experiment_dir
from advclip_gui.gui import theme
from advclip_gui.gui.dialogs.experiment_question import CloseGuard
from advclip_gui.gui.experiment_amount import ExperimentAmount
from advclip_gui.gui.experiment_queue import ExperimentQueue
from advclip_gui.gui.experiment_reading import ExperimentReader
from advclip_gui.gui.widgets.basics import TextLabel
from advclip_gui.gui.widgets.experiment_controls import PAUSE_KEYS, STOP_KEYS, ExperimentControls
from advclip_gui.gui.widgets.experiment_form import ExperimentForm
from advclip_gui.gui.widgets.experiment_view import ExperimentView

if TYPE_CHECKING:
    from advclip_gui.engine.experiments.definition import ExperimentSettings
    from advclip_gui.engine.experiments.figures import Figures
    from advclip_gui.engine.experiments.unfinished import Unfinished
    from advclip_gui.gui.experiment_queue import QueuedExperiment
    from advclip_gui.gui.job_handle import ErrorInfo
    from advclip_gui.gui.workspace import Workspace


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
        queue: experiments on the device, whichever is shown.
    """

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        """Propose a few-shot experiment with the recipe at hand."""
        super().__init__(parent)
        self.setObjectName("experimentDialog")
        self.setWindowTitle("Experiments")
        self._workspace = workspace
        self.path: Path | None = None
        self._settings: ExperimentSettings | None = None
        self._starting = False
        self._dismissed: set[Path] = set()
        self._offered: tuple[Path, ...] = ()
        self.queue = ExperimentQueue(workspace, self)
        self._reader = ExperimentReader(workspace.io, self)
        self._amount = ExperimentAmount(workspace, self)
        look = theme.current()
        self.resize(36 * look.xxl, 22 * look.xxl)
        row = QHBoxLayout(self)
        row.setContentsMargins(look.xl, look.l, look.xl, look.l)
        row.setSpacing(look.xl)
        row.addWidget(self._make_left())
        self.view = ExperimentView()
        row.addWidget(self.view, 1)
        self._connect()
        if parent is not None:
            CloseGuard(workspace, self.queue, parent.window(), self)
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
        self.controls = ExperimentControls()
        left = QWidget()
        left.setFixedWidth(10 * look.xxl)
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.m)
        column.addWidget(TextLabel("Experiment", "title"))
        column.addWidget(scroll, 1)
        column.addWidget(self.amount)
        column.addWidget(self.controls)
        return left

    def _connect(self) -> None:
        controls, view = self.controls, self.view
        for signal, slot in (
            (controls.start_button.clicked, self.start),
            (controls.pause_button.clicked, self.hold_or_go_on),
            (controls.stop_button.clicked, self.stop),
            (controls.new_button.clicked, self.begin_new),
            (controls.open_button.clicked, self._choose),
            (view.results.export_requested, self.export),
            (view.queue.show_requested, self.open_folder),
            (view.queue.stop_requested, self._stop_one),
            (view.failed.again_requested, self._run_again),
            (view.banner.dismissed, self._on_dismissed),
            (self._reader.read, self._on_read),
            (self._reader.saved, self._on_exported),
            (self._reader.failed, self.view.show_error),
            (self._reader.cut_off, self._on_cut_off),
            (self._amount.changed, self._on_looked),
            (self.queue.changed, self._show_progress),
            (self.queue.ended, self._on_ended),
            (self.form.changed, self._update),
        ):
            signal.connect(slot)
        for keys, deed in ((PAUSE_KEYS, self.hold_or_go_on), (STOP_KEYS, self.stop)):
            QShortcut(QKeySequence(keys), self).activated.connect(deed)

    # --- which experiment ---------------------------------------------------------------------

    def prepare(self) -> None:
        """Take the recipe as it is now, unless an experiment is shown; offer what was cut off."""
        if self.path is None:
            self._amount.forget()
            self.form.set_recipe(self._workspace.settings)
            self._reader.look_for_cut_off(self._workspace.runs_root)
        self._update()

    def begin_new(self) -> None:
        """Show nothing but the form again; what is at work goes on."""
        if self._settings is not None:
            self.form.propose(self._settings)
        self._show_experiment(None, None)
        self.prepare()

    def open_folder(self, folder: Path) -> None:
        """Show an experiment that exists; it can be continued."""
        try:
            settings = ExperimentFolder(folder).settings()
        except UserError as error:
            self.view.banner.show_message("error", str(error))
            return
        self._show_experiment(folder, settings)
        self._update()

    def _show_experiment(self, path: Path | None, settings: ExperimentSettings | None) -> None:
        self.path, self._settings, self._starting = path, settings, False
        self.view.clear()
        self._read()

    def _choose(self) -> None:
        place = experiments_root(self._workspace.runs_root)
        chosen = QFileDialog.getExistingDirectory(self, "Folder of an experiment", str(place))
        if chosen:
            self.open_folder(Path(chosen))

    def _on_cut_off(self, found: tuple[Unfinished, ...]) -> None:
        busy = {entry.path for entry in self.queue.entries}
        left = [one for one in found if one.path not in busy | self._dismissed]
        self._offered = tuple(one.path for one in left)
        if not left or self.path is not None:
            return
        first = left[0]
        more = f" {len(left) - 1} more can be opened." if len(left) > 1 else ""
        self.view.banner.show_message(
            "warning",
            f"'{first.name}' was cut off; {first.done} of {first.total} are done and kept.{more}",
            actions=[
                ("Continue", partial(self._go_on_with, first.path)),
                ("Show", partial(self.open_folder, first.path)),
            ],
        )

    def _go_on_with(self, folder: Path) -> None:
        self.open_folder(folder)
        if self.path == folder:
            self.start()

    def _on_dismissed(self) -> None:
        self._dismissed.update(self._offered)

    # --- how much it is -----------------------------------------------------------------------

    def _definition(self) -> ExperimentSettings | None:
        """The experiment shown, or what the form asks for; None, with the reason, where it does not fit."""
        if self._settings is not None:
            self.amount.set_role("")
            return self._settings
        try:
            settings = self.form.settings()
        except SettingsError as error:
            return self._refuse(str(error))
        problem = self._amount.problem(settings)
        self.form.mark(short=bool(problem))
        if problem:
            return self._refuse(problem)
        self.amount.set_role("")
        return settings

    def _refuse(self, sentence: str) -> None:
        self.amount.setText(sentence)
        self.amount.set_role("bad")

    def _update(self) -> None:
        """Buttons and counts; data and time are asked for a moment later."""
        begun = self.path is not None
        if not begun:
            self.form.mark()
        settings = self._definition()
        self.form.lock(self._settings)
        figures = self.view.results.figures
        done = begun and figures is not None and figures.done == figures.total
        can_start = settings is not None and not done and not self._starting
        entry = self.queue.find(self.path)
        self.controls.show_state(entry.handle.state if entry else "", begun=begun, can_start=can_start)
        self.view.show_place(self.path)
        if settings is not None:
            text = self._amount.text(settings, begun=begun)
            self.amount.setText("Looking at the data …" if self._starting else text)
        if settings is not None and not begun:
            self._amount.look(settings, at_once=self._starting)
        else:
            self._amount.rest()
        self._show_progress()

    def _on_looked(self) -> None:
        settings = self._definition()
        if settings is not None and self._amount.looking(settings):
            return  # word of something older
        starting, self._starting = self._starting, False
        if starting and settings is not None and self._amount.passed(settings):
            self._submit(settings)
        else:
            self._update()

    # --- running ------------------------------------------------------------------------------

    def start(self) -> None:
        """Queue what is left of it; a new one once its data has been looked at."""
        settings = self._definition()
        if settings is None or self.queue.find(self.path) is not None:
            return
        if self.path is not None or self._amount.passed(settings):
            self._submit(settings)
        else:
            self._starting = True
            self._update()

    def _submit(self, settings: ExperimentSettings, only: tuple[str, ...] = ()) -> None:
        path = self.path
        if path is None:
            path = new_experiment_dir(settings, experiments_root(self._workspace.runs_root))
        self.view.banner.clear()
        try:
            entry = self.queue.submit(settings, path, only)
        except UserError as error:
            self.view.banner.show_message("error", str(error))
            return
        self.path, self._settings = path, settings
        entry.grew.connect(partial(self._on_grew, entry))
        entry.warned.connect(partial(self._on_warned, entry))
        entry.handle.finished.connect(partial(self._on_finished, entry))
        entry.handle.failed.connect(partial(self._on_job_failed, entry))
        self._update()

    def _run_again(self, key: str) -> None:
        if self._settings is not None and self.queue.find(self.path) is None:
            self._submit(self._settings, (key,))

    def hold_or_go_on(self) -> None:
        """Pause the experiment shown, or continue it."""
        entry = self.queue.find(self.path)
        if entry is not None:
            entry.hold_or_go_on()

    def stop(self) -> None:
        """End after the step at hand; one that waits leaves the queue."""
        if self.path is not None:
            self._stop_one(self.path)

    def _stop_one(self, path: Path) -> None:
        entry = self.queue.find(path)
        if entry is not None:
            entry.stop()

    def _show_progress(self) -> None:
        entry = self.queue.find(self.path)
        ahead = self.queue.ahead_of(entry) if entry is not None else []
        self.view.show_entry(entry, ahead, ready=self._workspace.backend.ready)
        self.view.queue.show_entries(self.queue.entries, self.path)
        if entry is not None:
            self.controls.show_state(entry.handle.state, begun=True, can_start=False)

    def _on_grew(self, entry: QueuedExperiment) -> None:
        if entry.path == self.path:
            self._read()

    def _on_warned(self, entry: QueuedExperiment, message: str) -> None:
        if entry.path == self.path:
            self.view.banner.show_message("warning", message)

    def _on_finished(self, entry: QueuedExperiment, result: object) -> None:
        state, message = getattr(result, "state", ""), getattr(result, "message", "")
        if entry.path != self.path:
            word = {"finished": "is done", "failed": "has failed parts"}.get(state, "was stopped")
            level = "success" if state == "finished" else "info"
            self.view.banner.show_message(level, f"'{entry.title}' {word}.")
        elif state == "failed":
            self.view.banner.show_message("warning", f"{message} The others are done; Continue tries again.")
        elif state == "finished":
            self.view.banner.show_message("success", "The experiment is done.")

    def _on_job_failed(self, entry: QueuedExperiment, error: ErrorInfo) -> None:
        self.view.show_error(error, "" if entry.path == self.path else f"'{entry.title}': ")

    def _on_ended(self, entry: QueuedExperiment) -> None:
        if entry.path == self.path and not ExperimentFolder(entry.path).exists:
            self.path = self._settings = None  # taken out before it began: nothing is left of it
        self._read()
        self._update()

    # --- figures ------------------------------------------------------------------------------

    def _read(self) -> None:
        if self.path is not None:
            self._reader.ask(self.path)

    def _on_read(self, path: Path, figures: Figures) -> None:
        if path == self.path:
            self.view.show_figures(figures, free=self.queue.find(path) is None)
            if self.queue.find(path) is None:
                self._update()

    def export(self, path: Path) -> None:
        """Write the table or the plot as it stands; the ending says which."""
        if self.view.results.figures is not None:
            self._reader.save(self.view.results.figures, path)

    def _on_exported(self, path: Path) -> None:
        self.view.banner.show_message("success", f"Saved {path}.")
