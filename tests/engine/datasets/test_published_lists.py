"""What really stands in the lists of the eleven datasets: names with marks, nested paths, names that repeat.

The excerpts are made here, in the shape of the published files; no file is copied.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from advclip_gui.engine.control import Control
from advclip_gui.engine.datasets import sample_split, scan
from advclip_gui.engine.datasets.drawing import restricted
from advclip_gui.engine.datasets.known import known_dataset
from advclip_gui.engine.datasets.report import report_csv, report_json, report_text
from advclip_gui.engine.datasets.split_file import read_split, write_split
from advclip_gui.engine.errors import DataError
from tests import bad_images

if TYPE_CHECKING:
    from advclip_gui.engine.datasets import DatasetScan

Rows = list[tuple[str, int, str]]

LISTS: dict[str, tuple[str, str, Rows, list[str]]] = {
    # key: (list, folder of images, [path, label, class name], names in prompts)
    "caltech101": (
        "Caltech101",
        "101_ObjectCategories",
        [("Faces/image_0345.jpg", 0, "face"), ("car_side/image_0007.jpg", 17, "car_side")],
        ["face", "car side"],
    ),
    "dtd": (
        "DescribableTextures",
        "images",
        [("polka-dotted/polka-dotted_0127.jpg", 27, "polka-dotted"), ("banded/banded_0032.jpg", 0, "banded")],
        ["banded", "polka-dotted"],
    ),
    "eurosat": (
        "EuroSAT",
        "2750",
        [("AnnualCrop/AnnualCrop_1.jpg", 0, "Annual Crop Land"), ("SeaLake/SeaLake_9.jpg", 9, "Sea or Lake")],
        ["Annual Crop Land", "Sea or Lake"],
    ),
    "food101": (
        "Food101",
        "images",
        [("creme_brulee/1001.jpg", 29, "creme_brulee"), ("crème_brûlée/1.jpg", 30, "crème_brûlée")],
        ["creme brulee", "crème brûlée"],
    ),
    "oxford_flowers": (
        "OxfordFlowers",
        "jpg",
        [("image_04011.jpg", 11, "colt's foot"), ("image_06671.jpg", 15, "globe-flower")],
        ["colt's foot", "globe-flower"],
    ),
    "oxford_pets": (
        "OxfordPets",
        "images",
        [("Abyssinian_201.jpg", 0, "abyssinian"), ("american_bulldog_10.jpg", 1, "american_bulldog")],
        ["abyssinian", "american bulldog"],
    ),
    "stanford_cars": (
        "StanfordCars",
        ".",
        [
            ("cars_train/00015.jpg", 173, "2012 Ram C/V Cargo Van Minivan"),
            ("cars_test/00015.jpg", 0, "2000 AM General Hummer SUV"),
        ],
        ["2000 AM General Hummer SUV", "2012 Ram C/V Cargo Van Minivan"],
    ),
    "sun397": (
        "SUN397",
        "SUN397",
        [
            ("a/abbey/sun_aaalbz.jpg", 0, "abbey"),
            ("b/balcony/exterior/sun_aab.jpg", 23, "exterior balcony"),
            ("b/balcony/interior/sun_aab.jpg", 24, "interior balcony"),
            ("c/control_tower/outdoor/sun_aac.jpg", 98, "outdoor control_tower"),
        ],
        ["abbey", "exterior balcony", "interior balcony", "outdoor control tower"],
    ),
    "ucf101": (
        "UCF101",
        "UCF-101-midframes",
        [
            ("Handstand_Pushups/v_HandStandPushups_g01_c01.jpg", 36, "Handstand_Pushups"),
            ("Yo_Yo/v_YoYo_g08_c01.jpg", 100, "Yo_Yo"),
        ],
        ["Handstand Pushups", "Yo Yo"],
    ),
}


def look(folder: Path) -> DatasetScan:
    return scan(folder, control=Control())


def published(root: Path, key: str) -> Path:
    """Write a dataset's list and images: each class has the listed one and three more like it."""
    name, images, rows, _ = LISTS[key]
    parts: dict[str, list[Any]] = {"train": [], "val": [], "test": []}
    for seed, (path, label, class_name) in enumerate(rows):
        stem, _, ending = path.rpartition(".")
        for number, part in enumerate(("train", "train", "val", "test")):
            listed = f"{stem}{'x' * number}.{ending}"
            parts[part].append([listed, label, class_name])
            bad_images.good_jpeg(root / images / listed, seed=10 * seed + number)
    (root / f"split_zhou_{name}.json").write_text(json.dumps(parts), encoding="utf-8")
    return root


