"""Opening image data: scan it as it was read before, keep of it the classes asked for, remember changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from advclip_gui.settings import DEMO_FOLDER

if TYPE_CHECKING:
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.folder import DatasetScan
    from advclip_gui.engine.datasets.memory import Remembered
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.settings import DataSettings
    from advclip_gui.settings.data import ClassPart, LayoutName

_OWN = ("class_names", "skip", "layout")
"""What is kept for a folder."""


def open_data(
    name: str, layout: LayoutName | None, control: Control
) -> tuple[DatasetScan, Remembered, LayoutName]:
    """Scan a folder, zip or list, or "demo"; for a worker thread.

    Args:
        name: its path.
        layout: how to read it, None for how it was read before.
        control: progress and cancel.

    Returns:
        The scan, what was kept about this data, and the layout that fits.

    Raises:
        DataError: it cannot be read as asked.
    """
    from advclip_gui.engine.datasets.folder import scan
    from advclip_gui.engine.datasets.memory import Remembered, recall
    from advclip_gui.engine.errors import DataError

    kept = Remembered() if name == DEMO_FOLDER else recall(name)
    wanted = layout or kept.layout
    try:
        return scan(name, control=control, layout=wanted).prepare(), kept, wanted
    except DataError:
        if layout is not None or wanted == "auto":
            raise
    # The layout chosen long ago fits no more.
    return scan(name, control=control).prepare(), kept, "auto"


class OpenedData:
    """The data that is open, whole, and the part of it last asked for. For the main thread."""

    def __init__(self) -> None:
        """Start with none."""
        self.whole: DatasetScan | None = None
        self._part: tuple[DatasetScan, ClassPart, DatasetScan] | None = None

    def restricted(self, part: ClassPart) -> DatasetScan | None:
        """The images of some classes, the same object as long as nothing changes; None without data."""
        if self.whole is None:
            return None
        if self._part is None or self._part[0] is not self.whole or self._part[1] != part:
            from advclip_gui.engine.datasets.drawing import restricted

            self._part = self.whole, part, restricted(self.whole, part)
        return self._part[2]


class DataMemory:
    """Keeps names, skipped files and layout for the next time the same images are opened."""

    def __init__(self, io: IoPool) -> None:
        """Keep nothing yet."""
        self._io = io
        self._changes: dict[str, Remembered] = {}

    def keep(self, before: DataSettings, data: DataSettings) -> None:
        """Write down what changed about the open folder, off the main thread."""
        same = all(getattr(before, name) == getattr(data, name) for name in _OWN)
        if same or data.folder != before.folder or data.folder == DEMO_FOLDER:
            return
        from advclip_gui.engine.datasets.memory import Remembered

        folder = data.folder
        self._changes[folder] = Remembered(dict(data.class_names), data.skip, data.layout)

        def work(_control: Control) -> object:
            from advclip_gui.engine.datasets.memory import remember

            # The latest changes, whichever of several threads comes last.
            remember(folder, self._changes[folder])
            return None

        self._io.submit(work)
