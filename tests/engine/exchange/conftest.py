"""A tiny CLIP on disk, and adapters on it whose matrices are large enough to be seen in every logit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file

from advclip_gui.engine import adapters
from advclip_gui.engine.backbones import Backbone, load_backbone
from advclip_gui.engine.classifier import build_classifier
from advclip_gui.engine.control import Control
from advclip_gui.engine.exchange.formats import INFO_FILE
from advclip_gui.engine.exchange.info import AdapterInfo, record_of
from advclip_gui.engine.files import write_json_atomic
from advclip_gui.settings import BackboneSettings, LoraSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = ("cat", "container ship", "red truck")
TEMPLATES = ("a photo of a {}.", "{}, seen from afar")


@dataclass(frozen=True)
class Adapted:
    """An adapter folder, its backbone on disk, and the app's own answers."""

    folder: Path
    backbone: BackboneSettings
    pixels: torch.Tensor
    logits: torch.Tensor
    zero_shot: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor
    tokens: torch.Tensor

    @property
    def normalised(self) -> torch.Tensor:
        return (self.pixels - self.mean) / self.std

    def compared(self, image: torch.Tensor, text: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """Logits of another library's features, prompts averaged as the app does."""
        image = torch.nn.functional.normalize(image, dim=-1)
        text = torch.nn.functional.normalize(text, dim=-1).view(len(NAMES), len(TEMPLATES), -1).mean(1)
        return scale.exp() * image @ torch.nn.functional.normalize(text, dim=-1).T


@pytest.fixture(scope="session")
def new_clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., BackboneSettings]:
    """Write the tiny CLIP as open_clip saves it, under a path that no export may name."""
    from open_clip.model import CLIP

    from tests.engine.conftest import TINY

    def make(**more: Any) -> BackboneSettings:
        folder = tmp_path_factory.mktemp("home of user") / "tiny-clip"
        folder.mkdir()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = CLIP(**{**TINY, **more})
            for parameter in model.parameters():
                if parameter.ndim >= 2:  # as in the other tests' tiny CLIP
                    torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
        save_file(
            {key: value.contiguous() for key, value in model.state_dict().items()},
            folder / "open_clip_model.safetensors",
        )
        preprocess = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3], "interpolation": "bilinear"}
        config = {"model_cfg": {**TINY, **more}, "preprocess_cfg": preprocess}
        (folder / "open_clip_config.json").write_text(json.dumps(config))
        return BackboneSettings(name="local", checkpoint=str(folder))

    return make


@pytest.fixture(scope="session")
def tiny_clip(new_clip_folder: Callable[..., BackboneSettings]) -> BackboneSettings:
    return new_clip_folder()


def load(settings: BackboneSettings) -> Backbone:
    return load_backbone(settings, device=torch.device("cpu"), control=Control())


def adapted(settings: BackboneSettings, folder: Path, lora: LoraSettings, size: int = 16) -> Adapted:
    """Put an adapter on a backbone and write it as this program keeps it."""
    backbone = load(settings)
    generator = torch.Generator().manual_seed(1)
    pixels = torch.rand(3, 3, size, size, generator=generator)
    with torch.no_grad():
        plain = build_classifier(backbone, NAMES, TEMPLATES)
        zero_shot = plain(pixels)
        adapters.adapt(backbone, adapters.placement(backbone.model, lora), seed=0)
        for layer in adapters.lora_layers(backbone.model).values():
            weight = layer.lora_B["default"].weight
            weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
        classifier = build_classifier(backbone, NAMES, TEMPLATES)
        logits = classifier(pixels)
    assert (logits - zero_shot).abs().max() > 1e-2  # else nothing below could fail
    adapters.save_adapter(backbone, folder)
    info = AdapterInfo(settings, NAMES, TEMPLATES, backbone.sha256, None, "test adapter")
    write_json_atomic(folder / INFO_FILE, record_of(info, "peft", paths=True))
    tokens = backbone.tokenizer([template.format(name) for name in NAMES for template in TEMPLATES])
    return Adapted(folder, settings, pixels, logits, zero_shot, classifier.mean, classifier.std, tokens)


@pytest.fixture
def on_tiny(tiny_clip: BackboneSettings, tmp_path: Path) -> Callable[[LoraSettings], Adapted]:
    return lambda lora: adapted(tiny_clip, tmp_path / "kept" / "adapter", lora)


@pytest.fixture
def sample(on_tiny: Callable[[LoraSettings], Adapted]) -> Adapted:
    """Both towers, all of q, k, v, o."""
    return on_tiny(LoraSettings(rank=3, alpha=2, matrices=("q", "k", "v", "o")))
