"""The whole path at real size: ViT-B/32 (151 M parameters, random weights) on 400 px photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from advclip_gui.engine.control import Control
from advclip_gui.engine.export import export_adapter, load_classifier
from advclip_gui.engine.images import open_image, prepare
from advclip_gui.engine.probe import ProbeRequest, probe
from advclip_gui.engine.runs import RunFolder
from advclip_gui.engine.training import train
from advclip_gui.settings import RunSettings

CLOTHING = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "clothing"

pytestmark = [
    pytest.mark.slow(reason="makes, hashes and trains a model of 605 MB"),
    pytest.mark.skipif(not CLOTHING.is_dir(), reason="needs the clothing photos beside the checkout"),
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import open_clip
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("weights") / "vit b32 random.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CLIP(**open_clip.get_model_config("ViT-B-32"))
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    return path


def test_train_probe_and_export_with_a_local_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in CLOTHING.rglob("*")}
    settings = RunSettings.checked(
        {
            "device": "cpu",
            "data": {"folder": str(CLOTHING), "shots": 2, "val_shots": 1},
            "backbone": {"name": "local", "checkpoint": str(checkpoint), "architecture": "ViT-B-32"},
            "training": {"steps": 2, "batch_size": 4, "learning_rate": 0.01},
            "monitor": {"every": 2, "images": 4, "attack_steps": 2, "final_images": 4},
        }
    )
    run = train(settings, control=Control(), run_dir=tmp_path / "run")
    assert run.result["trainable_parameters"] == 184_320
    assert run.result["adapter"]["n"] == 4
    assert {path: path.stat().st_mtime_ns for path in CLOTHING.rglob("*")} == before

    out = export_adapter(run.run_dir, tmp_path / "adapter")
    assert str(checkpoint.parent).encode() not in b"".join(path.read_bytes() for path in out.iterdir())
    classifier = load_classifier(out, control=Control(), checkpoint=str(checkpoint), device="cpu")
    photo = prepare(open_image(next(iter(sorted(CLOTHING.glob("test/hat/*.jpg"))))), 224)
    result = probe(classifier, np.asarray(photo), ProbeRequest(epsilon=4 / 255, steps=2), control=Control())
    assert result.adversarial.shape == (224, 224, 3)
    assert result.linf <= 4 / 255 + 1e-6
    assert RunFolder(run.run_dir).state() == "finished"
