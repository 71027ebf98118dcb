"""The folder an export goes to: looked at first, then filled whole or not at all; free of torch."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from advclip_gui.engine.errors import StorageError
from advclip_gui.engine.exchange.formats import EXPORTED_FILES, INFO_FILE
from advclip_gui.engine.files import storage_error

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    except OSError as error:
        raise StorageError(f"{out} cannot be used: {error.strerror or error}.") from error
    if found - EXPORTED_FILES or (found and INFO_FILE not in found):
        raise StorageError(f"The folder {out} holds other files.", "Choose an empty folder or a new name.")
    return found


@contextmanager
def filled(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out`; on success its files take the place of an earlier export.

    Raises:
        StorageError: as `found_there`; or the disk is full, or there is no permission. `out` then stays.
    """
    before = found_there(out)
    scratch: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
        yield scratch
        scratch.chmod(0o755)
        if not out.exists():
            scratch.rename(out)
            scratch = None
            return
        written = sorted(path.name for path in scratch.iterdir())
        for name in sorted(before - set(written)):
            (out / name).unlink()
        # The record comes last: as long as it is the old one, the folder can be exported to again.
        for name in sorted(written, key=lambda name: name == INFO_FILE):
            os.replace(scratch / name, out / name)
    except OSError as error:
        raise storage_error(out, error) from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
