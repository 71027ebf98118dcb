"""Scanning: layouts, odd files one by one, and folders that cannot be used."""

from __future__ import annotations

import builtins
import errno
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.datasets import report_json, report_text, scan, summary
from advclip_gui.engine.errors import DataError
from advclip_gui.engine.events import Progress
from tests import bad_images

if TYPE_CHECKING:
    from collections.abc import Callable

    from advclip_gui.engine.datasets import DatasetScan
    from advclip_gui.engine.events import Event

CLOTHING = Path(__file__).resolve().parents[4] / "shared" / "data" / "clothing"


def look(folder: Path | str, decode: Any = "auto") -> DatasetScan:
    return scan(folder, control=Control(), decode=decode)


def kinds(found: DatasetScan) -> dict[str, list[str]]:
    """Return the paths of each kind of problem."""
    table: dict[str, list[str]] = {}
    for problem in found.problems:
        table.setdefault(problem.kind, []).append(problem.path)
    return table


def fingerprint(root: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(root)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in root.rglob("*")
    }


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return bad_images.class_folders(tmp_path / "pets", {"cat": 3, "dog": 4})


# Layouts


def test_class_folders_without_splits(pets: Path) -> None:
    before = fingerprint(pets)
    found = look(pets)
    assert found.root == pets
    assert found.class_folders == ("cat", "dog")
    assert found.counts == {"all": 7}
    assert [info.counts for info in found.classes] == [{"all": 3}, {"all": 4}]
    assert not any((found.has_train, found.has_val, found.has_test))
    assert found.problems == ()
    record = found.records[0]
    assert (record.path, record.class_name, record.split) == ("cat/000.jpg", "cat", "all")
    assert (record.width, record.height) == (32, 32)
    assert record.size_bytes == found.path_of(record).stat().st_size
    assert fingerprint(pets) == before, "nothing may be written into the user's folder"


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train", "val", "test"), ("train", "val", "test")),
        (("Training", "Validation", "Testing"), ("train", "val", "test")),
        (("TRAIN", "valid"), ("train", "val")),
    ],
)
def test_split_folders(tmp_path: Path, folders: tuple[str, ...], splits: tuple[str, ...]) -> None:
    for index, name in enumerate(folders):
        bad_images.class_folders(tmp_path / name, {"cat": 2, "dog": 2}, first_seed=10 * index)
    (tmp_path / "README.md").write_text("origin")
    found = look(tmp_path)
    assert found.counts == dict.fromkeys(splits, 4)
    assert (found.has_train, found.has_val, found.has_test) == (
        "train" in splits,
        "val" in splits,
        "test" in splits,
    )
    assert found.class_folders == ("cat", "dog")
    assert found.problems == ()
    assert found.ignored_files == 1


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    found = look(bad_images.class_folders(tmp_path, {"exam": 2, "test": 2, "train": 2}))
    assert found.class_folders == ("exam", "test", "train")
    assert found.counts == {"all": 6}


def test_classes_beside_a_lone_test_folder(tmp_path: Path) -> None:
    bad_images.class_folders(tmp_path, {"cat": 2, "dog": 2})
    bad_images.class_folders(tmp_path / "test", {"cat": 1, "dog": 1}, first_seed=50)
    assert look(tmp_path).counts == {"test": 2, "all": 4}


def test_folder_beside_train_and_test_is_left_out(tmp_path: Path) -> None:
    bad_images.class_folders(tmp_path / "train", {"cat": 2, "dog": 2})
    bad_images.class_folders(tmp_path, {"unsorted": 2}, first_seed=50)
    found = look(tmp_path)
    assert found.class_folders == ("cat", "dog")
    assert kinds(found) == {"loose_folder": ["unsorted"]}


def test_images_nested_in_a_class_folder_belong_to_the_class(pets: Path) -> None:
    bad_images.good_jpeg(pets / "cat" / "session 2" / "indoor" / "x.jpg", seed=90)
    found = look(pets)
    record = next(record for record in found.records if record.path == "cat/session 2/indoor/x.jpg")
    assert record.class_name == "cat"
    assert found.class_folders == ("cat", "dog")


