"""Layouts of public datasets, lists and zips: recognised, read in place, refused with a sentence."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.datasets import load_pixels, sample_split, scan, split_to_json
from advclip_gui.engine.datasets.known import KNOWN_DATASETS, dataset_by_folder
from advclip_gui.engine.datasets.records import ImagesFound
from advclip_gui.engine.errors import DataError
from tests import bad_images

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.engine.datasets import DatasetScan
    from advclip_gui.engine.events import Event

COOP = [known for known in KNOWN_DATASETS if known.split_file]


def look(folder: Path | str, layout: Any = "auto") -> DatasetScan:
    return scan(folder, control=Control(), layout=layout)


def write_images(root: Path, paths: list[str]) -> None:
    for seed, path in enumerate(paths):
        bad_images.good_jpeg(root / path, seed=seed)


def coop_tree(root: Path, split_file: str, image_folder: str, names: tuple[str, ...]) -> Path:
    """Write CoOp's list with two training, one validation and one test image per class."""
    parts: dict[str, list[Any]] = {"train": [], "val": [], "test": []}
    for label, name in enumerate(names):
        for number, part in enumerate(("train", "train", "val", "test")):
            parts[part].append([f"c{len(names) - label}/{number}.jpg", label, name])
    root.mkdir(parents=True, exist_ok=True)
    (root / split_file).write_text(json.dumps(parts), encoding="utf-8")
    write_images(root / image_folder, [path for part in parts.values() for path, _, _ in part])
    return root


def zipped(folder: Path, target: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, prefix + path.relative_to(folder).as_posix())
    return target


# CoOp


@pytest.mark.parametrize("known", COOP, ids=lambda known: known.key)
def test_coop_lists_are_recognised_under_every_folder_name(tmp_path: Path, known: Any) -> None:
    for folder in known.folders:
        root = coop_tree(tmp_path / folder, known.split_file, known.image_folders[0], ("blue_jay", "ant_2 x"))
        found = look(root)
        assert (found.layout, found.dataset) == ("coop", known.key)
        assert found.counts == {"train": 4, "val": 2, "test": 2}
        # The order is that of the labels, and names are taken as they are but for the underscores.
        assert [info.name for info in found.classes] == ["blue jay", "ant 2 x"]
        assert found.problems == ()
        assert dataset_by_folder(folder) is known


@pytest.mark.parametrize(
    ("folder", "split_file", "images"),
    [
        ("caltech-101", "split_zhou_Caltech101.json", "101_ObjectCategories"),
        ("Caltech101", "split_zhou_Caltech101.json", "101_ObjectCategories"),
        ("oxford_flowers", "split_zhou_OxfordFlowers.json", "jpg"),
        ("Flower102", "split_zhou_OxfordFlowers.json", "jpg"),
        ("dtd", "split_zhou_DescribableTextures.json", "images"),
        ("food-101", "split_zhou_Food101.json", "images"),
        ("oxford_pets", "split_zhou_OxfordPets.json", "images"),
        ("eurosat", "split_zhou_EuroSAT.json", "2750"),
        ("sun397", "split_zhou_SUN397.json", "SUN397"),
        ("ucf101", "split_zhou_UCF101.json", "UCF-101-midframes"),
        ("stanford_cars", "split_zhou_StanfordCars.json", "."),
        ("my own", "split_zhou_Mine.json", "pictures"),
    ],
)
def test_images_are_found_where_the_papers_keep_them(
    tmp_path: Path, folder: str, split_file: str, images: str
) -> None:
    found = look(coop_tree(tmp_path / folder, split_file, images, ("2012 Audi", "b")))
    assert found.layout == "coop"
    assert len(found.records) == 8
    assert found.classes[0].name == "2012 Audi", "a year is no number to drop"
    assert all(found.path_of(record).is_file() for record in found.records)


def test_two_classes_of_one_name_stay_two(tmp_path: Path) -> None:
    found = look(coop_tree(tmp_path / "x", "split_zhou_X.json", "images", ("crane", "crane", "dog")))
    assert [info.folder for info in found.classes] == ["crane (0)", "crane (1)", "dog"]
    assert [info.name for info in found.classes] == ["crane", "crane", "dog"]


