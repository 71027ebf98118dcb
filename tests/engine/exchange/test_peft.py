"""peft folders: every placement on a `CLIPModel` of random weights, the fields of its configuration."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from itertools import combinations, cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
import torch
from safetensors.torch import load_file, safe_open, save_file

from advclip_gui.engine import adapters
from advclip_gui.engine.control import Control
from advclip_gui.engine.errors import BackboneError, CheckpointError, StorageError
from advclip_gui.engine.exchange.formats import FORMATS
from advclip_gui.engine.exchange.hugging_face_folder import clip_config
from advclip_gui.engine.exchange.offer import possible_formats
from advclip_gui.engine.export import export_adapter, load_classifier, loading_snippet
from advclip_gui.settings import BackboneSettings, LoraSettings
from advclip_gui.settings.lora import NamedLayers
from tests.engine.conftest import TINY
from tests.engine.exchange.conftest import Adapted, adapted

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

DEEP: dict[str, Any] = {
    **TINY,
    "vision_cfg": {**TINY["vision_cfg"], "layers": 12},
    "text_cfg": {**TINY["text_cfg"], "layers": 9},
}
"""As deep as ViT-B, where every named part of a tower is another; the text tower of another depth."""


def placements() -> list[Any]:
    """Every subset of q, k, v, o and every named part, in all encoders, under both activations."""
    subsets = [chosen for size in (1, 2, 3, 4) for chosen in combinations("qkvo", size)]
    subsets += [("mlp",), ("q", "mlp"), ("o", "mlp"), ("v", "mlp"), ("k", "o", "mlp"), (*"qkvo", "mlp")]
    parts, towers = cycle(get_args(NamedLayers)), cycle(("both", "vision", "text"))
    ranks, alphas = cycle((1, 2, 3, 5, 16)), cycle((1.0, 0.5, 4.0, 2.5))
    found = []
    for number, matrices in enumerate(subsets):
        part, tower = next(parts), next(towers)
        lora = {"rank": next(ranks), "alpha": next(alphas), "encoder": tower, "layers": part}
        name = f"{part}, {tower}, {''.join(matrices)}, {'quick' if number % 2 else 'gelu'}"
        found.append(pytest.param({**lora, "matrices": matrices}, bool(number % 2), id=name))
    return found


@pytest.fixture(scope="module")
def deep(new_clip_folder: Callable[..., BackboneSettings]) -> Callable[[bool], tuple[BackboneSettings, Any]]:
    """The backbone on disk, and transformers' model with the same weights; made once for an activation."""
    from transformers import CLIPConfig, CLIPModel

    from advclip_gui.engine.hugging_face_names import from_open_clip

    @cache
    def make(quick: bool) -> tuple[BackboneSettings, Any]:
        settings = new_clip_folder(**DEEP, quick_gelu=quick)
        model = CLIPModel(CLIPConfig(**clip_config({**DEEP, "quick_gelu": quick}))).eval()
        weights = load_file(Path(settings.checkpoint) / "open_clip_model.safetensors")
        model.load_state_dict(from_open_clip(weights))
        return settings, model

    return make


def test_all_named_parts_and_towers_are_tried_under_both_activations() -> None:
    tried = [(one.values[0], one.values[1]) for one in placements()]
    for quick in (False, True):
        assert {lora["encoder"] for lora, given in tried if given == quick} == {"both", "vision", "text"}
        assert {lora["layers"] for lora, given in tried if given == quick} == set(get_args(NamedLayers))


@pytest.mark.parametrize(("lora", "quick"), placements())
def test_peft_on_transformers_answers_as_the_app(
    deep: Callable[[bool], Any], tmp_path: Path, lora: dict[str, Any], quick: bool
) -> None:
    from peft import PeftModel

    settings, plain = deep(quick)
    sample = adapted(settings, tmp_path / "adapter", LoraSettings(**lora))
    out = export_adapter(sample.folder, tmp_path / "out")
    loaded = PeftModel.from_pretrained(plain, str(out))
    try:
        torch.testing.assert_close(with_transformers(loaded, sample), sample.logits, atol=1e-4, rtol=0)
    finally:
        loaded.unload()
    # Without the adapter the same model says something else, so that the line above could fail.
    torch.testing.assert_close(with_transformers(plain, sample), sample.zero_shot, atol=1e-4, rtol=0)


