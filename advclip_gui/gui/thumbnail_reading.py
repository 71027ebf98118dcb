"""Decode thumbnails on a worker's thread: Qt reads plain files, Pillow whatever is not quite plain.

Qt decodes without Python's interpreter lock and five times as fast, so the window can go on painting.
Corners are rounded here as well: a clip for every cell of every frame is dear.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from PySide6.QtCore import QBuffer, QByteArray, QPoint, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QImage, QImageReader, QPainter

from advclip_gui.engine.errors import ImageError
from advclip_gui.engine.file_access import open_file
from advclip_gui.engine.image_headers import HEAD, TAIL, plain_facts
from advclip_gui.engine.images import open_thumbnail

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PIL.Image import Image

    from advclip_gui.engine.control import Control

_PLAIN_BYTES = 32 * 2**20
"""Files beyond this are left to Pillow, which does not hold them whole."""
_PLAIN_PIXELS = 40_000_000
"""A PNG is decoded whole before it is scaled; beyond this Qt's limit of memory is near."""


def read_thumbnails(
    root: Path, paths: Sequence[str], edge: int, radius: float, control: Control
) -> dict[str, QImage]:
    """Read square thumbnails of `edge` pixels with round corners; what cannot be read is left out."""
    images: dict[str, QImage] = {}
    for path in paths:
        control.check()
        try:
            picture = _plain_square(root / path, edge)
            if picture is None:
                picture = to_qimage(square(open_thumbnail(root / path, 2 * edge), edge))
        except ImageError:
            continue
        images[path] = rounded(picture, radius)
    return images


def rounded(picture: QImage, radius: float) -> QImage:
    """Cut the corners off, in the one format that is painted without a conversion."""
    result = QImage(picture.size(), QImage.Format.Format_ARGB32_Premultiplied)
    result.fill(Qt.GlobalColor.transparent)
    painter = QPainter(result)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QBrush(picture))
    painter.drawRoundedRect(QRectF(picture.rect()), radius, radius)
    painter.end()
    return result


def square(picture: Image, edge: int) -> Image:
    """Cut the middle square and scale it."""
    short = min(picture.size)
    left, top = (picture.width - short) // 2, (picture.height - short) // 2
    return picture.resize((edge, edge), box=(left, top, left + short, top + short))


def to_qimage(picture: Image) -> QImage:
    """Copy an RGB picture into a QImage of its own memory."""
    width, height = picture.size
    return QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()


def _plain_square(path: Path, edge: int) -> QImage | None:
    """The middle square of a plain JPEG or PNG; None for anything else and for what Qt cannot read."""
    try:
        with open_file(path) as stream:
            if stream.seek(0, os.SEEK_END) > _PLAIN_BYTES:
                return None
            stream.seek(0)
            content = stream.read()
            stream.seek(HEAD)
            facts = plain_facts(stream, content[:HEAD], content[-TAIL:])
    except OSError:
        return None
    if facts is None or facts.mode not in {"L", "RGB"} or facts.width * facts.height > _PLAIN_PIXELS:
        return None
    buffer = QBuffer()
    buffer.setData(QByteArray(content))
    reader = QImageReader(buffer, QByteArray(b"jpeg" if content.startswith(b"\xff\xd8") else b"png"))
    reader.setAutoTransform(True)
    size = reader.size()
    scaled = size.scaled(QSize(edge, edge), Qt.AspectRatioMode.KeepAspectRatioByExpanding)
    if scaled.isEmpty() or max(scaled.width(), scaled.height()) > 64 * edge:
        return None
    reader.setScaledSize(scaled)
    corner = QPoint((scaled.width() - edge) // 2, (scaled.height() - edge) // 2)
    reader.setScaledClipRect(QRect(corner, QSize(edge, edge)))
    picture = reader.read()
    return None if picture.isNull() else picture
