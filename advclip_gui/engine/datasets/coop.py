"""CoOp's layout: a folder of images beside a ``split_zhou_*.json`` that lists train, val and test."""

from __future__ import annotations

import fnmatch
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from advclip_gui.engine.datasets.known import KnownDataset, dataset_by_split_file
from advclip_gui.engine.datasets.listed import Listed, check_relative, joined, tree_of
from advclip_gui.engine.datasets.source import names_in, read_text
from advclip_gui.engine.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.records import SplitName
    from advclip_gui.engine.datasets.source import Source
    from advclip_gui.engine.datasets.walk import OnFiles, Tree

PATTERN: Final = "split_zhou_*.json"
_PARTS: Final[tuple[SplitName, ...]] = ("train", "val", "test")
_TRIED: Final = 40
"""Paths that are looked for to find out where they start."""


def split_files(source: Source) -> list[str]:
    """Return the names of CoOp's lists in the top folder; one that goes by its own name goes before others.

    A browser that fetches the list a second time calls it ``split_zhou_Food101 (1).json``.
    """
    files = [name for name, entry in names_in(source).items() if not entry.is_folder and _is_split_file(name)]
    known = [name for name in files if dataset_by_split_file(name) is not None]
    return known if len(known) == 1 else files


def read_coop(source: Source, control: Control, on_files: OnFiles) -> tuple[Tree, KnownDataset | None]:
    """Read the images that CoOp's list names.

    Raises:
        DataError: there is none, or several; it is damaged; or its images are nowhere to be found.
        Cancelled: through `control`.
    """
    files = split_files(source)
    if len(files) != 1:
        count = f"are {len(files)} files" if files else "is no file"
        raise DataError(
            f"There {count} named {PATTERN} in {source.root}.",
            "Keep one of them." if files else "Put CoOp's list beside the images, or choose another layout.",
        )
    name = files[0]
    known = dataset_by_split_file(name)
    parts, names = _read_list(source, name)
    paths = [path for part in parts.values() for path, _ in part]
    base = _image_folder(source, name, paths, known)
    keys = _keys(names)
    listed = [Listed(joined(base, path), keys[label], part) for part in _PARTS for path, label in parts[part]]
    in_order = {keys[label]: " ".join(names[label].replace("_", " ").split()) for label in sorted(names)}
    return tree_of(source, listed, in_order, control, on_files, told_by=name), known


def _is_split_file(name: str) -> bool:
    return fnmatch.fnmatch(name.lower(), PATTERN)


def _read_list(source: Source, name: str) -> tuple[dict[str, list[tuple[str, int]]], dict[int, str]]:
    try:
        values: Any = json.loads(read_text(source, name))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is no JSON: {error}.", "Get CoOp's list again.") from error
    if not isinstance(values, dict) or not isinstance(values.get("train"), list):
        raise DataError(f"{name} has no list of training images.", "Get CoOp's list again.")
    parts: dict[str, list[tuple[str, int]]] = {}
    names: dict[int, str] = {}
    for part in _PARTS:
        parts[part] = []
        for number, item in enumerate(values.get(part) or ()):
            where = f"{name}, '{part}', image {number + 1}"
            match item:
                case [str(path), int(label), str(class_name), *_] if class_name.strip():
                    parts[part].append((check_relative(path, where), label))
                    if names.setdefault(label, class_name) != class_name:
                        raise DataError(
                            f"{where}: class {label} is called '{class_name}' here, but "
                            f"'{names[label]}' before."
                        )
                case _:
                    raise DataError(f"{where} is not [path, label, class name].", "Get CoOp's list again.")
    return parts, names


def _keys(names: Mapping[int, str]) -> dict[int, str]:
    """What tells the classes apart: their names, with the label where two have one name."""
    counts = Counter(names.values())
    return {label: name if counts[name] == 1 else f"{name} ({label})" for label, name in names.items()}


def _image_folder(source: Source, name: str, paths: Sequence[str], known: KnownDataset | None) -> str:
    """Find the folder that the listed paths start from: the usual one, else any near the list."""
    usual = known.image_folders if known is not None else ()
    near = [entry.name for entry in names_in(source).values() if entry.is_folder]
    tried = paths[:: max(1, len(paths) // _TRIED)][:_TRIED]
    best, most = "", 0
    for base in dict.fromkeys((*usual, ".", *near)):
        found = sum(_is_there(source, joined(base, path)) for path in tried)
        if found == len(tried) > 0:
            return base
        if found > most:
            best, most = base, found
    if not best:
        wanted = f"'{usual[0]}'" if usual and usual[0] != "." else "the folder of images"
        first = f" such as {paths[0]}" if paths else ""
        raise DataError(
            f"None of the images that {name} lists{first} lies under {source.root}.",
            f"Put {wanted} beside the list.",
        )
    return best


def _is_there(source: Source, path: str) -> bool:
    folder, _, last = path.rpartition("/")
    return last in names_in(source, folder or ".")
