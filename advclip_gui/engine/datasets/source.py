"""What lies under a data root, whether that is a folder on disk, a zip, or a list's own folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from advclip_gui.engine.errors import DataError
from advclip_gui.engine.file_access import archive, is_list, is_zip, open_file
from advclip_gui.engine.images import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TEXT_LIMIT: Final = 128 * 2**20
"""Lists and class names beyond this are not read."""

SYSTEM_FOLDERS: Final = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information"})


class Entry(NamedTuple):
    """One name in a folder; the size is that of images only."""

    name: str
    is_folder: bool
    size_bytes: int


class Source(Protocol):
    """A tree of files, by relative paths with forward slashes; "." is the top."""

    @property
    def root(self) -> Path:
        """What joined with a relative path opens a file."""

    def entries(self, place: str) -> Sequence[Entry]:
        """What a folder holds, sorted by name.

        Raises:
            OSError: it cannot be looked into.
        """

    def identity(self, place: str) -> tuple[int, int] | None:
        """What tells one folder from another, None where links cannot be."""


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A folder on disk.

    Attributes:
        root: what relative paths are joined to.
        folder: where the files lie: the root, or the folder of the list that is the root.
    """

    root: Path
    folder: Path

    def entries(self, place: str) -> Sequence[Entry]:
        """See `Source`."""
        with os.scandir(self.folder / place) as found:
            return sorted(Entry(entry.name, _is_folder(entry), _size(entry)) for entry in found)

    def identity(self, place: str) -> tuple[int, int] | None:
        """See `Source`."""
        try:
            status = (self.folder / place).stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino


class ZipSource:
    """The members of a zip, read in place."""

    def __init__(self, root: Path) -> None:
        """Sort the members into folders.

        Raises:
            DataError: as `zip_archive.Archive`.
            OSError: it cannot be opened.
        """
        self._root = root
        folders: dict[str, dict[str, Entry]] = {".": {}}
        for name, info in archive(root).members.items():
            parent, _, last = name.rpartition("/")
            place = _make_folders(folders, parent)
            folders[place][last] = Entry(last, False, info.file_size)
        self._folders = folders

    @property
    def root(self) -> Path:
        """See `Source`."""
        return self._root

    def entries(self, place: str) -> Sequence[Entry]:
        """See `Source`."""
        found = self._folders.get(place)
        if found is None:
            raise FileNotFoundError(f"{place} is not in {self._root}")
        return sorted(found.values())

    def identity(self, place: str) -> tuple[int, int] | None:
        """There are no links to follow."""
        return None


class Below:
    """One folder of a source as a source of its own, with paths that still start at the top."""

    def __init__(self, source: Source, base: str) -> None:
        """Look at `base` only."""
        self._source, self.base = source, base

    @property
    def root(self) -> Path:
        """See `Source`; joined with a path relative to `base`."""
        return self._source.root / self.base

    def entries(self, place: str) -> Sequence[Entry]:
        """See `Source`."""
        return self._source.entries(self.base if place == "." else f"{self.base}/{place}")

    def identity(self, place: str) -> tuple[int, int] | None:
        """See `Source`."""
        return self._source.identity(self.base if place == "." else f"{self.base}/{place}")


def open_source(root: Path) -> Source:
    """Return the tree a root stands for.

    Raises:
        DataError: a zip that is damaged or must not be trusted.
    """
    if is_list(root):
        return FolderSource(root, root.parent)
    if not is_zip(root) or root.is_dir():
        return FolderSource(root, root)
    try:
        return ZipSource(root)
    except OSError as error:
        raise DataError(f"{root} cannot be read: {error.strerror or error}.") from error


def names_in(source: Source, place: str = ".") -> dict[str, Entry]:
    """What a folder holds, by name; empty where it cannot be looked into."""
    try:
        return {entry.name: entry for entry in source.entries(place)}
    except OSError:
        return {}


def read_text(source: Source, path: str) -> str:
    """Read a text file of the tree as UTF-8, with or without a byte order mark.

    Raises:
        DataError: it cannot be read, is too long, or is no UTF-8.
    """
    return read_text_file(source.root / path)


def read_text_file(path: Path) -> str:
    """As `read_text`, for any path `open_file` takes.

    Raises:
        DataError: it cannot be read, is too long, or is no UTF-8.
    """
    try:
        with open_file(path) as stream:
            content = stream.read(TEXT_LIMIT + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(content) > TEXT_LIMIT:
        raise DataError(f"{path} is longer than {TEXT_LIMIT // 2**20} MiB; it is no list of images.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: this is no UTF-8 text.", "Save the file as UTF-8.") from error


def _make_folders(folders: dict[str, dict[str, Entry]], path: str) -> str:
    """Note a folder and those above it; return its place."""
    if not path:
        return "."
    if path not in folders:
        parent, _, last = path.rpartition("/")
        place = _make_folders(folders, parent)
        folders[place][last] = Entry(last, True, 0)
        folders[path] = {}
    return path


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads to itself; as a file it will be reported.
        return False


def _size(entry: os.DirEntry[str]) -> int:
    if os.path.splitext(entry.name)[1].lower() not in IMAGE_SUFFIXES:
        return 0
    try:
        return entry.stat().st_size
    except OSError:
        return 0
