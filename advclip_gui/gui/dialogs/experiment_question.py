"""Asks before the window is closed while an experiment is at work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QMessageBox, QWidget

if TYPE_CHECKING:
    from advclip_gui.gui.experiment_queue import ExperimentQueue
    from advclip_gui.gui.workspace import Workspace


class CloseGuard(QObject):
    """Watches a window; while a run is in training the window asks by itself."""

    def __init__(
        self, workspace: Workspace, queue: ExperimentQueue, window: QWidget, parent: QObject
    ) -> None:
        """Watch from now on."""
        super().__init__(parent)
        self._workspace, self._queue, self._window = workspace, queue, window
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep the window open where the user wants that."""
        closes = watched is self._window and event.type() == QEvent.Type.Close
        if not closes or not self._queue.entries or self._workspace.is_training:
            return False
        if ask_close_while_experimenting(self._window, len(self._queue.entries)) == "stop":
            return False
        event.ignore()
        return True


def ask_close_while_experimenting(parent: QWidget, count: int) -> Literal["stop", "stay"]:
    """Ask whether to end the experiments; what is done is kept either way."""
    box = QMessageBox(parent)
    box.setObjectName("closeQuestion")
    box.setIcon(QMessageBox.Icon.Question)
    text = "An experiment is at work." if count == 1 else f"{count} experiments are at work or wait."
    box.setWindowTitle("An experiment is at work")
    box.setText(text)
    box.setInformativeText(
        "Closing ends it after saving a checkpoint; every figure is kept. "
        "The window of experiments offers to continue at the next start."
    )
    close = box.addButton("Save and close", QMessageBox.ButtonRole.DestructiveRole)
    stay = box.addButton("Stay", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(stay)
    box.setEscapeButton(stay)
    box.exec()
    return "stop" if box.clickedButton() is close else "stay"
