"""Backbones from folders, repositories and archives: all follows the weights."""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import open_clip
import pytest
import torch
from open_clip.model import CLIP, CustomTextCLIP
from safetensors.torch import load_file, save_file

from advclip_gui.engine import blueprint
from advclip_gui.engine.backbones import load_backbone
from advclip_gui.engine.catalog import availability
from advclip_gui.engine.clip_source import from_hugging_face, preprocessing_of
from advclip_gui.engine.control import Control
from advclip_gui.engine.errors import BackboneError, CheckpointError
from advclip_gui.engine.state_dicts import load_weights, read_state_dict
from advclip_gui.settings import BackboneSettings
from tests.engine.conftest import TINY

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")
PREPROCESS = {
    "mean": [0.1, 0.2, 0.3],
    "std": [0.5, 0.6, 0.7],
    "interpolation": "bilinear",
    "resize_mode": "squash",
}


def load(path: Path, **more: Any):
    settings = BackboneSettings(name="local", checkpoint=str(path), **more)
    return load_backbone(settings, device=CPU, control=Control())


def tiny_clip(seed: int = 0, **more: Any) -> CLIP:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CLIP(**TINY, **more)
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    return model.eval().requires_grad_(False)


def features(model: Any, pixels: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        return model.encode_image(pixels), model.encode_text(tokens)


def same(loaded: Any, expected: tuple[torch.Tensor, torch.Tensor], inputs: tuple[Any, Any]) -> None:
    for got, wanted in zip(features(loaded.model, *inputs), expected, strict=True):
        assert wanted.abs().max() > 0.05
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.fixture
def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    tokens = open_clip.get_tokenizer("ViT-B-32")(["a photo of a cat.", "a truck"])
    return torch.rand(2, 3, 16, 16, generator=generator), tokens


class TestHuggingFaceFolders:
    @pytest.fixture(params=["quick_gelu", "gelu"])
    def act(self, request) -> str:
        return request.param

    @pytest.fixture
    def folder(self, act, tmp_path) -> Path:
        from transformers import CLIPConfig, CLIPModel

        towers = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "hidden_act": act}
        config = CLIPConfig(
            text_config={**towers, "intermediate_size": 96, "layer_norm_eps": 1e-3},
            vision_config={**towers, "intermediate_size": 64, "image_size": 16, "patch_size": 8},
            projection_dim=24,
        )
        with torch.random.fork_rng():
            torch.manual_seed(3)
            model = CLIPModel(config).eval()
            for parameter in model.parameters():
                torch.nn.init.normal_(
                    parameter, std=parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.3
                )
        self.model = model
        folder = tmp_path / "mein größtes clip"
        model.save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text(
            json.dumps(
                {
                    "image_mean": [0.4, 0.5, 0.6],
                    "image_std": [0.2, 0.3, 0.4],
                    "resample": 2,
                    "size": {"shortest_edge": 16},
                    "crop_size": {"height": 16, "width": 16},
                }
            )
        )
        return folder

    def test_features_are_those_of_transformers(self, folder, act, inputs) -> None:
        loaded = load(folder)
        pixels, tokens = inputs
        with torch.no_grad():
            expected = (
                self.model.visual_projection(self.model.vision_model(pixel_values=pixels).pooler_output),
                self.model.text_projection(self.model.text_model(input_ids=tokens).pooler_output),
            )
        same(loaded, expected, inputs)
        assert loaded.mean == (0.4, 0.5, 0.6)
        assert loaded.std == (0.2, 0.3, 0.4)
        assert (loaded.interpolation, loaded.resize_mode, loaded.image_size) == ("bilinear", "shortest", 16)
        assert (loaded.source, loaded.architecture) == ("model.safetensors", "")

    @pytest.mark.parametrize("act", ["gelu"], indirect=True)
    def test_the_preprocessing_that_transformers_saves_is_read(self, folder) -> None:
        from transformers import CLIPImageProcessor

        (folder / "preprocessor_config.json").unlink()
        told = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4], "resample": 2}
        processor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=16, **told)
        processor.save_pretrained(folder)
        alone = load(folder)
        (folder / "preprocessor_config.json").unlink()
        # As a whole processor is saved since transformers 5.
        whole = {"image_processor": processor.to_dict(), "processor_class": "CLIPProcessor"}
        (folder / "processor_config.json").write_text(json.dumps(whole))
        for loaded in (alone, load(folder)):
            assert (loaded.mean, loaded.std) == ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
            assert (loaded.interpolation, loaded.resize_mode) == ("bilinear", "shortest")

    @pytest.mark.parametrize("act", ["quick_gelu"], indirect=True)
    def test_the_activation_can_be_forced(self, folder, inputs) -> None:
        free, forced = load(folder), load(folder, quick_gelu=False)
        assert not torch.allclose(features(free.model, *inputs)[0], features(forced.model, *inputs)[0])

    @pytest.mark.parametrize("act", ["gelu"], indirect=True)
    def test_pickled_tensors_and_a_missing_projection(self, folder, inputs) -> None:
        tensors = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        torch.save(tensors, folder / "pytorch_model.bin")
        assert load(folder).source == "pytorch_model.bin"
        del tensors["vision_model.encoder.layers.1.self_attn.k_proj.bias"]
        torch.save(tensors, folder / "pytorch_model.bin")
        with pytest.raises(CheckpointError, match=r"resblocks\.1 lacks the bias of k_proj"):
            load(folder)

    @pytest.mark.parametrize("act", ["gelu"], indirect=True)
    def test_a_mismatch_names_the_first_three_keys(self, folder) -> None:
        tensors = load_file(folder / "model.safetensors")
        left = {key: value for key, value in tensors.items() if "text_model.encoder.layers.2" not in key}
        save_file(left, folder / "model.safetensors")
        with pytest.raises(
            CheckpointError, match=r"lacks transformer\.resblocks\.2\.attn[^,]*, [^,]+, [^,]+ and \d+ more"
        ):
            load(folder)


