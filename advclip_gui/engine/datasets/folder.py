"""Scan a dataset of images: what is there, what can be used, what is wrong."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from advclip_gui.engine.datasets.duplicates import duplicates
from advclip_gui.engine.datasets.layout import find_layout
from advclip_gui.engine.datasets.pool import map_files
from advclip_gui.engine.datasets.records import (
    SPLITS,
    ClassInfo,
    DatasetScan,
    ImageRecord,
    ImagesFound,
    Problem,
    ProblemKind,
)
from advclip_gui.engine.errors import DataError
from advclip_gui.engine.file_access import is_list, is_zip
from advclip_gui.engine.images import BadImageError, Look, look_at_image
from advclip_gui.engine.prompts import clean_class_name
from advclip_gui.engine.resources import demo_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.walk import FoundFile, Tree
    from advclip_gui.engine.image_headers import ImageFacts
    from advclip_gui.settings.data import LayoutName

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
_CHUNK: Final = 32
"""Headers that one thread reads before the next progress and the next chance to cancel."""
_TELL_EVERY_S: Final = 0.1
_LAYOUT_HINT: Final = "A folder needs one sub-folder of images for each class, such as 'cat' and 'dog'."


def resolve_folder(folder: Path | str) -> Path:
    """Return the absolute folder; the text "demo" means the bundled images, "~" the home folder."""
    if folder == _DEMO:
        return demo_folder()
    return Path(folder).expanduser().absolute()


def scan(
    folder: Path | str, *, control: Control, decode: Decode = "auto", layout: LayoutName = "auto"
) -> DatasetScan:
    """Find the images, classes and problems of a dataset; nothing in it is changed.

    While the images are being listed, `ImagesFound` events tell which.

    Args:
        folder: the root of the tree, a zip of one, a list of images, or "demo" for the bundled images.
        control: reports progress and cancels.
        decode: "header" reads headers and decodes only what does not end as it should, "full"
            decodes every file, "none" opens no file, "auto" is "full" for a small tree, else "header".
        layout: how the images lie on disk; "auto" recognises it.

    Raises:
        DataError: the folder is missing or no folder, holds no usable image, or only one class.
        Cancelled: the user asked for it.
    """
    root = resolve_folder(folder)
    _check_root(root)
    found = find_layout(root, control, layout=layout, on_files=_Reporter(root, control))
    tree = found.tree
    if not tree.files:
        raise _no_images(root, tree)
    records, looks, problems = _look_at(root, tree.files, decode, control)
    problems += tree.problems
    if decode != "none":
        problems += duplicates(root, records, looks, control)
    classes = _classes(records, tree.class_names)
    problems += _class_problems(tree, classes)
    if not records:
        first = problems[0]
        raise DataError(
            f"None of the {len(tree.files)} images in {root} can be used.",
            f"The first one, {first.path}: {first.message}",
        )
    if len(classes) < 2:
        raise _one_class(root, classes[0].folder, tree, problems)
    return DatasetScan(
        root=root,
        records=tuple(records),
        classes=classes,
        problems=tuple(sorted(problems, key=lambda problem: (problem.path, problem.kind))),
        ignored_files=tree.ignored_files,
        layout=found.name,
        dataset=found.dataset,
    )


class _Reporter:
    """Tells of the images as they are found, a few times a second."""

    def __init__(self, root: Path, control: Control) -> None:
        self._root, self._control = root, control
        self._waiting: list[FoundFile] = []
        self._told = time.monotonic()
        self._first = True

    def __call__(self, files: Sequence[FoundFile]) -> None:
        self._waiting += files
        now = time.monotonic()
        if not self._waiting or not (self._first or now - self._told > _TELL_EVERY_S):
            return
        records = tuple(_unseen(file) for file in self._waiting)
        self._waiting, self._told, self._first = [], now, False
        self._control.report(ImagesFound(root=self._root, records=records))


def _check_root(root: Path) -> None:
    try:
        exists, is_folder = root.exists(), root.is_dir()
    except OSError as error:
        raise DataError(f"The folder {root} cannot be read: {error.strerror or error}.") from error
    if not exists:
        raise DataError(f"The folder {root} does not exist.", "Check the path, or choose another folder.")
    if not is_folder and not is_zip(root) and not is_list(root):
        raise DataError(
            f"{root} is a file, not a folder.", f"{_LAYOUT_HINT} A zip or a list (.csv, .jsonl) will do too."
        )


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


def _one_class(root: Path, folder: str, tree: Tree, problems: Sequence[Problem]) -> DataError:
    bad = next((problem for problem in problems if problem.severity == "error"), None)
    if tree.class_names and bad is not None:
        return DataError(
            f"Only the class '{folder}' of {root} has usable images; a classifier needs two classes.",
            f"The first bad one, {bad.path}: {bad.message}",
        )
    return DataError(
        f"The folder {root} holds only one class, '{folder}'; a classifier needs at least two.",
        f"{_LAYOUT_HINT} If the classes lie inside '{folder}', open that folder instead.",
    )


def _unseen(file: FoundFile) -> ImageRecord:
    return ImageRecord(file.path, file.class_name, file.split, 0, 0, file.size_bytes)


def _look_at(
    root: Path, files: Sequence[FoundFile], decode: Decode, control: Control
) -> tuple[list[ImageRecord], list[int], list[Problem]]:
    """Return the usable images, a fingerprint of each one's first and last bytes, and the problems."""
    if decode == "none":
        return [_unseen(file) for file in files], [], []
    small = len(files) < _FULL_DECODE_FILES and sum(file.size_bytes for file in files) < _FULL_DECODE_BYTES
    full = decode == "full" or (decode == "auto" and small)

    def look(file: FoundFile) -> Look | BadImageError:
        try:
            return look_at_image(root / file.path, full=full)
        except BadImageError as error:
            return error

    records, looks, problems = [], [], []
    outcomes = map_files(look, files, task="Checking images", control=control, chunk=1 if full else _CHUNK)
    for file, outcome in zip(files, outcomes, strict=True):
        if isinstance(outcome, BadImageError):
            problems.append(Problem(file.path, outcome.kind, bad_image_sentence(outcome)))
            continue
        facts = outcome.facts
        records.append(
            ImageRecord(file.path, file.class_name, file.split, facts.width, facts.height, outcome.size_bytes)
        )
        looks.append(outcome.fingerprint)
        problems.extend(Problem(file.path, kind, message) for kind, message in _remarks(facts))
    return records, looks, problems


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


def _classes(records: Sequence[ImageRecord], names: Mapping[str, str]) -> tuple[ClassInfo, ...]:
    """Classes in the order the layout gives, else by folder; those without an image are left out."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        counts[record.class_name][record.split] += 1
    return tuple(
        ClassInfo(
            folder=folder,
            name=names[folder] if names else clean_class_name(folder),
            counts={split: counts[folder][split] for split in SPLITS if counts[folder][split]},
        )
        for folder in (names or sorted(counts))
        if folder in counts
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
    problems += _same_names(classes)
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


def _same_names(classes: Sequence[ClassInfo]) -> Iterable[Problem]:
    """Classes whose prompts are the same: no text tells one from the other."""
    first: dict[str, ClassInfo] = {}
    for info in classes:
        other = first.setdefault(info.name.casefold(), info)
        if other is not info:
            yield Problem(
                info.folder,
                "same_name",
                f"The class '{info.folder}' is called '{info.name}' in prompts, as '{other.folder}' is; "
                "give one of them another name.",
            )