def test_images_beside_class_folders_are_left_out(pets: Path) -> None:
    for index in range(5):
        bad_images.good_jpeg(pets / f"loose {index}.jpg", seed=100 + index)
    found = look(pets)
    assert found.counts == {"all": 7}
    (problem,) = found.problems
    assert (problem.kind, problem.severity, problem.path) == ("loose_images", "warning", ".")
    assert "loose 0.jpg, loose 1.jpg, loose 2.jpg and 2 more" in problem.message


def test_images_beside_the_classes_of_a_split(tmp_path: Path) -> None:
    bad_images.class_folders(tmp_path / "train", {"cat": 2, "dog": 2})
    bad_images.good_jpeg(tmp_path / "train" / "lost.jpg", seed=99)
    # Unlabelled test images, as some competitions give them.
    bad_images.good_jpeg(tmp_path / "test" / "1.jpg", seed=98)
    found = look(tmp_path)
    assert kinds(found) == {"loose_images": ["test", "train"]}
    assert not found.has_test
    assert "1 image lies beside the class folders and belongs to no class" in found.problems[0].message


def test_class_only_in_test_or_only_in_train_gets_a_note(tmp_path: Path) -> None:
    bad_images.class_folders(tmp_path / "train", {"cat": 2, "dog": 2, "yak": 2})
    bad_images.class_folders(tmp_path / "test", {"cat": 2, "dog": 2, "emu": 2}, first_seed=50)
    found = look(tmp_path)
    assert found.class_folders == ("cat", "dog", "emu", "yak")
    assert kinds(found) == {"missing_in_train": ["emu"], "missing_in_test": ["yak"]}
    assert {problem.severity for problem in found.problems} == {"note"}


def test_hidden_and_system_files_are_passed_over(pets: Path) -> None:
    bad_images.good_jpeg(pets / "cat" / "._000.jpg", seed=70)
    bad_images.good_jpeg(pets / ".thumbnails" / "a.jpg", seed=71)
    bad_images.good_jpeg(pets / "__MACOSX" / "a.jpg", seed=72)
    bad_images.good_jpeg(pets / "dog" / "@eaDir" / "a.jpg", seed=73)
    found = look(pets)
    assert found.counts == {"all": 7}
    assert found.class_folders == ("cat", "dog")


