"""Accuracy over the training steps of several runs, one above the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QStackedWidget, QWidget

from advclip_gui.engine.probe_types import length_text
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Muted
from advclip_gui.gui.widgets.plots import LinePlot
from advclip_gui.gui.widgets.segmented import Segmented
from advclip_gui.gui.widgets.untitled_card import UntitledCard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from advclip_gui.engine.runs import RunSummary
    from advclip_gui.gui.run_record import RunRecord

ROLES = ("robust", "clean", "adversarial", "violet", "amber", "rose", "sky")
"""Colours of the lines, in the order of the table; more runs than these are not drawn."""


class RunCurves(UntitledCard):
    """Robust or clean accuracy of the runs selected, with zero-shot as a dashed line."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        look = theme.current()
        self._runs: Sequence[RunSummary] = ()
        self._records: Mapping[Path, RunRecord] = {}
        self.kind = Segmented(
            [
                ("robust", "Robust", "Accuracy under attack while training."),
                ("clean", "Clean", "Accuracy on unchanged images while training."),
            ],
            name="curveKind",
            label="Accuracy shown",
            compact=True,
        )
        self.plot = LinePlot("Accuracy while training", "step", name="runCurves", unit=" %")
        self.plot.set_y_range(0, 100)
        self.plot.setMinimumSize(10 * look.xxl, 5 * look.xxl)
        self.sentence = Muted("")
        self.stack = QStackedWidget()
        self.stack.addWidget(self.plot)
        self.stack.addWidget(self.sentence)
        self.body.addWidget(self.stack, 1)
        head = self.plot.layout().itemAt(0).layout()
        head.insertWidget(2, self.kind)
        self.kind.chosen.connect(self._draw)

    def show_runs(self, runs: Sequence[RunSummary], records: Mapping[Path, RunRecord]) -> None:
        """Draw the runs whose folder has been read."""
        self._runs, self._records = runs, records
        self._draw()

    @staticmethod
    def marks(runs: Sequence[RunSummary]) -> dict[Path, str]:
        """Colour role of each run, for as many as there are colours."""
        return {run.path: role for run, role in zip(runs, ROLES, strict=False)}

    def _draw(self, _kind: str = "") -> None:
        kind = self.kind.value()
        self.plot.clear()
        marks = self.marks(self._runs)
        baselines: dict[float, float] = {}
        notes: set[str] = set()
        names = [run.name for run in self._runs]
        for run in self._runs:
            record, role = self._records.get(run.path), marks.get(run.path)
            if record is None or role is None:
                continue
            curve, baseline = record.curve(kind), record.baseline(kind)
            if baseline is not None:
                steps = curve.steps or (float(record.settings.total_steps),)
                baselines[baseline] = max(baselines.get(baseline, 0.0), steps[-1])
                curve_steps, shares = (0.0, *curve.steps), (baseline, *curve.shares)
                low, high = (baseline, *curve.low), (baseline, *curve.high)
            else:
                curve_steps, shares, low, high = curve.steps, curve.shares, curve.low, curve.high
            if not curve.steps:
                continue
            key, label = str(run.path), run.name if names.count(run.name) == 1 else run.path.name
            self.plot.set_series(key, curve_steps, _percent(shares), label, "solid", role)
            if len(self._runs) == 1:
                self.plot.set_band(key, curve_steps, _percent(low), _percent(high))
            notes.add(_note(record, kind))
        for number, (share, last) in enumerate(sorted(baselines.items())):
            line = _percent((share, share))
            self.plot.set_series(f"zero-shot {number}", (0.0, last), line, "Zero-shot", "dashed", "baseline")
        self.plot.set_note(notes.pop() if len(notes) == 1 else "")
        drawn = any(not key.startswith("zero-shot") for key in self.plot.keys)
        self.sentence.setText("" if drawn else "No accuracy was measured while this run was in training.")
        self.stack.setCurrentIndex(0)


def _percent(shares: Sequence[float]) -> tuple[float, ...]:
    return tuple(100 * share for share in shares)


def _note(record: RunRecord, kind: str) -> str:
    monitor = record.settings.monitor
    images = next((event["n"] for event in record.metrics if event.get("event") == "eval"), monitor.images)
    if kind == "clean":
        return f"{images:,} images"
    return f"PGD-{monitor.attack_steps}, {length_text(monitor.epsilon, 'Linf')}, {images:,} images"
