"""Activation and preprocessing follow the weights of every family; and what is said where they do not fit."""

from __future__ import annotations

import copy
import json
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file

from advclip_gui.engine.backbones import load_backbone, open_clip
from advclip_gui.engine.catalog import entry
from advclip_gui.engine.control import Control
from advclip_gui.engine.errors import CheckpointError
from advclip_gui.settings import BackboneSettings
from tests.engine.conftest import TINY

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HALF, ZERO, ONE = (0.5, 0.5, 0.5), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
real_config = open_clip.get_model_config


def tiny(**more: Any) -> torch.nn.Module:
    from open_clip.model import CLIP

    return CLIP(**copy.deepcopy(TINY), **more).eval()


def put_in_cache(root: Path, hub_id: str, name: str) -> Path:
    """Where a file of a repository lies in the hub's cache; its folder is made."""
    store = root / f"models--{hub_id.replace('/', '--')}"
    (store / "refs").mkdir(parents=True, exist_ok=True)
    (store / "refs" / "main").write_text("abc")
    (store / "snapshots" / "abc").mkdir(parents=True, exist_ok=True)
    return store / "snapshots" / "abc" / name


def activation(loaded: Any) -> str:
    return type(loaded.model.visual.transformer.resblocks[0].mlp.gelu).__name__


@pytest.mark.parametrize(
    ("name", "weights", "quick", "mean", "std", "interpolation", "resize_mode"),
    [
        ("ViT-B-32", "openai", True, CLIP_MEAN, CLIP_STD, "bicubic", "shortest"),
        ("ViT-B-32", "laion400m_e32", True, CLIP_MEAN, CLIP_STD, "bicubic", "shortest"),
        ("ViT-B-32", "laion2b_s34b_b79k", False, CLIP_MEAN, CLIP_STD, "bicubic", "shortest"),
        ("ViT-L-14", "laion2b_s32b_b82k", False, HALF, HALF, "bicubic", "shortest"),
        ("ViT-B-16", "dfn2b", True, CLIP_MEAN, CLIP_STD, "bicubic", "shortest"),
        ("ViT-H-14-378", "dfn5b", True, CLIP_MEAN, CLIP_STD, "bicubic", "squash"),
        ("ViT-B-16-SigLIP", "webli", False, HALF, HALF, "bicubic", "squash"),
        ("ViT-B-16-SigLIP2", "webli", False, HALF, HALF, "bicubic", "squash"),
        ("ViT-B-16", "metaclip_400m", True, CLIP_MEAN, CLIP_STD, "bicubic", "shortest"),
        ("EVA02-B-16", "merged2b_s8b_b131k", False, CLIP_MEAN, CLIP_STD, "bicubic", "shortest"),
        ("MobileCLIP-S1", "datacompdr", False, ZERO, ONE, "bilinear", "shortest"),
        ("ViTamin-S", "datacomp1b", False, CLIP_MEAN, CLIP_STD, "bicubic", "shortest"),
        ("PE-Core-B-16", "meta", False, HALF, HALF, "bilinear", "squash"),
        ("ViT-L-14-CLIPA", "datacomp1b", False, *IMAGENET, "bilinear", "squash"),
    ],
)
def test_published_weights_bring_their_activation_and_preprocessing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, weights: str, quick: bool,
    mean: tuple[float, ...], std: tuple[float, ...], interpolation: str, resize_mode: str,
) -> None:  # fmt: skip
    """The towers are tiny stand-ins; names, activation and preprocessing are the published ones."""

    def config(architecture: str) -> dict[str, Any]:
        return {**copy.deepcopy(TINY), "quick_gelu": real_config(architecture).get("quick_gelu", False)}

    monkeypatch.setattr(open_clip, "get_model_config", config)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    chosen = entry(BackboneSettings(name=name, weights=weights))
    where = put_in_cache(tmp_path, chosen.hub_id, chosen.file or "open_clip_model.safetensors")
    if where.suffix == ".bin":
        torch.save(tiny().state_dict(), where)
    else:
        save_file(tiny().state_dict(), where)
    if chosen.tokenizer:
        put_in_cache(tmp_path, chosen.tokenizer, "tokenizer.json").write_text("{}")
    loaded = load_backbone(BackboneSettings(name=name, weights=weights), device=CPU, control=Control())
    assert activation(loaded) == ("QuickGELU" if quick else "GELU")
    assert (loaded.mean, loaded.std) == (mean, std)
    assert (loaded.interpolation, loaded.resize_mode) == (interpolation, resize_mode)
    forced = BackboneSettings(name=name, weights=weights, quick_gelu=not quick)
    assert activation(load_backbone(forced, device=CPU, control=Control())) != activation(loaded)


