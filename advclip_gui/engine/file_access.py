"""Open a file by its path, also where the path leads on into a zip or beside a list of images.

A zip is named as if it were a folder (``pets.zip/cat/1.jpg``), and a list of images as if it were its own
folder (``pets.csv/cat/1.jpg`` is ``cat/1.jpg`` beside it): whoever joins a data root and a relative path
needs not know what the root is. Nothing is ever extracted.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final

from advclip_gui.engine.errors import DataError

ZIP_SUFFIXES: Final = frozenset({".zip"})
LIST_SUFFIXES: Final = frozenset({".csv", ".tsv", ".jsonl"})
"""Endings of lists of images, in lower case."""

MEMBER_LIMIT: Final = 256 * 2**20
"""A file inside a zip that unpacks to more bytes is not read."""

_BOMB_RATIO: Final = 200
_BOMB_BYTES: Final = 64 * 2**20
_ENCRYPTED: Final = 0x1
_DAMAGE: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error)
"""What `zipfile` raises on a damaged file, one packed in an unknown way, or one that needs a password."""


class NotRegularError(OSError):
    """A folder, device or pipe where a file was expected."""


class DamagedZipError(OSError):
    """A zip, or a file inside one, that cannot be unpacked."""


class OversizeError(OSError):
    """A file inside a zip that unpacks to more than `MEMBER_LIMIT`."""


class Archive:
    """The members of a zip; reading is safe from several threads."""

    def __init__(self, path: Path) -> None:
        """Read the directory of the zip; no member is unpacked.

        Raises:
            DataError: it is no zip, or one that must not be trusted: names that lead out of it,
                encrypted files, or files that unpack to far more than a picture can hold.
            OSError: it cannot be opened.
        """
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except _DAMAGE as error:
            raise DataError(f"{path} is no zip, or a damaged one.", "Make it anew, or unpack it.") from error
        try:
            infos = [info for info in self._zip.infolist() if not info.is_dir()]
            for info in infos:
                _check_member(path, info)
            packed = sum(info.compress_size for info in infos)
            if sum(info.file_size for info in infos) > max(_BOMB_RATIO * packed, _BOMB_BYTES):
                raise _bomb(path, "it")
        except DataError:
            self._zip.close()
            raise
        self.members: dict[str, zipfile.ZipInfo] = {info.filename: info for info in infos}

    def read(self, name: str) -> bytes:
        """Unpack one member.

        Raises:
            OSError: there is none of this name, it is damaged, or larger than `MEMBER_LIMIT`.
        """
        info = self.members.get(name)
        if info is None:
            raise FileNotFoundError(f"{name} is not in {self.path}")
        if info.file_size > MEMBER_LIMIT:
            raise OversizeError(f"{name} unpacks to more than {MEMBER_LIMIT // 2**20} MiB")
        try:
            return self._zip.read(info)
        except _DAMAGE as error:
            raise DamagedZipError(f"the zip is damaged here ({error})") from error


@lru_cache(maxsize=2)
def _kept_open(path: Path, _changed: int, _length: int) -> Archive:
    """The zips read last: their directories are long. One that is let go is closed with its last reader."""
    return Archive(path)


def archive(path: Path) -> Archive:
    """Return a zip's members, from the few that are kept open.

    Raises:
        DataError: as `Archive`.
        OSError: as `Archive`.
    """
    status = path.stat()
    return _kept_open(path, status.st_mtime_ns, status.st_size)


def is_zip(path: Path) -> bool:
    """Whether a path names a zip, by its ending."""
    return path.suffix.lower() in ZIP_SUFFIXES


def is_list(path: Path) -> bool:
    """Whether a path names a list of images, by its ending."""
    return path.suffix.lower() in LIST_SUFFIXES


def open_file(path: Path) -> io.BufferedReader | io.BytesIO:
    """Open a file for reading, on disk, inside a zip or beside a list.

    Raises:
        OSError: as the system says it; NotRegularError for what is no file.
    """
    try:
        mode = os.stat(path).st_mode
    except (NotADirectoryError, FileNotFoundError):
        found = _inside(path)
        if found is None:
            raise
        container, name = found
        if is_list(container):
            return open_file(container.parent / name)
        try:
            return io.BytesIO(archive(container).read(name))
        except DataError as error:
            raise DamagedZipError(error.message.rstrip(".")) from error
    if not stat.S_ISREG(mode):
        raise NotRegularError("it is not a regular file")
    return open(path, "rb")


def _inside(path: Path) -> tuple[Path, str] | None:
    """Return the zip or list that a path leads through, and the rest of the path."""
    for parent in path.parents:
        if parent.is_dir():
            return None
        if parent.is_file():
            known = is_zip(parent) or is_list(parent)
            return (parent, path.relative_to(parent).as_posix()) if known else None
    return None


def _check_member(path: Path, info: zipfile.ZipInfo) -> None:
    name = info.filename
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or (pure.parts and pure.parts[0].endswith(":")):
        raise DataError(
            f"The zip {path} names a file outside itself, '{name}', as no honest archive does.",
            "It is not read; get it from another place.",
        )
    if info.flag_bits & _ENCRYPTED:
        raise DataError(
            f"The zip {path} is encrypted ('{name}' needs a password).", "Unpack it, and open the folder."
        )
    if info.file_size > _BOMB_BYTES and info.file_size > _BOMB_RATIO * max(1, info.compress_size):
        raise _bomb(path, f"'{name}' in it")


def _bomb(path: Path, what: str) -> DataError:
    return DataError(
        f"The zip {path} is not read: {what} unpacks to more than {_BOMB_RATIO} times its size, "
        "as a decompression bomb does.",
        "If you trust it, unpack it and open the folder.",
    )
