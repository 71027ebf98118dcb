"""The running download of a backbone: which one, how far, how fast, how long still, and Cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.elided_label import ElidedLabel
from advclip_gui.gui.widgets.progress_row import ProgressRow

if TYPE_CHECKING:
    from advclip_gui.engine.events import Progress
    from advclip_gui.gui.backbone_downloads import BackboneDownloads


class DownloadRow(QWidget):
    """Visible while something is downloaded, wherever that was started."""

    def __init__(self, name: str, downloads: BackboneDownloads, parent: QWidget | None = None) -> None:
        """Show what is running already; `name` is the prefix of the parts' object names."""
        super().__init__(parent)
        self._downloads = downloads
        self.task = ElidedLabel("", "caption")
        self.task.setObjectName(f"{name}Task")
        self.row = ProgressRow(name, megabytes=True)
        self.bar, self.text, self.cancel_button = self.row.bar, self.row.text, self.row.cancel_button
        self.cancel_button.setText("Cancel download")
        self.cancel_button.setToolTip("Stop; what came is kept, and the next download goes on from there.")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.current().xs)
        column.addWidget(self.task)
        column.addWidget(self.row)
        self.row.cancelled.connect(downloads.cancel)
        downloads.began.connect(self._begin)
        downloads.progressed.connect(self._go_on)
        downloads.ended.connect(self._end)
        self._begin()

    def _begin(self) -> None:
        one = self._downloads.one
        if one is not None:
            self.task.setText(f"Downloading {one.title}")
            self.bar.setAccessibleName(self.task.text())
            self.row.begin("Asking the hub")
            if self._downloads.latest is not None:
                self._go_on(self._downloads.latest)
        self.setVisible(one is not None)

    def _go_on(self, event: Progress) -> None:
        self.task.setText(event.task)  # the checksum follows the download
        self.row.show_progress(event)

    def _end(self) -> None:
        self.hide()
