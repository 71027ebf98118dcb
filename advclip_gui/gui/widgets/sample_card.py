"""Shots, validation shots, seed and classes, and what the draw gives; or a saved list instead of a draw."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout

from advclip_gui.engine.datasets.drawing import draw_split
from advclip_gui.engine.datasets.split_file import write_split
from advclip_gui.engine.errors import StorageError
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Button, Card, TextLabel
from advclip_gui.gui.widgets.field_editors import ChoiceBox
from advclip_gui.gui.widgets.settings_form import SettingsForm
from advclip_gui.settings import DataSettings

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.records import DatasetScan
    from advclip_gui.engine.datasets.sampling import Split
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.job_handle import ErrorInfo, JobHandle

_DEBOUNCE_MS = 120


class SampleCard(Card):
    """Edits the draw and shows its outcome; drawing happens off the main thread."""

    changed = Signal(object)
    """The data settings as edited, or None while a value is wrong."""
    split_file_chosen = Signal(str)
    """A list to take the sample from; "" draws it."""
    notify = Signal(str, str)
    """Level and sentence."""
    drawn = Signal()
    """`split` or `problem` is new."""

    def __init__(self, io: IoPool, parent: QWidget | None = None) -> None:
        """Show the defaults."""
        super().__init__("Few-shot sample", parent)
        self._io = io
        self._scan: DatasetScan | None = None
        self._data = DataSettings()
        self._job: JobHandle | None = None
        self.split: Split | None = None
        self.problem = ""
        self.form = SettingsForm(
            DataSettings, name="data", fields=("shots", "val_shots", "seed", "classes"), label_width=104
        )
        classes = self.form.editor("classes")
        if isinstance(classes, ChoiceBox):
            classes.setMinimumContentsLength(4)  # no word is longer, and the column is narrow
        self.outcome = TextLabel("", "caption", wrap=True)
        self.outcome.setObjectName("sampleOutcome")
        self.body.addWidget(self.form)
        self.body.addWidget(self.outcome)
        self.body.addLayout(self._make_list_row())
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_DEBOUNCE_MS)
        self._timer.timeout.connect(self._draw)
        self.form.changed.connect(self._on_form_changed)

    def _make_list_row(self) -> QHBoxLayout:
        self.save_button = Button(
            "Save…",
            "tray-arrow-down",
            "flat",
            name="saveSplit",
            tip="Write which images train, validate and test as a list (.csv or .json).",
        )
        self.use_button = Button(
            "Use a list…",
            "file-table-outline",
            "flat",
            name="useSplit",
            tip="Take the sample from a saved list, or the split.json of a run, instead of drawing one.",
        )
        self.draw_button = Button(
            "Draw instead", "refresh", "flat", name="drawSplit", tip="Draw a sample by shots and seed again."
        )
        row = QHBoxLayout()
        row.setSpacing(theme.current().xs)
        for button in (self.save_button, self.use_button, self.draw_button):
            row.addWidget(button)
        row.addStretch(1)
        self.draw_button.hide()
        self.save_button.clicked.connect(self._ask_save)
        self.use_button.clicked.connect(self._ask_use)
        self.draw_button.clicked.connect(partial(self.split_file_chosen.emit, ""))
        return row

    def save_split(self, path: Path) -> None:
        """Write the sample as a list."""
        if self.split is None:
            return
        try:
            write_split(path, self.split)
        except StorageError as error:
            self.notify.emit("error", str(error))
        else:
            self.notify.emit("success", f"The list of the sample was saved to {path}.")

    def _ask_save(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Save the sample as a list", "split.csv", "List (*.csv);;JSON (*.json)"
        )
        if name:
            self.save_split(Path(name))

    def _ask_use(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Use a list", "", "Lists (*.csv *.tsv *.jsonl *.json)")
        if name:
            self.split_file_chosen.emit(name)

    @property
    def drawing(self) -> bool:
        """Whether the outcome is not known yet."""
        return self._timer.isActive() or self._job is not None

    def set_data(self, data: DataSettings, scan: DatasetScan | None) -> None:
        """Show settings and draw from a scan; nothing is drawn again where nothing changed."""
        same = scan is self._scan and _draw_key(data) == _draw_key(self._data)
        before, self._data, self._scan = self._data, data, scan
        # What is being typed and wrong stays, unless the numbers were changed elsewhere.
        if _form_key(data) != _form_key(before) and self.form.section() != data:
            self.form.set_section(data)
        if scan is None:
            self._cancel()
            self.split, self.problem = None, ""
            self._show()
        elif not same or (self.split is None and not self.problem and not self.drawing):
            self._timer.start()

    def _on_form_changed(self, section: object) -> None:
        self.changed.emit(section)
        self._show()

    def _cancel(self) -> None:
        self._timer.stop()
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def _draw(self) -> None:
        self._cancel()
        if self._scan is None:
            return
        self._job = self._io.submit(partial(_draw_split, self._scan, self._data), "Drawing the sample")
        self._job.finished.connect(self._on_finished)
        self._job.failed.connect(self._on_failed)

    def _on_finished(self, split: Split) -> None:
        if self.sender() is self._job:
            self._job = None
            self.split, self.problem = split, ""
            self._show()

    def _on_failed(self, error: ErrorInfo) -> None:
        if self.sender() is self._job:
            self._job = None
            self.split, self.problem = None, error.sentence
            self._show()

    def _show(self) -> None:
        bad = bool(self.problem)
        if self.form.problems():
            text, bad = "", False
        elif self.problem:
            text = self.problem
        elif self.split is not None:
            split = self.split
            text = (
                f"{len(split.train):,} training, {len(split.val):,} validation and "
                f"{len(split.test):,} test images."
            )
            text = " ".join((text, *split.notes))
        else:
            text = ""
        self.outcome.setText(text)
        self.outcome.set_role("bad" if bad else "caption")
        self.outcome.setVisible(bool(text))
        listed = bool(self._data.split_file)
        for field in ("shots", "val_shots", "seed"):
            self.form.editor(field).setEnabled(not listed)
        self.save_button.setEnabled(self.split is not None)
        self.use_button.setVisible(not listed)
        self.draw_button.setVisible(listed)
        self.drawn.emit()


def _draw_key(data: DataSettings) -> tuple[object, ...]:
    return *_form_key(data), data.skip, data.split_file


def _form_key(data: DataSettings) -> tuple[object, ...]:
    return data.shots, data.val_shots, data.seed, data.classes


def _draw_split(scan: DatasetScan, data: DataSettings, _control: Control) -> Split:
    return draw_split(scan, data)
