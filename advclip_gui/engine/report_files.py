"""In which forms a report can be written, by the ending of its file; cheap to import."""

from __future__ import annotations

from typing import Final

SUFFIXES: Final = (".html", ".htm", ".json", ".csv")
