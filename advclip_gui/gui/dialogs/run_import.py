"""Import a run folder from another machine: look at it, say what is missing here, copy it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QFileDialog, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from advclip_gui.engine.events import Progress
from advclip_gui.engine.run_import import look_at, take_in
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Banner, Button, Muted, PrimaryButton, SectionLabel, TextLabel
from advclip_gui.gui.widgets.progress_row import ProgressRow
from advclip_gui.run_words import STATE_TITLES

if TYPE_CHECKING:
    from advclip_gui.engine.run_import import ImportPlan
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.job_handle import ErrorInfo, JobHandle


class RunImportDialog(QDialog):
    """One run at a time; the folder it comes from is not changed."""

    imported = Signal(object)
    """The new run folder."""

    def __init__(self, io: IoPool, root: Path | None, parent: QWidget | None = None) -> None:
        """Ask for a folder."""
        super().__init__(parent)
        self.setObjectName("runImportDialog")
        self.setWindowTitle("Import a run")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._io, self._root = io, root
        self._plan: ImportPlan | None = None
        self._looking: JobHandle | None = None
        self._copying: JobHandle | None = None
        look = theme.current()
        self.setMinimumWidth(18 * look.xxl)
        column = QVBoxLayout(self)
        column.setContentsMargins(look.xl, look.l, look.xl, look.l)
        column.setSpacing(look.m)
        column.addWidget(TextLabel("Import a run from another machine", "title"))
        column.addWidget(
            Muted("The folder is checked and copied to the runs of this machine; it is not changed itself.")
        )
        self.source, source_row = self._make_place(
            "importSource",
            "Run folder",
            "The folder of one run: with settings.toml in it.",
            self._choose_source,
        )
        column.addWidget(SectionLabel("Run folder"))
        column.addLayout(source_row)
        self.found = Muted("")
        self.found.setObjectName("importFound")
        column.addWidget(self.found)
        column.addWidget(self._make_data())
        self.banner = Banner(closable=False)
        self.banner.setObjectName("importBanner")
        self.banner.clear()
        column.addWidget(self.banner)
        self.progress = ProgressRow("importCopy", megabytes=True)
        self.progress.cancelled.connect(self._cancel_copying)
        column.addWidget(self.progress)
        column.addStretch(1)
        column.addLayout(self._make_buttons())
        self.source.textChanged.connect(self.look)
        self._show_plan()

    # --- building -----------------------------------------------------------------------------

    def _make_place(self, name: str, label: str, tip: str, choose: object) -> tuple[QLineEdit, QHBoxLayout]:
        field = QLineEdit()
        field.setObjectName(name)
        field.setAccessibleName(label)
        field.setToolTip(tip)
        button = Button(
            "Browse …", "folder-open-outline", name=f"{name}Choose", tip=f"Choose: {label.lower()}"
        )
        button.setAutoDefault(False)
        button.clicked.connect(choose)
        row = QHBoxLayout()
        row.setSpacing(theme.current().s)
        row.addWidget(field, 1)
        row.addWidget(button)
        return field, row

    def _make_data(self) -> QWidget:
        self.data_box = QWidget()
        column = QVBoxLayout(self.data_box)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.current().s)
        self.data, row = self._make_place(
            "importData", "Image folder", "Where the run's images are on this machine.", self._choose_data
        )
        self.data.textChanged.connect(self._update)
        self.data_note = Muted("")
        self.data_note.setObjectName("importDataNote")
        column.addWidget(SectionLabel("Its images on this machine"))
        column.addLayout(row)
        column.addWidget(self.data_note)
        return self.data_box

    def _make_buttons(self) -> QHBoxLayout:
        cancel = Button("Cancel", None, name="importCancel", tip="Close without importing")
        cancel.setAutoDefault(False)
        cancel.clicked.connect(self.reject)
        self.import_button = PrimaryButton("Import", "import", name="importStart", tip="Copy the run")
        self.import_button.setDefault(True)
        self.import_button.clicked.connect(self.take_in)
        row = QHBoxLayout()
        row.setSpacing(theme.current().s)
        row.addStretch(1)
        row.addWidget(cancel)
        row.addWidget(self.import_button)
        return row

    # --- looking ------------------------------------------------------------------------------

    def look(self) -> None:
        """Look at the folder named in the field, off the main thread."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        self._plan = None
        self.banner.clear()
        text = self.source.text().strip()
        if text:
            folder = Path(text).expanduser()
            self._looking = self._io.submit(partial(look_at, folder), "Looking at a run folder")
            self._looking.finished.connect(self._on_plan)
            self._looking.failed.connect(self._on_refused)
        self._show_plan()

    def _on_plan(self, plan: ImportPlan) -> None:
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
        self.found.setText(plan_sentence(plan) if plan else "Looking …" if self._looking else "")
        self.data_box.setVisible(plan is not None and bool(plan.missing_data))
        if plan is not None and plan.missing_data:
            self.data.setPlaceholderText(plan.missing_data)
        self._update()
        self._fit()

    def _fit(self) -> None:
        """Make room for sentences that wrap: a dialog does not grow for them by itself."""
        for label in (self.found, self.data_note):
            width = max(self.width(), self.minimumWidth()) - 2 * theme.current().xl
            label.setMinimumHeight(label.heightForWidth(width) if label.text() else 0)
        self.adjustSize()

    def _update(self) -> None:
        text = self.data.text().strip()
        there = not text or Path(text).expanduser().exists()
        self.data_note.setText(
            "They are not where they were. Without them the adapter can be probed and exported, but the "
            "run neither continued nor evaluated on its own images."
            if there
            else "There is nothing at this place."
        )
        self.data_note.set_role("muted" if there else "bad")
        ready = self._plan is not None and there and self._copying is None
        self.import_button.setEnabled(ready)

    def _choose_source(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Run folder", self.source.text())
        if chosen:
            self.source.setText(chosen)

    def _choose_data(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Image folder", self.data.text())
        if chosen:
            self.data.setText(chosen)

    # --- copying ------------------------------------------------------------------------------

    def take_in(self) -> None:
        """Copy the run."""
        if self._plan is None or self._copying is not None:
            return
        self.banner.clear()
        folder = self.data.text().strip() if self._plan.missing_data else ""
        work = partial(take_in, self._plan, root=self._root, data_folder=folder)
        self._copying = self._io.submit(work, "Importing a run")
        self._copying.event.connect(self._on_event)
        self._copying.finished.connect(self._on_copied)
        self._copying.failed.connect(self._on_failed)
        self._copying.cancelled.connect(self._on_stopped)
        self.progress.begin("Copying")
        self._lock(True)

    def _cancel_copying(self) -> None:
        if self._copying is not None:
            self._copying.cancel()

    def _on_event(self, event: object) -> None:
        if isinstance(event, Progress):
            self.progress.show_progress(event)

    def _on_copied(self, path: Path) -> None:
        self._copying = None
        self.imported.emit(path)
        self.accept()

    def _on_stopped(self) -> None:
        self._copying = None
        self.progress.hide()
        self._lock(False)

    def _on_failed(self, error: ErrorInfo) -> None:
        self._on_stopped()
        self.banner.show_message("error", error.sentence, error.details)

    def _lock(self, busy: bool) -> None:
        for widget in (self.source, self.data):
            widget.setEnabled(not busy)
        self._update()

    def done(self, result: int) -> None:
        """Closing while the copy is made cancels it; nothing is left behind."""
        for handle in (self._looking, self._copying):
            if handle is not None:
                handle.cancel()
        self._looking = self._copying = None
        super().done(result)


def plan_sentence(plan: ImportPlan) -> str:
    """Say what was found: "Demo: AdvCLIP-LoRA on advclip-mini, 16 shots, finished. 9 files, 3.1 MB."."""
    settings = plan.settings
    state = "interrupted" if plan.state == "running" else plan.state
    parts = [
        f"{settings.name or plan.source.name}: {settings.method} on {settings.backbone.name}, "
        f"{settings.data.shots} shots, {STATE_TITLES[state].lower()}.",
        f"{len(plan.files):,} files, {max(plan.size / 1e6, 0.1):.1f} MB.",
    ]
    if plan.missing_checkpoint:
        parts.append(f"Its backbone's checkpoint is not on this machine ({plan.missing_checkpoint}).")
    return " ".join(parts)
