"""Images that had a part in a training are told, under whatever name they are evaluated."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.datasets.sampling import Sample, Split, split_to_json
from advclip_gui.engine.exchange.formats import INFO_FILE
from advclip_gui.engine.exchange.info import adapter_info
from advclip_gui.engine.files import write_json_atomic
from advclip_gui.engine.model_ref import ModelRef
from advclip_gui.engine.seen_images import images_behind, with_seen_images
from advclip_gui.settings import BackboneSettings, RunSettings
from tests.engine.test_report import made_up

if TYPE_CHECKING:
    from pathlib import Path

PATHS = {"train": ("a/1.png", "b/1.png"), "val": ("a/2.png",), "test": ("a/3.png", "b/3.png")}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    values = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    for path, pixels in zip([path for paths in PATHS.values() for path in paths], values, strict=True):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / path)
    return root


@pytest.fixture
def run(tmp_path: Path, photos: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "clip-lora").mkdir(parents=True)
    (folder / "settings.toml").write_text(RunSettings().to_toml(), encoding="utf-8")
    parts = {
        part: tuple(Sample(path, "ab".index(path[0])) for path in paths) for part, paths in PATHS.items()
    }
    split = split_to_json(Split(**parts, class_folders=("a", "b")), photos)
    write_json_atomic(folder / "split.json", {**split, "class_names": ["a", "b"]})
    return folder


def sentences(folder: Path | None, root: Path, *paths: str) -> list[str]:
    kind = "zero_shot" if folder is None else "adapter"
    ref = ModelRef(kind, BackboneSettings(), "" if folder is None else str(folder))
    samples = [Sample(path, 0) for path in paths]
    found = with_seen_images(made_up("model"), ref, root, samples, Control())
    return [finding.sentence for finding in found.findings if finding.kind == "seen_images"]


def test_images_of_the_training_are_counted(run: Path, photos: Path) -> None:
    (told,) = sentences(run, photos, *PATHS["train"], *PATHS["test"])
    assert told.startswith("2 of the 4 images were among those the adapter was trained on:")
    (told,) = sentences(run, photos, *PATHS["val"], *PATHS["test"])
    assert told.startswith("1 of the 3 images was among its validation images")
    (told,) = sentences(run, photos, *PATHS["train"], *PATHS["val"])
    assert "2 of the 3 images were among" in told
    assert ", and 1 was among its validation images" in told


def test_a_copy_under_another_name_is_the_same_image(run: Path, photos: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(photos / "b/1.png", other / "new.png")
    assert sentences(run, other, "new.png")[0].startswith("1 of the 1 images was among")


def test_both_adapters_of_a_run_have_seen_them(run: Path, photos: Path) -> None:
    assert sentences(run / "clip-lora", photos, "a/1.png")


def test_an_exported_adapter_keeps_the_hashes_and_no_path(run: Path, photos: Path, tmp_path: Path) -> None:
    known = adapter_info(run)
    record = {
        "backbone": known.backbone.model_dump(mode="json"),
        "class_names": known.class_names,
        "templates": known.templates,
        "data": known.data,
    }
    exported = tmp_path / "exported"
    exported.mkdir()
    write_json_atomic(exported / INFO_FILE, record)
    assert "1.png" not in (exported / INFO_FILE).read_text(encoding="utf-8")
    (told,) = sentences(exported, photos, *PATHS["train"], *PATHS["val"], *PATHS["test"])
    assert "2 of the 5 images were among" in told
    assert ", and 1 was among its validation images" in told
    images = {"train": ["../secret", 5, *known.data["images"]["train"]], "test": ["x"]}
    write_json_atomic(exported / INFO_FILE, {**record, "data": {"images": images}})
    behind = images_behind(ModelRef("adapter", BackboneSettings(), str(exported)))
    assert behind is not None
    assert behind.trained == frozenset(known.data["images"]["train"])
    assert not behind.chose


def test_nothing_is_said_without_reason(run: Path, photos: Path, tmp_path: Path) -> None:
    assert not sentences(run, photos, *PATHS["test"])
    assert not sentences(None, photos, *PATHS["train"])
    assert not sentences(tmp_path, photos, *PATHS["train"])
    assert not sentences(run, photos, "a/missing.png")
    (run / "split.json").write_text(
        '{"train": 3, "val": [{"sha256": 5}, "x"], "class_names": ["a"]}', encoding="utf-8"
    )
    assert not sentences(run, photos, *PATHS["train"])
    assert images_behind(ModelRef("live", BackboneSettings(), str(run))) is None


def test_it_can_be_cancelled(run: Path, photos: Path) -> None:
    control = Control()
    control.cancel()
    ref = ModelRef("adapter", BackboneSettings(), str(run))
    with pytest.raises(Cancelled):
        with_seen_images(made_up("model"), ref, photos, [Sample("a/1.png", 0)], control)
