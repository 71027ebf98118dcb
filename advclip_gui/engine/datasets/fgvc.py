"""FGVC Aircraft's layout: one folder of images, and text files that name variants and splits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from advclip_gui.engine.datasets.listed import Listed, joined, tree_of
from advclip_gui.engine.datasets.source import names_in, read_text
from advclip_gui.engine.errors import DataError

if TYPE_CHECKING:
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.records import SplitName
    from advclip_gui.engine.datasets.source import Source
    from advclip_gui.engine.datasets.walk import OnFiles, Tree

VARIANTS: Final = "variants.txt"
IMAGE_FOLDER: Final = "images"
_PARTS: Final[tuple[SplitName, ...]] = ("train", "val", "test")
_PLACES: Final = (".", "data")


def fgvc_place(source: Source) -> str | None:
    """Return the folder with ``variants.txt`` and its lists, None where there is none."""
    for place in _PLACES:
        names = names_in(source, place)
        if VARIANTS in names and any(_list_name(part) in names for part in _PARTS):
            return place
    return None


def read_fgvc(source: Source, control: Control, on_files: OnFiles) -> Tree:
    """Read the images that FGVC's lists name, with the variants as classes.

    Raises:
        DataError: there are no such lists, or a line of one is wrong.
        Cancelled: through `control`.
    """
    place = fgvc_place(source)
    if place is None:
        raise DataError(
            f"There is no {VARIANTS} with {_list_name('train')} in {source.root}.",
            "Open the folder that holds them, or choose another layout.",
        )
    text = read_text(source, joined(place, VARIANTS))
    variants = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    known = set(variants)
    images = joined(place, IMAGE_FOLDER)
    endings = {name.rpartition(".")[0]: name for name in names_in(source, images)}
    listed, here = [], names_in(source, place)
    for part in _PARTS:
        name = _list_name(part)
        if name not in here:
            continue
        for number, line in enumerate(read_text(source, joined(place, name)).splitlines(), start=1):
            if not line.strip():
                continue
            image, _, variant = line.strip().partition(" ")
            if variant.strip() not in known:
                raise DataError(
                    f"{name}, line {number}: '{variant.strip() or line.strip()}' is no variant of {VARIANTS}."
                )
            file = endings.get(image, f"{image}.jpg")
            listed.append(Listed(joined(images, file), variant.strip(), part))
    names = {variant: variant for variant in variants}
    return tree_of(source, listed, names, control, on_files, told_by="FGVC's lists")


def _list_name(part: str) -> str:
    return f"images_variant_{part}.txt"
