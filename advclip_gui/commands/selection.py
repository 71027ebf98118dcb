"""Which images a model is evaluated on from the command line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from advclip_gui.engine.class_names import prompt_names
from advclip_gui.engine.datasets.drawing import scan_data
from advclip_gui.engine.datasets.folder import resolve_folder, scan
from advclip_gui.engine.datasets.sampling import Sample, Split, in_test_order, split_digest, split_from_json
from advclip_gui.engine.errors import DataError
from advclip_gui.engine.runs import RunFolder
from advclip_gui.settings import DEMO_FOLDER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.commands.models import ChosenModel
    from advclip_gui.engine.control import Control

Part = Literal["test", "val", "train", "all"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Images with labels, and the names of the classes the labels count.

    Attributes:
        split: what they are called in a report: the recorded split of the run, or the folder's own.
        digest: SHA-256 over the classes, paths and labels of the whole split, or of all images chosen from.
    """

    root: Path
    samples: tuple[Sample, ...]
    class_names: tuple[str, ...]
    split: str
    digest: str


def select(chosen: ChosenModel, folder: str | None, part: Part, limit: int, control: Control) -> Selection:
    """Choose images: those the run set aside, or those of another folder.

    Args:
        chosen: the model.
        folder: None for the data of the model's own run.
        part: of the split; "test" is everything where a foreign folder has no test part.
        limit: at most so many, the first in the order of evaluations; 0 for all.
        control: progress and cancel.

    Raises:
        DataError: there is no such folder, nothing in it, or nothing in this part.
        Cancelled: through `control`.
    """
    own = _own_folder(chosen)
    wanted = own if folder is None else folder
    if wanted is None:
        raise DataError(
            "This model does not tell which images it was made for.", "Name a folder with --data."
        )
    found = None
    if own is not None and resolve_folder(wanted) == resolve_folder(own):
        found = _recorded(chosen, resolve_folder(own), part)
    if found is None:
        found = _of_folder(chosen, wanted, part, control)
    if not found.samples:
        raise DataError(f"There are no images in the {part} part of {found.root}.", "Choose another --split.")
    if limit:
        return replace(found, samples=found.samples[:limit])
    return found


def _own_folder(chosen: ChosenModel) -> str | None:
    if chosen.settings is None:
        return DEMO_FOLDER if chosen.ref.backbone.name == "advclip-mini" else None
    folder = chosen.settings.data.folder
    # An exported adapter tells its data folder's name, but not where it lies.
    return folder if folder == DEMO_FOLDER or Path(folder).is_absolute() else None


def _recorded(chosen: ChosenModel, root: Path, part: Part) -> Selection | None:
    recorded = RunFolder(chosen.folder).split() if chosen.folder is not None else None
    if recorded is None:
        return None
    if not root.exists():
        raise DataError(f"The folder {root} of this run is not there.", "Name another one with --data.")
    split = split_from_json(recorded)
    parts = {"train": split.train, "val": split.val, "test": split.test}
    samples: Sequence[Sample] = parts.get(part) or ()
    if part == "all":
        samples = in_test_order([*split.train, *split.val, *split.test])
    told = f"{part} (as recorded with the run)"
    return Selection(root, tuple(samples), chosen.class_names, told, split_digest(split))


def _of_folder(chosen: ChosenModel, folder: str, part: Part, control: Control) -> Selection:
    data = chosen.settings.data if chosen.settings is not None else None
    if data is not None and resolve_folder(folder) == resolve_folder(data.folder):
        scanned = scan_data(data, control)
    else:
        scanned = scan(folder, control=control)
    renamed = chosen.settings.data.class_names if chosen.settings is not None else {}
    names = prompt_names(scanned, renamed)
    labels = {info.folder: label for label, info in enumerate(scanned.classes)}
    everything = part == "all" or (part == "test" and not scanned.has_test)
    samples = in_test_order(
        [
            Sample(record.path, labels[record.class_name])
            for record in scanned.records
            if everything or record.split == part
        ]
    )
    digest = split_digest(Split((), (), samples, tuple(labels)))
    return Selection(scanned.root, samples, names, "all images" if everything else part, digest)
