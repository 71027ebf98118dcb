"""How the Probe page is laid out: controls, views and strip, or what to do while there are no data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Banner, Button, EmptyState, PrimaryButton
from advclip_gui.gui.widgets.image_strip import ImageStrip
from advclip_gui.gui.widgets.probe_panel import ProbePanel, fit_text
from advclip_gui.gui.widgets.probe_views import ProbeViews

if TYPE_CHECKING:
    from advclip_gui.gui.bridge import Backend
    from advclip_gui.gui.io_thread import IoPool


class ProbeLayout(QStackedWidget):
    """Controls at the left, the probe at the right, the data's images beneath; or an empty state."""

    def __init__(self, backend: Backend, io: IoPool, parent: QWidget | None = None) -> None:
        """Begin with the empty state."""
        super().__init__(parent)
        self.panel = ProbePanel(backend)
        self.views = ProbeViews(backend, io)
        self.strip = ImageStrip(io)
        self.banner = Banner()
        self.banner.setObjectName("probeBanner")
        self.empty_banner = Banner()
        self.empty_banner.setObjectName("probeEmptyBanner")
        self.addWidget(self._make_empty())
        self.addWidget(self._make_work())

    @property
    def working(self) -> bool:
        """Whether the controls are shown."""
        return self.currentIndex() == 1

    def show_work(self, work: bool) -> None:
        """Show the controls, or what to do first."""
        self.setCurrentIndex(int(work))
        self.empty_banner.clear()

    def say(self, level: str, message: str, details: str = "") -> None:
        """Tell something where it is seen."""
        banner = self.banner if self.working else self.empty_banner
        banner.show_message(level, message, details)

    def _make_work(self) -> QWidget:
        look = theme.current()
        work = QWidget()
        row = QHBoxLayout(work)
        row.setContentsMargins(look.l, look.m, look.l, look.m)
        row.setSpacing(look.l)
        row.addWidget(self.panel)
        column = QVBoxLayout()
        column.setSpacing(look.s)
        column.addWidget(self.banner)
        column.addWidget(self.views, 1)
        column.addWidget(self.strip)
        row.addLayout(column, 1)
        return work

    def _make_empty(self) -> QWidget:
        look = theme.current()
        self.demo_button = PrimaryButton(
            "Try the demo", "play", name="probeDemo", tip="Open the bundled photos."
        )
        self.data_button = Button("Open image folder", "folder-open-outline", name="probeOpenData")
        self.data_button.setToolTip("Go to the Data page and choose a folder with one sub-folder per class.")
        self.saved_button = Button(
            "Open saved probe…",
            "history",
            name="probeOpenSaved",
            tip="Open the JSON file of a saved probe and repeat it: image, classes and attack are inside it.",
        )
        empty = EmptyState(
            "target",
            "Nothing to attack yet",
            "Open a folder of images first: its class names are what the model chooses between. "
            "After that any image will do, also one from disk or from the clipboard. "
            "A saved probe needs no folder: open it, or drop it here.",
            [self.demo_button, self.data_button, self.saved_button],
        )
        fit_text(empty)
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(look.l, look.m, look.l, look.m)
        column.addWidget(self.empty_banner)
        column.addWidget(empty, 1)
        return box