def write(kind: str, folder: Path, tensors: dict[str, torch.Tensor]) -> BackboneSettings:
    """Save tensors as a kind of checkpoint whose configuration is that of TINY; returns how it is chosen."""
    if kind == "safetensors":
        save_file(tensors, folder / "mine.safetensors")
        return BackboneSettings(
            name="local", checkpoint=str(folder / "mine.safetensors"), architecture="tiny"
        )
    if kind == "state dict":
        torch.save({"state_dict": tensors}, folder / "mine.pt")
        return BackboneSettings(name="local", checkpoint=str(folder / "mine.pt"), architecture="tiny")
    if kind == "Hugging Face folder":
        from advclip_gui.engine.hugging_face_names import from_open_clip

        vision, text = TINY["vision_cfg"], TINY["text_cfg"]
        towers = {
            "vision_config": {
                "hidden_size": vision["width"], "num_hidden_layers": vision["layers"],
                "num_attention_heads": vision["width"] // vision["head_width"], "patch_size": 8,
                "intermediate_size": 4 * vision["width"], "image_size": 16,
            },
            "text_config": {
                "hidden_size": text["width"], "num_hidden_layers": text["layers"],
                "num_attention_heads": text["heads"], "intermediate_size": 4 * text["width"],
            },
        }  # fmt: skip
        config = {"model_type": "clip", "projection_dim": TINY["embed_dim"], **towers}
        (folder / "config.json").write_text(json.dumps(config))
        save_file(from_open_clip(tensors), folder / "model.safetensors")
        return BackboneSettings(name="local", checkpoint=str(folder))
    if kind == "repository":
        folder = put_in_cache(folder, "someone/clip", "x").parent
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY}))
    save_file(tensors, folder / "open_clip_model.safetensors")
    if kind == "repository":
        return BackboneSettings(name="hf-hub:someone/clip")
    return BackboneSettings(name="local", checkpoint=str(folder))


KINDS = ["safetensors", "state dict", "open_clip folder", "Hugging Face folder", "repository"]


@pytest.fixture
def _tiny_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(open_clip, "get_model_config", lambda _: copy.deepcopy(TINY))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))


@pytest.mark.usefixtures("_tiny_is_known")
@pytest.mark.parametrize("kind", KINDS)
def test_a_mismatch_names_the_first_three_keys_of_every_kind(tmp_path: Path, kind: str) -> None:
    whole = {name: tensor.contiguous() for name, tensor in tiny().state_dict().items()}
    settings = write(kind, tmp_path, whole)
    assert load_backbone(settings, device=CPU, control=Control()).image_size == 16
    block = "visual.transformer.resblocks.2."
    lacking = {name: tensor for name, tensor in whole.items() if not name.startswith(block)}
    more = {**whole, **{name.replace("s.2.", "s.3."): whole[name].clone() for name in whole if block in name}}
    wider = {**whole, "visual.class_embedding": torch.zeros(48), "ln_final.bias": torch.zeros(48)}
    three = rf"{block}[\w.]+, {block}[\w.]+, {block}[\w.]+ and 9 more\."
    for tensors, sentence in (
        (lacking, f"does not fit this model: it lacks {three}"),
        (more, f"it has, unknown to the model, {three.replace('s.2.', 's.3.')}"),
        (wider, r"it has in another shape ln_final\.bias, visual\.class_embedding\."),
    ):
        write(kind, tmp_path, tensors)
        with pytest.raises(CheckpointError, match=sentence) as caught:
            load_backbone(settings, device=CPU, control=Control())
        bare = kind in {"safetensors", "state dict"}
        hint = "Choose the architecture" if bare else "The configuration beside it belongs to other weights"
        assert caught.value.hint.startswith(hint)


@pytest.mark.usefixtures("_tiny_is_known")
def test_a_mismatch_of_openais_archive_names_them_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = {"encode_image": torch.rand(1, 3, 16, 16), "encode_text": torch.ones(1, 77).long()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing itself, which newer versions advise against
        torch.jit.save(torch.jit.trace_module(tiny(), examples, check_trace=False), str(tmp_path / "a.pt"))
    deeper = copy.deepcopy(TINY)
    deeper["vision_cfg"]["layers"] += 1
    monkeypatch.setattr(open_clip, "get_model_config", lambda _: copy.deepcopy(deeper))
    settings = BackboneSettings(name="local", checkpoint=str(tmp_path / "a.pt"), architecture="deeper")
    block = r"visual\.transformer\.resblocks\.3\.[\w.]+"
    with pytest.raises(
        CheckpointError, match=rf"a\.pt does not fit .* lacks {block}, {block}, {block} and 9"
    ):
        load_backbone(settings, device=CPU, control=Control())


def test_weights_pointed_to_inside_their_folder_mean_the_same_as_the_folder(tmp_path: Path) -> None:
    tensors = {name: tensor.contiguous() for name, tensor in tiny().state_dict().items()}
    write("Hugging Face folder", tmp_path, tensors)
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0.1, 0.2, 0.3], "resample": 2}')
    inside = BackboneSettings(name="local", checkpoint=str(tmp_path / "model.safetensors"))
    loaded = load_backbone(inside, device=CPU, control=Control())
    assert activation(loaded) == "QuickGELU", "as config.json says"
    assert (loaded.mean, loaded.interpolation) == ((0.1, 0.2, 0.3), "bilinear")


@pytest.mark.usefixtures("_tiny_is_known")
def test_weights_beside_the_configuration_of_something_else_are_a_file_like_any_other(tmp_path: Path) -> None:
    save_file(tiny().state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    settings = BackboneSettings(name="local", checkpoint=str(tmp_path / "model.safetensors"))
    assert activation(load_backbone(settings, device=CPU, control=Control())) == "GELU"
