"""The two optimisations, inner and outer, and the evaluation between their steps."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from advclip_gui.settings.lengths import Norm, Radius, check_within_pixels
from advclip_gui.settings.section import Section


class AdversarySettings(Section):
    """The inner maximisation. m = 0 is plain CLIP-LoRA."""

    kind: Literal["per_sample", "universal"] = Field(
        default="per_sample",
        title="Adversary",
        description="PGD on each image, or one perturbation shared by all images (as in the paper).",
    )
    inner_steps: int = Field(
        default=2,
        ge=0,
        le=100,
        title="Inner steps m",
        description="Steps of the adversary before each update; 0 trains without an adversary.",
    )
    norm: Norm = Field(
        default="Linf",
        title="Norm",
        description="L-infinity bounds every pixel, L2 the length of the whole perturbation.",
    )
    epsilon: Radius = Field(
        default=1 / 255,
        title="Epsilon",
        description="Radius of the ball the perturbation stays in while training.",
    )
    step_size: Radius = Field(
        default=0.5 / 255,
        title="Step size alpha",
        description="Length of one inner step: of the sign (L-infinity) or of the unit gradient (L2).",
    )
    random_start: bool = Field(
        default=True,
        title="Random start",
        description="Begin anywhere in the epsilon ball (per-sample only).",
    )
    epsilon_warmup: float = Field(
        default=0.0,
        ge=0,
        le=1,
        title="Epsilon warm-up",
        description="Share of all steps in which epsilon and step size rise from 0 to their values.",
    )

    @model_validator(mode="after")
    def _pixels_end_at_one(self) -> Self:
        check_within_pixels(self.norm, epsilon=self.epsilon, step_size=self.step_size)
        return self


class TrainingSettings(Section):
    """The outer minimisation: AdamW with warm-up and a cosine schedule."""

    steps: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        title="Steps",
        description="LoRA updates; 0 means 500 x shots, as in the paper.",
    )
    batch_size: int = Field(
        default=32, ge=1, le=4096, title="Batch size", description="Images in one update."
    )
    accumulation: int = Field(
        default=1,
        ge=1,
        le=4096,
        title="Accumulation",
        description="Parts a batch is computed in, one after another: less memory, the same update.",
    )
    learning_rate: float = Field(
        default=2e-4, gt=0, le=1, title="Learning rate", description="AdamW's, at its peak."
    )
    final_learning_rate: float = Field(
        default=1e-6, ge=0, le=1, title="Final learning rate", description="Where the cosine ends."
    )
    warmup: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        title="Warm-up",
        description="Share of all steps with a rising learning rate.",
    )
    weight_decay: float = Field(default=1e-2, ge=0, le=1, title="Weight decay", description="AdamW's.")
    gradient_clip: float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        title="Gradient clip",
        description="Longest gradient of all LoRA matrices together (L2); 0 is off.",
    )
    clean_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        title="Clean share",
        description="Weight of the loss on clean images; the rest is adversarial.",
    )
    trades_beta: float = Field(
        default=0.0,
        ge=0,
        le=100,
        title="TRADES beta",
        description="Weight of the KL divergence between clean and adversarial prediction; 0 is off.",
    )
    augmentation: Literal["paper", "light", "none"] = Field(
        default="paper",
        title="Augmentation",
        description="Random resized crop 0.08-1 and flip; small shifts and flip; or none.",
    )
    patience: int = Field(
        default=0,
        ge=0,
        le=10_000,
        title="Patience",
        description="Evaluations without a better robust validation accuracy before training ends early "
        "(the best adapter is kept); 0 is off.",
    )
    keep_best: bool = Field(
        default=False,
        title="Keep best",
        description="End with the adapter of the best robust validation accuracy, not the last one.",
    )
    compare_plain: bool = Field(
        default=False,
        title="Train CLIP-LoRA too",
        description="Afterwards train the same adapter without an adversary and evaluate it beside.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**31 - 1,
        title="Seed",
        description="Of the adapter, the batches and the attacks.",
    )


class MonitorSettings(Section):
    """Evaluation while training, and at its end."""

    every: int = Field(
        default=25, ge=1, le=1_000_000, title="Evaluate every", description="Steps between two evaluations."
    )
    images: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        title="Images",
        description="Validation images used while training (test images where there is no validation set).",
    )
    norm: Norm = Field(
        default="Linf", title="Norm", description="Of the robust accuracy, while training and at the end."
    )
    epsilon: Radius = Field(
        default=1 / 255, title="Epsilon", description="Of the robust accuracy, while training and at the end."
    )
    attack_steps: int = Field(
        default=10, ge=1, le=1000, title="PGD steps", description="Of the robust accuracy, live and final."
    )
    final_images: int = Field(
        default=1000,
        ge=0,
        le=1_000_000,
        title="Final images",
        description="Test images evaluated at the end of the run; 0 leaves the final evaluation out.",
    )
    checkpoint_every: int = Field(
        default=50, ge=1, le=1_000_000, title="Checkpoint every", description="Steps between two checkpoints."
    )

    @model_validator(mode="after")
    def _pixels_end_at_one(self) -> Self:
        check_within_pixels(self.norm, epsilon=self.epsilon)
        return self
