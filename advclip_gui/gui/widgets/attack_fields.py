"""Number fields of an attack: what they hold, and what is said of a wrong one."""

from __future__ import annotations

from advclip_gui.gui.widgets.number_field import NumberField, format_number


class WrongFieldError(ValueError):
    """A field's value cannot be used; the text says why."""

    def __init__(self, field: NumberField, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


def number_in(field: NumberField, name: str, low: float, high: float) -> float:
    """Return the field's number.

    Raises:
        WrongFieldError: it is none, or does not lie in [low, high].
    """
    text, number = field.lineEdit().text().strip(), field.number()
    if number is None:
        raise WrongFieldError(
            field, f"{name} must be a number; '{text}' is none." if text else f"{name} is empty."
        )
    if not low <= number <= high:
        raise WrongFieldError(
            field, f"{name} must lie between {low:,g} and {high:,.0f}; {format_number(number)} does not."
        )
    return number


def count_field(name: str, label: str, value: int, low: int, high: int, tip: str) -> NumberField:
    """Make a field for whole numbers."""
    field = NumberField(integer=True, step=1, minimum=low, maximum=high)
    field.setObjectName(name)
    field.setAccessibleName(label)
    field.setToolTip(tip)
    field.set_value(value)
    return field
