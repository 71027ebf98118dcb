"""Runs in words: figures with their change, dates, states, settings as titled values, differences."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel

from advclip_gui.gui.evaluation_text import percent
from advclip_gui.settings import DEMO_FOLDER, format_layers
from advclip_gui.wording import PROTOCOL_TITLES, norm_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.runs import RunSummary
    from advclip_gui.settings import RunSettings

STATES = {
    "running": ("Running", "progress-clock", "accent", "In training at this moment."),
    "finished": ("Finished", "check-circle-outline", "good", "All steps were done."),
    "stopped": ("Stopped", "stop-circle-outline", "text_muted", "Ended early; what was learnt is kept."),
    "cancelled": ("Cancelled", "cancel", "text_muted", "Ended without a final evaluation."),
    "failed": ("Failed", "alert-circle-outline", "bad", "Ended with an error."),
    "interrupted": ("Interrupted", "alert-outline", "warning", "Its process ended without a last word."),
}
"""State of a run: title, icon, colour role, explanation."""
CONTINUABLE = frozenset({"stopped", "cancelled", "failed", "interrupted"})
"""States from which training can go on, where there is a checkpoint."""

_LEFT_OUT = frozenset({("name",), ("data", "skip")})
"""Settings that say nothing about how two runs differ."""


def points(share: float | None, baseline: float | None) -> str:
    """Write the change from a baseline in percentage points: "+3.2"; "" where one is missing."""
    if share is None or baseline is None:
        return ""
    change = 100 * (share - baseline)
    return f"{change:+.1f}".replace("-", "−")


def with_change(share: float | None, baseline: float | None) -> str:
    """Write a share and its change: "19.0 % (+3.2)"."""
    change = points(share, baseline)
    return f"{percent(share)} ({change})" if change else percent(share)


def when(started: float, now: datetime | None = None) -> str:
    """Write when a run began, as short as it can be understood; "–" where it is not known."""
    if not started:
        return "–"
    now = now or datetime.now().astimezone()
    moment = datetime.fromtimestamp(started, tz=now.tzinfo)
    if moment.date() == now.date():
        return f"Today {moment:%H:%M}"
    if moment.year == now.year:
        return f"{moment.day} {moment:%b %H:%M}"
    return f"{moment:%Y-%m-%d}"


def moment(started: float) -> str:
    """Write when a run began in full."""
    if not started:
        return "Not recorded"
    return f"{datetime.fromtimestamp(started).astimezone():%Y-%m-%d %H:%M:%S}"


def matches(run: RunSummary, words: str) -> bool:
    """Whether every word occurs somewhere in what the table says of a run."""
    protocol = (run.protocol, PROTOCOL_TITLES[run.protocol])
    said = (*protocol, run.norm, norm_text(run.norm), STATES[run.state][0])
    parts = (run.name, run.data, run.backbone, run.method, *said, run.path.name)
    text = " ".join(parts).casefold()
    return all(word in text for word in words.casefold().split())


def titled_values(settings: RunSettings) -> dict[str, str]:
    """Every setting as "Section · Title" and its value in words."""
    return dict(_walk(settings, (), ""))


def _walk(section: BaseModel, path: tuple[str, ...], prefix: str) -> list[tuple[str, str]]:
    plain = section.model_dump(mode="json")
    rows: list[tuple[str, str]] = []
    for key, info in type(section).model_fields.items():
        value, title = getattr(section, key), info.title or key
        if (*path, key) in _LEFT_OUT:
            continue
        if isinstance(value, BaseModel):
            rows += _walk(value, (*path, key), f"{title} · ")
        else:
            rows.append((prefix + title, _said(section, key) or _in_words(plain[key])))
    return rows


def _said(section: BaseModel, key: str) -> str:
    """Write what plain values would not tell: norms, lengths in L2, block numbers; "" for the rest."""
    value, norm = getattr(section, key), getattr(section, "norm", "Linf")
    if key == "norm":
        return norm_text(value)
    if key == "layers":
        return format_layers(value)
    if norm == "L2" and key in ("epsilon", "step_size"):
        return f"{value:.4g}"
    return ""


def _in_words(value: object) -> str:
    if value is None or value == "" or value == [] or value == {}:
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {part}" for key, part in value.items())
    return "Demo photos" if value == DEMO_FOLDER else str(value)


def differences(several: Sequence[RunSettings]) -> list[tuple[str, list[str]]]:
    """Title and values of the settings in which at least two of several runs differ."""
    columns = [titled_values(settings) for settings in several]
    rows = []
    for title in columns[0] if columns else ():
        values = [column[title] for column in columns]
        if len(set(values)) > 1:
            rows.append((title, values))
    return rows
