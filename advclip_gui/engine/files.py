"""Write files whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from safetensors import SafetensorError

from advclip_gui.engine.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYSTEM_ERROR: Final = re.compile(r"\(os error (\d+)\)")


def as_system_error(error: OSError | SafetensorError) -> OSError:
    """The system's error behind one of safetensors, which tells of a full disk in words of its own."""
    if isinstance(error, OSError):
        return error
    number = _SYSTEM_ERROR.search(str(error))
    code = int(number[1]) if number else errno.EIO
    return OSError(code, os.strerror(code))


def storage_error(path: Path, error: OSError | SafetensorError) -> StorageError:
    """Say which file could not be written, why, and what to do."""
    error = as_system_error(error)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageError(
            f"The disk is full: {path} could not be written. What was there before is untouched.",
            "Free some space, or choose another folder, and try again.",
        )
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return StorageError(f"There is no permission to write {path}.", "Choose another folder.")
    return StorageError(f"{path} could not be written: {error.strerror or error}.")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, else it is removed.

    Raises:
        StorageError: the disk is full, or there is no permission. The old file stays.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise storage_error(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Replace `path` by `data`. Raises `StorageError`; the old file then stays."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def write_text_atomic(path: Path, text: str) -> None:
    """Replace `path` by UTF-8 text. Raises `StorageError`; the old file then stays."""
    write_bytes_atomic(path, text.encode("utf-8"))


def write_json_atomic(path: Path, value: Any) -> None:
    """Replace `path` by indented JSON. Raises `StorageError`; the old file then stays."""
    write_text_atomic(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def append_line(path: Path, text: str) -> None:
    """Append one line in one write, so that a crash loses at most this line.

    Raises:
        StorageError: the disk is full, or there is no permission.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text.rstrip("\n") + "\n")
    except OSError as error:
        raise storage_error(path, error) from error


def read_json_object(path: Path) -> dict[str, Any] | None:
    """The object a file holds; None where there is no such file, or something else in it."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def free_folder(parent: Path, stem: str) -> Path:
    """A path below `parent` that does not exist yet: `stem`, or `stem` with a number; nothing is created."""
    candidate, number = parent / stem, 2
    while candidate.exists():
        candidate, number = parent / f"{stem}-{number}", number + 1
    return candidate
