"""What a scan of an image folder tells: images, classes and everything that was wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal

from advclip_gui.engine.events import Event

if TYPE_CHECKING:
    from pathlib import Path

FoundLayout = Literal["folders", "coop", "fgvc", "imagenet", "list"]
SplitName = Literal["train", "val", "test", "all"]
Severity = Literal["error", "warning", "note"]

PREVIEWS: Final = 3
"""Images that show at a glance what a class is."""

SPLITS: Final[tuple[SplitName, ...]] = ("train", "val", "test", "all")

ProblemKind = Literal[
    "missing",
    "unreadable",
    "truncated",
    "too_large",
    "not_an_image",
    "permission",
    "bad_name",
    "duplicate",
    "tiny",
    "loose_images",
    "loose_folder",
    "link_loop",
    "empty_class",
    "too_few",
    "same_name",
    "missing_in_train",
    "missing_in_test",
    "animated",
    "sixteen_bit",
    "unusual_mode",
]

SEVERITIES: Final[dict[ProblemKind, Severity]] = {
    "missing": "error",
    "unreadable": "error",
    "truncated": "error",
    "too_large": "error",
    "not_an_image": "error",
    "permission": "error",
    "bad_name": "error",
    "duplicate": "warning",
    "tiny": "warning",
    "loose_images": "warning",
    "loose_folder": "warning",
    "link_loop": "warning",
    "empty_class": "warning",
    "too_few": "warning",
    "same_name": "warning",
    "missing_in_train": "note",
    "missing_in_test": "note",
    "animated": "note",
    "sixteen_bit": "note",
    "unusual_mode": "note",
}
"""An error leaves the file out; a warning wants a look; a note says how a file is read."""


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One usable image. Width and height are those of the upright picture (0: not looked at)."""

    path: str
    """Relative to the root, with forward slashes."""
    class_name: str
    """Name of the class folder."""
    split: SplitName
    width: int
    height: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesFound(Event):
    """Images that a scan under way has come upon, by their names only; what is usable is told at its end."""

    root: Path
    records: tuple[ImageRecord, ...]


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """One class: its folder, its name in words, and how many usable images each split holds.

    In a dataset that is listed, `folder` is what tells the class from the others in the list.
    """

    folder: str
    name: str
    counts: dict[str, int]

    @property
    def total(self) -> int:
        """Images in all splits together."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about one file or folder, as a sentence."""

    path: str
    """Relative to the root, with forward slashes; "." is the root."""
    kind: ProblemKind
    message: str

    @property
    def severity(self) -> Severity:
        """Say "error" (left out), "warning" (wants a look) or "note" (how it is read)."""
        return SEVERITIES[self.kind]


@dataclass(frozen=True)
class DatasetScan:
    """A dataset as it was found: records and problems sorted by path, classes in the order of labels."""

    root: Path
    """The folder, zip or list that was opened; joined with a record's path it opens the image."""
    records: tuple[ImageRecord, ...]
    classes: tuple[ClassInfo, ...]
    problems: tuple[Problem, ...]
    ignored_files: int = 0
    """Files that are no images by their name, such as notes and lists."""
    layout: FoundLayout = "folders"
    """How the images lie on disk."""
    dataset: str = ""
    """Key of the known dataset this is, "" where it is none."""

    @cached_property
    def counts(self) -> dict[str, int]:
        """Usable images in each split that has any."""
        found = Counter(record.split for record in self.records)
        return {split: found[split] for split in SPLITS if found[split]}

    @cached_property
    def first_images(self) -> dict[str, tuple[str, ...]]:
        """Paths of the first few images of each class folder."""
        found: dict[str, tuple[str, ...]] = {}
        for record in self.records:
            few = found.get(record.class_name, ())
            if len(few) < PREVIEWS:
                found[record.class_name] = (*few, record.path)
        return found

    def prepare(self) -> DatasetScan:
        """Count what will be asked for, off the main thread where there are many images."""
        _ = self.counts, self.first_images
        return self

    @property
    def has_train(self) -> bool:
        """Whether there is a train folder with images."""
        return "train" in self.counts

    @property
    def has_val(self) -> bool:
        """Whether there is a validation folder with images."""
        return "val" in self.counts

    @property
    def has_test(self) -> bool:
        """Whether there is a test folder with images."""
        return "test" in self.counts

    @property
    def class_folders(self) -> tuple[str, ...]:
        """Folder names of the classes; the position is the label."""
        return tuple(info.folder for info in self.classes)

    def problems_of(self, severity: Severity) -> tuple[Problem, ...]:
        """Return the problems of one severity."""
        return tuple(problem for problem in self.problems if problem.severity == severity)

    def path_of(self, record: ImageRecord) -> Path:
        """Return where an image lies."""
        return self.root / record.path
