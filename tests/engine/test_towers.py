"""Every family of towers, small and with random weights: split, adapted, merged, saved, in parts."""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest import mock

import open_clip
import pytest
import timm
import torch
from open_clip.model import CLIP, CustomTextCLIP
from safetensors.torch import save_file
from timm.models.eva import Eva
from timm.models.fastvit import FastVit, RepConditionalPosEnc
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_hybrid import ConvStem, HybridEmbed
from torch import nn
from torch.nn import functional as F

from advclip_gui.engine import adapters, split_modules
from advclip_gui.engine.attention import split_attention, text_tower, tower_blocks
from advclip_gui.engine.backbones import Backbone
from advclip_gui.engine.blueprint import build
from advclip_gui.engine.classifier import ClipClassifier, build_classifier, encode_tokens, tokenize
from advclip_gui.engine.control import Control
from advclip_gui.engine.errors import BackboneError
from advclip_gui.engine.export import load_classifier
from advclip_gui.engine.lora_dropout import RowDropout
from advclip_gui.engine.recipe_facts import describe_recipe
from advclip_gui.engine.session import adapter_folder
from advclip_gui.engine.training import train
from advclip_gui.settings import LoraSettings, RunSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES, TEMPLATES = ("cat", "container ship", "t-shirt"), ("a photo of a {}.",)
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
EVERYTHING = ("q", "k", "v", "o", "mlp")


def siglip(**kwargs: Any) -> nn.Module:
    """No class token, a learnt query that pools the patches (its attention is no block)."""
    return VisionTransformer(
        img_size=16, patch_size=8, embed_dim=32, depth=2, num_heads=2, class_token=False, **kwargs
    )


def normed(**kwargs: Any) -> nn.Module:
    """A timm vit with norms of q and k, of the mixed values, random depth and dropout."""
    arguments = {"qk_norm": True, "scale_attn_norm": True, "drop_path_rate": 0.5, "proj_drop_rate": 0.3}
    return VisionTransformer(
        img_size=16, patch_size=8, embed_dim=32, depth=2, num_heads=2, **(arguments | kwargs)
    )


def eva02(**kwargs: Any) -> nn.Module:
    """Rotary positions, separate q, k, v without a bias on k, SwiGLU."""
    return Eva(
        img_size=16, patch_size=8, embed_dim=32, depth=2, num_heads=2, qkv_fused=False, swiglu_mlp=True,
        scale_mlp=True, scale_attn_inner=True, use_rot_pos_emb=True, ref_feat_shape=(2, 2), **kwargs,
    )  # fmt: skip


def eva01(**kwargs: Any) -> nn.Module:
    """Fused q, k, v with biases kept apart from the weight."""
    return Eva(img_size=16, patch_size=8, embed_dim=32, depth=2, num_heads=2, **kwargs)


def perception(**kwargs: Any) -> nn.Module:
    """timm's `AttentionRope`."""
    return Eva(
        img_size=16, patch_size=8, embed_dim=32, depth=2, num_heads=2, attn_type="rope",
        use_rot_pos_emb=True, ref_feat_shape=(2, 2), rope_grid_indexing="xy", **kwargs,
    )  # fmt: skip


def mobile(**kwargs: Any) -> nn.Module:
    """A vit behind a stem of convolutions with batch norms."""
    stem = ConvStem(channels=(8, 8, 32), stride=(4, 2, 2), kernel_size=(4, 2, 2), padding=0)
    return VisionTransformer(
        img_size=32, patch_size=1, embed_dim=32, depth=2, num_heads=2, no_embed_class=True,
        embed_layer=partial(HybridEmbed, backbone=stem, proj=False), **kwargs,
    )  # fmt: skip


