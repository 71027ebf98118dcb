"""`advclip-gui data` on good and bad folders."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from PIL import Image

from tests.cli.strict_json import read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_the_demo_is_reported(program: Callable[..., Any], tmp_path: Path) -> None:
    outcome = program("data", "demo", "--json", tmp_path / "report.json")
    assert outcome.status == 0
    assert "10 classes" in outcome.out
    report = read(tmp_path / "report.json")
    assert report["command"] == "data"
    assert report["splits"]["test"] >= 1000
    assert len(report["classes"]) == 10


def test_bad_files_are_reported_and_the_rest_is_counted(
    program: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    cut = photos / "dog" / "cut off.jpg"
    Image.effect_noise((200, 200), 90).convert("RGB").save(cut)
    os.truncate(cut, cut.stat().st_size // 2)
    (photos / "dog" / "no picture.png").write_text("text")
    outcome = program("data", photos, "--full", "--json", tmp_path / "report.json")
    assert outcome.status == 0
    assert "dog/cut off.jpg" in outcome.out
    report = read(tmp_path / "report.json")
    assert report["images"] == 8
    assert {problem["path"] for problem in report["problems"] if problem["severity"] == "error"} == {
        "dog/cut off.jpg",
        "dog/no picture.png",
    }


def test_folders_that_are_no_data_are_refused(program: Callable[..., Any], photos: Path) -> None:
    for folder, part in (
        (photos / "gone", "does not exist"),
        (photos / "dog" / "0.png", "is a file"),
        (photos / "dog", "not in class folders"),
    ):
        outcome = program("data", folder)
        assert outcome.status == 1
        assert part in outcome.sentence


def test_nothing_is_written_into_the_folder(program: Callable[..., Any], photos: Path) -> None:
    before = sorted(photos.rglob("*"))
    assert program("data", photos).status == 0
    assert sorted(photos.rglob("*")) == before


def test_layout_is_told_and_can_be_overruled(
    program: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    (photos / "pets.csv").write_text(
        "path,class\ndog/0.png,hound\nblack_cat/0.png,kitten\n", encoding="utf-8"
    )
    outcome = program("data", photos / "pets.csv", "--json", tmp_path / "report.json")
    assert outcome.status == 0
    assert "List of images." in outcome.out
    report = read(tmp_path / "report.json")
    assert (report["layout"], [info["folder"] for info in report["classes"]]) == ("list", ["hound", "kitten"])
    assert "Class folders." in program("data", photos).out
    refused = program("data", photos, "--layout", "coop")
    assert refused.status == 1
    assert "split_zhou_*.json" in refused.sentence
    assert program("data", photos, "--layout", "other").status == 2


def test_report_and_split_are_written(program: Callable[..., Any], photos: Path, tmp_path: Path) -> None:
    (photos / "dog" / "no picture.png").write_text("text")
    outcome = program(
        "data", photos, "--report", tmp_path / "bad.csv", "--save-split", tmp_path / "mine.csv", "--shots", 2
    )
    assert outcome.status == 0
    assert "are listed in" in outcome.out
    rows = (tmp_path / "bad.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "severity,kind,path,message,skipped"
    assert any(row.startswith("error,not_an_image,dog/no picture.png,") for row in rows)
    listed = (tmp_path / "mine.csv").read_text(encoding="utf-8").splitlines()
    assert listed[0] == "path,label,class,split"
    assert sum(row.endswith(",train") for row in listed) == 4
    base = program("data", "demo", "--classes", "base", "--json", tmp_path / "base.json")
    assert base.status == 0
    assert len(read(tmp_path / "base.json")["classes"]) == 5
    gone = program("data", photos, "--save-split", tmp_path / "gone" / "mine.csv")
    assert gone.status == 1
