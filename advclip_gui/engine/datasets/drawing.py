"""From data settings to the images they mean: scan, base or new classes, and the few-shot sample."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from advclip_gui.engine.datasets.folder import scan
from advclip_gui.engine.datasets.sampling import Split, sample_split, short_classes
from advclip_gui.engine.datasets.split_file import read_split

if TYPE_CHECKING:
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.folder import Decode
    from advclip_gui.engine.datasets.records import DatasetScan
    from advclip_gui.settings import DataSettings
    from advclip_gui.settings.data import ClassPart


def scan_data(data: DataSettings, control: Control, *, decode: Decode = "auto") -> DatasetScan:
    """Scan what the settings name, and keep the classes they ask for.

    Raises:
        DataError: as for `scan`.
        Cancelled: through `control`.
    """
    return restricted(scan(data.folder, control=control, decode=decode, layout=data.layout), data.classes)


def restricted(found: DatasetScan, classes: ClassPart) -> DatasetScan:
    """Keep the first half of the classes ("base"), the second ("new"), or all.

    The halves are those of base-to-new generalisation as few-shot CLIP papers report it: classes in
    the order of their labels, the first half the larger one where their number is odd. Labels count
    from 0 in either half.
    """
    if classes == "all":
        return found
    middle = (len(found.classes) + 1) // 2
    kept = found.classes[:middle] if classes == "base" else found.classes[middle:]
    folders = {info.folder for info in kept}
    records = tuple(record for record in found.records if record.class_name in folders)
    return dataclasses.replace(found, classes=kept, records=records)


def draw_split(found: DatasetScan, data: DataSettings, *, allow_short: bool = False) -> Split:
    """Draw the sample the settings ask for, or read it from their list.

    There are never more validation than training images per class: with k shots, min(k, 4) of them
    in the protocol of few-shot CLIP papers (`val_shots` is 4 unless changed).

    Args:
        found: the scan, already restricted to the classes asked for.
        data: the settings.
        allow_short: as for `sample_split`.

    Raises:
        DataError: a class has too few images, or the list does not fit the data.
    """
    if data.split_file:
        return read_split(data.split_file, found, skip=data.skip, only_known=data.classes != "all")
    val_shots = min(data.val_shots, data.shots)
    return sample_split(
        found, shots=data.shots, val_shots=val_shots, seed=data.seed, skip=data.skip, allow_short=allow_short
    )


def classes_too_small(found: DatasetScan, data: DataSettings) -> dict[str, int]:
    """Return the classes with fewer training images than the settings draw, and how many they have."""
    return {} if data.split_file else short_classes(found, shots=data.shots, skip=data.skip)