def with_transformers(model: Any, sample: Adapted) -> torch.Tensor:
    with torch.no_grad():
        answer = model(input_ids=sample.tokens, pixel_values=sample.normalised)
    return sample.compared(answer.image_embeds, answer.text_embeds, model.logit_scale)


def test_the_configuration_has_every_field_of_the_installed_peft(sample: Adapted, tmp_path: Path) -> None:
    import peft

    out = export_adapter(sample.folder, tmp_path / "out")
    config = json.loads((out / "adapter_config.json").read_text())
    fields = {field.name for field in dataclasses.fields(peft.LoraConfig)} - {"runtime_config"}
    assert fields <= config.keys()
    assert peft.LoraConfig.from_pretrained(str(out)).use_rslora is True
    assert config["peft_type"] == "LORA"
    assert config["inference_mode"] is True
    assert all(isinstance(target, str) for target in config["target_modules"])


def test_three_lines_load_it_with_the_backbone_beside_it(sample: Adapted, tmp_path: Path) -> None:
    """For backbones that transformers has no repository of, such as the bundled one."""
    out = export_adapter(sample.folder, tmp_path / "out", with_backbone=True)
    names: dict[str, Any] = {}
    exec(loading_snippet(out), names)
    assert "PeftModel.from_pretrained(base, folder)" in loading_snippet(out)
    logits = with_transformers(names["model"].eval(), sample)
    torch.testing.assert_close(logits, sample.logits, atol=1e-4, rtol=0)
    assert "`adapter_model.safetensors`, `backbone`" in (out / "README.md").read_text()
    classifier = load_classifier(out, control=Control(), device="cpu")  # finds it there, too
    torch.testing.assert_close(classifier(sample.pixels), sample.logits, atol=1e-4, rtol=0)
    again = export_adapter(sample.folder, out)  # without it: the folder goes
    assert not (again / "backbone").exists()


def test_a_folder_called_backbone_with_other_files_is_left_alone(sample: Adapted, tmp_path: Path) -> None:
    out = export_adapter(sample.folder, tmp_path / "out", with_backbone=True)
    (out / "backbone" / "thesis.tex").write_text("precious")
    with pytest.raises(StorageError, match="backbone holds other files"):
        export_adapter(sample.folder, out)
    assert (out / "backbone" / "thesis.tex").read_text() == "precious"


def test_without_a_repository_the_lines_name_the_weights_and_run(sample: Adapted, tmp_path: Path) -> None:
    """In the folder by name alone; here, where they are to run, by their path."""
    out = export_adapter(sample.folder, tmp_path / "out")
    assert 'weights = "path/to/tiny-clip"' in (out / "README.md").read_text()
    names: dict[str, Any] = {}
    exec(loading_snippet(out, sample.backbone.checkpoint), names)
    torch.testing.assert_close(names["classifier"](sample.pixels), sample.logits, atol=1e-5, rtol=0)


def test_further_words_in_a_safetensors_header_stay_here(sample: Adapted, tmp_path: Path) -> None:
    path = sample.folder / adapters.WEIGHTS_FILE
    tensors = load_file(path)
    save_file(tensors, path, metadata={"format": "pt", "made_in": "/home/of/user"})
    out = export_adapter(sample.folder, tmp_path / "out")
    with safe_open(out / adapters.WEIGHTS_FILE, "pt") as written:
        assert written.metadata() == {"format": "pt"}
    assert load_file(out / adapters.WEIGHTS_FILE).keys() == tensors.keys()


# --- backbones that CLIPModel cannot hold -----------------------------------------------------

