"""ImageNet's layout: synset folders under train and val, and ``classnames.txt`` with what they show."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from advclip_gui.engine.datasets.listed import joined
from advclip_gui.engine.datasets.source import Below, names_in, read_text
from advclip_gui.engine.datasets.walk import FoundFile, list_tree
from advclip_gui.engine.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.source import Source
    from advclip_gui.engine.datasets.walk import OnFiles, Tree

NAMES_FILE: Final = "classnames.txt"
_PLACES: Final = (".", "images")
_SYNSET: Final = re.compile(r"n\d{8}")


def imagenet_place(source: Source) -> str | None:
    """Return the folder with synset folders under train or val, None where there is no such thing."""
    if not any(NAMES_FILE in names_in(source, place) for place in _PLACES):
        return None
    for place in _PLACES:
        for part in ("train", "val"):
            names = names_in(source, joined(place, part)).values()
            folders = [entry.name for entry in names if entry.is_folder and not entry.name.startswith(".")]
            if folders and all(_SYNSET.fullmatch(name) for name in folders):
                return place
    return None


def read_imagenet(source: Source, control: Control, on_files: OnFiles) -> Tree:
    """Read synset folders; val serves as test, since ImageNet's own test labels are secret.

    Raises:
        DataError: there are no synset folders or no names, or a line of the names is wrong.
        Cancelled: through `control`.
    """
    place = imagenet_place(source)
    if place is None:
        raise DataError(
            f"There are no synset folders (n01440764, ...) under train or val with a {NAMES_FILE} "
            f"in {source.root}.",
            "Open the folder that holds both, or choose another layout.",
        )
    names = _read_names(source)
    base = place if place != "." else ""

    def up(files: Sequence[FoundFile]) -> list[FoundFile]:
        return [
            FoundFile(
                joined(base, file.path) if base else file.path,
                file.class_name,
                "test" if file.split == "val" else file.split,
                file.size_bytes,
            )
            for file in files
        ]

    tree = list_tree(Below(source, base) if base else source, control, lambda files: on_files(up(files)))
    tree.files = up(tree.files)
    tree.problems = [
        type(problem)(joined(place, problem.path), problem.kind, problem.message) for problem in tree.problems
    ]
    tree.class_folders = {
        folder: {"test" if split == "val" else split for split in splits}
        for folder, splits in tree.class_folders.items()
    }
    unnamed = sorted(tree.class_folders.keys() - names.keys())
    if unnamed:
        raise DataError(f"{NAMES_FILE} has no name for {len(unnamed)} folders, first '{unnamed[0]}'.")
    # Labels count the sorted folders, in whatever order the names are written.
    tree.class_names = {key: names[key] for key in sorted(tree.class_folders)}
    return tree


def _read_names(source: Source) -> dict[str, str]:
    place = next(place for place in _PLACES if NAMES_FILE in names_in(source, place))
    names: dict[str, str] = {}
    for number, line in enumerate(read_text(source, joined(place, NAMES_FILE)).splitlines(), start=1):
        if not line.strip():
            continue
        synset, name = (*line.split(maxsplit=1), "")[:2]
        if not _SYNSET.fullmatch(synset) or not name.strip():
            raise DataError(f"{NAMES_FILE}, line {number}: '{line.strip()}' is not a synset and its name.")
        names[synset] = " ".join(name.replace("_", " ").split())
    return names
