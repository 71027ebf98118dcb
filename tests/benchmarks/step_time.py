"""How long one training update takes: the Demo recipe, and ViT-B/32 at its real size."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _measure import figure, repeats, run, seconds

from advclip_gui.presets import PRESETS
from advclip_gui.settings import (
    AdversarySettings,
    BackboneSettings,
    DataSettings,
    RunSettings,
    TrainingSettings,
)

CLASSES = tuple(f"class {number}" for number in range(10))


def measure(quick: bool) -> dict[str, Any]:
    """Time updates with and without an adversary; ViT-B/32 is left out of a quick run."""
    from advclip_gui.engine.devices import choose_device, describe_device

    figures = {}
    demo = PRESETS["demo"].settings
    plain = demo.model_copy(update={"adversary": demo.adversary.model_copy(update={"inner_steps": 0})})
    figures["demo"] = _update(demo, repeats(quick))
    figures["demo, no adversary"] = _update(plain, repeats(quick))
    if not quick:
        with tempfile.TemporaryDirectory() as folder:
            weights = _random_weights(Path(folder), "ViT-B-32")
            settings = RunSettings(
                data=DataSettings(shots=1),
                backbone=BackboneSettings(name="local", checkpoint=str(weights), architecture="ViT-B-32"),
                adversary=AdversarySettings(kind="universal", inner_steps=2),
                training=TrainingSettings(batch_size=8),
            )
            figures["ViT-B/32, batch 8, m = 2"] = _update(settings, 3)
    return {"figures": figures, "details": {"device": describe_device(choose_device("auto"))}}


def _update(settings: RunSettings, times: int) -> dict[str, Any]:
    from advclip_gui.engine.backbones import load_backbone
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.sampling import Split
    from advclip_gui.engine.devices import choose_device
    from advclip_gui.engine.preparation import ImageSet, Prepared
    from advclip_gui.engine.trainer import Trainer

    control = Control()
    backbone = load_backbone(settings.backbone, device=choose_device("auto"), control=control)
    numbers = np.random.default_rng(0)
    size, count = backbone.image_size, max(32, settings.training.batch_size)
    images = ImageSet(
        numbers.integers(0, 256, (count, size, size, 3), dtype=np.uint8),
        numbers.integers(0, len(CLASSES), count),
    )
    prepared = Prepared(
        scan=None,  # type: ignore[arg-type] (a step never looks at the folder)
        split=Split((), (), (), CLASSES),
        class_names=CLASSES,
        backbone=backbone,
        train=images,
        monitor=images,
        monitor_split="val",
    )
    trainer = Trainer(settings, prepared)

    def step() -> None:
        scalars = trainer.advance(control, diagnose=False)
        # Reading a value waits for the device.
        for value in scalars.values():
            float(value)

    return figure([1000 * value for value in seconds(step, times)], "ms")


def _random_weights(folder: Path, architecture: str) -> Path:
    from advclip_gui.engine.torchvision_cure import ensure_torchvision

    ensure_torchvision()
    import open_clip
    from safetensors.torch import save_file

    path = folder / f"{architecture}.safetensors"
    state = open_clip.create_model(architecture).state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    return path


if __name__ == "__main__":
    run(measure)
