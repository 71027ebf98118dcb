"""Above the table of backbones: words, family, resolution, what is here, and what is not supported."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLineEdit, QWidget

from advclip_gui.engine.catalog import all_entries
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.field_editors import ChoiceBox


class BackboneFilter(QWidget):
    """What the list is narrowed by."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        """Let everything through that can be adapted."""
        super().__init__(parent)
        usable = [one for one in all_entries() if not one.refused]
        families = sorted({one.family for one in usable if one.family}, key=str.casefold)
        sizes = sorted({one.image_size for one in usable})
        self.search = QLineEdit()
        self.search.setAccessibleName("Search backbones")
        self.search.setPlaceholderText("Search, or owner/repository of the hub")
        self.search.setToolTip(
            "All words must occur, e.g. 'metaclip b-16'; or name any repository of the hub."
        )
        self.search.setClearButtonEnabled(True)
        self.family = ChoiceBox([("All families", ""), *((name, name) for name in families)])
        self.family.setAccessibleName("Family")
        self.resolution = ChoiceBox([("Any input", 0), *((f"{size} px", size) for size in sizes)])
        self.resolution.setAccessibleName("Input resolution")
        self.only_here = QCheckBox("Already here")
        self.only_here.setToolTip("Only what can be used at once.")
        self.refused = QCheckBox("Not supported too")
        self.refused.setToolTip("Also models LoRA cannot be placed on, with the reason.")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.current().s)
        parts: dict[str, QWidget] = {
            "backboneSearch": self.search,
            "backboneFamily": self.family,
            "backboneInput": self.resolution,
            "backboneHere": self.only_here,
            "backboneRefused": self.refused,
        }
        for name, widget in parts.items():
            widget.setObjectName(name)
            row.addWidget(widget, 1 if widget is self.search else 0)
        self.search.textChanged.connect(self.changed)
        for box in (self.family, self.resolution):
            box.edited.connect(self.changed)
        for check in (self.only_here, self.refused):
            check.toggled.connect(self.changed)

    def family_name(self) -> str:
        """The family to show, "" for all."""
        return str(self.family.value() or "")

    def pixels(self) -> int:
        """The resolution to show, 0 for any."""
        size = self.resolution.value()
        return size if isinstance(size, int) else 0
