"""Tiny real CLIPs and small real image folders, built once for all engine tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from advclip_gui.engine.attention import split_attention
from advclip_gui.engine.backbones import Backbone
from advclip_gui.engine.resources import demo_folder
from advclip_gui.settings import RunSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TINY: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 32, "layers": 3, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def make_backbone(seed: int = 0, *, split: bool = True) -> Backbone:
    import open_clip
    from open_clip.model import CLIP

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CLIP(**TINY)
        for parameter in model.parameters():
            # open_clip starts its projections small; features of some size make differences visible.
            if parameter.ndim >= 2:
                torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    model.eval().requires_grad_(False)
    if split:
        split_attention(model)
    return Backbone(
        model=model,
        tokenizer=open_clip.get_tokenizer("ViT-B-32"),
        image_size=16,
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.25, 0.3),
        interpolation="bicubic",
        resize_mode="shortest",
        title="tiny",
        architecture="tiny",
        source="memory",
        sha256="",
        hub_id="",
        device=torch.device("cpu"),
    )


@pytest.fixture
def backbone() -> Backbone:
    return make_backbone()


@pytest.fixture
def new_backbone() -> Callable[..., Backbone]:
    return make_backbone


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of bundled photos, 8 training and 6 test images each, under names with a space."""
    root = tmp_path_factory.mktemp("small data")
    for name in ("cat", "ship", "truck"):
        for split, count in (("train", 8), ("test", 6)):
            target = root / split / name
            target.mkdir(parents=True)
            for source in sorted((demo_folder() / split / name).glob("*.jpg"))[:count]:
                (target / source.name).write_bytes(source.read_bytes())
    return root


@pytest.fixture
def small_run(small_folder: Path) -> RunSettings:
    """Six steps of AdvCLIP-LoRA on both towers of the bundled backbone, with dropout."""
    return RunSettings.checked(
        {
            "device": "cpu",
            "data": {"folder": str(small_folder), "shots": 4, "val_shots": 2},
            "lora": {"rank": 2, "dropout": 0.25},
            "adversary": {"inner_steps": 2, "epsilon": "2/255", "step_size": "1/255"},
            "training": {"steps": 6, "batch_size": 4, "learning_rate": 0.01},
            "monitor": {"every": 3, "images": 6, "attack_steps": 2, "final_images": 6, "checkpoint_every": 2},
        }
    )


@pytest.fixture
def photo() -> np.ndarray:
    path = next(iter(sorted((demo_folder() / "test" / "cat").glob("*.jpg"))))
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
