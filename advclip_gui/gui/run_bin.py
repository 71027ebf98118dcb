"""Move run folders to the system's bin, adapters to the library's, and both back; for a worker thread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QFile

from advclip_gui.engine.adapter_library import BIN, AdapterLibrary
from advclip_gui.engine.errors import StorageError, UserError
from advclip_gui.engine.files import storage_error
from advclip_gui.engine.run_removal import check_removable, delete_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.run_list import RunSummary


@dataclass(frozen=True, slots=True)
class Binned:
    """A run in the bin: where it was, and where it is now ("" where the system does not tell).

    Attributes:
        key: of an adapter, whose `place` is the library's bin; "" for a run.
    """

    path: Path
    place: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class BinOutcome:
    """What became of several runs and adapters.

    Attributes:
        binned: those in the bin now.
        without_bin: those the system has no bin for, e.g. on a network drive; they are where they were.
        refused: a sentence for each that stays, e.g. because it is in training.
    """

    binned: tuple[Binned, ...] = ()
    without_bin: tuple[Path, ...] = ()
    refused: tuple[str, ...] = ()


def to_bin(path: Path) -> tuple[bool, str]:
    """Hand a folder to the system's bin: whether it took it, and where it is there ("" if not told)."""
    handle = QFile(str(path))
    moved = handle.moveToTrash()
    place = handle.fileName()
    return moved, place if moved and place != str(path) else ""


def move_to_bin(lines: Sequence[RunSummary], control: Control) -> BinOutcome:
    """Move run folders to the bin, one after the other, and adapters out of the library.

    The folder of an adapter that was opened in place stays there.
    """
    binned: list[Binned] = []
    without: list[Path] = []
    refused: list[str] = []
    for line in lines:
        control.check()
        path = line.path
        try:
            if line.is_adapter:
                AdapterLibrary().remove(line.key)
                binned.append(Binned(path, BIN, line.key))
                continue
            if line.part_of:
                refused.append(f"'{line.name}' stays with its experiment {line.part_of}.")
                continue
            check_removable(path)
        except UserError as error:
            refused.append(str(error))
            continue
        moved, place = to_bin(path)
        if moved:
            binned.append(Binned(path, place))
        else:
            without.append(path)
    return BinOutcome(tuple(binned), tuple(without), tuple(refused))


def put_back(binned: Sequence[Binned], control: Control) -> list[Path]:
    """Take runs out of the bin again.

    Raises:
        StorageError: one is no longer there, or its place is taken.
    """
    back: list[Path] = []
    for one in binned:
        control.check()
        if one.key:
            AdapterLibrary().put_back(one.key)
            back.append(one.path)
            continue
        place = Path(one.place)
        if not one.place or not place.is_dir():
            raise StorageError(f"The run {one.path.name} is no longer in the bin.")
        if one.path.exists():
            raise StorageError(f"{one.path} exists again; the run stays in the bin, in {place}.")
        try:
            place.rename(one.path)
            # What desktops following freedesktop.org keep about a file in the bin.
            (place.parent.parent / "info" / f"{place.name}.trashinfo").unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(one.path, error) from error
        back.append(one.path)
    return back


def delete_for_good(paths: Sequence[Path], control: Control) -> list[Path]:
    """Delete run folders where there is no bin. Raises `UserError` at the first that cannot be."""
    for path in paths:
        control.check()
        delete_run(path)
    return list(paths)
