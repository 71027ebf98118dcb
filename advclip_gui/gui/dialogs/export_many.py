"""Export the adapters of several runs at once: one format, one folder each, one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_documents_path
from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QComboBox, QDialog, QFileDialog, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from advclip_gui.engine.events import Progress
from advclip_gui.engine.exchange.formats import FORMATS
from advclip_gui.engine.files import free_folder
from advclip_gui.gui import theme
from advclip_gui.gui.dialogs.export import stem_of
from advclip_gui.gui.dialogs.export_jobs import ExportJob
from advclip_gui.gui.widgets.basics import Banner, Button, Muted, PrimaryButton, SectionLabel, TextLabel
from advclip_gui.gui.widgets.progress_row import ProgressRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.run_list import RunSummary
    from advclip_gui.gui.bridge import Backend
    from advclip_gui.gui.dialogs.export_jobs import Exported
    from advclip_gui.gui.job_handle import ErrorInfo, JobHandle

_NAMED = 5


class ExportManyDialog(QDialog):
    """Each export is whole or not there; one that fails is told, and the others go on."""

    def __init__(self, lines: Sequence[RunSummary], backend: Backend, parent: QWidget | None = None) -> None:
        """Propose the documents folder."""
        super().__init__(parent)
        self.setObjectName("exportManyDialog")
        self.setWindowTitle("Export adapters")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._backend, self._lines = backend, tuple(lines)
        self._left: list[RunSummary] = []
        self._handle: JobHandle | None = None
        self._at: RunSummary | None = None
        self.exported: list[Path] = []
        self.failed: list[str] = []
        look = theme.current()
        self.setMinimumWidth(19 * look.xxl)
        column = QVBoxLayout(self)
        column.setContentsMargins(look.xl, look.l, look.xl, look.l)
        column.setSpacing(look.m)
        column.addWidget(TextLabel(f"Export {len(self._lines)} adapters", "title"))
        names = ", ".join(line.title for line in self._lines[:_NAMED])
        more = f" and {len(self._lines) - _NAMED} more" if len(self._lines) > _NAMED else ""
        column.addWidget(Muted(f"{names}{more}. Each gets a folder named after it, with a model card."))
        column.addWidget(SectionLabel("Format"))
        self.formats = QComboBox()
        self.formats.setObjectName("exportManyFormat")
        self.formats.setAccessibleName("Format")
        for one in FORMATS:
            self.formats.addItem(one.title, one.name)
            self.formats.setItemData(self.formats.count() - 1, one.sentence, Qt.ItemDataRole.ToolTipRole)
        self.formats.setToolTip(FORMATS[0].sentence)
        self.formats.currentIndexChanged.connect(self._on_format)
        column.addWidget(self.formats)
        column.addWidget(SectionLabel("Folder for all of them"))
        column.addLayout(self._make_destination())
        self.note = TextLabel("", "caption", wrap=True)
        self.note.setObjectName("exportManyNote")
        column.addWidget(self.note)
        self.progress = ProgressRow("exportMany")
        self.progress.cancelled.connect(self._cancel)
        column.addWidget(self.progress)
        self.banner = Banner(closable=False)
        self.banner.setObjectName("exportManyBanner")
        self.banner.clear()
        column.addWidget(self.banner)
        column.addStretch(1)
        column.addLayout(self._make_buttons())
        self.destination.setText(str(user_documents_path()))

    # --- building -----------------------------------------------------------------------------

    def _make_destination(self) -> QHBoxLayout:
        self.destination = QLineEdit()
        self.destination.setObjectName("exportManyDestination")
        self.destination.setAccessibleName("Folder for all of them")
        self.destination.setToolTip("A new folder is made in it for every adapter.")
        self.destination.textChanged.connect(self._update)
        self.choose_button = Button(
            "Browse …", "folder-open-outline", name="exportManyChoose", tip="Choose the folder"
        )
        self.choose_button.setAutoDefault(False)
        self.choose_button.clicked.connect(self._choose)
        row = QHBoxLayout()
        row.setSpacing(theme.current().s)
        row.addWidget(self.destination, 1)
        row.addWidget(self.choose_button)
        return row

    def _make_buttons(self) -> QHBoxLayout:
        self.close_button = Button("Close", None, name="exportManyClose", tip="Close this window")
        self.close_button.setAutoDefault(False)
        self.close_button.clicked.connect(self.reject)
        self.folder_button = Button("Open folder", "folder-outline", name="exportManyOpen")
        self.folder_button.setToolTip("Show the folders in the file manager")
        self.folder_button.setAutoDefault(False)
        self.folder_button.clicked.connect(self._open_folder)
        self.folder_button.hide()
        self.export_button = PrimaryButton(
            "Export", "export-variant", name="exportManyStart", tip="Write the folders"
        )
        self.export_button.setDefault(True)
        self.export_button.clicked.connect(self.export)
        row = QHBoxLayout()
        row.setSpacing(theme.current().s)
        row.addWidget(self.folder_button)
        row.addStretch(1)
        row.addWidget(self.close_button)
        row.addWidget(self.export_button)
        return row

    # --- exporting ----------------------------------------------------------------------------

    def export(self) -> None:
        """Write one after the other."""
        if self._handle is not None or not self.export_button.isEnabled():
            return
        self.exported, self.failed = [], []
        self._left = list(self._lines)
        self.banner.clear()
        self.progress.begin("Exporting")
        self._lock(True)
        self._next()

    def _next(self) -> None:
        if not self._left:
            self._show_outcome()
            return
        self._at = self._left.pop(0)
        kind = self.formats.currentData()
        ending = "adapter" if kind == "peft" else kind
        root = Path(self.destination.text().strip()).expanduser()
        folder = free_folder(root, f"{stem_of(self._at.title)}-{ending}")
        self._handle = self._backend.submit(ExportJob(self._at.path, folder, kind))
        self._handle.finished.connect(self._on_exported)
        self._handle.failed.connect(self._on_failed)
        self._handle.cancelled.connect(self._on_cancelled)
        self._handle.ended.connect(self._on_ended)
        done = len(self._lines) - len(self._left) - 1
        self.progress.show_progress(Progress(task=self._at.title, done=done, total=len(self._lines)))

    def _on_exported(self, exported: Exported) -> None:
        self.exported.append(exported.folder)

    def _on_failed(self, error: ErrorInfo) -> None:
        assert self._at is not None
        self.failed.append(f"{self._at.title}: {error.sentence}")

    def _on_cancelled(self) -> None:
        self._left = []

    def _on_ended(self) -> None:
        self._handle = None
        self._next()

    def _cancel(self) -> None:
        if self._handle is not None:
            self._left = []
            self._handle.cancel()

    def _show_outcome(self) -> None:
        self.progress.hide()
        self._lock(False)
        count, every = len(self.exported), len(self._lines)
        told = f"{count} of {every} adapters are exported." if count < every else f"All {every} are exported."
        level = "success" if count == every else "warning" if self.failed else "info"
        self.banner.show_message(level, " ".join([told, *self.failed[:2]]), "\n".join(self.failed))
        self.folder_button.setVisible(bool(self.exported))
        self.export_button.setVisible(count < every)
        self.close_button.setText("Done" if count == every else "Close")
        self.adjustSize()

    def _lock(self, busy: bool) -> None:
        for widget in (self.formats, self.destination, self.choose_button):
            widget.setEnabled(not busy)
        self.export_button.setEnabled(not busy)

    def _on_format(self) -> None:
        self.formats.setToolTip(FORMATS[self.formats.currentIndex()].sentence)
        self.export_button.show()
        self._update()

    def _update(self) -> None:
        text = self.destination.text().strip()
        folder = Path(text).expanduser()
        usable = bool(text) and folder.is_absolute() and not folder.is_file()
        whole = FORMATS[self.formats.currentIndex()].whole
        size = " Each holds the whole model, hundreds of MB." if whole else ""
        self.note.setText(
            f"{len(self._lines)} new folders are made in it.{size}"
            if usable
            else "Give the whole path of a folder."
        )
        self.note.set_role("caption" if usable else "bad")
        self.export_button.setEnabled(usable)

    def _choose(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder for all", self.destination.text())
        if chosen:
            self.destination.setText(chosen)

    def _open_folder(self) -> None:
        if self.exported:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.exported[0].parent)))

    def done(self, result: int) -> None:
        """Closing while something is exported cancels it and what would follow."""
        if self._handle is not None:
            handle, self._handle, self._left = self._handle, None, []
            for signal, slot in (
                (handle.finished, self._on_exported),
                (handle.failed, self._on_failed),
                (handle.cancelled, self._on_cancelled),
                (handle.ended, self._on_ended),
            ):
                signal.disconnect(slot)
            handle.cancel()
        super().done(result)
