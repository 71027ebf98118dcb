"""Repeat a saved probe, and say whether it came out the same and, if not, what differs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from advclip_gui.engine.errors import CheckpointError, SettingsError
from advclip_gui.engine.model_ref import ModelRef
from advclip_gui.engine.probe_files import pixels_sha256
from advclip_gui.settings import BackboneSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.probe_files import SavedProbe
    from advclip_gui.engine.probe_types import ProbeResult

_WEIGHTS: Final = {"backbone_sha256": "The backbone's weights", "adapter_sha256": "The adapter's weights"}
_VERSIONS: Final = {
    "program": "This program",
    "torch": "torch",
    "python": "Python",
    "device": "The device",
    "machine": "The machine",
    "threads": "The number of threads",
    "dtype": "The precision",
}
"""Facts of the provenance on which the last digits may depend, and what they are called."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repetition:
    """A saved probe run once more.

    Attributes:
        result: of now.
        same: the adversarial pixels, rounded to 8 bits, are those that were saved.
        differences: one sentence for everything that is not as it was.
        sentence: for people: whether it is the same, and why not.
    """

    result: ProbeResult
    same: bool
    differences: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """In one paragraph."""
        digest = pixels_sha256(self.result.adversarial)[:12]
        told = " ".join(self.differences)
        if self.same:
            also = f" It makes no difference to them that not everything is as it was: {told}" if told else ""
            return f"Repeated exactly: the same adversarial pixels (SHA-256 {digest} …).{also}"
        why = told or "Everything that is recorded is as it was; the device itself may not repeat itself."
        return f"Not the same adversarial pixels as those saved. {why}"


def repeat_probe(
    saved: SavedProbe,
    classifier: nn.Module,
    *,
    image: NDArray[np.uint8] | None = None,
    provenance: Mapping[str, str] | None = None,
    templates: tuple[str, ...] | None = None,
    control: Control,
) -> Repetition:
    """Attack the saved image again, with everything as it was.

    On a CPU the number of threads of then is used, since sums depend on it.

    Args:
        saved: the probe.
        classifier: pixels (N, 3, H, W) in [0, 1] -> logits (N, C).
        image: (H, W, 3) to take instead of the saved one.
        provenance: more about the model of now, e.g. hashes of its weights.
        templates: prompts the classifier was built with, None for the saved ones.
        control: receives the steps, and is asked for cancellation in each.

    Raises:
        SettingsError: the classifier has other classes than the probe names.
        Cancelled: the control was cancelled.
    """
    from advclip_gui.engine.devices import computing_with
    from advclip_gui.engine.probe import probe

    with computing_with(_threads(saved.provenance.get("threads", ""))):
        result = probe(
            classifier,
            saved.image if image is None else image,
            saved.request,
            label=saved.label,
            control=control,
        )
    result = replace(result, provenance={**result.provenance, **(provenance or {})})
    return compare(saved, result, templates=templates)


def compare(
    saved: SavedProbe, result: ProbeResult, *, templates: tuple[str, ...] | None = None
) -> Repetition:
    """Hold a probe against the saved one it repeats.

    Args:
        saved: the probe on disk.
        result: the same request, run now.
        templates: prompts of now, None for the saved ones.
    """
    differences = []
    if pixels_sha256(result.original) != pixels_sha256(saved.image):
        differences.append("The image is another one, or the model sees it at another size.")
    then = saved.provenance
    for key, title in _WEIGHTS.items():
        before, now = then.get(key, ""), result.provenance.get(key, "")
        if before != now:
            differences.append(f"{title} differ ({_short(before)} then, {_short(now)} now).")
    if result.class_names != saved.class_names:
        differences.append("The classes differ.")
    if templates is not None and list(templates) != list(saved.model.get("templates") or templates):
        differences.append("The prompts differ.")
    if result.request != saved.request:
        differences.append("The attack's settings differ.")
    for key, title in _VERSIONS.items():
        before, now = then.get(key, ""), result.provenance.get(key, "")
        if before and now and before != now:
            differences.append(f"{title}: {before} then, {now} now.")
    same = pixels_sha256(result.adversarial) == saved.adversarial_sha256
    return Repetition(result=result, same=same, differences=tuple(differences))


def model_of(saved: SavedProbe) -> ModelRef:
    """The model a probe was made with, as a reference that can be loaded.

    Raises:
        CheckpointError: it was in training then, and those weights were not kept.
        SettingsError: the file does not tell.
    """
    facts: dict[str, Any] = saved.model
    kind = facts.get("kind")
    if kind == "live":
        raise CheckpointError(
            "This probe attacked an adapter while it was being trained; the weights of that step were not "
            "kept.",
            "Name another model to attack, for example the finished run.",
        )
    backbone = facts.get("backbone")
    if kind not in ("zero_shot", "adapter") or not isinstance(backbone, dict):
        raise SettingsError("The probe does not tell which model it was made with.", "Name one.")
    try:
        settings = BackboneSettings.model_validate(backbone)
    except ValueError as error:
        raise SettingsError("The probe names a backbone this program does not know.", "Name one.") from error
    adapter, title = str(facts.get("adapter") or ""), str(facts.get("title") or "Saved model")
    return ModelRef(kind=kind, backbone=settings, adapter=adapter, title=title)


def _short(digest: str) -> str:
    return digest[:12] or "none"


def _threads(text: str) -> int:
    """The number that was written down; where there is none, the present one."""
    import torch

    return int(text) if text.isdecimal() and 1 <= int(text) <= 1024 else torch.get_num_threads()
