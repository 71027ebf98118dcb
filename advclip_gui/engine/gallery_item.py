"""What a gallery tells of one image; free of torch, so that a page may show it."""

from __future__ import annotations

from dataclasses import dataclass

from advclip_gui.engine.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryItem(Event):
    """One image of a gallery.

    Attributes:
        index: its place in what was asked for.
        low: the largest epsilon tried at which the attack failed, in pixel units.
        high: the smallest at which it succeeded; 0 where the image is wrong without an attack.
        found: whether it succeeded at all.
        after: name of the class it is taken for then, "" without `found`.
        problem: why the image cannot be attacked, "" if it was.
    """

    index: int
    low: float = 0.0
    high: float = 0.0
    found: bool = False
    after: str = ""
    problem: str = ""


def unreadable_item(index: int, problem: str) -> GalleryItem:
    """An image that cannot be read, with the sentence that says why."""
    return GalleryItem(index=index, problem=problem)
