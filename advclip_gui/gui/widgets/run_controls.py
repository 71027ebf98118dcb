"""The buttons of a run: start, pause, stop, resume, and probing the model while it learns."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Button, PrimaryButton

_START_TIP = "Train with a copy of the recipe."


class RunControls(QWidget):
    """Shows only what can be done now."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make the buttons."""
        super().__init__(parent)
        self.probe_button = Button(
            "Probe it live",
            "crosshairs-gps",
            name="probeLiveButton",
            tip="Attack single images with the model as it is at this moment; training goes on.",
        )
        self.pause_button = Button(
            "Pause",
            "pause",
            name="pauseButton",
            tip="Hold between two steps; probes and evaluations have the device meanwhile.",
        )
        self.stop_button = Button(
            "Stop",
            "stop",
            "danger",
            name="stopButton",
            tip="End after this step and keep what has been learnt.",
        )
        self.resume_button = Button(
            "Resume",
            "play-circle-outline",
            name="resumeButton",
            tip="Go on from the last checkpoint of this run.",
        )
        self.start_button = PrimaryButton("Start", "play", name="startButton", tip=_START_TIP)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.current().s)
        for button in (
            self.probe_button,
            self.pause_button,
            self.stop_button,
            self.resume_button,
            self.start_button,
        ):
            row.addWidget(button)

    def show_state(self, *, state: str, missing: str, can_resume: bool, learning: bool) -> None:
        """Follow a run.

        Args:
            state: of its job, "" where there is none.
            missing: why a new run cannot start, "" where it can.
            can_resume: whether the run has ended and can go on.
            learning: whether the engine has begun with the steps.
        """
        active = state not in ("", "finished", "failed", "cancelled")
        held = state == "paused"
        self.start_button.setVisible(not active)
        self.start_button.setText("Start a new run" if state else "Start")
        self.start_button.setAccessibleName(self.start_button.text())
        self.start_button.setEnabled(not missing)
        self.start_button.setToolTip(missing or _START_TIP)
        self.pause_button.setVisible(active)
        self.pause_button.setEnabled(state in ("running", "paused"))
        text = "Continue" if held else "Pause"
        if self.pause_button.text() != text:
            self.pause_button.setText(text)
            self.pause_button.setAccessibleName(text)
            self.pause_button.setIcon(theme.icon("play" if held else "pause"))
        self.stop_button.setVisible(active)
        self.stop_button.setEnabled(state in ("queued", "running", "paused"))
        self.probe_button.setVisible(active and learning)
        self.resume_button.setVisible(can_resume)
