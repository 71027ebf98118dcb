"""Presets of one's own: TOML files in the user's configuration folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import platformdirs

from advclip_gui.engine.errors import SettingsError
from advclip_gui.engine.files import storage_error, write_text_atomic
from advclip_gui.settings import DataSettings, RunSettings

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SavedPreset:
    """A preset file and what it is called."""

    title: str
    path: Path

    def settings(self) -> RunSettings:
        """Read the settings.

        Raises:
            SettingsError: the file cannot be read or holds a wrong value.
        """
        return RunSettings.from_file(self.path)


def presets_folder() -> Path:
    """Where presets of one's own are kept."""
    return platformdirs.user_config_path("advclip-gui", appauthor=False) / "presets"


def saved_presets(folder: Path | None = None) -> tuple[SavedPreset, ...]:
    """List the presets in a folder (the user's own where None), by title."""
    folder = folder or presets_folder()
    files = sorted(folder.glob("*.toml"), key=lambda path: path.stem.casefold()) if folder.is_dir() else []
    return tuple(SavedPreset(path.stem, path) for path in files)


def save_preset(title: str, settings: RunSettings, folder: Path | None = None) -> SavedPreset:
    """Keep settings under a title; a preset of the same title is replaced.

    The folder of images and what belongs to it alone stay out: a preset fits any data.

    Raises:
        SettingsError: the title makes no file name.
        StorageError: the file cannot be written.
    """
    stem = re.sub(r'[\\/:*?"<>|\x00-\x1f]+', " ", title).strip(" .")
    if not stem:
        raise SettingsError("A preset needs a name.", "Use letters or digits.")
    data = DataSettings().model_copy(
        update={
            "shots": settings.data.shots,
            "val_shots": settings.data.val_shots,
            "templates": settings.data.templates,
        }
    )
    path = (folder or presets_folder()) / f"{stem}.toml"
    write_text_atomic(path, settings.model_copy(update={"data": data}).to_toml())
    return SavedPreset(stem, path)


def delete_preset(preset: SavedPreset) -> None:
    """Remove a preset of one's own.

    Raises:
        StorageError: it cannot be removed.
    """
    try:
        preset.path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(preset.path, error) from error


def write_settings(path: Path, settings: RunSettings) -> None:
    """Export settings as TOML.

    Raises:
        StorageError: the file cannot be written; an older one stays.
    """
    write_text_atomic(path, settings.to_toml())
