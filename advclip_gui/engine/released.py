"""The released protocol: what the authors' published code computes, so that its figures can be compared.

Written from a description of its arithmetic. It departs from the sound protocol, and from the paper's
formula, in these points:

1. delta lives in normalised units: it is added *after* the normalisation, within +-eps there.
2. delta (3, H, W) is shared by all images, zero at the start of every epoch, and moved by the raw
   gradient (no sign) with a step size of its own.
3. It is clipped to the batch's [min(-x), max(1 - x)] in normalised space, which is no pixel range.
4. Dropout is active inside the attack too.
5. After the first inner step the image features are not L2-normalised in the loss, neither for the
   gradient of the later inner steps nor for the LoRA update: the logits are 100 |f| cos.
6. Without inner steps (m = 0) the update is plain CLIP-LoRA, with normalised features.
7. The logits' factor is 100, whatever the checkpoint's own scale.

Evaluation differs as well: see `fgsm` and `pgd`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from advclip_gui.engine.adversary import Perturbed, ascent_direction
from advclip_gui.engine.attacks.protocol import attack_mode
from advclip_gui.engine.classifier import to_pixels
from advclip_gui.engine.objective import inner_gain
from advclip_gui.engine.randomness import seeded_globally
from advclip_gui.engine.statistics import wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from advclip_gui.engine.classifier import ClipClassifier
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.trainer import Batch, Trainer
    from advclip_gui.settings import RunSettings

LOGIT_FACTOR = 100.0
_STEP = 0.05
_RULE_ENDS = 300
_TINY = 1e-30


def step_size(delta: Tensor, iteration: int) -> Tensor:
    """Factor s of the gradient step: from 1 / |delta|_2 to 1 within the first 300 updates.

    Args:
        delta: the perturbation before the step.
        iteration: LoRA updates done so far in the run.
    """
    size = 1 / (torch.linalg.vector_norm(delta) + _TINY)
    if iteration >= _RULE_ENDS:
        return torch.ones_like(size)
    factor: Tensor = size + (1 - size) / (_RULE_ENDS - iteration)
    return factor


def _logits(classifier: ClipClassifier, inputs: Tensor, text: Tensor, *, unit_length: bool) -> Tensor:
    """100 f . t, with f as it is or L2-normalised; inputs are normalised already."""
    features: Tensor = classifier.visual(inputs).float()
    if unit_length:
        features = F.normalize(features, dim=-1)
    return LOGIT_FACTOR * features @ text.t()


class ReleasedProtocol:
    """One update as the published code does it; see the module's list of what that means."""

    text_before_attack = True
    whole_epochs = True
    views = 1

    def __init__(self, settings: RunSettings, image_size: int, device: torch.device) -> None:
        """Begin with a zero perturbation."""
        self.settings = settings
        self.adversary = ReleasedAdversary(image_size, device)

    def perturb(self, trainer: Trainer, batch: Batch, text: Tensor | None, control: Control) -> Perturbed:
        """Move delta m times, the model in training mode; `images` come back in normalised units."""
        if text is None:
            raise ValueError("the released protocol attacks with the update's own text features")
        classifier, settings = trainer.classifier, self.settings
        inputs = classifier.normalise(batch.pixels)
        delta = self.adversary.universal
        if trainer.batches.begins_epoch(batch.step):
            delta = torch.zeros_like(delta)
        low, high = (-inputs).amin(), (1 - inputs).amax()
        epsilon = settings.adversary.epsilon
        with trainer.training_mode(learning=False), trainer.autocast():
            for inner in range(settings.adversary.inner_steps):
                control.check()

                def loss(images: Tensor, part: slice, inner: int = inner) -> Tensor:
                    position = batch.step * 128 + inner
                    with (
                        trainer.dropout_rows(len(batch), part, views=1),
                        seeded_globally(settings.training.seed, "attack dropout", position, trainer.device),
                    ):
                        logits = _logits(classifier, images, text, unit_length=inner == 0)
                    return F.cross_entropy(logits, batch.labels[part])

                gradient = ascent_direction(inputs, delta, loss, batch.parts)
                with torch.no_grad():
                    delta = delta + _STEP * step_size(delta, batch.step) * gradient
                    delta = delta.clamp(-epsilon, epsilon).clamp(low, high)
        return Perturbed(inputs + delta, delta)

    def loss(
        self, classifier: ClipClassifier, text: Tensor, batch: Batch, found: Perturbed, part: slice
    ) -> Tensor:
        """Mean loss of a part of the batch, with a graph to LoRA and text features."""
        plain = self.settings.adversary.inner_steps == 0
        logits = _logits(classifier, found.images[part], text, unit_length=plain)
        return F.cross_entropy(logits, batch.labels[part])

    def commit(self, found: Perturbed) -> None:
        """Carry delta over, now that its step is done."""
        self.adversary.universal = found.delta

    @torch.no_grad()
    def diagnose(self, trainer: Trainer, batch: Batch, found: Perturbed) -> dict[str, Tensor]:
        """Losses with normalised features in evaluation mode, |delta| in normalised units, flips."""
        with trainer.autocast(), trainer.evaluation_mode() as classifier:
            clean = classifier.normalise(batch.pixels)
            before, after = (
                torch.cat(
                    [
                        _logits(classifier, inputs[part], classifier.text_features, unit_length=True)
                        for part in batch.parts
                    ]
                )
                for inputs in (clean, found.images)
            )
        if self.settings.adversary.inner_steps == 0:
            return {"clean": F.cross_entropy(before, batch.labels)}
        return inner_gain(before, after, batch.labels) | {"delta": found.delta.abs().amax()}


