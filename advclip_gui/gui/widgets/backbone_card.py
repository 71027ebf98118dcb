"""Which CLIP is adapted: the registry with what is here, or a checkpoint file of one's own."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QFileDialog, QGridLayout, QHBoxLayout, QLabel, QLineEdit, QWidget

from advclip_gui.engine.catalog import CATALOG, WAYS_OUT, Availability, BackboneEntry, availability
from advclip_gui.engine.errors import BackboneError
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Badge, Banner, Button, Card, TextLabel
from advclip_gui.gui.widgets.field_editors import ChoiceBox
from advclip_gui.gui.widgets.problem_text import field_problems
from advclip_gui.gui.widgets.settings_form import LABEL_WIDTH
from advclip_gui.settings import BackboneSettings

if TYPE_CHECKING:
    from advclip_gui.engine.control import Control
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.job_handle import ErrorInfo, JobHandle

ARCHITECTURES = (
    "ViT-B-32",
    "ViT-B-32-quickgelu",
    "ViT-B-16",
    "ViT-B-16-quickgelu",
    "ViT-L-14",
    "ViT-L-14-quickgelu",
    "ViT-S-32-alt",
    "ViT-S-16-alt",
)
"""Offered for a checkpoint of one's own; any other open_clip name can be typed."""
FILE_FILTER = "Checkpoints (*.safetensors *.pt *.pth *.bin *.ckpt);;All files (*)"
_CHECKING = "Looking for the weights on this machine."


