"""Take run folders away: refused while they are in training, and never half."""

from __future__ import annotations

import shutil
import uuid
from typing import TYPE_CHECKING

from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.files import storage_error
from advclip_gui.engine.runs import RunFolder

if TYPE_CHECKING:
    from pathlib import Path


def check_removable(path: Path) -> None:
    """Make sure that a folder is a run's and that no process writes to it.

    Raises:
        CheckpointError: it is not, or one does.
    """
    folder = RunFolder(path)
    if not folder.has_settings or path.is_symlink():
        raise CheckpointError(f"{path} is no run folder.")
    if folder.state() == "running":
        name = folder.path.name
        raise CheckpointError(f"The run in {name} is in training and stays.", "Stop it first.")


def delete_run(path: Path) -> None:
    """Delete a run folder for good.

    Raises:
        CheckpointError: it is no run folder, or the run is in training.
        StorageError: it could not be deleted.
    """
    check_removable(path)
    # Out of the list at once: what is left after an error is no longer a run.
    doomed = path.with_name(f".deleted-{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        path.rename(doomed)
        shutil.rmtree(doomed)
    except OSError as error:
        raise storage_error(path, error) from error
