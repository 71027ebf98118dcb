"""The model card says what it must, is one card whatever names stand in it, and no file names a path."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors import safe_open

from advclip_gui.engine import adapters
from advclip_gui.engine.classifier import build_classifier
from advclip_gui.engine.control import Control
from advclip_gui.engine.exchange import onnx_classifier
from advclip_gui.engine.exchange.formats import FORMATS, INFO_FILE
from advclip_gui.engine.exchange.markdown import plain
from advclip_gui.engine.exchange.privacy import last_part, without_places
from advclip_gui.engine.export import adapter_info, export_adapter, loading_snippet
from advclip_gui.engine.files import write_json_atomic
from advclip_gui.engine.runs import RunFolder
from advclip_gui.settings import BackboneSettings, RunSettings
from tests.engine.exchange.conftest import load

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = (
    "cat", "golden_retriever", "<script>alert(1)</script>", "a|b", "two\nlines\n---\nlicense: mit\n---",
    "![x](http://e.org)", "`code` *bold* _thin_", "\u202egpj.exe", "# heading", "```\npython\n```",
)  # fmt: skip
DOUBT = (
    "The loss did not rise on images of /home/wilma7x/photos of mine/x.png (see C:\\Users\\wilma7x\\log.txt)."
)


def figures(n: int, clean: float, robust: float, **more: Any) -> dict[str, Any]:
    """As a run's result holds them."""
    return {
        "n": n,
        "epsilon": 2 / 255,
        "clean_accuracy": clean,
        "clean_interval": [clean - 0.02, clean + 0.02],
        "robust_accuracy": robust,
        "robust_interval": [robust - 0.03, robust + 0.03],
        "evaluation": {
            "label": "FGSM + PGD-10, an upper bound",
            "norm": "Linf",
            "epsilons": [{"robust_after_8bit": robust + 0.01, "interval_after_8bit": [0.1, 0.9],
                          "waterfall": {"FGSM": 0.6, "PGD-10": robust}, "confusion": [[1]]}],
            "warnings": [],
            "notes": [],
            "audit": {"norm_within": True, "inside_box": True, "attacked": 7},
            "provenance": {"attack": "quick", "tier": "quick", "steps": 10, "restarts": 1, "seed": 5,
                           "dtype": "float32", "device": "cuda", "device_name": "NVIDIA H100",
                           "torch": "2.13.0",
                           "images_sha256": "1" * 64, "split_digest": "2" * 64, "prompts": ["/home/wilma7x"],
                           "file": "/home/wilma7x/photos of mine/x.png"},
            **more,
        },
    }  # fmt: skip


@pytest.fixture
def hostile_run(new_clip_folder: Callable[..., BackboneSettings], tmp_path: Path) -> Path:
    """A run folder as training writes it, with names that would break a careless card."""
    backbone_settings = new_clip_folder()
    data = tmp_path / "home of wilma7x" / "C:\\Users\\wilma7x\\photos"  # one folder, called like a path
    data.mkdir(parents=True)
    settings = RunSettings.checked(
        {
            "name": 'My "run"\n---\nlicense: evil\n--- in ' + str(tmp_path / "home of wilma7x"),
            "data": {"folder": str(data), "classes": "base", "layout": "folders", "shots": 4, "seed": 7,
                     "split_file": str(tmp_path / "home of wilma7x" / "few.json"),
                     "templates": ["a {} of | <b>"], "skip": ["cabinet9/kx81.jpg"]},
            "backbone": backbone_settings.model_dump(),
            "lora": {"rank": 2, "layers": "up"},
            "training": {"seed": 11, "trades_beta": 6.0},
        }
    )  # fmt: skip
    run = RunFolder(tmp_path / "home of wilma7x" / "runs" / "20260101-run")
    sample = [{"path": f"train/{name}/{k}.jpg", "label": k % 10, "sha256": None} for k, name in
              enumerate([str(tmp_path)] * 40)]  # fmt: skip
    split = {"class_folders": ["x"], "class_names": list(NAMES), "notes": [str(tmp_path)], "digest": "d" * 64,
             "train": sample, "val": sample[:10], "test": sample[:25]}  # fmt: skip
    run.start(settings, device=f"CPU in {tmp_path}", split=split)
    backbone = load(backbone_settings)
    adapters.adapt(backbone, adapters.placement(backbone.model, settings.lora), seed=0)
    adapters.save_adapter(backbone, run.adapter_dir)
    run.write_result(
        {
            "protocol": "sound",
            "backbone_sha256": backbone.sha256,
            "zero_shot": figures(25, 0.6, 0.05, warnings=["Zero gradients."]),
            "adapter": figures(25, 0.8, 0.4, warnings=[DOUBT, f"See {data}."]),
            "path": str(tmp_path),
        }
    )
    environment = json.loads((run.path / "environment.json").read_text())
    write_json_atomic(run.path / "environment.json", {**environment, "cwd": str(tmp_path), "user": "wilma7x"})
    return run.path


