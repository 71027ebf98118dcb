"""What an experiment tests on: the same images for every model, none of which any of them has trained on."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from advclip_gui.engine.class_names import prompt_names
from advclip_gui.engine.datasets.drawing import draw_split, restricted
from advclip_gui.engine.datasets.folder import scan
from advclip_gui.engine.datasets.sampling import Sample, in_test_order, train_pool
from advclip_gui.engine.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.records import DatasetScan
    from advclip_gui.engine.experiments.definition import ExperimentSettings


@dataclass(frozen=True, slots=True)
class TestSet:
    """Images with their labels, and the classes they are told apart as.

    Attributes:
        key: in file names, unique in the experiment.
        title: in tables.
        samples: already cut to as many as are tested.
    """

    __test__ = False  # no test case, whatever its name makes pytest think

    key: str
    title: str
    root: Path
    samples: tuple[Sample, ...]
    class_names: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over paths, labels and class names."""
        plain = [[[sample.path, sample.label] for sample in self.samples], list(self.class_names)]
        return hashlib.sha256(json.dumps(plain).encode("ascii")).hexdigest()

    def facts(self) -> dict[str, Any]:
        """What the experiment's folder keeps of it."""
        return {
            "title": self.title,
            "data": self.root.name,
            "n": len(self.samples),
            "classes": len(self.class_names),
            "digest": self.digest,
        }


def expected_titles(settings: ExperimentSettings) -> dict[str, str]:
    """Key and title of every test set, before anything has been looked at."""
    if settings.kind == "few-shot":
        return {"test": "Test"}
    if settings.kind == "base-to-new":
        return {"base": "Base classes", "new": "New classes"}
    titles: dict[str, str] = {}
    for folder in (settings.base.data.folder, *settings.targets):
        name = re.split(r"[\\/]", folder.rstrip("\\/"))[-1] or folder
        stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "data"
        key, number = stem, 2
        while key in titles:
            key, number = f"{stem}-{number}", number + 1
        titles[key] = name if key == stem else f"{name} ({number - 1})"
    return titles


def find_test_sets(
    settings: ExperimentSettings, control: Control, *, known: DatasetScan | None = None
) -> tuple[TestSet, ...]:
    """List the test images of an experiment, and make sure that its samples can be drawn.

    Nothing is decoded.

    Where the data has a test part, it is that one. Otherwise it is what no cell draws for training
    or validation, whatever its shots and seed, so that all are measured on the same images. Classes
    or data that nothing is trained on give all their images where they have no test part.

    Args:
        settings: of the experiment.
        control: cancels, and hears of progress.
        known: the data with all its classes, where it has been scanned already.

    Raises:
        DataError: a folder cannot be used, a class has fewer images than the most shots take, or none
            left to test on; it is named.
        Cancelled: through `control`.
    """
    titles = expected_titles(settings)
    data, limit = settings.base.data, settings.evaluation.images or None
    whole = known or scan(data.folder, control=control, layout=data.layout)
    found: list[TestSet] = []

    def add(part: DatasetScan, samples: tuple[Sample, ...], renamed: dict[str, str]) -> None:
        key = list(titles)[len(found)]
        names = prompt_names(part, renamed)
        found.append(TestSet(key, titles[key], part.root, samples[:limit], names))

    trained = restricted(whole, "base" if settings.kind == "base-to-new" else data.classes)
    add(trained, _left_by_all(trained, settings, control), data.class_names)
    if settings.kind == "base-to-new":
        new = restricted(whole, "new")
        if not new.classes:
            raise DataError("There is only one class, so there are no new ones.", "Choose other data.")
        add(new, _unseen(new, data.skip), data.class_names)
    for folder in settings.targets:
        other = scan(folder, control=control)
        add(other, _unseen(other), {})
    for one in found:
        if not one.samples:
            raise DataError(f"There are no images to test on in {one.root} ({one.title}).")
    return tuple(found)


def _left_by_all(part: DatasetScan, settings: ExperimentSettings, control: Control) -> tuple[Sample, ...]:
    base = settings.base.data
    seeds = settings.seeds if settings.split_seed is None else (settings.split_seed,)
    # The most shots first: whether there are images enough shows there, whatever the seed.
    draws = [
        base.model_copy(update={"shots": shots, "seed": seed})
        for seed in seeds
        for shots in reversed(settings.shots)
    ]
    first = draw_split(part, draws[0], allow_short=not settings.trained)
    if part.has_test and train_pool(part) != "test":
        return first.test
    used = {sample.path for sample in (*first.train, *first.val)}
    for draw in draws[1:]:
        control.check()
        split = draw_split(part, draw, allow_short=not settings.trained)
        used.update(sample.path for sample in (*split.train, *split.val))
    samples = tuple(sample for sample in first.test if sample.path not in used)
    tested = {sample.label for sample in samples}
    missing = [folder for label, folder in enumerate(part.class_folders) if label not in tested]
    if missing:
        raise DataError(
            f"All images of {_listed(missing)} are drawn for training or validation by one seed or another, "
            "and there is no test folder.",
            "Take fewer shots, fewer validation shots or fewer seeds, or one split seed for all.",
        )
    return samples


def _unseen(part: DatasetScan, skip: tuple[str, ...] = ()) -> tuple[Sample, ...]:
    labels = {info.folder: label for label, info in enumerate(part.classes)}
    left_out = set(skip)
    return in_test_order(
        [
            Sample(record.path, labels[record.class_name])
            for record in part.records
            if (record.split == "test" or not part.has_test) and record.path not in left_out
        ]
    )


def _listed(folders: list[str]) -> str:
    shown = ", ".join(f"'{folder}'" for folder in folders[:5])
    return shown if len(folders) <= 5 else f"{shown} and {len(folders) - 5} more classes"