def test_a_known_shape_is_recognised() -> None:
    from transformers import CLIPConfig

    from advclip_gui.engine.blueprint import architecture_of

    assert architecture_of(from_hugging_face(CLIPConfig().to_dict(), "x")) == "ViT-B-32-quickgelu"
    gelu = {"hidden_act": "gelu"}
    plain = CLIPConfig(text_config=gelu, vision_config={**gelu, "patch_size": 16}).to_dict()
    assert architecture_of(from_hugging_face(plain, "x")) == "ViT-B-16"
    assert architecture_of(TINY) == ""


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "siglip"}, "not a CLIP of Hugging Face .*siglip"),
        ({}, "not a CLIP of Hugging Face"),
        ({"model_type": "clip", "text_config": {"hidden_act": "relu"}}, "activation open_clip lacks"),
        ({"model_type": "clip", "text_config": {"vocab_size": 12}}, "12 words instead of"),
        ({"model_type": "clip", "vision_config": {"hidden_size": "wide"}}, "not as it should be"),
    ],
)
def test_other_configurations_are_refused(config, reason) -> None:
    with pytest.raises(CheckpointError, match=reason):
        from_hugging_face(config, "folder")


def test_preprocessing_files_are_read_as_far_as_they_tell() -> None:
    assert preprocessing_of({}) == {}
    unscaled = {"do_normalize": False, "image_mean": [0.5, 0.5, 0.5]}
    assert preprocessing_of(unscaled) == {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
    squash = {"size": {"height": 20, "width": 20}, "do_center_crop": False, "resample": 3}
    assert preprocessing_of(squash) == {"size": 20, "resize_mode": "squash", "interpolation": "bicubic"}
    assert preprocessing_of({"size": 18, "resample": 1, "image_mean": 0.5}) == {
        "size": 18,
        "resize_mode": "shortest",
    }


class TestOpenClipFolders:
    @pytest.fixture
    def folder(self, tmp_path) -> Path:
        self.write(tmp_path, {"model_cfg": {**TINY, "quick_gelu": True}, "preprocess_cfg": PREPROCESS})
        save_file(tiny_clip(quick_gelu=True).state_dict(), tmp_path / "open_clip_model.safetensors")
        return tmp_path

    @staticmethod
    def write(folder: Path, content: Any) -> None:
        (folder / "open_clip_config.json").write_text(json.dumps(content))

    def test_configuration_activation_and_preprocessing_are_the_folders(self, folder, inputs) -> None:
        loaded = load(folder, architecture="ViT-L-14")
        same(loaded, features(tiny_clip(quick_gelu=True), *inputs), inputs)
        assert (loaded.mean, loaded.std) == ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
        assert (loaded.interpolation, loaded.resize_mode, loaded.image_size) == ("bilinear", "squash", 16)
        assert folder.name in availability(BackboneSettings(name="local", checkpoint=str(folder))).sentence

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"mean": 0.5}, "mean beside .* is not one number per channel"),
            ({"resize_mode": "stretch"}, "'stretch', is not supported"),
        ],
    )
    def test_preprocessing_that_makes_no_sense(self, folder, change, reason) -> None:
        self.write(folder, {"model_cfg": TINY, "preprocess_cfg": PREPROCESS | change})
        with pytest.raises(CheckpointError, match=reason):
            load(folder)

    @pytest.mark.parametrize("content", [{"model_cfg": {}}, [], {"embed_dim": 3}])
    def test_a_configuration_of_nothing(self, folder, content) -> None:
        self.write(folder, content)
        with pytest.raises(BackboneError, match=r"open_clip_config\.json"):
            load(folder)

    def test_a_cut_off_configuration(self, folder) -> None:
        (folder / "open_clip_config.json").write_text('{"model_cfg": ')
        with pytest.raises(BackboneError, match="not a JSON file"):
            load(folder)

    def test_what_is_lacking_is_said(self, folder) -> None:
        (folder / "open_clip_config.json").unlink()
        with pytest.raises(BackboneError, match="holds weights, but no open_clip_config"):
            load(folder)
        (folder / "open_clip_model.safetensors").unlink()
        with pytest.raises(BackboneError, match="holds no weights"):
            load(folder)