def exported(run: Path, out: Path, kind: str = "peft", **more: Any) -> Path:
    return export_adapter(run, out, format=kind, **more)


def front_matter(card: str) -> tuple[dict[str, Any], str]:
    """As a hub reads it, with each value as the YAML that JSON is."""
    first, head, rest = card.split("---\n", 2)
    assert first == ""
    values = dict(line.split(": ", 1) for line in head.splitlines())
    return {key: json.loads(value) for key, value in values.items()}, rest


def test_the_card_says_everything_a_user_must_know(hostile_run: Path, tmp_path: Path) -> None:
    card = (exported(hostile_run, tmp_path / "out") / "README.md").read_text()
    for said in (
        # data
        "Images: photos, a folder for each class",
        "Classes: 10, the first half of the dataset's classes (base)",
        "Shots: 4 training and at most 1 validation images per class",
        "Split: loaded from the list few.json; 40 training, 10 validation, 25 test images",
        "Left out at the user's wish: 1 files",
        f"SHA-256 of the split (classes, paths and labels): {'d' * 64}",
        # classes and prompts
        "- Classes: cat, golden_retriever, ",
        r"- Prompts: a {} of \| \<b\>",
        # settings
        "LoRA: rank 2, alpha 1, both encoders, matrices q k v, layers up, scaling alpha / sqrt(r), ",
        "dropout 0.25 in training",
        "Adversary: per_sample, m = 2, epsilon 1/255, step size 0.5/255 (L-infinity, pixel units)",
        "Training: 2,000 steps, batch 32, learning rate 0.0002, weight decay 0.01, float32",
        "TRADES beta 6",
        "Seeds: split 7, training 11",
        "SHA-256 of the backbone's weights: ",
        # protocol and figures
        "protocol *sound*",
        "Protocol *sound*, L-infinity, epsilon in pixel units:",
        "robust accuracy (FGSM + PGD-10, an upper bound)",
        "| zero-shot | 25 | 2/255 (0.00784314) | 60.0 % (58.0 - 62.0) | 5.0 % (2.0 - 8.0) | 6.0 % (10.0 - ",
        "| this adapter | 25 | 2/255 (0.00784314) | 80.0 % (78.0 - 82.0) | 40.0 % (37.0 - 43.0) | 41.0 %",
        "Wilson 95 % intervals",
        "Attack tier: quick, so that every robust accuracy is an upper bound",
        "Attack: norm Linf, steps 10, restarts 1, seed 5, dtype float32, device cuda, NVIDIA H100, PyTorch 2",
        "Left right after each attack: FGSM 60.0 %, PGD-10 40.0 %",
        "Audit: no perturbation is longer than epsilon, every pixel stays in [0, 1]",
        f"test images (pixels): {'1' * 64}",
        "Doubt about zero-shot: Zero gradients.",
        r"Doubt about this adapter: The loss did not rise on images of photos of mine/x.png (see log.txt).",
        # versions, loading, limits
        "Trained with advclip_gui ",
        "## How to load it",
        "Robustness against other attacks or larger epsilons is not claimed.",
    ):  # fmt: skip
        assert said in card, said


