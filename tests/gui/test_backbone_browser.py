"""The browser of backbones: list, search, filters, details, keys, download and what it remembers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QCheckBox, QComboBox, QFileDialog, QLineEdit, QPushButton, QTableView, QWidget

from advclip_gui.engine.catalog import all_entries
from advclip_gui.engine.errors import BackboneError
from advclip_gui.gui.dialogs import backbones
from advclip_gui.gui.dialogs.backbones import BackboneBrowser
from advclip_gui.gui.preferences import Preferences
from advclip_gui.gui.widgets import backbone_card
from advclip_gui.gui.widgets.backbone_card import BackboneCard
from advclip_gui.gui.widgets.backbone_table import FETCH, NAME, PARAMETERS, PIXELS
from advclip_gui.settings import BackboneSettings
from tests.gui.page_room import Room, page_room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from advclip_gui.engine.control import Control

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def room(qapp: Any) -> Iterator[Room]:
    with page_room(qapp) as made:
        yield made


@pytest.fixture
def open_browser(qtbot: QtBot, room: Room) -> Callable[..., BackboneBrowser]:
    def make(settings: BackboneSettings | None = None) -> BackboneBrowser:
        made = BackboneBrowser(room.io, settings)
        qtbot.addWidget(made)
        made.show()
        qtbot.waitUntil(lambda: not room.io.jobs)
        return made

    return make


def titles(browser: BackboneBrowser) -> list[str]:
    return [one.title for one in browser.table.shown()]


def search(qtbot: QtBot, browser: BackboneBrowser, text: str) -> None:
    browser.search.clear()
    qtbot.keyClicks(browser.search, text)


def test_all_that_can_be_adapted_is_listed_with_the_choice_selected(open_browser: Any) -> None:
    browser = open_browser(BackboneSettings(name="ViT-L-14", weights="laion2b_s32b_b82k"))
    assert titles(browser) == [one.title for one in all_entries() if not one.refused]
    assert browser.table.entry().weights == "laion2b_s32b_b82k"
    assert browser.count.text() == f"{len(titles(browser))} backbones"
    assert browser.details.title.text().replace("\u200b", "") == "ViT-L-14 - laion2b_s32b_b82k"


def test_search_and_filters(qtbot: QtBot, open_browser: Any) -> None:
    browser = open_browser()
    search(qtbot, browser, "metaclip B-16")
    assert titles(browser) == ["ViT-B-16 - metaclip_400m", "ViT-B-16 - metaclip_fullcc"]
    search(qtbot, browser, "no such thing")
    assert (titles(browser), browser.count.text()) == ([], "Nothing fits")
    assert not browser.choose_button.isEnabled()
    assert not browser.fetch_button.isEnabled()
    browser.search.clear()
    browser.family.setCurrentText("SigLIP 2")
    browser.resolution.setCurrentText("512 px")
    assert {(one.family, one.image_size) for one in browser.table.shown()} == {("SigLIP 2", 512)}
    browser.family.setCurrentIndex(0)
    browser.resolution.setCurrentIndex(0)
    qtbot.mouseClick(browser.only_here, LEFT, pos=browser.only_here.rect().center() / 4)
    assert titles(browser) == ["advclip-mini (bundled)"]


def test_what_is_refused_says_why_and_cannot_be_taken(qtbot: QtBot, open_browser: Any) -> None:
    browser = open_browser()
    search(qtbot, browser, "coca_ViT-L")
    assert titles(browser) == []
    browser.refused.setChecked(True)
    assert len(titles(browser)) == 2
    assert "captioning model" in browser.details.sentence.text()
    assert not browser.choose_button.isEnabled()
    assert browser.refused.text() == "Not supported too"


@pytest.mark.parametrize(
    ("column", "figure"),
    [
        (PIXELS, lambda one: one.image_size),
        (PARAMETERS, lambda one: one.parameters),
        (NAME, lambda one: one.title.casefold()),
    ],
)
def test_columns_sort_by_what_they_mean(open_browser: Any, column: int, figure: Any) -> None:
    browser = open_browser()
    for order in (Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder):
        browser.table.sortByColumn(column, order)
        values = [figure(one) for one in browser.table.shown()]
        assert values == sorted(values, reverse=order == Qt.SortOrder.DescendingOrder)


def test_what_is_here_comes_first_when_sorted_by_the_download(open_browser: Any) -> None:
    browser = open_browser()
    browser.table.sortByColumn(FETCH, Qt.SortOrder.AscendingOrder)
    assert titles(browser)[0] == "advclip-mini (bundled)"
    assert browser.table.model().index(0, FETCH).data() == "Already here"


def test_any_repository_can_be_named_in_the_search(qtbot: QtBot, open_browser: Any) -> None:
    browser = open_browser()
    search(qtbot, browser, "someone/their-clip")
    assert titles(browser) == ["someone/their-clip"]
    assert browser.fetch_button.isEnabled()
    with qtbot.waitSignal(browser.chosen) as taken:
        qtbot.keyClick(browser.search, Qt.Key.Key_Return)
    assert taken.args == [BackboneSettings(name="hf-hub:someone/their-clip")]


def test_keys_move_through_the_list_from_the_search_field(qtbot: QtBot, open_browser: Any) -> None:
    browser = open_browser()
    browser.table.select(None)
    assert browser.focusWidget() is browser.search
    qtbot.keyClick(browser.search, Qt.Key.Key_Down)
    qtbot.keyClick(browser.search, Qt.Key.Key_Down)
    assert browser.table.entry() is all_entries()[2]
    with qtbot.waitSignal(browser.chosen) as taken:
        qtbot.keyClick(browser.search, Qt.Key.Key_Return)
    assert taken.args == [BackboneSettings(name="ViT-B-16", weights="openai")]


def test_a_double_click_takes_it_and_escape_leaves(qtbot: QtBot, open_browser: Any) -> None:
    browser = open_browser()
    with qtbot.waitSignal(browser.chosen):
        browser.table.activated.emit(browser.table.model().index(3, NAME))
    other = open_browser()
    with qtbot.assertNotEmitted(other.chosen), qtbot.waitSignal(other.rejected):
        qtbot.keyClick(other, Qt.Key.Key_Escape)


def test_everything_can_be_reached_and_is_named(qtbot: QtBot, open_browser: Any) -> None:
    browser = open_browser()
    reached, widget = {browser.search}, browser.search.nextInFocusChain()
    while widget is not browser.search:
        if widget.isVisible() and widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
            reached.add(widget)
        widget = widget.nextInFocusChain()
    parts = [
        one
        for kind in (QLineEdit, QComboBox, QCheckBox, QPushButton, QTableView)
        for one in browser.findChildren(kind)
    ]
    for part in parts:
        if not part.isVisible():
            continue
        assert isinstance(part, QWidget)
        assert part in reached, part.objectName()
        assert part.accessibleName() or getattr(part, "text", str)(), part.objectName()


class TestFetching:
    @pytest.fixture
    def hub(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """What a download does: waits for `go`, then fails or makes the backbone be here."""

        class Hub:
            go = threading.Event()
            fails = False
            asked: list[tuple[str, bool]]
            here: set[str]

        hub = Hub()
        hub.go, hub.asked, hub.here = threading.Event(), [], set()

        def download(settings: BackboneSettings, offline: bool, control: Control) -> None:
            hub.asked.append((settings.name, offline))
            control.progress("Downloading", 302_500_000, 605_000_000, "12 MB/s, 30 s left")
            while not hub.go.wait(0.01):
                control.check()
            if hub.fails:
                raise BackboneError("The hub did not answer.", "Try again later.")
            hub.here.add(settings.name)

        monkeypatch.setattr(backbones, "download", download)
        monkeypatch.setattr(backbones, "is_here", lambda one: one.name in hub.here)
        return hub

    @pytest.fixture
    def browser(self, hub: Any, open_browser: Any) -> BackboneBrowser:
        return open_browser(BackboneSettings(name="hf-hub:chs20/fare4-clip"))

    def test_progress_and_success(self, qtbot: QtBot, room: Room, browser: BackboneBrowser, hub: Any) -> None:
        assert browser.fetch_button.text() == "Fetch 1,710 MB"
        qtbot.mouseClick(browser.fetch_button, LEFT)
        qtbot.waitUntil(lambda: "12 MB/s, 30 s left" in browser.progress.text.text())
        assert not browser.fetch_button.isEnabled()
        with qtbot.waitSignal(browser.fetched):
            hub.go.set()
        qtbot.waitUntil(lambda: not room.io.jobs)
        assert browser.banner.message == "ViT-L/14 - FARE 4/255 is on this machine now."
        assert not browser.progress.isVisible()
        assert browser.details.state.text() == "Already here"
        assert not browser.fetch_button.isEnabled()
        assert hub.asked == [("hf-hub:chs20/fare4-clip", False)]

    def test_failure_and_a_later_try(
        self, qtbot: QtBot, room: Room, browser: BackboneBrowser, hub: Any
    ) -> None:
        hub.fails = True
        hub.go.set()
        qtbot.mouseClick(browser.fetch_button, LEFT)
        qtbot.waitUntil(lambda: not room.io.jobs)
        assert browser.banner.message == "The hub did not answer. Try again later."
        assert browser.fetch_button.isEnabled()
        hub.fails = False
        qtbot.mouseClick(browser.fetch_button, LEFT)
        qtbot.waitUntil(lambda: not room.io.jobs)
        assert browser.details.state.text() == "Already here"

    def test_cancel_and_closing_end_it(
        self, qtbot: QtBot, room: Room, browser: BackboneBrowser, hub: Any
    ) -> None:
        qtbot.mouseClick(browser.fetch_button, LEFT)
        qtbot.waitUntil(lambda: bool(hub.asked))
        qtbot.mouseClick(browser.progress.cancel_button, LEFT)
        qtbot.waitUntil(lambda: not room.io.jobs)
        assert browser.fetch_button.isEnabled()
        qtbot.mouseClick(browser.fetch_button, LEFT)
        qtbot.waitUntil(lambda: len(hub.asked) == 2)
        browser.close()
        qtbot.waitUntil(lambda: not room.io.jobs)
        assert not hub.here

    def test_working_offline(
        self, qtbot: QtBot, browser: BackboneBrowser, hub: Any, open_browser: Any
    ) -> None:
        browser.offline.setChecked(True)
        assert not browser.fetch_button.isEnabled()
        assert "Work offline" in browser.details.sentence.text()
        assert browser.choose_button.isEnabled()
        assert open_browser().offline.isChecked()
        browser.offline.setChecked(False)
        assert not Preferences().offline()


def test_the_size_is_remembered(open_browser: Any) -> None:
    first = open_browser()
    first.resize(901, 603)
    first.close()
    assert open_browser().size() == QSize(901, 603)


class TestCard:
    @pytest.fixture
    def card(self, qtbot: QtBot, room: Room) -> BackboneCard:
        card = BackboneCard(room.io)
        qtbot.addWidget(card)
        card.show()
        qtbot.waitUntil(lambda: not room.io.jobs)
        return card

    def test_a_choice_of_the_browser_is_taken_over(
        self, qtbot: QtBot, room: Room, card: BackboneCard
    ) -> None:
        qtbot.mouseClick(card.browse, LEFT)
        browser = card.window().findChild(BackboneBrowser)
        search(qtbot, browser, "EVA02-B-16")
        with qtbot.waitSignal(card.changed) as changed:
            qtbot.mouseClick(browser.choose_button, LEFT)
        chosen = BackboneSettings(name="EVA02-B-16", weights="merged2b_s8b_b131k")
        assert changed.args == [chosen]
        assert card.settings() == chosen
        qtbot.waitUntil(lambda: not room.io.jobs)
        assert card.choice.currentText().startswith("EVA02-B-16 - merged2b_s8b_b131k")
        assert card.choice.currentText().endswith("·  599 MB")
        card.take(BackboneSettings())
        card.take(chosen)
        assert [card.choice.itemText(i).split("  ")[0] for i in range(card.choice.count())].count(
            "EVA02-B-16 - merged2b_s8b_b131k"
        ) == 1
        qtbot.waitUntil(lambda: not room.io.jobs)

    def test_a_repository_of_unknown_size(self, qtbot: QtBot, room: Room, card: BackboneCard) -> None:
        card.take(BackboneSettings(name="hf-hub:someone/their-clip"))
        qtbot.waitUntil(lambda: not room.io.jobs)
        assert card.settings() == BackboneSettings(name="hf-hub:someone/their-clip")
        button = card.banner.findChild(QPushButton, "bannerAction0")
        assert button.text() == "Download"
        assert "it can be fetched" in card.problem()

    def test_a_folder_is_taken_as_it_is(
        self, qtbot: QtBot, room: Room, card: BackboneCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "config.json").write_text('{"model_type": "clip"}')
        card.take(BackboneSettings(name="local", checkpoint="x"))
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
        qtbot.mouseClick(card.local.browse_folder, LEFT)
        qtbot.waitUntil(lambda: not room.io.jobs)
        assert card.settings() == BackboneSettings(name="local", checkpoint=str(tmp_path))
        assert "holds no weights" in card.problem()
        (tmp_path / "model.safetensors").write_bytes(b"x")
        card.refresh()
        qtbot.waitUntil(lambda: not room.io.jobs)
        assert card.problem() == ""
        assert "a folder with model.safetensors" in card.local.note.text()

    def test_offline_the_card_offers_no_download(self, qtbot: QtBot, room: Room, card: BackboneCard) -> None:
        Preferences().set_offline(True)
        card.take(BackboneSettings(name="ViT-B-32", weights="openai"))
        qtbot.waitUntil(lambda: not room.io.jobs)
        texts = [button.text() for button in card.banner.findChildren(QPushButton)]
        assert not any(text.startswith("Download") for text in texts)

    def test_the_card_and_the_browser_download_in_the_same_way(self) -> None:
        assert backbone_card.download is backbones.download