def test_endings_in_any_case_and_other_files(tmp_path: Path) -> None:
    names = ("a.JPG", "b.Jpeg", "c.PNG", "d.bmp", "e.WebP", "f.gif", "g.TIF", "h.tiff", "i.ppm")
    formats = ("JPEG", "JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "TIFF", "PPM")
    from PIL import Image

    for index, (name, image_format) in enumerate(zip(names, formats, strict=True)):
        picture = Image.fromarray(bad_images.noise(seed=index))
        bad_images.write(tmp_path / "x" / name, bad_images.encoded(picture, image_format))
    bad_images.class_folders(tmp_path, {"y": 1}, first_seed=50)
    bad_images.write(tmp_path / "x" / "notes.txt", b"text")
    bad_images.write(tmp_path / "x" / "Thumbs.db", b"cache")
    found = look(tmp_path)
    assert sorted(record.path for record in found.records) == [*(f"x/{name}" for name in names), "y/000.jpg"]
    assert found.ignored_files == 2


def test_non_ascii_and_spaced_paths(tmp_path: Path) -> None:
    root = tmp_path / "Bilder für heute  (2)"
    bad_images.class_folders(root, {"Größe_10": 2, "猫": 2, "hot dog": 2})
    bad_images.good_jpeg(root / "猫" / "写真 一.JPG", seed=60)
    found = look(root)
    assert found.class_folders == ("Größe_10", "hot dog", "猫")
    assert [info.name for info in found.classes] == ["Größe 10", "hot dog", "猫"]
    assert "猫/写真 一.JPG" in {record.path for record in found.records}
    assert "猫" in report_text(found)


@pytest.mark.skipif(os.name != "posix", reason="only POSIX file names are bytes")
def test_name_that_is_not_utf8(pets: Path) -> None:
    try:
        bad_images.good_jpeg(pets / "cat" / os.fsdecode(b"\xff\xfe.jpg"), seed=60)
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    found = look(pets)
    assert kinds(found) == {"bad_name": ["cat/\\udcff\\udcfe.jpg"]}
    report_text(found).encode("utf-8")


# Odd files


@pytest.mark.parametrize(
    ("make", "name", "kind"),
    [
        (bad_images.truncated_jpeg, "bad.jpg", "truncated"),
        (bad_images.truncated_jpeg_with_thumbnail, "bad.jpg", "truncated"),
        (bad_images.truncated_png, "bad.png", "truncated"),
        (bad_images.huge_header_png, "bad.png", "too_large"),
        (bad_images.text_named_jpg, "bad.jpg", "not_an_image"),
        (bad_images.zero_byte, "bad.jpg", "not_an_image"),
    ],
)
@pytest.mark.parametrize("decode", ["auto", "header", "full"])
def test_bad_file_is_left_out_with_a_sentence(
    pets: Path, make: Callable[[Path], Path], name: str, kind: str, decode: str
) -> None:
    make(pets / "cat" / name)
    found = look(pets, decode)
    (problem,) = found.problems
    assert (problem.kind, problem.severity, problem.path) == (kind, "error", f"cat/{name}")
    assert problem.message.startswith("Left out: ")
    assert problem.message.endswith(".")
    assert found.counts == {"all": 7}


@pytest.mark.parametrize(
    ("make", "name", "kind"),
    [
        (bad_images.sixteen_bit_png, "odd.png", "sixteen_bit"),
        (bad_images.sixteen_bit_rgb_png, "odd.png", "sixteen_bit"),
        (bad_images.cmyk_jpeg, "odd.jpg", "unusual_mode"),
        (bad_images.rgba_png, "odd.png", "unusual_mode"),
        (bad_images.grey_alpha_png, "odd.png", "unusual_mode"),
        (bad_images.transparent_palette_png, "odd.png", "unusual_mode"),
        (bad_images.animated_gif, "odd.gif", "animated"),
        (bad_images.multi_page_tiff, "odd.tif", "animated"),
        (bad_images.tiny_png, "odd.png", "tiny"),
    ],
)
def test_odd_file_is_kept_and_mentioned(
    pets: Path, make: Callable[[Path], Path], name: str, kind: str
) -> None:
    make(pets / "cat" / name)
    found = look(pets)
    assert kinds(found) == {kind: [f"cat/{name}"]}
    assert found.problems[0].severity != "error"
    assert found.counts == {"all": 8}


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (bad_images.palette_png, "a.png"),
        (bad_images.one_bit_png, "a.png"),
        (bad_images.exif_rotated_jpeg, "a.jpg"),
        (bad_images.damaged_exif_jpeg, "a.jpg"),
    ],
)
def test_file_that_needs_no_mention(pets: Path, make: Callable[[Path], Path], name: str) -> None:
    make(pets / "cat" / name)
    found = look(pets)
    assert found.problems == ()
    assert found.counts == {"all": 8}


def test_recorded_size_is_that_of_the_upright_picture(pets: Path) -> None:
    bad_images.exif_rotated_jpeg(pets / "cat" / "r.jpg")
    record = next(record for record in look(pets).records if record.path == "cat/r.jpg")
    assert (record.width, record.height) == (32, 48)


