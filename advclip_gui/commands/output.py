"""Results for people on standard output, and for programs in a JSON file."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from advclip_gui.engine.files import write_json_atomic

if TYPE_CHECKING:
    from collections.abc import Sequence


def write_json(path: Path | None, command: str, result: dict[str, Any]) -> None:
    """Write a command's result if a file was asked for. Raises `StorageError`."""
    if path is not None:
        write_json_atomic(path, {"command": command, **plain(result)})


def plain(value: Any) -> Any:
    """Turn a result into what JSON knows: no tuples, paths, NaN or infinity."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if value is None or isinstance(value, str | int):
        return value
    return str(value)


def table(rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Print rows in columns, the first `left` aligned to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo("  ".join(cells).rstrip())


def percent(share: float | None) -> str:
    """Write a share in [0, 1], e.g. ``72.5 %``; a dash where there is none."""
    return "-" if share is None else f"{100 * share:.1f} %"


def percent_with_interval(share: float | None, interval: Sequence[float] | None) -> str:
    """Write a share with its interval, e.g. ``72.5 % (69.6 to 75.2)``."""
    if share is None or interval is None:
        return percent(share)
    return f"{percent(share)} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"


def file_list(folder: Path) -> list[str]:
    """Return the names of the files below a folder, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())
