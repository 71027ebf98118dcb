"""The columns of the table of runs: titles, what a cell shows, sorts by and explains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt

from advclip_gui.gui.run_text import DASH, STATES, moment, when, with_change
from advclip_gui.wording import PROTOCOL_SENTENCES, radius_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from advclip_gui.engine.run_list import RunSummary

NAME, DATA, BACKBONE, METHOD, PROTOCOL, SHOTS, EPSILON, CLEAN, ROBUST, IMAGES, STARTED, STATE, NOTE, PART = (
    range(14)
)
COLUMNS = range(PART + 1)
HEADS = (
    ("Name", "The run's or adapter's name, after that of its experiment. F2 renames it."),
    ("Data", "The image folder it was trained on."),
    ("Backbone", "The CLIP model under the adapter."),
    ("Method", "CLIP-LoRA has no adversary."),
    ("Protocol", "How its figures were made; those of two protocols cannot be compared."),
    ("Shots", "Training images per class."),
    ("ε", "Epsilon of the robust accuracy, in L∞ where no other norm is named."),
    (
        "Clean",
        "Accuracy on unchanged test images; in brackets the change from zero-shot, in percentage points.",
    ),
    (
        "Robust",
        "Accuracy under the final attack, an upper bound; in brackets the change from zero-shot.",
    ),
    ("n", "Test images in the final evaluation."),
    ("Started", "When the run began, or the adapter was opened."),
    ("State", "Whether it is done, can be continued or still runs; or an adapter without a run."),
    ("Note", "What you wrote about it."),
    ("Experiment", "Which experiment the run is a part of."),
)
KEYS = (
    *("name", "data", "backbone", "method", "protocol", "shots", "epsilon"),
    *("clean", "robust", "images", "started", "state", "note", "experiment"),
)
"""What a column is called in stored preferences."""
WIDTHS = {
    DATA: 104,
    BACKBONE: 98,
    METHOD: 108,
    PROTOCOL: 74,
    SHOTS: 50,
    EPSILON: 64,
    CLEAN: 116,
    ROBUST: 116,
    IMAGES: 60,
    STARTED: 104,
    STATE: 132,
    NOTE: 160,
    PART: 140,
}
"""Where the window is narrow; the name takes the rest."""
ROOMY = {
    **{DATA: 40, BACKBONE: 56, METHOD: 10, PROTOCOL: 14, EPSILON: 10},
    **{CLEAN: 12, ROBUST: 12, STARTED: 10, STATE: 10},
}
"""What is added where the window is wide."""
NAME_LEAST = 150
"""A narrow one too; the table then scrolls sideways."""
NAME_ROOM = 220
"""A wide window leaves the name at least this much."""
HIDDEN_AT_FIRST = frozenset({IMAGES, NOTE, PART})
_UNSAID = "The adapter's files do not say."
_FIGURES = frozenset({SHOTS, EPSILON, CLEAN, ROBUST, IMAGES})


def alignment(column: int) -> int:
    """Figures stand at the right, words at the left."""
    side = Qt.AlignmentFlag.AlignRight if column in _FIGURES else Qt.AlignmentFlag.AlignLeft
    return int(side | Qt.AlignmentFlag.AlignVCenter)


def _state(run: RunSummary) -> str:
    title = STATES[run.state][0]
    if run.state == "running" and run.total_steps:
        return f"{title} {100 * run.step // run.total_steps} %"
    return title


def _radius(run: RunSummary) -> str:
    return DASH if run.epsilon is None else radius_text(run.epsilon, run.norm)


_SHOWN: dict[int, Callable[[RunSummary], str]] = {
    NAME: lambda run: run.title,
    DATA: lambda run: run.data or DASH,
    BACKBONE: lambda run: run.backbone.removesuffix(" (bundled)") or DASH,
    METHOD: lambda run: run.method or DASH,
    PROTOCOL: lambda run: run.protocol.capitalize() or DASH,
    SHOTS: lambda run: DASH if run.shots is None else str(run.shots),
    EPSILON: lambda run: _radius(run).removesuffix(" in L∞").replace(" in ", " "),
    CLEAN: lambda run: with_change(run.clean, run.zero_shot_clean),
    ROBUST: lambda run: with_change(run.robust, run.zero_shot_robust),
    IMAGES: lambda run: "–" if run.n is None else f"{run.n:,}",
    STARTED: lambda run: when(run.started),
    STATE: _state,
    NOTE: lambda run: run.note.split("\n", 1)[0],
    PART: lambda run: run.part_of,
}


def shown(run: RunSummary, column: int) -> str:
    """What a cell says."""
    return _SHOWN[column](run)


def _known(value: float | None) -> float:
    return -1.0 if value is None else float(value)


_SORTED: dict[int, Callable[[RunSummary], float]] = {
    SHOTS: lambda run: _known(run.shots),
    EPSILON: lambda run: _known(run.epsilon),
    CLEAN: lambda run: _known(run.clean),
    ROBUST: lambda run: _known(run.robust),
    IMAGES: lambda run: _known(run.n),
    STARTED: lambda run: run.started,
}


def sorted_by(run: RunSummary, column: int) -> float | str:
    """What a column sorts by: the figure behind the text."""
    return _SORTED[column](run) if column in _SORTED else shown(run, column).casefold()


def explained(run: RunSummary, column: int) -> str:
    """A cell's tooltip."""
    if column == STATE:
        steps = f" Step {run.step:,} of {run.total_steps:,}." if run.state == "running" else ""
        return (run.problem or STATES[run.state][3]) + steps
    if column == STARTED:
        return f"Opened {moment(run.started)}" if run.is_adapter else moment(run.started)
    if column in {CLEAN, ROBUST}:
        return _figure(run, column)
    if column == PROTOCOL:
        return PROTOCOL_SENTENCES.get(run.protocol, _UNSAID)
    if column == NAME:
        part = f"Part of the experiment {run.part_of}" if run.part_of else ""
        return "\n".join(line for line in (run.name, part, str(run.path), run.note) if line)
    if column == NOTE:
        return run.note
    told = {BACKBONE: run.backbone, EPSILON: _radius(run)}.get(column) or shown(run, column)
    return _UNSAID if told == DASH else told


def _figure(run: RunSummary, column: int) -> str:
    share, base = (run.clean, run.zero_shot_clean) if column == CLEAN else (run.robust, run.zero_shot_robust)
    if share is None:
        return _UNSAID if run.is_adapter else "This run has no final evaluation."
    before = "" if base is None else f"Zero-shot: {100 * base:.1f} %. "
    images = f"{run.n:,} test images" if run.n else "its test images"
    told = f"{before}This adapter: {100 * share:.1f} % of {images}."
    return f"{told} {PROTOCOL_SENTENCES.get(run.protocol, '')}".rstrip()
