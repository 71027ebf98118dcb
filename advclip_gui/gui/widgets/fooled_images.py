"""The evaluated images of one model, sorted by the smallest evaluated epsilon that fooled them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from advclip_gui.engine.report_text import length_of
from advclip_gui.gui import theme
from advclip_gui.gui.thumbnails import ThumbnailLoader
from advclip_gui.gui.widgets.basics import TextLabel
from advclip_gui.gui.widgets.gallery_grid import Entry, GalleryGrid, never

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from advclip_gui.engine.datasets.sampling import Sample
    from advclip_gui.engine.evaluation_result import Evaluation
    from advclip_gui.gui.io_thread import IoPool

THUMBNAIL = 84


class FooledImages(QWidget):
    """A sentence and a grid; nothing is attacked, the verdicts are those of the evaluation."""

    opened = Signal(str)
    """The path of an image, below the data folder."""

    def __init__(self, io: IoPool, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.current().s)
        self.summary = TextLabel("", "caption", wrap=True)
        self.summary.setObjectName("evaluateImagesSummary")
        column.addWidget(self.summary)
        self._loader = ThumbnailLoader(io, side=THUMBNAIL, ratio=self.devicePixelRatioF(), parent=self)
        self.grid = GalleryGrid(self._loader, name="evaluateImagesGrid")
        self.grid.setToolTip("Click an image to attack it on the Probe page.")
        column.addWidget(self.grid, 1)
        self.grid.opened.connect(self.opened)

    def show_images(self, evaluation: Evaluation, root: Path, samples: Sequence[Sample]) -> None:
        """Show the images of an evaluation.

        Args:
            evaluation: its verdicts are used.
            root: folder of the images.
            samples: the images, in the evaluation's order; empty where they are not known.
        """
        self._loader.set_root(root)
        entries = [
            _entry(evaluation, place, sample)
            for place, sample in enumerate(samples[: len(evaluation.smallest_epsilon)])
        ]
        self.grid.entries.set_entries(entries)
        self.grid.scrollToTop()
        known = evaluation.smallest_epsilon
        largest = length_of(evaluation.epsilons[-1].epsilon, evaluation.norm)
        wrong, held = known.count(0.0), known.count(None)
        self.summary.setText(
            f"{wrong:,} wrong without an attack, {len(known) - wrong - held:,} fooled at an evaluated "
            f"epsilon, {held:,} hold at {largest}. Weakest first; click one to attack it."
        )

    def stop(self) -> None:
        """Drop requests for thumbnails."""
        self._loader.stop()


def _entry(evaluation: Evaluation, place: int, sample: Sample) -> Entry:
    names, norm = evaluation.class_names, evaluation.norm
    true, epsilon = names[sample.label], evaluation.smallest_epsilon[place]
    taken = evaluation.flipped_to[place]
    after = "no class" if taken is None or taken < 0 else names[taken]
    if epsilon is None:
        largest = length_of(evaluation.epsilons[-1].epsilon, norm)
        return Entry(sample.path, never(None), "holds", f"{sample.path}\n{true}: holds at {largest}")
    if epsilon == 0:
        told = f"{sample.path}\n{true}: taken for {after} without an attack"
        return Entry(sample.path, 0.0, f"0 · {after}", told)
    caption = f"{epsilon * 255 if norm == 'Linf' else epsilon:.3g} · {after}"
    told = f"{sample.path}\n{true} → {after} at {length_of(epsilon, norm)}"
    return Entry(sample.path, epsilon, caption, told)
