"""Which CLIP is adapted: the registry with what is here, or a checkpoint file of one's own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from advclip_gui.engine.catalog import (
    CATALOG,
    WAYS_OUT,
    Availability,
    BackboneEntry,
    availability,
    entry,
    is_here,
)
from advclip_gui.engine.errors import BackboneError
from advclip_gui.gui import theme
from advclip_gui.gui.backbone_downloads import BackboneDownloads, why_offline
from advclip_gui.gui.dialogs.backbones import BackboneBrowser
from advclip_gui.gui.widgets.backbone_details import size_text
from advclip_gui.gui.widgets.basics import Badge, Banner, Button, Card, TextLabel
from advclip_gui.gui.widgets.download_row import DownloadRow
from advclip_gui.gui.widgets.field_editors import ChoiceBox
from advclip_gui.gui.widgets.flow import FlowLayout
from advclip_gui.gui.widgets.local_checkpoint import LocalCheckpoint
from advclip_gui.settings import BackboneSettings

if TYPE_CHECKING:
    from advclip_gui.engine.control import Control
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.job_handle import ErrorInfo, JobHandle

_FETCH_WORDS = {"error": "Try again", "info": "Continue"}
"""What the button says after a download that did not end well."""
_CHECKING = "Looking for the weights on this machine."


class BackboneCard(Card):
    """A combo box of favourites, the way to all others, facts of the choice, and a local checkpoint."""

    changed = Signal(object)
    """BackboneSettings, or None while something is missing."""
    availability_changed = Signal()

    def __init__(self, io: IoPool, parent: QWidget | None = None) -> None:
        """Show the bundled backbone."""
        super().__init__("Backbone", parent)
        self._io = io
        self._loading = False
        self._job: JobHandle | None = None
        self._checked: tuple[BackboneSettings, Availability] | None = None
        self._base = BackboneSettings()
        self.downloads = BackboneDownloads(io, self)
        look = theme.current()
        self._entries = list(CATALOG)
        self.choice = ChoiceBox([(entry.title, index) for index, entry in enumerate(CATALOG)])
        self.choice.setObjectName("backbone.name")
        self.choice.setAccessibleName("Backbone")
        self.choice.setMinimumWidth(20 * look.l)
        self.choice.view().setMinimumWidth(24 * look.l)
        self._badges = [Badge() for _ in range(3)]
        self.browse = Button(
            "Browse all…",
            "format-list-bulleted",
            name="browseBackbones",
            tip="Everything that can be loaded, with search, sizes and licences.",
        )
        choice, facts = QWidget(), QWidget()
        for box, parts in ((choice, (self.choice, self.browse)), (facts, self._badges)):
            row = QHBoxLayout(box)
            row.setContentsMargins(0, 0, 0, 0)
            row.setSpacing(look.s)
            for part in parts:
                row.addWidget(part)
            box.setFixedHeight(look.control_height)
        for badge in self._badges:
            badge.setFixedHeight(look.xl - look.xs)
        line = FlowLayout(spacing=look.m)  # a narrow window puts the facts below
        line.addWidget(choice)
        line.addWidget(facts)
        self.description = TextLabel("", "caption", wrap=True)
        self.download = DownloadRow("download", self.downloads)
        self.banner = Banner("warning", "", closable=False)
        self.banner.setObjectName("backboneBanner")
        self.body.addLayout(line)
        self.body.addWidget(self.description)
        self.local = LocalCheckpoint()
        self.body.addWidget(self.local)
        self.body.addWidget(self.download)
        self.body.addWidget(self.banner)
        self.choice.edited.connect(self._on_edited)
        self.browse.clicked.connect(self.open_browser)
        self.local.edited.connect(self._on_edited)
        self.local.browse_clicked.connect(self.choose_file)
        self.downloads.began.connect(self._on_download_began)
        self.downloads.ended.connect(self._on_download_ended)
        self.set_settings(BackboneSettings())
        self._list_what_is_here()

    # --- value --------------------------------------------------------------------------------

    def entry(self) -> BackboneEntry:
        """The chosen line of the registry."""
        index = self.choice.currentIndex()
        return self._entries[index] if index >= 0 else CATALOG[0]

    def settings(self) -> BackboneSettings | None:
        """The choice as settings, None while a local checkpoint has no file."""
        return self._validate()[0]

    def problem(self) -> str:
        """Why training cannot start with this backbone, "" where it can."""
        settings, problem = self._validate()
        if settings is None:
            return problem
        if self._checked is None or self._checked[0] != settings:
            return _CHECKING
        if self.downloads.one is not None and self.downloads.one == self.entry():
            return f"{self.entry().title} is being downloaded."
        found = self._checked[1]
        # The ways out stand in the banner above the fields already.
        return "" if found.here and found.fits else found.sentence.removesuffix(WAYS_OUT).strip()

    def set_settings(self, settings: BackboneSettings) -> None:
        """Show a choice without reporting a change."""
        if self.settings() == settings and self._checked is not None:
            return
        self._loading = True
        try:
            self._base = settings
            self.choice.setCurrentIndex(self._index_of(settings))
            self.local.set_settings(settings)
        finally:
            self._loading = False
        self.refresh()

    def _index_of(self, settings: BackboneSettings) -> int:
        """The line of a choice; one that is no favourite gets a line of its own. -1 for an unknown name."""
        try:
            wanted = entry(settings)
        except BackboneError:
            return -1
        if wanted not in self._entries:
            # Before the last line, the user's own files.
            place = len(self._entries) - 1
            self._entries.insert(place, wanted)
            self.choice.insertItem(place, wanted.title)
            self._list_what_is_here()
        return self._entries.index(wanted)

    def open_browser(self) -> None:
        """Show everything that can be chosen."""
        browser = BackboneBrowser(self._io, self.downloads, self.settings() or self._base, self.window())
        browser.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        browser.chosen.connect(self.take)
        browser.finished.connect(self._show)  # downloads may be switched off or on now
        browser.open()

    def take(self, settings: BackboneSettings) -> None:
        """Choose a backbone as if it had been chosen from the list."""
        self.set_settings(settings)
        self.changed.emit(self.settings())

    def choose_file(self) -> None:
        """Ask for a checkpoint file and take it."""
        name = self.local.ask_file()
        if name:
            self.take_file(name)

    def take_file(self, name: str) -> None:
        """Choose 'local checkpoint file' with this file."""
        self._choose("local")
        self.local.checkpoint.setText(name)

    def _validate(self) -> tuple[BackboneSettings | None, str]:
        if self.choice.currentIndex() < 0:
            return None, f"There is no backbone '{self._base.name}'; choose one."
        chosen = self.entry()
        if chosen.name == "local":
            return self.local.validate()
        if _known(self._base) is chosen:
            return self._base, ""
        return BackboneSettings(name=chosen.name, weights=chosen.weights), ""

    # --- what is here -------------------------------------------------------------------------

    def _on_edited(self) -> None:
        if not self._loading:
            self.refresh()
            self.changed.emit(self.settings())

    def _choose(self, name: str) -> None:
        self.choice.setCurrentIndex(next(i for i, one in enumerate(self._entries) if one.name == name))

    def refresh(self) -> None:
        """Look again whether the weights are here: a file may have come or gone meanwhile."""
        settings = self.settings()
        if settings is not None:
            if self._job is not None:
                self._job.cancel()
            self._job = self._io.submit(partial(_look, settings), "Looking for the weights")
            self._job.finished.connect(self._on_checked)
            self._job.failed.connect(self._on_check_failed)
        self._show()

    def _on_checked(self, found: tuple[BackboneSettings, Availability]) -> None:
        if found[0] == self.settings():
            self._checked = found
            self._show()
            self.availability_changed.emit()

    def _on_check_failed(self, error: ErrorInfo) -> None:
        settings = self.settings()
        if settings is not None and self.sender() is self._job:
            self._checked = settings, Availability(False, None, error.sentence)
            self._show()
            self.availability_changed.emit()

    def _show(self, *_: object) -> None:
        chosen, settings = self.entry(), self.settings()
        local = chosen.name == "local"
        found = self._checked[1] if self._checked is not None and self._checked[0] == settings else None
        self.local.setVisible(local)
        self.description.setText(chosen.description)
        what = BackboneSettings.model_fields["name"].description or ""
        self.choice.setToolTip(f"{chosen.title}\n{what}")  # all of a name that is too long for the field
        size, parameters, state = self._badges
        size.setText(f"{chosen.image_size} px")
        size.setVisible(bool(chosen.image_size))
        parameters.setText(f"{chosen.parameters / 1e6:,.0f} M parameters")
        parameters.setVisible(bool(chosen.parameters))
        if found is None:
            state.setText("…")
            state.set_tone("")
        elif found.here:
            state.setText(
                ("Ready" if found.fits else "Does not fit")
                if local
                else "Already here"
                if chosen.fetched
                else "Bundled"
            )
            state.set_tone("good" if found.fits else "warning")
        else:
            missing = "Downloading" if self.downloads.one == chosen else "To fetch"
            state.setText("Not found" if local else "Not supported" if chosen.refused else missing)
            state.set_tone("bad" if local or chosen.refused else "warning")
        state.setVisible(settings is not None)
        if local:
            text = self.local.validate()[1] or (found.sentence if found is not None else _CHECKING)
            self.local.show_architecture(found.architecture if found is not None else "")
            self.local.show_note(text, wrong=found is not None and not (found.here and found.fits))
        if found is not None and not found.here and not local and self.downloads.one != chosen:
            self._offer(found.sentence)
        else:
            self.banner.clear()

    def _offer(self, sentence: str) -> None:
        """Say that the weights are not here, and the ways out."""
        chosen = self.entry()
        busy = self.downloads.one
        outcome = self.downloads.outcome(chosen)
        fetch = _FETCH_WORDS.get(outcome.level if outcome is not None else "", "Download")
        actions = (
            *(() if chosen.refused or busy or why_offline() else ((fetch, self.start_download),)),
            ("Choose a file…", self.choose_file),
            ("Use advclip-mini", self._use_bundled),
        )
        if outcome is not None and outcome.level != "success":
            level = "error" if outcome.level == "error" else "warning"
            self.banner.show_message(level, outcome.sentence, outcome.details, actions)
        else:
            then = f"It can be fetched once {busy.title} is." if busy is not None else why_offline()
            parts = (sentence, "" if chosen.refused else then)
            self.banner.show_message("warning", " ".join(filter(None, parts)), "", actions)

    # --- download -----------------------------------------------------------------------------

    def start_download(self) -> None:
        """Fetch the weights of the chosen backbone; only ever called by a click."""
        settings = self.settings()
        if settings is not None:
            self.downloads.start(settings)

    def _on_download_began(self) -> None:
        self._show()
        self.availability_changed.emit()

    def _on_download_ended(self) -> None:
        self._list_what_is_here()
        self.refresh()

    def _use_bundled(self) -> None:
        self._choose("advclip-mini")

    def _list_what_is_here(self) -> None:
        job = self._io.submit(partial(_look_all, tuple(self._entries)), "Looking for backbones")
        job.finished.connect(self._on_listed)

    def _on_listed(self, here: dict[str, bool]) -> None:
        for index, one in enumerate(self._entries):
            if not one.fetched or one.title not in here:
                continue
            text = "here" if here[one.title] else size_text(one) or "to fetch"
            self.choice.setItemText(index, f"{one.title}  ·  {text}")
            self.choice.setItemData(index, one.description, Qt.ItemDataRole.ToolTipRole)


def _known(settings: BackboneSettings) -> BackboneEntry | None:
    try:
        return entry(settings)
    except BackboneError:
        return None


def _look(settings: BackboneSettings, _control: Control) -> tuple[BackboneSettings, Availability]:
    try:
        return settings, availability(settings)
    except BackboneError as error:
        return settings, Availability(False, None, str(error))


def _look_all(entries: tuple[BackboneEntry, ...], control: Control) -> dict[str, bool]:
    here = {}
    for one in entries:
        control.check()
        here[one.title] = is_here(one)
    return here
