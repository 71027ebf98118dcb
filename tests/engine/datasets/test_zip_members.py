"""A scan reads the beginning of a zip's members: enough for headers, copies and most damage."""

from __future__ import annotations

import threading
import zipfile
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from advclip_gui.engine.control import Control
from advclip_gui.engine.datasets import scan
from advclip_gui.engine.file_access import Archive, DamagedZipError
from advclip_gui.engine.images import look_at_image
from tests import bad_images

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.engine.datasets import DatasetScan

PACKINGS = {
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
}


def jpeg(seed: int, *, side: int, exif: bytes = b"") -> bytes:
    """A JPEG of noise: about a byte per pixel at 90."""
    return bad_images.encoded(
        Image.fromarray(bad_images.noise(side, side + 8, seed)), "JPEG", quality=90, exif=exif
    )


def long_exif() -> bytes:
    """An orientation, and a maker's note that is longer than what is read of every file."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "m" * 30_000
    return exif.tobytes()


def write_zip(path: Path, packing: str, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", PACKINGS[packing]) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def headers_of(path: Path) -> DatasetScan:
    return scan(path, control=Control(), decode="header")


@pytest.fixture
def pictures() -> dict[str, bytes]:
    """Short and long members of two classes."""
    return {
        f"{name}/{seed}.jpg": jpeg(seed + ord(name[0]), side=side)
        for name in ("cat", "dog")
        for seed, side in enumerate((40, 320))
    }


@pytest.mark.parametrize("packing", ["stored", "deflated"])
def test_no_member_is_unpacked_whole_for_its_header(
    tmp_path: Path, packing: str, pictures: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert max(map(len, pictures.values())) > 60_000
    pictures["dog/turned.jpg"] = jpeg(9, side=240, exif=long_exif())
    path = write_zip(tmp_path / "pets.zip", packing, pictures)

    def refuse(_self: Archive, name: str) -> bytes:
        raise AssertionError(f"{name} was unpacked")

    monkeypatch.setattr(Archive, "read", refuse)
    found = headers_of(path)
    assert found.problems == ()
    assert {record.path: (record.width, record.height, record.size_bytes) for record in found.records} == {
        name: ((240, 248) if "turned" in name else (48, 40) if "0" in name else (328, 320)) + (len(content),)
        for name, content in pictures.items()
    }


@pytest.mark.parametrize("packing", list(PACKINGS))
def test_every_packing_tells_the_same(tmp_path: Path, packing: str, pictures: dict[str, bytes]) -> None:
    path = write_zip(tmp_path / "pets.zip", packing, pictures)
    for name, content in pictures.items():
        plain = bad_images.write(tmp_path / "plain" / name, content)
        assert look_at_image(path / name, full=False)[:2] == look_at_image(plain, full=False)[:2]


@pytest.mark.parametrize("packing", list(PACKINGS))
def test_copies_in_a_zip_are_found(tmp_path: Path, packing: str, pictures: dict[str, bytes]) -> None:
    pictures["dog/again.jpg"] = pictures["cat/1.jpg"]
    found = headers_of(write_zip(tmp_path / "pets.zip", packing, pictures))
    (problem,) = found.problems
    assert (problem.path, problem.kind) == ("dog/again.jpg", "duplicate")
    assert "cannot be both 'cat' and 'dog'" in problem.message


@pytest.mark.parametrize(
    ("packing", "member", "decode", "seen"),
    [
        ("stored", "cat/0.jpg", "header", True),
        ("stored", "cat/1.jpg", "header", True),
        ("deflated", "cat/0.jpg", "header", True),
        # The end of a long packed member shows only where all of it is unpacked.
        ("deflated", "cat/1.jpg", "header", False),
        ("deflated", "cat/1.jpg", "full", True),
    ],
)
def test_cut_images_in_a_zip(
    tmp_path: Path, packing: str, member: str, decode: str, seen: bool, pictures: dict[str, bytes]
) -> None:
    pictures[member] = pictures[member][: int(0.8 * len(pictures[member]))]
    path = write_zip(tmp_path / "pets.zip", packing, pictures)
    found = scan(path, control=Control(), decode=decode)  # type: ignore[arg-type]
    assert [(problem.path, problem.kind) for problem in found.problems_of("error")] == (
        [(member, "truncated")] if seen else []
    )


def test_damage_is_told_of_the_member_it_is_in(tmp_path: Path, pictures: dict[str, bytes]) -> None:
    path = write_zip(tmp_path / "pets.zip", "deflated", pictures)
    with zipfile.ZipFile(path) as archive:
        content, header = archive.getinfo("cat/0.jpg"), archive.getinfo("dog/0.jpg")
        middle = content.header_offset + 30 + len("cat/0.jpg") + content.compress_size // 2
    raw = bytearray(path.read_bytes())
    raw[middle] ^= 0xFF
    raw[header.header_offset] ^= 0xFF
    path.write_bytes(raw)
    found = headers_of(path)
    assert {problem.path: problem.kind for problem in found.problems_of("error")} == {
        "cat/0.jpg": "unreadable",
        "dog/0.jpg": "unreadable",
    }
    assert all("the zip is damaged here" in problem.message for problem in found.problems_of("error"))


def test_lengths_that_are_no_true_ones_fill_no_memory(tmp_path: Path) -> None:
    content = jpeg(1, side=40)
    path = write_zip(tmp_path / "x.zip", "deflated", {"cat/0.jpg": content})
    archive = Archive(path)
    archive.members["cat/0.jpg"].file_size = 100
    with pytest.raises(DamagedZipError, match="checksum"):
        archive.start("cat/0.jpg", 4096, 64)
    archive.members["cat/0.jpg"].file_size = 2 * len(content)
    with pytest.raises(DamagedZipError, match="checksum"):
        archive.start("cat/0.jpg", 4096, 64)


def test_members_are_read_by_many_threads_at_once(tmp_path: Path) -> None:
    members = {f"c/{seed}.jpg": jpeg(seed, side=32 + 8 * (seed % 20)) for seed in range(60)}
    archive = Archive(write_zip(tmp_path / "x.zip", "stored", members))
    wrong: list[str] = []

    def read() -> None:
        for name, content in members.items():
            start = archive.start(name, 4096, 64)
            if (start.head, start.tail) != (content[:4096], content[-64:]):
                wrong.append(name)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