def test_without_decoding_no_file_is_opened(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad_images.zero_byte(pets / "cat" / "bad.jpg")

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("opened")

    monkeypatch.setattr(builtins, "open", refuse)
    found = look(pets, "none")
    assert found.counts == {"all": 8}
    assert found.records[0].width == 0


def test_duplicates_say_why_they_matter(tmp_path: Path) -> None:
    bad_images.class_folders(tmp_path / "train", {"cat": 3, "dog": 3})
    bad_images.class_folders(tmp_path / "test", {"cat": 1, "dog": 1}, first_seed=50)
    original = tmp_path / "train" / "cat" / "000.jpg"
    for copy in ("train/cat/copy.jpg", "train/dog/copy.jpg"):
        shutil.copyfile(original, tmp_path / copy)
    shutil.copyfile(tmp_path / "test" / "dog" / "000.jpg", tmp_path / "train" / "dog" / "leak.jpg")
    found = look(tmp_path)
    assert {problem.kind for problem in found.problems} == {"duplicate"}
    messages = {problem.path: problem.message for problem in found.problems}
    assert messages == {
        "train/cat/copy.jpg": "The same file content as train/cat/000.jpg.",
        "train/dog/copy.jpg": (
            "The same file content as train/cat/000.jpg; one picture cannot be both 'cat' and 'dog'."
        ),
        "train/dog/leak.jpg": (
            "The same file content as test/dog/000.jpg; an image of test is also in train."
        ),
    }


# Links and permissions


@pytest.mark.skipif(os.name != "posix", reason="links need no privilege on POSIX only")
def test_link_loops_end(pets: Path) -> None:
    (pets / "cat" / "again").symlink_to(pets, target_is_directory=True)
    (pets / "cat" / "self").symlink_to(pets / "cat", target_is_directory=True)
    (pets / "dog" / "endless.jpg").symlink_to("endless.jpg")
    (pets / "dog" / "endless").symlink_to("endless")
    (pets / "dog" / "gone.jpg").symlink_to("nowhere.jpg")
    found = look(pets)
    assert found.counts == {"all": 7}
    assert kinds(found) == {
        "link_loop": ["cat/again", "cat/self"],
        "unreadable": ["dog/endless.jpg", "dog/gone.jpg"],
    }


@pytest.mark.skipif(os.name != "posix", reason="links need no privilege on POSIX only")
def test_linked_class_folder_is_read(tmp_path: Path) -> None:
    bad_images.class_folders(tmp_path / "store", {"cat": 2, "dog": 2})
    root = tmp_path / "data"
    root.mkdir()
    for name in ("cat", "dog"):
        (root / name).symlink_to(tmp_path / "store" / name, target_is_directory=True)
    found = look(root)
    assert found.counts == {"all": 4}
    assert found.problems == ()


def refuse(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, refused: Path) -> None:
    """Let a call fail for one path: removing its permissions does not stop the superuser."""
    original = getattr(module, name)

    def guarded(place: Any, *args: Any, **kwargs: Any) -> Any:
        if os.fspath(place) == os.fspath(refused):
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(place))
        return original(place, *args, **kwargs)

    monkeypatch.setattr(module, name, guarded)


def test_file_without_permission(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, builtins, "open", pets / "dog" / "001.jpg")
    found = look(pets)
    (problem,) = found.problems
    assert (problem.path, problem.kind) == ("dog/001.jpg", "permission")
    assert problem.message == "Left out: there is no permission to read it."