def test_a_repository_in_the_cache_is_loaded_by_its_own_configuration(tmp_path, monkeypatch, inputs) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--someone--clip" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    settings = BackboneSettings(name="hf-hub:someone/clip")
    save_file(tiny_clip(2).state_dict(), snapshot / "open_clip_model.safetensors")
    assert not availability(settings).here, "the weights alone do not say what they are"
    (snapshot / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": TINY, "preprocess_cfg": PREPROCESS})
    )
    loaded = load_backbone(settings, device=CPU, control=Control())
    same(loaded, features(tiny_clip(2), *inputs), inputs)
    assert (loaded.hub_id, loaded.title, loaded.mean) == ("someone/clip", "someone/clip", (0.1, 0.2, 0.3))


def test_the_shape_of_a_repository_is_not_known_before(tmp_path) -> None:
    from advclip_gui.engine.blueprint import model_config

    with pytest.raises(BackboneError, match="known once it has been fetched"):
        model_config(BackboneSettings(name="hf-hub:someone/clip"))
    robust = BackboneSettings(name="hf-hub:chs20/FARE4-ViT-B-32-laion2B-s34B-b79K")
    assert model_config(robust)["vision_cfg"]["patch_size"] == 32


def test_openai_weights_have_openais_activation_and_preprocessing() -> None:
    from advclip_gui.engine.backbones import published_preprocessing
    from advclip_gui.engine.blueprint import model_config

    openai = BackboneSettings(name="ViT-B-32", weights="openai")
    assert model_config(openai)["quick_gelu"] is True
    assert not model_config(BackboneSettings(name="ViT-B-32", weights="laion2b_s34b_b79k")).get("quick_gelu")
    told = published_preprocessing("ViT-B-32-quickgelu", "openai")
    assert (tuple(told["mean"]), told["resize_mode"]) == (open_clip.OPENAI_DATASET_MEAN, "shortest")


