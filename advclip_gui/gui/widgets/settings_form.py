"""A form made from a settings section: titles, help, ranges and units come from the model itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import TextLabel, set_property
from advclip_gui.gui.widgets.epsilon_field import EpsilonField
from advclip_gui.gui.widgets.field_editors import Check, FieldEditor, TextLines, editor_for, is_length
from advclip_gui.gui.widgets.fold import Fold
from advclip_gui.gui.widgets.problem_text import field_problems

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from PySide6.QtGui import QResizeEvent

LABEL_WIDTH = 128
"""Shared by all forms, so that the fields of cards below each other stand in one line."""


class _Note(TextLabel):
    """Asks for the height of all its lines, which a grid inside a fold would not grant it."""

    def __init__(self, text: str) -> None:
        super().__init__(text, "caption", wrap=True)

    def setText(self, text: str) -> None:
        super().setText(text)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if self.isVisible():
            self.setMinimumHeight(0)  # or it never shrinks again
            self.setMinimumHeight(max(self.heightForWidth(self.width()), 0))


class FieldRow:
    """Label, editor and a line beneath that helps, or says what is wrong."""

    def __init__(self, title: str, help_text: str, editor: FieldEditor, label_width: int) -> None:
        """Make the three parts; `add_to` places them."""
        self.editor = editor
        self.help_text = help_text
        self.problem = ""
        self.label = QLabel(title)
        self.label.setFixedWidth(label_width)
        self.label.setWordWrap(True)
        self.label.setBuddy(editor)
        self.label.setToolTip(help_text)
        self.note = _Note(help_text)
        self.note.setObjectName(f"{editor.objectName()}.note")
        editor.setToolTip(help_text)
        editor.setAccessibleName(title)
        editor.setAccessibleDescription(help_text)

    def add_to(self, grid: QGridLayout) -> None:
        """Append the row to a grid of two columns."""
        row = grid.rowCount()
        tall = isinstance(self.editor, TextLines)
        alignment = Qt.AlignmentFlag.AlignTop if tall else Qt.AlignmentFlag.AlignVCenter
        grid.addWidget(self.label, row, 0, alignment)
        if isinstance(self.editor, Check):
            # As wide as its text, or the focus frame runs across the card.
            grid.addWidget(self.editor, row, 1, Qt.AlignmentFlag.AlignLeft)
        else:
            grid.addWidget(self.editor, row, 1)
        grid.addWidget(self.note, row + 1, 1, Qt.AlignmentFlag.AlignTop)
        grid.setRowMinimumHeight(row + 2, theme.current().s)

    def show_problem(self, sentence: str) -> None:
        """Mark the field as wrong, or as right with an empty sentence."""
        if sentence == self.problem:
            return
        self.problem = sentence
        self.note.setText(sentence or self.help_text)
        self.note.set_role("bad" if sentence else "caption")
        marked = self.editor.number_field if isinstance(self.editor, EpsilonField) else self.editor
        set_property(marked, "invalid", bool(sentence))
        self.editor.setAccessibleDescription(sentence or self.help_text)

    def set_hint(self, text: str) -> None:
        """Say something else than the help beneath the field; "" goes back to it."""
        if not self.problem:
            self.note.setText(text or self.help_text)

    def set_enabled(self, enabled: bool, why: str = "", tip: str = "") -> None:
        """Grey the row out, saying why in its note, and at length in its tooltip."""
        self.label.setEnabled(enabled)
        self.editor.setEnabled(enabled)
        if not self.problem:
            self.note.setText(self.help_text if enabled or not why else why)
        shown = self.help_text if enabled or not (tip or why) else tip or why
        for part in (self.label, self.editor):
            part.setToolTip(shown)


class SettingsForm(QWidget):
    """Edits one frozen section; reports every edit as a new valid section, or None.

    Fields that are not shown keep the value of the section last set.
    """

    changed = Signal(object)

    def __init__(
        self,
        model: type[BaseModel],
        *,
        name: str,
        fields: Sequence[str] | None = None,
        folded: Collection[str] = (),
        fold_title: str = "More options",
        label_width: int = LABEL_WIDTH,
        parent: QWidget | None = None,
    ) -> None:
        """Build the rows.

        Args:
            model: the section's class.
            name: prefix of the editors' object names, e.g. ``lora`` for ``lora.rank``.
            fields: which fields, in which order; None shows all of them.
            folded: fields that are hidden until asked for.
            fold_title: what the fold is called.
            label_width: of the column of titles.
            parent: the owner.
        """
        super().__init__(parent)
        self._model = model
        self._rows: dict[str, FieldRow] = {}
        self._label_width = label_width
        self._loading = False
        self._base: dict[str, Any] = {}
        shown = list(fields) if fields is not None else list(model.model_fields)
        self._lengths = frozenset(field for field, info in model.model_fields.items() if is_length(info))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(self._grid(name, [field for field in shown if field not in folded]))
        self._fold: Fold | None = None
        self._folded = [field for field in shown if field in folded]
        if self._folded:
            inside = QWidget()
            inside.setLayout(self._grid(name, self._folded))
            self._fold = Fold(fold_title, inside, name=f"{name}.fold")
            layout.addWidget(self._fold)
        layout.addStretch(1)
        self.set_section(model.model_construct(**_defaults(model)))

    @property
    def rows(self) -> dict[str, FieldRow]:
        """The rows by field name."""
        return self._rows

    def editor(self, field: str) -> FieldEditor:
        """The editor of a field."""
        return self._rows[field].editor

    def problems(self) -> dict[str, str]:
        """Field names and sentences of what is wrong now; empty when all is well."""
        return self._validate()[1]

    def section(self) -> BaseModel | None:
        """The section as edited, None while a value is wrong."""
        return self._validate()[0]

    def set_section(self, section: BaseModel) -> None:
        """Show a section without reporting a change."""
        self._base = {field: getattr(section, field) for field in self._model.model_fields}
        self._loading = True
        try:
            for field in self._lengths & self._rows.keys():
                self._length(field).set_norm(self._base.get("norm", "Linf"))
            for field, row in self._rows.items():
                row.editor.set_value(self._base[field])
        finally:
            self._loading = False
        self._show(self._validate()[1])

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show other values of some fields, right or wrong as the rest may be, without reporting it."""
        self._loading = True
        try:
            for field, value in values.items():
                self._rows[field].editor.set_value(value)
            self._follow_norm()
        finally:
            self._loading = False
        self._show(self._validate()[1])

    def unfold(self) -> None:
        """Show the folded fields."""
        if self._fold is not None:
            self._fold.expand(animate=False)

    def _grid(self, name: str, fields: Sequence[str]) -> QGridLayout:
        spacing = theme.current()
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(spacing.m)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(1, 1)
        for field in fields:
            info = self._model.model_fields[field]
            editor = editor_for(field, info)
            editor.setObjectName(f"{name}.{field}")
            row = FieldRow(info.title or field, info.description or "", editor, self._label_width)
            row.add_to(grid)
            editor.edited.connect(self._on_edited)
            self._rows[field] = row
        return grid

    def _validate(self) -> tuple[BaseModel | None, dict[str, str]]:
        values = dict(self._base)
        for field, row in self._rows.items():
            values[field] = row.editor.value()
        try:
            return self._model.model_validate(values), {}
        except ValidationError as error:
            counted = frozenset(
                field
                for field in self._lengths
                if field not in self._rows or self._length(field).norm == "Linf"
            )
            return None, field_problems(self._model, error, counted)

    def _length(self, field: str) -> EpsilonField:
        editor = self._rows[field].editor
        assert isinstance(editor, EpsilonField)
        return editor

    def _follow_norm(self) -> None:
        """Count the lengths as the norm that is chosen asks for."""
        if "norm" in self._rows:
            norm = self._rows["norm"].editor.value()
            for field in self._lengths & self._rows.keys():
                self._length(field).change_norm("L2" if norm == "L2" else "Linf")

    def _on_edited(self) -> None:
        if self._loading:
            return
        self._loading = True
        self._follow_norm()
        self._loading = False
        section, problems = self._validate()
        self._show(problems)
        self.changed.emit(section)

    def _show(self, problems: dict[str, str]) -> None:
        for field, row in self._rows.items():
            row.show_problem(problems.get(field, ""))
        if any(field in problems for field in self._folded):
            self.unfold()


def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    return {field: info.get_default(call_default_factory=True) for field, info in model.model_fields.items()}
