"""A plot as PNG, SVG or CSV on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QBuffer, QIODevice, QRect
from PySide6.QtGui import QColor, QGuiApplication, QImage, QPainter
from PySide6.QtSvg import QSvgGenerator

from advclip_gui.engine.errors import StorageError
from advclip_gui.engine.files import write_bytes_atomic, write_text_atomic
from advclip_gui.gui import theme

if TYPE_CHECKING:
    from pathlib import Path

    from PySide6.QtCore import QSize

PNG_SCALE = 3
"""Pixels for every device-independent pixel: sharp in print."""
FILTERS = {"png": "PNG picture (*.png)", "svg": "SVG drawing (*.svg)", "csv": "CSV figures (*.csv)"}
"""What a file dialog offers, by ending."""

Paint = Callable[[QPainter], None]
"""Draws at the painter's origin."""


def save_plot(path: Path, size: QSize, paint: Paint, csv: str, title: str) -> Path:
    """Write a plot; the ending of the path says how, PNG where it says nothing known.

    Args:
        path: where to.
        size: of the drawing, in device-independent pixels.
        paint: draws it at the origin.
        csv: the figures.
        title: for the SVG's own title.

    Raises:
        StorageError: the disk is full, or there is no permission.
    """
    kind = path.suffix.lower()
    if kind == ".csv":
        write_text_atomic(path, csv)
    elif kind == ".svg":
        write_bytes_atomic(path, _svg(size, paint, title))
    else:
        path = path if kind == ".png" else path.with_name(path.name + ".png")
        write_bytes_atomic(path, _png(size, paint))
    return path


def _png(size: QSize, paint: Paint) -> bytes:
    image = QImage(size * PNG_SCALE, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(QColor(theme.current().surface))
    painter = QPainter(image)
    painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.TextAntialiasing)
    painter.scale(PNG_SCALE, PNG_SCALE)
    paint(painter)
    painter.end()
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    if not image.save(buffer, "PNG"):  # type: ignore[call-overload]
        raise StorageError("The picture could not be made.", "Save it as SVG instead.")
    return bytes(buffer.data().data())


def _svg(size: QSize, paint: Paint, title: str) -> bytes:
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    drawing = QSvgGenerator()
    drawing.setOutputDevice(buffer)
    drawing.setSize(size)
    drawing.setViewBox(QRect(0, 0, size.width(), size.height()))
    drawing.setTitle(title)
    # Its own default of 72 would draw fonts smaller than on screen.
    drawing.setResolution(round(QGuiApplication.primaryScreen().logicalDotsPerInch()))
    painter = QPainter(drawing)
    painter.fillRect(QRect(0, 0, size.width(), size.height()), QColor(theme.current().surface))
    paint(painter)
    painter.end()
    return bytes(buffer.data().data())
