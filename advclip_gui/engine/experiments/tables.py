"""The figures of an experiment as CSV, Markdown, LaTeX and JSON: the same texts in each."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any, Final

from advclip_gui.engine.errors import SettingsError
from advclip_gui.engine.experiments.figures import DASH, percent
from advclip_gui.engine.files import write_bytes_atomic, write_text_atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from advclip_gui.engine.experiments.figures import Figures, Row

HEAD: Final = ("test set", "method", "shots", "seeds", "images", "clean accuracy (%)", "robust accuracy (%)")


_IN_LATEX: Final = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    '"': "''",
    "–": "--",
    "−": "$-$",
    "…": r"\dots{}",
    **{one: f"${sign}$" for one, sign in (("<", "<"), (">", ">"), ("±", r"\pm"), ("×", r"\times"))},
    **{one: f"${sign}$" for one, sign in (("∞", r"\infty"), ("≤", r"\leq"), ("≥", r"\geq"))},
    # After the end of a row these would be taken for its options.
    **{one: f"{{{one}}}" for one in "[]*"},
    **{one: f"\\{one}" for one in "&%$#_{}"},
}
_LAST_LATIN: Final = "\u017f"


def cells_of(row: Row) -> tuple[str, ...]:
    """One line as people read it; `HEAD` says what stands where."""
    return (*_first(row), row.clean.text(), row.robust.text())


def _first(row: Row) -> tuple[str, ...]:
    seeds = str(row.seeds) if row.seeds == row.of else f"{row.seeds} of {row.of}"
    return (
        row.test_set,
        row.title,
        DASH if row.shots is None else str(row.shots),
        seeds,
        DASH if row.n is None else str(row.n),
    )


def as_csv(figures: Figures) -> str:
    """One line a row, mean and deviation in columns of their own; empty where there is nothing."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = ("test_set", "method", "shots", "seeds", "seeds_planned", "images")
    writer.writerow((*head, "clean_mean", "clean_deviation", "robust_mean", "robust_deviation"))
    for row in figures.rows:
        shares = (row.clean.mean, row.clean.deviation, row.robust.mean, row.robust.deviation)
        writer.writerow(
            (
                row.test_set,
                row.title,
                "" if row.shots is None else row.shots,
                row.seeds,
                row.of,
                "" if row.n is None else row.n,
                *("" if share is None else percent(share) for share in shares),
            )
        )
    return out.getvalue()


def as_markdown(figures: Figures) -> str:
    """A table with its notes below."""
    lines = [f"# {_in_markdown(figures.title)}", "", _pipes(HEAD), "|---|---|--:|--:|--:|--:|--:|"]
    lines += [_pipes(cells_of(row)) for row in figures.rows]
    notes = [*figures.notes, *_failures(figures)]
    return "\n".join([*lines, "", *(f"- {_in_markdown(note)}" for note in notes)]) + "\n"


def as_latex(figures: Figures) -> str:
    """A booktabs table; what LaTeX would take for a command is escaped."""
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{in_latex(' '.join([figures.title + '.', *figures.notes]))}}}",
        r"  \begin{tabular}{llrrrrr}",
        r"    \toprule",
        "    " + " & ".join(in_latex(title[:1].upper() + title[1:]) for title in HEAD) + r" \\",
    ]
    before = None
    for row in figures.rows:
        if row.test_set != before:
            lines.append(r"    \midrule")
        shown = (in_latex(row.test_set if row.test_set != before else ""), *map(in_latex, _first(row)[1:]))
        spreads = (in_latex(spread.text()) for spread in (row.clean, row.robust))
        lines.append("    " + " & ".join((*shown, *spreads)) + r" \\")
        before = row.test_set
    lines += [r"    \bottomrule", r"  \end{tabular}", r"\end{table}"]
    lines += [f"% {one}" for one in _failures(figures)]
    text = "\n".join(lines) + "\n"
    if max(text) > _LAST_LATIN:
        return "% has letters that pdfLaTeX lacks: use LuaLaTeX or XeLaTeX with a font that has them\n" + text
    return text


def as_json(figures: Figures) -> dict[str, Any]:
    """Plain values; shares in [0, 1] unrounded."""
    return {
        "title": figures.title,
        "done": figures.done,
        "total": figures.total,
        "failed": figures.failed,
        "notes": list(figures.notes),
        "rows": [
            {
                "test_set": row.test_set,
                "method": row.method,
                "shots": row.shots,
                "seeds": row.seeds,
                "seeds_planned": row.of,
                "n": row.n,
                "clean_mean": row.clean.mean,
                "clean_deviation": row.clean.deviation,
                "robust_mean": row.robust.mean,
                "robust_deviation": row.robust.deviation,
            }
            for row in figures.rows
        ],
    }


def in_latex(text: str) -> str:
    """Escape what LaTeX would take for a command, and write its signs as it knows them."""
    plain = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return "".join(_IN_LATEX.get(one, one) for one in plain)


def _in_markdown(text: str) -> str:
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", text.replace("\n", " "))


def _pipes(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(_in_markdown(cell) for cell in cells) + " |"


def _failures(figures: Figures) -> list[str]:
    return [f"{title} failed: {' '.join(sentence.split())}" for title, sentence in figures.failed.items()]


def _pdf(figures: Figures) -> bytes:
    from advclip_gui.engine.experiments.plot_pdf import plot_pdf

    return plot_pdf(figures)


def _svg(figures: Figures) -> bytes:
    from advclip_gui.engine.experiments.plot import plot_svg

    return plot_svg(figures).encode("utf-8")


def _png(figures: Figures) -> bytes:
    from advclip_gui.engine.experiments.plot import plot_png

    return plot_png(figures)


_WRITERS: Final[dict[str, Callable[[Figures], str | bytes]]] = {
    ".csv": as_csv,
    ".md": as_markdown,
    ".tex": as_latex,
    ".svg": _svg,
    ".png": _png,
    ".pdf": _pdf,
}
SUFFIXES: Final = tuple(_WRITERS)
"""Endings that `save_figures` knows."""
PLOTS: Final = (".svg", ".png", ".pdf")
"""Those of the plot."""


def save_all(figures: Figures, folder: Path, suffixes: Sequence[str] = SUFFIXES) -> tuple[Path, ...]:
    """Write ``table.*`` and ``plot.*`` to a folder; return their paths. Raises `StorageError`."""
    paths = tuple(folder / f"{'plot' if suffix in PLOTS else 'table'}{suffix}" for suffix in suffixes)
    for path in paths:
        save_figures(figures, path)
    return paths


def save_figures(figures: Figures, path: Path) -> None:
    """Write a table or the plot; the ending says which.

    Raises:
        SettingsError: nothing is known by this ending.
        StorageError: it cannot be written.
    """
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise SettingsError(f"'{path.name}' must end in {', '.join(SUFFIXES)}.")
    content = writer(figures)
    if isinstance(content, bytes):
        write_bytes_atomic(path, content)
    else:
        write_text_atomic(path, content)
