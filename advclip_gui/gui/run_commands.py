"""What the Runs page does with the runs selected: use, continue, export, annotate, bin, import."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QUrl, Signal
from PySide6.QtGui import QDesktopServices

from advclip_gui.engine.adapter_look import may_be_adapter
from advclip_gui.engine.model_ref import ModelRef
from advclip_gui.engine.runs import RunFolder
from advclip_gui.gui.dialogs.adapter_open import AdapterDialog
from advclip_gui.gui.dialogs.experiment import open_experiments
from advclip_gui.gui.dialogs.export_many import ExportManyDialog
from advclip_gui.gui.dialogs.run_import import RunImportDialog
from advclip_gui.gui.dialogs.run_note import DeleteQuestion, NoteDialog
from advclip_gui.gui.run_keeper import RunKeeper, binned_sentence
from advclip_gui.gui.run_offers import refusals, with_adapter
from advclip_gui.settings import DEMO_FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PySide6.QtCore import QMimeData
    from PySide6.QtWidgets import QWidget

    from advclip_gui.engine.adapter_library import LibraryAdapter
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
    """The folder of a new run or adapter, not listed yet."""

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
        """Choose the adapters selected on the Probe page; images are opened where none are."""
        lines = with_adapter(self._table.selected())
        if self._refused("probe"):
            return
        refs = self._offer(lines, "probe")
        if len(refs) == 1:
            self._workspace.probe_requested.emit(refs[0])
        else:
            from advclip_gui.gui.probe_comparison import compare_in_probe

            compare_in_probe(self._page.window(), refs)

    def evaluate(self) -> None:
        """Check the adapters selected, and no others, on the Evaluate page."""
        lines = with_adapter(self._table.selected())
        if not self._refused("evaluate"):
            self._workspace.evaluation_requested.emit(tuple(self._offer(lines, "evaluate")))

    def _refused(self, key: str) -> str:
        lines = self._table.selected()
        return refusals(lines, None, training=self._workspace.is_training)[key]

    def _offer(self, lines: Sequence[RunSummary], page: str) -> list[ModelRef]:
        """Show a page with these among its models, and name them as it does."""
        self._prepare(lines[0])
        self._workspace.offer(line.path for line in lines)
        self._workspace.navigate.emit(page)
        offered = {ref.adapter: ref for ref in self._workspace.model_refs() if ref.kind == "adapter"}
        return [offered.get(str(line.path)) or _ref(line) for line in lines]

    def _prepare(self, run: RunSummary) -> None:
        """Take the run's backbone, and its images where none are open."""
        workspace = self._workspace
        if run.backbone_settings != workspace.settings.backbone:
            workspace.set_settings(workspace.settings.model_copy(update={"backbone": run.backbone_settings}))
            what = "this adapter" if run.is_adapter else "this run"
            workspace.notify.emit("info", f"The recipe's backbone is now {run.backbone}, as in {what}.", "")
        record = self.records.get(run.path)
        settings = None if record is None else record.settings
        if workspace.scan is None and workspace.scanning is None and settings is not None:
            folder = settings.data.folder
            # An exported adapter names its data folder, but not where it lies.
            if folder == DEMO_FOLDER or Path(folder).is_absolute():
                workspace.open_folder(folder, then="")

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
        """Ask how to export what is selected: one adapter, or several in one go."""
        lines = with_adapter(self._table.selected())
        if len(lines) == 1:
            self._workspace.export_requested.emit(lines[0].path)
        elif lines:
            ExportManyDialog(lines, self._workspace.backend, self._page).open()

    def open_folder(self) -> None:
        """Show the files of the run or adapter in the system's file manager."""
        run = self.current()
        if run is not None and not QDesktopServices.openUrl(QUrl.fromLocalFile(str(run.path))):
            self._workspace.notify.emit("warning", f"The files are in {run.path}.", "")

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
        names = {run.path: run.title for run in self._table.runs.every}
        sentence = binned_sentence(outcome, names)
        known = outcome.binned and all(one.place for one in outcome.binned)
        back = [("Put back", partial(self._put_back, outcome))] if known else []
        stay = any(one.key and self._is_outside(one.path) for one in outcome.binned)
        where = "The folders of adapters stay where they are." if stay else ""
        parts = [part for part in (sentence, where, *outcome.refused) if part]
        self._banner.show_message("warning" if outcome.refused else "info", " ".join(parts), actions=back)
        if outcome.without_bin:
            paths = outcome.without_bin
            question = DeleteQuestion([names.get(path, path.name) for path in paths], self._page)
            question.confirmed.connect(partial(self.keeper.delete, paths))
            question.open()

    def _is_outside(self, folder: Path) -> bool:
        """Whether an adapter was opened where it lies."""
        adapters = self._workspace.listed.adapters
        return any(one.in_place for one in adapters if one.folder == folder)

    def _put_back(self, outcome: BinOutcome) -> None:
        self._banner.clear()
        self.keeper.put_back(outcome.binned)

    def import_run(self) -> RunImportDialog:
        """Ask for a run folder from another machine."""
        dialog = RunImportDialog(self._io, self._workspace.runs_root, self._page)
        dialog.imported.connect(self._on_imported)
        dialog.open()
        return dialog

    def open_adapter(self) -> AdapterDialog:
        """Ask for an adapter's folder or file."""
        dialog = AdapterDialog(self._workspace, self._workspace.backend, self._io, self._page)
        dialog.opened.connect(self._on_opened)
        dialog.open()
        return dialog

    def take(self, path: Path) -> None:
        """Look at what was dropped on the page: a run folder, or an adapter."""
        dialog = self.import_run() if RunFolder(path).has_settings else self.open_adapter()
        dialog.source.setText(str(path))

    def show_experiments(self) -> None:
        """Open the window of experiments."""
        open_experiments(self._workspace, self._page)

    def _on_imported(self, path: Path) -> None:
        self.imported.emit(path)
        self._workspace.refresh_runs()

    def _on_opened(self, adapter: LibraryAdapter) -> None:
        self.imported.emit(adapter.folder)
        self._workspace.adapter_opened(adapter)


def _ref(run: RunSummary) -> ModelRef:
    return ModelRef("adapter", run.backbone_settings, adapter=str(run.path), title=run.title)


def taken_here(mime: QMimeData) -> Path | None:
    """The run folder or adapter among dropped files; None where there is none, e.g. for images."""
    for url in mime.urls():
        path = Path(url.toLocalFile())
        if url.isLocalFile() and (may_be_adapter(path) or RunFolder(path).has_settings):
            return path
    return None
