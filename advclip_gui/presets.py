"""Ready-made settings: the demo, the paper's, plain CLIP-LoRA and TRADES."""

from __future__ import annotations

from dataclasses import dataclass

from advclip_gui.settings import (
    AdversarySettings,
    BackboneSettings,
    DataSettings,
    LoraSettings,
    MonitorSettings,
    RunSettings,
    TrainingSettings,
)


@dataclass(frozen=True, slots=True)
class Preset:
    """Settings with a title and one sentence on what they are for."""

    title: str
    summary: str
    settings: RunSettings


DEMO_EPSILON = 2 / 255

_DEMO = RunSettings(
    name="Demo",
    data=DataSettings(val_shots=10),
    lora=LoraSettings(rank=8, alpha=1.0, dropout=0.0, encoder="vision"),
    adversary=AdversarySettings(kind="per_sample", inner_steps=2, epsilon=DEMO_EPSILON, step_size=1.5 / 255),
    training=TrainingSettings(
        steps=150,
        batch_size=32,
        learning_rate=3e-3,
        warmup=0.05,
        clean_share=0.5,
        augmentation="light",
    ),
    monitor=MonitorSettings(every=25, images=100, epsilon=DEMO_EPSILON, final_images=500),
)

_PAPER = RunSettings(
    backbone=BackboneSettings(name="ViT-B-32", weights="openai"),
    adversary=AdversarySettings(kind="universal", inner_steps=2, epsilon=1 / 255, step_size=0.5 / 255),
    training=TrainingSettings(compare_plain=True),
    monitor=MonitorSettings(every=100, images=100, epsilon=1 / 255, checkpoint_every=200),
)

PRESETS: dict[str, Preset] = {
    "demo": Preset("Demo", "Bundled photos and backbone; about three minutes on two CPU cores.", _DEMO),
    "paper-b32": Preset(
        "Paper (ViT-B/32)",
        "The paper's placement and schedule with a universal perturbation, in the sound protocol.",
        _PAPER.model_copy(update={"name": "Paper ViT-B/32"}),
    ),
    "paper-b16": Preset(
        "Paper (ViT-B/16)",
        "As the paper's ViT-B/32 settings, on 16 px patches.",
        _PAPER.model_copy(
            update={
                "name": "Paper ViT-B/16",
                "backbone": BackboneSettings(name="ViT-B-16", weights="openai"),
            }
        ),
    ),
    "released": Preset(
        "Paper (as released)",
        "The arithmetic of the authors' published code, to compare with its figures; not a threat model.",
        _PAPER.model_copy(
            update={
                "name": "Paper, as released",
                "monitor": _PAPER.monitor.model_copy(update={"attack_steps": 100, "every": 500}),
            }
        ).under("released"),
    ),
    "plain": Preset(
        "Plain CLIP-LoRA",
        "The baseline: the same adapter without an adversary (m = 0).",
        _PAPER.model_copy(
            update={
                "name": "CLIP-LoRA",
                "adversary": _PAPER.adversary.model_copy(update={"inner_steps": 0}),
                "training": TrainingSettings(),
            }
        ),
    ),
    "trades": Preset(
        "TRADES",
        "Clean loss plus a KL term that ties the adversarial prediction to the clean one.",
        _PAPER.model_copy(
            update={
                "name": "TRADES",
                "adversary": AdversarySettings(
                    kind="per_sample", inner_steps=3, epsilon=1 / 255, step_size=0.5 / 255
                ),
                "training": TrainingSettings(clean_share=1.0, trades_beta=6.0),
            }
        ),
    ),
}
