"""Chooses among the attacks of the catalogue, whichever there are."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QWidget

from advclip_gui.engine.attacks.catalog import INFOS, attack_info

_FIRST = ("pgd", "fgsm")
"""The one to begin with and the quick one; the others follow in the catalogue's order."""


class AttackChooser(QComboBox):
    """A combo box of attacks; each line's tooltip explains it."""

    chosen = Signal(str)
    """The name, when the user changes it."""

    def __init__(self, *, name: str, parent: QWidget | None = None) -> None:
        """Offer what the catalogue has."""
        super().__init__(parent)
        self.setObjectName(name)
        self.setAccessibleName("Attack")
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(7)
        rest = [info.name for info in INFOS if info.name not in _FIRST]
        for attack in (*_FIRST, *rest):
            info = attack_info(attack)
            self.addItem(info.title, attack)
            self.setItemData(self.count() - 1, info.description, Qt.ItemDataRole.ToolTipRole)
        self._explain()
        self.currentIndexChanged.connect(self._explain)
        self.activated.connect(self._on_activated)

    def value(self) -> str:
        """Name of the attack."""
        return str(self.currentData())

    def set_value(self, attack: str) -> None:
        """Show an attack without telling anyone."""
        self.setCurrentIndex(self.findData(attack))

    def _explain(self) -> None:
        self.setToolTip(attack_info(self.value()).description)

    def _on_activated(self, _index: int) -> None:
        self.chosen.emit(self.value())


def default_steps(attack: str) -> int:
    """Steps an attack is known with."""
    return int(getattr(attack_info(attack), "default_steps", 10))


def steps_name(attack: str) -> str:
    """What the field calls its steps, e.g. "queries"."""
    return str(getattr(attack_info(attack), "steps_name", "steps"))
