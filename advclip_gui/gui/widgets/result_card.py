"""What a run has come to: its models beside each other, and where to go from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.evaluation_text import with_interval
from advclip_gui.gui.widgets.basics import Badge, Button, Card, Muted, PrimaryButton
from advclip_gui.gui.widgets.figure_table import FigureTable
from advclip_gui.settings import RunSettings
from advclip_gui.wording import (
    figure_tag,
    images_text,
    kept_text,
    memory_text,
    not_comparable,
    radius_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PySide6.QtGui import QResizeEvent

_FINAL = (("zero_shot", "Zero-shot"), ("clip_lora", "CLIP-LoRA"), ("adapter", ""))
_MONITORED = (("zero-shot", "Zero-shot"), ("clip-lora", "CLIP-LoRA"), ("adapter", ""))
"""Keys of the models in the order of the table; the adapter is named after the run's method."""


class ResultText(NamedTuple):
    """What the card says.

    Attributes:
        title: "Result", or what else the figures are.
        tag: protocol and norm, e.g. "sound, L∞".
        badge: what the robust accuracy is, e.g. an upper bound and of which attacks.
        head: column titles.
        rows: one for each model.
        sentence: what changed, and whether it is more than chance.
        note: images, epsilon, protocol.
    """

    title: str
    tag: str
    badge: str
    head: list[str]
    rows: list[list[str]]
    sentence: str
    note: str


class ResultCard(Card):
    """The final figures, as ``result.json`` holds them; after a stop those of the last monitoring."""

    probe_clicked = Signal()
    evaluate_clicked = Signal()
    export_clicked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__("Result", parent)
        self.badge = Badge("", "warning")
        self.badge.setObjectName("resultBadge")
        self.badge.setToolTip(
            "A stronger attack may find more mistakes; the Evaluate page tries more of them."
        )
        self.header.addWidget(self.badge)
        self.table = FigureTable(name="resultTable", label="Final figures")
        self.table.setProperty("frameless", True)
        self.sentence = Muted("")
        self.sentence.set_role("")
        self.sentence.setObjectName("resultSentence")
        self.note = Muted("")
        self.note.set_role("caption")
        self.note.setObjectName("resultNote")
        self.probe_button = PrimaryButton(
            "Probe it", "crosshairs-gps", name="resultProbe", tip="Attack single images with this adapter."
        )
        self.evaluate_button = Button(
            "Evaluate", "shield-check-outline", name="resultEvaluate", tip="Measure it at several epsilons."
        )
        self.export_button = Button(
            "Export", "export-variant", name="resultExport", tip="Hand the adapter on in peft's format."
        )
        self.body.addWidget(self.table)
        self.body.addWidget(self.sentence)
        self.body.addWidget(self.note)
        self.body.addStretch(1)
        row = QHBoxLayout()
        row.setSpacing(theme.current().s)
        row.addStretch(1)
        for button, signal in (
            (self.export_button, self.export_clicked),
            (self.evaluate_button, self.evaluate_clicked),
            (self.probe_button, self.probe_clicked),
        ):
            row.addWidget(button)
            button.clicked.connect(signal)
        self.body.addLayout(row)

    def show_result(self, result: Mapping[str, Any], settings: RunSettings) -> None:
        """Show the figures of ``result.json``, of a run with these settings."""
        text = result_text(result, settings)
        self.set_title(f"{text.title} · {text.tag}" if text.tag else text.title)
        self.badge.setText(text.badge)
        self.badge.setVisible(bool(text.badge))
        self.table.set_rows(text.head, text.rows)
        self.table.setFixedHeight(self.table.height_for_rows(3))
        self.table.setVisible(bool(text.rows))
        self.sentence.setText(text.sentence)
        self.sentence.setVisible(bool(text.sentence))
        self.note.setText(text.note)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Wrap again."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Ask for the height of wrapped sentences, which a splitter would not grant."""
        self.setMinimumHeight(self.layout().totalHeightForWidth(self.width()))


