"""The Probe page: attack one image, watch the prediction flip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QHideEvent, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from advclip_gui.gui.probe_asking import ProbeAsking
from advclip_gui.gui.probe_images import ImageReader
from advclip_gui.gui.probe_saving import ProbeSaver
from advclip_gui.gui.saved_probe import SavedProbeReader
from advclip_gui.gui.widgets.image_strip import PROBE_SUFFIX, image_in
from advclip_gui.gui.widgets.probe_layout import ProbeLayout
from advclip_gui.gui.widgets.probe_views import STAGE

if TYPE_CHECKING:
    from advclip_gui.engine.model_ref import ModelRef
    from advclip_gui.engine.probe_types import ProbeResult
    from advclip_gui.gui.bridge import Backend, ErrorInfo
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.probe_controller import PickedImage, Question
    from advclip_gui.gui.workspace import Workspace


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
        self.saver = ProbeSaver(io, self)
        self.saved = SavedProbeReader(io, self)
        self.reader = ImageReader(workspace, io, self)
        self.pages = ProbeLayout(backend, io)
        self.panel, self.views, self.strip = self.pages.panel, self.pages.views, self.pages.strip
        self.stage, self.banner = self.views.stage, self.pages.banner
        self.asking = ProbeAsking(workspace, backend, self.panel, self.views, self.saved, self)
        self.controller = self.asking.controller
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.pages)
        self._connect()
        self._on_scan()
        self._on_models()

    def _connect(self) -> None:
        workspace, panel, strip = self._workspace, self.panel, self.strip
        workspace.scan_changed.connect(self._on_scan)
        workspace.settings_changed.connect(self._on_settings)
        workspace.models_changed.connect(self._on_models)
        workspace.training_changed.connect(self._on_follow)
        workspace.probe_requested.connect(self._on_requested)
        self.pages.demo_button.clicked.connect(self._open_demo)
        self.pages.data_button.clicked.connect(self._open_data)
        self.pages.saved_button.clicked.connect(strip.choose_probe)
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
        self.asking.answered.connect(self._on_answer)
        self.asking.failed.connect(self._show_error)
        self.asking.changed.connect(self._update_actions)
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
        self.pages.show_work(scan is not None)
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
            live and looking and self.panel.follow.isChecked() and self.asking.image is not None
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
        if path.suffix.lower() == PROBE_SUFFIX:
            self.saved.open(path)
        else:
            self.reader.take_file(path)

    def _on_saved_probe(self, image: PickedImage) -> None:
        saved = self.saved.of(image)
        if saved is None:
            return
        self.reader.cancel()
        self.views.show_view(STAGE)
        self.pages.show_work(True)
        ref, problem = self.saved.model()
        if ref is not None:
            self.panel.models.choose_like(ref)
        self.panel.form.set_classes(saved.class_names)
        self.panel.form.set_request(saved.request)
        self._set_image(image)
        if problem:
            self.banner.show_message("warning", problem)

    def _set_image(self, image: PickedImage | None) -> None:
        if image is not None and not self.pages.working:
            self.pages.say(
                "info", "An image alone cannot be attacked: open a folder first, for its class names."
            )
            return
        from_disk = self.saved.of(self.asking.image) is not None
        self.asking.image = image
        if from_disk and self.saved.of(image) is None:
            self.panel.form.set_classes(self._workspace.class_names())
        self.banner.clear()
        if image is not None:
            self.stage.show_image(image, "Attacking …")
        self.views.compare.clear()
        self._on_follow()
        self._ask()

    # Asking ----------------------------------------------------------------------------------------

    def _ask(self, dragging: bool = False) -> None:
        self._offer_gallery()
        self.asking.ask(dragging)

    def _on_answer(self, question: Question, result: ProbeResult) -> None:
        self.banner.clear()
        repeated = self.saved.verdict(question, result)
        if repeated is not None:
            self.banner.show_message(*repeated)

    def _show_error(self, error: ErrorInfo) -> None:
        self.pages.say("error", error.sentence, error.details)

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
        """Take image files, pictures and saved probes; folders go to the window."""
        found = image_in(event.mimeData())
        if isinstance(found, Path) and found.suffix.lower() == PROBE_SUFFIX:
            event.acceptProposedAction()  # it brings its own classes
        elif self._workspace.scan is not None and found is not None:
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