class ReleasedAdversary:
    """The perturbation of the released protocol.

    Attributes:
        universal: delta, (1, 3, S, S), normalised units.
    """

    def __init__(self, image_size: int, device: torch.device) -> None:
        """Begin at zero."""
        self.universal = torch.zeros(1, 3, image_size, image_size, device=device)


def _gradient_sign(classifier: ClipClassifier, inputs: Tensor, labels: Tensor) -> Tensor:
    """Sign of the cross-entropy's gradient, on cosines without the scale."""
    inputs = inputs.detach().requires_grad_(True)
    cosines = F.normalize(classifier.visual(inputs).float(), dim=-1) @ classifier.text_features.t()
    (gradient,) = torch.autograd.grad(F.cross_entropy(cosines, labels), inputs)
    return gradient.sign()


def fgsm(classifier: ClipClassifier, pixels: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """One step of epsilon, clamped to [0, 1] *in normalised space*.

    Args:
        classifier: whose normalised inputs are attacked.
        pixels: (N, 3, S, S) in [0, 1].
        labels: (N,) int64.
        epsilon: in normalised units.

    Returns:
        (N, 3, S, S) in normalised units. The clamp cuts what is darker than the mean or brighter
        than one standard deviation above it, with or without an attack.
    """
    with attack_mode(classifier):
        inputs = classifier.normalise(pixels)
        return (inputs + epsilon * _gradient_sign(classifier, inputs, labels)).clamp(0, 1)


def pgd(
    classifier: ClipClassifier,
    pixels: Tensor,
    labels: Tensor,
    epsilon: float,
    steps: int,
    control: Control,
) -> Tensor:
    """Steps of epsilon from the image itself, the last iterate; otherwise as `fgsm`.

    Raises:
        Cancelled: through `control`, asked in every step.
    """
    with attack_mode(classifier):
        inputs = classifier.normalise(pixels)
        adversarial = inputs
        for _ in range(steps):
            control.check()
            adversarial = adversarial + epsilon * _gradient_sign(classifier, adversarial, labels)
            delta = (adversarial - inputs).clamp(-epsilon, epsilon)
            adversarial = (inputs + delta).clamp(0, 1)
        return adversarial


@dataclass(frozen=True, slots=True)
class ReleasedAccuracy:
    """Shares in [0, 1] of all n images, attacked whether they were right before or not."""

    n: int
    clean_accuracy: float
    clean_interval: tuple[float, float]
    fgsm_accuracy: float
    fgsm_interval: tuple[float, float]
    robust_accuracy: float
    robust_interval: tuple[float, float]


def evaluate(
    classifier: ClipClassifier,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    epsilon: float,
    steps: int,
    batch_size: int,
    control: Control,
) -> ReleasedAccuracy:
    """Clean, FGSM and PGD accuracy as the published code counts them.

    Args:
        classifier: in evaluation mode, LoRA merged or not.
        images: (N, S, S, 3).
        labels: (N,).
        epsilon: in normalised units; k/255 stands for k/255 there too.
        steps: of PGD; the published figures take 100.
        batch_size: images at a time. The loss is the batch's mean, of which only signs are taken.
        control: asked for cancellation in every step.

    Raises:
        Cancelled: the control was cancelled.
    """
    hits = np.zeros(3, dtype=np.int64)
    n = len(images)
    for first in range(0, n, batch_size):
        control.check()
        pixels = to_pixels(np.array(images[first : first + batch_size]), classifier.device)
        truth = torch.tensor(labels[first : first + batch_size], dtype=torch.int64, device=classifier.device)
        inputs = (
            classifier.normalise(pixels),
            fgsm(classifier, pixels, truth, epsilon),
            pgd(classifier, pixels, truth, epsilon, steps, control),
        )
        with torch.no_grad():
            for column, x in enumerate(inputs):
                logits = _logits(classifier, x, classifier.text_features, unit_length=True)
                hits[column] += int((logits.argmax(-1) == truth).sum())
    clean, single, iterated = (int(count) for count in hits)
    share = (lambda count: count / n) if n else (lambda count: 0.0)
    return ReleasedAccuracy(
        n=n,
        clean_accuracy=share(clean),
        clean_interval=wilson(clean, n),
        fgsm_accuracy=share(single),
        fgsm_interval=wilson(single, n),
        robust_accuracy=share(iterated),
        robust_interval=wilson(iterated, n),
    )
