"""The folder an export goes to: looked at first, then filled whole or not at all; free of torch."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from safetensors import SafetensorError

from advclip_gui.engine.errors import StorageError
from advclip_gui.engine.exchange.formats import BACKBONE_FOLDER, EXPORTED_FILES, INFO_FILE, format_entry
from advclip_gui.engine.files import storage_error

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPARE_BYTES: Final = 16 * 2**20
"""What is left free beside an export, for its card and for everybody else."""
_OTHER_FILES: Final = "Choose an empty folder or a new name."


def found_there(out: Path) -> frozenset[str]:
    """Names in the folder `out`, none where it does not exist.

    Raises:
        StorageError: it is a file, cannot be read, or holds anything but an earlier export: a folder is
            replaced only where `INFO_FILE` shows that this program wrote it.
    """
    try:
        if not out.exists():
            return frozenset()
        if not out.is_dir():
            raise StorageError(f"{out} is a file.", "Choose a folder.")
        found = frozenset(path.name for path in out.iterdir())
        inside = out / BACKBONE_FOLDER
        deeper = {path.name for path in inside.iterdir()} if BACKBONE_FOLDER in found else set()
    except OSError as error:
        raise StorageError(f"{out} cannot be used: {error.strerror or error}.") from error
    if found - EXPORTED_FILES or (found and INFO_FILE not in found):
        raise StorageError(f"The folder {out} holds other files.", _OTHER_FILES)
    if deeper - {*format_entry("hugging-face").files}:
        raise StorageError(f"The folder {inside} holds other files.", _OTHER_FILES)
    return found


def check_room(folder: Path, size: int) -> None:
    """Make sure, before minutes of writing, that the disk holds what is to be written.

    Args:
        folder: an existing folder on that disk.
        size: bytes.

    Raises:
        StorageError: it does not; says how much is needed.
    """
    free = shutil.disk_usage(folder).free
    needed = size + _SPARE_BYTES
    if needed > free:
        raise StorageError(
            f"The export needs {needed / 1e6:,.0f} MB, and the disk has {free / 1e6:,.0f} MB left.",
            "Free some space, or choose another folder.",
        )


@contextmanager
def filled(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out`; on success its files take the place of an earlier export.

    Raises:
        StorageError: as `found_there`; or the disk is full, or there is no permission. `out` then stays.
    """
    before = found_there(out)
    scratch: Path | None = None
    try:
        scratch = _scratch(out)
        yield scratch
        scratch.chmod(0o755)
        if not out.exists():
            scratch.rename(out)
            scratch = None
            return
        written = {path.name for path in scratch.iterdir()}
        for name in sorted(written - {INFO_FILE}):
            if (out / name).is_dir():
                _remove(out / name)
            os.replace(scratch / name, out / name)
        for name in sorted(before - written):
            _remove(out / name)
        # The record comes last: as long as it is the old one, the folder can be exported to again.
        if INFO_FILE in written:
            os.replace(scratch / INFO_FILE, out / INFO_FILE)
    except StorageError as error:
        if scratch is None:
            raise
        # Nobody has heard of the folder in between.
        raise StorageError(error.message.replace(str(scratch), str(out)), error.hint) from error
    except (OSError, SafetensorError) as error:
        raise storage_error(out, error) from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _scratch(out: Path) -> Path:
    """A new folder on the disk of `out`: beside it, or in it where that is another disk, or not allowed."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if not out.is_dir() or out.stat().st_dev == out.parent.stat().st_dev:
        try:
            return Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
        except PermissionError:
            if not out.is_dir():
                raise
    return Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=out))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
