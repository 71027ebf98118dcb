"""What a recipe amounts to: method, parameters, steps, memory, time and device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QFormLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.jobs import CallJob
from advclip_gui.gui.widgets.basics import Card, TextLabel
from advclip_gui.gui.widgets.field_editors import choice_label
from advclip_gui.wording import ADVERSARIES, PROTOCOL_SENTENCES, PROTOCOL_TITLES, radius_text

if TYPE_CHECKING:
    from typing import Any

    from advclip_gui.engine.control import Control
    from advclip_gui.gui.bridge import Backend
    from advclip_gui.gui.job_handle import ErrorInfo, JobHandle
    from advclip_gui.settings import RunSettings

DEBOUNCE_MS = 300
_ROWS = (
    ("method", "Method", "AdvCLIP-LoRA trains against an adversary; CLIP-LoRA is the same without one."),
    ("protocol", "Protocol", "How perturbations are bounded and figures made; never mix the two."),
    ("adversary", "Adversary", "What the training is attacked with, and how far it may go."),
    ("measured", "Measured", "The attack behind the robust accuracy, while training and at the end."),
    ("parameters", "Trainable", "Parameters of the adapter; the backbone itself is never changed."),
    ("steps", "Updates", "LoRA updates of the whole run."),
    ("image_size", "Input", "Side of the image that the backbone sees."),
    ("memory", "Memory", "Rough estimate of what one update needs on the device."),
    ("time", "Time", "Rough estimate of the training loop, without evaluations."),
    ("device", "Device", "Where the run will be computed."),
)
_WAITING = "…"


def duration(seconds: float) -> str:
    """Write a rough duration: 40 s, 3 min, 2.5 h, 3 days."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"


def adversary_text(settings: RunSettings) -> str:
    """Say what a run trains against: "universal, 1/255 in L∞"."""
    adversary = settings.adversary
    if not adversary.inner_steps:
        return "none"
    return f"{ADVERSARIES[adversary.kind]}, {radius_text(adversary.epsilon, adversary.norm)}"


class FactsCard(Card):
    """Asks the engine, a moment after the last edit, and shows its answer."""

    def __init__(self, backend: Backend, parent: QWidget | None = None) -> None:
        """Show nothing yet."""
        super().__init__("What this amounts to", parent)
        look = theme.current()
        self._backend = backend
        self._settings: RunSettings | None = None
        self._classes = 10
        self._job: JobHandle | None = None
        grid = QFormLayout()
        grid.setHorizontalSpacing(look.m)
        grid.setVerticalSpacing(look.s)
        self._values: dict[str, TextLabel] = {}
        for key, title, tip in _ROWS:
            label, value = TextLabel(title, "muted"), TextLabel("–", wrap=True)
            label.setToolTip(tip)
            value.setToolTip(tip)
            value.setObjectName(f"fact.{key}")
            value.setAccessibleName(title)
            grid.addRow(label, value)
            self._values[key] = value
        self.protocol_note = TextLabel("", "caption", wrap=True)
        self.protocol_note.setObjectName("protocolNote")
        self.note = TextLabel("", "caption", wrap=True)
        self.note.setObjectName("factsNote")
        self.body.addLayout(grid)
        self.body.addWidget(self.protocol_note)
        self.body.addWidget(self.note)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DEBOUNCE_MS)
        self._timer.timeout.connect(self._ask)
        backend.engine_ready.connect(self._on_engine)
        backend.engine_failed.connect(self._on_engine)
        self._show_note("")

    @property
    def waiting(self) -> bool:
        """Whether newer facts are on their way."""
        return self._timer.isActive() or self._job is not None

    def value(self, key: str) -> str:
        """What a row shows."""
        return self._values[key].text()

    def set_settings(self, settings: RunSettings | None, classes: int) -> None:
        """Show the facts of a recipe; None where it is not valid now."""
        if settings == self._settings and classes == self._classes:
            return
        self._settings, self._classes = settings, max(classes, 2)
        self._show_plain()
        self._timer.start()

    def _show_plain(self) -> None:
        """What needs no engine."""
        settings = self._settings
        if settings is None:
            for value in self._values.values():
                value.setText("–")
            self.protocol_note.setText("")
            return
        m = settings.adversary.inner_steps
        self._set("method", settings.method + (f", m = {m}" if m else ""))
        self._set("protocol", PROTOCOL_TITLES[settings.protocol])
        self.protocol_note.setText(PROTOCOL_SENTENCES[settings.protocol])
        self._set("adversary", adversary_text(settings))
        monitor = settings.monitor
        self._set("measured", f"PGD-{monitor.attack_steps}, {radius_text(monitor.epsilon, monitor.norm)}")
        self._set("steps", f"{settings.total_steps:,}")
        self._show_device()
        for key in ("parameters", "image_size", "memory", "time"):
            self._set(key, _WAITING)

    def _show_device(self) -> None:
        if self._settings is None:
            return
        device = self._settings.device
        found = self._backend.device_text
        self._set("device", (found or _WAITING) if device == "auto" else choice_label("device", device))

    def _ask(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self._job = None
        if self._settings is None:
            self._show_note("The facts follow when the recipe is complete.")
            return
        if not self._backend.ready:
            self._show_note("")
            return
        settings, classes = self._settings, self._classes

        def work(session: Any, control: Control) -> object:
            return session.describe(settings, control, classes=classes)

        self._job = self._backend.submit(CallJob(work, title="Recipe facts"))
        self._job.finished.connect(self._on_facts)
        self._job.failed.connect(self._on_failed)

    def _on_facts(self, facts: Any) -> None:
        if self.sender() is not self._job:
            return
        self._job = None
        memory = facts.estimated_memory_mb
        seconds = facts.estimated_seconds
        self._set("parameters", f"{facts.trainable_parameters:,}")
        self._set("steps", f"{facts.total_steps:,}")
        self._set("image_size", f"{facts.image_size} × {facts.image_size} px")
        self._set("memory", f"≈ {memory / 1024:.1f} GB" if memory >= 1024 else f"≈ {memory:,} MB")
        self._set("time", "not measured yet" if seconds is None else f"≈ {duration(seconds)}")
        self._show_note("")

    def _on_failed(self, error: ErrorInfo) -> None:
        if self.sender() is not self._job:
            return
        self._job = None
        for key in ("parameters", "image_size", "memory", "time"):
            self._set(key, "–")
        self._show_note(error.sentence)

    def _on_engine(self) -> None:
        self._show_device()
        self._ask()

    def _show_note(self, text: str) -> None:
        error = self._backend.engine_error
        if not text and error is not None:
            text = error.sentence
        elif not text and not self._backend.ready:
            text = "The engine is loading; parameters, memory and time follow."
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def _set(self, key: str, text: str) -> None:
        self._values[key].setText(text)