@pytest.mark.parametrize("key", LISTS)
def test_published_names_reach_prompts_samples_and_reports(tmp_path: Path, key: str) -> None:
    found = look(published(tmp_path / key, key))
    _, images, rows, names = LISTS[key]
    assert (found.layout, found.dataset, found.problems) == ("coop", key, ())
    assert [info.name for info in found.classes] == names
    assert found.class_folders == tuple(name for _, _, name in sorted(rows, key=lambda row: row[1]))
    first = rows[0][0] if images == "." else f"{images}/{rows[0][0]}"
    assert next(record for record in found.records if record.path == first).class_name == rows[0][2]
    split = sample_split(found, shots=2, val_shots=1, seed=0)
    for suffix in (".csv", ".json"):
        write_split(tmp_path / f"list{suffix}", split)
        again = read_split(tmp_path / f"list{suffix}", found)
        assert (again.train, again.test) == (split.train, split.test)
    assert all(name in report_text(found) for name in names)
    assert [info["name"] for info in report_json(found)["classes"]] == names
    known = known_dataset(key)
    assert known is not None
    assert f"Usual prompt: {known.template}\n" in report_text(found)
    assert report_json(found)["usual_templates"] == [known.template]
    assert report_csv(found).count("\n") == 1
    base, new = restricted(found, "base"), restricted(found, "new")
    assert [info.name for info in (*base.classes, *new.classes)] == names
    assert {record.class_name for record in base.records}.isdisjoint(
        record.class_name for record in new.records
    )


def test_names_are_trimmed_and_spaces_joined(tmp_path: Path) -> None:
    parts = {"train": [["a.jpg", 0, " tiger  lily "], ["b.jpg", 1, "rose"]], "val": None, "test": []}
    for seed, name in enumerate("ab"):
        bad_images.good_jpeg(tmp_path / "jpg" / f"{name}.jpg", seed=seed)
    (tmp_path / "split_zhou_OxfordFlowers.json").write_text(json.dumps(parts))
    assert [info.name for info in look(tmp_path).classes] == ["tiger lily", "rose"]


def test_a_list_fetched_twice_is_no_riddle(tmp_path: Path) -> None:
    root = published(tmp_path / "food-101", "food101")
    (root / "split_zhou_Food101 (1).json").write_text("{}")
    assert look(root).layout == "coop"
    (root / "split_zhou_Food101.json").rename(root / "split_zhou_Mine.json")
    with pytest.raises(DataError, match="There are 2 files named"):
        look(root)


def test_aircraft_variants_with_slashes_and_leading_zeros(tmp_path: Path) -> None:
    root = tmp_path / "fgvc-aircraft-2013b" / "data"
    variants = ("707-320", "C-130", "Eurofighter Typhoon", "F-16A/B", "F/A-18")
    lines: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for label, variant in enumerate(variants):
        for number, part in enumerate(lines):
            image = f"{label:04}{number:03}"
            lines[part].append(f"{image} {variant}")
            bad_images.good_jpeg(root / "images" / f"{image}.jpg", seed=10 * label + number)
    (root / "variants.txt").write_bytes("\r\n".join((*variants, "")).encode())
    for part, written in lines.items():
        (root / f"images_variant_{part}.txt").write_bytes("\r\n".join((*written, "")).encode())
    for place in (root, root.parent):  # as CoOp keeps it, and as it was unpacked
        found = look(place)
        assert (found.layout, found.dataset) == ("fgvc", "fgvc_aircraft")
        assert found.class_folders == variants
        assert [info.name for info in found.classes] == list(variants)
        assert found.counts == {"train": 5, "val": 5, "test": 5}
        split = sample_split(found, shots=1, val_shots=1, seed=0)
        write_split(tmp_path / "list.csv", split)
        assert read_split(tmp_path / "list.csv", found).train == split.train
    assert "data/images/0004000.jpg" in {record.path for record in found.records}


