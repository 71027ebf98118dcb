"""What this program is, and which versions it runs on."""

from __future__ import annotations

import platform
from importlib import metadata

from PySide6.QtCore import qVersion
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QVBoxLayout, QWidget

from advclip_gui import __version__
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Button, Muted, TextLabel

_PACKAGES = ("torch", "open_clip_torch", "peft", "pyqtgraph", "pillow")


def versions_text() -> str:
    """One line for each part a bug report needs; read from package records, nothing is imported."""
    lines = [
        f"AdvCLIP-LoRA workbench {__version__}",
        f"Python {platform.python_version()}",
        f"Qt {qVersion()}",
    ]
    for package in _PACKAGES:
        try:
            lines.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{package} is not installed")
    return "\n".join(lines)


class AboutDialog(QDialog):
    """The method, where it comes from, and versions to copy."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Build the dialog."""
        super().__init__(parent)
        look = theme.current()
        self.setWindowTitle("About")
        self.setObjectName("aboutDialog")
        column = QVBoxLayout(self)
        column.setContentsMargins(look.xl, look.xl, look.xl, look.l)
        column.setSpacing(look.m)
        column.addWidget(TextLabel("AdvCLIP-LoRA workbench", "heading"))
        text = Muted(
            "Adversarial few-shot low-rank fine-tuning of CLIP (Ghiasvand, Oskouie, Alizadeh and Pedarsani, "
            "arXiv 2505.15130), with attacks and evaluation in pixel units."
        )
        text.setMinimumWidth(26 * look.l)
        column.addWidget(text)
        versions = TextLabel(versions_text(), "caption")
        versions.setFont(look.mono_font(look.caption))
        column.addWidget(versions)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        copy = Button("Copy versions", "content-copy", name="copyVersions")
        copy.clicked.connect(self._copy)
        buttons.addButton(copy, QDialogButtonBox.ButtonRole.ActionRole)
        column.addWidget(buttons)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(versions_text())
