"""The figures of evaluations as rows of tables; written as in the reports."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from advclip_gui.engine.probe_types import length_text
from advclip_gui.engine.report_text import facts_of, percent, protocol_of, range_text, with_interval
from advclip_gui.settings import format_epsilon

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.evaluation_result import Evaluation

__all__ = [
    "attack_rows",
    "cell",
    "class_rows",
    "figure_rows",
    "parse_epsilons",
    "percent",
    "protocol_of",
    "provenance_text",
    "save_evaluations",
    "with_interval",
]


def cell(share: float, interval: Sequence[float]) -> str:
    """Write a share above its 95 % interval, for a narrow column."""
    return f"{percent(share)}\n{range_text(interval)}"


MAX_L2 = 64.0
"""Longest L2 epsilon offered, in pixel units; the unit box at 224 px has a diagonal of 388."""


def parse_epsilons(text: str, norm: str = "Linf") -> tuple[float, ...]:
    """Read "1/255, 2/255, 4/255" as lengths in pixel units, each once, from small to large.

    Raises:
        ValueError: with a sentence for the user.
    """
    values: set[float] = set()
    for part in text.replace(";", ",").split(","):
        words = part.replace(" ", "")
        if not words:
            continue
        try:
            numerator, _, denominator = words.partition("/")
            value = float(Fraction(numerator) / Fraction(denominator or 1))
        except (ValueError, ZeroDivisionError) as error:
            raise ValueError(f"'{part.strip()}' is not a length such as 4/255 or 0.0157.") from error
        if norm == "Linf" and not 0 <= value <= 1:
            raise ValueError(f"An epsilon must lie between 0 and 255/255; {part.strip()} does not.")
        if not 0 <= value <= MAX_L2:
            raise ValueError(f"An L2 epsilon must lie between 0 and {MAX_L2:g}; {part.strip()} does not.")
        values.add(value)
    if not values:
        raise ValueError("Give at least one epsilon, for example 1/255, 2/255, 4/255.")
    return tuple(sorted(values))


def figure_rows(evaluations: Sequence[Evaluation]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of exact figures: one row for each model (at least one)."""
    levels = sorted({result.epsilon for evaluation in evaluations for result in evaluation.epsilons})
    norm = evaluations[0].norm
    epsilons = [length_text(level, "Linf" if norm == "Linf" else "L2") for level in levels]
    head = ["Model", "n", "Clean", *epsilons, f"{epsilons[-1]}\nafter 8 bits"]
    rows = []
    for evaluation in evaluations:
        results = {result.epsilon: result for result in evaluation.epsilons}
        cells = [
            cell(results[level].robust_accuracy, results[level].interval) if level in results else "–"
            for level in levels
        ]
        last = evaluation.epsilons[-1]
        rows.append(
            [
                evaluation.model,
                f"{evaluation.n:,}",
                cell(evaluation.clean_accuracy, evaluation.clean_interval),
                *cells,
                cell(last.robust_after_8bit, last.interval_after_8bit),
            ]
        )
    return head, rows


def class_rows(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the per-class table of one model."""
    norm = "Linf" if evaluation.norm == "Linf" else "L2"
    epsilons = [length_text(result.epsilon, norm) for result in evaluation.epsilons]
    head = ["Class", "n", "Clean", *epsilons]
    rows = [
        [
            one.name,
            f"{one.n:,}",
            percent(one.clean_accuracy),
            *(percent(share) for share in one.robust_accuracy),
        ]
        for one in evaluation.per_class
    ]
    return head, rows


def attack_rows(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the waterfall of one model: the accuracy left after each attack, by epsilon."""
    norm = "Linf" if evaluation.norm == "Linf" else "L2"
    titles = list(dict.fromkeys(title for result in evaluation.epsilons for title in result.waterfall))
    rows = [
        [
            length_text(result.epsilon, norm),
            percent(evaluation.clean_accuracy),
            *(percent(result.waterfall.get(title)) for title in titles),
            percent(result.robust_after_8bit),
        ]
        for result in evaluation.epsilons
    ]
    return ["Epsilon", "Clean", *titles, "All, after 8 bits"], rows


def provenance_text(evaluation: Evaluation) -> str:
    """Everything that is known of how the figures came about, one line each."""
    lines = [f"model: {evaluation.model}"]
    lines += [f"{key}: {value}" for key, value in facts_of(evaluation) if key != "model"]
    for result in evaluation.epsilons:
        fall = ", ".join(f"{title} {percent(left)}" for title, left in result.waterfall.items())
        lines.append(f"accuracy left at {format_epsilon(result.epsilon)}: {fall}")
    return "\n".join(lines)


def save_evaluations(evaluations: Sequence[Evaluation], path: Path, control: Control) -> Path:
    """Write a report; the ending .html, .json or .csv says which.

    Raises:
        StorageError: the disk is full, or there is no permission.
    """
    from advclip_gui.engine.report import save_report

    control.check()
    return save_report(evaluations, path)
