"""Export an adapter: where to, and afterwards the lines that load it, ready to copy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QStandardPaths, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from advclip_gui.gui import theme
from advclip_gui.gui.jobs import ExportJob
from advclip_gui.gui.widgets.basics import Banner, Button, Muted, PrimaryButton, SectionLabel, TextLabel

if TYPE_CHECKING:
    from advclip_gui.gui.bridge import Backend, ErrorInfo, JobHandle
    from advclip_gui.gui.jobs import Exported
    from advclip_gui.gui.workspace import Workspace

_WHAT = (
    "Four files: the adapter's configuration and weights as peft reads them, what it was trained for, "
    "and a model card with its figures. None of them holds a path of this machine."
)


class ExportDialog(QDialog):
    """Runs one export at a time on the device's thread; stays open to show how to load the result."""

    def __init__(
        self, workspace: Workspace, backend: Backend, run_dir: Path, parent: QWidget | None = None
    ) -> None:
        """Propose a folder that does not exist yet, named after the run."""
        super().__init__(parent)
        self.setObjectName("exportDialog")
        self.setWindowTitle("Export adapter")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._workspace, self._backend, self._run_dir = workspace, backend, run_dir
        self._handle: JobHandle | None = None
        look = theme.current()
        self.setMinimumWidth(20 * look.xxl)
        column = QVBoxLayout(self)
        column.setContentsMargins(look.xl, look.l, look.xl, look.l)
        column.setSpacing(look.m)
        column.addWidget(TextLabel(f"Export the adapter of {run_dir.name}", "title", wrap=True))
        column.addWidget(Muted(_WHAT))
        column.addWidget(SectionLabel("Destination folder"))
        column.addLayout(self._make_destination())
        self.progress = QProgressBar()
        self.progress.setRange(0, 0)
        self.progress.setTextVisible(False)
        self.progress.setAccessibleName("Exporting")
        self.progress.hide()
        column.addWidget(self.progress)
        self.banner = Banner(closable=False)
        self.banner.setObjectName("exportBanner")
        self.banner.clear()
        column.addWidget(self.banner)
        column.addWidget(self._make_result())
        column.addStretch(1)
        column.addLayout(self._make_buttons())
        self.destination.setText(str(proposed_folder(run_dir)))
        self.export_button.setFocus()

    # --- building -----------------------------------------------------------------------------

    def _make_destination(self) -> QHBoxLayout:
        self.destination = QLineEdit()
        self.destination.setObjectName("exportDestination")
        self.destination.setAccessibleName("Destination folder")
        self.destination.setToolTip("A new or an empty folder")
        self.destination.textChanged.connect(self._destination_changed)
        self.browse_button = Button(
            "Browse …", "folder-open-outline", name="exportBrowse", tip="Choose the folder"
        )
        self.browse_button.setAutoDefault(False)
        self.browse_button.clicked.connect(self._browse)
        row = QHBoxLayout()
        row.setSpacing(theme.current().s)
        row.addWidget(self.destination, 1)
        row.addWidget(self.browse_button)
        return row

    def _make_result(self) -> QWidget:
        look = theme.current()
        self.result_box = QWidget()
        column = QVBoxLayout(self.result_box)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.s)
        column.addWidget(SectionLabel("Load it with"))
        self.snippet = QPlainTextEdit()
        self.snippet.setObjectName("exportSnippet")
        self.snippet.setAccessibleName("Python lines that load the adapter")
        self.snippet.setReadOnly(True)
        self.snippet.setFont(look.mono_font(look.caption))
        self.snippet.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.snippet.setFixedHeight(4 * look.xxl)
        column.addWidget(self.snippet)
        row = QHBoxLayout()
        row.setSpacing(look.s)
        self.copy_button = Button(
            "Copy the lines", "content-copy", name="exportCopy", tip="Copy the lines to the clipboard"
        )
        self.copy_button.clicked.connect(self._copy)
        self.open_button = Button(
            "Open folder", "folder-outline", name="exportOpenFolder", tip="Show the files in the file manager"
        )
        self.open_button.clicked.connect(self._open_folder)
        for button in (self.copy_button, self.open_button):
            button.setAutoDefault(False)
            row.addWidget(button)
        row.addStretch(1)
        column.addLayout(row)
        self.result_box.hide()
        return self.result_box

    def _make_buttons(self) -> QHBoxLayout:
        self.close_button = Button("Close", None, name="exportClose", tip="Close this window")
        self.close_button.setAutoDefault(False)
        self.close_button.clicked.connect(self.reject)
        self.export_button = PrimaryButton(
            "Export", "export-variant", name="exportStart", tip="Write the files"
        )
        self.export_button.setDefault(True)
        self.export_button.clicked.connect(self.export)
        row = QHBoxLayout()
        row.setSpacing(theme.current().s)
        row.addStretch(1)
        row.addWidget(self.close_button)
        row.addWidget(self.export_button)
        return row

    # --- exporting ----------------------------------------------------------------------------

    def export(self) -> None:
        """Write to the folder named in the field."""
        if self._handle is not None:
            return
        self.banner.clear()
        self.result_box.hide()
        self._set_busy(True)
        folder = Path(self.destination.text().strip()).expanduser()
        self._handle = self._backend.submit(ExportJob(self._run_dir, folder))
        self._handle.finished.connect(self._exported)
        self._handle.failed.connect(self._failed)
        self._handle.ended.connect(self._ended)
        if not self._backend.ready:
            self.banner.show_message("info", "The export begins as soon as the engine is loaded.")

    def _exported(self, exported: Exported) -> None:
        self._folder = exported.folder
        self.banner.show_message("success", f"The adapter is in {exported.folder}.")
        self.snippet.setPlainText(exported.snippet.strip())
        self.result_box.show()
        self.close_button.setText("Done")
        self.copy_button.setFocus()
        self.adjustSize()

    def _failed(self, error: ErrorInfo) -> None:
        self.banner.show_message("error", error.sentence, error.details)
        self.adjustSize()

    def _ended(self) -> None:
        self._handle = None
        self._set_busy(False)

    def _set_busy(self, busy: bool) -> None:
        self.progress.setVisible(busy)
        for widget in (self.destination, self.browse_button):
            widget.setEnabled(not busy)
        self.export_button.setEnabled(not busy and bool(self.destination.text().strip()))

    def _destination_changed(self, text: str) -> None:
        self.export_button.setEnabled(self._handle is None and bool(text.strip()))

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, "Destination folder", str(Path(self.destination.text()).parent)
        )
        if chosen:
            folder = Path(chosen)
            # A folder with other files in it is refused, so a new one inside is proposed.
            if any(folder.iterdir()):
                folder = _free(folder / f"{self._run_dir.name}-adapter")
            self.destination.setText(str(folder))

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.snippet.toPlainText())
        self.copy_button.setText("Copied")

    def _open_folder(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._folder)))

    def done(self, result: int) -> None:
        """Closing while the export runs cancels it."""
        if self._handle is not None:
            self._handle.ended.disconnect(self._ended)
            self._handle.finished.disconnect(self._exported)
            self._handle.failed.disconnect(self._failed)
            self._handle.cancel()
            self._handle = None
        super().done(result)


def proposed_folder(run_dir: Path) -> Path:
    """A folder in the user's documents that does not exist yet, named after the run."""
    documents = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DocumentsLocation)
    return _free(Path(documents or Path.home()) / f"{run_dir.name}-adapter")


def _free(folder: Path) -> Path:
    candidate, number = folder, 2
    while candidate.exists():
        candidate, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    return candidate
