"""Loading backbones: bundled, local, not here; and files that are no checkpoint."""

from __future__ import annotations

import copy
import pickle
import socket
from typing import ClassVar

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from advclip_gui.engine import blueprint
from advclip_gui.engine.backbones import load_backbone, published_preprocessing
from advclip_gui.engine.blueprint import build, costs, model_config
from advclip_gui.engine.catalog import CATALOG, availability, cached_weights
from advclip_gui.engine.classifier import build_classifier, tokenize
from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.errors import BackboneError, CheckpointError
from advclip_gui.engine.recipe_facts import describe_recipe
from advclip_gui.engine.state_dicts import read_state_dict
from advclip_gui.settings import BackboneSettings, LoraSettings, RunSettings

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_network(monkeypatch) -> None:
    def refuse(*_):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def local(path, architecture="ViT-S-32-alt", **more) -> BackboneSettings:
    return BackboneSettings(name="local", checkpoint=str(path), architecture=architecture, **more)


@pytest.fixture(scope="module")
def small_state() -> dict[str, torch.Tensor]:
    """ViT-S-32-alt, the smallest plain transformer CLIP in open_clip's list, with random weights."""
    from open_clip.model import CLIP

    return CLIP(**open_clip.get_model_config("ViT-S-32-alt")).state_dict()


def test_bundled_backbone_classifies() -> None:
    backbone = load_backbone(BackboneSettings(), device=CPU, control=Control())
    assert backbone.image_size == 32
    assert len(backbone.sha256) == 64
    logits = build_classifier(backbone, ("cat", "ship"), ("a photo of a {}.",))(torch.rand(1, 3, 32, 32))
    assert logits.isfinite().all()


@pytest.mark.slow(reason="builds and saves a 20 M parameter model three times")
@pytest.mark.parametrize("wrapped", ["safetensors", "plain", "state_dict", "module."])
def test_local_files_of_every_kind(small_state, tmp_path, wrapped) -> None:
    path = tmp_path / "mein größtes modell.safetensors"
    if wrapped == "safetensors":
        save_file({k: v.contiguous() for k, v in small_state.items()}, path)
    else:
        path = path.with_suffix(".pt")
        content = {
            "plain": small_state,
            "state_dict": {"state_dict": small_state, "epoch": 3},
            "module.": {"state_dict": {f"module.{k}": v for k, v in small_state.items()}},
        }[wrapped]
        torch.save(content, path)
    backbone = load_backbone(local(path), device=CPU, control=Control())
    weight = backbone.model.visual.transformer.resblocks[0].mlp.c_fc.weight
    assert torch.equal(weight, small_state["visual.transformer.resblocks.0.mlp.c_fc.weight"])
    assert backbone.source == path.name


@pytest.mark.parametrize("entry", [e for e in CATALOG if e.hub_id], ids=lambda e: f"{e.name}-{e.weights}")
def test_hub_backbones_offline_say_so_and_name_two_ways_out(entry) -> None:
    settings = BackboneSettings(name=entry.name, weights=entry.weights)
    with pytest.raises(BackboneError, match=r"is not on this machine.*Local checkpoint file.*advclip-mini"):
        load_backbone(settings, device=CPU, control=Control())


def test_weights_in_the_hub_cache_are_found(monkeypatch, tmp_path) -> None:
    chosen = next(e for e in CATALOG if e.name == "ViT-B-32")
    snapshot = tmp_path / f"models--{chosen.hub_id.replace('/', '--')}"
    (snapshot / "refs").mkdir(parents=True)
    (snapshot / "refs" / "main").write_text("abc")
    (snapshot / "snapshots" / "abc").mkdir(parents=True)
    weights = snapshot / "snapshots" / "abc" / "open_clip_model.safetensors"
    weights.write_bytes(b"x")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert cached_weights(chosen.hub_id) == weights
    assert availability(BackboneSettings(name="ViT-B-32", weights="openai")).here


def test_unknown_names_are_refused_with_the_known_ones(tmp_path) -> None:
    with pytest.raises(BackboneError, match=r"no backbone 'RN51'.*ViT-B-32 openai"):
        load_backbone(BackboneSettings(name="RN51"), device=CPU, control=Control())
    with pytest.raises(BackboneError, match=r"no backbone 'ViT-B-32 mine'.*Known: .*ViT-B-32 datacomp_xl"):
        load_backbone(BackboneSettings(name="ViT-B-32", weights="mine"), device=CPU, control=Control())
    with pytest.raises(BackboneError, match=r"RN50 - openai cannot be adapted.*ModifiedResNet"):
        load_backbone(BackboneSettings(name="RN50"), device=CPU, control=Control())
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(BackboneError, match="knows no model 'ViT-Z-99'"):
        load_backbone(local(path, "ViT-Z-99"), device=CPU, control=Control())


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        ("RN50", "vision tower of this model is a ModifiedResNet without attention blocks"),
        ("convnext_base", "vision tower of this model is a ConvNeXt without attention blocks"),
        ("swin_base_patch4_window7_224", "Block 0 of the vision tower has a WindowAttention"),
        ("vit_relpos_medium_patch16_cls_224", "Block 0 of the vision tower has a RelPosAttention"),
        ("coca_ViT-B-32", "a captioning model"),
        ("roberta-ViT-B-32", "text tower is the Hugging Face model roberta-base"),
    ],
)
def test_other_towers_are_refused_before_anything_is_loaded(tmp_path, architecture, reason) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"never read")
    for ask in (
        lambda settings: load_backbone(settings, device=CPU, control=Control()),
        lambda settings: describe_recipe(RunSettings(backbone=settings), classes=2, flops_per_second=None),
    ):
        with pytest.raises(BackboneError, match=f"{architecture} cannot be adapted.*{reason}.*Choose a"):
            ask(local(path, architecture))


