"""Turn a list of images that a layout names into a tree: labels in order, sizes, and what is not there."""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING, Final, NamedTuple

from advclip_gui.engine.datasets.records import Problem, SplitName
from advclip_gui.engine.datasets.source import names_in
from advclip_gui.engine.datasets.walk import FoundFile, Tree
from advclip_gui.engine.errors import DataError
from advclip_gui.engine.images import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.source import Entry, Source
    from advclip_gui.engine.datasets.walk import OnFiles

_CHUNK: Final = 2000


class Listed(NamedTuple):
    """One line of a list: a path relative to the source, the class's key, the split."""

    path: str
    class_name: str
    split: SplitName


def tree_of(
    source: Source,
    listed: Sequence[Listed],
    class_names: dict[str, str],
    control: Control,
    on_files: OnFiles,
    *,
    told_by: str,
) -> Tree:
    """Look for the files of a list; those that are not there become problems.

    Args:
        source: where the paths start.
        listed: the list.
        class_names: key to name of every class, in the order of the labels.
        control: progress and cancel.
        on_files: hears of the files as they are found.
        told_by: the list's own name, for sentences.

    Raises:
        Cancelled: through `control`.
    """
    tree = Tree(class_names=class_names)
    tree.class_folders = {key: set() for key in class_names}
    folders: dict[str, dict[str, Entry]] = {}
    for start in range(0, len(listed), _CHUNK):
        control.progress("Looking for images", start, len(listed))
        found: list[FoundFile] = []
        for path, class_name, split in listed[start : start + _CHUNK]:
            folder, _, name = path.rpartition("/")
            if folder not in folders:
                control.check()
                folders[folder] = names_in(source, folder or ".")
            entry = folders[folder].get(name)
            tree.class_folders[class_name].add(split)
            if entry is None or entry.is_folder:
                tree.problems.append(
                    Problem(path, "missing", f"Left out: it is listed in {told_by}, but is not there.")
                )
            elif os.path.splitext(name)[1].lower() not in IMAGE_SUFFIXES:
                tree.problems.append(
                    Problem(path, "not_an_image", "Left out: by its name it is no image in a known format.")
                )
            else:
                found.append(FoundFile(path, class_name, split, entry.size_bytes))
        tree.files += found
        on_files(found)
    tree.files.sort(key=lambda file: file.path)
    return tree


def joined(base: str, path: str) -> str:
    """Join a folder and a path with forward slashes; "." adds nothing."""
    return posixpath.normpath(path if base == "." else f"{base}/{path}")


def check_relative(path: str, where: str) -> str:
    """Return a listed path in one form, with forward slashes.

    Raises:
        DataError: it is absolute or empty; a run could not be moved with it.
    """
    plain = path.strip().replace("\\", "/")
    if not plain or plain.startswith("/") or plain[1:3] == ":/":
        raise DataError(
            f"{where}: the path '{path}' is {'absolute' if plain else 'empty'}.",
            "Write it relative to the folder of the list.",
        )
    return posixpath.normpath(plain)
