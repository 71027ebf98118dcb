"""What the first bytes of plain JPEG and PNG files tell, without Pillow: a scan looks at many thousands.

Whatever is not quite plain is left to Pillow, so that there is one judge of odd files.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from typing import BinaryIO

    from advclip_gui.engine.file_access import Readable

HEAD: Final = 4096
TAIL: Final = 64

_FURTHER: Final = 64 * 1024
"""Beyond this a header is left to Pillow."""
_SOF_PLAIN: Final = frozenset({0xC0, 0xC1, 0xC2})
_SOF_OTHER: Final = frozenset({0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PNG_MODES: Final = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}
_PNG_ODD: Final = frozenset({b"acTL", b"eXIf", b"tRNS", b"iTXt", b"zTXt", b"tEXt"})
_ORIENTATION: Final = 0x0112


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a file's header tells; width and height are those of the upright picture."""

    width: int
    height: int
    mode: str
    frames: Literal["one", "animation", "pages"]
    sixteen_bit: bool
    transparent: bool


def plain_facts(stream: Readable, head: bytes, tail: bytes | None) -> ImageFacts | None:
    """Read the header of a plain, complete JPEG or PNG; None for anything else.

    Args:
        stream: the file, placed after `head`.
        head: its first bytes.
        tail: its last bytes, None where they are not known: it is taken for complete.
    """
    if head.startswith(b"\xff\xd8\xff"):
        whole = tail is None or tail.rstrip(b"\0").endswith(b"\xff\xd9")
        return _jpeg(stream, head) if whole else None
    if head.startswith(_PNG_SIGNATURE):
        return _png(head) if tail is None or tail[-8:-4] == b"IEND" else None
    return None


def stream_ends_properly(stream: BinaryIO, image_format: str) -> bool:
    """Whether the last bytes show that an image is complete; False where that cannot be told."""
    head = stream.read(12)
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - 64))
    tail = stream.read()
    if image_format in {"JPEG", "MPO"} or head.startswith(b"\xff\xd8"):
        # Some cameras pad with zeros after the end-of-image marker.
        return tail.rstrip(b"\0").endswith(b"\xff\xd9")
    if head.startswith(b"\x89PNG"):
        return tail[-8:-4] == b"IEND"
    if head[:4] == b"RIFF":
        return int.from_bytes(head[4:8], "little") + 8 <= size
    return False


def _jpeg(stream: Readable, head: bytes) -> ImageFacts | None:
    place, turned = 2, False
    while place < _FURTHER:
        if place + 10 > len(head):
            more = stream.read(place + HEAD - len(head))
            head += more
            if place + 10 > len(head):
                return None
        if head[place] != 0xFF:
            return None
        marker = head[place + 1]
        length = int.from_bytes(head[place + 2 : place + 4], "big")
        if marker in _SOF_PLAIN:
            height, width = struct.unpack(">HH", head[place + 5 : place + 9])
            mode = {1: "L", 3: "RGB"}.get(head[place + 9])
            if head[place + 4] != 8 or mode is None or not width or not height:
                return None
            if turned:
                width, height = height, width
            return ImageFacts(width, height, mode, "one", sixteen_bit=False, transparent=False)
        if marker in _SOF_OTHER or marker < 0xC0 or 0xD0 <= marker <= 0xDA or marker == 0xFF or length < 2:
            return None
        if marker in {0xE1, 0xE2}:
            end = place + 2 + length
            if end > len(head):
                head += stream.read(end - len(head))
            segment = head[place + 4 : end]
            if segment.startswith(b"MPF\0") or segment.startswith(b"http:"):
                return None
            if segment.startswith(b"Exif\0\0"):
                orientation = _orientation(segment[6:])
                if orientation is None:
                    return None
                turned = orientation >= 5
        place += 2 + length
    return None


def _orientation(tiff: bytes) -> int | None:
    """EXIF orientation 1-8 of a TIFF block, 1 where it has none; None where it is damaged."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    try:
        if order is None:
            return None
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for number in range(count):
            tag, kind, values, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * number)
            if tag == _ORIENTATION:
                return value if kind == 3 and values == 1 and 1 <= value <= 8 else None
    except struct.error:
        return None
    return 1


def _png(head: bytes) -> ImageFacts | None:
    if head[12:16] != b"IHDR" or len(head) < 33:
        return None
    width, height, depth, colour = struct.unpack(">IIBB", head[16:26])
    mode = _PNG_MODES.get(colour)
    if depth != 8 or mode is None or not width or not height:
        return None
    place = 33
    while place + 8 <= len(head):
        kind = head[place + 4 : place + 8]
        if kind == b"IDAT":
            clear = mode in {"LA", "RGBA"}
            return ImageFacts(width, height, mode, "one", sixteen_bit=False, transparent=clear)
        if kind in _PNG_ODD:
            return None
        place += 12 + int.from_bytes(head[place : place + 4], "big")
    return None
