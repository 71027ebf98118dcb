"""Settings in words: titled values of one run, and those in which several runs differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from advclip_gui.settings import DEMO_FOLDER, format_layers
from advclip_gui.wording import norm_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.settings import RunSettings

_LEFT_OUT = frozenset({("name",), ("data", "skip")})
"""Settings that say nothing about how two runs differ."""


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
