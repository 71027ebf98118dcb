"""The Recipe page: backbone, LoRA, adversary, training and evaluation, and the button that starts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from advclip_gui.engine.datasets.folder import resolve_folder
from advclip_gui.engine.datasets.sample_check import check_sample
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.backbone_card import BackboneCard
from advclip_gui.gui.widgets.basics import Banner, Button, Card, PageHeader, PrimaryButton, TextLabel
from advclip_gui.gui.widgets.column_scroll import ColumnScroll
from advclip_gui.gui.widgets.facts_card import FactsCard
from advclip_gui.gui.widgets.preset_row import PresetRow, with_preset
from advclip_gui.gui.widgets.recipe_files import RecipeFiles
from advclip_gui.gui.widgets.recipe_forms import RecipeForms
from advclip_gui.gui.widgets.untitled_card import UntitledCard
from advclip_gui.settings import RunSettings

if TYPE_CHECKING:
    from PySide6.QtGui import QShowEvent

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.records import DatasetScan
    from advclip_gui.engine.datasets.sample_check import SampleCheck
    from advclip_gui.gui.bridge import Backend
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.job_handle import JobHandle
    from advclip_gui.gui.workspace import Workspace
    from advclip_gui.settings import DataSettings

_SUBTITLE = "How the adapter is trained; what is wrong is marked where it stands."
_SIDE_WIDTH = 288


class RecipePage(QWidget):
    """Edits the workspace's settings and starts the training."""

    def __init__(
        self, workspace: Workspace, backend: Backend, io: IoPool, parent: QWidget | None = None
    ) -> None:
        """Build the page and show the workspace's settings."""
        super().__init__(parent)
        self.setObjectName("recipePage")
        self.setProperty("role", "page")
        self._workspace = workspace
        self._backend = backend
        self._io = io
        self._sample_key: object = None
        self._sample: SampleCheck | None = None
        self._sample_job: JobHandle | None = None
        look = theme.current()
        self.header = PageHeader("Recipe", _SUBTITLE)
        self.files = RecipeFiles()
        self.header.actions.addWidget(self.files)
        self.banner = Banner()
        self.banner.setObjectName("recipeBanner")
        self.banner.hide()
        self.presets = PresetRow()
        self.backbone = BackboneCard(io)
        self.forms = RecipeForms()
        self.facts = FactsCard(backend)
        body = QHBoxLayout()
        body.setSpacing(look.m)
        body.addWidget(self._make_scroll(), 1)
        body.addWidget(self._make_side())
        column = QVBoxLayout(self)
        column.setContentsMargins(look.xl, look.l, look.xl, look.l)
        column.setSpacing(look.m)
        column.addWidget(self.header)
        column.addWidget(self.banner)
        column.addLayout(body, 1)
        self._connect()
        self._show(workspace.settings)

    # --- construction -------------------------------------------------------------------------

    def _make_scroll(self) -> ColumnScroll:
        look = theme.current()
        preset_card = Card("Presets")
        preset_card.body.addWidget(self.presets)
        inside = QWidget()
        inside.setProperty("role", "page")
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, look.s, 0)
        column.setSpacing(look.m)
        column.addWidget(preset_card)
        column.addWidget(self.forms.protocol)
        column.addWidget(self.backbone)
        column.addWidget(self.forms)
        column.addStretch(1)
        scroll = ColumnScroll(inside, "recipeScroll")
        scroll.width_changed.connect(lambda width: self.forms.fit(width - look.s))
        return scroll

    def _make_side(self) -> QWidget:
        look = theme.current()
        self.start_button = PrimaryButton(
            "Start training", "play", name="startTraining", tip="Train with a copy of these settings."
        )
        self.start_button.setMinimumHeight(look.control_height + look.s)
        self.reason = TextLabel("", "caption", wrap=True)
        self.reason.setObjectName("startReason")
        self.data_button = Button(
            "Go to Data", "arrow-left", "link", name="goToData", tip="Open images first."
        )
        start = UntitledCard()
        start.body.addWidget(self.start_button)
        start.body.addWidget(self.reason)
        start.body.addWidget(self.data_button, 0, Qt.AlignmentFlag.AlignLeft)
        side = QWidget()
        side.setFixedWidth(_SIDE_WIDTH)
        column = QVBoxLayout(side)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.m)
        column.addWidget(self.facts)
        column.addWidget(start)
        column.addStretch(1)
        return side

    def _connect(self) -> None:
        workspace = self._workspace
        workspace.settings_changed.connect(self._show)
        workspace.scan_changed.connect(self._on_data_changed)
        workspace.scanning_changed.connect(self._update_start)
        workspace.training_changed.connect(self._update_start)
        self._backend.engine_ready.connect(self._update_start)
        self._backend.engine_failed.connect(self._update_start)
        self.presets.chosen.connect(self._on_preset)
        self.presets.notify.connect(self._notify)
        self.backbone.changed.connect(self._on_backbone_changed)
        self.backbone.availability_changed.connect(self._update_start)
        self.forms.changed.connect(self._on_forms_changed)
        self.files.imported.connect(self._on_imported)
        self.files.failed.connect(self._on_file_failed)
        self.files.notify.connect(self._notify)
        self.start_button.clicked.connect(self._start)
        self.data_button.clicked.connect(self._go_to_data)

    def showEvent(self, event: QShowEvent) -> None:
        """Look again for what may have changed on disk meanwhile."""
        super().showEvent(event)
        self.backbone.refresh()

    # --- settings -----------------------------------------------------------------------------

    def settings(self) -> RunSettings | None:
        """The recipe as it stands on the page, None while something in it is wrong."""
        recipe, backbone = self.forms.settings(), self.backbone.settings()
        if recipe is None or backbone is None:
            return None
        return recipe.model_copy(update={"backbone": backbone, "data": self._workspace.data})

    def _show(self, settings: RunSettings) -> None:
        # While a field is wrong the page is ahead of the workspace; it must not be overwritten
        # because, say, the number of shots has changed on the Data page.
        shown = self.settings()
        if shown is not None or not self._same_recipe(settings):
            self.forms.set_settings(settings)
            self.backbone.set_settings(settings.backbone)
        self._recipe = settings.model_copy(update={"data": RunSettings().data})
        self._refresh()

    def _same_recipe(self, settings: RunSettings) -> bool:
        """Whether only the data differ from what was shown last."""
        last = getattr(self, "_recipe", None)
        return last == settings.model_copy(update={"data": RunSettings().data})

    def _on_preset(self, preset: RunSettings) -> None:
        settings = with_preset(self._workspace.settings, preset)
        self.forms.set_settings(settings)
        self.backbone.set_settings(settings.backbone)
        self._workspace.set_settings(settings)
        self._refresh()

    def _on_forms_changed(self) -> None:
        self._publish()

    def _on_backbone_changed(self) -> None:
        self._publish()

    def _publish(self) -> None:
        settings = self.settings()
        if settings is not None:
            self._workspace.set_settings(settings)
        self._refresh()

    def _refresh(self) -> None:
        settings = self.settings()
        self.presets.show_settings(settings)
        self.facts.set_settings(settings, len(self._workspace.class_names()) or 10)
        self.files.set_settings(settings)
        self._check_sample()
        self._update_start()

    # --- start --------------------------------------------------------------------------------

    def missing(self) -> str:
        """Why training cannot start, "" where it can."""
        workspace = self._workspace
        problems = self.forms.problems()
        if problems:
            return problems[0]
        if self.backbone.settings() is None:
            return self.backbone.problem()
        if workspace.scanning is not None:
            return "The image folder is being scanned."
        if workspace.scan is None:
            return "Open an image folder, or the demo, first."
        if resolve_folder(workspace.data.folder) != workspace.scan.root:
            return f"The images of this recipe, {workspace.data.folder}, are not open."
        if self._sample_problem():
            return self._sample_problem()
        if self.backbone.problem():
            return self.backbone.problem()
        if self._backend.engine_error is not None:
            return self._backend.engine_error.sentence
        if workspace.is_training:
            return "A run is in training; this recipe can start when it has ended."
        return ""

    def _sample_problem(self) -> str:
        """What the sample lacks, "" where it is still being counted."""
        sample, data = self._sample, self._workspace.data
        if sample is None:
            return ""
        if sample.short:
            folder, count = next(iter(sample.short.items()))
            others = f" and {len(sample.short) - 1} more classes" if len(sample.short) > 1 else ""
            return (
                f"'{folder}' ({count} images){others} cannot give {data.shots} shots; "
                "lower the shots on the Data page."
            )
        if sample.refused:
            return sample.refused
        settings = self.settings()
        if settings is not None and settings.selects and not sample.validation:
            return (
                "No validation images are left to choose the best step by: raise them on the Data page, "
                "or switch off 'Keep best' and 'Patience'."
            )
        return ""

    def _update_start(self) -> None:
        missing = self.missing()
        self.start_button.setEnabled(not missing)
        wrong = bool(self.forms.problems())
        waiting = "" if self._backend.ready else "The run begins as soon as the engine is loaded."
        ready = waiting or "Runs in the background with a copy of these settings."
        self.reason.setText(missing or ready)
        self.reason.set_role("bad" if wrong else "caption")
        self.data_button.setVisible(not wrong and self._needs_data())

    def _needs_data(self) -> bool:
        scan = self._workspace.scan
        if self._workspace.scanning is not None:
            return False
        if scan is None or resolve_folder(self._workspace.data.folder) != scan.root:
            return True
        return bool(self._sample_problem())

    def _check_sample(self) -> None:
        """Find what the sample lacks, off the main thread."""
        scan, data = self._workspace.scan, self._workspace.data
        key = (id(scan), data.shots, data.val_shots, data.skip, data.split_file)
        if key == self._sample_key:
            return
        self._sample_key = key
        self._sample = None
        if scan is not None:
            self._sample_job = self._io.submit(partial(_check, scan, data), "Counting images")
            self._sample_job.finished.connect(self._on_sample)

    def _on_sample(self, sample: SampleCheck) -> None:
        if self.sender() is self._sample_job:
            self._sample = sample
            self._update_start()

    def _on_data_changed(self) -> None:
        self._sample_key = None
        self._refresh()

    def _start(self) -> None:
        settings = self.settings()
        if settings is None or self.missing():
            self._update_start()
            return
        if self._workspace.start_training(settings) is not None:
            self._workspace.navigate.emit("train")

    def _go_to_data(self) -> None:
        self._workspace.navigate.emit("data")

    # --- files --------------------------------------------------------------------------------

    def _on_imported(self, settings: RunSettings) -> None:
        """Take a recipe from a file, its images included."""
        self.banner.clear()
        before = self._workspace.data.folder
        self.forms.set_settings(settings)
        self.backbone.set_settings(settings.backbone)
        self._workspace.set_settings(settings)
        if settings.data.folder != before or self._workspace.scan is None:
            self._workspace.open_folder(settings.data.folder, then="")
        self._refresh()

    def _on_file_failed(self, sentence: str) -> None:
        self.banner.show_message("error", sentence)

    def _notify(self, level: str, message: str) -> None:
        self._workspace.notify.emit(level, message, "")


def _check(scan: DatasetScan, data: DataSettings, _control: Control) -> SampleCheck:
    return check_sample(scan, data)
