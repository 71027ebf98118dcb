"""The work the window asks of the device; torch is reached only inside `run`, on the GPU thread."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from advclip_gui.engine.model_input import model_pixels
from advclip_gui.gui.gpu_thread import Priority

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.datasets.folder import DatasetScan
    from advclip_gui.engine.datasets.sampling import Sample
    from advclip_gui.engine.model_ref import ModelRef
    from advclip_gui.settings import DataSettings, RunSettings


@dataclass
class TrainJob:
    """One training run; serves interactive jobs between its steps."""

    settings: RunSettings
    run_dir: Path
    resume: bool = False
    title: str = "Training"
    priority: int = Priority.TRAINING
    serves: ClassVar[bool] = True

    def run(self, session: Any, control: Control) -> object:
        """Return the engine's RunResult; while it runs, the session offers the live adapter."""
        from advclip_gui.engine.training import train

        try:
            return train(
                self.settings,
                control=control,
                run_dir=self.run_dir,
                resume=self.resume,
                on_live=session.set_live,
            )
        finally:
            session.set_live(None)


@dataclass
class ImageJob:
    """A question about one image.

    `image` is uint8 (H, W, 3); an image of another size than the model's is resized and cropped as
    the evaluation does it. A path is opened here. With `label` None the clean prediction is attacked.
    """

    ref: ModelRef
    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    image: NDArray[np.uint8] | Path
    request: Any
    label: int | None = None
    title: str = "Image"
    priority: int = Priority.INTERACTIVE

    def run(self, session: Any, control: Control) -> object:
        """Return the engine's answer; somebody waits for it, so that no core is left idle meanwhile."""
        from advclip_gui.engine.devices import all_threads, computing_with

        with (
            computing_with(all_threads()),
            session.borrow(self.ref, self.class_names, self.templates, control) as classifier,
        ):
            return self.ask(classifier, model_pixels(self.image, classifier), control)

    def ask(self, classifier: Any, pixels: NDArray[np.uint8], control: Control) -> object:
        """Put the question to a classifier."""
        raise NotImplementedError


@dataclass
class ProbeJob(ImageJob):
    """One attack on one image."""

    title: str = "Probe"

    def ask(self, classifier: Any, pixels: NDArray[np.uint8], control: Control) -> object:
        """Return the engine's ProbeResult."""
        from advclip_gui.engine.probe import probe

        return probe(classifier, pixels, self.request, label=self.label, control=control)

    def run(self, session: Any, control: Control) -> object:
        """Return the engine's ProbeResult, with the hashes of the weights behind it."""
        result: Any = super().run(session, control)
        return replace(result, provenance={**result.provenance, **session.provenance(self.ref)})


@dataclass
class SmallestEpsilonJob(ImageJob):
    """Bisection for the smallest epsilon that flips one image."""

    title: str = "Smallest epsilon"

    def ask(self, classifier: Any, pixels: NDArray[np.uint8], control: Control) -> object:
        """Return the engine's SmallestEpsilon."""
        from advclip_gui.engine.probe import smallest_epsilon

        return smallest_epsilon(classifier, pixels, self.request, label=self.label, control=control)


@dataclass(frozen=True)
class ModelEvaluation:
    """One model's evaluation, as `EvaluateJob` returns them, with the images it is about, in order."""

    ref: ModelRef
    evaluation: Any
    root: Path = field(default_factory=Path)
    samples: tuple[Sample, ...] = ()


@dataclass
class EvaluateJob:
    """Clean and robust accuracy of one or several models on the same images.

    `limit` 0 takes every image of the split; otherwise the first ones in the order of evaluations,
    the same for every model, the command line and the end of a run.
    """

    refs: tuple[ModelRef, ...]
    data: DataSettings
    epsilons: tuple[float, ...]
    scan: DatasetScan | None = None
    split: str = "test"
    attack: str = "quick"
    norm: str = "Linf"
    steps: int | None = None
    limit: int = 1000
    seed: int = 0
    batch_size: int | None = None
    title: str = "Evaluation"
    priority: int = Priority.BATCH

    def run(self, session: Any, control: Control) -> tuple[ModelEvaluation, ...]:
        """Return one `ModelEvaluation` per model, in the order of `refs`."""
        from advclip_gui.engine.class_names import prompt_names
        from advclip_gui.engine.datasets.drawing import draw_split, scan_data
        from advclip_gui.engine.datasets.sampling import split_digest
        from advclip_gui.engine.errors import DataError
        from advclip_gui.engine.evaluation import evaluate
        from advclip_gui.engine.evaluation_journal import EarlierTime, journal_path
        from advclip_gui.engine.evaluation_provenance import evaluation_provenance
        from advclip_gui.engine.model_input import InputForm, input_form
        from advclip_gui.engine.preparation import ImageSet, load_set
        from advclip_gui.engine.seen_images import with_seen_images

        data = self.data
        scan = self.scan or scan_data(data, control)
        split = draw_split(scan, data, allow_short=True)
        samples = tuple(getattr(split, self.split))
        if not samples:
            raise DataError(
                f"There are no images in the {self.split} part of this data.", "Choose another part."
            )
        if self.limit:
            samples = samples[: self.limit]
        names = prompt_names(scan, data.class_names)
        digest = split_digest(split)
        loaded: dict[InputForm, ImageSet] = {}
        results = []
        done: list[Path] = []
        for number, ref in enumerate(self.refs):
            with session.borrow(ref, names, data.templates, control) as classifier:
                form = input_form(classifier)
                if form not in loaded:
                    loaded[form] = load_set(scan.root, samples, form, control)
                images = loaded[form]
                # The same evaluation, asked for again after it was cancelled, goes on where it was.
                asked = (self.split, self.attack, self.norm, self.steps, self.limit, self.epsilons, self.seed)
                journal = journal_path({"model": ref, "data": data, "asked": asked})
                earlier = EarlierTime(journal)
                evaluation = evaluate(
                    classifier,
                    images.images,
                    images.labels,
                    epsilons=self.epsilons,
                    attack=self.attack,
                    norm=self.norm,
                    steps=self.steps,
                    batch_size=self.batch_size,
                    seed=self.seed,
                    control=control.part(number, len(self.refs)),
                    model_name=ref.title,
                    provenance=evaluation_provenance(
                        session,
                        ref,
                        data=scan.root.name,
                        split=self.split,
                        split_digest=digest,
                        templates=data.templates,
                    ),
                    resume_from=journal,
                )
            done.append(journal)
            read = set(images.paths)
            seen = tuple(sample for sample in samples if sample.path in read)
            evaluation = with_seen_images(earlier.added_to(evaluation), ref, scan.root, seen, control)
            results.append(ModelEvaluation(ref, evaluation, scan.root, seen))
        for journal in done:
            journal.unlink(missing_ok=True)
        return tuple(results)


@dataclass
class DescribeJob:
    """Parameters, steps, memory and time of a recipe."""

    settings: RunSettings
    title: str = "Recipe facts"
    priority: int = Priority.INTERACTIVE

    def run(self, session: Any, control: Control) -> object:
        """Return the engine's RecipeFacts."""
        return session.describe(self.settings, control)


@dataclass
class CallJob:
    """Any short call on the GPU thread, `work(session, control)`."""

    work: Callable[[Any, Control], object] = field(repr=False)
    title: str = "Work"
    priority: int = Priority.INTERACTIVE

    def run(self, session: Any, control: Control) -> object:
        """Return what the call returns."""
        return self.work(session, control)