def test_listed_images_that_are_not_there_are_problems(tmp_path: Path) -> None:
    root = coop_tree(tmp_path / "dtd", "split_zhou_DescribableTextures.json", "images", ("a", "b"))
    (root / "images" / "c1" / "0.jpg").unlink()
    found = look(root)
    assert [(problem.path, problem.kind) for problem in found.problems_of("error")] == [
        ("images/c1/0.jpg", "missing")
    ]
    assert "split_zhou_DescribableTextures.json" in found.problems[0].message
    assert len(found.records) == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON"),
        ("[]", "no list of training images"),
        ('{"train": [["a.jpg", "0", "cat"]]}', "'train', image 1 is not [path, label, class name]"),
        ('{"train": [["/etc/a.jpg", 0, "cat"]]}', "is absolute"),
        ('{"train": [["c/a.jpg", 0, "cat"], ["c/b.jpg", 0, "dog"]]}', "class 0 is called 'dog' here"),
        ('{"train": [["c/a.jpg", 0, "cat"]]}', "None of the images"),
    ],
)
def test_damaged_coop_lists_are_sentences(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "split_zhou_Food101.json").write_text(text)
    with pytest.raises(DataError, match="split_zhou_Food101") as caught:
        look(tmp_path)
    assert words in str(caught.value)


def test_user_can_overrule(tmp_path: Path) -> None:
    root = coop_tree(tmp_path / "eurosat", "split_zhou_EuroSAT.json", "2750", ("a", "b"))
    found = look(root / "2750", "folders")
    assert (found.layout, found.counts) == ("folders", {"all": 8})
    with pytest.raises(DataError, match="no file named split_zhou"):
        look(root / "2750", "coop")
    with pytest.raises(DataError, match=r"no variants\.txt"):
        look(root, "fgvc")
    with pytest.raises(DataError, match="no synset folders"):
        look(root, "imagenet")
    with pytest.raises(DataError, match="is no list"):
        look(root, "list")


# FGVC and ImageNet


def test_fgvc_lists(tmp_path: Path) -> None:
    root = tmp_path / "fgvc_aircraft"
    write_images(root, [f"images/{number}.jpg" for number in range(1, 7)])
    (root / "variants.txt").write_text("F-16A/B\nA340-200\n")
    for part, lines in (
        ("train", "1 A340-200\n2 F-16A/B\n"),
        ("val", "3 A340-200\n"),
        ("test", "4 F-16A/B\n"),
    ):
        (root / f"images_variant_{part}.txt").write_text(lines)
    found = look(root)
    assert (found.layout, found.dataset) == ("fgvc", "fgvc_aircraft")
    assert [info.name for info in found.classes] == ["F-16A/B", "A340-200"]
    assert {record.path: (record.class_name, record.split) for record in found.records} == {
        "images/1.jpg": ("A340-200", "train"),
        "images/2.jpg": ("F-16A/B", "train"),
        "images/3.jpg": ("A340-200", "val"),
        "images/4.jpg": ("F-16A/B", "test"),
    }
    (root / "images_variant_val.txt").write_text("3 A340-200\n5 A380\n")
    with pytest.raises(DataError, match=r"images_variant_val\.txt, line 2: 'A380' is no variant"):
        look(root)


@pytest.mark.parametrize("place", ["images/", ""])
def test_imagenet_synsets_take_val_for_test(tmp_path: Path, place: str) -> None:
    root = tmp_path / "imagenet"
    synsets = ("n01440764", "n02012849", "n03126707")
    write_images(root, [f"{place}{part}/{name}/{part}.jpeg" for name in synsets for part in ("train", "val")])
    (root / "classnames.txt").write_text(
        "n01440764 tench\nn02012849 crane\nn03126707 crane\nn09999999 none\n"
    )
    found = look(root)
    assert (found.layout, found.dataset) == ("imagenet", "imagenet")
    assert found.counts == {"train": 3, "test": 3}
    assert [(info.folder, info.name) for info in found.classes] == list(
        zip(synsets, ("tench", "crane", "crane"), strict=True)
    )
    assert found.records[0].path == f"{place}train/n01440764/train.jpeg"
    (root / "classnames.txt").write_text("n01440764 tench\nn02012849\n")
    with pytest.raises(DataError, match="line 2"):
        look(root)


# Lists


LIST = "path,class,split\na/1.jpg,golden_retriever,train\na/2.jpg,cat,test\nb/3.jpg,cat,train\n"


