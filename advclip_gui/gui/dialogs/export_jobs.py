"""What the export dialog asks of the device's thread, and what it tells of a destination without it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from advclip_gui.engine.exchange.formats import EXPORTED_FILES, INFO_FILE
from advclip_gui.gui.gpu_thread import Priority

if TYPE_CHECKING:
    from advclip_gui.engine.control import Control

SMALL_BYTES = 100_000_000
"""A backbone of up to this size goes along with a peft export unless the user says otherwise."""


@dataclass(frozen=True)
class Offer:
    """What can be made of an adapter.

    Attributes:
        formats: for every format "", or why not.
        backbone: bytes that it takes beside a peft export, 0 where it is of no use there.
        plain: whether transformers' CLIPModel can hold the backbone at all.
    """

    formats: dict[str, str]
    backbone: int = 0
    plain: bool = True


@dataclass
class OfferJob:
    """Ask which formats can hold an adapter; nothing is loaded or written."""

    source: Path
    title: str = "Looking at the adapter"
    priority: int = Priority.INTERACTIVE

    def run(self, session: Any, control: Control) -> object:
        """Return an `Offer`."""
        from advclip_gui.engine.exchange.offer import backbone_size, for_clip_model, possible_formats

        formats = possible_formats(self.source)
        return Offer({**formats}, backbone_size(self.source), for_clip_model(self.source) is not False)


@dataclass(frozen=True)
class Exported:
    """Where an adapter went and how to load it."""

    folder: Path
    snippet: str


@dataclass
class ExportJob:
    """An adapter in a format others load; its lines run here, also with a checkpoint of the user's own.

    `with_backbone` None leaves it to the backbone's size.
    """

    lasting: ClassVar[bool] = True
    source: Path
    out: Path
    format: str = "peft"
    with_backbone: bool | None = None
    title: str = "Export"
    priority: int = Priority.INTERACTIVE

    def run(self, session: Any, control: Control) -> object:
        """Return the exported folder and the code that loads it, as `Exported`."""
        from advclip_gui.engine.exchange.offer import backbone_size
        from advclip_gui.engine.export import adapter_info, export_adapter, loading_snippet

        weights, whole = adapter_info(self.source).backbone.checkpoint, self.with_backbone
        if whole is None:
            whole = 0 < backbone_size(self.source) <= SMALL_BYTES
        folder = export_adapter(
            self.source, self.out, format=self.format, control=control, with_backbone=whole
        )
        return Exported(folder, loading_snippet(folder, weights))


def check_destination(text: str) -> tuple[bool, str]:
    """Whether an export can go to the folder of that name, and a sentence on what it will find there."""
    text = text.strip()
    if not text:
        return False, "Choose a folder."
    folder = Path(text).expanduser()
    if not folder.is_absolute():
        return False, "Give the whole path of a folder."
    try:
        if not folder.exists():
            return True, "The folder will be made."
        if not folder.is_dir():
            return False, "This is a file; choose a folder."
        found = {path.name for path in folder.iterdir()}
    except (OSError, ValueError) as error:
        return False, f"The folder cannot be used: {getattr(error, 'strerror', None) or error}."
    if found - EXPORTED_FILES or (found and INFO_FILE not in found):
        return False, "The folder holds other files; choose an empty one or a new name."
    if found:
        return True, "What was exported there before is replaced."
    return True, "The folder is empty."


def stem_of(name: str) -> str:
    """A folder name made of the letters and digits of a run's name."""
    words = re.findall(r"\w+", name.lower())
    return "-".join(words or ["run"])
