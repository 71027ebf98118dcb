"""The command line that starts the same run as the Recipe page."""

from __future__ import annotations

import shlex
import tomllib
from typing import TYPE_CHECKING, Any

import tomlkit

from advclip_gui.presets import PRESETS
from advclip_gui.settings import RunSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PROGRAM = "advclip-gui"


def differences(settings: RunSettings, base: RunSettings) -> dict[str, object]:
    """Return dotted keys and plain values in which `settings` differs from `base`."""
    ours = settings.model_dump(mode="json", exclude_none=True)
    theirs = base.model_dump(mode="json", exclude_none=True)
    return dict(_differences(ours, theirs, ""))


def _differences(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, object]]:
    for key, value in ours.items():
        other = theirs.get(key)
        # Class names are one value: their keys are folder names, which may hold dots.
        if isinstance(value, dict) and isinstance(other, dict) and prefix + key != "data.class_names":
            yield from _differences(value, other, f"{prefix}{key}.")
        elif value != other:
            yield f"{prefix}{key}", value


def as_toml_value(value: object) -> str:
    """Write a value so that ``--set`` reads the same value back."""
    if isinstance(value, str):
        try:
            tomllib.loads(f"value = {value}")
        except tomllib.TOMLDecodeError:
            if value and value == value.strip() and "\n" not in value:
                return value
        return tomlkit.item(value).as_string()
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        table.update(value)
        return table.as_string()
    return tomlkit.item(value).as_string()


def train_command(settings: RunSettings, toml: Path | None = None) -> str:
    """Return the shell command of a run.

    Args:
        settings: the run.
        toml: a settings file to start from; None starts from the demo preset.
    """
    base = RunSettings.from_file(toml) if toml is not None else PRESETS["demo"].settings
    words = [PROGRAM, "train", str(toml) if toml is not None else "--demo"]
    for key, value in differences(settings, base).items():
        words += ["--set", f"{key}={as_toml_value(value)}"]
    return shlex.join(words)
