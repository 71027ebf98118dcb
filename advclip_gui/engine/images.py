"""Turn any image file into the upright 8-bit RGB picture that the model sees.

Pillow and numpy are imported inside the functions: this module is imported before the window is
shown.
"""

from __future__ import annotations

import os
import re
import struct
import warnings
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from advclip_gui.engine.errors import ImageError
from advclip_gui.engine.file_access import (
    DamagedZipError,
    NotRegularError,
    OversizeError,
    open_file,
    open_start,
)
from advclip_gui.engine.image_headers import HEAD, TAIL, ImageFacts, plain_facts, stream_ends_properly
from advclip_gui.engine.image_modes import ALPHA_MODES, is_sixteen_bit, to_rgb, upright

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

IMAGE_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm"})
"""File name endings of images, in lower case."""

MAX_PIXELS: Final = 178_956_970
"""Pictures with more pixels are refused before they are decoded (they would need over 0.5 GB)."""

_FORMATS: Final = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM")
_ORIENTATION_TAG: Final = 0x0112
_PILLOW_MODULES: Final = r"PIL\."
_EXTREME_ASPECT: Final = 64

_DECODER_ERRORS: Final = (
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    LookupError,
    ArithmeticError,
    AttributeError,
    NotImplementedError,
    struct.error,
    zlib.error,
    Warning,
)
"""What Pillow's decoders have been seen to raise on damaged files, besides ``OSError``."""

BadKind = Literal["unreadable", "truncated", "too_large", "not_an_image", "permission"]
ResizeMode = Literal["shortest", "longest", "squash"]


class BadImageError(ImageError):
    """One image file that cannot be used.

    Attributes:
        kind: a word for the reason.
        reason: the reason as the part of a sentence, without the path.
    """

    def __init__(self, path: Path, kind: BadKind, reason: str, hint: str = "") -> None:
        """Make the sentence out of path and reason."""
        super().__init__(f"The image {path} cannot be read: {reason}.", hint)
        self.kind = kind
        self.reason = reason


class Look(NamedTuple):
    """An image as a scan sees it: header, length in bytes, and a fingerprint, alike for copies."""

    facts: ImageFacts
    size_bytes: int
    fingerprint: int


def open_image(path: Path | str) -> Image:
    """Read an image as upright 8-bit RGB.

    EXIF orientation is applied, the first frame or page is taken, 16 bits are scaled to 8 over the
    full range, transparency is laid on white, palettes, grey and CMYK are converted.

    Raises:
        ImageError: the file is missing, unreadable, truncated, too large or no image.
    """
    path = Path(path)
    with _opened(path) as image:
        image.load()
        # Pillow turns TIFF upright by itself while loading.
        orientation = 1 if image.format == "TIFF" else _orientation(image)
        return upright(to_rgb(image), orientation)


def open_thumbnail(path: Path | str, size: int) -> Image:
    """Read an image as upright RGB no larger than `size` on its longer side; quick for JPEG.

    Raises:
        ImageError: as for `open_image`.
    """
    path = Path(path)
    with _opened(path) as image:
        image.draft("RGB", (size, size))
        image.load()
        orientation = 1 if image.format == "TIFF" else _orientation(image)
        picture = to_rgb(image)
    picture.thumbnail((size, size))
    return upright(picture, orientation)


