"""Scan a class-per-folder tree of images: what is there, what can be used, what is wrong."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from advclip_gui.engine.datasets.pool import map_files
from advclip_gui.engine.datasets.records import (
    SPLITS,
    ClassInfo,
    DatasetScan,
    ImageRecord,
    Problem,
    ProblemKind,
)
from advclip_gui.engine.datasets.walk import FoundFile, Tree, list_tree
from advclip_gui.engine.errors import DataError
from advclip_gui.engine.images import BadImageError, ImageFacts, inspect_image
from advclip_gui.engine.prompts import clean_class_name
from advclip_gui.engine.resources import demo_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from advclip_gui.engine.control import Control

__all__ = [
    "ClassInfo",
    "DatasetScan",
    "Decode",
    "ImageRecord",
    "Problem",
    "ProblemKind",
    "bad_image_sentence",
    "resolve_folder",
    "scan",
]

Decode = Literal["auto", "header", "full", "none"]

TINY_SIDE: Final = 16
"""An image with a shorter side is reported: there is little to see in it."""

_DEMO: Final = "demo"
_FULL_DECODE_FILES: Final = 2000
_FULL_DECODE_BYTES: Final = 256 * 2**20
_LAYOUT_HINT: Final = "A folder needs one sub-folder of images for each class, such as 'cat' and 'dog'."


def resolve_folder(folder: Path | str) -> Path:
    """Return the absolute folder; the text "demo" means the bundled images, "~" the home folder."""
    if folder == _DEMO:
        return demo_folder()
    return Path(folder).expanduser().absolute()


def scan(folder: Path | str, *, control: Control, decode: Decode = "auto") -> DatasetScan:
    """Find the images, classes and problems of a folder; nothing in it is changed.

    Args:
        folder: the root of the tree, or "demo" for the bundled images.
        control: reports progress and cancels.
        decode: "header" reads headers and decodes only what does not end as it should, "full"
            decodes every file, "none" opens no file, "auto" is "full" for a small tree, else "header".

    Raises:
        DataError: the folder is missing or no folder, holds no usable image, or only one class.
        Cancelled: the user asked for it.
    """
    root = resolve_folder(folder)
    _check_folder(root)
    tree = list_tree(root, control)
    if not tree.files:
        raise _no_images(root, tree)
    records, problems = _look_at(root, tree.files, decode, control)
    problems += tree.problems
    if decode != "none":
        problems += _duplicates(root, records, control)
    classes = _classes(records)
    problems += _class_problems(tree, classes)
    if not records:
        first = problems[0]
        raise DataError(
            f"None of the {len(tree.files)} images in {root} can be used.",
            f"The first one, {first.path}: {first.message}",
        )
    if len(classes) < 2:
        raise _one_class(root, classes[0].folder)
    return DatasetScan(
        root=root,
        records=tuple(records),
        classes=classes,
        problems=tuple(sorted(problems, key=lambda problem: (problem.path, problem.kind))),
        ignored_files=tree.ignored_files,
    )


def _check_folder(root: Path) -> None:
    try:
        exists, is_folder = root.exists(), root.is_dir()
    except OSError as error:
        raise DataError(f"The folder {root} cannot be read: {error.strerror or error}.") from error
    if not exists:
        raise DataError(f"The folder {root} does not exist.", "Check the path, or choose another folder.")
    if not is_folder:
        raise DataError(f"{root} is a file, not a folder.", _LAYOUT_HINT)


def _no_images(root: Path, tree: Tree) -> DataError:
    denied = next((problem for problem in tree.problems if problem.kind == "permission"), None)
    if denied is not None:
        where = root if denied.path == "." else root / denied.path
        return DataError(f"There is no permission to read the folder {where}.", "Choose another folder.")
    if tree.loose_images:
        return DataError(
            f"The {tree.loose_images} images in {root} lie beside each other and not in class folders.",
            _LAYOUT_HINT,
        )
    return DataError(f"There are no images in {root}.", _LAYOUT_HINT)


def _one_class(root: Path, folder: str) -> DataError:
    return DataError(
        f"The folder {root} holds only one class, '{folder}'; a classifier needs at least two.",
        f"{_LAYOUT_HINT} If the classes lie inside '{folder}', open that folder instead.",
    )


def _look_at(
    root: Path, files: Sequence[FoundFile], decode: Decode, control: Control
) -> tuple[list[ImageRecord], list[Problem]]:
    if decode == "none":
        records = [
            ImageRecord(file.path, file.class_name, file.split, 0, 0, file.size_bytes) for file in files
        ]
        return records, []
    small = len(files) < _FULL_DECODE_FILES and sum(file.size_bytes for file in files) < _FULL_DECODE_BYTES
    full = decode == "full" or (decode == "auto" and small)

    def look(file: FoundFile) -> ImageFacts | BadImageError:
        try:
            return inspect_image(root / file.path, full=full)
        except BadImageError as error:
            return error

    records, problems = [], []
    outcomes = map_files(look, files, task="Checking images", control=control)
    for file, outcome in zip(files, outcomes, strict=True):
        if isinstance(outcome, BadImageError):
            problems.append(Problem(file.path, outcome.kind, bad_image_sentence(outcome)))
            continue
        records.append(
            ImageRecord(
                file.path, file.class_name, file.split, outcome.width, outcome.height, file.size_bytes
            )
        )
        problems.extend(Problem(file.path, kind, message) for kind, message in _remarks(outcome))
    return records, problems


def bad_image_sentence(error: BadImageError) -> str:
    """Return why an image is left out, without its path."""
    return f"Left out: {error.reason}."


def _remarks(facts: ImageFacts) -> Iterable[tuple[ProblemKind, str]]:
    if min(facts.width, facts.height) < TINY_SIDE:
        yield "tiny", f"Only {facts.width} x {facts.height} pixels; there is little to see in it."
    if facts.frames == "animation":
        yield "animated", "An animation; its first frame is used."
    if facts.frames == "pages":
        yield "animated", "A file of several pages; the first one is used."
    if facts.sixteen_bit:
        yield "sixteen_bit", "16 bits per channel; scaled to 8."
    if facts.mode == "F":
        yield "unusual_mode", "Floating-point values; scaled to 8 bits."
    if facts.mode in {"CMYK", "LAB", "HSV", "YCbCr"}:
        yield "unusual_mode", f"{facts.mode} colours; converted to RGB without a colour profile."
    if facts.transparent:
        yield "unusual_mode", "Has transparency; laid on white."


def _duplicates(root: Path, records: Sequence[ImageRecord], control: Control) -> list[Problem]:
    """Compare the contents of all files that have the same length."""
    by_size: dict[int, list[ImageRecord]] = defaultdict(list)
    for record in records:
        by_size[record.size_bytes].append(record)
    suspects = [record for same in by_size.values() if len(same) > 1 for record in same]
    suspects.sort(key=lambda record: record.path)

    def digest(record: ImageRecord) -> bytes | None:
        try:
            with open(root / record.path, "rb") as stream:
                return hashlib.file_digest(stream, "sha256").digest()
        except OSError:
            return None

    first: dict[bytes, ImageRecord] = {}
    problems = []
    digests = map_files(digest, suspects, task="Looking for duplicates", control=control)
    for record, content in zip(suspects, digests, strict=True):
        if content is None:
            continue
        original = first.setdefault(content, record)
        if original is record:
            continue
        if original.class_name != record.class_name:
            consequence = f"; one picture cannot be both '{original.class_name}' and '{record.class_name}'"
        elif original.split != record.split:
            consequence = f"; an image of {original.split} is also in {record.split}"
        else:
            consequence = ""
        problems.append(
            Problem(record.path, "duplicate", f"The same file content as {original.path}{consequence}.")
        )
    return problems


def _classes(records: Sequence[ImageRecord]) -> tuple[ClassInfo, ...]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        counts[record.class_name][record.split] += 1
    return tuple(
        ClassInfo(
            folder=folder,
            name=clean_class_name(folder),
            counts={split: counts[folder][split] for split in SPLITS if counts[folder][split]},
        )
        for folder in sorted(counts)
    )


def _class_problems(tree: Tree, classes: Sequence[ClassInfo]) -> list[Problem]:
    problems = []
    usable = {info.folder for info in classes}
    for folder in sorted(tree.class_folders.keys() - usable):
        problems.append(
            Problem(
                folder, "empty_class", f"The class folder '{folder}' holds no usable image and is left out."
            )
        )
    has_train = any("train" in info.counts or "all" in info.counts for info in classes)
    has_test = any("test" in info.counts for info in classes)
    for info in classes:
        if info.total == 1:
            problems.append(Problem(info.folder, "too_few", f"The class '{info.folder}' has one image only."))
        if has_train and not ("train" in info.counts or "all" in info.counts):
            problems.append(
                Problem(
                    info.folder,
                    "missing_in_train",
                    f"The class '{info.folder}' has no training images; only its name is known.",
                )
            )
        if has_test and "test" not in info.counts:
            problems.append(
                Problem(info.folder, "missing_in_test", f"The class '{info.folder}' has no test images.")
            )
    return problems
