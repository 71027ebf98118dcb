"""The buttons of an experiment: start, pause, stop, define another, open one."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Button, PrimaryButton

PAUSE_KEYS, STOP_KEYS = "Ctrl+P", "Ctrl+."


class ExperimentControls(QWidget):
    """Shows only what can be done now."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make the buttons."""
        super().__init__(parent)
        self.start_button = PrimaryButton(
            "Start", "play", name="experimentStart", tip="Queue all runs on the device."
        )
        self.pause_button = Button(
            "Pause",
            "pause",
            name="experimentPause",
            tip=f"Hold at once; probes and evaluations have the device meanwhile ({PAUSE_KEYS}).",
        )
        self.stop_button = Button("Stop", "stop", "danger", name="experimentStop")
        self.new_button = Button(
            "New",
            "plus",
            name="experimentNew",
            tip="Define another experiment; one that runs goes on, and the next one waits for it.",
        )
        self.open_button = Button(
            "Open…", "folder-open-outline", name="experimentOpen", tip="Show or continue an earlier one."
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.current().s)
        for button in self._all:
            button.setAutoDefault(False)
            row.addWidget(button)
        row.addStretch(1)

    @property
    def _all(self) -> tuple[Button, ...]:
        return (self.start_button, self.pause_button, self.stop_button, self.new_button, self.open_button)

    def show_state(self, state: str, *, begun: bool, can_start: bool) -> None:
        """Follow the experiment that is shown.

        Args:
            state: of its job, "" where it has none.
            begun: whether it has a folder.
            can_start: whether something is asked for that can be done.
        """
        active, held, waits = bool(state), state == "paused", state == "queued"
        before = self.focusWidget()
        had_focus = before is not None and before.hasFocus() and before in self._all
        self.start_button.setText("Continue" if begun else "Start")
        self.start_button.setAccessibleName(self.start_button.text())
        # Of one that is done, nothing is left to be continued.
        self.start_button.setVisible(not active and (can_start or not begun))
        self.start_button.setEnabled(can_start)
        self.pause_button.setVisible(active and not waits)
        self.pause_button.setEnabled(state in ("running", "paused"))
        text = "Continue" if held else "Pause"
        if self.pause_button.text() != text:
            self.pause_button.setText(text)
            self.pause_button.setAccessibleName(text)
            self.pause_button.setIcon(theme.icon("play" if held else "pause"))
        self.stop_button.setVisible(active)
        self.stop_button.setEnabled(state in ("queued", "running", "paused"))
        self.stop_button.setText("Take out" if waits else "Stop")
        self.stop_button.setAccessibleName(self.stop_button.text())
        self.stop_button.setToolTip(
            f"Take it out of the queue ({STOP_KEYS})."
            if waits
            else f"End after the step at hand and keep everything; it can be continued ({STOP_KEYS})."
        )
        self.new_button.setVisible(begun)
        self.open_button.setVisible(not active)
        if had_focus and before is not None and not (before.isVisible() and before.isEnabled()):
            # The keyboard goes on from the button that has taken the place.
            usable = (one for one in self._all if not one.isHidden() and one.isEnabled())
            next(usable, self.new_button).setFocus()
