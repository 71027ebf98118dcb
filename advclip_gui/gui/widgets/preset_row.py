"""Presets in a row: ready-made ones, one's own, and the button that saves the recipe as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QInputDialog, QPushButton, QVBoxLayout, QWidget

from advclip_gui.engine.errors import UserError
from advclip_gui.gui import theme
from advclip_gui.gui.preset_store import SavedPreset, delete_preset, save_preset, saved_presets
from advclip_gui.gui.widgets.basics import Button, TextLabel
from advclip_gui.gui.widgets.flow import FlowLayout
from advclip_gui.presets import PRESETS
from advclip_gui.settings import DataSettings, RunSettings

if TYPE_CHECKING:
    from pathlib import Path


def with_preset(current: RunSettings, preset: RunSettings) -> RunSettings:
    """Take a preset's recipe; images and device stay as they are."""
    return preset.model_copy(update={"data": current.data, "device": current.device})


def same_recipe(one: RunSettings, other: RunSettings) -> bool:
    """Whether two settings train in the same way, whatever their images, device and name."""
    neutral = {"data": DataSettings(), "device": "auto", "name": ""}
    return one.model_copy(update=neutral) == other.model_copy(update=neutral)


class PresetRow(QWidget):
    """One chip per preset; the one that the recipe equals is marked."""

    chosen = Signal(object)
    """The preset's RunSettings."""
    notify = Signal(str, str)
    """Level and sentence."""

    def __init__(self, folder: Path | None = None, parent: QWidget | None = None) -> None:
        """List the presets; one's own are in `folder` (None: the user's configuration folder)."""
        super().__init__(parent)
        look = theme.current()
        self._folder = folder
        self._settings: RunSettings | None = None
        self._chips: dict[str, tuple[QPushButton, RunSettings, str]] = {}
        self._saved: dict[str, SavedPreset] = {}
        self._chip_row = FlowLayout(spacing=look.s)
        self.summary = TextLabel("", "caption", wrap=True)
        self.summary.setObjectName("presetSummary")
        self.save_button = Button(
            "Save as preset…",
            "content-save-outline",
            "link",
            name="savePreset",
            tip="Keep this recipe under a name; the images are not part of it.",
        )
        self.delete_button = Button(
            "Delete preset",
            "trash-can-outline",
            "link",
            name="deletePreset",
            tip="Remove this preset of yours.",
        )
        line = QHBoxLayout()
        line.setSpacing(look.s)
        line.addWidget(self.summary, 1)
        line.addWidget(self.delete_button)
        line.addWidget(self.save_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.xs)
        column.addLayout(self._chip_row)
        column.addLayout(line)
        self.save_button.clicked.connect(self._ask_and_save)
        self.delete_button.clicked.connect(self._delete)
        self.reload()

    def chip(self, key: str) -> QPushButton:
        """The chip of a preset: a key of `PRESETS`, or ``own:`` and a title."""
        return self._chips[key][0]

    def keys(self) -> tuple[str, ...]:
        """All presets, in the order shown."""
        return tuple(self._chips)

    def reload(self) -> None:
        """Read one's own presets again."""
        while (item := self._chip_row.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        self._chips.clear()
        self._saved.clear()
        for key, preset in PRESETS.items():
            self._add(key, preset.title, preset.summary, preset.settings)
        for saved in saved_presets(self._folder):
            key = f"own:{saved.title}"
            try:
                settings = saved.settings()
            except UserError as error:
                self.notify.emit("warning", f"The preset '{saved.title}' cannot be used. {error}")
                continue
            self._saved[key] = saved
            self._add(key, saved.title, "A preset of yours.", settings)
        self._mark()

    def show_settings(self, settings: RunSettings | None) -> None:
        """Mark the preset that the recipe equals, if any; None: the recipe is not valid now."""
        self._settings = settings
        self._mark()

    def active(self) -> str:
        """Key of the preset that the recipe equals, "" where none does."""
        if self._settings is None:
            return ""
        equal = (key for key, (_, preset, _) in self._chips.items() if same_recipe(preset, self._settings))
        return next(equal, "")

    def save(self, title: str) -> bool:
        """Save the recipe under a title; True if that worked."""
        if self._settings is None:
            return False
        try:
            saved = save_preset(title, self._settings, self._folder)
        except UserError as error:
            self.notify.emit("error", str(error))
            return False
        self.reload()
        self.notify.emit("success", f"The preset '{saved.title}' was saved.")
        return True

    def _add(self, key: str, title: str, summary: str, settings: RunSettings) -> None:
        chip = QPushButton(title)
        chip.setObjectName(f"preset.{key}")
        chip.setCheckable(True)
        chip.setToolTip(summary)
        chip.setAccessibleName(f"Preset {title}")
        chip.setAccessibleDescription(summary)
        chip.clicked.connect(self._on_clicked)
        self._chips[key] = (chip, settings, summary)
        self._chip_row.addWidget(chip)

    def _on_clicked(self) -> None:
        clicked = self.sender()
        for chip, settings, _ in self._chips.values():
            if chip is clicked:
                self.chosen.emit(settings)
                break
        self._mark()

    def _mark(self) -> None:
        active = self.active()
        for key, (chip, _, _) in self._chips.items():
            chip.setChecked(key == active)
        self.summary.setText(
            self._chips[active][2] if active else "Settings of your own; no preset equals them."
        )
        self.delete_button.setVisible(active in self._saved)
        self.save_button.setVisible(not active and self._settings is not None)

    def _ask_and_save(self) -> None:
        title, accepted = QInputDialog.getText(self, "Save as preset", "Name of the preset:")
        if accepted and title.strip():
            self.save(title)

    def _delete(self) -> None:
        saved = self._saved.get(self.active())
        if saved is None:
            return
        try:
            delete_preset(saved)
        except UserError as error:
            self.notify.emit("error", str(error))
        self.reload()
