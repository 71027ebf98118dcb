"""Evaluations on disk: one self-contained HTML page, JSON and CSV that hold the same figures."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from advclip_gui.engine.errors import StorageError
from advclip_gui.engine.files import write_json_atomic, write_text_atomic
from advclip_gui.engine.report_html import report_html
from advclip_gui.engine.report_text import epsilon_text, facts_of, label_of, protocol_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from advclip_gui.engine.evaluation_result import Evaluation

FORMAT: Final = "advclip-gui evaluation"
VERSION: Final = 1
CSV_COLUMNS: Final = (
    "row",
    "model",
    "protocol",
    "attack",
    "norm",
    "epsilon",
    "epsilon_value",
    "class",
    "predicted",
    "n",
    "hits",
    "accuracy",
    "interval_low",
    "interval_high",
    "hits_after_8bit",
    "accuracy_after_8bit",
    "interval_8bit_low",
    "interval_8bit_high",
    "seed",
    "fact",
    "note",
)
"""`row` says what a line is: "accuracy" of a model at an epsilon (0 is clean), what was left after an
"attack" of the waterfall, a "class", a non-zero cell of a "confusion" matrix, a "warning", or a "fact" of
how the figures came about, whose value is the note."""


def to_json(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """The report as plain values."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "evaluations": [evaluation.to_json() for evaluation in evaluations],
    }


def to_csv(evaluations: Sequence[Evaluation]) -> str:
    """The report as one table; see `CSV_COLUMNS`."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, CSV_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for evaluation in evaluations:
        fixed = {
            "model": evaluation.model,
            "protocol": protocol_of(evaluation),
            "norm": evaluation.norm,
            "seed": evaluation.provenance.get("seed", ""),
        }
        for parts in (_accuracies, _waterfalls, _classes, _confusions, _warnings, _facts):
            for row in parts(evaluation):
                writer.writerow({**fixed, **row})
    return stream.getvalue()


def save_report(evaluations: Sequence[Evaluation], path: Path) -> Path:
    """Write a report; the ending .html, .json or .csv says which.

    Args:
        evaluations: of the same images, at least one.
        path: where to; the file that was there stays until the new one is whole.

    Raises:
        StorageError: another ending, the disk is full, or there is no permission.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in (".html", ".htm"):
        write_text_atomic(path, report_html(evaluations))
    elif suffix == ".csv":
        write_text_atomic(path, to_csv(evaluations))
    elif suffix == ".json":
        write_json_atomic(path, to_json(evaluations))
    else:
        raise StorageError(
            f"A report cannot be written as {path.name}.", "End its name in .html, .json or .csv."
        )
    return path


def read_report(path: Path) -> tuple[Evaluation, ...]:
    """Read the evaluations of a JSON report.

    Raises:
        StorageError: it cannot be read, or is no report.
    """
    from advclip_gui.engine.evaluation_result import Evaluation

    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"its format is {document['format']!r}")
        return tuple(Evaluation.from_json(one) for one in document["evaluations"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path} is no report of an evaluation: {error}.") from error


def _length(value: float) -> dict[str, Any]:
    return {"epsilon": epsilon_text(value), "epsilon_value": repr(float(value))}


def _accuracies(one: Evaluation) -> Iterator[dict[str, Any]]:
    clean = {"hits": one.clean_hits, "accuracy": one.clean_accuracy}
    low, high = one.clean_interval
    saved = {"hits_after_8bit": one.clean_hits, "accuracy_after_8bit": one.clean_accuracy}
    yield {
        **{"row": "accuracy", "attack": "none", **_length(0.0), "n": one.n, **clean, **saved},
        **{"interval_low": low, "interval_high": high, "interval_8bit_low": low, "interval_8bit_high": high},
    }
    for result in one.epsilons:
        yield {
            "row": "accuracy",
            "attack": label_of(one),
            **_length(result.epsilon),
            "n": one.n,
            "hits": result.robust_hits,
            "accuracy": result.robust_accuracy,
            "interval_low": result.interval[0],
            "interval_high": result.interval[1],
            "hits_after_8bit": result.robust_hits_after_8bit,
            "accuracy_after_8bit": result.robust_after_8bit,
            "interval_8bit_low": result.interval_after_8bit[0],
            "interval_8bit_high": result.interval_after_8bit[1],
        }


def _waterfalls(one: Evaluation) -> Iterator[dict[str, Any]]:
    for result in one.epsilons:
        for title, left in result.waterfall.items():
            yield {
                **{"row": "attack", "attack": title, **_length(result.epsilon)},
                **{"n": one.n, "hits": round(left * one.n), "accuracy": left},
            }


def _classes(one: Evaluation) -> Iterator[dict[str, Any]]:
    levels = (0.0, *(result.epsilon for result in one.epsilons))
    for entry in one.per_class:
        hits = (entry.clean_hits, *entry.robust_hits)
        shares = (entry.clean_accuracy, *entry.robust_accuracy)
        for level, count, share in zip(levels, hits, shares, strict=True):
            yield {
                **{"row": "class", "attack": label_of(one) if level else "none", **_length(level)},
                **{"class": entry.name, "n": entry.n, "hits": count},
                "accuracy": "" if share is None else share,
            }


def _confusions(one: Evaluation) -> Iterator[dict[str, Any]]:
    matrices = [(0.0, one.confusion_clean), *((result.epsilon, result.confusion) for result in one.epsilons)]
    for level, matrix in matrices:
        for true, counts in zip(one.class_names, matrix, strict=True):
            for predicted, count in zip(one.class_names, counts, strict=True):
                if count:
                    yield {
                        **{
                            "row": "confusion",
                            "attack": label_of(one) if level else "none",
                            **_length(level),
                        },
                        **{"class": true, "predicted": predicted, "n": sum(counts), "hits": count},
                    }


def _warnings(one: Evaluation) -> Iterator[dict[str, Any]]:
    for finding in one.findings:
        yield {"row": "warning", "attack": finding.kind, "note": finding.sentence}


def _facts(one: Evaluation) -> Iterator[dict[str, Any]]:
    for fact, value in facts_of(one):
        yield {"row": "fact", "fact": fact, "note": value}
