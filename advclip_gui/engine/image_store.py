"""Training images where a step reaches them fastest: on the device if they fit, else pinned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from advclip_gui.engine.preparation import ImageSet

_LARGEST_SHARE = 0.25
"""Of the device's free memory that decoded images may take; the model and its activations need the rest."""


class ImageStore:
    """Decoded images, uint8; a batch becomes pixels on the device.

    Attributes:
        place: "device", "pinned" (host memory the device copies from by itself) or "host".
    """

    def __init__(self, images: ImageSet, device: torch.device) -> None:
        """Choose the place; nothing is copied where the images stay."""
        self._device = device
        stored = torch.from_numpy(images.images)
        self._labels = torch.from_numpy(images.labels).to(device)
        self._ratios = None if images.ratios is None else torch.from_numpy(images.ratios)
        self.place = "host"
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if stored.nbytes <= _LARGEST_SHARE * free:
                self.place, stored = "device", stored.to(device)
            else:
                self.place = "pinned"
        self._images = stored

    def pixels(self, chosen: Tensor) -> Tensor:
        """float32 (N, 3, S, S) in [0, 1] on the device, of indices (N,) on the CPU."""
        if self.place == "device":
            picked = self._images[chosen.to(self._device, non_blocking=True)]
        elif self.place == "pinned":
            shape = (len(chosen), *self._images.shape[1:])
            buffer = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
            torch.index_select(self._images, 0, chosen, out=buffer)
            picked = buffer.to(self._device, non_blocking=True)
        else:
            picked = self._images[chosen].to(self._device)
        return picked.permute(0, 3, 1, 2).float().div(255)

    def ratios(self, chosen: Tensor) -> Tensor | None:
        """Width / height of the originals, float32 (N,) on the CPU, where the images are whole ones."""
        return None if self._ratios is None else self._ratios[chosen]

    def labels(self, chosen: Tensor) -> Tensor:
        """int64 (N,) on the device."""
        return self._labels[chosen.to(self._device, non_blocking=True)]
