"""The row above a plot: title, what the figures are, the way back from a zoom, and the export."""

from __future__ import annotations

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QHBoxLayout

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import IconButton, TextLabel
from advclip_gui.gui.widgets.elided_label import ElidedLabel
from advclip_gui.gui.widgets.plot_export import ExportButton


class PlotHeader(QHBoxLayout):
    """Of a large plot, or of a compact one whose title is cut before it pushes its neighbours.

    Attributes:
        title: what is plotted, under which protocol.
        note: unit, attack, number of images.
        reset_button: shown while a part is looked at.
        export_button: a menu of formats.
    """

    def __init__(self, title: str, note: str, *, name: str, compact: bool) -> None:
        """Make the parts; object names begin with `name`."""
        super().__init__()
        look = theme.current()
        self.setSpacing(look.s)
        self.title = ElidedLabel(title, "section") if compact else TextLabel(title, "title")
        self.note = ElidedLabel(note, "caption")
        self.reset_button = IconButton("magnify-minus-outline", "Show everything again", name=f"{name}.reset")
        self.reset_button.hide()
        self.export_button = ExportButton(name)
        if compact:
            self.setSpacing(look.xs)
            for button in (self.reset_button, self.export_button):
                button.setIconSize(QSize(look.icon - 3, look.icon - 3))
                button.setFixedSize(look.xl - 2, look.xl - 2)
        self.addWidget(self.title, 1 if compact else 0)
        self.addWidget(self.note, 0 if compact else 1)
        self.addWidget(self.reset_button)
        self.addWidget(self.export_button)
        self.set_title(title)

    def set_title(self, title: str) -> None:
        """Say what is plotted, and name an export after it."""
        self.title.setText(title)
        self.export_button.propose(title)
