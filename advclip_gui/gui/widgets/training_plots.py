"""The curves of a run: accuracy large, loss beside it; |delta|, gradient norm and learning rate small."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QSlider, QSplitter, QVBoxLayout, QWidget

from advclip_gui.engine.probe_types import length_text
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import TextLabel
from advclip_gui.gui.widgets.plots import LinePlot
from advclip_gui.gui.widgets.untitled_card import UntitledCard

if TYPE_CHECKING:
    from advclip_gui.gui.run_history import Measured, RunHistory

_SMOOTHING_MOST = 97
_SPLITS = {"val": "validation", "test": "test", "train": "training"}


class TrainingPlots(QWidget):
    """Shows a `RunHistory`; call `show_history` again when it has grown."""

    saved = Signal(object)
    """The path of an exported plot."""
    failed = Signal(str)
    """Why a plot could not be exported."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make the five plots."""
        super().__init__(parent)
        look = theme.current()
        self._history: RunHistory | None = None
        self._drawn = (-1, -1, False)  # steps, evaluations and baseline on screen
        self.accuracy = LinePlot("Accuracy", form="percent", y_range=(0, 1), name="accuracyPlot")
        self.loss = LinePlot("Loss", y_label="nats", compact=True, name="lossPlot")
        self.delta = LinePlot("|δ|∞", form="epsilon", from_zero=True, compact=True, name="deltaPlot")
        self.gradient = LinePlot("Gradient norm", from_zero=True, compact=True, name="gradientPlot")
        self.rate = LinePlot(
            "Learning rate", form="scientific", from_zero=True, compact=True, name="ratePlot"
        )
        self.delta.setToolTip("Mean largest change of a pixel by the adversary, of each training image.")
        self.gradient.setToolTip("Norm of the loss's gradient in the adapter's parameters.")
        self.rate.setToolTip("AdamW's learning rate.")
        for plot in self.plots:
            plot.saved.connect(self.saved)
            plot.failed.connect(self.failed)
        self.set_protocol("sound")
        left = UntitledCard()
        left.body.addWidget(self.accuracy, 1)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setObjectName("plots")
        self.splitter.setChildrenCollapsible(False)
        self.splitter.addWidget(left)
        self.splitter.addWidget(self._make_right())
        for index in range(2):
            self.splitter.setStretchFactor(index, 1)
        self.splitter.setSizes([16 * look.xxl, 18 * look.xxl])
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.splitter)
        for card in self.splitter.findChildren(UntitledCard):
            card.layout().setContentsMargins(look.l, look.s, look.m, look.s)

    def _make_right(self) -> UntitledCard:
        look = theme.current()
        card = UntitledCard()
        card.body.addWidget(self.loss, 3)
        row = QHBoxLayout()
        row.setSpacing(look.m)
        for plot in (self.delta, self.gradient, self.rate):
            row.addWidget(plot, 1)
        card.body.addLayout(row, 2)
        self.smoothing = QSlider(Qt.Orientation.Horizontal)
        self.smoothing.setObjectName("smoothing")
        self.smoothing.setAccessibleName("Smoothing of losses and norms")
        self.smoothing.setToolTip(
            "Moving average over the reports: the weight of the past. The thin line stays as measured."
        )
        self.smoothing.setRange(0, _SMOOTHING_MOST)
        self.smoothing.setFixedWidth(3 * look.xxl)
        self.smoothing.valueChanged.connect(self._on_smoothing)
        self.smoothing_value = TextLabel("off", "caption")
        self.smoothing_value.setFixedWidth(look.xxl)
        tools = (TextLabel("Smoothing", "caption"), self.smoothing, self.smoothing_value)
        for place, widget in enumerate(tools, start=2):
            self.loss.header.insertWidget(place, widget)
        return card

    @property
    def plots(self) -> tuple[LinePlot, ...]:
        """All five."""
        return (self.accuracy, self.loss, self.delta, self.gradient, self.rate)

    def set_protocol(self, protocol: str) -> None:
        """Name the protocol in every title: a figure means nothing without it."""
        names = ("Accuracy", "Loss", "|δ|∞", "Gradient norm", "Learning rate")
        for plot, name in zip(self.plots, names, strict=True):
            plot.set_title(f"{name} · {protocol}")

    def show_history(self, history: RunHistory, *, total_steps: int, protocol: str) -> None:
        """Draw what is known so far."""
        if history is not self._history:
            for plot in self.plots:
                plot.clear()
            self._drawn = (-1, -1, False)
        self._history = history
        self.set_protocol(protocol)
        for plot in self.plots:
            plot.set_total(total_steps, history.last_step)
        steps, measured, there = self._drawn
        self._drawn = (len(history.steps), len(history.evaluations), history.baseline is not None)
        if (measured, there) != self._drawn[1:]:
            self._draw_accuracy(history)
        if steps != self._drawn[0]:
            self._draw_steps(history)

    def _draw_steps(self, history: RunHistory) -> None:
        columns = history.columns
        for plot, key, label, role in (
            (self.loss, "adversarial_loss", "Adversarial", "adversarial"),
            (self.loss, "clean_loss", "Clean", "clean"),
            (self.delta, "delta_norm", "Mean", "violet"),
            (self.gradient, "gradient_norm", "Norm", "amber"),
            (self.rate, "learning_rate", "Now", "baseline"),
        ):
            plot.set_series(key, columns["step"], columns[key], label, "solid", role)

    def _draw_accuracy(self, history: RunHistory) -> None:
        plot, base, shown = self.accuracy, history.baseline, history.evaluations
        plot.set_note(accuracy_note(shown[-1] if shown else base))
        if base is not None:
            for part in ("clean", "robust"):
                level = getattr(base, part)
                # The label stands on the side the curve has not gone to.
                above = level >= getattr(shown[-1] if shown else base, part)
                plot.set_baseline(f"zero-shot {part}", level, f"Zero-shot, {part}", part, above=above)
        if not shown:
            return
        steps = [one.step for one in shown]
        for part, label in (("clean", "Clean"), ("robust", "Robust")):
            bounds = [getattr(one, f"{part}_interval") for one in shown]
            plot.set_series(
                part,
                steps,
                [getattr(one, part) for one in shown],
                label,
                "marked",
                part,
                interval=([low for low, _ in bounds], [high for _, high in bounds]),
            )

    def _on_smoothing(self, value: int) -> None:
        self.smoothing_value.setText(f"{value / 100:.2f}" if value else "off")
        for plot in (self.loss, self.delta, self.gradient):
            plot.set_smoothing(value / 100)


def accuracy_note(measured: Measured | None) -> str:
    """What an accuracy means: attack, epsilon, images, interval."""
    if measured is None:
        return ""
    epsilon = length_text(measured.epsilon, "Linf")
    images = f"{measured.n} {_SPLITS.get(measured.split, measured.split)} images"
    return f"{measured.attack} at {epsilon} · {images} · 95 % bands"