def test_nobody_writes_into_the_card_but_the_program(hostile_run: Path, tmp_path: Path) -> None:
    card = (exported(hostile_run, tmp_path / "out") / "README.md").read_text()
    head, rest = front_matter(card)
    assert head.keys() == {"library_name", "tags"}
    assert not re.search(r"^---|^license", rest, re.MULTILINE)
    headings = [line for line in rest.splitlines() if line.startswith("#")]
    assert [line for line in headings if line.startswith("## ")] == [
        "## Data", "## Settings", "## Figures", "## Versions", "## How to load it", "## Limits",
    ]  # fmt: skip
    assert headings[0].startswith('# CLIP LoRA adapter: My "run" --- license: evil --- in ')
    outside = "".join(rest.split("```python")[::2])
    for raw in ("<script>", "[x](", " *bold*", "\u202e", "a|b", "\n# heading"):
        assert raw not in outside
    assert r"\<script\>alert(1)\</script\>" in outside
    assert rest.count("```") == 2  # one block of code: the program's own
    rows = [line for line in rest.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}


def test_the_classifier_keeps_the_names_that_the_card_cannot_show(hostile_run: Path, tmp_path: Path) -> None:
    out = exported(hostile_run, tmp_path / "out", "onnx")
    assert tuple(json.loads((out / "labels.json").read_text())["labels"]) == NAMES
    assert adapter_info(out).class_names == NAMES


@pytest.mark.parametrize("kind", [*(one.name for one in FORMATS), "with backbone", "large onnx"])
def test_no_file_of_any_format_names_a_place_of_this_machine(
    hostile_run: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes of every file, whatever is in them: tensors' headers, pickles, protocol buffers."""
    if kind == "large onnx":
        monkeypatch.setattr(onnx_classifier, "_MOST_BYTES", 1000)
    usual = kind in {one.name for one in FORMATS}
    out = exported(
        hostile_run, tmp_path / "out of it", kind if usual else "onnx" if "onnx" in kind else "peft",
        with_backbone=kind == "with backbone",
    )  # fmt: skip
    source = adapter_info(hostile_run)
    places = {
        str(tmp_path), "home of wilma7x", "wilma7x", "20260101-run", "cabinet9", "kx81",
        str(Path(source.backbone.checkpoint).parent), Path(source.backbone.checkpoint).parent.name,
        str(Path(torch.__file__).parent.parent), str(Path(__file__).parents[3]), "out of it", ".part",
        *({str(Path.home())} if len(Path.home().parts) > 2 else ()),
    }  # fmt: skip
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) >= 3
    # In C:\Users\wilma7x\photos the last part is the folder's name on every system.
    told = json.loads((out / INFO_FILE).read_text())
    assert told["settings"]["data"]["folder"] == "photos"
    for path in files:
        content = path.read_bytes()
        for place in places:
            for encoding in ("utf-8", "utf-16-le"):
                spelt = json.dumps(place)[1:-1] if path.suffix == ".json" else place
                assert spelt.encode(encoding) not in content, (path.name, place)
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as tensors:
                assert tensors.metadata() == {"format": "pt"}


def test_an_export_of_an_export_says_the_same(hostile_run: Path, tmp_path: Path) -> None:
    first = exported(hostile_run, tmp_path / "first")
    second = exported(first, tmp_path / "second")
    assert (first / "README.md").read_text() == (second / "README.md").read_text()
    assert (first / INFO_FILE).read_text() == (second / INFO_FILE).read_text()


