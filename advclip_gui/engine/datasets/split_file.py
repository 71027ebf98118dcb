"""A few-shot split as a list of its own, CSV or JSON: to draw once and use everywhere."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advclip_gui.engine.datasets.list_file import read_lines
from advclip_gui.engine.datasets.sampling import Sample, Split, in_test_order, split_from_json
from advclip_gui.engine.datasets.source import read_text_file
from advclip_gui.engine.errors import DataError
from advclip_gui.engine.files import write_text_atomic

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from advclip_gui.engine.datasets.records import DatasetScan

_PARTS = ("train", "val", "test")
_COLUMNS = ("path", "label", "class", "split")


def write_split(path: Path, split: Split) -> None:
    """Write a split: JSON where the name ends so, else CSV with path, label, class and split.

    Raises:
        StorageError: the file cannot be written.
    """
    if path.suffix.lower() == ".json":
        values: dict[str, Any] = {"class_folders": list(split.class_folders), "notes": list(split.notes)}
        for part in _PARTS:
            samples = getattr(split, part)
            values[part] = [{"path": sample.path, "label": sample.label} for sample in samples]
        write_text_atomic(path, json.dumps(values, indent=1, ensure_ascii=False) + "\n")
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for part in _PARTS:
        for sample in getattr(split, part):
            writer.writerow((sample.path, sample.label, split.class_folders[sample.label], part))
    write_text_atomic(path, text.getvalue())


def read_split(
    path: str | Path, found: DatasetScan, *, skip: Collection[str] = (), only_known: bool = False
) -> Split:
    """Read a split that was written here, or the ``split.json`` of a run, for a dataset.

    Args:
        path: the list; its paths are relative to the dataset's root.
        found: the dataset; labels are its own.
        skip: paths that are left out.
        only_known: leave classes out that the dataset does not have, as where it is restricted.

    Raises:
        DataError: the file cannot be read, names images or classes the dataset does not have, or
            lists nothing to train on.
    """
    path = Path(path).expanduser()
    rows = list(_json_rows(path) if path.suffix.lower() == ".json" else _csv_rows(path))
    labels = {folder: label for label, folder in enumerate(found.class_folders)}
    usable = {record.path for record in found.records}
    left_out = set(skip)
    parts: dict[str, list[Sample]] = {part: [] for part in _PARTS}
    missing: list[str] = []
    for where, image, class_name, part in rows:
        label = labels.get(class_name)
        if label is None:
            if only_known:
                continue
            raise DataError(
                f"{where}: the data has no class '{class_name}'.", "Choose the list that belongs to it."
            )
        if image in left_out:
            continue
        if image not in usable:
            missing.append(f"{where}: {image}")
            continue
        parts[part].append(Sample(image, label))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(
            f"The list of the split names images the data does not have: {missing[0]}{more}.",
            "Choose the list that belongs to this data, or draw a new sample.",
        )
    if not parts["train"]:
        raise DataError(f"{path} lists no training images.", "Choose another list, or draw a new sample.")
    return Split(
        train=tuple(sorted(parts["train"], key=lambda sample: sample.label)),
        val=tuple(parts["val"]),
        test=in_test_order(parts["test"]),
        class_folders=found.class_folders,
        notes=(f"Read from the list {path.name}.",),
    )


def _csv_rows(path: Path) -> Iterable[tuple[str, str, str, str]]:
    for line in read_lines(path):
        where = f"{path.name}, line {line.number}"
        if line.split == "all":
            raise DataError(f"{where}: there is no split.", "Write train, val or test.")
        yield where, line.path, line.class_name, line.split


def _json_rows(path: Path) -> Iterable[tuple[str, str, str, str]]:
    try:
        split = split_from_json(json.loads(read_text_file(path)))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name} is no JSON: {error}.", "Choose another list.") from error
    except DataError as error:
        raise DataError(f"{path}: {error.message}", "Choose another list.") from error
    seen: set[str] = set()
    for part in _PARTS:
        for sample in getattr(split, part):
            if sample.path in seen:
                raise DataError(f"{path.name}, '{part}': {sample.path} is listed twice.")
            seen.add(sample.path)
            yield f"{path.name}, '{part}'", sample.path, split.class_folders[sample.label], part
