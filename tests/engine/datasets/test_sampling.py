"""Few-shot splits: repeatable, disjoint, nested, and written down."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.datasets import (
    changed_files,
    sample_split,
    scan,
    short_classes,
    split_digest,
    split_from_json,
    split_to_json,
)
from advclip_gui.engine.datasets.records import ClassInfo, DatasetScan, ImageRecord
from advclip_gui.engine.errors import DataError
from tests import bad_images

if TYPE_CHECKING:
    from advclip_gui.engine.datasets import Sample, Split, SplitName


def made_up(counts: dict[SplitName, dict[str, int]]) -> DatasetScan:
    """Return a scan of files that need not exist."""
    records = [
        ImageRecord(f"{'' if split == 'all' else split + '/'}{name}/{index:03d}.jpg", name, split, 32, 32, 1)
        for split, classes in counts.items()
        for name, number in classes.items()
        for index in range(number)
    ]
    names = sorted({record.class_name for record in records})
    classes = tuple(
        ClassInfo(name, name, dict(Counter(record.split for record in records if record.class_name == name)))
        for name in names
    )
    return DatasetScan(Path("/nowhere"), tuple(records), classes, ())


def paths(samples: tuple[Sample, ...]) -> set[str]:
    return {sample.path for sample in samples}


def assert_sound(split: Split, found: DatasetScan) -> None:
    """Check that the parts are disjoint, without repeats, and rightly labelled."""
    every = [*split.train, *split.val, *split.test]
    assert len(paths(tuple(every))) == len(every)
    class_of = {record.path: record.class_name for record in found.records}
    assert all(split.class_folders[sample.label] == class_of[sample.path] for sample in every)


FLAT = made_up({"all": {"cat": 20, "dog": 30, "yak": 12}})
SPLIT = made_up({
    "train": {"cat": 20, "dog": 30},
    "val": {"cat": 6, "dog": 6},
    "test": {"cat": 9, "dog": 7},
})  # fmt: skip


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_without_split_folders_the_rest_is_for_testing(seed: int) -> None:
    split = sample_split(FLAT, shots=4, val_shots=3, seed=seed)
    assert_sound(split, FLAT)
    assert Counter(sample.label for sample in split.train) == {0: 4, 1: 4, 2: 4}
    assert Counter(sample.label for sample in split.val) == {0: 3, 1: 3, 2: 3}
    assert Counter(sample.label for sample in split.test) == {0: 13, 1: 23, 2: 5}
    assert split.notes == ()


def test_with_split_folders_each_is_drawn_from_its_own() -> None:
    split = sample_split(SPLIT, shots=4, val_shots=3, seed=0)
    assert_sound(split, SPLIT)
    assert all(path.startswith("train/") for path in paths(split.train))
    assert all(path.startswith("val/") for path in paths(split.val))
    assert paths(split.test) == {record.path for record in SPLIT.records if record.split == "test"}
    assert split.notes == ()


def test_same_seed_same_split_whatever_the_order_of_the_records() -> None:
    shuffled = dataclasses.replace(FLAT, records=FLAT.records[::-1])
    assert sample_split(FLAT, shots=4, val_shots=3, seed=5) == sample_split(
        shuffled, shots=4, val_shots=3, seed=5
    )


def test_the_draw_never_changes() -> None:
    # Pinned: a split drawn today must be the split drawn by any later version.
    split = sample_split(FLAT, shots=3, val_shots=2, seed=0)
    assert [sample.path for sample in split.train] == [
        "cat/015.jpg",
        "cat/005.jpg",
        "cat/010.jpg",
        "dog/017.jpg",
        "dog/016.jpg",
        "dog/006.jpg",
        "yak/010.jpg",
        "yak/006.jpg",
        "yak/001.jpg",
    ]
    assert split_digest(split) == "7a299f59e3b93f70ccedbf861a0aed5f49284a6b302238053f91e3c8e2aa4329"


def test_seeds_differ_but_a_given_test_set_and_its_order_stay() -> None:
    splits = [sample_split(SPLIT, shots=4, val_shots=3, seed=seed) for seed in range(5)]
    assert len({frozenset(paths(split.train)) for split in splits}) == 5
    assert len({frozenset(paths(split.val)) for split in splits}) > 1
    assert len({split.test for split in splits}) == 1


def test_more_shots_contain_fewer_and_keep_the_validation_images() -> None:
    few = sample_split(FLAT, shots=2, val_shots=3, seed=7)
    more = sample_split(FLAT, shots=8, val_shots=3, seed=7)
    assert paths(few.train) < paths(more.train)
    assert paths(few.val) == paths(more.val)


def test_one_class_does_not_disturb_another() -> None:
    grown = made_up({"all": {"cat": 25, "dog": 30, "emu": 20, "yak": 12}})
    before = sample_split(FLAT, shots=4, val_shots=0, seed=3)
    after = sample_split(grown, shots=4, val_shots=0, seed=3)
    dogs = [{path for path in paths(split.train) if path.startswith("dog/")} for split in (before, after)]
    assert dogs[0] == dogs[1]


def test_the_global_generator_is_neither_used_nor_disturbed() -> None:
    import random

    random.seed(1)
    state = random.getstate()
    first = sample_split(FLAT, shots=4, val_shots=3, seed=0)
    assert random.getstate() == state
    random.seed(2)
    assert sample_split(FLAT, shots=4, val_shots=3, seed=0) == first


def test_first_test_images_are_a_mixed_sample() -> None:
    found = made_up({"train": {"a": 2, "b": 2}, "test": {"a": 500, "b": 500}})
    first = sample_split(found, shots=2, val_shots=0, seed=0).test[:100]
    assert 30 < sum(sample.label for sample in first) < 70


def test_without_a_val_folder_validation_comes_from_train() -> None:
    found = made_up({"train": {"a": 10, "b": 10}, "test": {"a": 3, "b": 3}})
    split = sample_split(found, shots=4, val_shots=2, seed=0)
    assert_sound(split, found)
    assert all(path.startswith("train/") for path in paths(split.val))
    assert len(split.test) == 6


def test_without_a_test_folder_the_rest_of_val_is_for_testing() -> None:
    found = made_up({"train": {"a": 10, "b": 10}, "val": {"a": 5, "b": 5}})
    split = sample_split(found, shots=4, val_shots=2, seed=0)
    assert_sound(split, found)
    assert len(split.val) == 4
    assert len(split.test) == 6
    assert all(path.startswith("val/") for path in paths(split.test))
    assert any("rest of the validation folder" in note for note in split.notes)


@pytest.mark.parametrize("only", ["train", "val", "test"])
def test_one_split_folder_only(only: SplitName) -> None:
    found = made_up({only: {"a": 10, "b": 10}})
    split = sample_split(found, shots=4, val_shots=2, seed=0)
    assert_sound(split, found)
    assert (len(split.train), len(split.val), len(split.test)) == (8, 4, 8)
    assert any(f"rest of the {only} folder" in note for note in split.notes)


def test_skipped_files_are_in_no_part() -> None:
    skip = ("dog/000.jpg", "dog/001.jpg", "cat/007.jpg")
    split = sample_split(FLAT, shots=4, val_shots=3, seed=0, skip=skip)
    every = paths((*split.train, *split.val, *split.test))
    assert every == {record.path for record in FLAT.records} - set(skip)


def test_too_few_images_name_the_classes() -> None:
    with pytest.raises(DataError, match=r"The class 'yak' \(12\) has fewer training images") as caught:
        sample_split(FLAT, shots=16, val_shots=0, seed=0)
    assert "Lower the shots to 12" in caught.value.hint
    with pytest.raises(DataError, match=r"These classes 'cat' \(20\), 'yak' \(12\) have"):
        sample_split(FLAT, shots=21, val_shots=0, seed=0)
    assert short_classes(FLAT, shots=21) == {"cat": 20, "yak": 12}


def test_class_that_is_only_in_test() -> None:
    found = made_up({"train": {"a": 4, "b": 4}, "test": {"a": 2, "b": 2, "c": 2}})
    with pytest.raises(DataError, match=r"'c' \(0\)") as caught:
        sample_split(found, shots=2, val_shots=0, seed=0)
    assert caught.value.hint == "Add images to it."
    split = sample_split(found, shots=2, val_shots=0, seed=0, allow_short=True)
    assert split.class_folders == ("a", "b", "c")
    assert {sample.label for sample in split.train} == {0, 1}
    assert {sample.label for sample in split.test} == {0, 1, 2}
    assert split.notes == ("The class 'c' has 0 training images instead of 2.",)


def test_allow_short_takes_all_and_says_so() -> None:
    split = sample_split(FLAT, shots=16, val_shots=2, seed=0, allow_short=True)
    assert Counter(sample.label for sample in split.train) == {0: 16, 1: 16, 2: 12}
    assert split.notes == (
        "The class 'yak' has 12 training images instead of 16.",
        "Fewer than 2 validation images are left for 'yak'.",
        "No test images are left for 'yak'.",
    )


def test_no_images_left_for_validation_and_testing_is_a_note() -> None:
    found = made_up({"all": {"a": 5, "b": 5}})
    split = sample_split(found, shots=5, val_shots=1, seed=0)
    assert (split.val, split.test) == ((), ())
    assert len(split.notes) == 2


def test_the_demo_split() -> None:
    found = scan("demo", control=Control(), decode="none")
    split = sample_split(found, shots=16, val_shots=4, seed=0)
    assert_sound(split, found)
    assert (len(split.train), len(split.val), len(split.test)) == (160, 40, 1000)
    assert split.notes == ()


# On paper


@pytest.fixture
def drawn(tmp_path: Path) -> tuple[Path, Split]:
    root = bad_images.class_folders(tmp_path / "größe 1", {"cat": 6, "dog": 6})
    return root, sample_split(scan(root, control=Control()), shots=2, val_shots=1, seed=0)


def test_json_and_back(drawn: tuple[Path, Split]) -> None:
    root, split = drawn
    values = json.loads(json.dumps(split_to_json(split, root)))
    assert split_from_json(values) == split
    assert values["digest"] == split_digest(split)
    for part in ("train", "val", "test"):
        for entry in values[part]:
            assert not Path(entry["path"]).is_absolute()
            assert entry["sha256"] == hashlib.sha256((root / entry["path"]).read_bytes()).hexdigest()


def test_hashing_of_test_files_is_limited(drawn: tuple[Path, Split]) -> None:
    root, split = drawn
    values = split_to_json(split, root, hash_limit_bytes=1)
    assert [entry["sha256"] is None for entry in values["test"]] == [False] + [True] * 5
    assert all(entry["sha256"] for entry in (*values["train"], *values["val"]))


def test_changed_and_missing_files_are_found(drawn: tuple[Path, Split]) -> None:
    root, split = drawn
    values = split_to_json(split, root)
    assert changed_files(values, root) == []
    changed, gone = split.train[0].path, split.val[0].path
    bad_images.good_jpeg(root / changed, seed=77)
    (root / gone).unlink()
    assert changed_files(values, root) == [changed, gone]


def test_a_file_that_is_gone_has_no_hash(drawn: tuple[Path, Split]) -> None:
    root, split = drawn
    (root / split.train[0].path).unlink()
    assert split_to_json(split, root)["train"][0]["sha256"] is None


def test_digest_depends_on_the_draw(drawn: tuple[Path, Split]) -> None:
    _, split = drawn
    other = dataclasses.replace(split, train=split.train[1:])
    assert split_digest(other) != split_digest(split)
    assert split_digest(dataclasses.replace(split, notes=("anything",))) == split_digest(split)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"class_folders": ["a"], "train": [], "val": []},
        {"class_folders": ["a"], "train": [{"path": "a/1.jpg"}], "val": [], "test": []},
        {"class_folders": ["a"], "train": [{"path": "a/1.jpg", "label": 1}], "val": [], "test": []},
        {"class_folders": ["a"], "train": 3, "val": [], "test": []},
        {"class_folders": ["a"], "train": ["x"], "val": [], "test": []},
    ],
)
def test_damaged_json(values: dict[str, object]) -> None:
    with pytest.raises(DataError, match="saved split is damaged"):
        split_from_json(values)


def test_hashing_can_be_cancelled(drawn: tuple[Path, Split]) -> None:
    root, split = drawn
    control = Control()
    control.cancel()
    with pytest.raises(Cancelled):
        split_to_json(split, root, control=control)
