"""The scan of a dataset as a text to read, as plain values, and as a table of its bad files."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from advclip_gui.engine.datasets.known import known_dataset
from advclip_gui.engine.datasets.layout import LAYOUT_TITLES
from advclip_gui.engine.datasets.records import SEVERITIES, SPLITS, DatasetScan, Problem, Severity
from advclip_gui.engine.files import write_text_atomic

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_HEADINGS: Final[tuple[tuple[Severity, str], ...]] = (
    ("error", "Left out"),
    ("warning", "Worth a look"),
    ("note", "Good to know"),
)
_PATHS_SHOWN: Final = 20

_SPLIT_TITLES: Final = {"train": "train", "val": "val", "test": "test", "all": "images"}


def summary(scan: DatasetScan) -> str:
    """Return one line: how many images, classes and problems."""
    parts = [f"{_count(len(scan.records), 'image')} in {len(scan.classes)} classes"]
    if set(scan.counts) != {"all"}:
        parts.append(", ".join(f"{count} {_SPLIT_TITLES[split]}" for split, count in scan.counts.items()))
    errors, warnings = len(scan.problems_of("error")), len(scan.problems_of("warning"))
    if errors:
        parts.append(f"{_count(errors, 'file')} left out")
    if warnings:
        parts.append(_count(warnings, "warning"))
    return "; ".join(parts) + "."


def report_text(scan: DatasetScan) -> str:
    """Return the whole report: counts per class and split, image sizes, and every problem by path.

    Of each kind of problem the first 20 are listed; `report_json` has them all.
    """
    lines = [str(scan.root), f"{layout_text(scan)}.", summary(scan)]
    known = known_dataset(scan.dataset)
    if known is not None:
        lines.append(f"Usual prompt: {known.template}")
    lines.append("")
    lines += _class_table(scan)
    lines += ["", *_sizes(scan)]
    for severity, heading in _HEADINGS:
        problems = scan.problems_of(severity)
        if problems:
            lines += ["", f"{heading} ({len(problems)})", *_problem_lines(problems)]
    if not scan.problems:
        lines += ["", "Nothing is wrong with these images."]
    return "\n".join(lines) + "\n"


def report_json(scan: DatasetScan) -> dict[str, Any]:
    """Return the report as plain values, with every problem but not every image."""
    by_kind = Counter(problem.kind for problem in scan.problems)
    sides = [(record.width, record.height) for record in scan.records if record.width]
    known = known_dataset(scan.dataset)
    return {
        "root": str(scan.root),
        "layout": scan.layout,
        "dataset": scan.dataset,
        "usual_templates": [known.template] if known is not None else [],
        "images": len(scan.records),
        "bytes": sum(record.size_bytes for record in scan.records),
        "splits": dict(scan.counts),
        "classes": [asdict(info) for info in scan.classes],
        "smallest_side": min((min(side) for side in sides), default=None),
        "largest_side": max((max(side) for side in sides), default=None),
        "ignored_files": scan.ignored_files,
        "problem_counts": dict(by_kind),
        "problems": [
            {
                "path": problem.path,
                "kind": problem.kind,
                "severity": problem.severity,
                "message": problem.message,
            }
            for problem in scan.problems
        ],
    }


def report_csv(scan: DatasetScan, skipped: Collection[str] = ()) -> str:
    """Return every problem as a line of CSV: severity, kind, path, message, and whether it is skipped."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("severity", "kind", "path", "message", "skipped"))
    left_out = set(skipped)
    for problem in scan.problems:
        skip = "yes" if problem.path in left_out else "no"
        writer.writerow((problem.severity, problem.kind, problem.path, problem.message, skip))
    return text.getvalue()


def write_report(path: Path, scan: DatasetScan, skipped: Collection[str] = ()) -> None:
    """Write the report as JSON or CSV where the name ends so, else as text.

    Raises:
        StorageError: the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        values = {**report_json(scan), "skipped": sorted(skipped)}
        text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    elif suffix == ".csv":
        text = report_csv(scan, skipped)
    else:
        text = report_text(scan)
    write_text_atomic(path, text)


def layout_text(scan: DatasetScan) -> str:
    """Say how the images lie on disk, and which known dataset they are."""
    known = known_dataset(scan.dataset)
    name = f" of {known.title}" if known is not None else ""
    return f"{LAYOUT_TITLES[scan.layout]}{name}"


def _class_table(scan: DatasetScan) -> list[str]:
    splits = [split for split in SPLITS if split in scan.counts]
    rows = [("class", *(_SPLIT_TITLES[split] for split in splits), "folder")]
    for info in scan.classes:
        folder = "" if info.folder == info.name else info.folder
        rows.append((info.name, *(str(info.counts.get(split, 0)) for split in splits), folder))
    if not any(row[-1] for row in rows[1:]):
        rows = [row[:-1] for row in rows]
        numbers = range(1, len(rows[0]))
    else:
        numbers = range(1, len(rows[0]) - 1)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _sizes(scan: DatasetScan) -> list[str]:
    megabytes = sum(record.size_bytes for record in scan.records) / 2**20
    sides = [(record.width, record.height) for record in scan.records if record.width]
    if not sides:
        return [f"{megabytes:.1f} MB."]
    (small_width, small_height), (large_width, large_height) = (
        min(sides, key=lambda side: side[0] * side[1]),
        max(sides, key=lambda side: side[0] * side[1]),
    )
    if (small_width, small_height) == (large_width, large_height):
        return [f"All images have {small_width} x {small_height} pixels; {megabytes:.1f} MB."]
    return [
        f"From {small_width} x {small_height} to {large_width} x {large_height} pixels; {megabytes:.1f} MB."
    ]


def _problem_lines(problems: tuple[Problem, ...]) -> list[str]:
    by_kind: defaultdict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        by_kind[problem.kind].append(problem)
    lines = []
    for kind in SEVERITIES:
        same = by_kind.get(kind, [])
        lines += [f"  {problem.path}: {problem.message}" for problem in same[:_PATHS_SHOWN]]
        if len(same) > _PATHS_SHOWN:
            lines.append(f"  ... and {len(same) - _PATHS_SHOWN} more: {kind.replace('_', ' ')}")
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
