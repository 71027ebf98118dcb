"""Export an adapter: in which format, where to, and afterwards the lines that load it, ready to copy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_documents_path
from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication, QShowEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from advclip_gui.engine.events import Progress
from advclip_gui.engine.exchange.formats import FORMATS
from advclip_gui.engine.files import free_folder
from advclip_gui.gui import theme
from advclip_gui.gui.dialogs.export_jobs import (
    SMALL_BYTES,
    ExportJob,
    Offer,
    OfferJob,
    check_destination,
    stem_of,
)
from advclip_gui.gui.widgets.basics import (
    Banner,
    Button,
    Muted,
    PrimaryButton,
    SectionLabel,
    TextLabel,
    set_property,
)
from advclip_gui.gui.widgets.progress_row import ProgressRow

if TYPE_CHECKING:
    from advclip_gui.gui.bridge import Backend, ErrorInfo, JobHandle
    from advclip_gui.gui.dialogs.export_jobs import Exported
    from advclip_gui.gui.workspace import Workspace

_WHAT = "A model card with figures, settings and limits goes with it. No file names a path of this machine."
_ONLY_HERE = "The low-rank matrices alone, a few MB; for this backbone, this program is what loads them."
_COPY = "Copy the lines"


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
        self._backend, self._run_dir = backend, run_dir
        self._handle: JobHandle | None = None
        self.offer: Offer | None = None
        self._hopeless = False
        self.exported: Exported | None = None
        name = next((run.name for run in workspace.last_runs if run.path == run_dir), run_dir.name)
        self._stem = stem_of(name)
        look = theme.current()
        self.setMinimumWidth(20 * look.xxl)
        column = QVBoxLayout(self)
        column.setContentsMargins(look.xl, look.l, look.xl, look.l)
        column.setSpacing(look.m)
        column.addWidget(TextLabel(f"Export the adapter of {name}", "title", wrap=True))
        column.addWidget(Muted(_WHAT))
        column.addWidget(SectionLabel("Format"))
        column.addLayout(self._make_formats())
        column.addWidget(SectionLabel("Destination folder"))
        column.addLayout(self._make_destination())
        self.note = TextLabel("", "caption", wrap=True)
        self.note.setObjectName("exportNote")
        column.addWidget(self.note)
        self.progress = ProgressRow("export")
        self.progress.cancelled.connect(self._cancel)
        column.addWidget(self.progress)
        self.banner = Banner(closable=False)
        self.banner.setObjectName("exportBanner")
        self.banner.clear()
        column.addWidget(self.banner)
        column.addWidget(self._make_result())
        column.addStretch(1)
        column.addLayout(self._make_buttons())
        self._propose()
        self.export_button.setFocus()
        self._offering: JobHandle | None = backend.submit(OfferJob(run_dir))
        self._offering.finished.connect(self._offered)
        self._offering.failed.connect(self._offer_failed)
        self._offering.ended.connect(self._offer_ended)

    # --- building -----------------------------------------------------------------------------

    def _make_formats(self) -> QVBoxLayout:
        look = theme.current()
        self.formats = QButtonGroup(self)
        self.choices: dict[str, QRadioButton] = {}
        self._sentences: dict[str, Muted] = {}
        column = QVBoxLayout()
        column.setSpacing(look.s)
        for one in FORMATS:
            choice = QRadioButton(one.title)
            choice.setObjectName(f"exportFormat-{one.name}")
            choice.setAccessibleDescription(one.sentence)
            choice.setToolTip("Writes " + ", ".join(one.files))
            self.formats.addButton(choice)
            self.choices[one.name] = choice
            sentence = Muted(one.sentence)
            sentence.setContentsMargins(look.xl, 0, 0, 0)
            self._sentences[one.name] = sentence
            pair = QVBoxLayout()
            pair.setSpacing(0)
            pair.addWidget(choice)
            pair.addWidget(sentence)
            if one.name == "peft":
                pair.addWidget(self._make_backbone_choice())
            column.addLayout(pair)
        self.choices["peft"].setChecked(True)
        self.formats.buttonClicked.connect(self._format_chosen)
        return column

    def _make_backbone_choice(self) -> QWidget:
        self.with_backbone = QCheckBox("")
        self.with_backbone.setObjectName("exportWithBackbone")
        self.with_backbone.setToolTip(
            "transformers has no repository of this backbone: put it into the folder, untouched"
        )
        self._backbone_row = QWidget()
        row = QHBoxLayout(self._backbone_row)
        row.setContentsMargins(theme.current().xl, theme.current().xs, 0, 0)
        row.addWidget(self.with_backbone)
        row.addStretch(1)
        self._backbone_row.hide()
        return self._backbone_row

    def _make_destination(self) -> QHBoxLayout:
        self.destination = QLineEdit()
        self.destination.setObjectName("exportDestination")
        self.destination.setAccessibleName("Destination folder")
        self.destination.setToolTip("A new or an empty folder")
        self.destination.textChanged.connect(self._destination_changed)
        self.choose_button = Button(
            "Browse …", "folder-open-outline", name="exportChoose", tip="Choose the folder"
        )
        self.choose_button.setAutoDefault(False)
        self.choose_button.clicked.connect(self._choose)
        row = QHBoxLayout()
        row.setSpacing(theme.current().s)
        row.addWidget(self.destination, 1)
        row.addWidget(self.choose_button)
        return row

    def _make_result(self) -> QWidget:
        look = theme.current()
        self.result = QWidget()
        column = QVBoxLayout(self.result)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.s)
        column.addWidget(SectionLabel("Load it with"))
        self.snippet = QPlainTextEdit()
        self.snippet.setObjectName("exportSnippet")
        self.snippet.setAccessibleName("Python lines that load the adapter")
        self.snippet.setReadOnly(True)
        self.snippet.setFont(look.mono_font(look.caption))
        self.snippet.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        column.addWidget(self.snippet)
        row = QHBoxLayout()
        row.setSpacing(look.s)
        self.copy_button = Button(
            _COPY, "content-copy", name="exportCopy", tip="Copy the lines to the clipboard"
        )
        self.copy_button.clicked.connect(self._copy)
        self.folder_button = Button(
            "Open folder", "folder-outline", name="exportOpenFolder", tip="Show the files in the file manager"
        )
        self.folder_button.clicked.connect(self._open_folder)
        for button in (self.copy_button, self.folder_button):
            button.setAutoDefault(False)
            row.addWidget(button)
        row.addStretch(1)
        column.addLayout(row)
        self.result.hide()
        return self.result

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

    @property
    def format(self) -> str:
        """Name of the chosen format."""
        return next(name for name, choice in self.choices.items() if choice.isChecked())

    def choose_format(self, name: str) -> None:
        """Choose as a click does."""
        self.choices[name].click()

    def _offered(self, offer: Offer) -> None:
        """Say of each format that cannot hold this adapter why, and let nobody choose it."""
        self.offer = offer
        for name, why in offer.formats.items():
            if why:
                self._sentences[name].setText(why)
                self.choices[name].setAccessibleDescription(why)
                self.choices[name].setToolTip(why)
        if not offer.plain:
            self._sentences["peft"].setText(_ONLY_HERE)
        if self._handle is None and offer.formats.get(self.format):
            possible = next((name for name, why in offer.formats.items() if not why), "")
            if possible:
                self.choices[possible].setChecked(True)
                self._format_chosen()
        if offer.backbone:
            self.with_backbone.setText(
                f"Add the backbone ({offer.backbone / 1e6:,.0f} MB), so that peft and transformers suffice"
            )
            self.with_backbone.setChecked(offer.backbone <= SMALL_BYTES)
        self._show_choices()
        self._fit()

    def _offer_failed(self, error: ErrorInfo) -> None:
        """There is nothing to export: say so before anybody tries."""
        self._hopeless = True
        self.export_button.setEnabled(False)
        self._failed(error)

    def _offer_ended(self) -> None:
        self._offering = None

    def _show_choices(self) -> None:
        """Give every choice the state that the offer, the work and the result leave it."""
        idle, asked = self._handle is None, self.offer.formats if self.offer else {}
        for name, choice in self.choices.items():
            choice.setEnabled(idle and not asked.get(name))
            self._sentences[name].setEnabled(idle and not asked.get(name))
        self.with_backbone.setEnabled(idle)
        useful = self.offer is not None and self.offer.backbone > 0
        self._backbone_row.setVisible(useful and self.format == "peft" and self.result.isHidden())

    def _format_chosen(self) -> None:
        """Propose a folder named after the format, unless the user has named one."""
        if self.destination.text() == self._proposed:
            self._propose()
        else:
            self._destination_changed(self.destination.text())
        self._show_result(False)
        self.banner.clear()
        self._fit()

    def _propose(self) -> None:
        ending = "adapter" if self.format == "peft" else self.format
        self._proposed = str(free_folder(user_documents_path(), f"{self._stem}-{ending}"))
        self.destination.setText(self._proposed)

    def export(self) -> None:
        """Write to the folder named in the field."""
        if self._hopeless or self._handle is not None:
            return
        if not check_destination(self.destination.text())[0]:
            return
        self.banner.clear()
        self._show_result(False)
        self.close_button.setText("Close")
        self.copy_button.setText(_COPY)
        folder = Path(self.destination.text().strip()).expanduser()
        whole = None if self.offer is None else self.with_backbone.isChecked()
        job = ExportJob(self._run_dir, folder, self.format, with_backbone=whole)
        self._handle = self._backend.submit(job)
        self._handle.event.connect(self._on_event)
        self._handle.finished.connect(self._exported)
        self._handle.failed.connect(self._failed)
        self._handle.cancelled.connect(self._cancelled)
        self._handle.ended.connect(self._ended)
        self._set_busy(True)
        if not self._backend.ready:
            self.banner.show_message("info", "The export begins as soon as the engine is loaded.")
        self._fit()

    def _on_event(self, event: object) -> None:
        if isinstance(event, Progress):
            self.progress.show_progress(event)

    def _cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _exported(self, exported: Exported) -> None:
        self.exported = exported
        self.banner.show_message("success", f"The adapter is in {exported.folder}.")
        self.snippet.setPlainText(exported.snippet.rstrip())
        look, lines = theme.current(), self.snippet.blockCount() + 2  # one for the scroll bar
        self.snippet.setFixedHeight(
            min(6 * look.xxl, lines * self.snippet.fontMetrics().lineSpacing() + look.m)
        )
        self._show_result(True)
        self.close_button.setText("Done")
        self.export_button.hide()
        self.note.clear()
        self.copy_button.setFocus()

    def showEvent(self, event: QShowEvent) -> None:
        """Measure the sentences: the style sheet's font is known only now."""
        super().showEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Take the height of what is shown now: where sentences wrap, a dialog does not do so by itself."""
        layout = self.layout()
        assert layout is not None
        layout.activate()
        self.resize(self.width(), layout.totalHeightForWidth(self.width()))

    def _show_result(self, shown: bool) -> None:
        """Give the lines the room of the formats' sentences: both are more than a small screen holds."""
        self.result.setVisible(shown)
        for sentence in self._sentences.values():
            sentence.setVisible(not shown)
        self._show_choices()

    def _failed(self, error: ErrorInfo) -> None:
        self.banner.show_message("error", error.sentence, error.details)
        self._fit()

    def _cancelled(self) -> None:
        self.banner.show_message("info", "The export was cancelled; the folder is as it was.")

    def _ended(self) -> None:
        self._handle = None
        self._set_busy(False)
        self._fit()

    def _set_busy(self, busy: bool) -> None:
        if busy:
            self.progress.begin("Exporting")
        else:
            self.progress.hide()
        for widget in (self.destination, self.choose_button):
            widget.setEnabled(not busy)
        self._show_choices()
        usable = check_destination(self.destination.text())[0]
        self.export_button.setEnabled(usable and not busy and not self._hopeless)

    def _destination_changed(self, text: str) -> None:
        usable, sentence = check_destination(text)
        self.note.setText(sentence)
        self.note.set_role("caption" if usable else "bad")
        set_property(self.destination, "invalid", not usable)
        self.export_button.show()
        self.export_button.setEnabled(usable and self._handle is None and not self._hopeless)

    def _choose(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, "Destination folder", str(Path(self.destination.text()).parent)
        )
        if chosen:
            # A folder with other files in it is refused, so a new one inside is proposed.
            usable, _ = check_destination(chosen)
            ending = "adapter" if self.format == "peft" else self.format
            folder = Path(chosen) if usable else free_folder(Path(chosen), f"{self._stem}-{ending}")
            self.destination.setText(str(folder))

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.snippet.toPlainText())
        self.copy_button.setText("Copied")

    def _open_folder(self) -> None:
        if self.exported is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.exported.folder)))

    def done(self, result: int) -> None:
        """Closing while the export runs cancels it."""
        if self._offering is not None:
            self._offering.finished.disconnect(self._offered)
            self._offering.failed.disconnect(self._offer_failed)
            self._offering.ended.disconnect(self._offer_ended)
            self._offering.cancel()
            self._offering = None
        if self._handle is not None:
            self._handle.ended.disconnect(self._ended)
            self._handle.finished.disconnect(self._exported)
            self._handle.failed.disconnect(self._failed)
            self._handle.cancelled.disconnect(self._cancelled)
            self._handle.event.disconnect(self._on_event)
            self._handle.cancel()
            self._handle = None
        super().done(result)
