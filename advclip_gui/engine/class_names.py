"""What every class of a folder is called in prompts; free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from advclip_gui.engine.datasets.records import DatasetScan


def prompt_names(
    scanned: DatasetScan, renamed: Mapping[str, str], folders: Sequence[str] | None = None
) -> tuple[str, ...]:
    """The name of every class in prompts, in label order: the user's, else the folder's, cleaned.

    Args:
        scanned: the data.
        renamed: folder to the name the user gave it, as in `DataSettings.class_names`.
        folders: of the classes, by label; None takes all that were found.
    """
    cleaned = {info.folder: info.name for info in scanned.classes}
    return tuple(renamed.get(folder) or cleaned[folder] for folder in folders or cleaned)