def test_csv_list_beside_its_images(tmp_path: Path) -> None:
    write_images(tmp_path, ["a/1.jpg", "a/2.jpg", "b/3.jpg"])
    (tmp_path / "pets.csv").write_text("\ufeff" + LIST.replace(",", ";"), encoding="utf-8")
    found = look(tmp_path / "pets.csv")
    assert (found.layout, found.root) == ("list", tmp_path / "pets.csv")
    assert [info.name for info in found.classes] == ["cat", "golden retriever"]
    assert found.counts == {"train": 2, "test": 1}
    split = sample_split(found, shots=1, val_shots=0, seed=0)
    pixels, labels, problems = load_pixels(found.root, split.train, size=32, control=Control())
    assert (pixels.shape, labels.tolist(), problems) == ((2, 32, 32, 3), [0, 1], [])
    recorded = split_to_json(split, found.root)
    assert all(entry["sha256"] for entry in recorded["train"])


def test_json_lines_with_labels_keep_their_order(tmp_path: Path) -> None:
    images = tmp_path / "images"
    write_images(images, [f"{number}.jpg" for number in range(3)])
    lists = tmp_path / "lists"
    lists.mkdir()
    rows = [{"path": f"../images/{number}.jpg", "label": 10 - 4 * number} for number in range(3)]
    (lists / "x.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    found = look(lists / "x.jsonl")
    assert found.class_folders == ("2", "6", "10")
    assert found.counts == {"all": 3}


def test_list_with_one_class_on_disk_says_what_is_missing(tmp_path: Path) -> None:
    write_images(tmp_path, ["a/1.jpg"])
    (tmp_path / "pets.csv").write_text(LIST)
    with pytest.raises(
        DataError, match=r"Only the class 'golden_retriever'.*a/2\.jpg: Left out: it is listed"
    ):
        look(tmp_path / "pets.csv")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,class\n", "line 1: the columns are name, class"),
        ("path,class\na.jpg,cat\n,cat\n", "line 3: there is no path"),
        ("path,class\na.jpg,\n", "line 2: there is neither class nor label"),
        ("path,class,split\na.jpg,cat,dev\n", "line 2: 'dev' is no split"),
        ("path,class\na.jpg,cat\n\na.jpg,dog\n", "line 4: a.jpg is listed already in line 2"),
        ("path,class\na.jpg,cat,1\n", "line 2: 3 cells instead of 2"),
        ("path,label,class\na.jpg,0,cat\nb.jpg,1,cat\n", "line 3: the class 'cat' has the label 1"),
        ("path,class\n/home/me/a.jpg,cat\n", "line 2: the path '/home/me/a.jpg' is absolute"),
        ("path,class\nC:\\a.jpg,cat\n", "is absolute"),
        ("path,class\n", "lists no images"),
        ("", "lists no images"),
        ("path,class\na.jpg,\udcff\n", "line 2: this is no UTF-8"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError) as caught:
        look(tmp_path / "x.csv")
    assert words in str(caught.value)


@pytest.mark.parametrize("line", ["{", "[1]", '{"path": 1}'])
def test_wrong_json_lines_are_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "x.jsonl").write_text('{"path": "a.jpg", "class": "cat"}\n' + line)
    with pytest.raises(DataError, match=r"x\.jsonl, line 2"):
        look(tmp_path / "x.jsonl")


# Zips


def test_zip_of_class_folders_is_read_in_place(tmp_path: Path) -> None:
    folder = bad_images.class_folders(tmp_path / "pets", {"train/cat": 3, "train/dog": 3, "test/cat": 1})
    bad_images.truncated_jpeg(folder / "train" / "cat" / "cut.jpg")
    for prefix in ("", "pets/"):
        path = zipped(folder, tmp_path / "pets.zip", prefix)
        before = sorted(tmp_path.rglob("*"))
        found = look(path)
        assert found.root == path
        assert found.counts == {"train": 6, "test": 1}
        assert [(problem.path, problem.kind) for problem in found.problems_of("error")] == [
            (f"{prefix}train/cat/cut.jpg", "truncated")
        ]
        split = sample_split(found, shots=2, val_shots=0, seed=0)
        plain = sample_split(look(folder), shots=2, val_shots=0, seed=0)
        assert [sample.path for sample in split.train] == [prefix + sample.path for sample in plain.train]
        inside, _, _ = load_pixels(found.root, split.train, size=32, control=Control())
        outside, _, _ = load_pixels(folder, plain.train, size=32, control=Control())
        assert (inside == outside).all()
        assert (
            split_to_json(split, path)["train"][0]["sha256"]
            == split_to_json(plain, folder)["train"][0]["sha256"]
        )
        assert sorted(tmp_path.rglob("*")) == before, "nothing may be unpacked"


