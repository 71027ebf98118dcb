"""What the Runs page does with the runs selected: use, continue, export, annotate, bin, import."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFileDialog

from advclip_gui.engine.model_ref import ModelRef
from advclip_gui.gui.dialogs.experiment import open_experiments
from advclip_gui.gui.dialogs.run_import import RunImportDialog
from advclip_gui.gui.dialogs.run_note import DeleteQuestion, NoteDialog
from advclip_gui.gui.run_keeper import RunKeeper, binned_sentence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtWidgets import QWidget

    from advclip_gui.engine.run_list import RunSummary
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.run_bin import BinOutcome
    from advclip_gui.gui.run_record import RunRecord
    from advclip_gui.gui.widgets.basics import Banner
    from advclip_gui.gui.widgets.run_table import RunTable
    from advclip_gui.gui.workspace import Workspace


class RunCommands(QObject):
    """The deeds behind the buttons, the table's menu and the keys.

    Attributes:
        keeper: changes run folders off the main thread.
        records: folders read so far, as the page shows them.
    """

    imported = Signal(object)
    """A new run folder, not listed yet."""

    def __init__(
        self, workspace: Workspace, io: IoPool, table: RunTable, bin_banner: Banner, page: QWidget
    ) -> None:
        """Act on what is selected in the table; dialogs belong to the page."""
        super().__init__(page)
        self._workspace, self._io = workspace, io
        self._table, self._banner, self._page = table, bin_banner, page
        self.records: Mapping[Path, RunRecord] = {}
        self.keeper = RunKeeper(workspace, io, self)
        self.keeper.binned.connect(self._on_binned)
        table.runs.renamed.connect(self.keeper.rename)

    def current(self) -> RunSummary | None:
        """The one run selected, None where it is not exactly one."""
        selected = self._table.selected()
        return selected[0] if len(selected) == 1 else None

    # --- using a run --------------------------------------------------------------------------

    def use_in_probe(self) -> None:
        """Choose the run's adapter on the Probe page; its images are opened where none are."""
        run = self.current()
        if run is None or not run.has_adapter:
            return
        self._prepare(run)
        self._workspace.offer([run.path])
        self._workspace.navigate.emit("probe")
        self._workspace.probe_requested.emit(_ref(run))

    def evaluate(self) -> None:
        """Check the adapters of the runs selected, and no others, on the Evaluate page."""
        runs = [run for run in self._table.selected() if run.has_adapter]
        if not runs:
            return
        self._prepare(runs[0])
        self._workspace.offer(run.path for run in runs)
        self._workspace.navigate.emit("evaluate")
        self._workspace.evaluation_requested.emit(tuple(_ref(run) for run in runs))

    def _prepare(self, run: RunSummary) -> None:
        """Take the run's backbone, and its images where none are open."""
        workspace = self._workspace
        if run.backbone_settings != workspace.settings.backbone:
            workspace.set_settings(workspace.settings.model_copy(update={"backbone": run.backbone_settings}))
            workspace.notify.emit("info", f"The recipe's backbone is now {run.backbone}, as in this run.", "")
        record = self.records.get(run.path)
        if workspace.scan is None and workspace.scanning is None and record is not None:
            workspace.open_folder(record.settings.data.folder, then="")

    def continue_run(self) -> None:
        """Go on training the selected run."""
        run = self.current()
        if run is not None:
            self.go_on_with(run)

    def go_on_with(self, run: RunSummary) -> bool:
        """Go on training a run, and show it; False where that is not possible now."""
        if self._workspace.resume_training(run.path) is None:
            return False
        self._workspace.navigate.emit("train")
        return True

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

    # --- changing runs ------------------------------------------------------------------------

    def edit_note(self) -> None:
        """Let the user write about the selected run."""
        run = self.current()
        if run is not None:
            dialog = NoteDialog(run, self._page)
            dialog.written.connect(self.keeper.set_note)
            dialog.open()

    def move_to_bin(self) -> None:
        """Move the runs selected to the bin; a banner offers the way back."""
        self.keeper.move_to_bin(self._table.selected())

    def _on_binned(self, outcome: BinOutcome) -> None:
        names = {run.path: run.name for run in self._table.runs.every}
        sentence = binned_sentence(outcome, names)
        known = outcome.binned and all(one.place for one in outcome.binned)
        back = [("Put back", partial(self._put_back, outcome))] if known else []
        parts = [part for part in (sentence, *outcome.refused) if part]
        self._banner.show_message("warning" if outcome.refused else "info", " ".join(parts), actions=back)
        if outcome.without_bin:
            paths = outcome.without_bin
            question = DeleteQuestion([names.get(path, path.name) for path in paths], self._page)
            question.confirmed.connect(partial(self.keeper.delete, paths))
            question.open()

    def _put_back(self, outcome: BinOutcome) -> None:
        self._banner.clear()
        self.keeper.put_back(outcome.binned)

    def import_run(self) -> None:
        """Ask for a run folder from another machine."""
        dialog = RunImportDialog(self._io, self._workspace.runs_root, self._page)
        dialog.imported.connect(self._on_imported)
        dialog.open()

    def open_adapter(self) -> None:
        """Ask for a folder with an adapter, e.g. one that Export wrote."""
        folder = QFileDialog.getExistingDirectory(self._page, "Open an adapter folder")
        if folder:
            self._workspace.open_adapter(Path(folder))

    def show_experiments(self) -> None:
        """Open the window of experiments."""
        open_experiments(self._workspace, self._page)

    def _on_imported(self, path: Path) -> None:
        self.imported.emit(path)
        self._workspace.refresh_runs()


def _ref(run: RunSummary) -> ModelRef:
    return ModelRef("adapter", run.backbone_settings, adapter=str(run.path), title=run.name)