def test_folder_without_permission(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad_images.class_folders(pets, {"yak": 2}, first_seed=50)
    refuse(monkeypatch, os, "scandir", pets / "yak")
    found = look(pets)
    assert kinds(found) == {"empty_class": ["yak"], "permission": ["yak"]}
    assert found.class_folders == ("cat", "dog")


def test_root_without_permission(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, os, "scandir", pets)
    with pytest.raises(DataError, match="no permission to read the folder"):
        look(pets)


# Folders that cannot be used


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist") as caught:
        look(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in caught.value.message
    assert caught.value.hint


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a file, not a folder"):
        look(bad_images.good_jpeg(tmp_path / "a.jpg"))


def test_folder_without_images(tmp_path: Path) -> None:
    bad_images.write(tmp_path / "docs" / "a.txt", b"text")
    with pytest.raises(DataError, match="There are no images in"):
        look(tmp_path)


def test_images_without_class_folders(tmp_path: Path) -> None:
    for index in range(3):
        bad_images.good_jpeg(tmp_path / f"{index}.jpg", seed=index)
    with pytest.raises(DataError, match=r"The 3 images in .* lie beside each other") as caught:
        look(tmp_path)
    assert "sub-folder" in caught.value.hint


def test_one_class_only(tmp_path: Path) -> None:
    bad_images.class_folders(tmp_path, {"cat": 3})
    with pytest.raises(DataError, match="only one class, 'cat'"):
        look(tmp_path)


def test_one_usable_class(tmp_path: Path) -> None:
    bad_images.class_folders(tmp_path, {"cat": 3})
    bad_images.text_named_jpg(tmp_path / "dog" / "a.jpg")
    with pytest.raises(DataError, match="only one class, 'cat'"):
        look(tmp_path)


def test_no_usable_image(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        bad_images.zero_byte(tmp_path / name / "a.jpg")
    with pytest.raises(DataError, match="None of the 2 images") as caught:
        look(tmp_path)
    assert "cat/a.jpg: Left out: the file is empty." in caught.value.hint


def test_empty_and_nearly_empty_class(pets: Path) -> None:
    (pets / "emu").mkdir()
    bad_images.class_folders(pets, {"yak": 1}, first_seed=50)
    found = look(pets)
    assert kinds(found) == {"empty_class": ["emu"], "too_few": ["yak"]}
    assert found.class_folders == ("cat", "dog", "yak")


# Progress and cancelling


def test_progress_counts_up_to_the_end(pets: Path) -> None:
    events: list[Event] = []
    scan(pets, control=Control(events.append))
    checks = [event for event in events if isinstance(event, Progress) and event.task == "Checking images"]
    assert (checks[0].done, checks[-1].done, checks[-1].total) == (0, 7, 7)


@pytest.mark.parametrize("task", ["Checking images", "Looking for duplicates"])
def test_cancel(pets: Path, task: str) -> None:
    for index in range(4):
        shutil.copyfile(pets / "cat" / "000.jpg", pets / "cat" / f"copy {index}.jpg")

    def watch(event: Event) -> None:
        if isinstance(event, Progress) and event.task == task:
            control.cancel()

    control = Control(watch)
    with pytest.raises(Cancelled):
        scan(pets, control=control)


def test_cancel_before_walking(pets: Path) -> None:
    control = Control()
    control.cancel()
    with pytest.raises(Cancelled):
        scan(pets, control=control, decode="none")


# Report


def test_report(pets: Path) -> None:
    bad_images.text_named_jpg(pets / "cat" / "bad.jpg")
    for index in range(25):
        bad_images.tiny_png(pets / "dog" / f"tiny {index:02d}.png", seed=index)
    found = look(pets)
    assert summary(found) == "32 images in 2 classes; 1 file left out; 25 warnings."
    text = report_text(found)
    assert "cat/bad.jpg: Left out: it is not an image in a format known here." in text
    assert "dog/tiny 19.png" in text
    assert "dog/tiny 20.png" not in text
    assert "... and 5 more: tiny" in text
    assert "From 4 x 4 to 32 x 32 pixels" in text
    plain = report_json(found)
    assert plain["images"] == 32
    assert plain["problem_counts"] == {"not_an_image": 1, "tiny": 25}
    assert len(plain["problems"]) == 26
    assert plain["classes"][0] == {"folder": "cat", "name": "cat", "counts": {"all": 3}}
    assert (plain["smallest_side"], plain["largest_side"]) == (4, 32)


def test_report_shows_folders_whose_names_were_cleaned(tmp_path: Path) -> None:
    found = look(bad_images.class_folders(tmp_path, {"001.hot_dog": 2, "cat": 2}))
    lines = report_text(found).splitlines()
    assert "class    images  folder" in lines
    assert "hot dog       2  001.hot_dog" in lines


# Real folders


def test_the_bundled_demo() -> None:
    found = look("demo")
    assert len(found.classes) == 10
    assert found.counts == {"train": 240, "val": 100, "test": 1000}
    assert all(info.counts == {"train": 24, "val": 10, "test": 100} for info in found.classes)
    assert found.problems == ()
    assert {(record.width, record.height) for record in found.records} == {(32, 32)}


@pytest.mark.skipif(not CLOTHING.is_dir(), reason="the clothing images are not here")
def test_clothing() -> None:
    found = look(CLOTHING)
    assert len(found.classes) == 10
    assert "t-shirt" in found.class_folders
    assert found.counts == {"train": 160, "val": 120, "test": 120}
    assert found.problems == ()
    assert report_json(found)["images"] == 400