def result_text(result: Mapping[str, Any], settings: RunSettings | None = None) -> ResultText:
    """Put a result into words; `settings` of the run fill in what old results do not hold.

    A run that was stopped has no test figures; then those of the last monitoring are shown, and the
    note says so.
    """
    settings = settings or RunSettings()
    final = isinstance(result.get("adapter"), dict)
    source: Mapping[str, Any] = result if final else result.get("monitor") or {}
    keys = _FINAL if final else _MONITORED
    models = [
        (name or str(result.get("method") or "Adapter"), source[key])
        for key, name in keys
        if isinstance(source.get(key), dict)
    ]
    title = "Result" if final else "Last figures of the monitoring"
    if not models:
        return ResultText(title, "", "", [], [], "", "No accuracy was measured.")
    after, learnt = models[-1][1], isinstance(source.get("adapter"), dict)
    protocol = str(result.get("protocol") or settings.protocol)
    norm = str(result.get("norm") or after.get("norm") or settings.monitor.norm)
    steps = settings.monitor.attack_steps
    single = [entry for _, entry in models if "fgsm_accuracy" in entry]
    head = ["Model", "Clean accuracy", *(["FGSM"] if single else [])]
    head.append(f"{'PGD' if single else 'Robust accuracy'} at {radius_text(after['epsilon'], norm)}")
    rows = [[name, *_cells(entry, bool(single))] for name, entry in models]
    split = "test" if final else str(after.get("split", ""))
    note = [f"n = {images_text(after['n'], split)}, Wilson 95 % intervals, {protocol} protocol."]
    if not final:
        missed = "final evaluation" if learnt else "final evaluation, and before any of its adapter"
        note.append(f"The run was stopped before its {missed}; Evaluate measures the test images.")
    if final and not isinstance(result.get("zero_shot"), dict):
        note.append("The final evaluation was ended before zero-shot was measured.")
    note += [
        part
        for part in (kept_text(result, settings), memory_text(result, settings), not_comparable(protocol))
        if part
    ]
    return ResultText(
        title,
        figure_tag(protocol, norm),
        _badge(after, final, protocol, steps),
        head,
        rows,
        _sentence(models) if learnt else "",
        " ".join(note),
    )


def _badge(after: Mapping[str, Any], final: bool, protocol: str, steps: int) -> str:
    if protocol == "released":
        return f"as released: FGSM, PGD-{steps}" if final else f"as released: PGD-{steps}"
    label = (after.get("evaluation") or {}).get("label") or after.get("attack")
    attack = str(label or f"FGSM + PGD-{steps}").partition(",")[0]
    return f"upper bound: {attack}"


def _cells(entry: Mapping[str, Any], single: bool) -> list[str]:
    """Clean, FGSM where the protocol counts it by itself, robust."""
    parts = ("clean", "fgsm", "robust") if single else ("clean", "robust")
    return [
        with_interval(entry[f"{part}_accuracy"], entry[f"{part}_interval"])
        if entry.get(f"{part}_accuracy") is not None
        else "–"
        for part in parts
    ]


def _sentence(models: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Say what changed from the other models and whether the intervals tell it from chance."""
    *others, (_, after) = models
    sentences = []
    for name, before in others:
        changes = _changes(before, after)
        sentences.append(
            f"Against {name}: {changes}" if len(others) > 1 else changes[:1].upper() + changes[1:]
        )
    return " ".join(sentences)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    parts = []
    for key in ("robust", "clean"):
        change = 100 * (after[f"{key}_accuracy"] - before[f"{key}_accuracy"])
        apart = (
            after[f"{key}_interval"][0] > before[f"{key}_interval"][1]
            or after[f"{key}_interval"][1] < before[f"{key}_interval"][0]
        )
        certain = "intervals apart" if apart else "intervals overlap"
        sign = "+" if change > 0 else "−" if change < 0 else "±"
        parts.append(f"{key} {sign}{abs(change):.1f} points ({certain})")
    return ", ".join(parts) + "."
