"""What is wrong with a setting, in a sentence that fits beneath its field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from advclip_gui.gui.widgets.number_field import format_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel, ValidationError

_BOUNDS = {
    "greater_than_equal": ("ge", "must be at least", "too small"),
    "greater_than": ("gt", "must be more than", "too small"),
    "less_than_equal": ("le", "must be at most", "too large"),
    "less_than": ("lt", "must be less than", "too large"),
}


def problem_sentence(title: str, problem: Mapping[str, Any], *, length: bool = False) -> str:
    """Say what one entry of pydantic's report means.

    Args:
        title: what the field is called on screen.
        problem: an entry of `ValidationError.errors()`.
        length: the field is a length, shown as k/255.
    """
    kind, given = problem["type"], problem["input"]
    if isinstance(given, float):
        given = format_number(given)
    if kind in _BOUNDS and str(given).lower().strip("+-") not in {"nan", "inf", "infinity"}:
        key, rule, fault = _BOUNDS[kind]
        limit = problem["ctx"][key]
        shown = f"{format_number(limit * 255)}/255" if length else format_number(limit)
        return f"{title} {rule} {shown}; {given} is {fault}."
    if given in ("", None) or (length and given == ""):
        return f"{title} is empty."
    if kind.startswith("int_"):
        return f"{title} must be a whole number; '{given}' is none."
    if kind.startswith("float_") or kind in {"finite_number", *_BOUNDS}:
        return f"{title} must be a number; '{given}' is none."
    if kind == "too_short":
        return f"{title}: choose at least {problem['ctx']['min_length']}."
    if kind == "value_error":
        message = problem["msg"].removeprefix("Value error, ")
        return f"{message[:1].upper()}{message[1:]}."
    return f"{title}: {problem['msg'][:1].lower()}{problem['msg'][1:]}."


def field_problems(model: type[BaseModel], error: ValidationError, lengths: frozenset[str]) -> dict[str, str]:
    """Map field names to sentences; what belongs to no single field is under ``""``."""
    sentences: dict[str, str] = {}
    # Of a value that may be a name or a list, the complaint about the list is the one that helps.
    problems = sorted(error.errors(), key=lambda problem: problem["type"] == "literal_error")
    for problem in problems:
        name = str(problem["loc"][0]) if problem["loc"] else ""
        if not name:
            # A rule over several fields begins with the name of the one it is about.
            message = problem["msg"].removeprefix("Value error, ")
            name, _, rest = message.partition(" ")
            about = model.model_fields.get(name)
            if about is not None:
                sentences.setdefault(name, f"{about.title or name} {rest}.")
                continue
            name = ""
        info = model.model_fields.get(name)
        title = (info.title if info is not None else None) or name
        sentences.setdefault(name, problem_sentence(title, problem, length=name in lengths))
    return sentences
