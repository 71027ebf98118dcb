"""List the image files of a class-per-folder tree, with or without train / val / test."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from advclip_gui.engine.datasets.records import Problem, ProblemKind, SplitName
from advclip_gui.engine.datasets.source import SYSTEM_FOLDERS
from advclip_gui.engine.images import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.source import Source

SPLIT_FOLDERS: Final[dict[str, SplitName]] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Folder names, in lower case, that mean a split."""


OnFiles = Callable[[Sequence["FoundFile"]], None]


def ignore_files(files: Sequence[FoundFile]) -> None:
    """Hear of files and do nothing."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that is an image by its name."""

    path: str
    class_name: str
    split: SplitName
    size_bytes: int


@dataclass(slots=True)
class Tree:
    """What lies under a root."""

    files: list[FoundFile] = field(default_factory=list)
    class_folders: dict[str, set[SplitName]] = field(default_factory=dict)
    """Every class folder that was seen, empty ones too, and in which splits."""
    problems: list[Problem] = field(default_factory=list)
    loose_images: int = 0
    ignored_files: int = 0
    class_names: dict[str, str] = field(default_factory=dict)
    """Names the layout itself gives, in the order of its labels; empty where the folders' names count."""


@dataclass(slots=True)
class _Listing:
    """One folder's entries: relative paths of folders, and images with their sizes, sorted."""

    folders: list[str] = field(default_factory=list)
    images: list[tuple[str, int]] = field(default_factory=list)


def list_tree(source: Source, control: Control, on_files: OnFiles = ignore_files) -> Tree:
    """Walk a tree of class folders; nothing is opened. `on_files` hears of the files as they are found.

    A folder named like a split counts as one only if it holds folders: a class may be called
    "test". Symbolic links are followed, but never in a circle.

    Raises:
        Cancelled: the user asked for it.
    """
    return _Walker(source, control, on_files).walk()


class _Walker:
    def __init__(self, source: Source, control: Control, on_files: OnFiles) -> None:
        self.source = source
        self.control = control
        self.on_files = on_files
        self.tree = Tree()

    def walk(self) -> Tree:
        top = self._list(".")
        listings = {name: self._list(name) for name in top.folders if name.lower() in SPLIT_FOLDERS}
        if any(listing.folders for listing in listings.values()):
            self._walk_splits(top, listings)
        else:
            self._loose(".", top.images)
            self._walk_classes(top.folders, "all", listings)
        self.tree.files.sort(key=lambda file: file.path)
        return self.tree

    def _walk_splits(self, top: _Listing, listings: dict[str, _Listing]) -> None:
        self._loose(".", top.images)
        for name, listing in listings.items():
            self._loose(name, listing.images)
            self._walk_classes(listing.folders, SPLIT_FOLDERS[name.lower()], {})
        others = [name for name in top.folders if name not in listings]
        if not any(SPLIT_FOLDERS[name.lower()] == "train" for name in listings):
            # Classes beside a lone test folder are what is there to train on.
            self._walk_classes(others, "all", {})
            return
        for name in others:
            self._problem(
                name, "loose_folder", "This folder lies beside the train and test folders and is left out."
            )

    def _walk_classes(self, folders: Sequence[str], split: SplitName, known: dict[str, _Listing]) -> None:
        for folder in folders:
            class_name = folder.rpartition("/")[2]
            self.tree.class_folders.setdefault(class_name, set()).add(split)
            self._walk_class(folder, class_name, split, known.get(folder))

    def _walk_class(self, folder: str, class_name: str, split: SplitName, known: _Listing | None) -> None:
        seen = {self.source.identity(parent) for parent in (".", folder.rpartition("/")[0] or ".")}
        pending = [folder]
        while pending:
            place = pending.pop()
            identity = self.source.identity(place)
            if identity is not None and identity in seen:
                self._problem(
                    place, "link_loop", "This link leads to a folder already read and is not followed."
                )
                continue
            seen.add(identity)
            listing = known if known is not None and place == folder else self._list(place)
            files = [FoundFile(path, class_name, split, size) for path, size in listing.images]
            self.tree.files += files
            self.on_files(files)
            self.control.progress("Looking for images", len(self.tree.files), 0)
            pending.extend(reversed(listing.folders))

    def _list(self, place: str) -> _Listing:
        self.control.check()
        listing = _Listing()
        try:
            found = self.source.entries(place)
        except PermissionError:
            self._problem(place, "permission", "There is no permission to look into this folder.")
            return listing
        except OSError as error:
            self._problem(place, "unreadable", f"This folder cannot be read: {error.strerror or error}.")
            return listing
        for entry in found:
            if entry.name.startswith("."):
                continue
            path = entry.name if place == "." else f"{place}/{entry.name}"
            if not _is_utf8(entry.name):
                self._problem(
                    path,
                    "bad_name",
                    "The name is not valid UTF-8, so a run could not record it; rename it.",
                )
            elif entry.is_folder:
                if entry.name.lower() not in SYSTEM_FOLDERS:
                    listing.folders.append(path)
            elif os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES:
                listing.images.append((path, entry.size_bytes))
            else:
                self.tree.ignored_files += 1
        return listing

    def _loose(self, place: str, images: Sequence[tuple[str, int]]) -> None:
        if not images:
            return
        self.tree.loose_images += len(images)
        names = ", ".join(path.rpartition("/")[2] for path, _ in images[:3])
        more = f" and {len(images) - 3} more" if len(images) > 3 else ""
        one = len(images) == 1
        self._problem(
            place,
            "loose_images",
            f"{len(images)} {'image lies' if one else 'images lie'} beside the class folders and "
            f"{'belongs' if one else 'belong'} to no class: {names}{more}. "
            f"{'It is' if one else 'They are'} left out.",
        )

    def _problem(self, path: str, kind: ProblemKind, message: str) -> None:
        shown = path.encode("utf-8", "backslashreplace").decode("utf-8")
        self.tree.problems.append(Problem(shown, kind, message))


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
