"""Finds the smallest epsilon that flips an image, and shows the interval while it narrows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from advclip_gui.engine.events import Progress
from advclip_gui.engine.probe_types import length_text
from advclip_gui.gui import theme
from advclip_gui.gui.jobs import SmallestEpsilonJob
from advclip_gui.gui.widgets.basics import Button, TextLabel
from advclip_gui.settings import parse_epsilon

if TYPE_CHECKING:
    from advclip_gui.engine.probe_types import SmallestEpsilon
    from advclip_gui.gui.bridge import Backend, ErrorInfo, JobHandle
    from advclip_gui.gui.probe_controller import Question


def parse_interval(detail: str) -> tuple[float, float] | None:
    """Read the engine's "1.2/255 to 1.4/255" (or "0.2 in L2 to ...") back; None for anything else."""
    parts = [part.removesuffix(" in L2") for part in detail.split(" to ")]
    if len(parts) != 2:
        return None
    try:
        low, high = (parse_epsilon(part) for part in parts)
    except ValueError:
        return None
    return (float(low), float(high)) if isinstance(low, float) and isinstance(high, float) else None


class SmallestPanel(QWidget):
    """A button that becomes Cancel while the search runs, a bar, and one line."""

    narrowed = Signal(object)
    """(low, high) in pixel units while it narrows and at the end; None when it is of no use any more."""
    found = Signal(float)
    """The smallest epsilon at which the attack succeeded."""
    failed = Signal(object)

    def __init__(self, backend: Backend, parent: QWidget | None = None) -> None:
        """Start with nothing to search."""
        super().__init__(parent)
        look = theme.current()
        self._backend = backend
        self._question: Question | None = None
        self._handle: JobHandle | None = None
        self._shown = False
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.xs)
        row = QHBoxLayout()
        row.setSpacing(look.s)
        self.button = Button(
            "Find smallest epsilon",
            "target",
            name="probeSmallest",
            tip="Bisect for the smallest epsilon at which this attack flips this image, to 0.05/255.",
        )
        row.addWidget(self.button, 1)
        column.addLayout(row)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Search for the smallest epsilon")
        self.bar.hide()
        column.addWidget(self.bar)
        self.line = TextLabel("", "muted", wrap=True)
        self.line.setObjectName("probeSmallestText")
        self.line.hide()
        column.addWidget(self.line)
        self.button.clicked.connect(self._on_clicked)

    @property
    def searching(self) -> bool:
        """Whether the search runs."""
        return self._handle is not None

    def set_question(self, question: Question | None) -> None:
        """Say what would be searched; a search for anything else ends, and its figures go."""
        same = question is not None and self._question is not None and _key(question) == _key(self._question)
        if not same:
            self._cancel()
            if self._shown:
                self._shown = False
                self.line.hide()
                self.narrowed.emit(None)
        self._question = question
        self.button.setEnabled(question is not None)

    def stop(self) -> None:
        """Cancel a search under way."""
        self._cancel()

    def _on_clicked(self) -> None:
        if self._handle is not None:
            self._cancel()
            return
        question = self._question
        if question is None:
            return
        handle = self._backend.submit(question.job(SmallestEpsilonJob))
        self._handle = handle
        handle.event.connect(self._on_event)
        handle.finished.connect(self._on_finished)
        handle.failed.connect(self._on_failed)
        handle.ended.connect(self._on_ended)
        self.bar.setRange(0, 0)
        self.bar.show()
        self._say("Looking for an epsilon that flips it …")
        self._show_running(True)

    def _cancel(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.cancel()
            self.bar.hide()
            self._say("Search cancelled.")
            self._show_running(False)

    def _on_event(self, event: object) -> None:
        if self.sender() is not self._handle or not isinstance(event, Progress):
            return
        if event.total:
            self.bar.setRange(0, event.total)
            self.bar.setValue(min(event.done, event.total))
        interval = parse_interval(event.detail)
        if interval is not None and event.total:
            self.narrowed.emit(interval)
            self._shown = True
        if event.detail:
            low, _, high = event.detail.partition(" to ")
            still = f"Between {low} and {high} …" if event.total else f"More than {low} …"
            self._say(still)

    def _on_finished(self, result: SmallestEpsilon) -> None:
        if self.sender() is not self._handle:
            return
        if not result.found:
            self.narrowed.emit(None)
            self._say(result.sentence.replace("->", "→"))
            return
        self._shown = True
        self.narrowed.emit((result.low, result.high))
        if result.high == 0:
            self._say(result.sentence)
            return
        low, high = length_text(result.low, result.norm), length_text(result.high, result.norm)
        self._say(f"Smallest epsilon: between {low} and {high} ({result.attacks} attacks).")
        self.found.emit(result.high)

    def _on_failed(self, error: ErrorInfo) -> None:
        if self.sender() is self._handle:
            self.line.hide()
            self.failed.emit(error)

    def _on_ended(self) -> None:
        if self.sender() is self._handle:
            self._handle = None
            self.bar.hide()
            self._show_running(False)

    def _say(self, text: str) -> None:
        self.line.setText(text)
        self.line.show()
        self._shown = True

    def _show_running(self, running: bool) -> None:
        self.button.setText("Cancel search" if running else "Find smallest epsilon")
        self.button.setAccessibleName(self.button.text())
        self.button.setIcon(theme.icon("close" if running else "target"))


def _key(question: Question) -> tuple[object, ...]:
    """What the smallest epsilon depends on: everything but the epsilon at hand."""
    request = question.request
    return (
        question.ref,
        question.class_names,
        question.templates,
        question.image,
        (request.attack, request.norm, request.steps, request.step_size, request.random_start),
        (request.restarts, request.target, request.seed),
    )
