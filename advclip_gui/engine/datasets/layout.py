"""Find out how a dataset lies on disk, and list its images: one function for every layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from advclip_gui.engine.datasets.coop import read_coop, split_files
from advclip_gui.engine.datasets.fgvc import fgvc_place, read_fgvc
from advclip_gui.engine.datasets.imagenet import imagenet_place, read_imagenet
from advclip_gui.engine.datasets.known import dataset_by_folder
from advclip_gui.engine.datasets.list_file import read_list
from advclip_gui.engine.datasets.listed import joined
from advclip_gui.engine.datasets.records import FoundLayout, Problem
from advclip_gui.engine.datasets.source import SYSTEM_FOLDERS, Below, names_in, open_source
from advclip_gui.engine.datasets.walk import SPLIT_FOLDERS, FoundFile, Tree, ignore_files, list_tree
from advclip_gui.engine.errors import DataError
from advclip_gui.engine.file_access import LIST_SUFFIXES, is_list, is_zip

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.source import Source
    from advclip_gui.engine.datasets.walk import OnFiles
    from advclip_gui.settings.data import LayoutName

LAYOUT_TITLES: Final[dict[FoundLayout, str]] = {
    "folders": "Class folders",
    "coop": "CoOp list",
    "fgvc": "FGVC lists",
    "imagenet": "ImageNet synsets",
    "list": "List of images",
}


@dataclass(frozen=True, slots=True)
class Layout:
    """How a dataset lies on disk, and what is listed there.

    Attributes:
        name: of the layout.
        dataset: key of a known dataset, "" where it is none.
        tree: the images, relative to the root.
    """

    name: FoundLayout
    dataset: str
    tree: Tree


def find_layout(
    root: Path, control: Control, *, layout: LayoutName = "auto", on_files: OnFiles = ignore_files
) -> Layout:
    """Recognise a layout, or read the one that is asked for.

    Args:
        root: a folder, a zip, or a list of images.
        control: progress and cancel.
        layout: "auto" recognises; another name overrules.
        on_files: hears of the files as they are found.

    Raises:
        DataError: the layout asked for is not there, or what describes it is damaged.
        Cancelled: through `control`.
    """
    source = open_source(root)
    base = _lone_folder(source) if is_zip(root) else ""
    if not base:
        return _read(source, root, control, layout, on_files)

    def lifted(files: Sequence[FoundFile]) -> list[FoundFile]:
        return [
            FoundFile(joined(base, file.path), file.class_name, file.split, file.size_bytes) for file in files
        ]

    found = _read(Below(source, base), root / base, control, layout, lambda files: on_files(lifted(files)))
    tree = found.tree
    tree.files = lifted(tree.files)
    tree.problems = [
        Problem(joined(base, problem.path), problem.kind, problem.message) for problem in tree.problems
    ]
    return found


def _read(source: Source, root: Path, control: Control, layout: LayoutName, on_files: OnFiles) -> Layout:
    name = _recognised(source, root) if layout == "auto" else layout
    by_name = dataset_by_folder(root.stem if is_zip(root) else root.name)
    dataset = by_name.key if by_name is not None else ""
    if name == "coop":
        tree, known = read_coop(source, control, on_files)
        return Layout("coop", known.key if known is not None else dataset, tree)
    if name == "fgvc":
        return Layout("fgvc", "fgvc_aircraft", read_fgvc(source, control, on_files))
    if name == "imagenet":
        return Layout("imagenet", "imagenet", read_imagenet(source, control, on_files))
    if name == "list":
        return Layout("list", dataset, read_list(source, _list_of(source, root), control, on_files))
    if is_list(root):
        raise DataError(f"{root} is a list of images, not a folder.", "Choose the layout 'list'.")
    return Layout("folders", dataset, list_tree(source, control, on_files))


def _recognised(source: Source, root: Path) -> FoundLayout:
    if is_list(root):
        return "list"
    if split_files(source):
        return "coop"
    if fgvc_place(source) is not None:
        return "fgvc"
    if imagenet_place(source) is not None:
        return "imagenet"
    # A list that merely lies in a folder is opened by its own name; in a zip it can only be meant.
    if len(_lists(source)) == 1 and not source.root.is_dir():
        return "list"
    return "folders"


def _lists(source: Source) -> list[str]:
    return [
        name
        for name, entry in names_in(source).items()
        if not entry.is_folder and any(name.lower().endswith(suffix) for suffix in LIST_SUFFIXES)
    ]


def _list_of(source: Source, root: Path) -> Path:
    if is_list(root):
        return root
    lists = _lists(source)
    if len(lists) != 1:
        raise DataError(
            f"There {'are several lists' if lists else 'is no list'} (.csv, .tsv, .jsonl) in {root}.",
            "Open the list itself.",
        )
    return source.root / lists[0]


def _lone_folder(source: Source) -> str:
    """Return the one folder that all of a zip lies in, if it is no class; else ""."""
    names = {
        name: entry
        for name, entry in names_in(source).items()
        if name.lower() not in SYSTEM_FOLDERS and not name.startswith(".")
    }
    if len(names) != 1:
        return ""
    name, entry = next(iter(names.items()))
    if name.lower() in SPLIT_FOLDERS:
        return ""
    inside = names_in(source, name)
    listed = _lists(Below(source, name)) or split_files(Below(source, name))
    return name if entry.is_folder and (listed or any(item.is_folder for item in inside.values())) else ""
