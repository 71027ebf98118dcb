"""A recipe's way out and in: TOML files, and the command that starts the same run."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QWidget

from advclip_gui.engine.catalog import entry
from advclip_gui.engine.errors import UserError
from advclip_gui.gui import theme
from advclip_gui.gui.command_text import train_command
from advclip_gui.gui.preset_store import write_settings
from advclip_gui.gui.widgets.basics import Button
from advclip_gui.settings import RunSettings

_TOML = "Settings (*.toml)"


class RecipeFiles(QWidget):
    """Three buttons: import, export, copy as command."""

    imported = Signal(object)
    """RunSettings read from a file."""
    failed = Signal(str)
    """A sentence to be shown where the user stands."""
    notify = Signal(str, str)
    """Level and sentence."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start without a recipe."""
        super().__init__(parent)
        self._settings: RunSettings | None = None
        self._toml: Path | None = None
        self.import_button = Button(
            "Import…", "tray-arrow-up", name="importToml", tip="Read a recipe from a TOML file."
        )
        self.export_button = Button(
            "Export…", "tray-arrow-down", name="exportToml", tip="Save this recipe as a TOML file."
        )
        self.copy_button = Button(
            "Copy as command",
            "console-line",
            name="copyCommand",
            tip="Copy the command that trains with the same settings without a window.",
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.current().s)
        for button in (self.import_button, self.export_button, self.copy_button):
            row.addWidget(button)
        self.import_button.clicked.connect(self._ask_import)
        self.export_button.clicked.connect(self._ask_export)
        self.copy_button.clicked.connect(self.copy_command)

    def set_settings(self, settings: RunSettings | None) -> None:
        """Know the recipe as it stands; None while something in it is wrong."""
        self._settings = settings
        self.export_button.setEnabled(settings is not None)
        self.copy_button.setEnabled(settings is not None)

    def import_toml(self, path: Path) -> bool:
        """Read a recipe; True if that worked."""
        try:
            settings = RunSettings.from_file(path)
            entry(settings.backbone)
        except UserError as error:
            self.failed.emit(str(error))
            return False
        self._toml = path
        self.imported.emit(settings)
        self.notify.emit("success", f"The recipe {path.name} was read.")
        return True

    def export_toml(self, path: Path) -> bool:
        """Write the recipe; True if that worked."""
        if self._settings is None:
            return False
        try:
            write_settings(path, self._settings)
        except UserError as error:
            self.failed.emit(str(error))
            return False
        self._toml = path
        self.notify.emit("success", f"The recipe was saved to {path}.")
        return True

    def copy_command(self) -> None:
        """Put the command of this run on the clipboard; it starts from the TOML file last used, if any."""
        if self._settings is None:
            return
        toml = self._toml if self._toml is not None and self._toml.is_file() else None
        try:
            command = train_command(self._settings, toml)
        except UserError:  # the file is no recipe any more
            command = train_command(self._settings)
        QGuiApplication.clipboard().setText(command)
        self.notify.emit("success", "The command is on the clipboard.")

    def _ask_import(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Import recipe", "", _TOML)
        if name:
            self.import_toml(Path(name))

    def _ask_export(self) -> None:
        stem = (self._settings.name if self._settings is not None else "") or "recipe"
        name, _ = QFileDialog.getSaveFileName(self, "Export recipe", f"{stem.replace('/', '-')}.toml", _TOML)
        if name:
            self.export_toml(Path(name))
