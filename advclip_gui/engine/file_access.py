"""Open a file by its path, also where the path leads on into a zip or beside a list of images.

A zip is named as if it were a folder (``pets.zip/cat/1.jpg``), and a list of images as if it were its own
folder (``pets.csv/cat/1.jpg`` is ``cat/1.jpg`` beside it): whoever joins a data root and a relative path
needs not know what the root is. Nothing is ever extracted.
"""

from __future__ import annotations

import io
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from advclip_gui.engine.errors import DataError
from advclip_gui.engine.zip_archive import Archive, DamagedZipError, OversizeError, Start, archive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "LIST_SUFFIXES",
    "ZIP_SUFFIXES",
    "Archive",
    "DamagedZipError",
    "NotRegularError",
    "OversizeError",
    "Readable",
    "Start",
    "archive",
    "is_list",
    "is_zip",
    "open_file",
    "open_start",
]

ZIP_SUFFIXES: Final = frozenset({".zip"})
LIST_SUFFIXES: Final = frozenset({".csv", ".tsv", ".jsonl"})
"""Endings of lists of images, in lower case."""

_FURTHER: Final = 128 * 1024
"""Bytes of a member behind its head that can be read on: no header of a photo is longer."""


class NotRegularError(OSError):
    """A folder, device or pipe where a file was expected."""


def is_zip(path: Path) -> bool:
    """Whether a path names a zip, by its ending."""
    return path.suffix.lower() in ZIP_SUFFIXES


def is_list(path: Path) -> bool:
    """Whether a path names a list of images, by its ending."""
    return path.suffix.lower() in LIST_SUFFIXES


class Readable(Protocol):
    """What reads on from where it stands."""

    def read(self, length: int, /) -> bytes:
        """Return the next bytes, fewer at the end."""


def open_file(path: Path) -> io.BufferedReader | io.BytesIO:
    """Open a file for reading, on disk, inside a zip or beside a list.

    Raises:
        OSError: as the system says it; NotRegularError for what is no file.
    """
    place = _locate(path)
    if isinstance(place, _Member):
        return io.BytesIO(_archive(place).read(place.name))
    return open(place, "rb")


@contextmanager
def open_start(path: Path, head: int, tail: int) -> Iterator[tuple[Start, Readable]]:
    """Read how a file begins and ends, wherever `open_file` finds it; a zip's member is not unpacked whole.

    Args:
        path: the file.
        head: bytes from its beginning.
        tail: bytes from its end.

    Yields:
        Both, and what reads on behind the head, for some 100 kB.

    Raises:
        OSError: as `open_file`.
    """
    place = _locate(path)
    if isinstance(place, _Member):
        members = _archive(place)
        yield members.start(place.name, head, tail), _Rest(members, place.name, head)
        return
    with open(place, "rb") as stream:
        first = stream.read(head)
        if len(first) < head:
            yield Start(first, first[-tail:], len(first), None), stream
            return
        size = stream.seek(-tail, os.SEEK_END) + tail
        last = stream.read(tail)
        stream.seek(head)
        yield Start(first, last, size, None), stream


class _Member(NamedTuple):
    archive: Path
    name: str


class _Rest:
    """What follows the head of a zip's member; unpacked only if it is asked for, which is rare."""

    def __init__(self, members: Archive, name: str, head: int) -> None:
        self._members, self._name, self._head = members, name, head
        self._stream: io.BytesIO | None = None

    def read(self, length: int, /) -> bytes:
        if self._stream is None:
            start = self._members.start(self._name, self._head + _FURTHER, 1)
            self._stream = io.BytesIO(start.head[self._head :])
        return self._stream.read(length)


def _archive(member: _Member) -> Archive:
    try:
        return archive(member.archive)
    except DataError as error:
        raise DamagedZipError(error.message.rstrip(".")) from error


def _locate(path: Path) -> Path | _Member:
    """Return the regular file, or the member of a zip, that a path leads to."""
    try:
        mode = os.stat(path).st_mode
    except (NotADirectoryError, FileNotFoundError):
        for parent in path.parents:
            if is_zip(parent) and parent.is_file():
                return _Member(parent, path.relative_to(parent).as_posix())
            if is_list(parent) and parent.is_file():
                return _locate(parent.parent / path.relative_to(parent))
        raise
    if not stat.S_ISREG(mode):
        raise NotRegularError("it is not a regular file")
    return path
