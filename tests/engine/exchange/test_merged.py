"""Whole models with the adapter folded in: open_clip and transformers answer as the app does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file

from advclip_gui.engine import adapters
from advclip_gui.engine.classifier import build_classifier
from advclip_gui.engine.control import Control
from advclip_gui.engine.errors import BackboneError, CheckpointError
from advclip_gui.engine.exchange.formats import FORMATS, format_entry
from advclip_gui.engine.exchange.hugging_face_folder import clip_config
from advclip_gui.engine.exchange.merged import fold_in, merge
from advclip_gui.engine.export import adapter_info, export_adapter, load_classifier, loading_snippet
from advclip_gui.settings import BackboneSettings, LoraSettings
from tests.engine.exchange.conftest import NAMES, Adapted, adapted

if TYPE_CHECKING:
    from collections.abc import Callable

PLACEMENTS = {
    "both, qkvo": LoraSettings(rank=3, matrices=("q", "k", "v", "o")),
    "text alone": LoraSettings(rank=2, alpha=3, encoder="text"),
    "vision with MLP": LoraSettings(rank=4, encoder="vision", matrices=("v", "mlp")),
    "upper part": LoraSettings(rank=1, layers="up", matrices=("q", "mlp")),
    "numbers": LoraSettings(rank=5, layers=(0, 2), matrices=("o",)),
}
every_placement = pytest.mark.parametrize("lora", PLACEMENTS.values(), ids=PLACEMENTS.keys())
ignores_peft = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def with_transformers(model: Any, sample: Adapted) -> torch.Tensor:
    with torch.no_grad():
        answer = model(input_ids=sample.tokens, pixel_values=sample.normalised)
    return sample.compared(answer.image_embeds, answer.text_embeds, model.logit_scale)


@every_placement
def test_open_clip_loads_the_merged_model(on_tiny: Callable[..., Adapted], tmp_path: Path, lora) -> None:
    import open_clip

    sample = on_tiny(lora)
    out = export_adapter(sample.folder, tmp_path / "out", format="open-clip")
    model = open_clip.create_model(f"local-dir:{out}").eval()
    with torch.no_grad():
        image, text = model.encode_image(sample.normalised), model.encode_text(sample.tokens)
        logits = sample.compared(image, text, model.logit_scale)
    torch.testing.assert_close(logits, sample.logits, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("quick", [False, True])
def test_open_clip_loads_it_by_the_architecture_name_on_the_card(
    new_clip_folder: Callable[..., BackboneSettings], tmp_path: Path, monkeypatch, quick: bool
) -> None:
    """A name that open_clip lists, with the activation in it, and the file as `pretrained`."""
    import open_clip

    from advclip_gui.engine import blueprint
    from tests.engine.conftest import TINY

    config = {**TINY, "quick_gelu": True} if quick else TINY
    name = "ViT-tiny-quickgelu" if quick else "ViT-tiny"
    (tmp_path / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / f"{name}.json")
    monkeypatch.setattr(blueprint, "architecture_of", lambda given: name if given == config else "")
    monkeypatch.setattr("advclip_gui.engine.export.architecture_of", blueprint.architecture_of)
    sample = adapted(new_clip_folder(**config), tmp_path / "adapter", LoraSettings())
    out = export_adapter(sample.folder, tmp_path / "out", format="open-clip")
    assert f"`{name}` in open_clip, activation included" in (out / "README.md").read_text()
    assert f'create_model("{name}"' in loading_snippet(out)
    model = open_clip.create_model(name, pretrained=str(out / "open_clip_model.safetensors")).eval()
    with torch.no_grad():
        image, text = model.encode_image(sample.normalised), model.encode_text(sample.tokens)
        logits = sample.compared(image, text, model.logit_scale)
    torch.testing.assert_close(logits, sample.logits, atol=1e-5, rtol=1e-6)


def test_the_merged_file_has_open_clips_own_names(sample: Adapted, tmp_path: Path) -> None:
    from tests.engine.conftest import make_backbone

    out = export_adapter(sample.folder, tmp_path / "out", format="open-clip")
    tensors = load_file(out / "open_clip_model.safetensors")
    fused = make_backbone(split=False).model.state_dict()
    assert {key: value.shape for key, value in tensors.items()} == {
        key: value.shape for key, value in fused.items()
    }
    changed = {key for key, value in tensors.items() if not torch.equal(value, fused[key])}
    assert changed == {key for key in fused if key.endswith(("attn.in_proj_weight", "attn.out_proj.weight"))}


def test_the_program_opens_what_it_merged_as_a_backbone(sample: Adapted, tmp_path: Path) -> None:
    from tests.engine.exchange.conftest import TEMPLATES, load

    for kind in ("open-clip", "hugging-face"):
        out = export_adapter(sample.folder, tmp_path / kind, format=kind)
        backbone = load(BackboneSettings(name="local", checkpoint=str(out)))
        with torch.no_grad():
            logits = build_classifier(backbone, NAMES, TEMPLATES)(sample.pixels)
        torch.testing.assert_close(logits, sample.logits, atol=1e-4, rtol=0)


@every_placement
@pytest.mark.parametrize("quick", [False, True])
def test_transformers_answers_as_the_app(
    new_clip_folder: Callable[..., BackboneSettings], tmp_path: Path, lora, quick: bool
) -> None:
    from transformers import CLIPModel

    sample = adapted(new_clip_folder(quick_gelu=quick), tmp_path / "adapter", lora)
    out = export_adapter(sample.folder, tmp_path / "merged", format="hugging-face")
    merged = CLIPModel.from_pretrained(out).eval()
    torch.testing.assert_close(with_transformers(merged, sample), sample.logits, atol=1e-4, rtol=0)
    merged.load_state_dict(_untouched(sample))
    before = with_transformers(merged, sample)
    torch.testing.assert_close(before, sample.zero_shot, atol=1e-4, rtol=0)


def _untouched(sample: Adapted) -> dict[str, torch.Tensor]:
    from advclip_gui.engine.hugging_face_names import from_open_clip

    return from_open_clip(load_file(Path(sample.backbone.checkpoint) / "open_clip_model.safetensors"))


def test_processor_and_tokenizer_of_the_folder_are_the_apps(sample: Adapted, tmp_path: Path, photo) -> None:
    from PIL import Image
    from transformers import CLIPProcessor

    from advclip_gui.engine.images import prepare

    out = export_adapter(sample.folder, tmp_path / "out", format="hugging-face")
    processor = CLIPProcessor.from_pretrained(out)
    texts = ["a photo of a cat.", "Über-größe, 2 T-shirts & don't", "x" * 300]
    ours = [row[row != 0].tolist() for row in _tokens(texts)]
    theirs = processor.tokenizer(texts, truncation=True)["input_ids"]
    assert theirs == ours
    picture = Image.fromarray(photo).resize((57, 40))
    pixels = torch.from_numpy(prepare(picture, 16, "bilinear")).permute(2, 0, 1) / 255
    expected = (pixels - sample.mean[0]) / sample.std[0]
    given = processor.image_processor(images=picture, return_tensors="pt")["pixel_values"][0]
    assert (given - expected).abs().max() < 0.05  # one grey level is 0.02


def _tokens(texts: list[str]) -> torch.Tensor:
    import open_clip

    return open_clip.get_tokenizer("ViT-B-32")(texts)


@pytest.mark.slow(reason="makes a ViT-B/32 of 151 M parameters twice")
@ignores_peft
def test_real_size_with_peft_and_transformers(tmp_path: Path) -> None:
    import open_clip
    from open_clip.model import CLIP
    from peft import PeftModel
    from transformers import CLIPConfig, CLIPModel

    from advclip_gui.engine.attention import split_attention
    from advclip_gui.engine.hugging_face_names import from_open_clip

    config = open_clip.get_model_config("ViT-B-32-quickgelu")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ours = CLIP(**config).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    theirs = CLIPModel(CLIPConfig(**clip_config(config))).eval()
    theirs.load_state_dict(from_open_clip(ours.state_dict()))
    with torch.device("meta"):
        plan = CLIP(**config)
        split_attention(plan)
    place = adapters.placement(plan, LoraSettings())
    modules = dict(plan.named_modules())
    matrices = {}
    for target in place.targets:
        out, into = modules[target].weight.shape
        base = f"base_model.model.{adapters.saved_name(target)}"
        for part, shape in (("A", (2, into)), ("B", (out, 2))):
            matrices[f"{base}.lora_{part}.weight"] = torch.randn(shape, generator=generator) * 0.05
    adapters.write_adapter(tmp_path, place, matrices)
    pixels = torch.randn(2, 3, 224, 224, generator=generator)
    tokens = open_clip.get_tokenizer("ViT-B-32")(["a photo of a cat.", "a photo of a ship."])
    ours.load_state_dict(fold_in(ours, place, matrices))
    with torch.no_grad():
        image, text = ours.encode_image(pixels, normalize=True), ours.encode_text(tokens, normalize=True)
        expected = ours.logit_scale.exp() * image @ text.T
        before = theirs(input_ids=tokens, pixel_values=pixels).logits_per_image
        loaded = PeftModel.from_pretrained(theirs, str(tmp_path))
        logits = loaded(input_ids=tokens, pixel_values=pixels).logits_per_image
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    assert (before - expected).abs().max() > 1e-2


def test_other_architectures_are_refused_before_anything_is_loaded() -> None:
    import open_clip

    for name in ("ViT-B-16-SigLIP", "EVA02-B-16", "RN50", "ViT-H-14-worldwide", "ViT-M-16-alt"):
        with pytest.raises(CheckpointError, match="CLIPModel cannot hold this architecture"):
            clip_config(open_clip.get_model_config(name))
    for name in ("ViT-B-32", "ViT-L-14-336", "ViT-H-14", "ViT-bigG-14"):
        assert clip_config(open_clip.get_model_config(name))["model_type"] == "clip"
    plain = open_clip.get_model_config("ViT-B-32")
    for more, why in (({"init_logit_bias": -10}, "init_logit_bias"), ({"custom_text": True}, "custom_text"),
                      ({"nonscalar_logit_scale": True}, "nonscalar")):  # fmt: skip
        with pytest.raises(CheckpointError, match=f"corresponds to {why}.*Export it for open_clip"):
            clip_config({**plain, **more})
    with pytest.raises(CheckpointError, match="224 x 196"):
        clip_config({**plain, "vision_cfg": {**plain["vision_cfg"], "image_size": [224, 196]}})


@ignores_peft
def test_layer_norms_widths_and_words_that_say_the_usual_pass_to_transformers(
    new_clip_folder: Callable[..., BackboneSettings], tmp_path: Path
) -> None:
    """Epsilons far from 1e-5, another one in each tower, a narrow MLP, entries that say nothing."""
    from peft import PeftModel
    from transformers import CLIPModel

    from tests.engine.conftest import TINY

    vision = {**TINY["vision_cfg"], "norm_kwargs": {"eps": 0.05}, "pool_type": "tok", "mlp_ratio": 2.0,
              "no_ln_pre": False, "ls_init_value": None, "image_size": [16, 16]}  # fmt: skip
    text = {**TINY["text_cfg"], "norm_kwargs": {"eps": 0.2}, "pool_type": "argmax", "width": 48, "heads": 3}
    config = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text, "quick_gelu": True}
    settings = new_clip_folder(**config)
    sample = adapted(settings, tmp_path / "adapter", LoraSettings(matrices=("q", "v", "mlp")))
    out = export_adapter(sample.folder, tmp_path / "merged", format="hugging-face")
    written = json.loads((out / "config.json").read_text())
    assert written["vision_config"]["layer_norm_eps"] == 0.05
    assert written["text_config"]["layer_norm_eps"] == 0.2
    assert written["text_config"]["eos_token_id"] == 49407
    assert written["projection_dim"] == 24
    merged = CLIPModel.from_pretrained(out).eval()
    torch.testing.assert_close(with_transformers(merged, sample), sample.logits, atol=1e-4, rtol=0)
    plain = CLIPModel(merged.config).eval()
    plain.load_state_dict(_untouched(sample))
    loaded = PeftModel.from_pretrained(plain, str(export_adapter(sample.folder, tmp_path / "peft")))
    torch.testing.assert_close(with_transformers(loaded, sample), sample.logits, atol=1e-4, rtol=0)
    merged.config.vision_config.layer_norm_eps = 1e-5  # as it was written before: other logits
    usual = CLIPModel(merged.config).eval()
    usual.load_state_dict(merged.state_dict())
    assert (with_transformers(usual, sample) - sample.logits).abs().max() > 1e-3
    # The way back: this program reads the folder with the same epsilons.
    from tests.engine.exchange.conftest import TEMPLATES, load

    backbone = load(BackboneSettings(name="local", checkpoint=str(out)))
    with torch.no_grad():
        logits = build_classifier(backbone, NAMES, TEMPLATES)(sample.pixels)
    torch.testing.assert_close(logits, sample.logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("mode", "held"), [("shortest", True), ("squash", True), ("longest", False)])
def test_the_image_processor_is_the_apps_or_the_export_is_refused(
    sample: Adapted, tmp_path: Path, mode: str, held: bool
) -> None:
    path = Path(sample.backbone.checkpoint) / "open_clip_config.json"
    before = path.read_text()
    told = json.loads(before)
    told["preprocess_cfg"] |= {"resize_mode": mode, "interpolation": "bicubic"}
    path.write_text(json.dumps(told))
    try:
        if not held:
            with pytest.raises(CheckpointError, match=r"cannot pad an image.*Export it for open_clip"):
                export_adapter(sample.folder, tmp_path / "out", format="hugging-face")
            assert not (tmp_path / "out").exists()
            return
        out = export_adapter(sample.folder, tmp_path / "out", format="hugging-face")
    finally:
        path.write_text(before)
    written = json.loads((out / "preprocessor_config.json").read_text())
    shortest = mode == "shortest"
    assert written["size"] == ({"shortest_edge": 16} if shortest else {"height": 16, "width": 16})
    assert (written["do_center_crop"], written["resample"]) == (shortest, 3)
    assert written["crop_size"] == {"height": 16, "width": 16}
    assert written["image_mean"] == pytest.approx(sample.mean.flatten().tolist())
    assert written["image_std"] == pytest.approx(sample.std.flatten().tolist())


def test_fused_towers_of_timm_are_merged_where_their_projections_lie() -> None:
    """SigLIP keeps q, k and v in one weight, EVA02 apart: both answer as the split model does."""
    import open_clip
    from open_clip.model import CustomTextCLIP

    from advclip_gui.engine.attention import split_attention

    for name, vision in (
        ("ViT-B-16-SigLIP", {"timm_model_name": "vit_tiny_patch16_224", "timm_model_pretrained": False,
                             "timm_pool": "avg", "timm_proj": "linear", "image_size": 224}),
        ("EVA02-B-16", {"timm_model_name": "eva02_tiny_patch14_224", "timm_model_pretrained": False,
                        "timm_pool": "token", "timm_proj": "linear", "image_size": 224}),
    ):  # fmt: skip
        text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
        assert open_clip.get_model_config(name)["vision_cfg"].keys() >= {"timm_model_name"}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            fused = CustomTextCLIP(embed_dim=16, vision_cfg=vision, text_cfg=text).eval()
            split = CustomTextCLIP(embed_dim=16, vision_cfg=vision, text_cfg=text).eval()
        fused.requires_grad_(False)
        split.load_state_dict(fused.state_dict())
        split_attention(split)
        every = LoraSettings(matrices=("q", "k", "v", "o", "mlp"), encoder="vision")
        place = adapters.placement(split, every)
        matrices = {}
        generator = torch.Generator().manual_seed(2)
        modules = dict(split.named_modules())
        for target in place.targets:
            out, into = modules[target].weight.shape
            for part, shape in (("A", (2, into)), ("B", (out, 2))):
                key = f"base_model.model.{adapters.saved_name(target)}.lora_{part}.weight"
                matrices[key] = torch.randn(shape, generator=generator) * 0.1
            a, b = (matrices[f"base_model.model.{adapters.saved_name(target)}.lora_{p}.weight"] for p in "AB")
            modules[target].weight.data += place.alpha / place.rank**0.5 * b @ a
        pixels = torch.rand(2, 3, vision["image_size"], vision["image_size"], generator=generator)
        before = fused.encode_image(pixels)
        fused.load_state_dict(fold_in(fused, place, matrices))
        after = fused.encode_image(pixels)
        assert fold_in(fused, place, matrices).keys() == fused.state_dict().keys()
        torch.testing.assert_close(after, split.encode_image(pixels), atol=1e-5, rtol=1e-5)
        assert (after - before).abs().max() > 1e-3


def test_an_adapter_that_does_not_fit_is_refused(sample: Adapted, tmp_path: Path) -> None:
    place, matrices = adapters.read_adapter(sample.folder)
    key = next(iter(matrices))
    for wrong in (torch.zeros(1, 5), torch.full_like(matrices[key], float("nan"))):
        with pytest.raises(CheckpointError, match="does not fit this backbone at"):
            merge(sample.backbone, place, {**matrices, key: wrong}, Control())


# --- folders ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [one.name for one in FORMATS])
def test_every_format_writes_its_files_and_names_no_path(sample: Adapted, tmp_path: Path, kind: str) -> None:
    out = export_adapter(sample.folder, tmp_path / "out of it", format=kind)
    names = {path.name for path in out.iterdir()}
    assert names == {*format_entry(kind).files, "advclip.json", "README.md"}
    hidden = [
        Path(sample.backbone.checkpoint).parent.name,
        str(sample.folder.parent),
        str(tmp_path),
        str(Path.home()),
        str(Path(torch.__file__).parent.parent),
        str(Path(__file__).parents[3]),
    ]
    for path in out.iterdir():
        content = path.read_bytes()
        found = [text for text in hidden if text not in {"/", ""} and text.encode() in content]
        assert not found, path.name
    card = (out / "README.md").read_text()
    assert "path/to/this/folder" in card
    for said in ("cat, container ship, red truck", "{}, seen from afar", "rank 3", "## Limits", "sqrt(r)"):
        assert said in card
    assert str(out) in loading_snippet(out)
    compile(loading_snippet(out), "snippet", "exec")
    assert adapter_info(out).class_names == NAMES
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_format_takes_the_place_of_another(sample: Adapted, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for one in FORMATS:
        export_adapter(sample.folder, out, format=one.name)
        assert {path.name for path in out.iterdir()} == {*one.files, "advclip.json", "README.md"}


def test_weights_that_moved_are_named_by_the_caller(sample: Adapted, tmp_path: Path) -> None:
    handed_on = export_adapter(sample.folder, tmp_path / "peft")
    with pytest.raises(BackboneError, match="does not exist"):
        export_adapter(handed_on, tmp_path / "no", format="open-clip")
    assert not (tmp_path / "no").exists()
    checkpoint = sample.backbone.checkpoint
    export_adapter(handed_on, tmp_path / "yes", format="open-clip", checkpoint=checkpoint)
    classifier = load_classifier(handed_on, control=Control(), checkpoint=checkpoint, device="cpu")
    torch.testing.assert_close(classifier(sample.pixels), sample.logits, atol=1e-5, rtol=0)


def test_a_format_nobody_knows_is_named(sample: Adapted, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no export format 'tar'; take one of peft"):
        export_adapter(sample.folder, tmp_path / "out", format="tar")
