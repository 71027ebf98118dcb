"""The Probe page's larger questions to the device: several models at once, or many images."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from advclip_gui.engine.control import Control
from advclip_gui.gui.gpu_thread import Priority
from advclip_gui.gui.jobs import ProbeJob

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from advclip_gui.engine.model_ref import ModelRef
    from advclip_gui.engine.probe_files import SavedProbe
    from advclip_gui.engine.probe_gallery import GallerySearch


@dataclass
class CompareJob:
    """One image shown to several models, each under its own attack or all under the first one's."""

    refs: tuple[ModelRef, ...]
    mode: str
    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    image: NDArray[np.uint8] | Path
    request: Any
    title: str = "Probe"
    priority: int = Priority.INTERACTIVE

    def run(self, session: Any, control: Control) -> object:
        """Return one engine's Compared per model, in the order of `refs`."""
        from advclip_gui.engine.model_input import model_pixels
        from advclip_gui.engine.probe import probe
        from advclip_gui.engine.probe_compare import attacked, transferred

        answers = []
        source: Any = None
        for ref in self.refs:
            with session.borrow(ref, self.class_names, self.templates, control) as classifier:
                pixels = model_pixels(self.image, classifier)
                if self.mode == "each" or source is None:
                    source = probe(classifier, pixels, self.request, control=control)
                    answers.append(attacked(source, eight_bits=self.mode != "each"))
                else:
                    answers.append(transferred(classifier, pixels, source.adversarial, control=control))
        return tuple(answers)


@dataclass
class RepeatProbeJob(ProbeJob):
    """A saved probe once more, with everything as it was: on a CPU the number of threads too."""

    saved: SavedProbe | None = None

    def ask(self, classifier: Any, pixels: NDArray[np.uint8], control: Control) -> object:
        """Return the engine's ProbeResult."""
        from advclip_gui.engine.probe_repeat import repeat_probe

        if self.saved is None:
            return super().ask(classifier, pixels, control)
        return repeat_probe(self.saved, classifier, image=pixels, control=control).result


@dataclass
class GalleryJob:
    """The smallest epsilon of many images, some of them side by side; probes come between two attack steps.

    A probe of the live adapter needs it to itself, so that a search of that one lets others in only
    between two attacks. A training that waits goes first: the search is left and gone on with later.
    `paths` are below `root`, `labels` the true classes.
    """

    ref: ModelRef
    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    root: Path
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    request: Any
    title: str = "Gallery"
    priority: int = Priority.BATCH
    serves: ClassVar[bool] = True
    gives_way: ClassVar[bool] = True
    _search: GallerySearch | None = field(default=None, init=False, repr=False)
    _waiting: deque[Any] = field(default_factory=deque, init=False, repr=False)
    _answered: int = field(default=0, init=False, repr=False)

    def run(self, session: Any, control: Control) -> object:
        """Report a GalleryItem for each image, as it is found; return how many were answered."""
        from advclip_gui.engine.probe_gallery import GallerySearch

        if self._search is None:
            self._search = GallerySearch(self.request)
            self._waiting.extend(enumerate(zip(self.paths, self.labels, strict=True)))
        search, waiting = self._search, self._waiting
        open_control = control if self.ref.kind == "live" else _LettingIn(control)
        while waiting or not search.empty:
            control.between_steps()
            with session.borrow(self.ref, self.class_names, self.templates, control) as classifier:
                self._fill(search, waiting, classifier, control)
                items = search.step(classifier, open_control)
            self._answered += len(items)
            for item in items:
                control.report(item)
        return self._answered

    def _fill(self, search: GallerySearch, waiting: deque[Any], classifier: Any, control: Control) -> None:
        """Read images until there is no more room; a bad one is reported and passed over."""
        from advclip_gui.engine.gallery_item import unreadable_item
        from advclip_gui.engine.images import BadImageError
        from advclip_gui.engine.model_input import model_pixels

        known = tuple(classifier.class_names) == self.class_names
        while waiting and search.free:
            index, (path, label) = waiting.popleft()
            control.progress("Gallery", index, len(self.paths), path)
            try:
                pixels = model_pixels(self.root / path, classifier)
            except BadImageError as error:
                control.report(unreadable_item(index, str(error)))
                continue
            search.add(index, pixels, label=label if known else None)


class _LettingIn(Control):
    """A control whose every check lets waiting work in, and holds while paused."""

    def __init__(self, seen: Control) -> None:
        super().__init__(seen.report, parent=seen)
        self._seen = seen

    def check(self) -> None:
        self._seen.between_steps()
