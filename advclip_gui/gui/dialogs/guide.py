"""The user guide, read inside the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices, QTextDocument
from PySide6.QtWidgets import QDialog, QHBoxLayout, QTextBrowser, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Button

if TYPE_CHECKING:
    from pathlib import Path


class GuideDialog(QDialog):
    """A browser over the guide's Markdown pages; links to the web go to the desktop's browser."""

    def __init__(self, start: Path, parent: QWidget | None = None) -> None:
        """Open at a page."""
        super().__init__(parent)
        look = theme.current()
        self.setWindowTitle("User guide")
        self.setObjectName("guideDialog")
        self.setModal(False)
        self.resize(50 * look.l, 40 * look.l)
        column = QVBoxLayout(self)
        column.setContentsMargins(look.m, look.m, look.m, look.m)
        column.setSpacing(look.s)
        self.browser = QTextBrowser()
        self.browser.setObjectName("guideBrowser")
        self.browser.setAccessibleName("User guide")
        self.browser.setOpenLinks(False)
        self.browser.anchorClicked.connect(self.follow)
        self.browser.document().setDocumentMargin(look.l)
        row = QHBoxLayout()
        row.setSpacing(look.s)
        self._start = QUrl.fromLocalFile(str(start))
        home = Button("Contents", "book-open-page-variant-outline", name="guideHome")
        home.clicked.connect(self._go_home)
        back = Button("Back", "arrow-left", name="guideBack")
        back.clicked.connect(self.browser.backward)
        back.setEnabled(False)
        self.browser.backwardAvailable.connect(back.setEnabled)
        close = Button("Close", name="guideClose")
        close.clicked.connect(self.close)
        row.addWidget(home)
        row.addWidget(back)
        row.addStretch(1)
        row.addWidget(close)
        column.addLayout(row)
        column.addWidget(self.browser, 1)
        self._go_home()

    def follow(self, link: QUrl) -> None:
        """Show another page of the guide, or hand a web address to the desktop."""
        target = self.browser.source().resolved(link)
        if target.isLocalFile():
            self.browser.setSource(target, QTextDocument.ResourceType.MarkdownResource)
        else:
            QDesktopServices.openUrl(target)

    def _go_home(self) -> None:
        self.browser.setSource(self._start, QTextDocument.ResourceType.MarkdownResource)
