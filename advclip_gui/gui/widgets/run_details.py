"""Beside the curves: one run's figures and settings, or the settings in which several differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QHeaderView, QWidget

from advclip_gui.gui.evaluation_text import percent
from advclip_gui.gui.run_text import STATES, moment
from advclip_gui.gui.widgets.basics import Card, IconButton, Muted
from advclip_gui.gui.widgets.elided_label import ElidedLabel
from advclip_gui.gui.widgets.figure_table import FigureTable
from advclip_gui.gui.widgets.run_differences import what_differs
from advclip_gui.settings_text import titled_values
from advclip_gui.wording import figure_tag, kept_text, not_comparable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from advclip_gui.engine.run_list import RunSummary
    from advclip_gui.gui.run_record import RunRecord

_NARROWEST = 64
"""Width of a run's column, in device-independent pixels, below which the table scrolls."""


class RunDetails(Card):
    """A table of two or more columns under a sentence, and the note of a single run."""

    note_wanted = Signal()
    """The user wants to write about the run shown."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__("Settings", parent)
        self.sentence = Muted("")
        self.sentence.setObjectName("runSentence")
        self.sentence.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.table = FigureTable(name="runSettings", label="Settings")
        self.table.setProperty("frameless", True)
        self.place = ElidedLabel("", "caption", mode=Qt.TextElideMode.ElideLeft)
        self.place.setObjectName("runPlace")
        self.place.setAccessibleName("Folder of the run")
        self.note = NoteLine()
        self.note.wanted.connect(self.note_wanted)
        self.body.addWidget(self.sentence)
        self.body.addWidget(self.note)
        self.body.addWidget(self.table, 1)
        self.body.addWidget(self.place)
        self.body.addStretch(0)

    def show_runs(self, runs: Sequence[RunSummary], records: Mapping[Path, RunRecord]) -> None:
        """Show one run, or compare several; those whose folder has not been read are left out."""
        known = [(run, records[run.path]) for run in runs if run.path in records]
        self.place.setVisible(len(known) == 1)
        self.note.show_text(known[0][0].note if len(known) == 1 else "")
        self.table.setVisible(bool(known))
        if not known:
            self.set_title("Settings")
            unread = " ".join(run.problem for run in runs if run.problem)
            self.sentence.setText(
                unread or "Reading …" if runs else "Select a run or an adapter; several to compare them."
            )
        elif len(known) == 1:
            self._show_one(*known[0])
        else:
            self._compare(known)

    def _show_one(self, run: RunSummary, record: RunRecord) -> None:
        self.set_title("Settings")
        self.sentence.setText(line_sentence(run, record))
        settings = {} if record.settings is None else titled_values(record.settings)
        # A run's settings say it all; an adapter may have none.
        facts = record.facts if run.is_adapter else {}
        self.table.set_rows(("Setting", "Value"), list({**facts, **settings}.items()))
        self.place.setText(str(run.path))

    def _compare(self, known: Sequence[tuple[RunSummary, RunRecord]]) -> None:
        self.set_title("What differs")
        sentence, rows = what_differs(known)
        self.table.setVisible(bool(rows))
        self.sentence.setText(sentence)
        if not rows:
            return
        self.table.set_rows(("Setting", *(run.title for run, _ in known)), rows)
        header = self.table.horizontalHeader()
        header.setTextElideMode(Qt.TextElideMode.ElideRight)
        header.setMinimumSectionSize(_NARROWEST)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        for column, (run, _) in enumerate(known, start=1):
            self.table.horizontalHeaderItem(column).setToolTip(run.title)


class NoteLine(QWidget):
    """The beginning of a note with a button to read and change it; hidden where there is none."""

    wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start hidden."""
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self.text = ElidedLabel("", "", mode=Qt.TextElideMode.ElideRight)
        self.text.setObjectName("runNote")
        self.text.setAccessibleName("Note on the run")
        self.button = IconButton("note-edit-outline", "Change the note (F4)", name="changeNote")
        self.button.clicked.connect(self.wanted)
        row.addWidget(self.text, 1)
        row.addWidget(self.button)
        self.hide()

    def show_text(self, note: str) -> None:
        """Show another note."""
        self.text.setText(" ".join(note.split()))
        self.text.setToolTip(note)
        self.setVisible(bool(note))


def line_sentence(run: RunSummary, record: RunRecord) -> str:
    """Say in words how a run stands and what it has reached, or what is known of an adapter."""
    return adapter_sentence(run) if run.is_adapter else run_sentence(run, record)


def run_sentence(run: RunSummary, record: RunRecord) -> str:
    """Say in words how a run stands and what it has reached."""
    title, _, _, meaning = STATES[run.state]
    parts = [f"{title}: {record.message}" if record.message else meaning]
    result, settings = record.result or {}, record.settings
    if settings is None:
        return " ".join(parts)
    if run.part_of:
        parts.append(f"Part of the experiment {run.part_of}.")
    if run.clean is not None and run.robust is not None:
        tag = figure_tag(settings.protocol, run.norm)
        parts.append(f"{_figures(result.get('adapter') or {}, run.clean, run.robust)} ({tag}).")
        plain = result.get("clip_lora")
        if isinstance(plain, dict):
            beside = _figures(plain, plain["clean_accuracy"], plain["robust_accuracy"])
            parts.append(f"CLIP-LoRA beside it: {beside[:1].lower()}{beside[1:]}.")
        parts.append("95\u00a0% intervals in brackets.")
    parts += [part for part in (kept_text(result, settings), not_comparable(settings.protocol)) if part]
    steps = [event.get("step", 0) for event in record.metrics]
    if run.state != "finished" and steps:
        parts.append(f"Step {max(steps):,} of {settings.total_steps:,}.")
    if run.started:
        parts.append(f"Started {moment(run.started)}.")
    return " ".join(parts)


def adapter_sentence(line: RunSummary) -> str:
    """Say in words what is known of an adapter without its run."""
    parts = [STATES[line.state][3]]
    if line.clean is not None and line.robust is not None:
        tag = f" ({figure_tag(line.protocol, line.norm)})" if line.protocol else ""
        parts.append(f"Clean {percent(line.clean)}, robust {percent(line.robust)}{tag}, as its card says.")
    elif not line.method:
        parts.append("Nothing is known of its training.")
    parts += [not_comparable(line.protocol)] if not_comparable(line.protocol) else []
    parts.append(f"Opened {moment(line.started)}.")
    return " ".join(parts)


def _figures(entry: Mapping[str, object], clean: float, robust: float) -> str:
    return (
        f"Clean {_figure(clean, entry.get('clean_interval'))}, "
        f"robust {_figure(robust, entry.get('robust_interval'))}"
    )


def _figure(share: float, interval: object) -> str:
    if isinstance(interval, list) and len(interval) == 2:
        return f"{percent(share)} ({100 * interval[0]:.1f} – {100 * interval[1]:.1f})"
    return percent(share)
