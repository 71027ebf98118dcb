"""What a run has come to: zero-shot against the adapter, and where to go from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from advclip_gui.engine.probe_types import length_text
from advclip_gui.gui import theme
from advclip_gui.gui.evaluation_text import with_interval
from advclip_gui.gui.widgets.basics import Badge, Button, Card, Muted, PrimaryButton
from advclip_gui.gui.widgets.figure_table import FigureTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtGui import QResizeEvent

_SPLITS = {"val": "validation", "test": "test", "train": "training"}


class ResultText(NamedTuple):
    """What the card says.

    Attributes:
        title: "Result", or what else the figures are.
        badge: what the robust accuracy is, e.g. an upper bound and of which attacks.
        head: column titles.
        rows: one for each model.
        sentence: what changed, and whether it is more than chance.
        note: images, epsilon, protocol.
    """

    title: str
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

    def show_result(self, result: Mapping[str, Any], *, attack_steps: int = 10) -> None:
        """Show the figures of ``result.json``; `attack_steps` of PGD where it does not name the attack."""
        text = result_text(result, attack_steps=attack_steps)
        self.set_title(text.title)
        self.badge.setText(text.badge)
        self.badge.setVisible(bool(text.badge))
        self.table.set_rows(text.head, text.rows)
        self.table.setFixedHeight(self.table.height_for_rows(2))
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


def result_text(result: Mapping[str, Any], *, attack_steps: int = 10) -> ResultText:
    """Put a result into words.

    A run that was stopped has no test figures; then those of the last monitoring are shown, and the
    note says so.
    """
    method = str(result.get("method") or "Adapter")
    protocol = str(result.get("protocol") or "sound")
    final = isinstance(result.get("adapter"), dict)
    if final:
        before, after = result.get("zero_shot") or {}, result["adapter"]
        title, split = "Result", "test"
        label = (after.get("evaluation") or {}).get("label") or f"FGSM + PGD-{attack_steps}"
        attack = str(label).partition(",")[0]
    else:
        monitor = result.get("monitor") or {}
        before, after = monitor.get("zero-shot") or {}, monitor.get("adapter") or {}
        title, split = "Last figures of the monitoring", _SPLITS.get(after.get("split", ""), "monitored")
        attack = str(after.get("attack") or f"PGD-{attack_steps}")
    if not after:
        return ResultText(title, "", [], [], "", "No accuracy was measured.")
    epsilon = length_text(after["epsilon"], "Linf")
    head = ["Model", "Clean accuracy", f"Robust accuracy at {epsilon}"]
    rows = [
        [
            name,
            with_interval(entry["clean_accuracy"], entry["clean_interval"]),
            with_interval(entry["robust_accuracy"], entry["robust_interval"]),
        ]
        for name, entry in (("Zero-shot", before), (method, after))
        if entry
    ]
    note = f"n = {after['n']:,} {split} images, ε = {epsilon}, Wilson 95 % intervals, protocol {protocol}."
    if not final:
        note += " The run was stopped before its final evaluation; Evaluate measures the test images."
    return ResultText(title, f"upper bound: {attack}", head, rows, _sentence(before, after), note)


def _sentence(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Say what changed and whether the intervals tell it from chance."""
    if not before:
        return ""
    parts = []
    for name, key in (("Robust", "robust"), ("clean", "clean")):
        change = 100 * (after[f"{key}_accuracy"] - before[f"{key}_accuracy"])
        apart = (
            after[f"{key}_interval"][0] > before[f"{key}_interval"][1]
            or after[f"{key}_interval"][1] < before[f"{key}_interval"][0]
        )
        certain = "intervals apart" if apart else "intervals overlap"
        sign = "+" if change > 0 else "−" if change < 0 else "±"
        parts.append(f"{name} {sign}{abs(change):.1f} points ({certain})")
    return ", ".join(parts) + "."