class TestTokenizers:
    """A small model whose words are split by a tokenizer of its own, as SigLIP's are."""

    CONFIG: ClassVar = {
        "embed_dim": 64,
        "custom_text": True,
        "vision_cfg": {
            "timm_model_name": "test_vit", "timm_pool": "token", "timm_proj": None, "image_size": 160,
        },
        "text_cfg": {
            "context_length": 9, "vocab_size": 20, "width": 32, "heads": 2, "layers": 1,
            "hf_tokenizer_name": "someone/words", "tokenizer_kwargs": {"clean": "canonicalize"},
            "no_causal_mask": True, "pool_type": "last",
        },
    }  # fmt: skip

    @pytest.fixture
    def settings(self, tmp_path, monkeypatch) -> BackboneSettings:
        monkeypatch.setattr(open_clip, "get_model_config", lambda _: copy.deepcopy(self.CONFIG))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        model = build(self.CONFIG)
        save_file(model.state_dict(), tmp_path / "x.safetensors")
        return local(tmp_path / "x.safetensors", "small")

    def test_not_here(self, settings) -> None:
        with pytest.raises(BackboneError, match=r"tokenizer of someone/words.*hf download someone/words"):
            load_backbone(settings, device=CPU, control=Control())

    def test_in_the_hub_cache(self, settings, tmp_path) -> None:
        from tokenizers import Tokenizer, models, pre_tokenizers

        snapshot = tmp_path / "hub" / "models--someone--words" / "snapshots" / "abc"
        snapshot.mkdir(parents=True)
        (snapshot.parents[1] / "refs").mkdir()
        (snapshot.parents[1] / "refs" / "main").write_text("abc")
        words = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "a", "photo", "of", "cat"])}
        tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.save(str(snapshot / "tokenizer.json"))
        (snapshot / "tokenizer_config.json").write_text(
            '{"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]"}'
        )
        backbone = load_backbone(settings, device=CPU, control=Control())
        assert backbone.image_size == 160
        tokens = tokenize(backbone, ["cat"], ["a photo of a {}."])
        assert tokens.tolist() == [[2, 3, 4, 2, 5, 0, 0, 0, 0]]  # whole, and the full stop cleaned away
        classifier = build_classifier(backbone, ("cat", "photo"), ("a {}",))
        assert classifier(torch.rand(1, 3, 160, 160)).isfinite().all()


@pytest.mark.parametrize(
    ("architecture", "weights", "mean", "interpolation", "resize_mode"),
    [
        ("ViT-B-16-SigLIP", "", 0.5, "bicubic", "squash"),
        ("MobileCLIP-S1", "", 0.0, "bilinear", "shortest"),
        ("EVA02-B-16", "", 0.48145466, "bicubic", "shortest"),
        ("ViT-B-32", "", 0.48145466, "bicubic", "shortest"),
        ("ViT-L-14", "laion2b_s32b_b82k", 0.5, "bicubic", "shortest"),
    ],
)
def test_preprocessing_is_the_published_one(architecture, weights, mean, interpolation, resize_mode) -> None:
    published = published_preprocessing(architecture, weights)
    assert published["mean"][0] == mean
    assert (published["interpolation"], published["resize_mode"]) == (interpolation, resize_mode)


def test_where_published_weights_disagree_nothing_is_claimed() -> None:
    assert "mean" not in published_preprocessing("ViT-L-14")


