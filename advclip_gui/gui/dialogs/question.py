"""Questions that stop the user, for the few moments where something could be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from PySide6.QtWidgets import QMessageBox, QWidget

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from advclip_gui.gui.job_handle import JobHandle


def may_close(parent: QWidget, training: bool, jobs: Iterable[JobHandle]) -> Literal["stop", "stay"]:
    """Ask before a run in training ends, or a job the user waits for; "stop" where nothing is at work."""
    if training:
        return ask_close_while_training(parent)
    lasting = [job.title for job in jobs if job.active and job.lasting]
    return ask_close_while_working(parent, lasting) if lasting else "stop"


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


def ask_close_while_working(parent: QWidget, titles: Sequence[str]) -> Literal["stop", "stay"]:
    """Ask whether to end what the user waits for: an evaluation, a gallery, an export, a download."""
    box = QMessageBox(parent)
    box.setObjectName("closeQuestion")
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle("Still at work")
    box.setText(f"Still at work: {', '.join(dict.fromkeys(titles))}.")
    box.setInformativeText(
        "Closing ends it. A download or an evaluation goes on where it was when you ask for it again."
    )
    close = box.addButton("Close", QMessageBox.ButtonRole.DestructiveRole)
    stay = box.addButton("Stay", QMessageBox.ButtonRole.RejectRole)
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
