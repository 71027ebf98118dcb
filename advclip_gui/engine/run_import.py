"""Take in a run folder from another machine: looked at first, then copied whole under a new name."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from advclip_gui.engine import runs
from advclip_gui.engine.errors import CheckpointError, StorageError
from advclip_gui.engine.files import storage_error, write_json_atomic, write_text_atomic
from advclip_gui.settings import DEMO_FOLDER

if TYPE_CHECKING:
    from advclip_gui.engine.control import Control
    from advclip_gui.settings import RunSettings

MOST_FILES = 10_000
"""A run has some ten files; a folder with more than these is something else."""
MOST_SETTINGS_BYTES = 64 * 2**20
_SPARE_BYTES = 64 * 2**20
_BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What an import would take in.

    Attributes:
        source: the folder.
        settings: what the run was told.
        files: paths below `source` that are copied.
        size: bytes altogether.
        state: how the run stood there; a run in training there is taken as interrupted.
        missing_data: the data folder named in the settings, where it is not on this machine; else "".
        missing_checkpoint: the backbone's checkpoint file, likewise.
    """

    source: Path
    settings: RunSettings
    files: tuple[Path, ...]
    size: int
    state: str
    missing_data: str
    missing_checkpoint: str


def look_at(source: Path, control: Control) -> ImportPlan:
    """Check a folder without changing anything.

    Raises:
        CheckpointError: it is no run folder, its settings cannot be read, or it holds what is not copied:
            links that lead out of it, devices, too many files.
    """
    source = Path(source).absolute()
    if not source.is_dir():
        raise CheckpointError(f"There is no folder {source}.")
    settings_file = source / "settings.toml"
    if not settings_file.is_file():
        inside = sorted(path.parent.name for path in source.glob("*/settings.toml"))
        hint = f"It holds runs: {', '.join(inside[:5])}. Choose one of them." if inside else ""
        raise CheckpointError(
            f"{source} is no run folder: it has no settings.toml.", hint or "Choose the folder of one run."
        )
    if settings_file.stat().st_size > MOST_SETTINGS_BYTES:
        raise CheckpointError(f"{settings_file} is too large for a settings file.")
    found = _files(source, control)
    folder = runs.RunFolder(source)
    settings = folder.settings()
    return ImportPlan(
        source=source,
        settings=settings,
        files=tuple(path for path, _ in found),
        size=sum(size for _, size in found),
        state=folder.state(),
        missing_data=_missing(settings.data.folder) if settings.data.folder != DEMO_FOLDER else "",
        missing_checkpoint=_missing(settings.backbone.checkpoint),
    )


def take_in(plan: ImportPlan, control: Control, *, root: Path | None = None, data_folder: str = "") -> Path:
    """Copy the run below `root`; it appears there whole or not at all.

    Args:
        plan: from `look_at`.
        control: hears of the progress; a cancelled import leaves nothing behind.
        root: the folder of runs, None for the platform's.
        data_folder: where its images are on this machine; "" keeps what the settings say.

    Returns:
        The new run folder.

    Raises:
        CheckpointError: the folder has changed since it was looked at.
        StorageError: the disk is full, or there is no permission.
    """
    root = runs.runs_root() if root is None else root
    if plan.source in (root, *root.parents):
        raise CheckpointError(f"{plan.source} holds the runs of this machine and cannot be one of them.")
    scratch: Path | None = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(root).free
        if free < plan.size + _SPARE_BYTES:
            raise StorageError(
                f"The run needs {plan.size / 2**20:,.0f} MB, and {free / 2**20:,.0f} MB are free in {root}.",
                "Free some space and try again.",
            )
        scratch = Path(tempfile.mkdtemp(prefix=".import-", dir=root))
        copied = 0
        for path in plan.files:
            copied = _copy(plan.source / path, scratch / path, control, copied, plan.size)
        _settle(scratch, plan, data_folder)
        target = runs.new_run_dir(plan.settings, root)
        scratch.rename(target)
        scratch = None
        return target
    except OSError as error:
        raise storage_error(root, error) from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _files(source: Path, control: Control) -> list[tuple[Path, int]]:
    """Every plain file with its size; hidden ones and leftovers of interrupted writes are passed over."""
    inside = source.resolve()
    found: list[tuple[Path, int]] = []
    try:
        for folder, names, files in os.walk(source, onerror=_raise):
            control.check()
            names[:] = sorted(name for name in names if not name.startswith("."))
            for name in sorted([*names, *files]):
                path = Path(folder) / name
                kind = path.lstat().st_mode
                if stat.S_ISLNK(kind):
                    _check_link(path, inside)
                if name in names or name.startswith(".") or name.endswith(".part"):
                    continue
                status = path.stat()
                if not stat.S_ISREG(status.st_mode):
                    raise CheckpointError(f"{path} is no plain file; a run folder holds only files.")
                found.append((path.relative_to(source), status.st_size))
                if len(found) > MOST_FILES:
                    raise CheckpointError(
                        f"{source} holds more than {MOST_FILES:,} files.", "Choose the folder of one run."
                    )
    except OSError as error:
        raise CheckpointError(f"{source} cannot be read: {error.strerror or error}.") from error
    return found


def _raise(error: OSError) -> None:
    raise error


def _check_link(path: Path, inside: Path) -> None:
    target = path.resolve()
    if not target.is_relative_to(inside):
        raise CheckpointError(
            f"{path} is a link that leads out of the folder.", "Replace it by the file itself, and try again."
        )
    if target.is_dir():
        raise CheckpointError(f"{path} is a link to a folder.", "Replace it by the folder itself.")


def _copy(source: Path, target: Path, control: Control, copied: int, total: int) -> int:
    control.check()
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reader, target.open("xb") as writer:
        while block := reader.read(_BLOCK):
            control.check()
            writer.write(block)
            copied += len(block)
            if copied > total + _BLOCK:
                raise CheckpointError(f"{source} grew while it was copied.", "Wait until the run has ended.")
            control.progress("Copying the run", copied, max(total, 1))
    return copied


def _settle(scratch: Path, plan: ImportPlan, data_folder: str) -> None:
    """Say of the copy what is true here: where its images are, and that no process here trains it."""
    if data_folder:
        place = str(Path(data_folder).expanduser().absolute())
        data = plan.settings.data.model_copy(update={"folder": place})
        settings = plan.settings.model_copy(update={"data": data})
        write_text_atomic(scratch / "settings.toml", settings.to_toml())
    try:
        record = json.loads((scratch / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # reads as interrupted as it is
    if isinstance(record, dict):
        state = "interrupted" if record.get("state") == "running" else record.get("state", "interrupted")
        write_json_atomic(scratch / "state.json", {**record, "state": state, "pid": None, "imported": True})


def _missing(place: str) -> str:
    return place if place and not Path(place).expanduser().exists() else ""
