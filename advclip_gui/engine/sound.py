"""The sound protocol of one update: the threat model of the robustness field.

The classifier takes pixels in [0, 1], delta lives in pixel units, x + delta is clamped to [0, 1], the
model is in evaluation mode inside the attack and in training mode for the update.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from advclip_gui.engine.adversary import Adversary, Perturbed
from advclip_gui.engine.objective import Objective, divergence, inner_gain
from advclip_gui.engine.randomness import generator_at
from advclip_gui.engine.schedule import warmed_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from advclip_gui.engine.classifier import ClipClassifier
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.trainer import Batch, Trainer
    from advclip_gui.settings import RunSettings


class SoundProtocol:
    """PGD or a universal perturbation on the merged model, then the objective in training mode."""

    text_before_attack = False
    whole_epochs = False

    def __init__(self, settings: RunSettings, image_size: int, device: torch.device) -> None:
        """Begin with a zero universal perturbation."""
        self.settings = settings
        self.adversary = Adversary(settings.adversary, image_size, device)
        self.objective = Objective.of(settings.training)

    @property
    def views(self) -> int:
        """Images in one forward pass of the update, for each image of the batch."""
        return self.objective.views if self.adversary.active else 1

    def perturb(self, trainer: Trainer, batch: Batch, text: Tensor | None, control: Control) -> Perturbed:
        """Maximise the inner loss; without an adversary return the images as they are."""
        if not self.adversary.active:
            return Perturbed(batch.pixels, self.adversary.universal)
        settings = self.settings
        with trainer.autocast(), trainer.evaluation_mode() as classifier:
            return self.adversary.perturb(
                batch.pixels,
                self._inner_loss(classifier, batch, trainer.attack_scale),
                generator_at(settings.training.seed, "adversary", batch.step, trainer.device),
                control,
                parts=batch.parts,
                scale=warmed_up(settings.adversary.epsilon_warmup, batch.step, settings.total_steps),
            )

    def _inner_loss(
        self, classifier: ClipClassifier, batch: Batch, scale: float
    ) -> Callable[[Tensor, slice], Tensor]:
        """What the adversary maximises: cross-entropy, or the KL term where TRADES is on."""
        if self.settings.training.trades_beta == 0:
            return lambda pixels, part: scale * F.cross_entropy(classifier(pixels), batch.labels[part])
        with torch.no_grad():
            reference = torch.cat([classifier(batch.pixels[part]) for part in batch.parts])
        return lambda pixels, part: scale * divergence(classifier(pixels), reference[part])

    def loss(
        self, classifier: ClipClassifier, text: Tensor, batch: Batch, found: Perturbed, part: slice
    ) -> Tensor:
        """Mean loss of a part of the batch, with a graph to LoRA and text features."""
        clean, labels = batch.pixels[part], batch.labels[part]
        if not self.adversary.active:
            return F.cross_entropy(classifier.logits(clean, text), labels)
        return self.objective.loss(classifier, text, clean, found.images[part], labels)

    def commit(self, found: Perturbed) -> None:
        """Carry the universal perturbation over, now that its step is done."""
        if self.adversary.active and self.settings.adversary.kind == "universal":
            self.adversary.universal = found.delta

    @torch.no_grad()
    def diagnose(self, trainer: Trainer, batch: Batch, found: Perturbed) -> dict[str, Tensor]:
        """Losses before and after the inner maximisation, |delta| and the share of flipped samples."""
        with trainer.autocast(), trainer.evaluation_mode() as classifier:
            before = torch.cat([classifier(batch.pixels[part]) for part in batch.parts])
            if not self.adversary.active:
                return {"clean": F.cross_entropy(before, batch.labels)}
            after = torch.cat([classifier(found.images[part]) for part in batch.parts])
        size = self.adversary.ball.size(found.images - batch.pixels).mean()
        return inner_gain(before, after, batch.labels) | {"delta": size}
