"""What keeps a few-shot sample from being trained on, found before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from advclip_gui.engine.datasets.drawing import classes_too_small, draw_split
from advclip_gui.engine.errors import DataError

if TYPE_CHECKING:
    from advclip_gui.engine.datasets.records import DatasetScan
    from advclip_gui.settings import DataSettings


@dataclass(frozen=True, slots=True)
class SampleCheck:
    """A sample as the settings would draw it.

    Attributes:
        short: classes with fewer training images than shots, and how many they have.
        validation: number of validation images.
        refused: why nothing can be drawn, e.g. a list that does not fit the data; "" where it can.
    """

    short: dict[str, int] = field(default_factory=dict)
    validation: int = 0
    refused: str = ""


def check_sample(scan: DatasetScan, data: DataSettings) -> SampleCheck:
    """Draw the sample and say what would be missing.

    Args:
        scan: restricted to the classes asked for.
        data: the settings.
    """
    short = classes_too_small(scan, data)
    try:
        return SampleCheck(short, len(draw_split(scan, data, allow_short=True).val))
    except DataError as error:
        return SampleCheck(short, refused=str(error))
