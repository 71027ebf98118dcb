"""The library of adapters and every export format, from the command line."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch

from advclip_gui.engine.exchange.formats import FORMATS, format_entry
from advclip_gui.engine.resources import demo_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained adapter on the bundled backbone; B is not zero."""
    from advclip_gui.engine import adapters
    from advclip_gui.engine.backbones import load_backbone
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.exchange.info import AdapterInfo, record_of
    from advclip_gui.engine.files import write_json_atomic
    from advclip_gui.settings import BackboneSettings, LoraSettings

    folder = tmp_path_factory.mktemp("made") / "my adapter"
    backbone = load_backbone(BackboneSettings(), device=torch.device("cpu"), control=Control())
    adapters.adapt(backbone, adapters.placement(backbone.model, LoraSettings(rank=1)), seed=0)
    for layer in adapters.lora_layers(backbone.model).values():
        torch.nn.init.normal_(layer.lora_B["default"].weight, std=0.1)
    adapters.save_adapter(backbone, folder)
    info = AdapterInfo(BackboneSettings(), ("cat", "dog"), ("a photo of a {}.",), "", None)
    write_json_atomic(folder / "advclip.json", record_of(info, "peft"))
    return folder


@pytest.mark.parametrize("kind", [one.name for one in FORMATS])
def test_every_format_is_written_and_told(
    program: Callable[..., Any], made: Path, tmp_path: Path, kind: str
) -> None:
    done = program("export", made, "--out", tmp_path / "out", "--format", kind, "--json", tmp_path / "x.json")
    assert done.status == 0, done.err
    told = read(tmp_path / "x.json")
    assert set(told["files"]) == {*format_entry(kind).files, "advclip.json", "README.md"}
    assert told["snippet"].strip() in done.out


def test_a_pt_file_is_imported_listed_renamed_removed_and_restored(
    program: Callable[..., Any], made: Path, tmp_path: Path
) -> None:
    root = tmp_path / "library"
    program("export", made, "--out", tmp_path / "out", "--format", "clip-lora")
    done = program(
        "adapters", "import", tmp_path / "out" / "lora_weights.pt", "--backbone", "advclip-mini",
        "--classes", "cat,dog", "--template", "a {}.", "--name", "theirs", "--root", root,
        "--json", tmp_path / "import.json",
    )  # fmt: skip
    assert done.status == 0, done.err
    told = read(tmp_path / "import.json")
    assert (told["name"], told["class_names"], told["templates"]) == ("theirs", ["cat", "dog"], ["a {}."])
    assert told["folder"] in done.out
    opened = program("adapters", "open", made, "--root", root)
    assert opened.status == 0
    assert "advclip-mini, 2 classes" in opened.out
    assert "theirs" in program("adapters", "list", "--root", root).out
    assert program("adapters", "rename", "theirs", "ours now", "--root", root).status == 0
    removed = program("adapters", "remove", "ours now", "--root", root)
    assert removed.status == 0
    assert told["key"] in removed.out
    assert "ours now" not in program("adapters", "list", "--root", root).out
    assert "ours now" in program("adapters", "list", "--removed", "--root", root).out
    assert program("adapters", "restore", told["key"], "--root", root).status == 0
    evaluated = program("attack", *_cat(), "--model", told["folder"], "--eps", "0.5/255", "--steps", 1)
    assert evaluated.status == 0, evaluated.err


def test_a_name_or_its_beginning_is_enough_to_evaluate_attack_and_export(
    program: Callable[..., Any], made: Path, tmp_path: Path
) -> None:
    assert program("adapters", "open", made, "--name", "Pets, 16 shots").status == 0
    assert program("adapters", "open", made.parent / "none").status == 1
    for name in ("cat", "dog"):
        shutil.copytree(demo_folder() / "test" / name, tmp_path / "photos" / name)
    done = program("evaluate", "Pets, 16 shots", "--data", tmp_path / "photos", "--images", 2,
                   "--eps", "0.5/255", "--steps", 1)  # fmt: skip
    assert done.status == 0, done.err
    assert "Pets, 16 shots" in done.out
    assert program("attack", *_cat(), "--model", "pets", "--eps", "0.5/255", "--steps", 1).status == 0
    assert program("export", "pets", "--out", tmp_path / "out").status == 0
    assert (tmp_path / "out" / "adapter_config.json").is_file()
    program("export", made, "--out", tmp_path / "other")
    program("adapters", "open", tmp_path / "other", "--name", "Pets, 4 shots")
    for words in (("evaluate", "Pets"), ("export", "Pets", "--out", tmp_path / "no"),
                  ("attack", *_cat(), "--model", "Pets")):  # fmt: skip
        done = program(*words)
        assert done.status == 1
        assert "2 runs and adapters begin with 'Pets'" in done.sentence
        assert "(Pets, 16 shots)" in done.sentence
        assert "(Pets, 4 shots)" in done.sentence


def test_a_note_and_a_backbone_file_that_has_moved(
    program: Callable[..., Any], made: Path, tmp_path: Path
) -> None:
    from advclip_gui.engine.exchange.info import AdapterInfo, record_of
    from advclip_gui.engine.files import write_json_atomic
    from advclip_gui.settings import BackboneSettings

    shutil.copytree(made, tmp_path / "own")
    backbone = BackboneSettings(name="local", checkpoint="weights.pt", architecture="ViT-B-16")
    info = AdapterInfo(backbone, ("cat", "dog"), ("a {}.",), "", None, "Own")
    write_json_atomic(tmp_path / "own" / "advclip.json", record_of(info, "peft"))
    done = program("adapters", "open", tmp_path / "own", "--checkpoint", tmp_path / "here.pt",
                   "--json", tmp_path / "x.json")  # fmt: skip
    assert done.status == 0, done.err
    assert read(tmp_path / "x.json")["backbone"]["checkpoint"] == str(tmp_path / "here.pt")
    assert program("adapters", "note", "Own").out == "There is no note.\n"
    assert program("adapters", "note", "Own", "from the stick").status == 0
    assert program("adapters", "note", "own").out == "from the stick\n"


def test_adapters_are_compared_with_each_other(
    program: Callable[..., Any], made: Path, tmp_path: Path
) -> None:
    shutil.copytree(made, tmp_path / "other")
    config = read(tmp_path / "other" / "adapter_config.json")
    (tmp_path / "other" / "adapter_config.json").write_text(json.dumps({**config, "r": 2}))
    program("adapters", "open", made, "--name", "First")
    program("adapters", "open", tmp_path / "other", "--name", "Second")
    done = program("runs", "diff", "first", "second", "--json", tmp_path / "x.json")
    assert done.status == 0, done.err
    told = {row["title"]: row["values"] for row in read(tmp_path / "x.json")["differences"]}
    assert told["Rank r"] == ["1", "2"]
    assert set(told) == {"Rank r", "Scaling"}
    assert "Not all of them tell the settings" in done.out
    assert program("runs", "diff", "first", "nothing").status == 1


def _cat() -> list[str]:
    return [str(next(iter(sorted((demo_folder() / "test" / "cat").glob("*.jpg")))))]


def test_an_empty_library_says_so(program: Callable[..., Any], tmp_path: Path) -> None:
    assert program("adapters", "list", "--root", tmp_path).out == "There are no adapters yet.\n"
