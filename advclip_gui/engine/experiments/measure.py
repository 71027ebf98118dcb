"""Measure one model on every test set of an experiment, the same way each time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from advclip_gui.engine import released
from advclip_gui.engine.evaluation import evaluate
from advclip_gui.engine.evaluation_provenance import evaluation_provenance
from advclip_gui.engine.experiments.watching import Evaluating
from advclip_gui.engine.files import write_json_atomic
from advclip_gui.engine.final_figures import in_smaller_batches
from advclip_gui.engine.model_input import input_form
from advclip_gui.engine.preparation import ImageSet, load_set
from advclip_gui.engine.report_text import label_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.classifier import ClipClassifier
    from advclip_gui.engine.experiments.definition import ExperimentSettings
    from advclip_gui.engine.experiments.folder import ExperimentFolder
    from advclip_gui.engine.experiments.test_sets import TestSet
    from advclip_gui.engine.experiments.watching import Watched
    from advclip_gui.engine.model_ref import ModelRef
    from advclip_gui.engine.session import Session

_RELEASED_BATCH: Final = 64
_KEPT_BYTES: Final = 2**30
"""Decoded test images that are held from one model to the next."""


class Yardstick:
    """Holds the decoded test images; each model is measured on all of them."""

    def __init__(
        self,
        settings: ExperimentSettings,
        folder: ExperimentFolder,
        session: Session,
        test_sets: Sequence[TestSet],
    ) -> None:
        """Nothing is decoded yet."""
        self._settings, self._folder, self._session = settings, folder, session
        self._test_sets = test_sets
        self._images: dict[str, ImageSet] = {}

    def measure(self, key: str, ref: ModelRef, control: Watched) -> dict[str, Any]:
        """Return the figures by test set, as a record keeps them, and the seconds it took (0: not known).

        What an attempt that was cut off has found is not done again.

        Args:
            key: of the cell, or "zero-shot".
            ref: the model.
            control: hears of progress.

        Raises:
            UserError: an adapter cannot be loaded, an image set not read, the memory is too small.
            Interrupted: a stop was asked for.
            Cancelled: through `control`.
        """
        # What was begun earlier is known by its last part only: no pace is taken from it.
        whole = not any(self._folder.journal(key, one.key).exists() for one in self._test_sets)
        began, idle = time.perf_counter(), control.idle
        figures = {one.key: self._on(one, key, ref, control) for one in self._test_sets}
        seconds = time.perf_counter() - began - (control.idle - idle)
        return {"figures": figures, "evaluation_seconds": round(seconds, 3) if whole else 0.0}

    def _on(self, test_set: TestSet, key: str, ref: ModelRef, control: Watched) -> dict[str, Any]:
        templates = self._settings.base.data.templates
        classifier = self._session.classifier(ref, test_set.class_names, templates, control)
        images = self._load(test_set, classifier, control)
        stepwise = Evaluating(control, control.report)
        common = {"title": test_set.title, "digest": test_set.digest, "n": len(images)}
        if self._settings.base.protocol == "released":
            return common | self._as_released(classifier, images, stepwise)
        return common | self._soundly(classifier, images, test_set, key, ref, stepwise)

    def _soundly(
        self,
        classifier: ClipClassifier,
        images: ImageSet,
        test_set: TestSet,
        key: str,
        ref: ModelRef,
        control: Evaluating,
    ) -> dict[str, Any]:
        how = self._settings.evaluation
        provenance = evaluation_provenance(
            self._session,
            ref,
            data=test_set.root.name,
            split=test_set.title,
            split_digest=test_set.digest,
            templates=self._settings.base.data.templates,
        )
        journal = self._folder.journal(key, test_set.key)
        found = in_smaller_batches(
            lambda size: evaluate(
                classifier,
                images.images,
                images.labels,
                epsilons=[how.epsilon],
                norm=how.norm,
                attack=how.attack,
                steps=how.steps or None,
                batch_size=size,
                seed=how.seed,
                control=control,
                model_name=ref.title,
                provenance=provenance,
                resume_from=journal,
            )
        )
        write_json_atomic(self._folder.path / "evaluations" / f"{key}-{test_set.key}.json", found.to_json())
        journal.unlink(missing_ok=True)
        first = found.epsilons[0]
        return {
            "clean": found.clean_accuracy,
            "clean_interval": list(found.clean_interval),
            "robust": first.robust_accuracy,
            "robust_interval": list(first.interval),
            "label": label_of(found),
            "warnings": list(found.warnings),
        }

    def _as_released(
        self, classifier: ClipClassifier, images: ImageSet, control: Evaluating
    ) -> dict[str, Any]:
        how = self._settings.evaluation
        steps = how.steps or 100
        found = in_smaller_batches(
            lambda size: released.evaluate(
                classifier,
                images.images,
                images.labels,
                epsilon=how.epsilon,
                steps=steps,
                batch_size=size or _RELEASED_BATCH,
                control=control,
            )
        )
        return {
            "clean": found.clean_accuracy,
            "clean_interval": list(found.clean_interval),
            "fgsm": found.fgsm_accuracy,
            "robust": found.robust_accuracy,
            "robust_interval": list(found.robust_interval),
            "label": f"PGD-{steps} as released",
            "warnings": [],
        }

    def _load(self, test_set: TestSet, classifier: ClipClassifier, control: Watched) -> ImageSet:
        if test_set.key not in self._images:
            form = input_form(classifier)
            loaded = load_set(test_set.root, test_set.samples, form, control)
            if sum(one.images.nbytes for one in (loaded, *self._images.values())) > _KEPT_BYTES:
                return loaded
            self._images[test_set.key] = loaded
        return self._images[test_set.key]