def test_zip_of_a_coop_dataset_and_of_a_list(tmp_path: Path) -> None:
    folder = coop_tree(tmp_path / "dtd", "split_zhou_DescribableTextures.json", "images", ("a", "b"))
    found = look(zipped(folder, tmp_path / "any.zip", "dtd/"))
    assert (found.layout, found.dataset, len(found.records)) == ("coop", "dtd", 8)
    listed = tmp_path / "listed"
    write_images(listed, ["a/1.jpg", "a/2.jpg", "b/3.jpg"])
    (listed / "pets.csv").write_text(LIST)
    found = look(zipped(listed, tmp_path / "list.zip"))
    assert (found.layout, found.counts) == ("list", {"train": 2, "test": 1})


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "cat/../../evil.jpg", "/etc/evil.jpg", "..\\evil.jpg", "C:/evil.jpg"]
)
def test_names_that_lead_out_of_a_zip_are_refused(tmp_path: Path, name: str) -> None:
    path = zipped(bad_images.class_folders(tmp_path / "pets", {"cat": 2, "dog": 2}), tmp_path / "pets.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"evil")
    with pytest.raises(DataError, match="names a file outside itself"):
        look(path)
    assert not list(tmp_path.parent.rglob("evil*"))


def test_encrypted_zips_are_refused(tmp_path: Path) -> None:
    path = zipped(bad_images.class_folders(tmp_path / "pets", {"cat": 2, "dog": 2}), tmp_path / "pets.zip")
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02")
    while place >= 0:
        content[place + 8] |= 1
        place = content.find(b"PK\x01\x02", place + 1)
    path.write_bytes(content)
    with pytest.raises(DataError, match="is encrypted"):
        look(path)


def test_decompression_bombs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/1.bmp", bytes(70 * 2**20))
    assert path.stat().st_size < 2**20
    with pytest.raises(DataError, match="decompression bomb"):
        look(path)


def test_damaged_zips_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "no.zip").write_bytes(b"no zip")
    with pytest.raises(DataError, match="is no zip"):
        look(tmp_path / "no.zip")
    path = zipped(bad_images.class_folders(tmp_path / "pets", {"cat": 2, "dog": 2}), tmp_path / "pets.zip")
    content = bytearray(path.read_bytes())
    content[content.index(b"cat/000.jpg") + 200] ^= 0xFF
    path.write_bytes(content)
    (problem,) = look(path).problems_of("error")
    assert (problem.path, problem.kind) == ("cat/000.jpg", "unreadable")


def test_zip_that_changes_is_read_anew(tmp_path: Path) -> None:
    folder = bad_images.class_folders(tmp_path / "pets", {"cat": 2, "dog": 2})
    path = zipped(folder, tmp_path / "pets.zip")
    assert len(look(path).records) == 4
    bad_images.good_jpeg(folder / "cat" / "new.jpg", seed=99)
    zipped(folder, path)
    assert len(look(path).records) == 5


# Many images


def test_images_are_told_while_they_are_found(tmp_path: Path) -> None:
    events: list[Event] = []
    folder = bad_images.class_folders(tmp_path / "pets", {"cat": 3, "dog": 2})
    scan(folder, control=Control(events.append))
    told = [event for event in events if isinstance(event, ImagesFound)]
    assert told
    assert told[0].root == folder
    assert [record.path for record in told[0].records] == ["cat/000.jpg", "cat/001.jpg", "cat/002.jpg"]


def test_scan_of_headers_stops_within_a_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bad_images.class_folders(tmp_path / "pets", {f"class {number}": 40 for number in range(20)})
    from advclip_gui.engine.datasets import folder as module

    control, seen = Control(), []
    real = module.look_at_image

    def counted(path: Path, *, full: bool) -> Any:
        seen.append(path)
        if len(seen) == 10:
            control.cancel()
        return real(path, full=full)

    monkeypatch.setattr(module, "look_at_image", counted)
    with pytest.raises(Cancelled):
        scan(folder, control=control, decode="header")
    assert len(seen) < 800
