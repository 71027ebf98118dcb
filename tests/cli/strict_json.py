"""Reading what the command line wrote as strictly as other programs do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path) -> Any:
    """Read a JSON file; NaN and infinity are no JSON."""

    def refuse(text: str) -> None:
        raise ValueError(f"{text} is no JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
