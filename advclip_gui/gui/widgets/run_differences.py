"""In what several runs and adapters differ: their settings where all are known, else what their files say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from advclip_gui.gui.evaluation_text import percent
from advclip_gui.gui.run_text import DASH
from advclip_gui.gui.widgets import run_columns
from advclip_gui.run_words import why_figures_differ, why_not_comparable
from advclip_gui.settings_text import differences

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from advclip_gui.engine.run_list import RunSummary
    from advclip_gui.gui.run_record import RunRecord

Rows = list[tuple[str, ...]]


def what_differs(known: Sequence[tuple[RunSummary, RunRecord]]) -> tuple[str, Rows]:
    """Say it in a sentence, and in rows of a title and a value for each.

    Runs are told apart by their settings; their figures stand in the curves. Where an adapter without its
    run is among them, its figures and what is known of the adapters come first.
    """
    lines = [line for line, _ in known]
    settings = [record.settings for _, record in known if record.settings is not None]
    rows: Rows = []
    if any(line.is_adapter for line in lines):
        rows = [*_figures(lines), *_facts([record.facts for _, record in known])]
        if len(settings) < len(known):
            rows += _listed(lines)
        warning = why_figures_differ(lines)
    else:
        warning = why_not_comparable(settings)
    whole = len(settings) == len(known)
    if whole:
        rows += [(title, *values) for title, values in differences(settings)]
    return _sentence(lines, len(rows), warning, whole), rows


def _figures(lines: Sequence[RunSummary]) -> Rows:
    rows = [
        ("Clean accuracy", *(percent(line.clean) for line in lines)),
        ("Robust accuracy", *(percent(line.robust) for line in lines)),
    ]
    return [row for row in rows if set(row[1:]) != {percent(None)}]


def _facts(several: Sequence[Mapping[str, str]]) -> Rows:
    titles = dict.fromkeys(title for facts in several for title in facts)
    rows = [(title, *(facts.get(title, DASH) for facts in several)) for title in titles]
    return [row for row in rows if len(set(row[1:])) > 1]


def _listed(lines: Sequence[RunSummary]) -> Rows:
    """What the list says of the training, where the settings themselves are not known of all."""
    columns = (run_columns.DATA, run_columns.METHOD, run_columns.PROTOCOL, run_columns.SHOTS)
    rows = [
        (run_columns.HEADS[column][0], *(run_columns.shown(line, column) for line in lines))
        for column in (*columns, run_columns.EPSILON)
    ]
    return [row for row in rows if len(set(row[1:])) > 1]


def _sentence(lines: Sequence[RunSummary], rows: int, warning: str, whole: bool) -> str:
    adapters = sum(line.is_adapter for line in lines)
    what = "adapters" if adapters == len(lines) else "runs" if not adapters else "models"
    several = f"Both {what}" if len(lines) == 2 else f"All {len(lines)} {what}"
    if adapters:
        unknown = "" if whole else "Not all of them tell the settings of their training."
        told = "Their figures, and what differs." if rows else f"{several} say the same of themselves."
        return " ".join(part for part in (told, unknown, warning) if part)
    if not rows:
        return f"{several} have the same settings."
    settings = "setting" if rows == 1 else "settings"
    return f"{several} agree in all but {rows} {settings}. {warning}".rstrip()