def test_a_record_that_somebody_else_wrote_is_not_believed(hostile_run: Path, tmp_path: Path) -> None:
    """Its figures, facts and versions pass into the next card as far as they are such."""
    first = exported(hostile_run, tmp_path / "first")
    record = json.loads((first / INFO_FILE).read_text())
    record["data"] = {
        "classes": "many",
        "name": ["x"],
        "digest": 5,
        "train": {"a": 1},
        "home": "/home/wilma7x",
    }
    record["figures"]["adapter"] |= {
        "clean_interval": ["a", None],
        "waterfall": 3,
        "secret": "/home/wilma7x",
    }
    record["figures"]["adapter"]["provenance"] = ["/home/wilma7x"]
    record["environment"] = {"packages": [1], "cwd": "/home/wilma7x"}
    record["architecture"] = '")\nimport os; os.system("touch owned") #'
    record["base"] = 'x")\nimport os #'
    (first / INFO_FILE).write_text(json.dumps(record))
    config = json.loads((first / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = 'x")\nimport os; os.system("touch owned") #'
    (first / "adapter_config.json").write_text(json.dumps(config))
    lines = loading_snippet(first)
    assert 'CLIPModel.from_pretrained("x\\")\\nimport os; os.system(\\"touch owned\\") #")' in lines
    compile(lines, "snippet", "exec")
    second = exported(first, tmp_path / "second")
    for path in second.iterdir():
        assert b"wilma7x" not in path.read_bytes()
        assert b"touch owned" not in path.read_bytes()
    assert "80.0 % |" in (second / "README.md").read_text()


def test_the_base_of_published_weights_stands_where_hubs_look_for_it(
    tmp_path: Path, hostile_run: Path
) -> None:
    first = exported(hostile_run, tmp_path / "first")
    record = json.loads((first / INFO_FILE).read_text())
    record["backbone"] = {"name": "ViT-B-16", "weights": "openai"}
    (first / INFO_FILE).write_text(json.dumps(record))
    out = exported(first, tmp_path / "second")
    head, rest = front_matter((out / "README.md").read_text())
    assert head["base_model"] == "openai/clip-vit-base-patch16"
    assert 'CLIPModel.from_pretrained("openai/clip-vit-base-patch16")' in rest
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "openai/clip-vit-base-patch16"


def test_weights_other_than_those_of_the_training_are_said(hostile_run: Path, tmp_path: Path) -> None:
    info = adapter_info(hostile_run)
    other = shutil.copytree(info.backbone.checkpoint, tmp_path / "other")
    backbone = load(info.backbone)
    from safetensors.torch import load_file, save_file

    weights = load_file(other / "open_clip_model.safetensors")
    weights["logit_scale"] += 0.1
    save_file(weights, other / "open_clip_model.safetensors")
    out = exported(hostile_run, tmp_path / "out", "open-clip", checkpoint=str(other))
    assert "another SHA-256 than it was trained on" in (out / "README.md").read_text()
    assert build_classifier(backbone, NAMES[:1], ("{}",)) is not None
    same = exported(hostile_run, tmp_path / "same", "open-clip")
    assert "another SHA-256" not in (same / "README.md").read_text()


@pytest.mark.parametrize(
    ("path", "name"),
    [("/home/me/photos", "photos"), ("C:\\Users\\me\\my photos\\", "my photos"), ("\\\\host\\share", "share"),
     ("C:\\", ""), ("/", ""), ("~/x", "x"), ("..", ""), ("demo", "demo"), ("a/b\\c", "c"), ("", "")],
)  # fmt: skip
def test_the_last_part_of_paths_of_every_system(path: str, name: str) -> None:
    assert last_part(path) == name


def test_paths_leave_sentences_and_nothing_else_does() -> None:
    told = {
        "PGD at 4/255 and/or 8/255": "PGD at 4/255 and/or 8/255",
        "read '/a/b c'": "read '…'",
        "read /a/b c/d/e.txt.": "read e.txt.",
        "(file:///tmp/x.png)": "(x.png)",
        "at C:/Users/x/y.png, twice": "at y.png, twice",
        "~/cabinet9/z": "z",
    }
    for sentence, expected in told.items():
        assert without_places(sentence, {"/a/b c"}) == expected
    assert without_places([1, None, {"k": "/a/b"}]) == [1, None, {"k": "b"}]
    assert plain("a\x00b\ud800c " + "x" * 999).startswith("a b c xxx")
    assert len(plain("x" * 999)) == 500
    assert Control  # the fixtures' own