def fastvit(**kwargs: Any) -> nn.Module:
    """Convolutions, with attention on feature maps in the last stage only; batch norms everywhere."""
    return FastVit(
        layers=(1, 1, 1, 2), embed_dims=(8, 8, 16, 32), mlp_ratios=(2, 2, 2, 2),
        token_mixers=("repmixer", "repmixer", "repmixer", "attention"),
        pos_embs=(None, None, None, partial(RepConditionalPosEnc, spatial_shape=(3, 3))), **kwargs,
    )  # fmt: skip


FAMILIES: dict[str, tuple[Callable[..., nn.Module], int, dict[str, Any], dict[str, Any]]] = {
    "siglip": (
        siglip,
        16,
        {"timm_pool": "map", "timm_proj": "none"},
        {"no_causal_mask": True, "pool_type": "last", "proj_bias": True},
    ),
    "normed": (
        normed,
        16,
        {"timm_pool": "token", "timm_proj": "mlp"},
        {"no_causal_mask": True, "pool_type": "first"},
    ),
    "eva02": (eva02, 16, {"timm_pool": "token", "timm_proj": None}, {}),
    "eva01": (eva01, 16, {"timm_pool": "token", "timm_proj": None}, {"pool_type": "eos", "eos_id": 49407}),
    "perception": (perception, 16, {"timm_pool": "map", "timm_proj": None}, {}),
    "mobile": (mobile, 32, {"timm_pool": "token", "timm_proj": None}, {}),
    "fastvit": (fastvit, 64, {"timm_pool": "avg", "timm_proj": None}, {"no_causal_mask": True}),
}
"""Trunk, input size, and open_clip's settings of both towers, after the published models' pattern."""
CLIP_KINDS = ("plain", "large")


def make_model(family: str, seed: int = 0) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if family in CLIP_KINDS:
            layers = 3 if family == "plain" else 5
            vision = {"image_size": 16, "patch_size": 8, "width": 32, "layers": layers, "head_width": 16}
            model = CLIP(16, vision, TEXT | {"layers": 2}, quick_gelu=family == "large")
        else:
            trunk, size, vision, text = FAMILIES[family]

            def create(_: str, pretrained: bool, **kwargs: Any) -> nn.Module:
                made = trunk(**kwargs)
                made.default_cfg = {}
                return made

            with mock.patch.object(timm, "create_model", create):
                config = {"timm_model_name": "small", "image_size": size} | vision
                model = CustomTextCLIP(
                    32 if family == "siglip" else 16, config, TEXT | text, init_logit_bias=-9.0
                )
        for name, parameter in model.named_parameters():
            # Random where it usually starts at 0 or 1, and large enough to make differences visible.
            if parameter.ndim >= 2:
                nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
            elif "logit" not in name:
                nn.init.normal_(parameter, mean=float("norm" in name and "weight" in name), std=0.3)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval().requires_grad_(False)


def make_backbone(family: str, seed: int = 0) -> Backbone:
    model = make_model(family, seed)
    split_attention(model)
    return Backbone(
        model=model,
        tokenizer=open_clip.get_tokenizer("ViT-B-32", context_length=16),
        image_size=size_of(family),
        mean=(0.5, 0.4, 0.3),
        std=(0.5, 0.25, 0.3),
        interpolation="bicubic",
        resize_mode="squash",
        title=family,
        architecture=family,
        source="memory",
        sha256="",
        hub_id="",
        device=torch.device("cpu"),
    )


def size_of(family: str) -> int:
    return 16 if family in CLIP_KINDS else FAMILIES[family][1]


def matrices_of(family: str) -> tuple[str, ...]:
    return EVERYTHING[:4] if family == "fastvit" else EVERYTHING


def pixels_of(family: str, n: int = 3) -> torch.Tensor:
    return torch.rand(n, 3, size_of(family), size_of(family), generator=torch.Generator().manual_seed(5))


