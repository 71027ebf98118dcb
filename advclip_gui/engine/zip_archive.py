"""The members of a zip, read in place: whole, or only the first bytes for a scan of many thousands."""

from __future__ import annotations

import struct
import threading
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from advclip_gui.engine.errors import DataError

MEMBER_LIMIT: Final = 256 * 2**20
"""A file inside a zip that unpacks to more bytes is not read."""

_BOMB_RATIO: Final = 200
_BOMB_BYTES: Final = 64 * 2**20
_ENCRYPTED: Final = 0x1
_LOCAL_HEADER: Final = 30
_SMALL: Final = 48 * 1024
"""A packed member up to this length is unpacked to its end, where it shows whether an image is complete."""
_DAMAGE: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error)
"""What `zipfile` raises on a damaged file, one packed in an unknown way, or one that needs a password."""


class DamagedZipError(OSError):
    """A zip, or a file inside one, that cannot be unpacked."""


class OversizeError(OSError):
    """A file inside a zip that unpacks to more than `MEMBER_LIMIT`."""


class Start(NamedTuple):
    """How a file begins and, where that is known without reading all of it, how it ends."""

    head: bytes
    tail: bytes | None
    """None where only unpacking the whole file would tell."""
    size_bytes: int
    checksum: int | None
    """Of all its bytes, where a zip records it."""


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
            self._file = open(path, "rb", buffering=0)
        except (DataError, OSError):
            self._zip.close()
            raise
        self._lock = threading.Lock()
        self.members: dict[str, zipfile.ZipInfo] = {info.filename: info for info in infos}

    def __del__(self) -> None:
        """Close the zip with its last reader."""
        if hasattr(self, "_file"):
            self._file.close()

    def read(self, name: str) -> bytes:
        """Unpack one member.

        Raises:
            OSError: there is none of this name, it is damaged, or larger than `MEMBER_LIMIT`.
        """
        info = self._member(name)
        try:
            return self._zip.read(info)
        except _DAMAGE as error:
            raise _damaged(error) from error

    def start(self, name: str, head: int, tail: int) -> Start:
        """Read the first `head` bytes of a member, and the last `tail` where they are near at hand.

        A stored member is read in these two places only, a packed one from its beginning; a short one
        to its end, and its checksum is looked at.

        Raises:
            OSError: as `read`.
        """
        info = self._member(name)
        stored = info.compress_type == zipfile.ZIP_STORED
        if not stored and info.compress_type != zipfile.ZIP_DEFLATED:
            content = self.read(name)
            return Start(content[:head], content[-tail:], len(content), info.CRC)
        size = info.file_size
        whole = size <= max(head + tail, _SMALL)
        # Deflate never makes its input longer than by a few bytes in a thousand.
        place, raw = self._raw(info, min(info.compress_size, 2 * (size if whole else head) + 1024))
        if stored and not whole:
            return Start(raw[:head], self._at(place + size - tail, tail), size, info.CRC)
        try:
            unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
            content = raw if stored else unpacker.decompress(raw, max(1, size if whole else head))
        except zlib.error as error:
            raise _damaged(error) from error
        if not whole:
            return Start(content, None, size, info.CRC)
        if len(content) != size or zlib.crc32(content) != info.CRC:
            raise _damaged("its checksum is another")
        return Start(content[:head], content[-tail:], size, info.CRC)

    def _member(self, name: str) -> zipfile.ZipInfo:
        info = self.members.get(name)
        if info is None:
            raise FileNotFoundError(f"{name} is not in {self.path}")
        if info.file_size > MEMBER_LIMIT:
            raise OversizeError(f"{name} unpacks to more than {MEMBER_LIMIT // 2**20} MiB")
        return info

    def _raw(self, info: zipfile.ZipInfo, length: int) -> tuple[int, bytes]:
        """Where a member's bytes begin in the zip, and the first of them as they are packed."""
        guess = _LOCAL_HEADER + len(info.filename.encode("utf-8", "surrogateescape")) + 64
        found = self._at(info.header_offset, guess + length)
        if not found.startswith(b"PK\x03\x04") or len(found) < _LOCAL_HEADER:
            raise _damaged("a file does not begin where the directory says")
        start = _LOCAL_HEADER + sum(struct.unpack_from("<HH", found, 26))
        place = info.header_offset + start
        raw = found[start : start + length]
        return place, raw if len(raw) == length else self._at(place, length)

    def _at(self, place: int, length: int) -> bytes:
        with self._lock:
            self._file.seek(place)
            return self._file.read(length) or b""


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


def _damaged(reason: object) -> DamagedZipError:
    return DamagedZipError(f"the zip is damaged here ({reason})")


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
