"""Text that anybody may have written, as it stands in a model card: one line, and no markup of its own."""

from __future__ import annotations

import re
from typing import Final

_MARKUP: Final = re.compile(r"[\\`*\[\]<>&|~$]|(?<!\w)_|_(?!\w)")
_ODD: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
"""Control characters, line and paragraph ends, marks that turn the direction of text, halves of pairs."""
_LONGEST: Final = 500


def plain(text: object) -> str:
    """Text that shows as it is within a line: markup is escaped, line ends and control characters go."""
    words = " ".join(_ODD.sub(" ", str(text)).split())
    cut = words if len(words) <= _LONGEST else words[: _LONGEST - 2] + " …"
    return _MARKUP.sub(r"\\\g<0>", cut)
