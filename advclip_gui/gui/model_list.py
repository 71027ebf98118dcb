"""The models at hand: runs and opened adapters as on disk, read in the background, and which are offered."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from advclip_gui.engine.model_ref import ModelRef

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from advclip_gui.engine.adapter_library import AdapterLibrary, LibraryAdapter
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.run_list import RunIndex, RunSummary
    from advclip_gui.gui.bridge import JobHandle
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.settings import BackboneSettings

MOST_OFFERED = 50
"""Adapters in a list of models: a thousand cannot be chosen from, and take a second to show."""
_MOST_WATCHED = 24
"""Experiments in which new runs are noticed at once, the newest ones."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What is on disk.

    Attributes:
        lines: of runs, also those of experiments, newest first; of adapters, the one added last first.
        adapters: of the library.
        folders: in which something new may appear.
    """

    lines: tuple[RunSummary, ...] = ()
    adapters: tuple[LibraryAdapter, ...] = ()
    folders: tuple[Path, ...] = ()


def saved_refs(
    backbone: BackboneSettings,
    lines: Sequence[RunSummary],
    asked_for: Collection[Path] = (),
) -> list[ModelRef]:
    """Name the adapters of a backbone: of runs, then of the library.

    Args:
        backbone: under the models that are compared.
        lines: newest first; of many runs, only `MOST_OFFERED` are offered, and none of an experiment.
        asked_for: folders of runs that are offered, however many newer ones there are.
    """
    usable = [line for line in lines if line.backbone_settings == backbone and line.has_adapter]
    own = [line for line in usable if not line.is_adapter and not line.part_of]
    offered = {*(run.path for run in own[:MOST_OFFERED]), *asked_for}
    shown = [line for line in usable if line.is_adapter or line.path in offered]
    shown.sort(key=lambda line: line.is_adapter)
    named = Counter(line.title for line in shown)
    return [
        ModelRef(
            "adapter",
            backbone,
            adapter=str(line.path),
            title=line.title if named[line.title] == 1 else f"{line.title} ({line.key or line.path.name})",
        )
        for line in shown
    ]


def nearest(folder: Path) -> Path:
    """The folder, or the one above it that is there: something new in it may be the folder."""
    return next((one for one in (folder, *folder.parents) if one.is_dir()), folder)


class RunListing(QObject):
    """Reads runs and library off the main thread, one look at a time. Lives in the main thread."""

    listed = Signal(object)
    """A `Listed`."""
    failed = Signal(object)
    """An ErrorInfo."""

    def __init__(self, io: IoPool, parent: QObject) -> None:
        """Read nothing yet."""
        super().__init__(parent)
        self._io = io
        self._index: RunIndex | None = None
        self._library: AdapterLibrary | None = None
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
            # One listing at a time: see `_reading`.
            from advclip_gui.engine import adapter_library, runs
            from advclip_gui.engine.adapter_lines import adapter_lines
            from advclip_gui.engine.run_cells import cell_folders
            from advclip_gui.engine.run_list import RunIndex

            place = runs.runs_root() if root is None else root
            shelf = adapter_library.library_root()
            if self._index is None or self._index.root != place:
                self._index = RunIndex(place)
            if self._library is None or self._library.root != shelf:
                self._library = adapter_library.AdapterLibrary(shelf)
            lines, adapters = self._index.read(), self._library.adapters()
            lines += adapter_lines(adapters, {line.path for line in lines})
            folders = (nearest(place), nearest(shelf), *cell_folders(place, _MOST_WATCHED))
            return Listed(tuple(lines), adapters, tuple(dict.fromkeys(folders)))

        self._reading = self._io.submit(work, "Listing runs")
        self._reading.finished.connect(self.listed)
        self._reading.failed.connect(self.failed)
        self._reading.ended.connect(self._on_ended)

    def _on_ended(self) -> None:
        self._reading = None
        if self._again:
            self._again = False
            self.read(self._root)
