"""What the user changed about a dataset, kept by its place: names, skipped files, layout."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from platformdirs import user_data_path

from advclip_gui.engine.datasets.folder import resolve_folder
from advclip_gui.engine.files import write_json_atomic

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Remembered:
    """Changes to one dataset, as in the data settings."""

    class_names: dict[str, str] = field(default_factory=dict)
    skip: tuple[str, ...] = ()
    layout: str = "auto"


def memory_folder() -> Path:
    """Where the changes are kept: never beside the images."""
    return user_data_path("advclip-gui", appauthor=False) / "datasets"


def remember(folder: str, changes: Remembered) -> None:
    """Keep what was changed; nothing changed removes the file.

    Raises:
        StorageError: it cannot be written.
    """
    path = _path(folder)
    if changes == Remembered():
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomic(path, {"folder": str(resolve_folder(folder)), **asdict(changes)})


def recall(folder: str) -> Remembered:
    """Return what was changed; what is damaged is as if it were absent."""
    try:
        values = json.loads(_path(folder).read_text(encoding="utf-8"))
        return Remembered(
            {str(key): str(name) for key, name in values["class_names"].items()},
            tuple(str(path) for path in values["skip"]),
            str(values["layout"]),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return Remembered()


def _path(folder: str) -> Path:
    digest = hashlib.sha256(str(resolve_folder(folder)).encode("utf-8", "surrogateescape")).hexdigest()
    return memory_folder() / f"{digest[:24]}.json"
