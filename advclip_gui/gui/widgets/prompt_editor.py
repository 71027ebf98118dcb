"""Prompt templates, one per line, with a live preview for one class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from advclip_gui.engine.prompts import fill
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Button, SectionLabel, TextLabel, set_property
from advclip_gui.gui.widgets.field_editors import TextLines
from advclip_gui.gui.widgets.problem_text import field_problems
from advclip_gui.settings import DataSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

PREVIEW_LINES = 4


class PromptEditor(QWidget):
    """Edits the templates and shows what the text tower will read."""

    changed = Signal(object)
    """The templates, or None while one of them is wrong."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start with the default template."""
        super().__init__(parent)
        look = theme.current()
        info = DataSettings.model_fields["templates"]
        self._class_name = ""
        self._help = "One per line, with {} for the class name; several are averaged."
        self._loading = False
        self.editor = TextLines(rows=4)
        self.editor.setObjectName("data.templates")
        self.editor.setAccessibleName(info.title or "")
        self.editor.setToolTip(info.description or "")
        self.note = TextLabel(self._help, "caption", wrap=True)
        self.note.setObjectName("data.templates.note")
        self._offer: tuple[str, ...] = ()
        self.offer = Button("", "lightbulb-outline", "link", name="usualPrompt")
        self.offer.hide()
        self.preview_title = SectionLabel("Preview")
        self.preview = TextLabel("", wrap=True)
        self.preview.setObjectName("promptPreview")
        well = QFrame()
        well.setProperty("role", "well")
        inner = QVBoxLayout(well)
        inner.setContentsMargins(look.m, look.s, look.m, look.s)
        inner.setSpacing(look.xs)
        inner.addWidget(self.preview_title)
        inner.addWidget(self.preview)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.xs)
        column.addWidget(self.editor)
        column.addWidget(self.note)
        column.addWidget(self.offer, 0, Qt.AlignmentFlag.AlignLeft)
        column.addSpacing(look.xs)
        column.addWidget(well)
        self.editor.edited.connect(self._on_edited)
        self.offer.clicked.connect(self._take_offer)
        self.set_templates(DataSettings().templates)

    def templates(self) -> tuple[str, ...] | None:
        """The templates, None while one of them is wrong."""
        return None if self.problem() else self._lines()

    def problem(self) -> str:
        """What is wrong, "" where nothing is."""
        try:
            DataSettings(templates=self._lines())
        except ValidationError as error:
            return field_problems(DataSettings, error, frozenset()).get("templates", "")
        return ""

    def set_templates(self, templates: Sequence[str]) -> None:
        """Show templates without reporting a change."""
        self._loading = True
        try:
            self.editor.set_value(templates)
        finally:
            self._loading = False
        self._show()

    def set_offer(self, dataset: str, templates: Sequence[str]) -> None:
        """Offer the templates that are usual for a dataset; none takes the offer back."""
        self._offer = tuple(templates)
        self.offer.setText(f"Usual for {dataset}")
        self.offer.setToolTip("Use the prompt papers report this dataset with: " + " ".join(templates))
        self._show()

    def _take_offer(self) -> None:
        self.set_templates(self._offer)
        self.changed.emit(self.templates())

    def set_class_name(self, name: str) -> None:
        """Choose whose prompts are shown."""
        self._class_name = name
        self._show()

    def _lines(self) -> tuple[str, ...]:
        value = self.editor.value()
        return value if isinstance(value, tuple) else ()

    def _on_edited(self) -> None:
        if not self._loading:
            self._show()
            self.changed.emit(self.templates())

    def _show(self) -> None:
        problem = self.problem()
        self.note.setText(problem or self._help)
        self.note.set_role("bad" if problem else "caption")
        set_property(self.editor, "invalid", bool(problem))
        self.offer.setVisible(bool(self._offer) and self._lines() != self._offer)
        name = self._class_name or "class name"
        self.preview_title.setText(f"Preview for “{name}”")
        prompts = fill(self._lines(), name)
        text = "\n".join(prompts[:PREVIEW_LINES])
        if len(prompts) > PREVIEW_LINES:
            text += f"\n… and {len(prompts) - PREVIEW_LINES} more"
        self.preview.setText(text or "–")
