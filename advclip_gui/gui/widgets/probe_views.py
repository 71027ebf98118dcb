"""The three ways of looking on the Probe page: one model, several models, many images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.probe_controller import DRAG_PAUSE_MS, Comparison, ProbeController
from advclip_gui.gui.widgets.compare_panel import ComparePanel
from advclip_gui.gui.widgets.gallery_panel import GalleryPanel, GalleryQuestion
from advclip_gui.gui.widgets.probe_stage import ProbeStage
from advclip_gui.gui.widgets.segmented import Segmented

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.datasets.records import ImageRecord
    from advclip_gui.engine.model_ref import ModelRef
    from advclip_gui.engine.probe_compare import Compared
    from advclip_gui.engine.probe_types import ProbeRequest
    from advclip_gui.gui.bridge import Backend, ErrorInfo
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.probe_controller import Question
    from advclip_gui.gui.workspace import Workspace

STAGE, COMPARE, GALLERY = "stage", "compare", "gallery"
_ORDER = (STAGE, COMPARE, GALLERY)


class ProbeViews(QWidget):
    """A switch above a stack. Asks the device for comparisons itself; probes are the page's."""

    switched = Signal()
    """Another view is shown, by whomever."""
    models_changed = Signal()
    """Other models are to be compared, or in another way."""
    compared = Signal()
    failed = Signal(object)

    def __init__(self, backend: Backend, io: IoPool, parent: QWidget | None = None) -> None:
        """Start with one model."""
        super().__init__(parent)
        self.stage = ProbeStage()
        self.compare = ComparePanel()
        self.gallery = GalleryPanel(backend, io)
        self.comparer = ProbeController(backend, self)
        self.choice = Segmented(
            [
                (STAGE, "One model", "One image and one model, step by step."),
                (COMPARE, "Compare models", "The same image and attack for two or three models."),
                (GALLERY, "Gallery", "A class or the whole test set, sorted by smallest epsilon."),
            ],
            name="probeView",
            label="View",
        )
        self.stack = QStackedWidget()
        for widget in (self.stage, self.compare, self.gallery):
            self.stack.addWidget(widget)
        row = QHBoxLayout()
        row.addWidget(self.choice)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.current().s)
        column.addLayout(row)
        column.addWidget(self.stack, 1)
        self.choice.chosen.connect(self._on_chosen)
        self.compare.changed.connect(self.models_changed)
        self.comparer.answered.connect(self._on_compared)
        self.comparer.failed.connect(self._on_not_compared)
        self.comparer.busy_changed.connect(self._show_comparing)
        self.gallery.failed.connect(self.failed)

    @property
    def shown(self) -> str:
        """Key of the view on screen."""
        return self.choice.value()

    def show_view(self, view: str) -> None:
        """Change the view."""
        if view != self.shown:
            self.choice.set_value(view)
            self._on_chosen(view)

    def stop(self) -> None:
        """Cancel what is under way; called when the window closes."""
        self.comparer.stop()
        self.gallery.stop()
        self.stage.stop()

    def _on_chosen(self, view: str) -> None:
        self.stack.setCurrentIndex(_ORDER.index(view))
        self.switched.emit()

    # Several models --------------------------------------------------------------------------------

    def ask_comparison(self, question: Question | None, *, dragging: bool) -> None:
        """Compare under a question's attack; None ends what is under way.

        Args:
            question: of the first model.
            dragging: the values may go on changing.
        """
        refs = self.compare.refs()
        wanted = None
        if question is not None and len(refs) > 1:
            wanted = Comparison(
                (question.ref, *(ref for ref in refs if ref != question.ref)),
                self.compare.mode.value(),
                question.class_names,
                question.templates,
                question.image,
                question.request,
            )
        shown = self.compare.shown
        if wanted is None or (shown is not None and _subject(shown) != _subject(wanted)):
            self.compare.clear()
        live = wanted is not None and any(ref.kind == "live" for ref in wanted.refs)
        fresh = wanted is not None and wanted == self.compare.shown and not live
        self.comparer.ask(None if fresh else wanted, pause_ms=DRAG_PAUSE_MS if dragging else 0)
        self._show_comparing()

    def _on_compared(self, question: Comparison, answers: tuple[Compared, ...]) -> None:
        self.compare.show_answers(question, answers)
        self._show_comparing()
        self.compared.emit()

    def _on_not_compared(self, _question: Comparison, error: ErrorInfo) -> None:
        self.compare.clear()
        self.failed.emit(error)

    def _show_comparing(self) -> None:
        busy = self.comparer.busy
        self.compare.set_updating(busy, dim=busy and self.comparer.wanted != self.compare.shown)

    # Many images -----------------------------------------------------------------------------------

    def offer_gallery(
        self,
        workspace: Workspace,
        ref: ModelRef | None,
        request: ProbeRequest | None,
        records: Sequence[ImageRecord],
    ) -> None:
        """Say what the gallery would search: these images of the data, with this model and attack."""
        scan = workspace.scan
        if ref is None or request is None or scan is None:
            self.gallery.set_question(None)
            return
        labels = {folder: label for label, folder in enumerate(scan.class_folders)}
        self.gallery.set_question(
            GalleryQuestion(
                ref,
                workspace.class_names(),
                workspace.templates(),
                scan.root,
                tuple(record.path for record in records),
                tuple(labels[record.class_name] for record in records),
                request,
            )
        )


def _subject(question: Comparison) -> tuple[object, ...]:
    return question.image, question.refs, question.mode