class TestBadFiles:
    def test_missing(self, tmp_path) -> None:
        with pytest.raises(BackboneError, match="does not exist"):
            load_backbone(local(tmp_path / "no.pt"), device=CPU, control=Control())

    @pytest.mark.parametrize("name", ["a.safetensors", "a.pt", "a.bin"])
    @pytest.mark.parametrize("content", [b"", b"not a checkpoint at all" * 20, b"PK\x03\x04broken"])
    def test_not_a_checkpoint(self, tmp_path, name, content) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=name):
            read_state_dict(tmp_path / name)

    def test_another_ending(self, tmp_path) -> None:
        (tmp_path / "photo.jpg").write_bytes(b"x")
        with pytest.raises(CheckpointError, match="not a checkpoint file"):
            read_state_dict(tmp_path / "photo.jpg")

    @pytest.mark.parametrize("legacy", [False, True])
    def test_a_pickle_that_runs_code_is_refused_and_does_not_run(self, tmp_path, legacy) -> None:
        trap = tmp_path / "ran"

        class Evil:
            def __reduce__(self):
                return (open, (str(trap), "w"))

        path = tmp_path / "evil.pt"
        if legacy:
            path.write_bytes(pickle.dumps({"state_dict": Evil()}))
        else:
            torch.save({"state_dict": Evil()}, path)
        with pytest.raises(CheckpointError, match="could run code"):
            read_state_dict(path)
        assert not trap.exists()

    def test_no_tensors(self, tmp_path) -> None:
        torch.save({"epoch": 3}, tmp_path / "a.pt")
        with pytest.raises(CheckpointError, match="holds no tensors"):
            read_state_dict(tmp_path / "a.pt")

    def test_a_list(self, tmp_path) -> None:
        torch.save([torch.zeros(2)], tmp_path / "a.pt")
        with pytest.raises(CheckpointError, match="holds no state dict"):
            read_state_dict(tmp_path / "a.pt")

    def test_a_mismatch_names_the_first_three_keys(self, tmp_path) -> None:
        path = tmp_path / "other.safetensors"
        save_file({"fc.weight": torch.zeros(2, 2)}, path)
        with pytest.raises(
            CheckpointError, match=r"it lacks ln_final\.bias, ln_final\.weight, .* and \d+ more"
        ):
            load_backbone(local(path), device=CPU, control=Control())

    def test_another_shape_and_nan(self, small_state, tmp_path) -> None:
        path = tmp_path / "other.safetensors"
        state = {key: value.contiguous() for key, value in small_state.items()}
        save_file({**state, "logit_scale": torch.zeros(2)}, path)
        with pytest.raises(CheckpointError, match="another shape logit_scale"):
            load_backbone(local(path), device=CPU, control=Control())
        save_file({**state, "logit_scale": torch.tensor(torch.nan)}, path)
        with pytest.raises(CheckpointError, match="NaN or infinity in logit_scale"):
            load_backbone(local(path), device=CPU, control=Control())


def test_cancel_is_noticed_while_loading() -> None:
    control = Control()
    control.cancel()
    with pytest.raises(Cancelled):
        load_backbone(BackboneSettings(), device=CPU, control=control)


def facts_of(architecture: str, **lora):
    backbone = BackboneSettings(name="local", checkpoint="x", architecture=architecture)
    settings = RunSettings(backbone=backbone, lora=LoraSettings(**lora))
    return describe_recipe(settings, classes=10, flops_per_second=1e11)


class TestRecipeFacts:
    def test_the_papers_placement_has_184320_parameters(self) -> None:
        settings = RunSettings(backbone=BackboneSettings(name="ViT-B-32", weights="openai"))
        facts = describe_recipe(settings, classes=10, flops_per_second=None)
        assert facts.trainable_parameters == 184_320
        assert (facts.total_steps, facts.image_size, facts.estimated_seconds) == (8000, 224, None)

    @pytest.mark.parametrize(
        ("architecture", "blocks"),
        [
            ("ViT-L-14", {1024: 24, 768: 12}),
            ("ViT-B-16-SigLIP", {768: 12 + 12}),
            ("EVA02-B-16", {768: 12, 512: 12}),
            ("MobileCLIP-B", {768: 12, 512: 12}),
            ("MobileCLIP-S1", {1024: 2, 512: 12}),
        ],
    )
    def test_other_families_are_counted_exactly(self, architecture, blocks) -> None:
        expected = sum(count * 3 * 2 * (width + width) for width, count in blocks.items())
        assert facts_of(architecture).trainable_parameters == expected

    def test_an_mlp_counts_both_its_layers(self) -> None:
        per_block = {width: 2 * 2 * (width + 4 * width) for width in (768, 512)}
        facts = facts_of("ViT-B-32", matrices=("mlp",), layers=(0, 11))
        assert facts.trainable_parameters == 2 * sum(per_block.values())

    def test_layers_no_tower_has_are_refused(self) -> None:
        with pytest.raises(BackboneError, match="12 blocks in its vision tower and 12 blocks"):
            facts_of("ViT-B-32", layers=(12,))

    def test_operations_are_those_of_the_formula(self) -> None:
        config = model_config(BackboneSettings(name="ViT-B-32", weights="openai"))
        width, tokens, layers = 768, 50, 12
        transformer = (layers - 1) * (24 * width**2 * tokens + 4 * tokens**2 * width)
        # The last block answers for the class token alone; only its keys and values see all tokens.
        transformer += 4 * width**2 * tokens + 20 * width**2 + 4 * tokens * width
        patches = 2 * 3 * 32**2 * width * 49 + 2 * width * 512
        assert costs(config)["vision"].flops == transformer + patches
        width, tokens = 512, 12
        transformer = layers * (24 * width**2 * tokens + 4 * tokens**2 * width)
        assert costs(config)["text"].flops == transformer

    def test_an_architecture_is_built_once(self, monkeypatch) -> None:
        built = []
        monkeypatch.setattr(blueprint, "build", lambda config: built.append(config) or build(config))
        first = facts_of("ViT-S-16-alt", rank=2)
        assert facts_of("ViT-S-16-alt", rank=4).trainable_parameters == 2 * first.trainable_parameters
        assert len(built) == 1
