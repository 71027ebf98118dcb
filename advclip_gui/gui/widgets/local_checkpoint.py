"""The fields of a checkpoint file or folder of one's own: path, architecture, activation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QFileDialog, QGridLayout, QLabel, QLineEdit, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Button, TextLabel
from advclip_gui.gui.widgets.field_editors import ChoiceBox
from advclip_gui.gui.widgets.problem_text import field_problems
from advclip_gui.gui.widgets.settings_form import LABEL_WIDTH
from advclip_gui.settings import BackboneSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

ARCHITECTURES: Sequence[str] = (
    "ViT-B-32",
    "ViT-B-32-quickgelu",
    "ViT-B-16",
    "ViT-B-16-quickgelu",
    "ViT-L-14",
    "ViT-L-14-quickgelu",
    "ViT-S-32-alt",
    "ViT-S-16-alt",
)
"""Offered; any other open_clip name can be typed."""
FILE_FILTER = "Checkpoints (*.safetensors *.pt *.pth *.bin *.ckpt);;All files (*)"
CHOOSE_FILE = "Choose the checkpoint file of the backbone."


class LocalCheckpoint(QWidget):
    """Edits `BackboneSettings` whose name is "local"."""

    edited = Signal()
    browse_clicked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start without a file."""
        super().__init__(parent)
        look = theme.current()
        fields = BackboneSettings.model_fields
        self.checkpoint = QLineEdit()
        self.checkpoint.setObjectName("backbone.checkpoint")
        self.checkpoint.setPlaceholderText("A .safetensors, .pt or .bin file, or a folder")
        self.browse = Button(
            "Browse…", "file-search-outline", name="browseCheckpoint", tip="Choose a checkpoint file."
        )
        self.browse_folder = Button(
            "Folder…",
            "folder-open-outline",
            name="browseCheckpointFolder",
            tip="Choose a folder as open_clip or Hugging Face save a CLIP; it tells its architecture itself.",
        )
        self.architecture = QComboBox()
        self.architecture.setObjectName("backbone.architecture")
        self.architecture.setEditable(True)
        self.architecture.addItems(list(ARCHITECTURES))
        self.architecture.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.told = QLineEdit()
        self.told.setObjectName("backbone.architecture.told")
        self.told.setAccessibleName("Architecture, as the configuration beside the weights tells")
        self.told.setToolTip("The configuration beside the weights tells it, so there is nothing to choose.")
        self.told.setEnabled(False)
        self.told.hide()
        self.quick_gelu = ChoiceBox([("Automatic", None), ("On", True), ("Off", False)])
        self.quick_gelu.setObjectName("backbone.quick_gelu")
        editors = {
            "checkpoint": self.checkpoint,
            "architecture": self.architecture,
            "quick_gelu": self.quick_gelu,
        }
        labels = {}
        for key, editor in editors.items():
            editor.setAccessibleName(fields[key].title or key)
            editor.setToolTip(fields[key].description or "")
            labels[key] = QLabel(fields[key].title)
            labels[key].setBuddy(editor)
            labels[key].setToolTip(editor.toolTip())
        for key in ("checkpoint", "architecture"):
            labels[key].setFixedWidth(LABEL_WIDTH)
        self.note = TextLabel("", "caption", wrap=True)
        self.note.setObjectName("backbone.checkpoint.note")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, look.xs, 0, 0)
        grid.setHorizontalSpacing(look.m)
        grid.setVerticalSpacing(look.xs)
        grid.addWidget(labels["checkpoint"], 0, 0)
        grid.addWidget(self.checkpoint, 0, 1, 1, 2)
        grid.addWidget(self.browse, 0, 3)
        grid.addWidget(self.browse_folder, 0, 4)
        grid.addWidget(self.note, 1, 1, 1, 4)
        grid.setRowMinimumHeight(2, look.xs)
        grid.addWidget(labels["architecture"], 3, 0)
        grid.addWidget(self.architecture, 3, 1)
        grid.addWidget(self.told, 3, 1)
        grid.addWidget(labels["quick_gelu"], 3, 2)
        grid.addWidget(self.quick_gelu, 3, 3, 1, 2)
        grid.setColumnStretch(1, 1)
        self.checkpoint.textChanged.connect(self._on_edited)
        self.browse.clicked.connect(self.browse_clicked)
        self.browse_folder.clicked.connect(self._ask_folder)
        self.architecture.editTextChanged.connect(self._on_edited)
        self.quick_gelu.edited.connect(self._on_edited)

    def set_settings(self, settings: BackboneSettings) -> None:
        """Show settings; reports an edit where they differ from what was shown."""
        self.checkpoint.setText(settings.checkpoint)
        self.architecture.setCurrentText(settings.architecture)
        self.quick_gelu.set_value(settings.quick_gelu)

    def validate(self) -> tuple[BackboneSettings | None, str]:
        """The settings and no sentence, or None and what is missing."""
        values = {
            "name": "local",
            "checkpoint": self.checkpoint.text().strip(),
            "architecture": self.architecture.currentText().strip(),
            "quick_gelu": self.quick_gelu.value(),
        }
        if not values["checkpoint"]:
            return None, CHOOSE_FILE
        try:
            return BackboneSettings.model_validate(values), ""
        except ValidationError as error:
            return None, next(iter(field_problems(BackboneSettings, error, frozenset()).values()))

    def ask_file(self) -> str:
        """Let the user choose a file; "" where they did not."""
        path = self.checkpoint.text()
        start = str(Path(path).parent if path else Path.home())
        name, _ = QFileDialog.getOpenFileName(self, "Choose a checkpoint", start, FILE_FILTER)
        return name

    def _ask_folder(self) -> None:
        start = self.checkpoint.text() or str(Path.home())
        name = QFileDialog.getExistingDirectory(self, "Choose a CLIP folder", start)
        if name:
            self.checkpoint.setText(name)

    def show_note(self, text: str, *, wrong: bool) -> None:
        """Say beneath the path what was found there."""
        self.note.setText(text)
        self.note.set_role("bad" if wrong else "caption")

    def show_architecture(self, told: str) -> None:
        """Show in place of the field what the weights' own configuration says; "" gives the field back."""
        self.told.setText(told)
        self.told.setVisible(bool(told))
        self.architecture.setVisible(not told)

    def _on_edited(self) -> None:
        self.edited.emit()
