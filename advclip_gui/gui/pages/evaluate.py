"""The Evaluate page: robust accuracy of one or several models, with all a figure must carry."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QProgressBar,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from advclip_gui.engine.events import Progress
from advclip_gui.gui import theme
from advclip_gui.gui.evaluation_progress import EvaluationProgress
from advclip_gui.gui.evaluation_text import save_evaluations
from advclip_gui.gui.jobs import EvaluateJob
from advclip_gui.gui.widgets.basics import Banner, Button, Card, EmptyState, HLine, Muted, PrimaryButton
from advclip_gui.gui.widgets.evaluation_form import EvaluationForm
from advclip_gui.gui.widgets.evaluation_results import EvaluationResults
from advclip_gui.gui.widgets.probe_panel import WIDTH, fit_text

if TYPE_CHECKING:
    from advclip_gui.gui.bridge import Backend, ErrorInfo, JobHandle
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.jobs import ModelEvaluation
    from advclip_gui.gui.workspace import Workspace


class EvaluatePage(QWidget):
    """Form, Run and progress at the left; results at the right, kept until the next run."""

    def __init__(
        self, workspace: Workspace, backend: Backend, io: IoPool, parent: QWidget | None = None
    ) -> None:
        """Build the page."""
        super().__init__(parent)
        self.setObjectName("evaluatePage")
        self._workspace = workspace
        self._backend = backend
        self._io = io
        self._handle: JobHandle | None = None
        self._progress: EvaluationProgress | None = None
        self._about = ""
        self._build()
        self._connect()
        self._on_models()
        self._on_scan()

    def _build(self) -> None:
        look = theme.current()
        row = QHBoxLayout(self)
        row.setContentsMargins(look.l, look.m, look.l, look.m)
        row.setSpacing(look.l)
        card = Card()
        card.setFixedWidth(WIDTH)
        card.layout().setContentsMargins(look.m, look.m, look.m, look.m)
        self.form = EvaluationForm()
        self.form.setProperty("role", "page")
        scroll = QScrollArea()
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidgetResizable(True)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setWidget(self.form)
        card.body.addWidget(scroll, 1)
        card.body.addWidget(HLine())
        self._add_run(card.body)
        row.addWidget(card)
        column = QVBoxLayout()
        column.setSpacing(look.s)
        self.banner = Banner()
        self.banner.setObjectName("evaluateBanner")
        column.addWidget(self.banner)
        self.stack = QStackedWidget()
        self.empty_demo = PrimaryButton(
            "Try the demo", "play", name="evaluateDemo", tip="Open the bundled photos."
        )
        self.empty_data = Button("Open image folder", "folder-open-outline", name="evaluateOpenData")
        self.no_data = EmptyState(
            "chart-bell-curve-cumulative",
            "No images to evaluate on",
            "Open a folder of images first. Models are then compared on the same test images.",
            [self.empty_demo, self.empty_data],
        )
        self.no_result = EmptyState(
            "chart-bell-curve-cumulative",
            "How robust is it, exactly?",
            "Check the models at the left and press Run. You get the accuracy on clean images and under "
            "attack, with 95 % intervals, and reasons to doubt it where there are any.",
        )
        self.results = EvaluationResults(self._io)
        for empty in (self.no_data, self.no_result):
            fit_text(empty)
        for page in (self.no_data, self.no_result, self.results):
            self.stack.addWidget(page)
        column.addWidget(self.stack, 1)
        row.addLayout(column, 1)

    def _add_run(self, column: QVBoxLayout) -> None:
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setRange(0, 1000)
        self.bar.setAccessibleName("Progress of the evaluation")
        self.bar.hide()
        self.status = Muted("")
        self.status.setObjectName("evaluateStatus")
        self.status.hide()
        self.run_button = PrimaryButton("Run", "play", name="evaluateRun", tip="Evaluate the models checked.")
        self.cancel_button = Button(
            "Cancel",
            "close",
            name="evaluateCancel",
            tip="Stop; Run with the same settings goes on from here.",
        )
        self.cancel_button.hide()
        for widget in (self.bar, self.status, self.run_button, self.cancel_button):
            column.addWidget(widget)

    def _connect(self) -> None:
        workspace = self._workspace
        workspace.scan_changed.connect(self._on_scan)
        workspace.models_changed.connect(self._on_models)
        workspace.evaluation_requested.connect(self.form.check_only)
        workspace.training_changed.connect(self._on_training)
        self.form.changed.connect(self._update_run)
        self.run_button.clicked.connect(self.run)
        self.cancel_button.clicked.connect(self.cancel)
        self.empty_demo.clicked.connect(self._open_demo)
        self.empty_data.clicked.connect(self._open_data)
        self.results.images.opened.connect(self._on_image)
        self.results.html_button.clicked.connect(self._save_html)
        self.results.json_button.clicked.connect(self._save_json)
        self.results.csv_button.clicked.connect(self._save_csv)

    # State -----------------------------------------------------------------------------------------

    def _on_scan(self) -> None:
        if self._workspace.scan is None:
            self.stack.setCurrentWidget(self.no_data)
        elif self.stack.currentWidget() is self.no_data:
            self.stack.setCurrentWidget(self.results if self.results.evaluations else self.no_result)
        self._update_run()

    def _on_models(self) -> None:
        self.form.set_refs(self._workspace.model_refs())
        self._on_training()

    def _on_training(self) -> None:
        busy = self._workspace.is_training
        self.form.set_note(
            "A run is in training: the evaluation begins when it has ended, or while it is paused."
            if busy
            else ""
        )
        self._update_run()
        self._show_progress()

    def _update_run(self) -> None:
        choice = self.form.choice()
        self.run_button.setEnabled(choice is not None and self._workspace.scan is not None)

    # Running ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Evaluate what the form says."""
        choice, scan = self.form.choice(), self._workspace.scan
        if choice is None or scan is None or self._handle is not None:
            return
        self.banner.clear()
        part = self.form.part.currentText().lower()
        self._about = f"{part} of {scan.root.name} · seed {choice.seed}"
        handle = self._backend.submit(
            EvaluateJob(
                refs=choice.refs,
                data=self._workspace.data,
                epsilons=choice.epsilons,
                scan=scan,
                split=choice.part,
                steps=choice.steps,
                limit=choice.limit,
                seed=choice.seed,
                attack=choice.attack,
                norm=choice.norm,
            )
        )
        self._handle = handle
        self._progress = EvaluationProgress([ref.title for ref in choice.refs])
        handle.started.connect(self._show_progress)
        handle.event.connect(self._on_event)
        handle.drained.connect(self._show_progress)
        handle.finished.connect(self._on_finished)
        handle.failed.connect(self._on_failed)
        handle.cancelled.connect(self._on_cancelled)
        handle.ended.connect(self._on_ended)
        self._show_running(True)

    def cancel(self) -> None:
        """Stop the evaluation; former results stay."""
        if self._handle is not None:
            self.cancel_button.setEnabled(False)
            self._handle.cancel()

    def _on_event(self, event: object) -> None:
        if self._progress is not None and isinstance(event, Progress):
            self._progress.take(event, time.monotonic())

    def _show_progress(self) -> None:
        if self._handle is None or self._progress is None:
            return
        if self._handle.state == "queued":
            if self._workspace.is_training:
                text = "Waiting until the run in training has ended or is paused …"
            elif not self._backend.ready:
                text = "The engine is loading …"
            else:
                text = "Waiting for the device …"
            self.bar.setRange(0, 0)
        else:
            self.bar.setRange(0, 1000)
            self.bar.setValue(round(1000 * self._progress.share))
            text = self._progress.text(time.monotonic())
        self.status.setText(text)
        self.bar.setAccessibleDescription(text)

    def _on_finished(self, results: tuple[ModelEvaluation, ...]) -> None:
        evaluations = [result.evaluation for result in results]
        seconds = sum(evaluation.seconds for evaluation in evaluations)
        first = evaluations[0]
        subtitle = f"{first.n:,} images, {self._about} · {seconds:.0f} s"
        self.results.show_evaluations(
            evaluations, subtitle, [(result.root, result.samples) for result in results]
        )
        self.stack.setCurrentWidget(self.results)

    def _on_failed(self, error: ErrorInfo) -> None:
        self.banner.show_message("error", error.sentence, error.details)

    def _on_cancelled(self) -> None:
        self.banner.show_message(
            "info", "The evaluation was cancelled. Run with the same settings goes on from here."
        )

    def _on_ended(self) -> None:
        self._handle = self._progress = None
        self._show_running(False)

    def _show_running(self, running: bool) -> None:
        self.run_button.setVisible(not running)
        self.cancel_button.setVisible(running)
        self.cancel_button.setEnabled(True)
        self.bar.setVisible(running)
        self.status.setVisible(running)
        self.form.setEnabled(not running)
        if running:
            self._show_progress()
            self.cancel_button.setFocus()

    # Saving ----------------------------------------------------------------------------------------

    def _save_html(self) -> None:
        self._save("html", "Report (*.html)")

    def _save_json(self) -> None:
        self._save("json", "Figures (*.json)")

    def _save_csv(self) -> None:
        self._save("csv", "Table (*.csv)")

    def _save(self, suffix: str, pattern: str) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save the report", f"evaluation.{suffix}", pattern)
        if name:
            path = Path(name)
            self.save_to(
                path if path.suffix.lower() == f".{suffix}" else path.with_name(f"{path.name}.{suffix}")
            )

    def save_to(self, path: Path) -> None:
        """Write the report; the ending says in which form."""
        work = partial(save_evaluations, self.results.evaluations, path)
        handle = self._io.submit(work, "Saving the report")
        handle.finished.connect(self._on_saved)
        handle.failed.connect(self._on_failed)

    def _on_saved(self, path: Path) -> None:
        self._workspace.notify.emit("success", f"Saved {path}.", "")

    def _on_image(self, path: str) -> None:
        # The page must exist before it can be asked for an image.
        self._workspace.navigate.emit("probe")
        self._workspace.image_requested.emit(path)

    def _open_demo(self) -> None:
        self._workspace.open_demo(then="evaluate")

    def _open_data(self) -> None:
        self._workspace.navigate.emit("data")

    def shut_down(self) -> None:
        """Cancel what is under way; called when the window closes."""
        self.cancel()
        self.results.images.stop()
