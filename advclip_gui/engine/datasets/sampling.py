"""Draw a few-shot split from a scan, and write it down so that it can be had again."""

from __future__ import annotations

import hashlib
import json
import random
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from advclip_gui.engine.control import Control
from advclip_gui.engine.errors import DataError
from advclip_gui.engine.file_access import open_file

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from advclip_gui.engine.datasets.records import DatasetScan, ImageRecord, SplitName

_T = TypeVar("_T")

_TRAIN_POOLS: Final[tuple[SplitName, ...]] = ("train", "all", "val", "test")
_HASH_LIMIT_BYTES: Final = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a split: its path relative to the root, and its label."""

    path: str
    label: int


@dataclass(frozen=True, slots=True)
class Split:
    """Disjoint training, validation and test images.

    `train` is ordered by class; `val` and `test` are shuffled, so that their first n images are a
    fair sample. A label is a position in `class_folders`.
    """

    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]
    class_folders: tuple[str, ...]
    notes: tuple[str, ...] = ()


def train_pool(scan: DatasetScan) -> SplitName:
    """Return the split that training images are drawn from."""
    return next((split for split in _TRAIN_POOLS if split in scan.counts), "all")


def short_classes(scan: DatasetScan, *, shots: int, skip: Collection[str] = ()) -> dict[str, int]:
    """Return the classes with fewer training images than `shots`, and how many they have."""
    pool, left_out = train_pool(scan), set(skip)
    # Counted by the scan already: to go through many thousands of images again would hold the window up.
    counts = {info.folder: info.counts.get(pool, 0) for info in scan.classes}
    for record in scan.records if left_out else ():
        if record.path in left_out and record.split == pool:
            counts[record.class_name] -= 1
    return {folder: count for folder, count in counts.items() if count < shots}


def sample_split(
    scan: DatasetScan,
    *,
    shots: int,
    val_shots: int,
    seed: int,
    skip: Collection[str] = (),
    allow_short: bool = False,
) -> Split:
    """Draw `shots` training and `val_shots` validation images per class; the rest is for testing.

    Where there are train, val and test folders, each is drawn from its own. Validation images come
    from what training left where there is no val folder, and test images are what both left where
    there is no test folder. Each class has a random stream of its own: the same scan and seed give
    the same split, more shots contain fewer shots, and one class does not disturb another. The
    order of a given test folder does not depend on the seed.

    Args:
        scan: the folder.
        shots: training images per class.
        val_shots: validation images per class.
        seed: of the draw.
        skip: relative paths that are left out.
        allow_short: take what there is where a class has fewer images than `shots`, with a note.

    Raises:
        DataError: a class has fewer images than `shots`.
    """
    left_out = set(skip)
    short = short_classes(scan, shots=shots, skip=left_out)
    if short and not allow_short:
        raise _too_few(short, shots)
    notes = [
        f"The class '{folder}' has {count} training images instead of {shots}."
        for folder, count in short.items()
    ]
    pool_name = train_pool(scan)
    pools = _by_class(scan, pool_name, left_out)
    own_val = scan.has_val and pool_name != "val"
    val_pools = _by_class(scan, "val", left_out) if own_val else {}
    own_test = scan.has_test and pool_name != "test"

    train: list[Sample] = []
    val: list[Sample] = []
    spare: list[Sample] = []
    spare_val: list[Sample] = []
    short_val = []
    for label, folder in enumerate(scan.class_folders):
        order = _shuffled(pools[folder], f"{seed}/{pool_name}/{folder}")
        train += [Sample(path, label) for path in order[:shots]]
        rest = order[shots:]
        if own_val:
            val_order = _shuffled(val_pools[folder], f"{seed}/val/{folder}")
            chosen, val_rest = val_order[:val_shots], val_order[val_shots:]
            spare_val += [Sample(path, label) for path in val_rest]
        else:
            # From the end, so that more shots leave the validation images as they are.
            cut = max(0, len(rest) - val_shots)
            chosen, rest = rest[cut:], rest[:cut]
        val += [Sample(path, label) for path in chosen]
        spare += [Sample(path, label) for path in rest]
        if len(chosen) < val_shots:
            short_val.append(folder)
    if short_val:
        notes.append(f"Fewer than {val_shots} validation images are left for {_listed(short_val)}.")

    if own_test:
        tests = _by_class(scan, "test", left_out)
        test = [
            Sample(path, label) for label, folder in enumerate(scan.class_folders) for path in tests[folder]
        ]
    elif pool_name == "train" and spare_val:
        test = spare_val
        notes.append("There is no test folder: the rest of the validation folder is used for testing.")
    else:
        test = spare
        if pool_name != "all":
            notes.append(f"There is no test folder: the rest of the {pool_name} folder is used for testing.")
    tested = {sample.label for sample in test}
    untested = [folder for label, folder in enumerate(scan.class_folders) if label not in tested]
    if untested:
        notes.append(f"No test images are left for {_listed(untested)}.")
    return Split(
        train=tuple(train),
        val=tuple(_shuffled(val, f"{seed}/order of val")),
        test=in_test_order(test),
        class_folders=scan.class_folders,
        notes=tuple(notes),
    )


def in_test_order(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """Return test images in the one order every evaluation takes its first n of: mixed, never changing."""
    return tuple(_shuffled(sorted(samples, key=lambda sample: sample.path), "order of test"))


def split_to_json(
    split: Split, root: Path, *, control: Control | None = None, hash_limit_bytes: int = _HASH_LIMIT_BYTES
) -> dict[str, Any]:
    """Return the split as plain values: relative paths, labels and SHA-256 of the files.

    Training and validation files are always hashed, test files until `hash_limit_bytes` have been
    read; beyond it, and for a file that cannot be read, the hash is None. "digest" identifies the
    split by paths and labels.
    """
    control = control or Control()
    files = len(split.train) + len(split.val) + len(split.test)
    done, test_bytes = 0, 0
    parts: dict[str, list[dict[str, Any]]] = {}
    for part, samples in (("train", split.train), ("val", split.val), ("test", split.test)):
        entries = parts[part] = []
        for sample in samples:
            digest = None
            if part != "test" or test_bytes < hash_limit_bytes:
                digest, length = image_sha256(root / sample.path)
                test_bytes += length if part == "test" else 0
            entries.append({"path": sample.path, "label": sample.label, "sha256": digest})
            done += 1
            if done % 64 == 0:
                control.progress("Hashing the split", done, files)
    control.check()
    return {
        "class_folders": list(split.class_folders),
        "notes": list(split.notes),
        "digest": split_digest(split),
        **parts,
    }


def split_from_json(values: Mapping[str, Any]) -> Split:
    """Read what `split_to_json` returned.

    Raises:
        DataError: it is something else.
    """
    try:
        class_folders = tuple(str(folder) for folder in values["class_folders"])
        parts = {
            part: tuple(Sample(str(entry["path"]), int(entry["label"])) for entry in values[part])
            for part in ("train", "val", "test")
        }
        notes = tuple(str(note) for note in values.get("notes", ()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError("The saved split is damaged: it does not list its images and classes.") from error
    if any(not 0 <= sample.label < len(class_folders) for part in parts.values() for sample in part):
        raise DataError("The saved split is damaged: an image has a label without a class.")
    return Split(**parts, class_folders=class_folders, notes=notes)


def changed_files(
    values: Mapping[str, Any], root: Path, *, parts: Sequence[str] = ("train", "val")
) -> list[str]:
    """Return the paths of a saved split whose files are gone or not the same any more."""
    return [
        entry["path"]
        for part in parts
        for entry in values.get(part, ())
        if entry.get("sha256") and image_sha256(root / entry["path"])[0] != entry["sha256"]
    ]


def split_digest(split: Split) -> str:
    """Return a SHA-256 over the classes, paths and labels of all three parts."""
    plain = [
        list(split.class_folders),
        *([[sample.path, sample.label] for sample in part] for part in (split.train, split.val, split.test)),
    ]
    return hashlib.sha256(json.dumps(plain).encode("ascii")).hexdigest()


def _by_class(scan: DatasetScan, split: SplitName, left_out: Collection[str]) -> dict[str, list[str]]:
    """Return the sorted paths of each class in one split."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for record in _sorted(scan.records):
        if record.split == split and record.path not in left_out:
            found[record.class_name].append(record.path)
    return found


