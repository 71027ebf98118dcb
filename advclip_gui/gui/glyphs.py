"""Icons from the Material Design font, painted in the theme's colour of the moment."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import qtawesome
from platformdirs import user_cache_path
from PySide6.QtCore import QBuffer, QIODevice, QPoint, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QIconEngine, QImage, QPainter, QPen, QPixmap, QPolygonF

from advclip_gui.engine.errors import StorageError
from advclip_gui.engine.files import write_bytes_atomic

ColourOf = Callable[[bool], QColor]
"""Given whether the icon is disabled, its colour now."""


class _GlyphEngine(QIconEngine):
    """Draws one glyph at any size; asks for its colour at every painting, so a theme switch needs no work."""

    def __init__(self, name: str, colour_of: ColourOf) -> None:
        super().__init__()
        self._name = name
        self._colour_of = colour_of

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.TextAntialiasing)
        size = min(rect.width(), rect.height())
        painter.setFont(qtawesome.font("mdi6", round(size)))
        painter.setPen(self._colour_of(mode == QIcon.Mode.Disabled))
        painter.drawText(QRectF(rect), Qt.AlignmentFlag.AlignCenter, qtawesome.charmap(f"mdi6.{self._name}"))
        painter.restore()

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        pixmap = QPixmap(size)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        self.paint(painter, QRect(QPoint(0, 0), size), mode, state)
        painter.end()
        return pixmap

    def clone(self) -> QIconEngine:
        return _GlyphEngine(self._name, self._colour_of)


def glyph_icon(name: str, colour_of: ColourOf) -> QIcon:
    """Return an icon of the mdi6 set whose colour is asked for at every painting."""
    return QIcon(_GlyphEngine(name, colour_of))


_SHAPES = {
    "down": ((3.0, 4.5), (6.0, 7.5), (9.0, 4.5)),
    "up": ((3.0, 7.5), (6.0, 4.5), (9.0, 7.5)),
    "right": ((4.5, 3.0), (7.5, 6.0), (4.5, 9.0)),
    "check": ((2.5, 6.2), (5.0, 8.7), (9.6, 3.6)),
    "dash": ((3.0, 6.0), (9.0, 6.0)),
}


def control_mark(shape: str, colour: str) -> str:
    """Return a file with a small mark (chevron, tick) for the style sheet, which can only name files.

    Drawn at one, two and three times 12 px; Qt picks the sharpest.
    """
    try:
        return _marks_in(user_cache_path("advclip-gui", appauthor=False) / "marks", shape, colour)
    except (OSError, StorageError):
        return _marks_in(Path(_own_folder().name), shape, colour)


def _marks_in(folder: Path, shape: str, colour: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{shape}-{colour.lstrip('#')}.png"
    for scale, suffix in ((1, ""), (2, "@2x"), (3, "@3x")):
        target = path.with_name(f"{path.stem}{suffix}.png")
        if not target.is_file():
            write_bytes_atomic(target, _png(_draw_mark(shape, colour, scale)))
    return path.as_posix()


@lru_cache(maxsize=1)
def _own_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder of this process alone, for where the cache cannot be written; gone at its end."""
    return tempfile.TemporaryDirectory(prefix="advclip-gui-marks-")


def _png(image: QImage) -> bytes:
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")  # type: ignore[call-overload]
    return bytes(buffer.data().data())


def _draw_mark(shape: str, colour: str, scale: int) -> QImage:
    image = QImage(12 * scale, 12 * scale, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.scale(scale, scale)
    pen = QPen(QColor(colour), 1.5, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin)
    painter.setPen(pen)
    painter.drawPolyline(QPolygonF([QPointF(x, y) for x, y in _SHAPES[shape]]))
    painter.end()
    return image
