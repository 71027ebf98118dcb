"""Where the files that ship with the program are, in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
_PLACES = (_PACKAGE / "_resources", _PACKAGE.parent / "resources")


def resource_path(*parts: str) -> Path:
    """Return the path of a shipped file or folder.

    Raises:
        FileNotFoundError: the installation is damaged.
    """
    for place in _PLACES:
        candidate = place.joinpath(*parts)
        if candidate.exists():
            return candidate
    raise FileNotFoundError(
        f"{'/'.join(parts)} is missing from this installation; install the program again."
    )


def demo_folder() -> Path:
    """Return the bundled few-shot folder: 10 classes of 32 px photos in train, val and test."""
    return resource_path("demo")


def mini_backbone_folder() -> Path:
    """Return the bundled advclip-mini: weights, open_clip configuration and model card."""
    return resource_path("backbones", "advclip-mini")
