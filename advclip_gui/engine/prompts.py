"""Class names as they read in a prompt, and templates around them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def clean_class_name(folder: str) -> str:
    """Turn a folder name into words: ``golden_retriever`` -> ``golden retriever``; ``t-shirt`` stays.

    A leading number or WordNet id (``001.``, ``n01440764_``) is dropped when words follow it.
    """
    words = re.sub(r"[_\s]+", " ", folder).strip()
    without_number = re.sub(r"^(?:n\d{8}|\d+)[ .\-]+(?=\D)", "", words)
    return without_number or words


def fill(templates: Sequence[str], name: str) -> list[str]:
    """Put a class name into every template."""
    return [template.replace("{}", name) for template in templates]
