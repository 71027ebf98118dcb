"""Image files that give trouble, each made by one function; every function returns the path it wrote."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def noise(height: int = 32, width: int = 32, seed: int = 0) -> NDArray[np.uint8]:
    """Return random RGB pixels (height, width, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write(path: Path, data: bytes) -> Path:
    """Write bytes, making the folders above."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    """Return an encoded picture."""
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def good_jpeg(path: Path, *, seed: int = 0, height: int = 32, width: int = 32) -> Path:
    """Write an ordinary JPEG of noise."""
    return write(path, encoded(Image.fromarray(noise(height, width, seed)), "JPEG"))


def good_png(path: Path, *, seed: int = 0, height: int = 32, width: int = 32) -> Path:
    """Write an ordinary 8-bit RGB PNG of noise."""
    return write(path, encoded(Image.fromarray(noise(height, width, seed)), "PNG"))


def truncated_jpeg(path: Path, *, keep: float = 0.6) -> Path:
    """Write the first part of a JPEG; its header is whole."""
    data = encoded(Image.fromarray(noise(96, 96)), "JPEG")
    return write(path, data[: int(len(data) * keep)])


def truncated_jpeg_with_thumbnail(path: Path) -> Path:
    """Write a cut JPEG whose EXIF data hold a whole small one, with its own end marker."""
    exif = Image.Exif()
    exif[0x010F] = "maker"
    thumbnail = encoded(Image.fromarray(noise(16, 16)), "JPEG")
    data = encoded(Image.fromarray(noise(96, 96)), "JPEG", exif=exif.tobytes() + thumbnail)
    return write(path, data[: int(len(data) * 0.7)])


def truncated_png(path: Path, *, keep: float = 0.6) -> Path:
    """Write the first part of a PNG; its header is whole."""
    data = encoded(Image.fromarray(noise(96, 96)), "PNG")
    return write(path, data[: int(len(data) * keep)])


def sixteen_bit_png(path: Path) -> Path:
    """Write a grey 16-bit PNG, 16 x 256: column x holds the value 257 * x."""
    grey = np.tile(np.arange(256, dtype=np.uint16) * 257, (16, 1))
    return write(path, encoded(Image.fromarray(grey), "PNG"))


def sixteen_bit_rgb_png(path: Path) -> Path:
    """Write an RGB 16-bit PNG, 32 x 32, of one colour (65535, 32896, 0): (255, 128, 0) in 8 bits."""
    row = b"\0" + struct.pack(">HHH", 65535, 32896, 0) * 32
    return write(path, _png(32, 32, bit_depth=16, colour_type=2, rows=row * 32))


def palette_png(path: Path) -> Path:
    """Write a palette PNG, 32 x 32: left half red, right half blue."""
    picture = Image.new("P", (32, 32), 0)
    picture.putpalette([255, 0, 0, 0, 0, 255] + [0] * 762)
    picture.paste(1, (16, 0, 32, 32))
    return write(path, encoded(picture, "PNG"))


def transparent_palette_png(path: Path) -> Path:
    """Write a palette PNG, 32 x 32: left half red, right half see-through."""
    picture = Image.new("P", (32, 32), 0)
    picture.putpalette([255, 0, 0, 0, 0, 255] + [0] * 762)
    picture.paste(1, (16, 0, 32, 32))
    return write(path, encoded(picture, "PNG", transparency=1))


def cmyk_jpeg(path: Path) -> Path:
    """Write a CMYK JPEG, 32 x 32, of pure cyan."""
    return write(path, encoded(Image.new("CMYK", (32, 32), (255, 0, 0, 0)), "JPEG", quality=95))


def rgba_png(path: Path) -> Path:
    """Write an RGBA PNG, 32 x 32: left half opaque red, right half black and see-through."""
    picture = Image.new("RGBA", (32, 32), (255, 0, 0, 255))
    picture.paste((0, 0, 0, 0), (16, 0, 32, 32))
    return write(path, encoded(picture, "PNG"))


def grey_alpha_png(path: Path) -> Path:
    """Write an LA PNG, 32 x 32, of black at half opacity (128)."""
    return write(path, encoded(Image.new("LA", (32, 32), (0, 128)), "PNG"))


def one_bit_png(path: Path) -> Path:
    """Write a black-and-white PNG, 32 x 32, all white."""
    return write(path, encoded(Image.new("1", (32, 32), 1), "PNG"))


def exif_rotated_jpeg(path: Path, *, orientation: int = 6) -> Path:
    """Write a JPEG stored 48 wide, 32 high, left half red, right half blue, with an orientation.

    With orientation 6 the upright picture is 32 wide, 48 high, red above, blue below.
    """
    picture = Image.new("RGB", (48, 32), (255, 0, 0))
    picture.paste((0, 0, 255), (24, 0, 48, 32))
    exif = Image.Exif()
    exif[0x0112] = orientation
    return write(path, encoded(picture, "JPEG", quality=95, exif=exif.tobytes()))


def damaged_exif_jpeg(path: Path) -> Path:
    """Write a whole JPEG whose EXIF block is nonsense."""
    return write(
        path, encoded(Image.fromarray(noise()), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7fnonsense")
    )


def animated_gif(path: Path) -> Path:
    """Write a GIF of two frames, 32 x 32: first red, then blue."""
    first, second = Image.new("RGB", (32, 32), (255, 0, 0)), Image.new("RGB", (32, 32), (0, 0, 255))
    return write(path, encoded(first, "GIF", save_all=True, append_images=[second], duration=100))


def multi_page_tiff(path: Path) -> Path:
    """Write a TIFF of two pages, 32 x 32: first red, then blue."""
    first, second = Image.new("RGB", (32, 32), (255, 0, 0)), Image.new("RGB", (32, 32), (0, 0, 255))
    return write(path, encoded(first, "TIFF", save_all=True, append_images=[second]))


def huge_header_png(path: Path, *, side: int = 50_000) -> Path:
    """Write a small PNG whose header claims `side` x `side` pixels."""
    return write(path, _png(side, side, bit_depth=8, colour_type=2, rows=b"\0" * 1000))


def text_named_jpg(path: Path) -> Path:
    """Write a text file; give it a name ending in .jpg."""
    return write(path, b"This is a shopping list, not a picture.\n" * 20)


def zero_byte(path: Path) -> Path:
    """Write an empty file."""
    return write(path, b"")


def tiny_png(path: Path, *, seed: int = 0) -> Path:
    """Write a PNG of 4 x 4 pixels."""
    return good_png(path, seed=seed, height=4, width=4)


def class_folders(root: Path, classes: dict[str, int], *, first_seed: int = 0) -> Path:
    """Fill `root` with a folder of different good JPEGs for each class name; returns `root`."""
    seed = first_seed
    for name, count in classes.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            good_jpeg(root / name / f"{index:03d}.jpg", seed=seed)
            seed += 1
    return root


def _png(width: int, height: int, *, bit_depth: int, colour_type: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
