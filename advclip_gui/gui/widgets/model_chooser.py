"""Chooses among zero-shot, finished adapters and the adapter in training; survives a changing list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QWidget

from advclip_gui.gui import theme

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.model_ref import ModelRef

ICONS = {"zero_shot": "circle-outline", "adapter": "tune-variant", "live": "record-circle-outline"}


class ModelChooser(QComboBox):
    """A combo box of `ModelRef`s."""

    chosen = Signal(object)
    """Another ModelRef, by the user or because the former one is gone."""

    def __init__(self, *, name: str, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.setObjectName(name)
        self.setAccessibleName("Model")
        self.setToolTip("Which classifier is attacked: untouched, adapted, or being adapted at this moment.")
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        self._refs: tuple[ModelRef, ...] = ()
        self._next_adapter = ""
        self.activated.connect(self._on_activated)

    def ref(self) -> ModelRef | None:
        """The model chosen."""
        index = self.currentIndex()
        return self._refs[index] if 0 <= index < len(self._refs) else None

    def set_refs(self, refs: Sequence[ModelRef], *, trained: str = "") -> None:
        """Offer other models; the choice stays if it can.

        When the live model is gone the choice goes to the adapter it has become, as soon as that is
        in the list.

        Args:
            refs: models, as the workspace lists them.
            trained: folder of the run that is, or last was, in training.
        """
        before = self.ref()
        if tuple(refs) == self._refs:
            return
        if before is not None and before.kind == "live" and not any(ref.kind == "live" for ref in refs):
            self._next_adapter = trained
        self._refs = tuple(refs)
        self.blockSignals(True)
        self.clear()
        for ref in self._refs:
            self.addItem(theme.icon(ICONS[ref.kind], "text_muted"), ref.title)
            self.setItemData(self.count() - 1, ref.adapter or ref.title, 3)  # the tooltip's role
        self.setCurrentIndex(self._index_of(before))
        self.blockSignals(False)
        if self.ref() != before:
            self.chosen.emit(self.ref())

    @property
    def refs(self) -> tuple[ModelRef, ...]:
        """All that can be chosen."""
        return self._refs

    def choose_like(self, ref: ModelRef) -> None:
        """Choose the model that is the same but for its title, adding it to the list if need be."""
        same = (known for known in self._refs if _identity(known) == _identity(ref))
        self.choose(next(same, ref))

    def choose(self, ref: ModelRef) -> None:
        """Choose a model, adding it to the list if need be."""
        if ref not in self._refs:
            self._refs = (*self._refs, ref)
            self.addItem(theme.icon(ICONS[ref.kind], "text_muted"), ref.title)
        self._next_adapter = ""
        index = self._refs.index(ref)
        if index != self.currentIndex():
            self.setCurrentIndex(index)
            self.chosen.emit(ref)

    def _index_of(self, before: ModelRef | None) -> int:
        for index, ref in enumerate(self._refs):
            if self._next_adapter and ref.kind == "adapter" and ref.adapter == self._next_adapter:
                self._next_adapter = ""
                return index
        if before in self._refs:
            return self._refs.index(before)
        for index, ref in enumerate(self._refs):
            if before is not None and (ref.kind, ref.adapter) == (before.kind, before.adapter):
                return index
        return 0 if self._refs else -1

    def _on_activated(self, _index: int) -> None:
        self._next_adapter = ""
        self.chosen.emit(self.ref())


def _identity(ref: ModelRef) -> tuple[object, ...]:
    return ref.kind, ref.backbone, ref.adapter