def test_names_of_older_checkpoints_are_understood(tmp_path, inputs) -> None:
    plain = tiny_clip(4)
    tensors = {key: value.clone() for key, value in plain.state_dict().items()}
    tensors["logit_scale"] = tensors["logit_scale"].reshape(1)
    custom = CustomTextCLIP(**TINY).eval()
    load_weights(custom, tensors, tmp_path / "old.pt")
    for got, wanted in zip(features(custom, *inputs), features(plain, *inputs), strict=True):
        torch.testing.assert_close(got, wanted)


class TestOpenAiArchives:
    @pytest.fixture
    def archive(self, tmp_path, inputs) -> Path:
        path = tmp_path / "ViT-tiny.pt"
        model = tiny_clip(5, quick_gelu=True)
        examples = {"encode_image": inputs[0][:1], "encode_text": inputs[1][:1]}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing itself, which newer versions advise against
            torch.jit.save(torch.jit.trace_module(model, examples, check_trace=False), str(path))
        return path

    def test_tensors_are_read_and_the_activation_is_quick(self, archive, inputs, monkeypatch) -> None:
        listed = {"tiny": TINY, "tiny-quickgelu": {**TINY, "quick_gelu": True}}
        monkeypatch.setattr(open_clip, "get_model_config", lambda name: json.loads(json.dumps(listed[name])))
        names = {json.dumps(config, sort_keys=True): name for name, config in listed.items()}
        monkeypatch.setattr(blueprint, "listed_architectures", lambda: names)
        assert load(archive, architecture="tiny").architecture == "tiny-quickgelu"
        same(load(archive, architecture="tiny"), features(tiny_clip(5, quick_gelu=True), *inputs), inputs)

    def test_its_code_is_not_even_looked_at(self, archive, tmp_path) -> None:
        other = tmp_path / "other.pt"
        self.rewrite(archive, other, lambda name, data: b"this is no code" if "/code/" in name else data)
        whole, got = read_state_dict(archive), read_state_dict(other)
        assert whole.keys() == got.keys()
        assert all(torch.equal(whole[key], got[key]) for key in whole)

    @staticmethod
    def rewrite(source: Path, target: Path, change: Any) -> None:
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
            for info in old.infolist():
                data = change(info.filename, old.read(info))
                if data is not None:
                    new.writestr(info.filename, data)

    def test_calls_in_its_tree_do_not_run(self, archive, tmp_path) -> None:
        trap = tmp_path / "ran"

        class Evil:
            def __reduce__(self):
                return (open, (str(trap), "w"))

        evil = pickle.dumps({"a": Evil()}, protocol=2)
        other = tmp_path / "evil.pt"
        self.rewrite(archive, other, lambda name, data: evil if name.endswith("/data.pkl") else data)
        with pytest.raises(CheckpointError, match=r"evil\.pt is a TorchScript archive"):
            read_state_dict(other)
        assert not trap.exists()

    @pytest.mark.parametrize("lost", ["data/0", "data/9"])
    def test_lost_or_cut_data(self, archive, tmp_path, lost) -> None:
        for change in (lambda data: None, lambda data: data[:-4]):
            other = tmp_path / "broken.pt"
            self.rewrite(
                archive, other, lambda name, data, c=change: c(data) if name.endswith(lost) else data
            )
            with pytest.raises(CheckpointError, match="cannot be read"):
                read_state_dict(other)

    def test_a_tree_that_is_cut_off(self, archive, tmp_path) -> None:
        other = tmp_path / "broken.pt"
        self.rewrite(archive, other, lambda name, data: data[:900] if name.endswith("/data.pkl") else data)
        with pytest.raises(CheckpointError, match="cannot be read"):
            read_state_dict(other)
