"""One run's model, adversary and optimiser, and the single update they make together."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from advclip_gui.engine import adapters
from advclip_gui.engine.adversary import Adversary
from advclip_gui.engine.augmentation import augment
from advclip_gui.engine.checkpoint import TrainingState, optimizer_tensors, restore_optimizer
from advclip_gui.engine.classifier import ClipClassifier, encode_tokens, to_pixels, tokenize
from advclip_gui.engine.errors import CheckpointError, TrainingError
from advclip_gui.engine.objective import divergence, update_terms
from advclip_gui.engine.randomness import generator_at, seeded_globally
from advclip_gui.engine.schedule import Batches, learning_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.preparation import Prepared
    from advclip_gui.settings import RunSettings

_MAX_NOT_FINITE = 5


class LiveAdapter:
    """The adapter being trained, lent between two steps as a classifier."""

    def __init__(self, trainer: Trainer) -> None:
        """Look at a trainer; nothing is copied."""
        self._trainer = trainer

    @property
    def class_names(self) -> tuple[str, ...]:
        """One for each logit."""
        return self._trainer.prepared.class_names

    @property
    def step(self) -> int:
        """Updates done so far."""
        return self._trainer.step

    def provenance(self) -> dict[str, str]:
        """Title and SHA-256 of the backbone, and how far training has come."""
        backbone = self._trainer.backbone
        return {
            "backbone": backbone.title,
            "backbone_sha256": backbone.sha256,
            "training_step": str(self.step),
        }

    @contextmanager
    def borrow(self) -> Iterator[ClipClassifier]:
        """Within: the live weights, merged, in evaluation mode; training goes on unchanged after it."""
        with self._trainer.evaluation_mode() as classifier:
            yield classifier


class Trainer:
    """The state of one run and its single step; `train` is the loop around it."""

    def __init__(self, settings: RunSettings, prepared: Prepared) -> None:
        """Place the adapter on the prepared backbone and make optimiser and adversary."""
        self.settings = settings
        self.prepared = prepared
        self.backbone = prepared.backbone
        self.device = prepared.backbone.device
        self.step = 0
        self.skipped = 0
        model = self.backbone.model
        self.tokens = tokenize(self.backbone, prepared.class_names, settings.data.templates)
        with torch.no_grad():
            features = encode_tokens(model, self.tokens, len(prepared.class_names))
        self.classifier = ClipClassifier(self.backbone, prepared.class_names, features)
        adapters.adapt(self.backbone, adapters.placement(model, settings.lora), seed=settings.training.seed)
        self.text_adapted = adapters.adapts_text(model)
        self.parameters = adapters.trainable_parameters(model)
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=settings.training.learning_rate, weight_decay=settings.training.weight_decay
        )
        self.adversary = Adversary(settings.adversary, self.backbone.image_size, self.device)
        self.batches = Batches(len(prepared.train), settings.training.batch_size, settings.training.seed)
        self.images = torch.from_numpy(prepared.train.images)
        self.labels = torch.from_numpy(prepared.train.labels)
        self._not_finite_in_a_row = 0

    @contextmanager
    def evaluation_mode(self) -> Iterator[ClipClassifier]:
        """Within: LoRA merged, dropout off, text features up to date."""
        with adapters.merged(self.backbone.model):
            if self.text_adapted:
                with torch.no_grad():
                    self.classifier.text_features.copy_(
                        encode_tokens(self.backbone.model, self.tokens, len(self.prepared.class_names))
                    )
            yield self.classifier

    def autocast(self) -> torch.autocast:
        """Lower precision where the user chose it; losses stay float32."""
        wanted = self.settings.precision == "bfloat16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=wanted)

    def advance(self, control: Control, *, diagnose: bool) -> dict[str, Tensor]:
        """Do one update and return its detached scalars, without waiting for the device.

        Raises:
            Cancelled: within one inner step; the adapter is then as before the step.
            TrainingError: too many non-finite losses in a row.
        """
        training, position = self.settings.training, self.step
        chosen = self.batches.at(position)
        labels = self.labels[chosen].to(self.device)
        clean = augment(
            self._pixels(chosen), training.augmentation, generator_at(training.seed, "augmentation", position)
        )
        adversarial = clean
        scalars: dict[str, Tensor] = {}
        if self.adversary.active:
            with self.evaluation_mode() as classifier, self.autocast():
                adversarial = self.adversary.perturb(
                    clean,
                    self._inner_loss(classifier, clean, labels),
                    generator_at(training.seed, "adversary", position),
                    control,
                )
                if diagnose:
                    scalars |= _diagnose(classifier, clean, adversarial, labels)
        elif diagnose:
            with self.evaluation_mode() as classifier, torch.no_grad():
                scalars["clean"] = F.cross_entropy(classifier(clean), labels)
        return scalars | self._update(clean, adversarial, labels)

    def _pixels(self, chosen: Tensor) -> Tensor:
        return to_pixels(self.images[chosen].numpy(), self.device)

    def _inner_loss(
        self, classifier: ClipClassifier, clean: Tensor, labels: Tensor
    ) -> Callable[[Tensor], Tensor]:
        """What the adversary maximises: cross-entropy, or the KL term where TRADES is on."""
        if self.settings.training.trades_beta == 0:
            return lambda pixels: F.cross_entropy(classifier(pixels), labels)
        with torch.no_grad():
            reference = classifier(clean)
        return lambda pixels: divergence(classifier(pixels), reference)

    def _update(self, clean: Tensor, adversarial: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """One AdamW step in training mode (LoRA dropout on)."""
        training, model = self.settings.training, self.backbone.model
        rate = learning_rate(training, self.step, self.settings.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        model.train()
        try:
            with seeded_globally(training.seed, "dropout", self.step, self.device), self.autocast():
                text = self.classifier.text_features
                if self.text_adapted:
                    text = encode_tokens(model, self.tokens, len(self.prepared.class_names))
                terms = update_terms(self.classifier, text, clean, adversarial, labels, training)
            self.optimizer.zero_grad(set_to_none=True)
            terms.loss.backward()  # type: ignore[no-untyped-call]
        finally:
            model.eval()
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        if bool(torch.isfinite(terms.loss.detach()) & torch.isfinite(norm)):
            self.optimizer.step()
            self._not_finite_in_a_row = 0
        else:
            self.skipped += 1
            self._not_finite_in_a_row += 1
            if self._not_finite_in_a_row >= _MAX_NOT_FINITE:
                raise TrainingError(
                    f"The loss was not a number {_MAX_NOT_FINITE} times in a row at step {self.step + 1}; "
                    "the adapter is kept as it was before.",
                    "Lower the learning rate, or use float32.",
                )
        self.step += 1
        return {
            "update_adversarial": terms.adversarial,
            "update_clean": terms.clean,
            "gradient": norm.detach(),
        }

    def state(self) -> TrainingState:
        """Everything that resuming needs."""
        return TrainingState(
            step=self.step,
            adapter=adapters.adapter_state(self.backbone.model),
            optimizer=optimizer_tensors(self.optimizer),
            universal=self.adversary.universal,
            settings=self.settings.to_toml(),
        )

    def restore(self, state: TrainingState, source: str) -> None:
        """Take up a saved state. Raises `CheckpointError` where it does not fit."""
        if state.settings != self.settings.to_toml():
            raise CheckpointError(
                f"The checkpoint in {source} was made with other settings.",
                "Resume with the run's own settings.",
            )
        adapters.load_adapter_state(self.backbone.model, state.adapter, source=source)
        restore_optimizer(self.optimizer, state.optimizer)
        self.adversary.universal = state.universal.to(self.device)
        self.step = state.step


@torch.no_grad()
def _diagnose(
    classifier: ClipClassifier, clean: Tensor, adversarial: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    """Losses before and after the inner maximisation, |delta| and the share of flipped samples."""
    before, after = classifier(torch.cat([clean, adversarial])).split(len(labels))
    flipped = (before.argmax(-1) == labels) & (after.argmax(-1) != labels)
    return {
        "clean": F.cross_entropy(before, labels),
        "adversarial": F.cross_entropy(after, labels),
        "delta": (adversarial - clean).abs().flatten(1).amax(1).mean(),
        "flipped": flipped.float().mean(),
    }
