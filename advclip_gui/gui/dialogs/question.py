"""Questions that stop the user, for the few moments where something could be lost."""

from __future__ import annotations

from typing import Literal

from PySide6.QtWidgets import QMessageBox, QWidget


def ask_close_while_training(parent: QWidget) -> Literal["stop", "stay"]:
    """Ask whether to end the run in training; what it has learnt is kept either way."""
    box = QMessageBox(parent)
    box.setObjectName("closeQuestion")
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle("A run is in training")
    box.setText("A run is in training.")
    box.setInformativeText(
        "Closing cancels it after saving a checkpoint. "
        "You can continue it from the Runs page at the next start."
    )
    close = box.addButton("Save and close", QMessageBox.ButtonRole.DestructiveRole)
    stay = box.addButton("Keep training", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(stay)
    box.setEscapeButton(stay)
    box.exec()
    return "stop" if box.clickedButton() is close else "stay"


def show_crash(message: str, details: str, parent: QWidget | None = None) -> None:
    """Show an error nobody expected, with its traceback to fold out and copy; the window stays alive."""
    box = QMessageBox(parent)
    box.setObjectName("crashBox")
    box.setIcon(QMessageBox.Icon.Warning)
    box.setWindowTitle("Something went wrong")
    box.setText(message)
    box.setInformativeText("The window is alive and nothing saved is lost. The details help to report it.")
    box.setDetailedText(details)
    box.addButton(QMessageBox.StandardButton.Close)
    # Modeless: a second error must be able to arrive, and a job at hand goes on.
    box.setModal(False)
    box.open()