def test_aircraft_and_synsets_are_read_from_a_zip(tmp_path: Path) -> None:
    aircraft = tmp_path / "fgvc_aircraft"
    for number in range(4):
        bad_images.good_jpeg(aircraft / "images" / f"{number}.jpg", seed=number)
    bad_images.write(aircraft / "variants.txt", b"C-130\nF/A-18\n")
    bad_images.write(aircraft / "images_variant_train.txt", b"0 C-130\n1 F/A-18\n")
    bad_images.write(aircraft / "images_variant_test.txt", b"2 C-130\n3 F/A-18\n")
    synsets = tmp_path / "imagenet"
    for seed, (part, synset) in enumerate(
        (part, synset) for part in ("train", "val") for synset in ("n02012849", "n03126707")
    ):
        bad_images.good_jpeg(synsets / "images" / part / synset / "1.JPEG", seed=seed)
    bad_images.write(synsets / "classnames.txt", b"n02012849 crane bird\nn03126707 construction crane\n")
    for folder, layout, names in (
        (aircraft, "fgvc", ["C-130", "F/A-18"]),
        (synsets, "imagenet", ["crane bird", "construction crane"]),
    ):
        path = Path(shutil.make_archive(str(tmp_path / "any"), "zip", tmp_path, folder.name))
        found, plain = look(path), look(folder)
        assert (found.layout, found.dataset) == (layout, plain.dataset)
        assert [info.name for info in found.classes] == names
        assert found.counts == {"train": 2, "test": 2}
        assert [record.path for record in found.records] == [
            f"{folder.name}/{record.path}" for record in plain.records
        ]
        assert found.problems == ()


def test_imagenet_names_repeat_and_labels_follow_the_synsets(tmp_path: Path) -> None:
    root = tmp_path / "imagenet"
    names = {
        "n03710721": "maillot",
        "n02012849": "crane",
        "n03710637": "maillot",
        "n02966687": "carpenter's kit",
        "n02094433": "Yorkshire terrier",
    }
    for seed, synset in enumerate(names):
        bad_images.good_jpeg(root / "images" / "train" / synset / f"{synset}_1.JPEG", seed=2 * seed)
        bad_images.good_jpeg(
            root / "images" / "val" / synset / f"ILSVRC2012_val_{seed}.JPEG", seed=2 * seed + 1
        )
    (root / "images" / "train" / ".cache").mkdir()
    text = "".join(f"{synset}\t{name}  \n" for synset, name in names.items())
    (root / "classnames.txt").write_text(text)
    found = look(root)
    assert (found.layout, found.counts) == ("imagenet", {"train": 5, "test": 5})
    assert [(info.folder, info.name) for info in found.classes] == sorted(names.items())
    (problem,) = found.problems
    assert (problem.path, problem.kind, problem.severity) == ("n03710721", "same_name", "warning")
    assert "called 'maillot' in prompts, as 'n03710637' is" in problem.message


def test_folders_of_one_name_are_told(tmp_path: Path) -> None:
    folder = bad_images.class_folders(tmp_path / "pets", {"red_fox": 2, "Red fox": 2, "dog": 2})
    (problem,) = look(folder).problems
    assert (problem.path, problem.kind) == ("red_fox", "same_name")
