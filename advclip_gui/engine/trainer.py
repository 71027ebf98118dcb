"""One run's model, adversary and optimiser, and the single update they make together."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from advclip_gui.engine import adapters
from advclip_gui.engine.augmentation import augment
from advclip_gui.engine.checkpoint import TrainingState
from advclip_gui.engine.classifier import ClipClassifier, encode_tokens, tokenize
from advclip_gui.engine.compilation import Compilation
from advclip_gui.engine.errors import CheckpointError, DeviceError, TrainingError
from advclip_gui.engine.events import Log
from advclip_gui.engine.guarded_optimizer import GradientNorms, GuardedAdamW
from advclip_gui.engine.image_store import ImageStore
from advclip_gui.engine.randomness import generator_at, seeded_globally
from advclip_gui.engine.released import ReleasedProtocol
from advclip_gui.engine.schedule import Batches, learning_rate
from advclip_gui.engine.sound import SoundProtocol
from advclip_gui.settings import RunSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from advclip_gui.engine.adversary import Adversary, Perturbed
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.preparation import Prepared
    from advclip_gui.engine.released import ReleasedAdversary

_MAX_NOT_FINITE = 5
_ATTACK_SCALE_HALF = 2.0**10
"""Keeps float16 gradients of the attack from vanishing; their direction does not change."""


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


@dataclass(frozen=True, slots=True)
class Batch:
    """The images of one update.

    Attributes:
        step: 0-based.
        pixels: augmented views, (N, 3, S, S) in [0, 1].
        labels: (N,) int64.
        parts: how the batch is divided to fit the device; the arithmetic stays the same.
    """

    step: int
    pixels: Tensor
    labels: Tensor
    parts: tuple[slice, ...]

    def __len__(self) -> int:
        """N."""
        return len(self.labels)


class Trainer:
    """The state of one run and its single step; `train` is the loop around it.

    Attributes:
        step: updates done.
        micro_batch: images computed at once, at most; halved by itself when memory runs out.
    """

    def __init__(self, settings: RunSettings, prepared: Prepared) -> None:
        """Place a fresh adapter on the prepared backbone and make optimiser and adversary."""
        self.settings = settings
        self.prepared = prepared
        self.backbone = prepared.backbone
        self.device = prepared.backbone.device
        self.step = 0
        model, training = self.backbone.model, settings.training
        self._place_adapter()
        self.tokens = tokenize(self.backbone, prepared.class_names, settings.data.templates)
        with torch.no_grad():
            features = self._encode_text()  # of zero-shot CLIP: B is still zero
        self.classifier = ClipClassifier(self.backbone, prepared.class_names, features)
        self.text_adapted = adapters.adapts_text(model)
        self.matrices = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self.optimizer = GuardedAdamW(
            self.matrices, training, self.device, scaled=settings.precision == "float16"
        )
        rules = ReleasedProtocol if settings.protocol == "released" else SoundProtocol
        self.rules = rules(settings, self.backbone.image_size, self.device)
        self.batches = Batches(
            len(prepared.train), training.batch_size, training.seed, whole_epochs=self.rules.whole_epochs
        )
        self.micro_batch = math.ceil(self.batches.batch_size / training.accumulation)
        self.images = ImageStore(prepared.train, self.device)
        self.compilation = Compilation(model.visual, settings.compile, self.device)

    @property
    def adversary(self) -> Adversary | ReleasedAdversary:
        """The inner maximiser, with the perturbation that is carried over."""
        return self.rules.adversary

    @property
    def skipped(self) -> int:
        """Updates passed over because something was not finite; waits for the device."""
        return int(self.optimizer.skipped)

    @property
    def attack_scale(self) -> float:
        """Factor on the loss that is attacked; its gradient's direction is all that counts."""
        return _ATTACK_SCALE_HALF if self.settings.precision == "float16" else 1.0

    def _place_adapter(self) -> None:
        settings, model = self.settings, self.backbone.model
        if self.backbone.placement is None:
            place = adapters.placement(model, settings.lora)
            adapters.adapt(self.backbone, place, seed=settings.training.seed)
        else:
            adapters.reset(model, seed=settings.training.seed)

    def _encode_text(self) -> Tensor:
        return encode_tokens(self.backbone.model, self.tokens, len(self.prepared.class_names))

    @contextmanager
    def evaluation_mode(self) -> Iterator[ClipClassifier]:
        """Within: LoRA merged, dropout off, text features up to date."""
        with adapters.merged(self.backbone.model):
            if self.text_adapted:
                with torch.no_grad():
                    self.classifier.text_features.copy_(self._encode_text())
            yield self.classifier

    @contextmanager
    def training_mode(self, *, learning: bool = True) -> Iterator[None]:
        """Within: dropout on, LoRA not merged, with a gradient for it only while `learning`."""
        self.backbone.model.train()
        for matrix in self.matrices.values():
            matrix.requires_grad_(learning)
        try:
            yield
        finally:
            self.backbone.model.eval()
            for matrix in self.matrices.values():
                matrix.requires_grad_(True)

    @contextmanager
    def holding(self, adapter: Mapping[str, Tensor]) -> Iterator[None]:
        """Within: another adapter in place of the current one, which is put back exactly."""
        model = self.backbone.model
        current = adapters.adapter_state(model)
        adapters.load_adapter_state(model, adapter, source="memory")
        try:
            yield
        finally:
            adapters.load_adapter_state(model, current, source="memory")

    def autocast(self) -> torch.autocast:
        """Lower precision where the user chose it; losses stay float32."""
        precision = self.settings.precision
        dtype = torch.float16 if precision == "float16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=precision != "float32")

    def dropout_rows(self, count: int, part: slice, *, views: int) -> AbstractContextManager[None]:
        """Within: the dropout of a part of the batch is its share of the whole batch's dropout.

        Args:
            count: images in the whole batch.
            part: which of them are computed.
            views: how often each of them stands in one forward pass, one view after another.
        """
        if part.stop - part.start == count:
            return nullcontext()
        rows = torch.arange(part.start, part.stop)
        chosen = torch.cat([rows + view * count for view in range(views)])
        return adapters.dropout_rows(self.backbone.model, count * views, chosen.to(self.device))

    def advance(self, control: Control, *, diagnose: bool) -> dict[str, Tensor]:
        """Do one update and return its detached scalars, without waiting for the device.

        Where the device's memory does not hold the batch, it is computed in parts from then on.

        Raises:
            Cancelled: within one inner step; nothing is then changed.
            Interrupted: likewise, where `control` is an interruptible view.
            DeviceError: not even a single image fits.
            TrainingError: too many non-finite losses in a row.
        """
        while True:
            try:
                with self.compilation.step(control):
                    scalars = self._advance(control, diagnose=diagnose)
                self.compilation.step_done(self.settings.total_steps - self.step, control)
                return scalars
            except torch.OutOfMemoryError:
                self.optimizer.clear()
            # Not above: there the traceback still holds the step's tensors.
            self._halve(control)

    def _halve(self, control: Control) -> None:
        if self.micro_batch == 1:
            raise DeviceError(
                "The device ran out of memory with a single image at a time.",
                "Take a smaller backbone, adapt one tower only, or use fewer classes or prompt templates.",
            )
        self.micro_batch = math.ceil(self.micro_batch / 2)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        control.report(
            Log(
                message=f"The device ran out of memory: from here on {self.micro_batch} images of a batch "
                "are computed at once and their gradients added up. The result stays the same.",
                level="warning",
            )
        )

    def _batch(self) -> Batch:
        training, step = self.settings.training, self.step
        chosen = self.batches.at(step)
        pixels = augment(
            self.images.pixels(chosen),
            training.augmentation,
            generator_at(training.seed, "augmentation", step),
            side=self.backbone.image_size,
            ratios=self.images.ratios(chosen),
        )
        starts = range(0, len(chosen), self.micro_batch)
        parts = tuple(slice(start, min(start + self.micro_batch, len(chosen))) for start in starts)
        return Batch(step, pixels, self.images.labels(chosen), parts)

    def _advance(self, control: Control, *, diagnose: bool) -> dict[str, Tensor]:
        training = self.settings.training
        batch = self._batch()
        text = self._update_text() if self.rules.text_before_attack else None
        found = self.rules.perturb(self, batch, None if text is None else text.detach(), control)
        scalars = self.rules.diagnose(self, batch, found) if diagnose else {}
        loss = self._backward(batch, found, self._update_text() if text is None else text, control)
        norms = self.optimizer.step(loss, learning_rate(training, self.step, self.settings.total_steps))
        self.optimizer.clear()
        self.rules.commit(found)
        self.step += 1
        if diagnose or self.device.type == "cpu":
            self._give_up_on_nonsense()
        return scalars | {"loss": loss} | _scalars(norms)

    def _update_text(self) -> Tensor:
        """Text features of the update, with a graph and dropout where the text tower is adapted."""
        if not self.text_adapted:
            return self.classifier.text_features
        with (
            self.training_mode(),
            seeded_globally(self.settings.training.seed, "dropout", self.step, self.device),
            self.autocast(),
        ):
            return self._encode_text()

    def _backward(self, batch: Batch, found: Perturbed, text: Tensor, control: Control) -> Tensor:
        """Leave the gradients of ``scale * loss`` in the LoRA matrices; return the batch's mean loss."""
        total = torch.zeros((), device=self.device)
        # Parts meet in the text features: their gradient is gathered there and sent down once.
        gathered = text.detach().requires_grad_(self.text_adapted)
        try:
            with self.training_mode():
                for part in batch.parts:
                    control.check()
                    loss = self._part_loss(batch, found, gathered, part)
                    (loss * self.optimizer.scale).backward()  # type: ignore[no-untyped-call]
                    total = total + loss.detach()
                if self.text_adapted:
                    text.backward(gathered.grad)  # type: ignore[no-untyped-call]
        except BaseException:
            self.optimizer.clear()
            raise
        return total

    def _part_loss(self, batch: Batch, found: Perturbed, text: Tensor, part: slice) -> Tensor:
        """What a part of the batch adds to its mean loss."""
        with (
            self.dropout_rows(len(batch), part, views=self.rules.views),
            seeded_globally(self.settings.training.seed, "image dropout", batch.step, self.device),
            self.autocast(),
        ):
            loss = self.rules.loss(self.classifier, text, batch, found, part)
        added: Tensor = loss * ((part.stop - part.start) / len(batch))
        return added

    def _give_up_on_nonsense(self) -> None:
        if int(self.optimizer.worst_row) >= _MAX_NOT_FINITE:
            raise TrainingError(
                f"The loss was not a number {_MAX_NOT_FINITE} times in a row up to step {self.step}; "
                "the adapter is kept as it was before.",
                "Lower the learning rate, or use float32.",
            )

    def state(self) -> TrainingState:
        """Everything that resuming needs."""
        return TrainingState(
            step=self.step,
            adapter=adapters.adapter_state(self.backbone.model),
            optimizer=self.optimizer.tensors(),
            universal=self.adversary.universal,
            settings=self.settings.to_toml(),
        )

    def restore(self, state: TrainingState, source: str) -> None:
        """Take up a saved state. Raises `CheckpointError` where it does not fit."""
        if _what_counts(RunSettings.from_toml(state.settings)) != _what_counts(self.settings):
            raise CheckpointError(
                f"The checkpoint in {source} was made with other settings.",
                "Resume with the run's own settings.",
            )
        adapters.load_adapter_state(self.backbone.model, state.adapter, source=source)
        self.optimizer.restore(state.optimizer)
        self.adversary.universal = state.universal.to(self.device)
        self.step = state.step


def _what_counts(settings: RunSettings) -> RunSettings:
    """Settings without the run's name and the places of its files, which may change between two parts.

    That the files are the same is checked elsewhere: images by the recorded split, tensors by their shapes.
    """
    data = settings.data.model_copy(update={"folder": ""})
    backbone = settings.backbone.model_copy(update={"checkpoint": ""})
    return settings.model_copy(update={"name": "", "data": data, "backbone": backbone})


def _scalars(norms: GradientNorms) -> dict[str, Tensor]:
    return {"gradient": norms.total, "gradient_a": norms.a, "gradient_b": norms.b}
