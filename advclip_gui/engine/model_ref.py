"""Which classifier is meant: the untouched backbone, a saved adapter, or the one in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from advclip_gui.settings import BackboneSettings


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A classifier by name; `engine.session.Session` turns it into one.

    Attributes:
        kind: "zero_shot", "adapter" (a folder on disk) or "live" (the adapter being trained now).
        backbone: what is under it.
        adapter: folder of a run or of an exported adapter, for kind "adapter".
        title: what the user reads.
    """

    kind: Literal["zero_shot", "adapter", "live"]
    backbone: BackboneSettings
    adapter: str = ""
    title: str = "Zero-shot"
