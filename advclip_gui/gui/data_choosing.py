"""How a user points at data: a dialog for a folder or a file, or something dropped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QFileDialog

from advclip_gui.engine.file_access import LIST_SUFFIXES, ZIP_SUFFIXES, is_list, is_zip
from advclip_gui.settings import DEMO_FOLDER

if TYPE_CHECKING:
    from PySide6.QtCore import QMimeData
    from PySide6.QtWidgets import QWidget

_FILE_PATTERNS = " ".join(f"*{suffix}" for suffix in sorted(ZIP_SUFFIXES | LIST_SUFFIXES))


def ask_for_folder(parent: QWidget, current: str) -> str:
    """Ask for a folder, beginning at the one that is open; "" where the user thinks better of it."""
    start = str(Path.home()) if current == DEMO_FOLDER else current
    return QFileDialog.getExistingDirectory(parent, "Open image folder", start)


def ask_for_file(parent: QWidget) -> str:
    """Ask for a zip or a list of images; "" where the user thinks better of it."""
    name, _ = QFileDialog.getOpenFileName(
        parent, "Open a zip or a list of images", str(Path.home()), f"Images ({_FILE_PATTERNS})"
    )
    return name


def dropped_data(mime: QMimeData) -> Path | None:
    """The first folder, zip or list among what is dropped, None where there is none."""
    paths = [Path(url.toLocalFile()) for url in mime.urls() if url.isLocalFile()]
    return next((path for path in paths if path.is_dir() or is_zip(path) or is_list(path)), None)
