"""What data settings mean: validation shots, base and new classes, lists of a split, what is remembered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from advclip_gui.engine.control import Control
from advclip_gui.engine.datasets import memory, scan, split_to_json
from advclip_gui.engine.datasets.drawing import classes_too_small, draw_split, restricted, scan_data
from advclip_gui.engine.datasets.split_file import read_split, write_split
from advclip_gui.engine.errors import DataError
from advclip_gui.settings import DataSettings
from tests import bad_images

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.engine.datasets import DatasetScan, Split

NAMES = ("ant", "bee", "cat", "dog", "eel")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return bad_images.class_folders(tmp_path / "zoo", dict.fromkeys(NAMES, 8))


@pytest.fixture
def found(folder: Path) -> DatasetScan:
    return scan(folder, control=Control(), decode="none")


def parts(split: Split) -> list[list[tuple[str, int]]]:
    return [[(sample.path, sample.label) for sample in part] for part in (split.train, split.val, split.test)]


@pytest.mark.parametrize(("shots", "val_shots"), [(1, 1), (2, 2), (3, 3), (4, 4)])
def test_validation_shots_are_the_smaller_of_shots_and_four(
    found: DatasetScan, shots: int, val_shots: int
) -> None:
    split = draw_split(found, DataSettings(shots=shots))
    assert (len(split.train), len(split.val)) == (5 * shots, 5 * val_shots)


def test_base_and_new_classes_are_halves_in_label_order(folder: Path) -> None:
    base = scan_data(DataSettings(folder=str(folder), classes="base"), Control(), decode="none")
    new = scan_data(DataSettings(folder=str(folder), classes="new"), Control(), decode="none")
    assert base.class_folders == ("ant", "bee", "cat"), "the first half is the larger one"
    assert new.class_folders == ("dog", "eel")
    assert {record.class_name for record in new.records} == {"dog", "eel"}
    assert base.counts == {"all": 24}
    split = draw_split(new, DataSettings(shots=2))
    assert {sample.label for sample in split.train} == {0, 1}
    assert {
        sample.path.split("/")[0] for part in (split.train, split.val, split.test) for sample in part
    } == {
        "dog",
        "eel",
    }


def test_the_half_draws_what_the_whole_draws(found: DatasetScan) -> None:
    whole = draw_split(found, DataSettings(shots=3))
    base = draw_split(restricted(found, "base"), DataSettings(shots=3))
    assert parts(base)[0] == [item for item in parts(whole)[0] if item[1] < 3]
    assert restricted(found, "all") is found


@pytest.mark.parametrize("name", ["mine.csv", "mine.json"])
def test_split_is_saved_and_read_again(found: DatasetScan, tmp_path: Path, name: str) -> None:
    split = draw_split(found, DataSettings(shots=2, seed=7))
    write_split(tmp_path / name, split)
    data = DataSettings(shots=500, split_file=str(tmp_path / name))
    again = draw_split(found, data)
    assert parts(again) == parts(split)
    assert again.notes == (f"Read from the list {name}.",)
    assert classes_too_small(found, data) == {}
    assert len(classes_too_small(found, DataSettings(shots=500))) == 5


def test_split_of_a_run_is_a_list_too(found: DatasetScan, tmp_path: Path) -> None:
    split = draw_split(found, DataSettings(shots=2))
    (tmp_path / "split.json").write_text(json.dumps(split_to_json(split, found.root)))
    assert parts(read_split(tmp_path / "split.json", found)) == parts(split)


def test_skipped_files_and_the_other_half_are_left_out_of_a_list(found: DatasetScan, tmp_path: Path) -> None:
    split = draw_split(found, DataSettings(shots=2))
    write_split(tmp_path / "mine.csv", split)
    gone = split.train[0].path
    data = DataSettings(split_file=str(tmp_path / "mine.csv"), skip=(gone,), classes="base")
    again = draw_split(restricted(found, "base"), data)
    assert [sample.path for sample in again.train] == [sample.path for sample in split.train[1:6]]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.csv", "path,class,split\nyak/0.jpg,yak,train\n", "x.csv, line 2: the data has no class 'yak'"),
        (
            "x.csv",
            "path,class,split\nant/99.jpg,ant,train\nant/98.jpg,ant,test\n",
            "line 2: ant/99.jpg and 1 more",
        ),
        ("x.csv", "path,class\nant/000.jpg,ant\n", "line 2: there is no split"),
        ("x.csv", "path,class,split\nant/000.jpg,ant,test\n", "lists no training images"),
        ("x.json", "{", "is no JSON"),
        ("x.json", "{}", "damaged"),
        (
            "x.json",
            '{"class_folders": ["ant"], "train": [{"path": "ant/000.jpg", "label": 0}],'
            ' "val": [{"path": "ant/000.jpg", "label": 0}], "test": []}',
            "'val': ant/000.jpg is listed twice",
        ),
    ],
)
def test_lists_that_do_not_fit_are_sentences(
    found: DatasetScan, tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        read_split(tmp_path / name, found)
    assert words in str(caught.value)


def test_missing_list_is_a_sentence(found: DatasetScan, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_split(tmp_path / "gone.csv", found)


def test_changes_are_kept_by_dataset(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "user_data_path", lambda *_args, **_options: tmp_path / "kept")
    changes = memory.Remembered({"ant": "emmet"}, ("bee/000.jpg",), "folders")
    memory.remember(str(folder), changes)
    assert memory.recall(str(folder)) == changes
    assert memory.recall(str(folder.parent)) == memory.Remembered()
    (kept,) = (tmp_path / "kept").rglob("*.json")
    kept.write_text("[]")
    assert memory.recall(str(folder)) == memory.Remembered()
    memory.remember(str(folder), memory.Remembered())
    assert not kept.exists()


def test_data_settings_refuse_what_is_no_part() -> None:
    wrong: Any = {"classes": "old"}
    with pytest.raises(ValueError, match="classes"):
        DataSettings(**wrong)
