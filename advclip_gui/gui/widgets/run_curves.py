"""Accuracy over the training steps of several runs, one above the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QStackedWidget, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Muted, TextLabel
from advclip_gui.gui.widgets.plots import LinePlot
from advclip_gui.gui.widgets.segmented import Segmented
from advclip_gui.gui.widgets.untitled_card import UntitledCard
from advclip_gui.wording import figure_tag, not_comparable, radius_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from advclip_gui.engine.run_list import RunSummary
    from advclip_gui.gui.run_record import RunRecord
    from advclip_gui.gui.widgets.plot_series import Style
    from advclip_gui.settings import RunSettings

ROLES = ("robust", "clean", "adversarial", "violet", "amber", "rose", "sky")
"""Colours of the lines, in the order of the table; more runs than these are not compared."""

_WITHOUT_RUN = "An adapter without its run has no curves."
_TITLE = "Accuracy while training"


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
        self.plot = LinePlot(_TITLE, name="runCurves", form="percent", y_range=(0.0, 1.0))
        self.plot.setMinimumSize(10 * look.xxl, 5 * look.xxl)
        self.sentence = Muted("")
        self.sentence.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.stack = QStackedWidget()
        self.stack.addWidget(self.plot)
        self.stack.addWidget(self.sentence)
        self.notice = TextLabel("", "caption", wrap=True)
        self.notice.setObjectName("curvesNotice")
        self.notice.hide()
        self.body.addWidget(self.stack, 1)
        self.body.addWidget(self.notice)
        self.plot.header.insertWidget(2, self.kind)
        self.kind.chosen.connect(self._draw)

    def show_runs(self, runs: Sequence[RunSummary], records: Mapping[Path, RunRecord]) -> None:
        """Draw the runs whose folder has been read."""
        self._runs, self._records = runs, records
        self._draw()

    @staticmethod
    def marks(runs: Sequence[RunSummary]) -> dict[Path, str]:
        """Colour role of each run, for as many as there are colours; adapters have no line to be found."""
        drawn = (run for run in runs if not run.is_adapter)
        return {run.path: role for run, role in zip(drawn, ROLES, strict=False)}

    def _draw(self, _kind: str = "") -> None:
        kind, marks = self.kind.value(), self.marks(self._runs)
        names = [run.title for run in self._runs]
        tags = {run.path: self._tag(run) for run in self._runs if self._settings(run) is not None}
        mixed = len(set(tags.values())) > 1
        baselines: dict[tuple[float, str], bool] = {}
        notes: set[str] = set()
        self.plot.clear()
        for run in self._runs:
            record, role = self._records.get(run.path), marks.get(run.path)
            if record is None or role is None or run.path not in tags:
                continue
            curve, baseline = record.curve(kind), record.baseline(kind)
            if not curve.steps:
                continue
            label = run.title if names.count(run.title) == 1 else run.path.name
            if mixed:
                label = f"{label} ({tags[run.path]})"
            interval = (curve.low, curve.high) if len(self._runs) == 1 else None
            # Beyond three, every other line shows its points: not by colour alone.
            style: Style = "marked" if len(self._runs) > 3 and ROLES.index(role) % 2 else "solid"
            self.plot.set_series(
                str(run.path), curve.steps, curve.shares, label, style, role, interval=interval
            )
            if len(self._runs) == 1:
                self._draw_comparison(record, kind)
            notes.add(_note(record, kind))
            if baseline is not None:
                # The label goes where no curve ends.
                name = f"Zero-shot ({tags[run.path]})" if mixed else "Zero-shot"
                place = (baseline, name)
                baselines[place] = baselines.get(place, True) and curve.shares[-1] < baseline
        for number, ((share, name), above) in enumerate(sorted(baselines.items())):
            self.plot.set_baseline(f"zero-shot {number}", share, name, above=above, in_legend=mixed)
        self._name(set(tags.values()))
        self.plot.set_total(max((self._steps_of(run) for run in self._runs), default=0))
        self.plot.set_note(notes.pop() if len(notes) == 1 else "")
        sentence = "No run is selected." if not self._runs else ""
        if self._missing():
            sentence = "No accuracy was measured in training."
        if self._runs and all(run.is_adapter for run in self._runs):
            sentence = _WITHOUT_RUN
        self.sentence.setText(sentence)
        self.stack.setCurrentIndex(1 if sentence else 0)

    def _tag(self, run: RunSummary) -> str:
        settings = self._settings(run)
        return "" if settings is None else figure_tag(settings.protocol, settings.monitor.norm)

    def _settings(self, run: RunSummary) -> RunSettings | None:
        """Of a run whose folder has been read; an adapter without its run has no curve to label."""
        record = self._records.get(run.path)
        return None if record is None or run.is_adapter else record.settings

    def _name(self, tags: set[str]) -> None:
        """Say protocol and norm in the title, or that there are several, and what may not be compared."""
        tag = next(iter(tags)) if len(tags) == 1 else "mixed" if tags else ""
        self.plot.set_title(f"{_TITLE} · {tag}" if tag else _TITLE)
        released = any(tag.startswith("released") for tag in tags)
        self.notice.setText(not_comparable("released") if released else "")
        self.notice.setVisible(released)

    def _draw_comparison(self, record: RunRecord, kind: str) -> None:
        """Draw the CLIP-LoRA adapter trained beside the run's own."""
        curve = record.curve(kind, "clip-lora")
        if curve.steps:
            self.plot.set_series("clip-lora", curve.steps, curve.shares, "CLIP-LoRA", "marked", "amber")

    def _steps_of(self, run: RunSummary) -> int:
        settings = self._settings(run)
        return settings.total_steps if settings is not None else 0

    def _missing(self) -> bool:
        """Whether the runs have been read and have no curve."""
        read = any(run.path in self._records for run in self._runs)
        return read and not self.plot.keys


def _note(record: RunRecord, kind: str) -> str:
    if record.settings is None:
        return ""
    monitor = record.settings.monitor
    images = next((event["n"] for event in record.metrics if event.get("event") == "eval"), monitor.images)
    if kind == "clean":
        return f"{images:,} images"
    return f"PGD-{monitor.attack_steps}, {radius_text(monitor.epsilon, monitor.norm)}, {images:,} images"
