"""What the Probe page asks of the device, and how it shows the answer or the waiting for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QElapsedTimer, QObject, Signal

from advclip_gui.gui.probe_controller import DRAG_PAUSE_MS, PickedImage, ProbeController, Question
from advclip_gui.gui.widgets.probe_views import COMPARE, STAGE

if TYPE_CHECKING:
    from advclip_gui.engine.events import ProbeStep
    from advclip_gui.engine.probe_types import ProbeResult
    from advclip_gui.gui.bridge import Backend, ErrorInfo
    from advclip_gui.gui.saved_probe import SavedProbeReader
    from advclip_gui.gui.widgets.probe_panel import ProbePanel
    from advclip_gui.gui.widgets.probe_views import ProbeViews
    from advclip_gui.gui.workspace import Workspace

PARTIAL_STEPS_FROM = 24
"""Images with at least this many thousand pixels are slow enough to show the attack's steps as they come."""
PARTIAL_STEPS_AFTER_MS = 600
"""So is any attack that is not done after this time, e.g. thousands of queries of a small model."""


class ProbeAsking(QObject):
    """Keeps what is on screen and the values beside it together."""

    answered = Signal(object, object)
    """A Question and its ProbeResult, both on screen by now."""
    failed = Signal(object)
    """An ErrorInfo."""
    changed = Signal()
    """Something else is on screen: what can be saved or copied may have changed."""

    def __init__(
        self,
        workspace: Workspace,
        backend: Backend,
        panel: ProbePanel,
        views: ProbeViews,
        saved: SavedProbeReader,
        parent: QObject | None = None,
    ) -> None:
        """Ask nothing yet.

        Args:
            workspace: names the classes.
            backend: the device.
            panel: the values asked for.
            views: where answers are shown.
            saved: knows which image comes out of a probe on disk.
            parent: the owner.
        """
        super().__init__(parent)
        self._workspace, self._backend = workspace, backend
        self._panel, self._views, self._saved = panel, views, saved
        self._stage = views.stage
        self._clock = QElapsedTimer()
        self.image: PickedImage | None = None
        self.controller = ProbeController(backend, self)
        self.controller.answered.connect(self._on_answer)
        self.controller.stepped.connect(self._on_step)
        self.controller.failed.connect(self._on_failed)
        self.controller.busy_changed.connect(self.show_waiting)
        backend.engine_ready.connect(self.show_waiting)

    def question(self) -> Question | None:
        """What the controls ask for, None while something is missing or wrong."""
        ref, request = self._panel.models.ref(), self._panel.form.request()
        names, templates, label = self._workspace.class_names(), self._workspace.templates(), None
        saved = self._saved.of(self.image)
        if saved is not None:
            names, label = saved.class_names, saved.label
            templates = tuple(saved.model.get("templates") or templates)
        if self.image is None or ref is None or request is None or not names:
            return None
        return Question(ref, names, templates, self.image, request, label, saved)

    def ask(self, dragging: bool = False) -> None:
        """Ask what the controls say, in the view that is shown.

        Args:
            dragging: the values may go on changing, so wait a moment first.
        """
        question = self.question()
        comparing = self._views.shown == COMPARE
        self._views.ask_comparison(question if comparing else None, dragging=dragging)
        self._panel.smallest.set_question(question)
        if self._views.shown == STAGE:
            self._ask_stage(question, dragging)
        else:
            self.controller.ask(None)
        self.changed.emit()

    def _ask_stage(self, question: Question | None, dragging: bool) -> None:
        if question is None and self.image is not None and self._stage.result is None:
            self._stage.show_image(self.image, "Not attacked")
        live = question is not None and question.ref.kind == "live"
        if question is not None and question == self._stage.question and not live:
            self.controller.ask(None)  # back to what is on screen
        else:
            self._clock.start()
            self.controller.ask(question, pause_ms=DRAG_PAUSE_MS if dragging else 0)
        self.show_waiting()

    def _on_answer(self, question: Question, result: ProbeResult) -> None:
        question.image.prepared.setdefault(question.ref.backbone, result.original)
        self._stage.show_result(question, result)
        self.answered.emit(question, result)
        self.show_waiting()
        self.changed.emit()

    def _on_step(self, question: Question, step: ProbeStep) -> None:
        height, width = step.adversarial.shape[:2]
        slow = height * width >= PARTIAL_STEPS_FROM * 1000 or self._clock.elapsed() > PARTIAL_STEPS_AFTER_MS
        if slow and question != self._stage.question:
            self._stage.show_partial(question, step)
            self.changed.emit()

    def _on_failed(self, question: Question, error: ErrorInfo) -> None:
        if self._stage.question is None or self._stage.question.image is not question.image:
            self._stage.show_image(question.image, "Not attacked")
        self.failed.emit(error)
        self.show_waiting()
        self.changed.emit()

    def show_waiting(self) -> None:
        """Say what is going on, and whether what is on screen belongs to the controls."""
        stage = self._stage
        if not self.controller.busy:
            wrong = self.image is not None and stage.result is not None and self.question() is None
            stage.set_updating("Not updated: a value is wrong" if wrong else "", dim=wrong)
            return
        wanted = self.controller.wanted
        if not self._backend.ready and self._backend.engine_error is None:
            text = "The engine is loading …"
            stage.say_waiting("Waiting for the engine …")
        elif wanted == stage.question:
            text = "Following training …"
        else:
            text = "Updating …" if stage.result is not None else "Attacking …"
            if stage.adversarial.image is None:
                stage.say_waiting("Attacking …")
        stage.set_updating(text, dim=wanted != stage.question)
