"""A free text about a run, kept in its folder; and the question before runs are deleted for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QDialog, QHBoxLayout, QMessageBox, QPlainTextEdit, QVBoxLayout, QWidget

from advclip_gui.engine.runs import NOTE_LENGTH
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Button, Muted, PrimaryButton, TextLabel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QShowEvent

    from advclip_gui.engine.run_list import RunSummary


_PLACES = (
    "Kept as note.txt in the run's folder, and searched by the filter.",
    "Kept in the library of adapters, and searched by the filter.",
)


class NoteDialog(QDialog):
    """Edits one note."""

    written = Signal(object, str)
    """The run, and what is to be kept about it."""

    def __init__(self, run: RunSummary, parent: QWidget | None = None) -> None:
        """Show what was written before."""
        super().__init__(parent)
        self.setObjectName("noteDialog")
        self.setWindowTitle("Note")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._run = run
        look = theme.current()
        column = QVBoxLayout(self)
        column.setContentsMargins(look.xl, look.l, look.xl, look.l)
        column.setSpacing(look.m)
        column.addWidget(TextLabel(f"Note on {run.name}", "title", wrap=True))
        column.addWidget(Muted(_PLACES[run.is_adapter]))
        self.text = QPlainTextEdit(run.note)
        self.text.setObjectName("noteText")
        self.text.setAccessibleName("Note")
        self.text.setToolTip("Ctrl+Enter saves it.")
        self.text.setPlaceholderText("What was tried, and what came of it")
        self.text.setTabChangesFocus(True)
        self.text.setMinimumSize(16 * look.xxl, 5 * look.xxl)
        column.addWidget(self.text, 1)
        cancel = Button("Cancel", None, name="noteCancel", tip="Leave the note as it was")
        cancel.setAutoDefault(False)
        cancel.clicked.connect(self.reject)
        self.save_button = PrimaryButton("Save", None, name="noteSave", tip="Keep the note (Ctrl+Enter)")
        self.save_button.clicked.connect(self.save)
        row = QHBoxLayout()
        row.setSpacing(look.s)
        row.addStretch(1)
        row.addWidget(cancel)
        row.addWidget(self.save_button)
        column.addLayout(row)
        for keys in ("Ctrl+Return", "Ctrl+Enter"):
            QShortcut(QKeySequence(keys), self).activated.connect(self.save)
        self.text.setFocus()

    def save(self) -> None:
        """Hand the text over and close."""
        self.written.emit(self._run, self.text.toPlainText()[:NOTE_LENGTH])
        self.accept()


class DeleteQuestion(QMessageBox):
    """Asks before runs are deleted where the system has no bin for them."""

    confirmed = Signal()

    def __init__(self, names: Sequence[str], parent: QWidget | None = None) -> None:
        """Name the runs."""
        super().__init__(parent)
        self.setObjectName("deleteQuestion")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setIcon(QMessageBox.Icon.Warning)
        self.setWindowTitle("Delete for good?")
        what = f"'{names[0]}'" if len(names) == 1 else f"{len(names)} runs"
        self.setText(f"There is no bin for {what}.")
        self.setInformativeText(
            "The disk they are on has none. Once deleted, their adapters and figures cannot be brought back."
        )
        self.delete_button = self.addButton("Delete for good", QMessageBox.ButtonRole.DestructiveRole)
        self.keep_button = self.addButton("Keep", QMessageBox.ButtonRole.RejectRole)
        self.setDefaultButton(self.keep_button)
        self.setEscapeButton(self.keep_button)
        self.buttonClicked.connect(self._on_clicked)

    def showEvent(self, event: QShowEvent) -> None:
        """Enter must not delete: the other button has the focus."""
        super().showEvent(event)
        self.keep_button.setFocus()

    def _on_clicked(self, button: object) -> None:
        if button is self.delete_button:
            self.confirmed.emit()
