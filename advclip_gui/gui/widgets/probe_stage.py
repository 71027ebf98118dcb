"""One probe on show: verdict, original | perturbation | adversarial, replay, and the bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.probe_text import (
    NEUTRAL,
    Verdict,
    request_text,
    result_verdict,
    seen_text,
    size_text,
    step_text,
    step_verdict,
    survival_text,
)
from advclip_gui.gui.widgets.bar_painting import percent
from advclip_gui.gui.widgets.basics import TextLabel
from advclip_gui.gui.widgets.elided_label import ElidedLabel
from advclip_gui.gui.widgets.image_view import ImageView, ViewLink
from advclip_gui.gui.widgets.probability_bars import ProbabilityBars
from advclip_gui.gui.widgets.probe_legend import PerturbationLegend
from advclip_gui.gui.widgets.replay_bar import ReplayBar
from advclip_gui.gui.widgets.segmented import Segmented
from advclip_gui.gui.widgets.verdict import VerdictView

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from advclip_gui.engine.events import ProbeStep
    from advclip_gui.engine.probe_types import ProbeResult
    from advclip_gui.gui.probe_controller import PickedImage, Question

DIM_AFTER_MS = 250
"""A newer answer that comes sooner than this replaces the old one without a flicker."""


class ProbeStage(QWidget):
    """Shows exactly one result at a time; every word and figure in it belongs to that result."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        look = theme.current()
        self.question: Question | None = None
        self.result: ProbeResult | None = None
        self._underway: Question | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.s)
        self.verdict = VerdictView()
        column.addWidget(self.verdict)
        column.addLayout(self._make_facts())
        column.addLayout(self._make_views(), 5)
        self.replay = ReplayBar()
        column.addWidget(self.replay)
        self.bars = ProbabilityBars(6)
        self.bars.setObjectName("probeBars")
        column.addWidget(self.bars, 3)
        self._dim = QTimer(self)
        self._dim.setSingleShot(True)
        self._dim.setInterval(DIM_AFTER_MS)
        self._dim.timeout.connect(self._on_dim)
        self.replay.moved.connect(self.show_index)
        self.perturbation_mode.chosen.connect(self._on_mode)
        self.clear()

    def _make_facts(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(theme.current().m)
        self.facts = ElidedLabel("", "caption")
        self.facts.setObjectName("probeFacts")
        self.updating = TextLabel("", "caption")
        self.updating.setObjectName("probeUpdating")
        row.addWidget(self.facts, 1)
        row.addWidget(self.updating)
        return row

    def _make_views(self) -> QHBoxLayout:
        look = theme.current()
        row = QHBoxLayout()
        row.setSpacing(look.m)
        self.link = ViewLink(self)
        self.original = ImageView(
            "Original", name="probeOriginal", link=self.link, tip="The image exactly as the model sees it."
        )
        self.perturbation = ImageView(
            "Perturbation",
            name="probePerturbation",
            link=self.link,
            tip="What the attack adds. Signed: grey is no change, amplified by the factor shown. "
            "Heat: brighter is more change.",
        )
        self.adversarial = ImageView(
            "Adversarial",
            name="probeAdversarial",
            link=self.link,
            tip="Original plus perturbation, in 8 bits.",
        )
        self.perturbation_mode = Segmented(
            [
                ("signed", "Signed", "Grey is no change; brighter and darker is up and down."),
                ("heat", "Heat", "How much each pixel changed, dark blue to pale yellow."),
            ],
            name="probePerturbationMode",
            label="Perturbation shown as",
            compact=True,
        )
        self.perturbation.header.addWidget(self.perturbation_mode)
        self.views = (self.original, self.perturbation, self.adversarial)
        height = self.perturbation_mode.sizeHint().height()
        for view in self.views:
            view.title.setMinimumHeight(height)
            row.addWidget(view, 1)
        self.seen = ElidedLabel("", "caption")
        self.seen.setObjectName("probeSeen")
        self.legend = PerturbationLegend()
        self.size = ElidedLabel("", "caption")
        self.size.setObjectName("probeDeltaSize")
        for view, footer in zip(self.views, (self.seen, self.legend, self.size), strict=True):
            footer.setMinimumHeight(self.legend.sizeHint().height())
            view.footer.addWidget(footer)
        return row

    # What is shown ---------------------------------------------------------------------------------

    def clear(self, sentence: str = "", note: str = "") -> None:
        """Show placeholders and a neutral sentence."""
        self._forget()
        self.original.set_image(None)
        self.original.set_placeholder("image-outline", "Pick an image below")
        self.verdict.show_verdict(Verdict(NEUTRAL, "", sentence, note))

    def show_image(self, image: PickedImage, sentence: str) -> None:
        """Show an image that has not been attacked yet; what belonged to the former one goes."""
        self._forget()
        self.link.fit()
        self.original.set_image(image.preview if image.preview is not None else image.pixels)
        self.verdict.show_verdict(Verdict(NEUTRAL, "", sentence, image.title))

    def _forget(self) -> None:
        self.question = self.result = self._underway = None
        self.facts.setText("")
        for view in (self.perturbation, self.adversarial):
            view.set_image(None)
            view.set_frame_role("")
        self.original.set_detail("")
        self.seen.setText("")
        self.size.setText("")
        self.legend.clear()
        self.perturbation.set_placeholder("grain", "What the attack adds")
        self.adversarial.set_placeholder("image-plus-outline", "What the model sees then")
        self.replay.clear()
        self.bars.clear()
        self._undim()

    def show_result(self, question: Question, result: ProbeResult) -> None:
        """Show an answer; the replay stands at its end."""
        former = self.question or self._underway
        same = former is not None and _subject(former) == _subject(question)
        self._underway = None
        again = self.question == question
        self.question, self.result = question, result
        before = result.before_label
        self.original.set_image(result.original, f"{result.before_name} {percent(result.before[before])}")
        self.seen.setText(seen_text(question.image.pixels.shape, result.original.shape))
        self.facts.setText(
            f"{question.ref.title} · {request_text(result.request)} · {question.image.title} · "
            f"{result.milliseconds:.0f} ms"
        )
        self.bars.set_subject(
            result.class_names,
            result.before,
            result.after,
            label=self._label(),
            target=result.request.target,
            keep_rows=same,
        )
        keep = self.replay.index if again and not self.replay.at_end else None
        self.replay.set_steps(
            [step.step for step in result.steps],
            [step.loss for step in result.steps],
            [_argmax(step.probabilities) != before for step in result.steps],
            result.steps[0].total_steps if result.steps else 0,
        )
        if keep is not None and keep < len(result.steps):
            self.replay.slider.setValue(keep)
        else:
            self.show_index(max(len(result.steps) - 1, 0))
        self._undim()

    def show_partial(self, question: Question, step: ProbeStep) -> None:
        """Show a step of an attack that is still running, for models slow enough to wait for."""
        if self.question is not None and _subject(self.question) == _subject(question):
            self._underway = question
        known = self._underway is not None and _subject(self._underway) == _subject(question)
        if self.result is not None:
            self._forget_result()
        if known:
            # The same image and model: what it says of the untouched image still holds.
            self.bars.set_headings("Before", f"At step {step.step}" if step.step else "At the starting point")
            self.bars.set_after(step.probabilities)
        else:
            self.bars.clear()
        self._show_pixels(step.adversarial, step.perturbation)
        self.adversarial.set_detail(f"{step_text(step)} …")
        self.facts.setText(
            f"{question.ref.title} · {request_text(question.request)} · {question.image.title}"
        )
        sentence = f"Attacking … {step_text(step)}"
        self.verdict.show_verdict(
            Verdict(NEUTRAL, "", sentence, f"{question.ref.title}, loss {step.loss:.3f}")
        )
        self._undim()

    def _forget_result(self) -> None:
        self.question = self.result = None
        self.replay.clear()
        self.original.set_detail("")
        self.adversarial.set_frame_role("")

    def show_index(self, index: int) -> None:
        """Show one step of the replay: image, perturbation, bars, loss and sentence together."""
        result = self.result
        if result is None:
            return
        if index >= len(result.steps) - 1:
            self._show_pixels(result.adversarial, result.perturbation)
            self._show_after(result.after, result.after_label)
            self.bars.set_headings("Before", "After the attack")
            self.verdict.show_verdict(result_verdict(result, self._label()), survival_text(result))
            return
        step = result.steps[index]
        self._show_pixels(step.adversarial, step.perturbation)
        self._show_after(step.probabilities, _argmax(step.probabilities))
        self.bars.set_headings("Before", f"At step {step.step}" if step.step else "At the starting point")
        self.verdict.show_verdict(step_verdict(result, step, self._label()))

    def _show_after(self, after: tuple[float, ...], predicted: int) -> None:
        result = self.result
        if result is None:
            return
        self.bars.set_after(after)
        self.adversarial.set_detail(f"{result.class_names[predicted]} {percent(after[predicted])}")
        wrong = self._label() not in (None, result.before_label)
        kept = "warning" if wrong else "robust"
        self.adversarial.set_frame_role("adversarial" if predicted != result.before_label else kept)

    def _label(self) -> int | None:
        """The true class of what is shown, None if unknown."""
        question, result = self.question, self.result
        if question is None or result is None or question.class_names != result.class_names:
            return None  # a live model keeps the classes it is trained on
        return question.image.label

    def _show_pixels(self, adversarial: NDArray[np.uint8], perturbation: NDArray[np.float32]) -> None:
        self._perturbation = perturbation
        self.adversarial.set_image(adversarial)
        self.size.setText(size_text(perturbation))
        self._show_perturbation()

    def _show_perturbation(self) -> None:
        # Imported here: it brings numpy, which the window does not wait for.
        from advclip_gui.engine.perturbation_view import heat_image, perturbation_image

        if self.perturbation_mode.value() == "heat":
            largest = float(abs(self._perturbation).max(initial=0.0)) * 255
            self.perturbation.set_image(heat_image(self._perturbation), f"≤ {largest:.2g}/255")
            self.legend.show_heat(largest / 255)
        else:
            picture, factor = perturbation_image(self._perturbation)
            self.perturbation.set_image(picture, f"× {factor:g}")
            self.legend.show_signed(factor)

    def _on_mode(self, _mode: str) -> None:
        if self.perturbation.image is not None:
            self._show_perturbation()

    def say_waiting(self, sentence: str) -> None:
        """Say what an image without a result waits for."""
        if self.question is None and self.result is None and self.original.image is not None:
            note = self.verdict.note.text()
            self.verdict.show_verdict(Verdict(NEUTRAL, "", sentence, note))

    # While a newer one computes --------------------------------------------------------------------

    def set_updating(self, text: str, *, dim: bool) -> None:
        """Say that something newer is on its way; "" when it has come.

        Args:
            text: what is going on.
            dim: what is shown does not fit the controls any more: fade it if this takes a while.
        """
        self.updating.setText(text)
        if text and dim:
            if not self._dim.isActive():
                self._dim.start()
        else:
            self._undim()

    def _on_dim(self) -> None:
        for view in (self.perturbation, self.adversarial):
            view.set_dimmed(True)
        self.bars.set_dimmed(True)

    def _undim(self) -> None:
        self._dim.stop()
        for view in (self.perturbation, self.adversarial):
            view.set_dimmed(False)
        self.bars.set_dimmed(False)

    def stop(self) -> None:
        """No timer may outlive the page."""
        self._dim.stop()
        self.replay.stop()


def _subject(question: Question) -> tuple[object, ...]:
    return question.image, question.ref, question.class_names, question.request.target


def _argmax(values: tuple[float, ...]) -> int:
    return max(range(len(values)), key=values.__getitem__)
