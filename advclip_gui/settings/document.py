"""Settings that are a whole file: checked, read from TOML, written, and changed key by key."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, ClassVar, Self

import tomlkit
from pydantic import ValidationError

from advclip_gui.engine.errors import SettingsError
from advclip_gui.settings.section import Section

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Document(Section):
    """A section with a file of its own."""

    _a_file: ClassVar[str] = "a TOML settings file"
    _called: ClassVar[str] = "settings file"

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> Self:
        """Validate plain values.

        Raises:
            SettingsError: naming every wrong key and what it should be.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingsError(explain(error)) from error

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Read settings as written by `to_toml`.

        Raises:
            SettingsError: the text is no TOML, or a value is wrong.
        """
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"This is not {cls._a_file}: {error}.") from error
        return cls.checked(values)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a TOML file.

        Raises:
            SettingsError: it cannot be read, is no TOML, or a value is wrong.
        """
        try:
            return cls.from_toml(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"The {cls._called} {path} cannot be read: {error}.") from error

    def to_toml(self) -> str:
        """Write every value; lengths as ``k/255``. Empty optional values are left out."""
        return tomlkit.dumps(self.model_dump(mode="json", exclude_none=True))

    def with_values(self, assignments: Mapping[str, Any]) -> Self:
        """Return a validated copy with dotted keys replaced, e.g. ``{"lora.rank": "4"}``.

        Text is read as a TOML value where it is one, else taken as it is.

        Raises:
            SettingsError: a key does not exist or a value is wrong.
        """
        values = self.model_dump(mode="json", exclude_none=True)
        for dotted, value in assignments.items():
            target = values
            *sections, key = dotted.split(".")
            for section in sections:
                nested = target.get(section)
                if not isinstance(nested, dict):
                    raise SettingsError(f"There is no setting '{dotted}'.")
                target = nested
            target[key] = _toml_value(value)
        return type(self).checked(values)


def _toml_value(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value


def explain(error: ValidationError) -> str:
    """Turn pydantic's report into sentences a user can act on."""
    sentences = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"]) or "settings"
        if problem["type"] == "extra_forbidden":
            sentences.append(f"There is no setting '{where}'.")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            shown = problem["input"]
            given = f" (given: {shown})" if isinstance(shown, str | int | float) else ""
            sentences.append(f"{where}: {message[:1].lower()}{message[1:]}{given}.")
    return " ".join(sentences)
