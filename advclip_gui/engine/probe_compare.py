"""One image and several models: what each says of it, before and under an attack."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from advclip_gui.engine.errors import SettingsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.probe_types import ProbeResult


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compared:
    """One model's answer.

    Attributes:
        class_names: of this model.
        original: (H, W, 3) what it sees.
        adversarial: (H, W, 3) the attacked image, rounded to 8 bits.
        before: probabilities of all classes on the original.
        after: probabilities under the attack.
        own: whether the attack was made for this very model.
    """

    class_names: tuple[str, ...]
    original: NDArray[np.uint8] = field(repr=False)
    adversarial: NDArray[np.uint8] = field(repr=False)
    before: tuple[float, ...]
    after: tuple[float, ...]
    own: bool

    @property
    def before_label(self) -> int:
        """The class predicted on the original."""
        return max(range(len(self.before)), key=self.before.__getitem__)

    @property
    def after_label(self) -> int:
        """The class predicted under the attack."""
        return max(range(len(self.after)), key=self.after.__getitem__)

    @property
    def flipped(self) -> bool:
        """Whether the attack changed the prediction."""
        return self.before_label != self.after_label


def attacked(result: ProbeResult, *, eight_bits: bool) -> Compared:
    """The answer of a model under its own attack.

    Args:
        result: the probe.
        eight_bits: take the probabilities on the image rounded to 8 bits, which is what other models
            are shown when the attack is transferred.
    """
    return Compared(
        class_names=result.class_names,
        original=result.original,
        adversarial=result.adversarial,
        before=result.before,
        after=result.after_8bit if eight_bits else result.after,
        own=True,
    )


def transferred(
    classifier: nn.Module, image: NDArray[np.uint8], adversarial: NDArray[np.uint8], *, control: Control
) -> Compared:
    """The answer of a model to an adversarial image made for another one.

    Args:
        classifier: pixels (N, 3, H, W) in [0, 1] -> logits (N, C).
        image: (H, W, 3) the original as this model sees it.
        adversarial: (H, W, 3) the other model's adversarial image.
        control: asked for cancellation.

    Raises:
        SettingsError: the two models see images at different sizes.
        Cancelled: the control was cancelled.
    """
    import numpy as np
    import torch

    from advclip_gui.engine.attacks.protocol import attack_mode
    from advclip_gui.engine.classifier import to_pixels
    from advclip_gui.engine.pixels import device_of

    if image.shape != adversarial.shape:
        raise SettingsError(
            "The attack cannot be transferred: the models see images at different sizes.",
            "Choose models of the same resolution, or attack each.",
        )
    control.check()
    with attack_mode(classifier), torch.no_grad():
        logits: Tensor = classifier(to_pixels(np.stack([image, adversarial]), device_of(classifier)))
    before, after = logits.float().softmax(dim=1).tolist()
    names = getattr(classifier, "class_names", None) or (str(k) for k in range(len(before)))
    return Compared(
        class_names=tuple(names),
        original=image,
        adversarial=adversarial,
        before=tuple(before),
        after=tuple(after),
        own=False,
    )