def adapted(family: str, **settings: Any) -> Backbone:
    backbone = make_backbone(family)
    lora = LoraSettings(**({"matrices": matrices_of(family), "rank": 3} | settings))
    adapters.adapt(backbone, adapters.placement(backbone.model, lora), seed=1)
    generator = torch.Generator().manual_seed(2)
    for layer in adapters.lora_layers(backbone.model).values():
        nn.init.normal_(layer.lora_B[adapters.ADAPTER].weight, std=0.3, generator=generator)
    return backbone


every_family = pytest.mark.parametrize("family", [*CLIP_KINDS, *FAMILIES])


@every_family
@pytest.mark.parametrize("kernel", ["plain", "fused"])
def test_split_equals_original(family: str, kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kernel == "fused":
        monkeypatch.setattr(split_modules, "_PLAIN_ATTENTION_LENGTH", 0)
    original, split = make_model(family), make_backbone(family).model
    pixels = pixels_of(family)
    tokens = open_clip.get_tokenizer("ViT-B-32", context_length=16)(["a photo of a cat.", "a ship"])
    for what, x in (("encode_image", pixels), ("encode_text", tokens)):
        expected = getattr(original, what)(x)
        assert expected.std() > 0.05  # else equality would say little
        torch.testing.assert_close(getattr(split, what)(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mask", ["additive", "boolean", "causal"])
@pytest.mark.parametrize("length", [5, 400])
def test_masks_of_timm_attentions(mask: str, length: int) -> None:
    torch.manual_seed(0)
    fused = split_modules.vision_transformer.Attention(24, 3, qkv_bias=True).eval()
    x, allowed = torch.randn(2, length, 24), torch.rand(length, length) > 0.3
    allowed |= torch.eye(length, dtype=torch.bool)
    more: dict[str, Any] = {
        "additive": {"attn_mask": torch.randn(length, length)},
        "boolean": {"attn_mask": allowed},
        "causal": {"is_causal": True},
    }[mask]
    expected = fused(x, **more)
    split = split_modules.SplitTimmAttention(fused)(x, **more)
    torch.testing.assert_close(split, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(fused(x), expected, atol=1e-3)


def test_fewer_heads_for_keys_and_the_other_rotation() -> None:
    kind = getattr(split_modules.eva, "AttentionRope", None)
    if kind is None:
        pytest.skip("an older timm")
    torch.manual_seed(0)
    fused = kind(24, 4, qkv_fused=False, num_kv_heads=2, gated=True, rotate_half=True).eval()
    x, rope = torch.randn(2, 5, 24), torch.randn(4, 12)
    split = split_modules.SplitTimmAttention(fused)
    torch.testing.assert_close(split(x, rope=rope), fused(x, rope=rope), atol=1e-5, rtol=1e-5)


@every_family
@pytest.mark.parametrize("encoder", ["vision", "text", "both"])
def test_what_is_promised_is_trained_and_nothing_else(family: str, encoder: str) -> None:
    backbone = make_backbone(family)
    lora = LoraSettings(rank=3, encoder=encoder, matrices=matrices_of(family))
    place = adapters.placement(backbone.model, lora)
    promised = adapters.count_trainable(backbone.model, place)
    layers = {name: backbone.model.get_submodule(name) for name in place.targets}
    assert promised == sum(3 * (layer.in_features + layer.out_features) for layer in layers.values())
    adapters.adapt(backbone, place, seed=0)
    assert set(adapters.lora_layers(backbone.model)) == set(place.targets)
    assert sum(p.numel() for p in adapters.trainable_parameters(backbone.model)) == promised
    sides = {name.startswith("visual.") for name in place.targets}
    assert sides == {"vision": {True}, "text": {False}, "both": {True, False}}[encoder]
    assert adapters.adapts_text(backbone.model) == (encoder != "vision")


@every_family
def test_merged_and_saved_adapters_predict_the_same(family: str, tmp_path: Any) -> None:
    backbone, pixels = adapted(family, dropout=0.5), pixels_of(family)
    expected = build_classifier(backbone, NAMES, TEMPLATES)(pixels)
    with adapters.merged(backbone.model):
        merged = build_classifier(backbone, NAMES, TEMPLATES)(pixels)
    torch.testing.assert_close(merged, expected, atol=1e-4, rtol=1e-4)
    adapters.save_adapter(backbone, tmp_path / "adapter")
    fresh = make_backbone(family)
    assert not torch.allclose(build_classifier(fresh, NAMES, TEMPLATES)(pixels), expected, atol=1e-2)
    adapters.load_adapter(fresh, tmp_path / "adapter")
    assert torch.equal(build_classifier(fresh, NAMES, TEMPLATES)(pixels), expected)
    assert fresh.placement == backbone.placement
    names = adapters.adapter_state(fresh.model)
    theirs = ("base_model.model.vision_model.", "base_model.model.text_model.")
    ours = ("base_model.model.visual.trunk.", "base_model.model.text.transformer.")
    assert all(name.startswith(theirs if family in CLIP_KINDS else ours) for name in names)


@every_family
def test_gradients_reach_every_matrix(family: str) -> None:
    backbone = adapted(family, dropout=0.0)
    classifier = build_classifier(backbone, NAMES, TEMPLATES)
    tokens = tokenize(backbone, NAMES, TEMPLATES)
    text = encode_tokens(backbone.model, tokens, len(NAMES))
    F.cross_entropy(classifier.logits(pixels_of(family), text), torch.tensor([0, 1, 2])).backward()
    silent = [
        name
        for name, parameter in backbone.model.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    ]
    assert not silent


@every_family
def test_in_training_only_lora_drops(family: str) -> None:
    backbone = adapted(family, dropout=0.0)
    pixels = pixels_of(family)
    with torch.no_grad():
        expected = backbone.model.visual(pixels)
        state = {key: value.clone() for key, value in backbone.model.state_dict().items()}
        backbone.model.train()
        assert torch.equal(backbone.model.visual(pixels), expected)
    assert all(torch.equal(value, state[key]) for key, value in backbone.model.state_dict().items())


@every_family
def test_a_batch_in_parts_has_the_gradient_of_the_whole(family: str) -> None:
    backbone, pixels = adapted(family, dropout=0.4), pixels_of(family, 5)
    labels = torch.tensor([0, 1, 2, 0, 1])
    classifier = build_classifier(backbone, NAMES, TEMPLATES)
    tokens = tokenize(backbone, NAMES, TEMPLATES)
    backbone.model.train()

    def gradient(*parts: torch.Tensor, rows: bool = True) -> torch.Tensor:
        parameters = adapters.trainable_parameters(backbone.model)
        sums = [torch.zeros_like(parameter) for parameter in parameters]
        for part in parts:
            torch.manual_seed(7)
            text = encode_tokens(backbone.model, tokens, len(NAMES))
            if rows:
                with adapters.dropout_rows(backbone.model, 5, part):
                    logits = classifier.logits(pixels[part], text)
            else:
                logits = classifier.logits(pixels[part], text)
            loss = F.cross_entropy(logits, labels[part], reduction="sum") / 5
            for total, grad in zip(sums, torch.autograd.grad(loss, parameters), strict=True):
                total += grad
        return torch.cat([total.flatten() for total in sums])

    whole = gradient(torch.arange(5), rows=False)
    assert torch.equal(gradient(torch.arange(5)), whole)
    parts = torch.tensor([3, 0]), torch.tensor([1, 2, 4])
    size = whole.abs().max()
    torch.testing.assert_close(gradient(*parts) / size, whole / size, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(gradient(*parts, rows=False) / size, whole / size, atol=1e-3)


@every_family
def test_reset_gives_the_bytes_of_a_fresh_adapter(family: str) -> None:
    backbone, fresh = adapted(family), make_backbone(family)
    adapters.adapt(fresh, backbone.placement, seed=11)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    adapters.reset(backbone.model, seed=11)
    assert torch.equal(torch.get_rng_state(), state)
    expected = adapters.adapter_state(fresh.model)
    assert all(
        torch.equal(value, expected[name]) for name, value in adapters.adapter_state(backbone.model).items()
    )
    adapters.reset(backbone.model, seed=12)
    assert any(
        not torch.equal(value, expected[name])
        for name, value in adapters.adapter_state(backbone.model).items()
    )


class TestTextFeatures:
    @every_family
    def test_are_open_clips(self, family: str) -> None:
        backbone = make_backbone(family)
        whole = backbone.tokenizer([f"a photo of a {name}." for name in NAMES])
        expected = make_model(family).encode_text(whole, normalize=True)
        features = build_classifier(backbone, NAMES, TEMPLATES).text_features
        torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-5)

    @every_family
    def test_prompts_are_cut_exactly_where_that_changes_nothing(self, family: str) -> None:
        backbone = make_backbone(family)
        tower, tokens = text_tower(backbone.model), tokenize(backbone, NAMES, TEMPLATES)
        assert tower.can_be_cut == (family not in {"siglip", "fastvit", "normed"})
        assert tokens.shape[1] == (10 if tower.can_be_cut else 16)
        if not tower.can_be_cut:  # a cut would be seen
            cut = encode_tokens(backbone.model, tokens[:, :10], len(NAMES))
            assert not torch.allclose(cut, encode_tokens(backbone.model, tokens, len(NAMES)), atol=1e-2)

    def test_a_logit_bias_changes_no_probability(self) -> None:
        backbone = make_backbone("siglip")
        pixels = pixels_of("siglip")
        classifier: ClipClassifier = build_classifier(backbone, NAMES, TEMPLATES)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (backbone.mean, backbone.std))
        whole = backbone.tokenizer([f"a photo of a {name}." for name in NAMES])
        logits, _ = make_model("siglip").get_logits((pixels - mean) / std, whole)
        torch.testing.assert_close(classifier(pixels).softmax(-1), logits.softmax(-1), atol=1e-5, rtol=1e-4)


class TestPlacement:
    def test_blocks_without_attention_do_not_count(self) -> None:
        blocks = tower_blocks(make_model("fastvit"))["vision"]
        assert [block.path for block in blocks] == [f"visual.trunk.stages.3.blocks.{i}" for i in (0, 1)]

    def test_the_pooling_attention_is_no_block(self) -> None:
        paths = [block.path for block in tower_blocks(make_model("siglip"))["vision"]]
        assert paths == ["visual.trunk.blocks.0", "visual.trunk.blocks.1"]

    def test_numbers_a_tower_lacks_are_left_out(self) -> None:
        place = adapters.placement(make_backbone("large").model, LoraSettings(layers=(1, 4), matrices=("q",)))
        assert place.targets == (
            "visual.transformer.resblocks.1.attn.q_proj",
            "visual.transformer.resblocks.4.attn.q_proj",
            "transformer.resblocks.1.attn.q_proj",
        )

    def test_numbers_no_tower_has_are_refused_with_its_depth(self) -> None:
        model = make_backbone("large").model
        with pytest.raises(BackboneError, match=r"5 blocks in its vision tower and 2 blocks .* up to 4"):
            adapters.placement(model, LoraSettings(layers=(5, 30)))
        with pytest.raises(BackboneError, match=r"has 2 blocks in its text tower, counted from 0.* up to 1"):
            adapters.placement(model, LoraSettings(layers=(2, 4), encoder="text"))

    def test_an_mlp_of_convolutions_is_refused(self) -> None:
        with pytest.raises(BackboneError, match=r"made of convolutions.*Leave 'mlp' out"):
            adapters.placement(make_backbone("fastvit").model, LoraSettings(matrices=("q", "mlp")))

    def test_saved_mlps_have_hugging_faces_names(self) -> None:
        backbone = adapted("plain", matrices=("mlp",), layers=(0,), encoder="text")
        assert set(adapters.adapter_state(backbone.model)) == {
            f"base_model.model.text_model.encoder.layers.0.mlp.{layer}.lora_{matrix}.weight"
            for layer in ("fc1", "fc2")
            for matrix in "AB"
        }

    def test_an_adapter_of_another_family_does_not_fit(self, tmp_path: Any) -> None:
        adapters.save_adapter(adapted("siglip"), tmp_path / "adapter")
        with pytest.raises(
            BackboneError, match=r"visual\.trunk\.blocks\.0\.attn\.q_proj, which plain does not"
        ):
            adapters.load_adapter(make_backbone("plain"), tmp_path / "adapter")


@pytest.mark.parametrize("p", [0.05, 0.25, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(p) -> None:
    dropout = RowDropout(p).train()
    torch.manual_seed(3)
    x = torch.ones(50, 41, 33, requires_grad=True)
    dropped = dropout(x)
    assert dropped.detach().unique().tolist() == [0.0, pytest.approx(1 / (1 - p))]
    n = x.numel()
    assert abs(float((dropped == 0).float().mean()) - p) < 4 * (p * (1 - p) / n) ** 0.5
    # Neighbours, which share a draw of 64 bits, fall independently of each other.
    kept = (dropped.detach() > 0).flatten()[: n // 4 * 4].view(-1, 4).float()
    correlation = torch.corrcoef(kept.t()) - torch.eye(4)
    assert float(correlation.abs().max()) < 5 / (n / 4) ** 0.5
    (gradient,) = torch.autograd.grad(dropped.sum(), x)
    assert torch.equal(gradient, dropped)
    assert dropout.eval()(x) is x


def test_parts_concern_the_image_tower_only_and_end_with_the_context() -> None:
    backbone = adapted("plain", dropout=0.3)
    layers = adapters.lora_layers(backbone.model)

    def in_parts() -> set[str]:
        return {n for n, layer in layers.items() if layer.lora_dropout[adapters.ADAPTER].part is not None}

    def fail_within() -> None:
        with adapters.dropout_rows(backbone.model, 4, torch.tensor([1])):
            assert in_parts() == {name for name in layers if name.startswith("visual.")}
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_within()
    assert not in_parts()


@pytest.mark.slow(reason="trains six steps on a model of 160 px and evaluates it")
def test_a_siglip_like_model_trains_from_a_file_to_a_classifier(
    small_run: RunSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {
        "embed_dim": 64,
        "custom_text": True,
        "init_logit_bias": -10,
        "vision_cfg": {
            "timm_model_name": "test_vit", "timm_pool": "map", "timm_proj": "none", "image_size": 160,
        },
        "text_cfg": TEXT | FAMILIES["siglip"][3],
    }  # fmt: skip
    monkeypatch.setattr(open_clip, "get_model_config", lambda _: copy.deepcopy(config))
    save_file(build(config).state_dict(), tmp_path / "x.safetensors")
    backbone = {"name": "local", "checkpoint": str(tmp_path / "x.safetensors"), "architecture": "small"}
    values = small_run.model_dump(mode="json", exclude_none=True) | {"backbone": backbone}
    values["lora"]["matrices"] = EVERYTHING
    values["training"]["accumulation"] = 2
    settings = RunSettings.checked(values)
    promised = describe_recipe(settings, classes=3, flops_per_second=None).trainable_parameters
    train(settings, control=Control(), run_dir=tmp_path / "run")
    folder = adapter_folder(tmp_path / "run")
    _, state = adapters.read_adapter(folder)
    assert sum(value.numel() for value in state.values()) == promised
    assert all(value.any() for value in state.values())
    classifier = load_classifier(tmp_path / "run", control=Control())
    assert classifier(torch.rand(1, 3, 160, 160)).isfinite().all()
