"""The curves of a run: accuracy large; beside it losses, what the adversary gains, and the optimiser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QSlider, QSplitter, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import TextLabel
from advclip_gui.gui.widgets.plots import LinePlot
from advclip_gui.gui.widgets.untitled_card import UntitledCard
from advclip_gui.settings import RunSettings
from advclip_gui.wording import figure_tag, images_text, not_comparable, radius_text

if TYPE_CHECKING:
    from advclip_gui.gui.run_history import Measured, RunHistory

_SMOOTHING_MOST = 97
_LINES = (
    ("loss", "adversarial_loss", "Adversarial", "adversarial"),
    ("loss", "clean_loss", "Clean", "clean"),
    ("gain", "inner_gain", "Gain", "rose"),
    ("flipped", "flipped_share", "Flipped", "adversarial"),
    ("delta", "delta_norm", "Mean", "violet"),
    ("gradient", "gradient_norm_a", "A", "amber"),
    ("gradient", "gradient_norm_b", "B", "sky"),
    ("rate", "learning_rate", "Now", "baseline"),
)
"""Plot, column of the history, name in the legend, colour."""


class TrainingPlots(QWidget):
    """Shows a `RunHistory`; call `show_history` again when it has grown."""

    saved = Signal(object)
    """The path of an exported plot."""
    failed = Signal(str)
    """Why a plot could not be exported."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make the plots."""
        super().__init__(parent)
        look = theme.current()
        self._history: RunHistory | None = None
        self._drawn: tuple[object, ...] = ()
        self._settings = RunSettings()
        self.accuracy = LinePlot("Accuracy", form="percent", y_range=(0, 1), name="accuracyPlot")
        self._make_small()
        for plot in self.plots:
            plot.saved.connect(self.saved)
            plot.failed.connect(self.failed)
        left = UntitledCard()
        left.body.addWidget(self.accuracy, 1)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setObjectName("plots")
        self.splitter.setChildrenCollapsible(False)
        self.splitter.addWidget(left)
        self.splitter.addWidget(self._make_right())
        for index in range(2):
            self.splitter.setStretchFactor(index, 1)
        self.splitter.setSizes([14 * look.xxl, 20 * look.xxl])
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.splitter)
        for card in self.splitter.findChildren(UntitledCard):
            card.layout().setContentsMargins(look.l, look.s, look.m, look.s)
        self._name(RunSettings())

    def _make_small(self) -> None:
        def small(title: str, name: str, **options: object) -> LinePlot:
            return LinePlot(title, compact=True, name=name, **options)  # type: ignore[arg-type]

        self.loss = small("Loss", "lossPlot", y_label="nats")
        self.gain = small("Inner gain", "gainPlot", y_label="nats", from_zero=True)
        self.flipped = small("Flipped", "flippedPlot", form="percent", y_range=(0, 1))
        self.delta = small("|δ|∞", "deltaPlot", form="epsilon", from_zero=True)
        self.gradient = small("Gradient", "gradientPlot", from_zero=True, digits=3)
        self.rate = small("Learning rate", "ratePlot", form="scientific", from_zero=True)
        for plot, tip in (
            (self.loss, "Mean loss on perturbed and on clean training images."),
            (self.gain, "What the adversary gains: loss on the perturbed image minus loss on the clean one."),
            (self.flipped, "Share of training samples that the adversary turned away from their label."),
            (self.gradient, "L2 norm of the loss's gradient in all A, and in all B, before clipping."),
            (self.rate, "AdamW's learning rate."),
        ):
            plot.setToolTip(tip)

    def _make_right(self) -> UntitledCard:
        look = theme.current()
        card = UntitledCard()
        self.notice = TextLabel("", "caption", wrap=True)
        self.notice.setObjectName("protocolNotice")
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
        tools = QHBoxLayout()
        tools.setSpacing(look.s)
        tools.addWidget(self.notice, 1)
        tools.addStretch(0)
        for widget in (TextLabel("Smoothing", "caption"), self.smoothing, self.smoothing_value):
            tools.addWidget(widget)
        card.body.addLayout(tools)
        grid = QGridLayout()
        grid.setHorizontalSpacing(look.m)
        grid.setVerticalSpacing(look.s)
        for place, plot in enumerate(self.plots[1:]):
            grid.addWidget(plot, place // 3, place % 3)
        for index in range(3):
            grid.setColumnStretch(index, 1)
        card.body.addLayout(grid, 1)
        return card

    @property
    def plots(self) -> tuple[LinePlot, ...]:
        """All of them, the accuracy first."""
        return (self.accuracy, self.loss, self.gain, self.flipped, self.delta, self.gradient, self.rate)

    def _name(self, settings: RunSettings) -> None:
        """Name protocol and norm in every title: a figure means nothing without them."""
        self._settings = settings
        norm, protocol = settings.adversary.norm, settings.protocol
        self.delta.set_form("epsilon" if norm == "Linf" else "plain")
        size = "Mean largest change of a pixel" if norm == "Linf" else "Mean Euclidean length of the change"
        unit = "in normalised units" if protocol == "released" else "in pixel units"
        self.delta.setToolTip(f"{size} by the adversary, {unit}.")
        names = (
            "Loss",
            "Inner gain",
            "Flipped",
            "|δ|₂" if norm == "L2" else "|δ|∞",
            "Gradient",
        )
        self.accuracy.set_title(f"Accuracy · {figure_tag(protocol, settings.monitor.norm)}")
        for plot, name in zip(self.plots[1:-1], names, strict=True):
            plot.set_title(f"{name} · {figure_tag(protocol, norm)}")
        self.rate.set_title(f"Learning rate · {protocol}")  # the same whatever the norm
        self.notice.setText(not_comparable(protocol))
        self.notice.setVisible(protocol == "released")

    def show_history(
        self, history: RunHistory, *, settings: RunSettings, total_steps: int, kept_step: int | None = None
    ) -> None:
        """Draw what is known so far.

        Args:
            history: of the run.
            settings: of the run, for protocol, norm and method.
            total_steps: where the x axis may end at most.
            kept_step: whose adapter was kept, where one was chosen.
        """
        if history is not self._history:
            for plot in self.plots:
                plot.clear()
            self._drawn = ()
        self._history = history
        if settings != self._settings:
            self._name(settings)
        for plot in self.plots:
            plot.set_total(total_steps, history.last_step)
        steps = len(history.steps)
        measured = (len(history.evaluations), len(history.comparison), history.baseline is None, kept_step)
        if self._drawn[1:] != measured:
            self._draw_accuracy(history, kept_step)
        if self._drawn[:1] != (steps,):
            self._draw_steps(history)
        self._drawn = (steps, *measured)

    def _draw_steps(self, history: RunHistory) -> None:
        columns = history.columns
        for name, key, label, role in _LINES:
            plot: LinePlot = getattr(self, name)
            plot.set_series(key, columns["step"], columns[key], label, "solid", role)

    def _draw_accuracy(self, history: RunHistory, kept_step: int | None) -> None:
        plot, base, shown = self.accuracy, history.baseline, history.evaluations
        plot.set_note(accuracy_note(shown[-1] if shown else base))
        if base is not None:
            for part in ("clean", "robust"):
                level = getattr(base, part)
                # The label stands on the side the curve has not gone to.
                above = level >= getattr(shown[-1] if shown else base, part)
                crowded = bool(history.comparison)
                plot.set_baseline(
                    f"zero-shot {part}", level, f"Zero-shot, {part}", part, above=above, in_legend=crowded
                )
        for part, role in (("clean", "clean"), ("robust", "robust")):
            self._draw_model(part, part.capitalize(), role, shown)
        for part, role in (("clean", "sky"), ("robust", "amber")):
            self._draw_model(f"clip-lora {part}", f"CLIP-LoRA {part}", role, history.comparison)
        kept = [one for one in shown if one.step == kept_step]
        if kept:
            plot.set_series(
                "kept", [kept[0].step], [kept[0].robust], f"Kept: step {kept[0].step:,}", "points", "accent"
            )
        elif "kept" in plot.keys:
            plot.remove("kept")

    def _draw_model(self, key: str, label: str, role: str, shown: list[Measured]) -> None:
        if not shown:
            return
        part = key.rsplit(" ", 1)[-1]
        bounds = [getattr(one, f"{part}_interval") for one in shown]
        self.accuracy.set_series(
            key,
            [one.step for one in shown],
            [getattr(one, part) for one in shown],
            label,
            "marked",
            role,
            interval=([low for low, _ in bounds], [high for _, high in bounds]),
        )

    def _on_smoothing(self, value: int) -> None:
        self.smoothing_value.setText(f"{value / 100:.2f}" if value else "off")
        for plot in self.plots[1:-1]:
            plot.set_smoothing(value / 100)


def accuracy_note(measured: Measured | None) -> str:
    """What an accuracy means: attack, epsilon, norm, images, interval."""
    if measured is None:
        return ""
    epsilon = radius_text(measured.epsilon, measured.norm)
    return f"{measured.attack} at {epsilon} · {images_text(measured.n, measured.split)} · 95 % bands"
