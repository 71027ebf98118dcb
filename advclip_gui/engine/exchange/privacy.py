"""What is handed on says nothing of where things lie on this machine; free of torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection

_SEPARATORS: Final = re.compile(r"[/\\]+")
_NO_NAME: Final = re.compile(r"|\.{1,2}|~|[A-Za-z]:|file:")
_PATH: Final = re.compile(
    r"(?<![\w.)\]/\\])(?:file:|~|[A-Za-z]:|\.{1,2}(?=[/\\]))?[/\\]+[^\s\"'`<>|,;()\[\]]+"
)
"""An absolute path in a sentence, of any system; not the bar of 4/255 or of "and/or"."""


_KNOWN: Final = re.compile(r"\0(?:[/\\]+[^\s\"'`<>|,;()\[\]]+)?")
"""A known place, as it is marked for a moment, and what may follow it."""


def last_part(path: str) -> str:
    """The name of a file or folder without where it lies, whichever system wrote it; "" where there is none.

    A run that was made on Windows has backslashes, which `Path.name` takes for letters elsewhere.
    """
    parts = [part for part in _SEPARATORS.split(path.strip()) if not _NO_NAME.fullmatch(part)]
    return parts[-1] if parts else ""


def without_places(value: Any, places: Collection[str] = ()) -> Any:
    """Shorten every path in the texts of a plain value to its last part.

    Args:
        value: of texts, numbers, lists and tables; it is not changed.
        places: paths known to be of this machine, which may hold spaces: of these nothing stays, as the
            last part of a home is the user's name.
    """
    if isinstance(value, str):
        value = value.replace("\0", " ")
        for place in sorted(places, key=len, reverse=True):
            value = value.replace(place, "\0")
        value = _KNOWN.sub(lambda found: last_part(found[0][1:]) or "…", value)
        return _PATH.sub(lambda found: last_part(found[0]), value)
    if isinstance(value, list | tuple):
        return [without_places(item, places) for item in value]
    if isinstance(value, dict):
        return {str(key): without_places(item, places) for key, item in value.items()}
    return value


def known_places(*paths: str | Path) -> frozenset[str]:
    """Paths and the folders they are in, as texts to look for; the root and bare names are none."""
    found: set[str] = set()
    for path in (*paths, Path.home()):
        if str(path) and len(_SEPARATORS.findall(str(path))):
            found |= {str(path), str(Path(path).parent), str(Path(path).absolute())}
    return frozenset(place for place in found if len(place) > 1 and last_part(place) != place)
