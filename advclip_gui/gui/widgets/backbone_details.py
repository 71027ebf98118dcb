"""What is known about one backbone, and what Start would do with it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QScrollArea, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Badge, SectionLabel, TextLabel

if TYPE_CHECKING:
    from advclip_gui.engine.published import BackboneEntry

_ROWS = ("Weights", "Family", "Input", "Parameters", "Download", "Licence", "Repository", "Tokenizer")
_NOTHING = (
    "Take fewer words or wider filters. A repository of the hub that is not listed is found by its whole "
    "name, such as owner/repository."
)
_ESTIMATE = "Reckoned from the parameters; the hub tells the exact size before the first byte."
_ON_THE_HUB = "see the repository's page"


class BackboneDetails(QScrollArea):
    """Title, description, facts and the sentence of what happens next."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        look = theme.current()
        self.setObjectName("backboneDetails")
        self.setAccessibleName("About the selected backbone")
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(17 * look.l)
        self.title = TextLabel("", "title", wrap=True)
        self.state = Badge()
        self.description = TextLabel("", wrap=True)
        self.sentence = TextLabel("", "muted", wrap=True)
        self.sentence.setObjectName("backboneSentence")
        self._values = {}
        grid = QGridLayout()
        grid.setHorizontalSpacing(look.m)
        grid.setVerticalSpacing(look.xs)
        grid.setColumnStretch(1, 1)
        for row, name in enumerate(_ROWS):
            value = TextLabel("", wrap=True)
            label = TextLabel(name, "muted")
            label.setAlignment(Qt.AlignmentFlag.AlignTop)
            grid.addWidget(label, row, 0)
            grid.addWidget(value, row, 1)
            self._values[name] = (label, value)
        inside = QWidget()
        inside.setProperty("role", "page")
        column = QVBoxLayout(inside)
        column.setContentsMargins(look.m, look.xs, look.s, look.xs)
        column.setSpacing(look.m)
        column.addWidget(self.title)
        column.addWidget(self.state)
        column.addWidget(self.description)
        column.addLayout(grid)
        column.addWidget(SectionLabel("What Start would do"))
        column.addWidget(self.sentence)
        column.addStretch(1)
        self.setWidget(inside)

    def show_entry(
        self, one: BackboneEntry | None, *, here: bool, offline: str = "", fetching: bool = False
    ) -> None:
        """Show a backbone, or that none is selected; `offline`: why nothing may be fetched."""
        inside = self.widget()
        for part in inside.findChildren(QWidget):
            if part.parent() is inside:
                part.setVisible(one is not None or part in {self.title, self.description})
        if one is None:
            self.title.setText("Nothing fits")
            self.description.setText(_NOTHING)
            return
        self.title.setText(_breakable(one.title))
        self.description.setText(one.description)
        missing = "Downloading" if fetching else "To fetch"
        self.state.setText("Not supported" if one.refused else "Already here" if here else missing)
        self.state.set_tone("bad" if one.refused else "good" if here else "warning")
        values = {
            "Weights": _breakable(one.weights),
            "Family": one.family,
            "Input": f"{one.image_size} x {one.image_size} px"
            if one.image_size
            else "known after the download",
            "Parameters": f"{one.parameters / 1e6:,.1f} M in both towers" if one.parameters else "",
            "Download": size_text(one),
            "Licence": one.licence or (_ON_THE_HUB if one.hub_id else ""),
            "Repository": _breakable(one.hub_id),
            "Tokenizer": _breakable(one.tokenizer),
        }
        tips = {"Licence": _as_told(one), "Download": _ESTIMATE if one.download_mb else ""}
        for name, (label, value) in self._values.items():
            value.setText(values[name])
            value.setToolTip(tips.get(name, ""))
            for part in (label, value):
                part.setVisible(bool(values[name]))
        self.sentence.setText(start_sentence(one, here=here, offline=offline, fetching=fetching))


def start_sentence(one: BackboneEntry, *, here: bool, offline: str = "", fetching: bool = False) -> str:
    """What Start would do with a backbone."""
    if one.refused:
        return f"Start would refuse it. {one.refused}"
    if here:
        return "Start trains on it at once; nothing is fetched."
    if fetching:
        return "It is being downloaded; Start waits for it."
    size = f" ({size_text(one)})" if one.download_mb else ""
    now = offline or "Fetching begins only when you press the button."
    return f"Start waits until it has been fetched{size}. {now}"


def size_text(one: BackboneEntry) -> str:
    """How much is fetched, "" where that is not known: an estimate, the hub tells the exact size."""
    return f"about {one.download_mb:,}\u00a0MB" if one.download_mb else ""


def _as_told(one: BackboneEntry) -> str:
    """Where the licence was read."""
    if one.licence_source:
        return f"Source: {one.licence_source}."
    return "No source for a licence was found; the repository's page may tell." if one.hub_id else ""


def _breakable(name: str) -> str:
    """Let a long name go on in the next line after a sign."""
    return re.sub(r"(?<=[/_.])", "\u200b", name)
