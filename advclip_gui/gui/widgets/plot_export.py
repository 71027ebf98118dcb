"""A plot as PNG, SVG or CSV on disk, and the button that asks where."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QBuffer, QIODevice, QRect, Signal
from PySide6.QtGui import QColor, QGuiApplication, QImage, QPainter
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QFileDialog, QMenu, QToolButton, QWidget

from advclip_gui.engine.errors import StorageError
from advclip_gui.engine.files import write_bytes_atomic, write_text_atomic
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import IconButton

if TYPE_CHECKING:
    from PySide6.QtCore import QSize

PNG_SCALE = 3
"""Pixels for every device-independent pixel: sharp in print."""
FILTERS = {"png": "PNG picture (*.png)", "svg": "SVG drawing (*.svg)", "csv": "CSV figures (*.csv)"}
"""What a file dialog offers, by ending."""

Paint = Callable[[QPainter], None]
"""Draws at the painter's origin."""


class ExportButton(IconButton):
    """Opens a menu of formats, then a file dialog."""

    chosen = Signal(object)
    """The path, with an ending."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        """Make the menu; object names begin with `name`."""
        tip = "Save this plot as PNG, SVG or CSV"
        super().__init__("tray-arrow-down", tip, parent, name=f"{name}.export", role="text_muted")
        self._stem = "plot"
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self)
        for suffix, text in (("png", "PNG picture …"), ("svg", "SVG drawing …"), ("csv", "CSV figures …")):
            action = menu.addAction(text)
            action.setObjectName(f"{name}.{suffix}")
            action.triggered.connect(partial(self._ask, suffix))
        self.setMenu(menu)

    def propose(self, title: str) -> None:
        """Name the file after the plot."""
        words = "".join(letter if letter.isalnum() else " " for letter in title.lower()).split()
        self._stem = "-".join(words) or "plot"

    def _ask(self, suffix: str, _checked: bool = False) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Save this plot", f"{self._stem}.{suffix}", FILTERS[suffix]
        )
        if name:
            path = Path(name)
            self.chosen.emit(path if path.suffix else path.with_suffix(f".{suffix}"))


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
