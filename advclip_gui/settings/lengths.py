"""Lengths of perturbations in pixel units, written ``k/255``; norms."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

Norm = Literal["Linf", "L2"]


def parse_epsilon(value: object) -> object:
    """Turn ``"4/255"`` or a number into pixel units; what is no length is left to pydantic.

    Raises:
        ValueError: the text is neither a number nor a fraction ``k/255``.
    """
    if isinstance(value, str):
        try:
            numerator, *denominator = value.replace(" ", "").split("/", 1)
            return float(
                Fraction(Decimal(numerator)) / Fraction(Decimal(denominator[0] if denominator else 1))
            )
        except (ArithmeticError, ValueError) as error:
            raise ValueError(f"'{value}' is not a length such as 4/255 or 0.0157") from error
    return value


def format_epsilon(value: float) -> str:
    """Write a length in pixel units as ``k/255``, with as many digits as it needs."""
    return f"{value * 255:.10g}/255"


def _as_written(value: float) -> float:
    """Round to what `format_epsilon` writes, so that settings survive a file bit for bit."""
    return float(Fraction(Decimal(format_epsilon(value).removesuffix("/255"))) / 255)


Radius = Annotated[
    float,
    BeforeValidator(parse_epsilon),
    AfterValidator(_as_written),
    PlainSerializer(format_epsilon, return_type=str),
    Field(ge=0.0, le=64.0, allow_inf_nan=False, json_schema_extra={"unit": "/255"}),
]
"""A length in pixel units, written ``k/255``; an L2 distance over all pixels may well exceed 1."""


def check_within_pixels(norm: Norm, **lengths: float) -> None:
    """Refuse an L-infinity length beyond the range of a pixel.

    Raises:
        ValueError: naming the length.
    """
    for name, value in lengths.items():
        if norm == "Linf" and value > 1:
            raise ValueError(f"{name} {format_epsilon(value)} is more than the whole range of a pixel")
