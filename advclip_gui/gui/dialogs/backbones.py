"""The browser of backbones: everything that can be loaded, with a search field, filters and download."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QMenu,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from advclip_gui.engine.catalog import all_entries, entry, is_here
from advclip_gui.engine.clip_source import hub_switched_off
from advclip_gui.engine.errors import BackboneError
from advclip_gui.engine.published import HUB_PREFIX
from advclip_gui.gui import theme
from advclip_gui.gui.backbone_downloads import why_offline
from advclip_gui.gui.preferences import Preferences
from advclip_gui.gui.widgets.backbone_details import BackboneDetails, size_text
from advclip_gui.gui.widgets.backbone_filter import BackboneFilter
from advclip_gui.gui.widgets.backbone_table import BackboneTable
from advclip_gui.gui.widgets.basics import Banner, Button, Muted, PrimaryButton
from advclip_gui.gui.widgets.download_row import DownloadRow
from advclip_gui.gui.widgets.local_checkpoint import FILE_FILTER
from advclip_gui.settings import BackboneSettings

if TYPE_CHECKING:
    from PySide6.QtGui import QCloseEvent

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.published import BackboneEntry
    from advclip_gui.gui.backbone_downloads import BackboneDownloads, Outcome
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.job_handle import JobHandle

_NAME = "backbones"
_FETCH_TIP = "Download it now."
_KEYS_OF_THE_LIST = {Qt.Key.Key_Down, Qt.Key.Key_Up, Qt.Key.Key_PageDown, Qt.Key.Key_PageUp}


class BackboneBrowser(QDialog):
    """Chooses a backbone; nothing is fetched unless the button is pressed."""

    chosen = Signal(object)
    """BackboneSettings of the choice."""

    def __init__(
        self,
        io: IoPool,
        downloads: BackboneDownloads,
        settings: BackboneSettings | None,
        parent: QWidget | None = None,
    ) -> None:
        """Show everything, with the present choice selected, and what `downloads` is at already."""
        super().__init__(parent)
        self.setObjectName("backboneBrowser")
        self.setWindowTitle("Backbones")
        self._io = io
        self._preferences = Preferences()
        self._jobs: list[JobHandle] = []
        self._downloads = downloads
        self._named: BackboneEntry | None = None
        self._before: BackboneEntry | None = None
        look = theme.current()
        self.table = BackboneTable(all_entries())
        self.details = BackboneDetails()
        self.filter = BackboneFilter()
        self.filter.changed.connect(self._filter)
        self.search = self.filter.search
        self.search.installEventFilter(self)
        self.count = Muted("", wrap=False)
        self.count.setObjectName("backboneCount")
        self.progress = DownloadRow("backboneFetch", self._downloads)
        self.banner = Banner()
        self.banner.setObjectName("backboneBrowserBanner")
        self.banner.clear()
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setObjectName("backboneSplitter")
        self.splitter.setChildrenCollapsible(False)
        self.splitter.addWidget(self.table)
        self.splitter.addWidget(self.details)
        self.splitter.setStretchFactor(0, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(look.l, look.l, look.l, look.l)
        column.setSpacing(look.m)
        column.addWidget(self.filter)
        column.addWidget(self.splitter, 1)
        column.addWidget(self.progress)
        column.addWidget(self.banner)
        column.addLayout(self._make_buttons())
        self.table.selected.connect(self._on_selected)
        self.table.taken.connect(self._choose)
        self._downloads.began.connect(self._on_fetch_began)
        self._downloads.ended.connect(self._on_fetch_ended)
        self.resize(68 * look.l, 42 * look.l)
        self._preferences.recall_dialog(_NAME, self, self.splitter)
        self._select(settings)
        self._count()
        self.search.setFocus()
        self._look()

    # --- building -----------------------------------------------------------------------------

    def _make_buttons(self) -> QHBoxLayout:
        self.offline = QCheckBox("Work offline")
        self.offline.setObjectName("workOffline")
        self.offline.setToolTip("Never ask the hub for anything; what is here already can be used.")
        self.offline.setChecked(self._preferences.offline() or hub_switched_off())
        if hub_switched_off():
            self.offline.setEnabled(False)
            self.offline.setToolTip(why_offline())
        self.offline.toggled.connect(self._on_offline)
        self.fetch_button = Button("Fetch", "download", name="backboneFetch", tip=_FETCH_TIP)
        self.own_button = Button(
            "Your own…",
            "file-search-outline",
            name="backboneOwn",
            tip="A checkpoint file, or a folder with a CLIP.",
        )
        menu = QMenu(self.own_button)
        menu.addAction("Checkpoint file…", self._choose_file)
        menu.addAction("Folder of open_clip or Hugging Face…", self._choose_folder)
        self.own_button.setMenu(menu)
        self.choose_button = PrimaryButton("Choose", name="backboneChoose", tip="Take it for the recipe.")
        self.cancel_button = Button(
            "Close", name="backboneCancel", tip="Leave the recipe as it is; a download goes on."
        )
        self.fetch_button.clicked.connect(self.fetch)
        self.choose_button.clicked.connect(self._choose)
        self.cancel_button.clicked.connect(self.reject)
        row = QHBoxLayout()
        row.setSpacing(theme.current().s)
        row.addWidget(self.offline)
        row.addSpacing(theme.current().m)
        row.addWidget(self.count)
        row.addStretch(1)
        for button in (self.own_button, self.cancel_button, self.fetch_button, self.choose_button):
            button.setAutoDefault(False)
            row.addWidget(button)
        self.choose_button.setDefault(True)
        return row

    # --- the list -----------------------------------------------------------------------------

    def _select(self, settings: BackboneSettings | None) -> None:
        wanted = None
        if settings is not None and settings.name != "local":
            try:
                wanted = entry(settings)
            except BackboneError:
                wanted = None
        if wanted is not None and wanted not in self.table.backbones.entries:
            self.table.backbones.add(wanted)
        self.table.select(wanted)

    def _filter(self) -> None:
        words = self.search.text().strip()
        named = self._repository(words)
        if self._named is not None and self._named not in {named, self._downloads.one}:
            self.table.backbones.remove(self._named)  # what was typed on the way to a whole name
        self._named = named
        if named is not None:
            if named in self.table.backbones.entries:
                self._named = None
            self.table.backbones.add(named)
            words = named.hub_id
        self.table.set_filter(
            words,
            family=self.filter.family_name(),
            size=self.filter.pixels(),
            only_here=self.filter.only_here.isChecked(),
            with_refused=self.filter.refused.isChecked(),
        )
        self._count()

    def _count(self) -> None:
        shown = len(self.table.shown())
        self.count.setText("1 backbone" if shown == 1 else f"{shown} backbones" if shown else "Nothing fits")
        self._show()

    def _repository(self, words: str) -> BackboneEntry | None:
        """The repository a search names, where no listed one has it."""
        hub_id = words.removeprefix(HUB_PREFIX)
        listed = any(hub_id.casefold() in one.hub_id.casefold() for one in all_entries())
        if "/" not in hub_id or listed:
            return None
        try:
            return entry(BackboneSettings(name=HUB_PREFIX + hub_id))
        except BackboneError:
            return None

    def _look(self) -> None:
        """Find what is here, off the main thread."""
        job = self._io.submit(
            partial(_find_here, tuple(self.table.backbones.entries)), "Looking for backbones"
        )
        self._jobs.append(job)
        job.finished.connect(self._on_found)

    def _on_found(self, here: set[tuple[str, str]]) -> None:
        self.table.set_here(here)
        self._filter()

    def _on_selected(self) -> None:
        """Tell how the last download of what is newly selected ended, if there was one."""
        one = self.table.entry()
        if one != self._before:
            self._before = one
            outcome = self._downloads.outcome(one) if one is not None else None
            self._tell(outcome if outcome is not None and outcome.level != "success" else None)
        self._show()

    def _tell(self, outcome: Outcome | None) -> None:
        if outcome is None:
            self.banner.clear()
        else:
            self.banner.show_message(outcome.level, outcome.sentence, outcome.details)

    def _show(self) -> None:
        one = self.table.entry()
        here = one is not None and self.table.backbones.is_here(one)
        running, offline = self._downloads.one, why_offline()
        fetching = one is not None and one == running
        self.details.show_entry(one, here=here, offline=offline, fetching=fetching)
        usable = one is not None and not one.refused
        self.choose_button.setEnabled(usable)
        self.fetch_button.setEnabled(usable and not here and running is None and not offline)
        size = f" {size_text(one)}" if one is not None and one.download_mb and not here else ""
        self.fetch_button.setText(f"Fetch{size}")
        self.fetch_button.setAccessibleName(self.fetch_button.text())
        busy = f"{running.title} is being downloaded; one at a time." if running is not None else ""
        self.fetch_button.setToolTip(busy or offline or _FETCH_TIP)

    def _on_offline(self) -> None:
        self._preferences.set_offline(self.offline.isChecked())
        self._show()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The arrow keys move through the list while the search field has the focus."""
        if watched is self.search and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() in _KEYS_OF_THE_LIST:
                self.table.keyPressEvent(event)
                return True
        return super().eventFilter(watched, event)

    # --- fetching and choosing ----------------------------------------------------------------

    def fetch(self) -> None:
        """Download the selected backbone; only ever called by a click."""
        one = self.table.entry()
        if one is not None and not one.refused:
            self._downloads.start(settings_of(one))

    def _on_fetch_began(self) -> None:
        self.banner.clear()
        self._show()

    def _on_fetch_ended(self, outcome: Outcome) -> None:
        self._tell(outcome)
        self._look()
        self._show()

    def _choose(self) -> None:
        one = self.table.entry()
        if one is not None and not one.refused:
            self.chosen.emit(settings_of(one))
            self.accept()

    def _choose_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Choose a checkpoint", str(Path.home()), FILE_FILTER)
        self._take_own(name)

    def _choose_folder(self) -> None:
        self._take_own(QFileDialog.getExistingDirectory(self, "Choose a CLIP folder", str(Path.home())))

    def _take_own(self, name: str) -> None:
        if name:
            self.chosen.emit(BackboneSettings(name="local", checkpoint=name))
            self.accept()

    def done(self, result: int) -> None:
        """Remember the size; a download under way goes on, and the recipe's card shows it."""
        self._leave()
        super().done(result)

    def closeEvent(self, event: QCloseEvent) -> None:
        """As `done`."""
        self._leave()
        super().closeEvent(event)

    def _leave(self) -> None:
        self._preferences.remember_dialog(_NAME, self, self.splitter)
        for job in self._jobs:
            job.cancel()


def settings_of(one: BackboneEntry) -> BackboneSettings:
    """What the recipe holds for a choice."""
    return BackboneSettings(name=one.name, weights=one.weights)


def _find_here(entries: tuple[BackboneEntry, ...], control: Control) -> set[tuple[str, str]]:
    here = set()
    for one in entries:
        control.check()
        if is_here(one):
            here.add((one.name, one.weights))
    return here