def inspect_image(path: Path | str, *, full: bool) -> ImageFacts:
    """Check that a file is a whole image, and say what kind.

    Args:
        path: the file.
        full: decode every file (JPEG at an eighth of its size, which still reads every byte). Else
            only those are decoded whose last bytes do not show that they are complete.

    Raises:
        ImageError: as for `open_image`.
    """
    path = Path(path)
    with _opened(path) as image:
        width, height = image.size
        if image.format != "TIFF" and _may_have_orientation(image) and _orientation(image) >= 5:
            width, height = height, width
        moving = bool(getattr(image, "is_animated", False)) and image.format != "MPO"
        facts = ImageFacts(
            width=width,
            height=height,
            mode=image.mode,
            frames=("pages" if image.format == "TIFF" else "animation") if moving else "one",
            sixteen_bit=is_sixteen_bit(image),
            transparent=image.mode in ALPHA_MODES or "transparency" in image.info,
        )
        if full or not _ends_properly(path, image.format or ""):
            image.draft(image.mode, (max(1, image.width // 8), max(1, image.height // 8)))
            image.load()
        return facts


def look_at_image(path: Path | str, *, full: bool) -> Look:
    """As `inspect_image`, quicker for plain files, with what tells copies apart.

    Whether a longer file that is packed in a zip is complete shows only where `full` unpacks all of it.

    Raises:
        ImageError: as for `open_image`.
    """
    path = Path(path)
    facts = None
    try:
        with open_start(path, HEAD, TAIL) as (start, stream):
            if not full:
                facts = plain_facts(stream, start.head, start.tail)
    except OSError as error:
        raise _bad_file(path, error) from error
    if facts is None or facts.width * facts.height > MAX_PIXELS:
        facts = inspect_image(path, full=full)
    fingerprint = start.checksum
    if fingerprint is None:
        fingerprint = zlib.crc32(start.tail or b"", zlib.crc32(start.head))
    return Look(facts, start.size_bytes, fingerprint)


def prepare(
    image: Image, size: int, interpolation: str = "bicubic", resize_mode: str = "shortest"
) -> NDArray[np.uint8]:
    """Resize and crop to exactly what the model sees, as CLIP's own preprocessing does.

    Args:
        image: RGB picture of any size.
        size: the backbone's input size in pixels.
        interpolation: "bicubic", "bilinear", "lanczos" or "nearest".
        resize_mode: "shortest" scales the shorter side to `size` and crops the centre, "longest"
            scales the longer side and pads with black, "squash" ignores the aspect.

    Returns:
        uint8 array (size, size, 3).

    Raises:
        ValueError: interpolation or resize mode is unknown.
    """
    import numpy as np
    from PIL import Image as PillowImage

    resampling = {
        "bicubic": PillowImage.Resampling.BICUBIC,
        "bilinear": PillowImage.Resampling.BILINEAR,
        "lanczos": PillowImage.Resampling.LANCZOS,
        "nearest": PillowImage.Resampling.NEAREST,
    }.get(interpolation)
    if resampling is None:
        raise ValueError(f"unknown interpolation '{interpolation}'")
    picture = image if image.mode == "RGB" else image.convert("RGB")
    if resize_mode == "squash":
        picture = picture.resize((size, size), resampling)
    elif resize_mode == "shortest":
        picture = _without_far_ends(picture)
        short = min(picture.size)
        scaled = tuple(size if side == short else int(size * side / short) for side in picture.size)
        picture = _centred(picture.resize((scaled[0], scaled[1]), resampling), size)
    elif resize_mode == "longest":
        ratio = size / max(picture.size)
        scaled = tuple(max(1, round(side * ratio)) for side in picture.size)
        picture = _centred(picture.resize((scaled[0], scaled[1]), resampling), size)
    else:
        raise ValueError(f"unknown resize mode '{resize_mode}'")
    return np.array(picture, dtype=np.uint8)


def _centred(picture: Image, size: int) -> Image:
    """Cut `size` x `size` from the middle; what is beyond the picture is black."""
    width, height = picture.size
    left, top = round((width - size) / 2.0), round((height - size) / 2.0)
    return picture.crop((left, top, left + size, top + size))


def _without_far_ends(picture: Image) -> Image:
    """Cut the ends of a very long strip: the centre crop drops them, and scaled up they fill memory."""
    short = min(picture.size)
    room = _EXTREME_ASPECT * short
    if max(picture.size) <= room:
        return picture
    width, height = (min(side, room) for side in picture.size)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """Open an image without decoding it; errors of Pillow, here and in the body, become `ImageError`."""
    # The plugins are named so that Pillow does not import all its forty.
    from PIL import (  # noqa: F401
        BmpImagePlugin,
        GifImagePlugin,
        JpegImagePlugin,
        MpoImagePlugin,
        PngImagePlugin,
        PpmImagePlugin,
        TiffImagePlugin,
        UnidentifiedImageError,
        WebPImagePlugin,
    )
    from PIL import Image as PillowImage

    _silence_pillow()
    # Pillow warns from half its limit on; here there is one limit, and beyond it an error.
    PillowImage.MAX_IMAGE_PIXELS = MAX_PIXELS
    bombs = (PillowImage.DecompressionBombError, PillowImage.DecompressionBombWarning, MemoryError)
    try:
        with open_file(path) as stream, PillowImage.open(stream, formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise PillowImage.DecompressionBombError
            yield image
    except BadImageError:
        raise
    except bombs as error:
        raise BadImageError(
            path,
            "too_large",
            f"it has more pixels than the limit of {MAX_PIXELS // 1_000_000} million; "
            "decoding it could fill the memory (a decompression bomb)",
            "Scale it down and try again.",
        ) from error
    except UnidentifiedImageError as error:
        empty = _size(path) == 0
        reason = "the file is empty" if empty else "it is not an image in a format known here"
        raise BadImageError(path, "not_an_image", reason) from error
    except OSError as error:
        raise _bad_file(path, error) from error
    except _DECODER_ERRORS as error:
        raise _damaged(path, error) from error


def _silence_pillow() -> None:
    """Keep Pillow from printing a warning for each damaged EXIF block: the picture is read all the same.

    The rule stays for the life of the process: `warnings.catch_warnings` would not be safe in threads.
    """
    rule = ("ignore", None, UserWarning, re.compile(_PILLOW_MODULES), 0)
    if rule not in warnings.filters:
        warnings.filterwarnings("ignore", category=UserWarning, module=_PILLOW_MODULES)


def _bad_file(path: Path, error: OSError) -> BadImageError:
    if isinstance(error, NotRegularError | OversizeError | DamagedZipError):
        kind: BadKind = "too_large" if isinstance(error, OversizeError) else "unreadable"
        return BadImageError(path, kind, str(error))
    if isinstance(error, PermissionError):
        return BadImageError(path, "permission", "there is no permission to read it")
    if isinstance(error, FileNotFoundError):
        return BadImageError(path, "unreadable", "it is not there")
    if error.errno is not None:
        return BadImageError(path, "unreadable", f"the system says '{error.strerror}'")
    return _damaged(path, error)


def _damaged(path: Path, error: Exception) -> BadImageError:
    if "truncated" in str(error).lower() or not _ends_properly(path):
        return BadImageError(path, "truncated", "the file is cut short, its end is missing")
    return BadImageError(path, "unreadable", f"its content is damaged ({error})")


def _size(path: Path) -> int:
    try:
        with open_file(path) as stream:
            return stream.seek(0, os.SEEK_END)
    except OSError:
        return -1


def _ends_properly(path: Path, image_format: str = "") -> bool:
    """Whether the last bytes show that the file is complete; False where that cannot be told."""
    try:
        with open_file(path) as stream:
            return stream_ends_properly(stream, image_format)
    except OSError:
        return False


def _may_have_orientation(image: Image) -> bool:
    # Asking a PNG without EXIF for it would decode the whole picture.
    return bool({"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"} & image.info.keys())


def _orientation(image: Image) -> int:
    """Return the EXIF orientation 1-8; 1 (upright) where there is none, or it is damaged."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except (OSError, *_DECODER_ERRORS):
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
