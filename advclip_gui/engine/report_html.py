"""The report of an evaluation as one HTML page that needs nothing else: no script, no other file."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from advclip_gui.engine.report_curve import curve_svg
from advclip_gui.engine.report_style import STYLE
from advclip_gui.engine.report_text import (
    PROTOCOL_NOTES,
    UPPER_BOUND,
    facts_of,
    is_bound,
    label_of,
    length_of,
    norm_text,
    percent,
    protocol_of,
    range_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from advclip_gui.engine.evaluation_result import Evaluation

MATRIX_CLASSES: Final = 40
"""Up to so many classes a confusion is drawn as a matrix; of more only its mistakes are listed."""
NARROW_CLASSES: Final = 14
"""With more, a printed matrix takes the width of the page and smaller figures."""
LISTED_MISTAKES: Final = 300
_RIGHT, _WRONG = "0 122 90", "192 79 0"


def report_html(evaluations: Sequence[Evaluation]) -> str:
    """Write the page.

    Every figure stands in a ``<data value="...">`` with all its digits, and is rounded for reading.
    All words of the user's (models, classes, folders) are escaped.

    Args:
        evaluations: of the same images, at least one.
    """
    first = evaluations[0]
    tags = [f"{protocol_of(first)} protocol", norm_text(first.norm), f"{first.n:,} images"]
    parts = [
        "<h1>Robust accuracy</h1>",
        "<p>" + "".join(f'<span class="tag">{escape(tag)}</span>' for tag in tags),
        '<span class="tag bound">upper bound</span>' if any(map(is_bound, evaluations)) else "",
        "</p>",
        *_introduction(evaluations),
        *_warnings(evaluations),
        '<h2>Accuracy over epsilon</h2><figure class="card">',
        curve_svg(evaluations),
        "<figcaption>Bands and bars are Wilson's 95 % intervals: what other samples of as many images "
        "would plausibly give.</figcaption></figure>",
        _figures(evaluations),
    ]
    for number, evaluation in enumerate(evaluations, start=1):
        parts += _model(number, evaluation)
    title = escape(f"Robust accuracy: {', '.join(one.model for one in evaluations)}")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _introduction(evaluations: Sequence[Evaluation]) -> list[str]:
    labels = list(dict.fromkeys(map(label_of, evaluations)))
    protocols = dict.fromkeys(protocol_of(one) for one in evaluations)
    lines = [f"Figures are of {'; '.join(labels)}."]
    lines += [PROTOCOL_NOTES[name] for name in protocols if name in PROTOCOL_NOTES]
    if any(map(is_bound, evaluations)):
        lines.append(UPPER_BOUND)
    lines.append(
        "Shares are of all images: an image that is wrong without an attack counts as not robust, and so "
        "does one that any of the attacks fooled at this or a smaller epsilon."
    )
    return [f"<p>{escape(line)}</p>" for line in lines]


def _warnings(evaluations: Sequence[Evaluation]) -> list[str]:
    found = [(one.model, sentence) for one in evaluations for sentence in one.warnings]
    if not found:
        return ['<p class="muted">None of the checks found a reason to doubt these figures.</p>']
    return [
        "<h2>Reasons to doubt these figures</h2>",
        *(
            f'<p class="warning" role="note"><b>{escape(model)}</b>{escape(sentence)}</p>'
            for model, sentence in found
        ),
    ]


def _figures(evaluations: Sequence[Evaluation]) -> str:
    rows = [
        [
            escape(one.model),
            escape(length_of(result.epsilon, one.norm)),
            data(one.n, f"{one.n:,}"),
            _share(one.clean_accuracy, one.clean_interval),
            _share(result.robust_accuracy, result.interval),
            _share(result.robust_after_8bit, result.interval_after_8bit),
        ]
        for one in evaluations
        for result in one.epsilons
    ]
    return _table(
        "accuracy",
        "Accuracy with 95 % intervals. After 8 bits, only flips that survive rounding to 8 bits count.",
        ["Model", "Epsilon", "n", "Clean", "Robust", "Robust after 8 bits"],
        rows,
    )


def _model(number: int, one: Evaluation) -> list[str]:
    norm = one.norm
    levels = [length_of(result.epsilon, norm) for result in one.epsilons]
    titles = list(dict.fromkeys(title for result in one.epsilons for title in result.waterfall))
    waterfall = [
        [escape(length_of(result.epsilon, norm)), data(one.clean_accuracy, percent(one.clean_accuracy))]
        + [
            data(result.waterfall[t], percent(result.waterfall[t])) if t in result.waterfall else "–"
            for t in titles
        ]
        for result in one.epsilons
    ]
    classes = [
        [
            escape(entry.name),
            data(entry.n, f"{entry.n:,}"),
            *(
                "–" if share is None else data(share, percent(share))
                for share in (entry.clean_accuracy, *entry.robust_accuracy)
            ),
        ]
        for entry in one.per_class
    ]
    return [
        f'<section class="model" id="model-{number}">',
        f"<h2>{escape(one.model)}</h2>",
        f'<p class="muted">{escape(label_of(one))} · {escape(protocol_of(one))}, {norm_text(norm)} · '
        f"{one.seconds:.1f} s</p>",
        *(f"<p>{escape(note)}</p>" for note in one.notes),
        "<h3>Accuracy left after each attack</h3>",
        _table(
            "waterfall",
            "Each attack takes only the images that still hold.",
            ["Epsilon", "Clean", *titles],
            waterfall,
        ),
        "<h3>Classes</h3>",
        _table(
            "classes", "Clean and robust accuracy of each class.", ["Class", "n", "Clean", *levels], classes
        ),
        "<h3>Confusions</h3>",
        '<p class="muted">Rows are the true class, columns what the model says.</p>',
        '<div class="pair">',
        _confusion("Clean", one.class_names, one.confusion_clean),
        *(
            _confusion(f"Under attack at {level}", one.class_names, result.confusion)
            for level, result in zip(levels, one.epsilons, strict=True)
        ),
        "</div>",
        "<h3>How the figures came about</h3>",
        _facts(one),
        "</section>",
    ]


def _confusion(title: str, names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    if len(names) > MATRIX_CLASSES:
        return _mistakes(title, names, counts)
    head = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in names)
    rows = []
    for i, row in enumerate(counts):
        total = max(sum(row), 1)
        cells = []
        for j, count in enumerate(row):
            if not count:
                cells.append(f"<td>{data(0, '')}</td>")
                continue
            strength = 0.08 + 0.82 * (count / total) ** 0.7
            colour = _RIGHT if i == j else _WRONG
            strong = ' class="strong"' if strength > 0.8 else ""
            ground = f"background:rgb({colour} / {strength:.2f})"
            cells.append(f'<td{strong} style="{ground}">{data(count, str(count))}</td>')
        rows.append(f'<tr><th scope="row">{escape(names[i])}</th>{"".join(cells)}</tr>')
    return (
        f'<div class="card{" wide" if len(names) > NARROW_CLASSES else ""}">'
        f'<table class="confusion"><caption>{escape(title)}</caption>'
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _mistakes(title: str, names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    found = [(count, i, j) for i, row in enumerate(counts) for j, count in enumerate(row) if count and i != j]
    found.sort(key=lambda mistake: (-mistake[0], mistake[1:]))
    left = len(found) - LISTED_MISTAKES
    more = f" {left:,} rarer ones are in the JSON and CSV reports." if left > 0 else ""
    return _table(
        "mistakes",
        f"{title}: the commonest mistakes of {len(names):,} classes.{more}",
        ["True class", "Taken for", "Images"],
        [
            [escape(names[i]), escape(names[j]), data(count, f"{count:,}")]
            for count, i, j in found[:LISTED_MISTAKES]
        ],
    )


def _facts(one: Evaluation) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(key)}</th><td>{escape(value)}</td></tr>' for key, value in facts_of(one)
    )
    return f'<div class="card"><table class="facts"><tbody>{rows}</tbody></table></div>'


def _table(kind: str, caption: str, heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is its head; the cells are HTML already, heads and caption are not."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    return (
        f'<div class="card"><table class="{kind}"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _share(share: float, interval: Sequence[float]) -> str:
    ends = "".join(data(value, "") for value in interval)
    return f'{data(share, percent(share))}<span class="interval">{range_text(interval)}{ends}</span>'


def data(value: float, shown: str) -> str:
    """A figure for machines, all its digits, and what a person reads of it."""
    return f'<data value="{value!r}">{escape(shown)}</data>'
