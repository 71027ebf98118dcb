"""Asks the device for probes: what is shown answers the latest question, and nothing queues."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from PySide6.QtCore import QObject, QTimer, Signal

from advclip_gui.gui.jobs import ImageJob, ProbeJob
from advclip_gui.gui.probe_jobs import CompareJob, RepeatProbeJob

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from advclip_gui.engine.model_ref import ModelRef
    from advclip_gui.engine.probe_files import SavedProbe
    from advclip_gui.engine.probe_types import ProbeRequest
    from advclip_gui.gui.bridge import Backend, ErrorInfo, JobHandle
    from advclip_gui.settings import BackboneSettings

JobKind = TypeVar("JobKind", bound=ImageJob)

DRAG_PAUSE_MS = 80
"""How long the values must rest before the attack runs again."""
FOLLOW_MS = 1500
"""How often a model in training is asked again, counted from the last answer."""


@dataclass(frozen=True, eq=False)
class PickedImage:
    """An image to attack. Two are the same only if they are the same object.

    Attributes:
        title: what the user reads, e.g. "cat/0012.png".
        pixels: (H, W, 3) RGB uint8, upright, as large as the file.
        label: the true class, None if unknown.
        preview: what to show before a model has seen it.
        prepared: what each backbone sees of it, kept so that a drag does not resize it again.
    """

    title: str
    pixels: NDArray[np.uint8] = field(repr=False)
    label: int | None = None
    preview: NDArray[np.uint8] | None = field(default=None, repr=False)
    prepared: dict[BackboneSettings, NDArray[np.uint8]] = field(default_factory=dict, repr=False)

    def for_backbone(self, backbone: BackboneSettings) -> NDArray[np.uint8]:
        """What the model sees, if that is known already, else the whole image."""
        return self.prepared.get(backbone, self.pixels)


@dataclass(frozen=True)
class Question:
    """Everything an answer depends on."""

    ref: ModelRef
    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    image: PickedImage
    request: ProbeRequest
    label: int | None = None
    """The class to leave; None is what the model says of the untouched image."""
    saved: SavedProbe | None = field(default=None, compare=False, repr=False)
    """The probe on disk the image comes from."""

    def job(self, kind: type[JobKind]) -> JobKind:
        """The work for the device; a probe on disk is repeated as it was."""
        if kind is ProbeJob and self.saved is not None and self.request == self.saved.request:
            return cast("JobKind", self._work(partial(RepeatProbeJob, saved=self.saved)))
        return self._work(kind)

    def _work(self, kind: Callable[..., JobKind]) -> JobKind:
        return kind(
            ref=self.ref,
            class_names=self.class_names,
            templates=self.templates,
            image=self.image.for_backbone(self.ref.backbone),
            request=self.request,
            label=self.label,
        )


@dataclass(frozen=True)
class Comparison:
    """Several models and one image.

    Attributes:
        refs: two or three models.
        mode: "each" attacks every one, "transfer" shows all of them the first one's adversarial image.
    """

    refs: tuple[ModelRef, ...]
    mode: str
    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    image: PickedImage
    request: ProbeRequest

    def job(self, _kind: type[JobKind]) -> CompareJob:
        """The work for the device, one job for all models."""
        return CompareJob(
            refs=self.refs,
            mode=self.mode,
            class_names=self.class_names,
            templates=self.templates,
            image=self.image.for_backbone(self.refs[0].backbone),
            request=self.request,
        )


class ProbeController(QObject):
    """At most one probe is under way; a new question cancels it, and a late answer is dropped."""

    answered = Signal(object, object)
    """The question and its answer: a ProbeResult, or what the models of a Comparison say."""
    stepped = Signal(object, object)
    """Question and ProbeStep, while the attack runs."""
    failed = Signal(object, object)
    """Question and ErrorInfo."""
    busy_changed = Signal(bool)

    def __init__(self, backend: Backend, parent: QObject | None = None) -> None:
        """Ask nothing yet."""
        super().__init__(parent)
        self._backend = backend
        self._wanted: Question | Comparison | None = None
        self._handle: JobHandle | None = None
        self._busy = False
        self._follow = False
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.timeout.connect(self._launch)
        self._again = QTimer(self)
        self._again.setSingleShot(True)
        self._again.setInterval(FOLLOW_MS)
        self._again.timeout.connect(self._ask_again)

    @property
    def wanted(self) -> Question | Comparison | None:
        """The latest question."""
        return self._wanted

    @property
    def busy(self) -> bool:
        """Whether an answer to the latest question is still to come."""
        return self._busy

    def ask(self, question: Question | Comparison | None, *, pause_ms: int = 0) -> None:
        """Replace the question; the attack on the former one is cancelled at once.

        Args:
            question: None ends asking.
            pause_ms: wait this long for yet another question first.
        """
        if question is not None and question == self._wanted and self._busy:
            return
        self._wanted = question
        self._drop()
        if question is None:
            self._pause.stop()
            self._set_busy(False)
        else:
            self._pause.start(pause_ms)
            self._set_busy(True)

    def set_follow(self, follow: bool) -> None:
        """Ask the latest question again and again, for a model that changes."""
        self._follow = follow
        if not follow:
            self._again.stop()
        elif not self._busy:
            self._again.start()

    def stop(self) -> None:
        """Cancel what is under way; the question is forgotten."""
        self._follow = False
        self._again.stop()
        self.ask(None)

    def _ask_again(self) -> None:
        if self._follow and not self._busy and self._wanted is not None:
            self._launch()

    def _launch(self) -> None:
        if self._wanted is None:
            return
        self._drop()
        self._set_busy(True)
        handle = self._backend.submit(self._wanted.job(ProbeJob))
        self._handle = handle
        handle.event.connect(self._on_event)
        handle.finished.connect(self._on_finished)
        handle.failed.connect(self._on_failed)
        handle.cancelled.connect(self._on_cancelled)

    def _drop(self) -> None:
        self._again.stop()
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.cancel()

    def _on_event(self, event: object) -> None:
        from advclip_gui.engine.events import ProbeStep

        if self.sender() is self._handle and self._wanted is not None and isinstance(event, ProbeStep):
            self.stepped.emit(self._wanted, event)

    def _on_finished(self, result: object) -> None:
        question = self._settled()
        if question is not None:
            self.answered.emit(question, result)

    def _on_failed(self, error: ErrorInfo) -> None:
        question = self._settled()
        if question is not None:
            self.failed.emit(question, error)

    def _on_cancelled(self) -> None:
        # By somebody else, e.g. when the window closes: nothing more will come.
        self._settled()

    def _settled(self) -> Question | Comparison | None:
        """The question whose job has just ended; None for a job that was overtaken."""
        if self._handle is None or self.sender() is not self._handle:
            return None
        self._handle = None
        question = self._wanted
        self._set_busy(False)
        if self._follow:
            self._again.start()
        return question

    def _set_busy(self, busy: bool) -> None:
        if busy != self._busy:
            self._busy = busy
            self.busy_changed.emit(busy)