class BackboneCard(Card):
    """A combo box of the registry, facts of the choice, and the fields of a local checkpoint."""

    changed = Signal(object)
    """BackboneSettings, or None while something is missing."""
    availability_changed = Signal()

    def __init__(self, io: IoPool, parent: QWidget | None = None) -> None:
        """Show the bundled backbone."""
        super().__init__("Backbone", parent)
        self._io = io
        self._loading = False
        self._job: JobHandle | None = None
        self._checked: tuple[BackboneSettings, Availability] | None = None
        self._base = BackboneSettings()
        look = theme.current()
        self.choice = ChoiceBox([(entry.title, entry) for entry in CATALOG])
        self.choice.setObjectName("backbone.name")
        self.choice.setAccessibleName("Backbone")
        self.choice.setToolTip(BackboneSettings.model_fields["name"].description or "")
        self.choice.setMinimumWidth(17 * look.l)
        self._badges = [Badge() for _ in range(3)]
        line = QHBoxLayout()
        line.setSpacing(look.s)
        line.addWidget(self.choice)
        line.addSpacing(look.xs)
        for badge in self._badges:
            badge.setFixedHeight(look.xl - look.xs)
            line.addWidget(badge)
        line.addStretch(1)
        self.description = TextLabel("", "caption", wrap=True)
        self.banner = Banner("warning", "", closable=False)
        self.banner.setObjectName("backboneBanner")
        self.body.addLayout(line)
        self.body.addWidget(self.description)
        self._local = self._make_local()
        self.body.addWidget(self._local)
        self.body.addWidget(self.banner)
        self.choice.edited.connect(self._on_edited)
        self.set_settings(BackboneSettings())
        self._list_what_is_here()

    def _make_local(self) -> QWidget:
        look = theme.current()
        fields = BackboneSettings.model_fields
        self.checkpoint = QLineEdit()
        self.checkpoint.setObjectName("backbone.checkpoint")
        self.checkpoint.setPlaceholderText("A .safetensors, .pt or .bin file")
        self.browse = Button(
            "Browse…", "file-search-outline", name="browseCheckpoint", tip="Choose a checkpoint file."
        )
        self.architecture = QComboBox()
        self.architecture.setObjectName("backbone.architecture")
        self.architecture.setEditable(True)
        self.architecture.addItems(ARCHITECTURES)
        self.quick_gelu = ChoiceBox([("Automatic", None), ("On", True), ("Off", False)])
        self.quick_gelu.setObjectName("backbone.quick_gelu")
        self.note = TextLabel("", "caption", wrap=True)
        self.note.setObjectName("backbone.checkpoint.note")
        box = QWidget()
        grid = QGridLayout(box)
        grid.setContentsMargins(0, look.xs, 0, 0)
        grid.setHorizontalSpacing(look.m)
        grid.setVerticalSpacing(look.xs)
        editors = {
            "checkpoint": self.checkpoint,
            "architecture": self.architecture,
            "quick_gelu": self.quick_gelu,
        }
        for key, editor in editors.items():
            editor.setAccessibleName(fields[key].title or key)
            editor.setToolTip(fields[key].description or "")
        grid.addWidget(_label("Checkpoint file", self.checkpoint), 0, 0)
        grid.addWidget(self.checkpoint, 0, 1, 1, 3)
        grid.addWidget(self.browse, 0, 4)
        grid.addWidget(self.note, 1, 1, 1, 4)
        grid.setRowMinimumHeight(2, look.xs)
        grid.addWidget(_label("Architecture", self.architecture), 3, 0)
        grid.addWidget(self.architecture, 3, 1)
        gelu = QLabel("Quick GELU")
        gelu.setBuddy(self.quick_gelu)
        gelu.setToolTip(fields["quick_gelu"].description or "")
        grid.addWidget(gelu, 3, 2)
        grid.addWidget(self.quick_gelu, 3, 3)
        grid.setColumnStretch(1, 3)
        grid.setColumnStretch(3, 2)
        self.checkpoint.textChanged.connect(self._on_edited)
        self.browse.clicked.connect(self.choose_file)
        self.architecture.editTextChanged.connect(self._on_edited)
        self.quick_gelu.edited.connect(self._on_edited)
        return box

    # --- value --------------------------------------------------------------------------------

    def entry(self) -> BackboneEntry:
        """The chosen line of the registry."""
        chosen = self.choice.value()
        return chosen if isinstance(chosen, BackboneEntry) else CATALOG[0]

    def settings(self) -> BackboneSettings | None:
        """The choice as settings, None while a local checkpoint has no file."""
        return self._validate()[0]

    def problem(self) -> str:
        """Why training cannot start with this backbone, "" where it can."""
        settings, problem = self._validate()
        if settings is None:
            return problem
        if self._checked is None or self._checked[0] != settings:
            return _CHECKING
        found = self._checked[1]
        # The ways out stand in the banner above the fields already.
        return "" if found.here else found.sentence.removesuffix(WAYS_OUT).strip()

    def set_settings(self, settings: BackboneSettings) -> None:
        """Show a choice without reporting a change."""
        if self.settings() == settings and self._checked is not None:
            return
        self._loading = True
        try:
            self._base = settings
            fitting = (
                index
                for index, entry in enumerate(CATALOG)
                if entry.name == settings.name and settings.weights in {"", entry.weights}
            )
            self.choice.setCurrentIndex(next(fitting, -1))
            self.checkpoint.setText(settings.checkpoint)
            self.architecture.setCurrentText(settings.architecture)
            self.quick_gelu.set_value(settings.quick_gelu)
        finally:
            self._loading = False
        self.refresh()

    def choose_file(self) -> None:
        """Ask for a checkpoint file and take it."""
        start = str(Path(self.checkpoint.text()).parent) if self.checkpoint.text() else str(Path.home())
        name, _ = QFileDialog.getOpenFileName(self, "Choose a checkpoint", start, FILE_FILTER)
        if name:
            self.take_file(name)

    def take_file(self, name: str) -> None:
        """Choose 'local checkpoint file' with this file."""
        self._choose("local")
        self.checkpoint.setText(name)

    def _validate(self) -> tuple[BackboneSettings | None, str]:
        entry = self.entry()
        if entry.name != "local":
            base = self._base
            if base.name == entry.name and base.weights in {"", entry.weights}:
                return base, ""
            return BackboneSettings(name=entry.name, weights=entry.weights), ""
        values = {
            "name": "local",
            "checkpoint": self.checkpoint.text().strip(),
            "architecture": self.architecture.currentText().strip(),
            "quick_gelu": self.quick_gelu.value(),
        }
        if not values["checkpoint"]:
            return None, "Choose the checkpoint file of the backbone."
        try:
            return BackboneSettings.model_validate(values), ""
        except ValidationError as error:
            return None, next(iter(field_problems(BackboneSettings, error, frozenset()).values()))

    # --- what is here -------------------------------------------------------------------------

    def _on_edited(self) -> None:
        if not self._loading:
            self.refresh()
            self.changed.emit(self.settings())

    def _choose(self, name: str) -> None:
        self.choice.setCurrentIndex(next(index for index, entry in enumerate(CATALOG) if entry.name == name))

    def refresh(self) -> None:
        """Look again whether the weights are here: a file may have come or gone meanwhile."""
        settings = self.settings()
        if settings is not None:
            if self._job is not None:
                self._job.cancel()
            self._job = self._io.submit(partial(_look, settings), "Looking for the weights")
            self._job.finished.connect(self._on_checked)
            self._job.failed.connect(self._on_check_failed)
        self._show()

    def _on_checked(self, found: tuple[BackboneSettings, Availability]) -> None:
        if found[0] == self.settings():
            self._checked = found
            self._show()
            self.availability_changed.emit()

    def _on_check_failed(self, error: ErrorInfo) -> None:
        settings = self.settings()
        if settings is not None and self.sender() is self._job:
            self._checked = settings, Availability(False, None, error.sentence)
            self._show()
            self.availability_changed.emit()

    def _show(self) -> None:
        entry, settings = self.entry(), self.settings()
        local = entry.name == "local"
        found = self._checked[1] if self._checked is not None and self._checked[0] == settings else None
        self._local.setVisible(local)
        self.description.setText(entry.description)
        size, parameters, state = self._badges
        size.setText(f"{entry.image_size} px")
        parameters.setText(f"{entry.parameters / 1e6:,.0f} M parameters")
        for badge in (size, parameters):
            badge.setVisible(not local)
        if found is None:
            state.setText("…")
            state.set_tone("")
        elif found.here:
            state.setText("Ready" if local else "Bundled" if not entry.download_mb else "Already here")
            state.set_tone("good")
        else:
            state.setText("Not found" if local else f"{entry.download_mb:,} MB to fetch")
            state.set_tone("bad" if local else "warning")
        state.setVisible(settings is not None)
        if local:
            bad = found is not None and not found.here
            text = "Choose the checkpoint file of the backbone." if settings is None else ""
            self.note.setText(text or (found.sentence if found is not None else _CHECKING))
            self.note.set_role("bad" if bad else "caption")
        if found is not None and not found.here and not local:
            actions = (("Choose a file…", self.choose_file), ("Use advclip-mini", self._use_bundled))
            self.banner.show_message("warning", found.sentence, "", actions)
        else:
            self.banner.clear()

    def _use_bundled(self) -> None:
        self._choose("advclip-mini")

    def _list_what_is_here(self) -> None:
        job = self._io.submit(_look_all, "Looking for backbones")
        job.finished.connect(self._on_listed)

    def _on_listed(self, here: dict[int, bool]) -> None:
        for index, is_here in here.items():
            entry = CATALOG[index]
            text = "already here" if is_here else f"{entry.download_mb:,} MB to fetch"
            self.choice.setItemText(index, f"{entry.title}  ·  {text}" if entry.download_mb else entry.title)
            self.choice.setItemData(index, entry.description, Qt.ItemDataRole.ToolTipRole)


def _label(text: str, buddy: QWidget) -> QLabel:
    label = QLabel(text)
    label.setFixedWidth(LABEL_WIDTH)
    label.setBuddy(buddy)
    label.setToolTip(buddy.toolTip())
    return label


def _look(settings: BackboneSettings, _control: Control) -> tuple[BackboneSettings, Availability]:
    try:
        return settings, availability(settings)
    except BackboneError as error:
        return settings, Availability(False, None, str(error))


def _look_all(control: Control) -> dict[int, bool]:
    here = {}
    for index, entry in enumerate(CATALOG):
        control.check()
        if entry.name != "local":
            here[index] = availability(BackboneSettings(name=entry.name, weights=entry.weights)).here
    return here
