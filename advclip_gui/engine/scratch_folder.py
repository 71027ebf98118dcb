"""A hidden folder that takes its place when all went well, and else goes away."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from advclip_gui.engine.files import storage_error

if TYPE_CHECKING:
    from types import TracebackType


class ScratchFolder:
    """To be filled in a `with` block.

    Attributes:
        target: the place it takes at the end; its parent is made if need be.
        path: where it is to be filled.
    """

    def __init__(self, target: Path) -> None:
        """Name the place; nothing is made yet."""
        self.target = self.path = target

    def __enter__(self) -> ScratchFolder:
        """Make the hidden folder. Raises `StorageError`."""
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self.path = Path(tempfile.mkdtemp(prefix=".new-", dir=self.target.parent))
        except OSError as error:
            raise storage_error(self.target, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put it in its place, or take it away after an error. Raises `StorageError`."""
        try:
            if kind is None:
                self.path.chmod(0o755)
                self.path.rename(self.target)
        except OSError as problem:
            raise storage_error(self.target, problem) from problem
        finally:
            shutil.rmtree(self.path, ignore_errors=True)