SIGLIP: dict[str, Any] = {
    "embed_dim": 64,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {"image_size": 160, "timm_model_name": "test_vit",
                   "timm_model_pretrained": False, "timm_pool": "avg", "timm_proj": "linear"},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1,
                 "no_causal_mask": True, "pool_type": "last"},
}  # fmt: skip


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    """A SigLIP-like pair of towers: timm's image tower, a text tower without a mask, a logit bias."""
    from open_clip.model import CustomTextCLIP

    folder = tmp_path_factory.mktemp("siglip") / "tiny-siglip"
    folder.mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CustomTextCLIP(**{key: value for key, value in SIGLIP.items() if key != "custom_text"})
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    config = {"model_cfg": SIGLIP, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    settings = BackboneSettings(name="local", checkpoint=str(folder))
    return adapted(
        settings, folder.parent / "adapter", LoraSettings(matrices=("q", "v"), encoder="both"), 224
    )


@pytest.mark.parametrize("kind", ["hugging-face", "clip-lora"])
def test_other_towers_are_refused_before_anything_is_written(
    siglip: Adapted, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from advclip_gui.engine import export
    from advclip_gui.engine.exchange import merged

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("weights were loaded")

    for module in (merged, export):
        monkeypatch.setattr(module, "load_backbone", never)
    with pytest.raises(CheckpointError) as caught:
        export_adapter(siglip.folder, tmp_path / "out", format=kind)
    assert "Export" in caught.value.hint  # what works instead
    with pytest.raises(CheckpointError, match="CLIPModel cannot hold"):
        export_adapter(siglip.folder, tmp_path / "out", with_backbone=True)
    assert list(tmp_path.iterdir()) == []


def test_what_holds_other_towers_is_offered_and_works(siglip: Adapted, tmp_path: Path) -> None:
    import open_clip

    possible = possible_formats(siglip.folder)
    assert {name for name, why in possible.items() if not why} == {"peft", "open-clip", "onnx"}
    assert "CLIPModel cannot hold" in possible["hugging-face"]
    assert "plain CLIPs" in possible["clip-lora"]
    out = export_adapter(siglip.folder, tmp_path / "peft")
    card = (out / "README.md").read_text()
    assert "transformers' CLIPModel cannot hold this backbone: advclip_gui loads the adapter." in card
    assert "CLIPModel.from_pretrained" not in card
    names: dict[str, Any] = {}
    exec(loading_snippet(out, siglip.backbone.checkpoint), names)
    torch.testing.assert_close(names["classifier"](siglip.pixels), siglip.logits, atol=1e-5, rtol=0)
    out = export_adapter(siglip.folder, tmp_path / "whole", format="open-clip")
    model = open_clip.create_model(f"local-dir:{out}").eval()
    with torch.no_grad():
        image, text = model.encode_image(siglip.normalised), model.encode_text(siglip.tokens)
        logits = siglip.compared(image, text, model.logit_scale)
    torch.testing.assert_close(logits, siglip.logits, atol=1e-4, rtol=1e-5)
    export_adapter(siglip.folder, tmp_path / "onnx", format="onnx")  # is run and compared there


def test_a_plain_clip_offers_every_format_and_says_what_is_missing(sample: Adapted, tmp_path: Path) -> None:
    assert set(possible_formats(sample.folder).values()) == {""}
    out = export_adapter(sample.folder, tmp_path / "out")
    moved = possible_formats(out)  # it names no path: the weights cannot be found from there
    assert moved["peft"] == ""
    assert all(moved[one.name] for one in FORMATS if one.whole)
    assert set(possible_formats(out, checkpoint=sample.backbone.checkpoint).values()) == {""}
    with pytest.raises(BackboneError, match="tiny-clip"):  # not taken for a ViT-B-32, the settings' usual one
        export_adapter(out, tmp_path / "no", format="clip-lora")
    with pytest.raises(CheckpointError, match="no adapter"):
        possible_formats(tmp_path)
