"""Turn a decoded picture of any Pillow mode into upright 8-bit RGB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from PIL.Image import Image

ALPHA_MODES: Final = frozenset({"RGBA", "RGBa", "LA", "La", "PA"})
"""Pillow modes with transparency."""

_SIXTEEN_BIT_MODES: Final = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
_DEEP_MODES: Final = _SIXTEEN_BIT_MODES | {"I", "F"}


def upright(image: Image, orientation: int) -> Image:
    """Turn and mirror a picture as its EXIF orientation 1-8 says."""
    from PIL.Image import Transpose

    transpose = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(orientation)
    return image if transpose is None else image.transpose(transpose)


def is_sixteen_bit(image: Image) -> bool:
    """Whether the file holds 16 bits or more per channel; asked before the picture is decoded."""
    if image.mode in _SIXTEEN_BIT_MODES or image.mode == "I":
        return True
    # Pillow gives 16-bit RGB as 8-bit; the raw mode of the file still tells.
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def to_rgb(image: Image) -> Image:
    """Convert a decoded picture to a new one in RGB; transparency is laid on white."""
    from PIL import Image as PillowImage

    if image.mode in _DEEP_MODES:
        return _deep_to_rgb(image)
    if image.mode in ALPHA_MODES or "transparency" in image.info:
        see_through = image.convert("LA") if image.mode == "La" else image
        white = PillowImage.new("RGBA", image.size, "white")
        return PillowImage.alpha_composite(white, see_through.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _deep_to_rgb(image: Image) -> Image:
    """Scale more than 8 bits to 8: 16 bits by 1/257, so that 65535 becomes 255.

    Values beyond 16 bits and floats outside [0, 255] have no agreed white; they are stretched.
    """
    import numpy as np
    from PIL import Image as PillowImage

    values = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if image.mode == "F":
        white = 1.0 if high <= 1.0 else 255.0
    else:
        white = 65535.0
    black = 0.0
    if low < 0.0 or high > white:
        black, white = low, high
    grey = np.rint((values - black) * (255.0 / (white - black))).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return PillowImage.fromarray(grey).convert("RGB")
