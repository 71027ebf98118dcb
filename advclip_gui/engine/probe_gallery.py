"""The smallest epsilon of image after image, for a gallery sorted by it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from advclip_gui.engine.events import Event

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.probe_types import ProbeRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryItem(Event):
    """One image of a gallery.

    Attributes:
        index: its place in what was asked for.
        low: the largest epsilon tried at which the attack failed, in pixel units.
        high: the smallest at which it succeeded; 0 where the image is wrong without an attack.
        found: whether it succeeded at all.
        after: name of the class it is taken for then, "" without `found`.
        problem: why the image cannot be attacked, "" if it was.
    """

    index: int
    low: float = 0.0
    high: float = 0.0
    found: bool = False
    after: str = ""
    problem: str = ""


def gallery_item(
    classifier: nn.Module,
    image: NDArray[np.uint8],
    request: ProbeRequest,
    *,
    index: int,
    label: int | None,
    control: Control,
) -> GalleryItem:
    """Bisect for one image; a target is left aside, since it would be some images' own class.

    Args:
        classifier: pixels (N, 3, H, W) in [0, 1] -> logits (N, C).
        image: (H, W, 3), prepared as the model sees it.
        request: how it is attacked; its epsilon is the first upper end.
        index: goes into the item.
        label: the true class; None is the prediction on the clean image.
        control: asked for cancellation in every attack step.

    Raises:
        SettingsError: a value of the request is out of its range.
        Cancelled: the control was cancelled.
    """
    from advclip_gui.engine.control import Control as Quiet
    from advclip_gui.engine.probe import smallest_epsilon

    # The search of each image has progress of its own, which would drown that of the gallery.
    quiet = Quiet(parent=control)
    found = smallest_epsilon(classifier, image, replace(request, target=None), label=label, control=quiet)
    names = getattr(classifier, "class_names", None) or ()
    after = ""
    if found.found:
        after = str(names[found.after_label]) if names else str(found.after_label)
    return GalleryItem(index=index, low=found.low, high=found.high, found=found.found, after=after)


def unreadable_item(index: int, problem: str) -> GalleryItem:
    """An image that cannot be read, with the sentence that says why."""
    return GalleryItem(index=index, problem=problem)
