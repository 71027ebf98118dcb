"""The Train page: start, pause, stop, resume; the curves as they grow; what came of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QSplitter, QStackedWidget, QVBoxLayout, QWidget

from advclip_gui.engine.model_ref import ModelRef
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Banner, PageHeader
from advclip_gui.gui.widgets.log_view import LogView
from advclip_gui.gui.widgets.result_card import ResultCard
from advclip_gui.gui.widgets.run_controls import RunControls
from advclip_gui.gui.widgets.run_status import RunStatus, state_word
from advclip_gui.gui.widgets.train_empty import TrainEmpty, run_subtitle
from advclip_gui.gui.widgets.training_plots import TrainingPlots

if TYPE_CHECKING:
    from pathlib import Path

    from PySide6.QtGui import QHideEvent, QShowEvent

    from advclip_gui.engine.run_list import RunSummary
    from advclip_gui.gui.bridge import Backend, ErrorInfo
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.training_record import TrainingRecord
    from advclip_gui.gui.workspace import Workspace

_REDRAW_MS = 100
"""Least time between two drawings: curves that grow faster than this are not seen to."""


class TrainPage(QWidget):
    """Shows the workspace's training record; the record itself lives on when the page does not."""

    def __init__(
        self, workspace: Workspace, backend: Backend, io: IoPool, parent: QWidget | None = None
    ) -> None:
        """Build the page and show what is there."""
        super().__init__(parent)
        self.setObjectName("trainPage")
        self.setProperty("role", "page")
        self._workspace, self._backend, self._io = workspace, backend, io
        self._record: TrainingRecord | None = None
        self._offered: Path | None = None
        self._stale = False
        self._redraw = QTimer(self)
        self._redraw.setObjectName("trainRedraw")
        self._redraw.setSingleShot(True)
        self._redraw.setInterval(_REDRAW_MS)
        self._redraw.timeout.connect(self._draw_if_stale)
        look = theme.current()
        column = QVBoxLayout(self)
        column.setContentsMargins(look.xl, look.l, look.xl, look.l)
        column.setSpacing(look.m)
        self.header = PageHeader("Train", "Clean and robust accuracy while the adapter learns.")
        self.controls = RunControls()
        self.header.actions.addWidget(self.controls)
        column.addWidget(self.header)
        self.banner = Banner()
        self.banner.setObjectName("trainBanner")
        self.banner.clear()
        column.addWidget(self.banner)
        self.empty = TrainEmpty()
        self.stack = QStackedWidget()
        self.stack.addWidget(self.empty)
        self.stack.addWidget(self._make_content())
        column.addWidget(self.stack, 1)
        self._connect()
        if workspace.record is not None:
            self._follow(workspace.record)
        self._update_controls()
        self._offer_interrupted()

    # --- building -----------------------------------------------------------------------------

    def _make_content(self) -> QWidget:
        look = theme.current()
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.m)
        self.status = RunStatus(self._backend)
        self.plots = TrainingPlots()
        self.result = ResultCard()
        self.result.hide()
        self.log = LogView()
        self.lower = QSplitter(Qt.Orientation.Horizontal)
        self.lower.setObjectName("lower")
        self.lower.addWidget(self.result)
        self.lower.addWidget(self.log)
        self.upper = QSplitter(Qt.Orientation.Vertical)
        self.upper.setObjectName("upper")
        self.upper.addWidget(self.plots)
        self.upper.addWidget(self.lower)
        self.upper.setStretchFactor(0, 1)
        self.upper.setStretchFactor(1, 0)
        for splitter in (self.lower, self.upper):
            splitter.setChildrenCollapsible(False)
        self.upper.setSizes([12 * look.xxl, 5 * look.xxl])
        column.addWidget(self.status)
        column.addWidget(self.upper, 1)
        return content

    def _connect(self) -> None:
        workspace, controls, empty = self._workspace, self.controls, self.empty
        workspace.training_started.connect(self._begin)
        for signal in (
            workspace.training_changed,
            workspace.scan_changed,
            workspace.scanning_changed,
            workspace.settings_changed,
            self._backend.engine_ready,
            self._backend.engine_failed,
        ):
            signal.connect(self._update_controls)
        workspace.runs_changed.connect(self._offer_interrupted)
        controls.start_button.clicked.connect(self._start)
        controls.pause_button.clicked.connect(self._pause)
        controls.stop_button.clicked.connect(self._stop)
        controls.resume_button.clicked.connect(self._resume)
        controls.probe_button.clicked.connect(self._probe)
        empty.start_button.clicked.connect(self._start)
        empty.demo_button.clicked.connect(self._open_demo)
        empty.recipe_button.clicked.connect(partial(workspace.navigate.emit, "recipe"))
        empty.data_button.clicked.connect(partial(workspace.navigate.emit, "data"))
        self.result.probe_clicked.connect(self._probe)
        self.result.evaluate_clicked.connect(partial(workspace.navigate.emit, "evaluate"))
        self.result.export_clicked.connect(self._export)
        self.plots.saved.connect(self._on_saved)
        self.plots.failed.connect(self._on_not_saved)

    # --- following a run ----------------------------------------------------------------------

    def _begin(self) -> None:
        if self._workspace.record is not None:
            self._follow(self._workspace.record)

    def _follow(self, record: TrainingRecord) -> None:
        before = self._record
        if before is not None:
            before.changed.disconnect(self._changed)
            before.handle.state_changed.disconnect(self._moved)
            before.handle.ended.disconnect(self._ended)
        self._record = record
        record.changed.connect(self._changed)
        record.handle.state_changed.connect(self._moved)
        record.handle.ended.connect(self._ended)
        self.banner.clear()
        self.result.hide()
        self.stack.setCurrentIndex(1)
        self._draw()
        if not record.handle.active:
            self._ended()

    def _changed(self) -> None:
        self._stale = True
        if self.isVisible() and not self._redraw.isActive():
            self._draw()
            self._redraw.start()

    def _moved(self, _state: str) -> None:
        """Answer a click at once, however fast the curves grow."""
        self._stale = True
        self._draw_if_stale()

    def _draw_if_stale(self) -> None:
        if self._stale and self.isVisible():
            self._draw()
            self._redraw.start()

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what came while another page was shown."""
        super().showEvent(event)
        if self._stale:
            self._draw()
        self._update_controls()

    def hideEvent(self, event: QHideEvent) -> None:
        """Draw no more until the page is shown again."""
        self._redraw.stop()
        super().hideEvent(event)

    def _draw(self) -> None:
        record = self._record
        self._stale = False
        if record is None:
            return
        self.status.show_record(record)
        self.plots.show_history(
            record.history,
            settings=record.settings,
            total_steps=record.total_steps,
            kept_step=record.kept_step,
        )
        self.log.show_lines(record.log)
        self._update_controls()

    def _ended(self) -> None:
        record = self._record
        if record is None:
            return
        self._draw()
        if record.result is not None:
            self.result.show_result(record.result, record.settings)
            self.result.show()
            self.lower.setSizes([self.lower.width() * 11 // 20, self.lower.width() * 9 // 20])
        if record.error is not None:
            self._show_failure(record.error)
        elif record.handle.state == "cancelled":
            self._show_cancelled()

    def _show_failure(self, error: ErrorInfo) -> None:
        actions = [("Change the recipe", partial(self._workspace.navigate.emit, "recipe"))]
        if self._can_resume():
            actions.insert(0, ("Resume from checkpoint", self._resume))
        self.banner.show_message("error", error.sentence, error.details, actions)

    def _show_cancelled(self) -> None:
        if self._can_resume():
            text = "The run was cancelled. What it had learnt is in its checkpoint."
            self.banner.show_message("warning", text, "", [("Resume from checkpoint", self._resume)])
        else:
            self.banner.show_message("info", "The run was cancelled before its first checkpoint.")

    def _offer_interrupted(self) -> None:
        """A run that the program did not live to end can go on: say so, once."""
        if self._record is not None or self._offered is not None:
            return
        runs = self._workspace.last_runs
        run = next((one for one in runs if one.state == "interrupted" and one.has_checkpoint), None)
        if run is None or run is not runs[0]:
            return
        self._offered = run.path
        text = f"The run '{run.name}' was interrupted. It can go on from its last checkpoint."
        self.banner.show_message("warning", text, "", [("Resume from checkpoint", partial(self._go_on, run))])

    def _go_on(self, run: RunSummary) -> None:
        self.banner.clear()
        self._workspace.resume_training(run.path)

    # --- buttons ------------------------------------------------------------------------------

    def missing(self) -> str:
        """Why training cannot start, "" where it can."""
        workspace = self._workspace
        if self._backend.engine_error is not None:
            return self._backend.engine_error.sentence
        if workspace.scanning is not None:
            return "The images are being scanned."
        if workspace.scan is None:
            return "Open an image folder, or the demo, first."
        if workspace.is_training:
            return "A run is in training."
        return ""

    def _can_resume(self) -> bool:
        record = self._record
        if record is None or record.handle.active or state_word(record) == "finished":
            return False
        from advclip_gui.engine.runs import RunFolder

        return RunFolder(record.run_dir).has_checkpoint

    def _update_controls(self) -> None:
        record, missing = self._record, self.missing()
        self.controls.show_state(
            state=record.handle.state if record is not None else "",
            missing=missing,
            can_resume=self._can_resume(),
            learning=record is not None and record.started is not None,
        )
        self.empty.show_state(self._workspace, missing)
        settings = record.settings if record is not None else self._workspace.settings
        if record is not None or self._workspace.scan is not None:
            self.header.set_subtitle(run_subtitle(settings))

    def _start(self) -> None:
        if self.missing():
            self._update_controls()
            return
        self.banner.clear()
        self._workspace.start_training()

    def _pause(self) -> None:
        if self._record is not None:
            handle = self._record.handle
            handle.resume() if handle.state == "paused" else handle.pause()

    def _stop(self) -> None:
        if self._record is not None:
            self._record.handle.stop()

    def _resume(self) -> None:
        if self._record is not None:
            self.banner.clear()
            self._workspace.resume_training(self._record.run_dir)

    def _open_demo(self) -> None:
        self._workspace.open_demo(then="train")

    # --- from here on -------------------------------------------------------------------------

    def _probe(self) -> None:
        """Go to the Probe page with the model of this run: the live one while it learns."""
        record = self._record
        if record is None:
            return
        settings = record.settings
        if record.handle.active:
            wanted = ModelRef("live", settings.backbone, title="In training (live)")
        else:
            title = settings.name or record.run_dir.name
            wanted = ModelRef("adapter", settings.backbone, adapter=str(record.run_dir), title=title)
        same = (ref for ref in self._workspace.model_refs() if _same(ref, wanted))
        # The page must exist before it can be asked for a model.
        self._workspace.navigate.emit("probe")
        self._workspace.probe_requested.emit(next(same, wanted))

    def _export(self) -> None:
        if self._record is not None:
            self._workspace.export_requested.emit(self._record.run_dir)

    def _on_saved(self, path: Path) -> None:
        self._workspace.notify.emit("success", f"The plot was saved to {path}.", "")

    def _on_not_saved(self, message: str) -> None:
        self.banner.show_message("error", message)


def _same(one: ModelRef, other: ModelRef) -> bool:
    return (one.kind, one.adapter) == (other.kind, other.adapter)
