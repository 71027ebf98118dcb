"""The Probe page: attack one image, watch the prediction flip."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QHideEvent, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.probe_controller import DRAG_PAUSE_MS, PickedImage, ProbeController, Question
from advclip_gui.gui.probe_images import ImageReader
from advclip_gui.gui.probe_saving import ProbeSaver
from advclip_gui.gui.saved_probe import SavedProbeReader
from advclip_gui.gui.widgets.basics import Banner, Button, EmptyState, PrimaryButton
from advclip_gui.gui.widgets.image_strip import ImageStrip, image_in
from advclip_gui.gui.widgets.probe_panel import ProbePanel, fit_text
from advclip_gui.gui.widgets.probe_views import COMPARE, STAGE, ProbeViews

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.engine.events import ProbeStep
    from advclip_gui.engine.model_ref import ModelRef
    from advclip_gui.engine.probe_types import ProbeResult
    from advclip_gui.gui.bridge import Backend, ErrorInfo
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.workspace import Workspace

PARTIAL_STEPS_FROM = 24
"""Images with at least this many thousand pixels are slow enough to show the attack's steps as they come."""


class ProbePage(QWidget):
    """Controls at the left, the probe at the right, the data's images beneath."""

    def __init__(
        self, workspace: Workspace, backend: Backend, io: IoPool, parent: QWidget | None = None
    ) -> None:
        """Build the page; nothing is computed before an image is picked."""
        super().__init__(parent)
        self.setObjectName("probePage")
        self.setAcceptDrops(True)
        self._workspace = workspace
        self._backend = backend
        self._io = io
        self._image: PickedImage | None = None
        self.controller = ProbeController(backend, self)
        self.saver = ProbeSaver(io, self)
        self.saved = SavedProbeReader(io, self)
        self.reader = ImageReader(workspace, io, self)
        self._build()
        self._connect()
        self._on_scan()
        self._on_models()

    # Building --------------------------------------------------------------------------------------

    def _build(self) -> None:
        look = theme.current()
        self.panel = ProbePanel(self._backend)
        self.views = ProbeViews(self._backend, self._io)
        self.stage = self.views.stage
        self.strip = ImageStrip(self._io)
        self.banner = Banner()
        self.banner.setObjectName("probeBanner")
        self.pages = QStackedWidget()
        work = QWidget()
        row = QHBoxLayout(work)
        row.setContentsMargins(look.l, look.m, look.l, look.m)
        row.setSpacing(look.l)
        row.addWidget(self.panel)
        column = QVBoxLayout()
        column.setSpacing(look.s)
        column.addWidget(self.banner)
        column.addWidget(self.views, 1)
        column.addWidget(self.strip)
        row.addLayout(column, 1)
        self._demo_button = PrimaryButton(
            "Try the demo", "play", name="probeDemo", tip="Open the bundled photos."
        )
        self._data_button = Button("Open image folder", "folder-open-outline", name="probeOpenData")
        self._data_button.setToolTip("Go to the Data page and choose a folder with one sub-folder per class.")
        self.empty = EmptyState(
            "target",
            "Nothing to attack yet",
            "Open a folder of images first: its class names are what the model chooses between. "
            "After that any image will do, also one from disk or from the clipboard.",
            [self._demo_button, self._data_button],
        )
        fit_text(self.empty)
        self.pages.addWidget(self.empty)
        self.pages.addWidget(work)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.pages)

    def _connect(self) -> None:
        workspace, panel, strip = self._workspace, self.panel, self.strip
        workspace.scan_changed.connect(self._on_scan)
        workspace.settings_changed.connect(self._on_settings)
        workspace.models_changed.connect(self._on_models)
        workspace.training_changed.connect(self._on_follow)
        workspace.probe_requested.connect(self._on_requested)
        self._backend.engine_ready.connect(self._show_waiting)
        self._demo_button.clicked.connect(self._open_demo)
        self._data_button.clicked.connect(self._open_data)
        strip.picked.connect(self.reader.take_record)
        strip.file_chosen.connect(self._on_file)
        strip.refilled.connect(self._offer_gallery)
        strip.image_pasted.connect(self.reader.take_image)
        self.reader.read.connect(self._set_image)
        self.reader.failed.connect(self._show_error)
        self.saved.opened.connect(self._on_saved_probe)
        self.saved.failed.connect(self._show_error)
        self.views.switched.connect(self._on_view)
        self.views.models_changed.connect(self._ask)
        self.views.compared.connect(self.banner.clear)
        self.views.failed.connect(self._show_error)
        self.views.gallery.opened.connect(self.show_image)
        workspace.image_requested.connect(self.show_image)
        self.saver.saved.connect(self._on_saved)
        self.saver.failed.connect(self._show_error)
        self.saver.busy_changed.connect(self._update_actions)
        strip.nothing_to_paste.connect(self._on_nothing)
        panel.models.chosen.connect(self._on_model)
        panel.follow.toggled.connect(self._on_follow)
        panel.form.changed.connect(self._ask)
        panel.smallest.narrowed.connect(panel.form.set_interval)
        panel.smallest.found.connect(panel.form.set_epsilon)
        panel.smallest.failed.connect(self._show_error)
        panel.save_button.clicked.connect(self.save)
        panel.copy_button.clicked.connect(self.stage.adversarial.copy)
        self.stage.replay.moved.connect(self._on_follow)
        for view in self.stage.views:
            view.copied.connect(self._on_copied)
        self.controller.answered.connect(self._on_answer)
        self.controller.stepped.connect(self._on_step)
        self.controller.failed.connect(self._on_failed)
        self.controller.busy_changed.connect(self._show_waiting)
        for keys, action in (
            (QKeySequence.StandardKey.Paste, strip.paste),
            (QKeySequence.StandardKey.Save, self.save),
        ):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(action)

    # Data and models -------------------------------------------------------------------------------

    def _on_scan(self) -> None:
        scan = self._workspace.scan
        self.controller.ask(None)
        self.views.ask_comparison(None, dragging=False)
        self.views.gallery.clear()
        self._set_image(None)
        self.pages.setCurrentIndex(0 if scan is None else 1)
        self.strip.set_scan(scan, self._names())
        self.panel.form.set_classes(self._workspace.class_names())
        self.stage.clear(
            "Pick an image to attack it", "From the strip below, from disk, the clipboard, or drop one here."
        )
        self._update_actions()

    def _on_settings(self) -> None:
        self.panel.form.set_classes(self._workspace.class_names())
        self._ask()

    def _on_models(self) -> None:
        workspace = self._workspace
        trained = str(workspace.run_dir) if workspace.run_dir is not None else ""
        self.panel.models.set_refs(workspace.model_refs(), trained=trained)
        self.views.compare.set_refs(self.panel.models.refs, self.panel.models.ref())
        self._on_follow()

    def _on_model(self) -> None:
        self.views.compare.set_refs(self.panel.models.refs, self.panel.models.ref())
        self._on_follow()
        self._ask()

    def _on_requested(self, ref: ModelRef) -> None:
        self.panel.models.choose(ref)

    def _on_follow(self) -> None:
        ref = self.panel.models.ref()
        live = ref is not None and ref.kind == "live"
        self.panel.follow.setVisible(live)
        looking = self.stage.isVisible() and self.stage.replay.at_end and not self.panel.smallest.searching
        self.controller.set_follow(
            live and looking and self.panel.follow.isChecked() and self._image is not None
        )

    def _names(self) -> dict[str, str]:
        scan = self._workspace.scan
        if scan is None:
            return {}
        return dict(zip(scan.class_folders, self._workspace.class_names(), strict=True))

    # Images ----------------------------------------------------------------------------------------

    def _on_nothing(self) -> None:
        self.banner.show_message("info", "There is no image on the clipboard. Copy one, then paste it here.")

    def show_image(self, path: str) -> None:
        """Attack an image of the data, by its path below the data folder."""
        scan = self._workspace.scan
        record = next((r for r in scan.records if r.path == path), None) if scan is not None else None
        if record is not None:
            self.views.show_view(STAGE)
            self.reader.take_record(record)

    def _on_file(self, path: Path) -> None:
        if path.suffix.lower() == ".json":
            self.saved.open(path)
        else:
            self.reader.take_file(path)

    def _on_saved_probe(self, image: PickedImage) -> None:
        saved = self.saved.of(image)
        if saved is None:
            return
        self.reader.cancel()
        self.views.show_view(STAGE)
        self.pages.setCurrentIndex(1)
        ref, problem = self.saved.model()
        if ref is not None:
            self.panel.models.choose_like(ref)
        self.panel.form.set_classes(saved.class_names)
        self.panel.form.set_request(saved.request)
        self._set_image(image)
        if problem:
            self.banner.show_message("warning", problem)

    def _set_image(self, image: PickedImage | None) -> None:
        from_disk = self.saved.of(self._image) is not None
        self._image = image
        if from_disk and self.saved.of(image) is None:
            self.panel.form.set_classes(self._workspace.class_names())
        self.banner.clear()
        if image is not None:
            self.stage.show_image(image, "Attacking …")
        self.views.compare.clear()
        self._on_follow()
        self._ask()

    # Asking ----------------------------------------------------------------------------------------

    def _question(self) -> Question | None:
        ref, request = self.panel.models.ref(), self.panel.form.request()
        names, templates, label = self._workspace.class_names(), self._workspace.templates(), None
        saved = self.saved.of(self._image)
        if saved is not None:
            names, label = saved.class_names, saved.label
            templates = tuple(saved.model.get("templates") or templates)
        if self._image is None or ref is None or request is None or not names:
            return None
        return Question(ref, names, templates, self._image, request, label)

    def _ask(self, dragging: bool = False) -> None:
        question = self._question()
        self._offer_gallery()
        comparing = self.views.shown == COMPARE
        self.views.ask_comparison(question if comparing else None, dragging=dragging)
        self.panel.smallest.set_question(question)
        if self.views.shown != STAGE:
            self.controller.ask(None)
            self._update_actions()
            return
        if question is None and self._image is not None and self.stage.result is None:
            self.stage.show_image(self._image, "Not attacked")
        live = question is not None and question.ref.kind == "live"
        if question is not None and question == self.stage.question and not live:
            self.controller.ask(None)  # back to what is on screen
        else:
            self.controller.ask(question, pause_ms=DRAG_PAUSE_MS if dragging else 0)
        self._show_waiting()
        self._update_actions()

    def _on_answer(self, question: Question, result: ProbeResult) -> None:
        question.image.prepared.setdefault(question.ref.backbone, result.original)
        self.banner.clear()
        self.stage.show_result(question, result)
        repeated = self.saved.verdict(question, result)
        if repeated is not None:
            self.banner.show_message(*repeated)
        self._show_waiting()
        self._update_actions()

    def _on_step(self, question: Question, step: ProbeStep) -> None:
        slow = step.adversarial.shape[0] * step.adversarial.shape[1] >= PARTIAL_STEPS_FROM * 1000
        if slow and question != self.stage.question:
            self.stage.show_partial(question, step)
            self._update_actions()

    def _on_failed(self, question: Question, error: ErrorInfo) -> None:
        if self.stage.question is None or self.stage.question.image is not question.image:
            self.stage.show_image(question.image, "Not attacked")
        self._show_error(error)
        self._show_waiting()
        self._update_actions()

    def _show_error(self, error: ErrorInfo) -> None:
        self.banner.show_message("error", error.sentence, error.details)

    def _show_waiting(self) -> None:
        """Say what is going on, and whether what is on screen belongs to the controls."""
        if not self.controller.busy:
            wrong = self._image is not None and self.stage.result is not None and self._question() is None
            self.stage.set_updating("Not updated: a value is wrong" if wrong else "", dim=wrong)
            return
        wanted = self.controller.wanted
        if not self._backend.ready and self._backend.engine_error is None:
            text = "The engine is loading …"
            self.stage.say_waiting("Waiting for the engine …")
        elif wanted == self.stage.question:
            text = "Following training …"
        else:
            text = "Updating …" if self.stage.result is not None else "Attacking …"
            if self.stage.adversarial.image is None:
                self.stage.say_waiting("Attacking …")
        self.stage.set_updating(text, dim=wanted != self.stage.question)

    def _update_actions(self) -> None:
        looking = self.views.shown == STAGE
        there = looking and self.stage.result is not None
        self.panel.save_button.setEnabled(there and not self.saver.busy)
        self.panel.copy_button.setEnabled(looking and self.stage.adversarial.image is not None)

    def _on_view(self) -> None:
        self._on_follow()
        self._ask()

    def _offer_gallery(self) -> None:
        panel = self.panel
        # While other data are being taken up the strip still shows the former ones.
        records = self.strip.records() if self.strip.scan is self._workspace.scan else ()
        self.views.offer_gallery(self._workspace, panel.models.ref(), panel.form.request(), records)

    # Saving ----------------------------------------------------------------------------------------

    def save(self) -> None:
        """Ask where, and write the three files."""
        result, question = self.stage.result, self.stage.question
        if result is not None and question is not None and not self.saver.busy:
            self.saver.ask(question, result)

    def save_to(self, path: Path) -> None:
        """Write PATH.json and the two images beside it."""
        result, question = self.stage.result, self.stage.question
        if result is not None and question is not None:
            self.saver.save_to(question, result, path)

    def _on_saved(self, paths: list[Path]) -> None:
        names = ", ".join(path.name for path in paths)
        self._workspace.notify.emit("success", f"Saved {names} in {paths[0].parent}.", "")

    def _on_copied(self) -> None:
        self._workspace.notify.emit("success", "The image is on the clipboard.", "")

    # Between two starts ----------------------------------------------------------------------------

    def state(self) -> str:
        """The attack as it stands on the page."""
        return json.dumps(self.panel.form.values())

    def recall(self, state: str) -> None:
        """Show the attack of the last time; what is damaged is passed over."""
        try:
            self.panel.form.set_values(json.loads(state))
        except (ValueError, AttributeError):
            return
        self._ask()

    # Qt --------------------------------------------------------------------------------------------

    def _open_demo(self) -> None:
        self._workspace.open_demo(then="probe")

    def _open_data(self) -> None:
        self._workspace.navigate.emit("data")

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take image files and pictures; folders go to the window."""
        if self._workspace.scan is not None and image_in(event.mimeData()) is not None:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Attack what was dropped."""
        self.strip.take_mime(event.mimeData())
        event.acceptProposedAction()

    def showEvent(self, event: QShowEvent) -> None:
        """Go on following a training run."""
        super().showEvent(event)
        self._on_follow()

    def hideEvent(self, event: QHideEvent) -> None:
        """Follow nothing nobody sees."""
        super().hideEvent(event)
        self.controller.set_follow(False)

    def shut_down(self) -> None:
        """Cancel what is under way; called when the window closes."""
        self.reader.cancel()
        self.saved.cancel()
        self.controller.stop()
        self.views.stop()
        self.panel.smallest.stop()
        self.strip.stop()
