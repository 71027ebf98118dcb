"""The ONNX classifier: the app's logits in ONNX Runtime, a script that needs no PyTorch, honest failures."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from advclip_gui.engine.control import Control
from advclip_gui.engine.errors import CheckpointError, UserError
from advclip_gui.engine.exchange import onnx_classifier
from advclip_gui.engine.exchange.formats import format_entry
from advclip_gui.engine.export import export_adapter, load_classifier, loading_snippet
from advclip_gui.engine.model_input import model_pixels
from tests.engine.exchange.conftest import NAMES, Adapted

if TYPE_CHECKING:
    from collections.abc import Callable

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


def test_logits_and_features_are_the_apps_for_any_number_of_images(sample: Adapted, tmp_path: Path) -> None:
    out = export_adapter(sample.folder, tmp_path / "out", format="onnx")
    model = onnxruntime.InferenceSession(str(out / "classifier.onnx"), providers=["CPUExecutionProvider"])
    (given,) = model.get_inputs()
    assert (given.name, given.shape[1:], given.type) == ("pixels", [3, 16, 16], "tensor(float)")
    for count in (1, 2, 3):
        pixels = sample.pixels[:count].numpy()
        logits, features = model.run(["logits", "features"], {"pixels": pixels})
        np.testing.assert_allclose(logits, sample.logits[:count], atol=1e-3)
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    text, about = np.load(out / "text_features.npy"), json.loads((out / "labels.json").read_text())
    assert text.shape == (3, 16)
    assert about["labels"] == list(NAMES)
    np.testing.assert_allclose(about["logit_scale"] * features @ text.T, logits, atol=1e-3)
    assert "Checked in ONNX Runtime: logits differ" in (out / "README.md").read_text()
    names: dict[str, object] = {}
    exec(loading_snippet(out), names)
    assert names["model"].get_inputs()[0].name == "pixels"  # type: ignore[attr-defined]


def predict(out: Path, *images: Path) -> list[dict[str, float]]:
    """Class to per cent for each image, as the script of an exported folder prints them."""
    # Nothing of torch or of this program may be imported.
    guard = "import sys, runpy; sys.modules['torch'] = sys.modules['advclip_gui'] = None; "
    words = ["predict.py", *map(str, images)]
    run = guard + f"sys.argv = {words!r}; runpy.run_path({str(out / 'predict.py')!r})"
    done = subprocess.run(
        [sys.executable, "-c", run], cwd=out.parent, check=True, capture_output=True, text=True, timeout=120
    )
    said: list[dict[str, float]] = []
    for line in done.stdout.splitlines():
        found = re.fullmatch(r"\s*([\d.]+) %  (.+)", line)
        if found is None:
            said.append({})
        else:
            said[-1][found[2]] = float(found[1])
    return said


def hard_images(folder: Path, photo: np.ndarray) -> list[Path]:
    """Transparency, palettes, 16 bits, EXIF, CMYK: each told apart wrongly would be another picture."""
    folder.mkdir()
    picture = Image.fromarray(photo).resize((61, 40))
    ramp = np.linspace(0, 255, 61 * 40).reshape(40, 61).astype(np.uint8)
    clear = Image.merge("RGBA", (*picture.split(), Image.fromarray(ramp)))
    made: dict[str, tuple[Image.Image, dict[str, object]]] = {
        "plain.png": (picture, {}),
        "clear.png": (clear, {}),
        "grey and clear.png": (clear.convert("LA"), {}),
        "palette.png": (picture.quantize(16), {"transparency": bytes([0, 60, 255, 0] * 4)}),
        "one colour clear.png": (picture.quantize(8), {"transparency": 3}),
        "rgb with a clear colour.png": (picture.quantize(4).convert("RGB"), {"transparency": None}),
        "16 bits.png": (Image.fromarray(ramp.astype(np.uint16) * 257 + 113), {}),
        "bilevel.png": (picture.convert("1"), {}),
        "cmyk.jpg": (picture.convert("CMYK"), {"quality": 95}),
        "float.tiff": (Image.fromarray(ramp.astype(np.float32) / 255), {}),
        "float to 255.tiff": (Image.fromarray(ramp.astype(np.float32)), {}),
        "animated.gif": (picture.quantize(32), {"save_all": True, "append_images": [picture.quantize(2)]}),
    }
    for turn in (3, 5, 6):
        exif = Image.Exif()
        exif[0x0112] = turn
        made[f"turned {turn}.jpg"] = (picture, {"exif": exif, "quality": 95})
        made[f"turned {turn}.tiff"] = (picture, {"exif": exif})
    paths = []
    for name, (image, options) in made.items():
        if options.get("transparency", 0) is None:
            options = {"transparency": image.getpixel((0, 0))}
        image.save(folder / name, **options)
        paths.append(folder / name)
    return paths


def test_the_script_says_what_the_app_says_of_every_kind_of_image(
    sample: Adapted, tmp_path: Path, photo: np.ndarray
) -> None:
    out = export_adapter(sample.folder, tmp_path / "out", format="onnx")
    paths = hard_images(tmp_path / "images", photo)
    classifier = load_classifier(sample.folder, control=Control(), checkpoint=sample.backbone.checkpoint)
    answers = []
    for path, said in zip(paths, predict(out, *paths), strict=True):
        pixels = torch.from_numpy(model_pixels(path, classifier)).permute(2, 0, 1)[None].float() / 255
        shares = 100 * classifier(pixels).softmax(-1)[0]
        answers.append(shares)
        assert list(said) == [NAMES[k] for k in shares.argsort(descending=True).tolist()], path.name
        for name, share in zip(NAMES, shares.tolist(), strict=True):
            assert said[name] == pytest.approx(share, abs=0.1), path.name
    # They are different pictures: a script that drops transparency or a turn would be found out.
    plain = answers[0]
    assert sum(bool((other - plain).abs().max() > 0.2) for other in answers) >= len(paths) - 2


def test_the_script_is_short(sample: Adapted, tmp_path: Path) -> None:
    out = export_adapter(sample.folder, tmp_path / "out", format="onnx")
    lines = (out / "predict.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 30
    assert max(map(len, lines)) <= 110


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
def test_the_script_resizes_as_the_app_does(
    new_clip_folder: Callable[..., object], tmp_path: Path, photo: np.ndarray, mode: str
) -> None:
    from advclip_gui.settings import LoraSettings
    from tests.engine.exchange.conftest import adapted

    settings = new_clip_folder()
    config = Path(settings.checkpoint) / "open_clip_config.json"  # type: ignore[attr-defined]
    told = json.loads(config.read_text())
    told["preprocess_cfg"]["resize_mode"] = mode
    config.write_text(json.dumps(told))
    sample = adapted(settings, tmp_path / "adapter", LoraSettings())  # type: ignore[arg-type]
    out = export_adapter(sample.folder, tmp_path / "out", format="onnx")
    image = tmp_path / "a photo.png"
    Image.fromarray(photo).resize((61, 40)).save(image)
    (said,) = predict(out, image)
    classifier = load_classifier(sample.folder, control=Control(), device="cpu")
    pixels = torch.from_numpy(model_pixels(image, classifier)).permute(2, 0, 1)[None].float() / 255
    shares = 100 * classifier(pixels).softmax(-1)[0]
    assert list(said) == [NAMES[k] for k in shares.argsort(descending=True).tolist()]
    for name, share in zip(NAMES, shares.tolist(), strict=True):
        assert said[name] == pytest.approx(share, abs=0.02)


def test_a_wrong_answer_ends_the_export_and_leaves_nothing(
    sample: Adapted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong in (0.01, float("nan")):
        monkeypatch.setattr(onnx_classifier, "largest_difference", lambda *_, wrong=wrong: wrong)
        with pytest.raises(CheckpointError, match="answers differently"):
            export_adapter(sample.folder, tmp_path / "out", format="onnx")
        assert not (tmp_path / "out").exists()


def test_the_check_sees_a_model_of_another_adapter(sample: Adapted, tmp_path: Path) -> None:
    out = export_adapter(sample.folder, tmp_path / "out", format="onnx")
    classifier = load_classifier(sample.folder, control=Control(), device="cpu")
    assert onnx_classifier.largest_difference(classifier, out / "classifier.onnx") < 1e-3
    classifier.mean += 0.1
    assert onnx_classifier.largest_difference(classifier, out / "classifier.onnx") > 1e-3
    (out / "classifier.onnx").write_bytes(b"no model")
    with pytest.raises(CheckpointError, match="ONNX Runtime cannot run"):
        onnx_classifier.largest_difference(classifier, out / "classifier.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_before_anything_is_loaded(
    sample: Adapted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=f"needs the package '{package}'.*pip install"):
        export_adapter(sample.folder, tmp_path / "out", format="onnx")
    assert not (tmp_path / "out").exists()


def test_a_tower_too_large_for_one_file_has_its_weights_beside_it(
    sample: Adapted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: np.ndarray
) -> None:
    import onnx

    out = export_adapter(sample.folder, tmp_path / "out", format="onnx")
    whole = (out / "classifier.onnx").stat().st_size
    Image.fromarray(photo).save(tmp_path / "photo.png")
    said = predict(out, tmp_path / "photo.png")
    monkeypatch.setattr(onnx_classifier, "_MOST_BYTES", 1000)
    export_adapter(sample.folder, out, format="onnx")
    files = {path.name for path in out.iterdir()}
    assert files == {*format_entry("onnx").files, "classifier.onnx.data", "advclip.json", "README.md"}
    assert (out / "classifier.onnx").stat().st_size < whole / 2
    assert (out / "classifier.onnx.data").stat().st_size > whole / 2
    named = {
        entry.value
        for tensor in onnx.load(out / "classifier.onnx", load_external_data=False).graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    assert named == {"classifier.onnx.data"}
    assert "`classifier.onnx.data`" in (out / "README.md").read_text()
    moved = out.rename(tmp_path / "somewhere else")  # found beside the model, wherever that is
    assert predict(moved, tmp_path / "photo.png") == said
    model = onnxruntime.InferenceSession(str(moved / "classifier.onnx"), providers=["CPUExecutionProvider"])
    logits = model.run(["logits"], {"pixels": sample.pixels.numpy()})[0]
    np.testing.assert_allclose(logits, sample.logits, atol=1e-3)
    monkeypatch.undo()
    export_adapter(sample.folder, moved, format="onnx")
    assert not (moved / "classifier.onnx.data").exists()


def test_long_sequences_take_the_fused_attention_and_are_exported_as_well(tmp_path: Path) -> None:
    """Beyond 300 tokens, as at 336 pixels, attention is computed another way."""
    from types import SimpleNamespace

    from open_clip.model import CLIP

    from advclip_gui.engine.attention import split_attention
    from advclip_gui.engine.classifier import ClipClassifier
    from advclip_gui.engine.streamline import streamline
    from tests.engine.conftest import TINY

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CLIP(**{**TINY, "vision_cfg": {**TINY["vision_cfg"], "image_size": 144}})
        model.eval().requires_grad_(False)
        text = torch.nn.functional.normalize(torch.randn(2, 16), dim=-1)
    split_attention(model)
    streamline(model)
    backbone = SimpleNamespace(
        model=model, image_size=144, interpolation="bicubic", resize_mode="shortest", mean=(0.5,) * 3,
        std=(0.5,) * 3, device=torch.device("cpu"),
    )  # fmt: skip
    classifier = ClipClassifier(backbone, ("cat", "dog"), text).eval()  # type: ignore[arg-type]
    assert onnx_classifier.write_onnx(classifier, tmp_path, ("{}",), Control()) < 1e-3
