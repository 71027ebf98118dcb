"""The models at hand: runs and opened adapters as on disk, read in the background, and which are offered."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from advclip_gui.engine.model_ref import ModelRef

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from advclip_gui.engine.adapter_library import LibraryAdapter
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.run_list import RunIndex, RunSummary
    from advclip_gui.gui.bridge import JobHandle
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.settings import BackboneSettings

MOST_OFFERED = 50
"""Adapters in a list of models: a thousand cannot be chosen from, and take a second to show."""


def saved_refs(
    backbone: BackboneSettings,
    runs: Sequence[RunSummary],
    adapters: Iterable[LibraryAdapter],
    asked_for: Collection[Path] = (),
) -> list[ModelRef]:
    """Name the adapters of a backbone: of runs, then of the library.

    Args:
        backbone: under the models that are compared.
        runs: newest first; of many, only `MOST_OFFERED` are offered.
        adapters: of the library.
        asked_for: folders of runs that are offered, however many newer ones there are.
    """
    refs = []
    usable = [run for run in runs if run.backbone_settings == backbone and run.has_adapter]
    named = Counter(run.name for run in usable)
    for number, run in enumerate(usable):
        if number < MOST_OFFERED or run.path in asked_for:
            title = run.name if named[run.name] == 1 else f"{run.name} ({run.path.name})"
            refs.append(ModelRef("adapter", backbone, adapter=str(run.path), title=title))
    opened = [one.ref for one in adapters if one.info is not None and not one.problem]
    return refs + [ref for ref in opened if ref.backbone == backbone]


class RunListing(QObject):
    """Reads runs and library off the main thread, one look at a time. Lives in the main thread."""

    listed = Signal(object, object)
    """A tuple of RunSummary, newest first, and a tuple of LibraryAdapter, the one added last first."""
    failed = Signal(object)
    """An ErrorInfo."""

    def __init__(self, io: IoPool, parent: QObject) -> None:
        """Read nothing yet."""
        super().__init__(parent)
        self._io = io
        self._index: RunIndex | None = None
        self._reading: JobHandle | None = None
        self._root: Path | None = None
        self._again = False

    def read(self, root: Path | None) -> None:
        """Look at the disk; asked for while a look is under way, look again after it.

        Args:
            root: the folder of runs, None for the platform's.
        """
        self._root = root
        if self._reading is not None:
            self._again = True
            return

        def work(_control: Control) -> object:
            from advclip_gui.engine import runs
            from advclip_gui.engine.adapter_library import AdapterLibrary
            from advclip_gui.engine.run_list import RunIndex

            place = runs.runs_root() if root is None else root
            # One listing at a time: see `_reading`.
            if self._index is None or self._index.root != place:
                self._index = RunIndex(place)
            return tuple(self._index.read()), AdapterLibrary().adapters()

        self._reading = self._io.submit(work, "Listing runs")
        self._reading.finished.connect(self._on_read)
        self._reading.failed.connect(self.failed)
        self._reading.ended.connect(self._on_ended)

    def _on_read(self, found: tuple[tuple[RunSummary, ...], tuple[LibraryAdapter, ...]]) -> None:
        self.listed.emit(*found)

    def _on_ended(self) -> None:
        self._reading = None
        if self._again:
            self._again = False
            self.read(self._root)
