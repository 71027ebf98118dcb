"""Open an adapter: look at it, ask for what it does not say, then name it in the library or copy it there."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QFileDialog, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from advclip_gui.engine.adapter_library import AdapterLibrary
from advclip_gui.engine.adapter_look import look_at_adapter, needs_torch
from advclip_gui.gui import theme
from advclip_gui.gui.jobs import CallJob
from advclip_gui.gui.widgets.adapter_words import AdapterWords
from advclip_gui.gui.widgets.basics import Banner, Button, Muted, PrimaryButton, SectionLabel, TextLabel
from advclip_gui.gui.widgets.progress_row import ProgressRow

if TYPE_CHECKING:
    from advclip_gui.engine.adapter_library import LibraryAdapter
    from advclip_gui.engine.adapter_look import AdapterPlan
    from advclip_gui.engine.control import Control
    from advclip_gui.gui.bridge import Backend
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.job_handle import ErrorInfo, JobHandle
    from advclip_gui.gui.workspace import Workspace

_WHAT = (
    "A folder written by Export or by peft, a run folder, or a .pt file of the CLIP-LoRA scripts. "
    "Nothing in it is run, and it is not changed."
)
_FILES = "Adapters (*.pt *.pth adapter_config.json adapter_model.safetensors);;All files (*)"


class AdapterDialog(QDialog):
    """One adapter at a time; files with tensors are read on the device's thread, which has torch."""

    opened = Signal(object)
    """A LibraryAdapter."""

    def __init__(
        self, workspace: Workspace, backend: Backend, io: IoPool, parent: QWidget | None = None
    ) -> None:
        """Ask for a folder or a file."""
        super().__init__(parent)
        self.setObjectName("adapterDialog")
        self.setWindowTitle("Open an adapter")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._backend, self._io = backend, io
        self._plan: AdapterPlan | None = None
        self._looking: JobHandle | None = None
        self._taking: JobHandle | None = None
        look = theme.current()
        self.setMinimumWidth(20 * look.xxl)
        column = QVBoxLayout(self)
        column.setContentsMargins(look.xl, look.l, look.xl, look.l)
        column.setSpacing(look.m)
        column.addWidget(TextLabel("Open an adapter", "title"))
        self.what = Muted(_WHAT)
        column.addWidget(self.what)
        column.addWidget(SectionLabel("Adapter"))
        column.addLayout(self._make_source())
        self.found = Muted("")
        self.found.setObjectName("adapterFound")
        column.addWidget(self.found)
        self.words = AdapterWords(workspace)
        self.words.changed.connect(self._update)
        self.words.reshaped.connect(self._fit)
        column.addWidget(self.words)
        self.banner = Banner(closable=False)
        self.banner.setObjectName("adapterBanner")
        self.banner.clear()
        column.addWidget(self.banner)
        self.progress = ProgressRow("adapterOpen")
        self.progress.cancelled.connect(self._cancel)
        column.addWidget(self.progress)
        column.addStretch(1)
        column.addLayout(self._make_buttons())
        self.source.textChanged.connect(self.look)
        self._show_plan()

    # --- building -----------------------------------------------------------------------------

    def _make_source(self) -> QHBoxLayout:
        self.source = QLineEdit()
        self.source.setObjectName("adapterSource")
        self.source.setAccessibleName("Adapter")
        self.source.setToolTip("The folder or file of the adapter.")
        row = QHBoxLayout()
        row.setSpacing(theme.current().s)
        row.addWidget(self.source, 1)
        for text, icon, name, tip, act in (
            ("Folder …", "folder-open-outline", "adapterFolder", "Choose a folder", self._choose_folder),
            ("File …", "file-search-outline", "adapterFile", "Choose a .pt file", self._choose_file),
        ):
            button = Button(text, icon, name=name, tip=tip)
            button.setAutoDefault(False)
            button.clicked.connect(act)
            row.addWidget(button)
        return row

    def _make_buttons(self) -> QHBoxLayout:
        cancel = Button("Cancel", None, name="adapterClose", tip="Close without opening it")
        cancel.setAutoDefault(False)
        cancel.clicked.connect(self.reject)
        self.open_button = PrimaryButton("Open", "tune-variant", name="adapterStart", tip="Use this adapter")
        self.open_button.setDefault(True)
        self.open_button.clicked.connect(self.take)
        self.missing = TextLabel("", "caption")
        self.missing.setObjectName("adapterMissing")
        row = QHBoxLayout()
        row.setSpacing(theme.current().s)
        row.addWidget(self.missing, 1)
        row.addWidget(cancel)
        row.addWidget(self.open_button)
        return row

    # --- looking ------------------------------------------------------------------------------

    def look(self) -> None:
        """Look at what is named in the field, off the main thread."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        self._plan = None
        self.banner.clear()
        text = self.source.text().strip()
        if text:
            path = Path(text).expanduser()
            self._looking = self._submit(path, partial(look_at_adapter, path), "Looking at an adapter")
            self._looking.finished.connect(self._on_plan)
            self._looking.failed.connect(self._on_refused)
        self._show_plan()

    def _submit(self, path: Path, work: Any, title: str) -> JobHandle:
        if needs_torch(path):
            return self._backend.submit(CallJob(lambda _session, control: work(control), title=title))
        return self._io.submit(work, title)

    def _on_plan(self, plan: AdapterPlan) -> None:
        if self.sender() is self._looking:
            self._looking, self._plan = None, plan
            self._show_plan()

    def _on_refused(self, error: ErrorInfo) -> None:
        if self.sender() is self._looking:
            self._looking = None
            self.found.setText(error.sentence)
            self.found.set_role("bad")
            self._fit()

    def _show_plan(self) -> None:
        plan = self._plan
        self.found.set_role("muted")
        waiting = "Looking …" if self._backend.ready else "Looking, as soon as the engine is loaded …"
        self.found.setText(plan_sentence(plan) if plan else waiting if self._looking else "")
        self.words.show_plan(plan)
        self.open_button.setText("Import" if plan is not None and plan.way == "import" else "Open")
        self._update()
        self._fit()

    def _fit(self) -> None:
        """Make room for sentences that wrap: a dialog does not grow for them by itself."""
        width = max(self.width(), self.minimumWidth()) - 2 * theme.current().xl
        for label in (self.what, self.found, self.words.backbone_note):
            label.setMinimumHeight(label.heightForWidth(width) if label.text() else 0)
        self.layout().activate()
        # Not `adjustSize`: that takes no more than two thirds of the screen, and lets rows overlap.
        self.resize(self.width(), self.minimumSizeHint().height())

    def _update(self) -> None:
        lacking = self.words.lacking() if self._plan is not None else ""
        self.missing.setText(lacking)
        self.open_button.setEnabled(self._plan is not None and not lacking and self._taking is None)

    def _choose_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Adapter folder", self.source.text())
        if chosen:
            self.source.setText(chosen)

    def _choose_file(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self, "Adapter file", self.source.text(), _FILES)
        if chosen:
            self.source.setText(chosen)

    # --- taking it in -------------------------------------------------------------------------

    def take(self) -> None:
        """Name it in the library, or copy it there."""
        plan, words = self._plan, self.words
        if plan is None or self._taking is not None or words.lacking():
            return
        self.banner.clear()
        name = words.name.text().strip()
        if plan.way == "open":
            checkpoint = words.checkpoint() if plan.missing_checkpoint else ""
            work = partial(_open, plan.path, name, checkpoint)
            self._taking = self._io.submit(work, "Opening an adapter")
        else:
            values = {
                "backbone": words.backbone(),
                "class_names": words.class_names(),
                "templates": words.templates(),
                "name": name,
            }
            job = CallJob(
                lambda _session, control: _import(plan.path, values, control), title="Importing an adapter"
            )
            self._taking = self._backend.submit(job)
        self._taking.finished.connect(self._on_taken)
        self._taking.failed.connect(self._on_failed)
        self._taking.cancelled.connect(self._on_stopped)
        self.progress.begin("Checking" if self._backend.ready else "Waiting for the engine")
        self._lock(True)

    def _cancel(self) -> None:
        if self._taking is not None:
            self._taking.cancel()

    def _on_taken(self, adapter: LibraryAdapter) -> None:
        self._taking = None
        self.opened.emit(adapter)
        self.accept()

    def _on_stopped(self) -> None:
        self._taking = None
        self.progress.hide()
        self._lock(False)

    def _on_failed(self, error: ErrorInfo) -> None:
        self._on_stopped()
        self.banner.show_message("error", error.sentence, error.details)
        self._fit()

    def _lock(self, busy: bool) -> None:
        self.source.setEnabled(not busy)
        self.words.setEnabled(not busy)
        self._update()

    def done(self, result: int) -> None:
        """Closing meanwhile cancels what is under way; nothing is left behind."""
        for handle in (self._looking, self._taking):
            if handle is not None:
                handle.cancel()
        self._looking = self._taking = None
        super().done(result)


def _open(path: Path, name: str, checkpoint: str, _control: Control) -> LibraryAdapter:
    return AdapterLibrary().open_folder(path, name, checkpoint=checkpoint)


def _import(path: Path, values: dict[str, Any], control: Control) -> LibraryAdapter:
    return AdapterLibrary().import_file(path, **values, control=control)


def plan_sentence(plan: AdapterPlan) -> str:
    """Say what was found and what becomes of it."""
    if plan.way == "open":
        return f"{plan.told} It stays where it is."
    return f"{plan.told} A copy is made; say what it was trained on."
