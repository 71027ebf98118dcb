"""A list of images as CSV or JSON lines: path, label or class, and perhaps split."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from advclip_gui.engine.datasets.listed import Listed, check_relative, tree_of
from advclip_gui.engine.datasets.source import read_text_file
from advclip_gui.engine.datasets.walk import SPLIT_FOLDERS
from advclip_gui.engine.errors import DataError
from advclip_gui.engine.prompts import clean_class_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.records import SplitName
    from advclip_gui.engine.datasets.source import Source
    from advclip_gui.engine.datasets.walk import OnFiles, Tree

_HELP: Final = "A list needs the columns path and class (or label), and may have split."
_CLASS_KEYS: Final = ("class", "class_name", "classname")
_PATH_KEYS: Final = ("path", "file", "filename", "image")


class ListLine(NamedTuple):
    """One image of a list."""

    number: int
    path: str
    label: str
    """As written; "" where the list names classes only."""
    class_name: str
    """As written; the label where the list has no names."""
    split: SplitName


def read_list(source: Source, path: Path, control: Control, on_files: OnFiles) -> Tree:
    """Read the images of a list file, relative to its folder.

    Raises:
        DataError: the file cannot be read, or a line of it is wrong; the line is named.
        Cancelled: through `control`.
    """
    lines = read_lines(path)
    names: dict[str, str] = {}
    labels: dict[str, str] = {}
    for line in lines:
        control.check()
        names.setdefault(line.class_name, clean_class_name(line.class_name))
        if labels.setdefault(line.class_name, line.label) != line.label:
            raise DataError(
                f"{path.name}, line {line.number}: the class '{line.class_name}' has the label {line.label} "
                f"here, but {labels[line.class_name]} before."
            )
    order = sorted(names, key=lambda name: (_number(labels[name]), name))
    listed = [Listed(line.path, line.class_name, line.split) for line in lines]
    in_order = {name: names[name] for name in order}
    return tree_of(source, listed, in_order, control, on_files, told_by=path.name)


def read_lines(path: Path) -> list[ListLine]:
    """Read a list; no image is looked at.

    Raises:
        DataError: the file cannot be read, or a line of it is wrong; the line is named.
    """
    text = read_text_file(path)
    rows = _json_rows(path, text) if path.suffix.lower() in {".jsonl", ".json"} else _csv_rows(path, text)
    lines: list[ListLine] = []
    first: dict[str, int] = {}
    for number, row in rows:
        where = f"{path.name}, line {number}"
        line = _line(where, number, row)
        if first.setdefault(line.path, number) != number:
            raise DataError(f"{where}: {line.path} is listed already in line {first[line.path]}.")
        lines.append(line)
    if not lines:
        raise DataError(f"{path} lists no images.", _HELP)
    return lines


def _line(where: str, number: int, row: Mapping[str, Any]) -> ListLine:
    path = _value(row, _PATH_KEYS)
    if not path:
        raise DataError(f"{where}: there is no path.", _HELP)
    label, class_name = _value(row, ("label",)), _value(row, _CLASS_KEYS)
    if not label and not class_name:
        raise DataError(f"{where}: there is neither class nor label.", _HELP)
    written = _value(row, ("split",))
    split: SplitName | None = SPLIT_FOLDERS.get(written.lower()) if written else "all"
    if split is None:
        raise DataError(f"{where}: '{written}' is no split.", "Write train, val or test.")
    return ListLine(number, check_relative(path, where), label, class_name or label, split)


def _value(row: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    found = next((row[key] for key in keys if row.get(key) not in (None, "")), "")
    return str(found).strip()


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    head = text.splitlines()[0] if text.strip() else ""
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter, strict=True)
    columns: list[str] | None = None
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if columns is None:
                columns = [cell.strip().lower() for cell in row]
                known = {*_CLASS_KEYS, "label"}
                if not set(_PATH_KEYS) & set(columns) or not known & set(columns):
                    raise DataError(f"{path.name}, line 1: the columns are {', '.join(columns)}.", _HELP)
                continue
            if len(row) != len(columns):
                raise DataError(
                    f"{path.name}, line {reader.line_num}: {len(row)} cells instead of {len(columns)}."
                )
            yield reader.line_num, dict(zip(columns, row, strict=True))
    except csv.Error as error:
        raise DataError(f"{path.name}, line {reader.line_num}: {error}.") from error


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path.name}, line {number}: this is no JSON ({error}).") from error
        if not isinstance(row, dict):
            raise DataError(f"{path.name}, line {number}: this is no JSON object.", _HELP)
        yield number, row


def _number(label: str) -> tuple[int, str]:
    """Sort whole numbers by value, before words."""
    return (int(label), "") if label.isdecimal() else (2**62, label)