def _sorted(records: Sequence[ImageRecord]) -> list[ImageRecord]:
    return sorted(records, key=lambda record: record.path)


def _shuffled(items: Sequence[_T], stream: str) -> list[_T]:
    """Shuffle with a private generator.

    Sorting by `random()` gives the same order in every Python version, which `shuffle` need not.
    """
    generator = random.Random(stream)
    keys = [generator.random() for _ in items]
    return [items[index] for index in sorted(range(len(items)), key=keys.__getitem__)]


def image_sha256(path: Path) -> tuple[str | None, int]:
    """Return the SHA-256 of an image file (also of one in a zip) and its bytes; None if it cannot be read."""
    try:
        with open_file(path) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest(), stream.tell()
    except OSError:
        return None, 0


def _listed(folders: Sequence[str]) -> str:
    shown = ", ".join(f"'{folder}'" for folder in folders[:5])
    return shown if len(folders) <= 5 else f"{shown} and {len(folders) - 5} more classes"


def _too_few(short: Mapping[str, int], shots: int) -> DataError:
    items = list(short.items())
    listed = ", ".join(f"'{folder}' ({count})" for folder, count in items[:5])
    more = f" and {len(items) - 5} more" if len(items) > 5 else ""
    one = len(items) == 1
    smallest = min(short.values())
    way_out = f"Lower the shots to {smallest}, or add" if smallest else "Add"
    return DataError(
        f"{'The class' if one else 'These classes'} {listed}{more} "
        f"{'has' if one else 'have'} fewer training images than the {shots} shots asked for.",
        f"{way_out} images to {'it' if one else 'them'}.",
    )
