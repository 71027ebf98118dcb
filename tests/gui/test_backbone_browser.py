"""The browser of backbones: list, search, filters, details, keys, download and what it remembers."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from huggingface_hub import constants
from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QCheckBox, QComboBox, QFileDialog, QLineEdit, QPushButton, QTableView, QWidget
from safetensors.numpy import save

from advclip_gui.engine import hub_transfer
from advclip_gui.engine.catalog import all_entries
from advclip_gui.engine.errors import BackboneError
from advclip_gui.gui import backbone_downloads
from advclip_gui.gui.backbone_downloads import BackboneDownloads
from advclip_gui.gui.dialogs import backbones
from advclip_gui.gui.dialogs.backbones import BackboneBrowser
from advclip_gui.gui.preferences import Preferences
from advclip_gui.gui.widgets.backbone_card import BackboneCard
from advclip_gui.gui.widgets.backbone_table import FETCH, NAME, PARAMETERS, PIXELS
from advclip_gui.settings import BackboneSettings
from tests.engine.hub_stand_in import StandIn, serving
from tests.gui.page_room import Room, page_room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from advclip_gui.engine.control import Control

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def room(qapp: Any) -> Iterator[Room]:
    with page_room(qapp) as made:
        yield made


@pytest.fixture
def open_browser(qtbot: QtBot, room: Room) -> Callable[..., BackboneBrowser]:
    shared = BackboneDownloads(room.io, room.workspace)

    def make(
        settings: BackboneSettings | None = None, downloads: BackboneDownloads = shared
    ) -> BackboneBrowser:
        made = BackboneBrowser(room.io, downloads, settings)
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


def test_licences_and_estimates_say_where_they_are_from(open_browser: Any) -> None:
    browser = open_browser(BackboneSettings(name="ViTamin-S", weights="datacomp1b"))
    _, licence = browser.details._values["Licence"]
    _, size = browser.details._values["Download"]
    assert licence.text() == "MIT"
    assert licence.toolTip() == "Source: timm 1.0.31 lists the repository with this licence."
    assert size.text().startswith("about ")
    assert "exact size" in size.toolTip()
    other = open_browser(BackboneSettings(name="ViT-B-32", weights="laion400m_e31"))
    _, licence = other.details._values["Licence"]
    assert licence.text() == "see the repository's page"
    assert "No source" in licence.toolTip()
    assert other.table.entry().licence == ""


def test_search_and_filters(qtbot: QtBot, open_browser: Any) -> None:
    browser = open_browser()
    search(qtbot, browser, "metaclip B-16")
    assert titles(browser) == ["ViT-B-16 - metaclip_400m", "ViT-B-16 - metaclip_fullcc"]
    search(qtbot, browser, "no such thing")
    assert (titles(browser), browser.count.text()) == ([], "Nothing fits")
    assert not browser.choose_button.isEnabled()
    assert not browser.fetch_button.isEnabled()
    browser.search.clear()
    browser.filter.family.setCurrentText("SigLIP 2")
    browser.filter.resolution.setCurrentText("512 px")
    assert {(one.family, one.image_size) for one in browser.table.shown()} == {("SigLIP 2", 512)}
    browser.filter.family.setCurrentIndex(0)
    browser.filter.resolution.setCurrentIndex(0)
    qtbot.mouseClick(browser.filter.only_here, LEFT, pos=browser.filter.only_here.rect().center() / 4)
    assert titles(browser) == ["advclip-mini (bundled)"]


def test_what_is_refused_says_why_and_cannot_be_taken(qtbot: QtBot, open_browser: Any) -> None:
    browser = open_browser()
    search(qtbot, browser, "coca_ViT-L")
    assert titles(browser) == []
    browser.filter.refused.setChecked(True)
    assert len(titles(browser)) == 2
    assert "captioning model" in browser.details.sentence.text()
    assert not browser.choose_button.isEnabled()
    assert browser.filter.refused.text() == "Not supported too"


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


def test_names_typed_on_the_way_leave_nothing_in_the_list(qtbot: QtBot, open_browser: Any) -> None:
    browser = open_browser()
    before = titles(browser)
    search(qtbot, browser, "someone/their-clip")
    qtbot.keyClick(browser.search, Qt.Key.Key_Backspace)
    browser.search.clear()
    assert titles(browser) == before


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
            control.progress(
                "Downloading ViT-L/14 - FARE 4/255", 302_500_000, 605_000_000, "12 MB/s, 30 s left"
            )
            while not hub.go.wait(0.01):
                control.check()
            if hub.fails:
                raise BackboneError("The hub did not answer.", "Try again later.")
            hub.here.add(settings.name)

        monkeypatch.setattr(backbone_downloads, "fetch", download)
        monkeypatch.setattr(backbones, "is_here", lambda one: one.name in hub.here)
        return hub

    @pytest.fixture
    def browser(self, hub: Any, open_browser: Any) -> BackboneBrowser:
        return open_browser(BackboneSettings(name="hf-hub:chs20/fare4-clip"))

    def test_progress_and_success(self, qtbot: QtBot, room: Room, browser: BackboneBrowser, hub: Any) -> None:
        assert browser.fetch_button.text() == "Fetch about 1,710\u00a0MB"
        qtbot.mouseClick(browser.fetch_button, LEFT)
        qtbot.waitUntil(lambda: "12 MB/s, 30 s left" in browser.progress.text.text())
        assert not browser.fetch_button.isEnabled()
        assert browser.progress.task.text() == "Downloading ViT-L/14 - FARE 4/255"
        assert browser.details.state.text() == "Downloading"
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
        failed = browser.table.entry()
        browser.table.selectRow(0)
        assert not browser.banner.isVisible(), "it belongs to what was selected"
        browser.table.select(failed)
        assert browser.banner.message == "The hub did not answer. Try again later."
        hub.fails = False
        qtbot.mouseClick(browser.fetch_button, LEFT)
        qtbot.waitUntil(lambda: not room.io.jobs)
        assert browser.details.state.text() == "Already here"

    def test_cancel_ends_it_and_says_what_is_kept(
        self, qtbot: QtBot, room: Room, browser: BackboneBrowser, hub: Any
    ) -> None:
        qtbot.mouseClick(browser.fetch_button, LEFT)
        qtbot.waitUntil(lambda: "12 MB/s" in browser.progress.text.text())
        qtbot.mouseClick(browser.progress.cancel_button, LEFT)
        qtbot.waitUntil(lambda: not room.io.jobs)
        assert "cancelled. 302 MB are kept: the next download goes on from there." in browser.banner.message
        assert browser.fetch_button.isEnabled()
        assert not hub.here

    def test_closing_leaves_it_running_and_the_next_browser_shows_it(
        self, qtbot: QtBot, room: Room, browser: BackboneBrowser, hub: Any, open_browser: Any
    ) -> None:
        qtbot.mouseClick(browser.fetch_button, LEFT)
        qtbot.waitUntil(lambda: "12 MB/s" in browser.progress.text.text())
        browser.close()
        hub.go.clear()
        other = BackboneBrowser(room.io, browser._downloads, None)
        qtbot.addWidget(other)
        other.show()
        assert "302 of 605 MB  12 MB/s, 30 s left" in other.progress.text.text()
        assert not other.fetch_button.isEnabled()
        hub.go.set()
        qtbot.waitUntil(lambda: not room.io.jobs)
        assert hub.asked == [("hf-hub:chs20/fare4-clip", False)]
        assert "is on this machine now" in other.banner.message

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

    def test_offline_by_the_hubs_own_variable(
        self, browser: BackboneBrowser, open_browser: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        other = open_browser(BackboneSettings(name="hf-hub:chs20/fare4-clip"))
        assert other.offline.isChecked()
        assert not other.offline.isEnabled()
        assert not other.fetch_button.isEnabled()
        assert "HF_HUB_OFFLINE" in other.details.sentence.text()
        assert not Preferences().offline(), "the variable is not a wish to keep"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_file_or_folder_of_ones_own_is_chosen_there_too(
    qtbot: QtBot, open_browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    browser = open_browser()
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "a.pt"), ""))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    action = browser.own_button.menu().actions()[kind == "folder"]
    with qtbot.waitSignal(browser.chosen) as taken:
        action.trigger()
    path = tmp_path if kind == "folder" else tmp_path / "a.pt"
    assert taken.args == [BackboneSettings(name="local", checkpoint=str(path))]
    assert not browser.isVisible()


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
        assert card.choice.currentText().endswith("·  about 299\u00a0MB")
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

    @pytest.mark.parametrize(
        "choice",
        [
            BackboneSettings(),
            BackboneSettings(name="ViT-L-14", weights="openai"),
            BackboneSettings(name="hf-hub:an-organisation-with-a-long-name/CLIP-ViT-B-16-CommonPool.L.basic"),
            BackboneSettings(name="local", checkpoint="/a/rather/long/path/to/a/checkpoint.safetensors"),
        ],
        ids=lambda choice: choice.name[:6],
    )
    def test_the_smallest_window_holds_it(
        self, qtbot: QtBot, room: Room, card: BackboneCard, choice: BackboneSettings
    ) -> None:
        card.take(choice)
        qtbot.waitUntil(lambda: not room.io.jobs)
        assert card.minimumSizeHint().width() < 640

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
        assert "'Work offline' is on" in card.banner.message
        qtbot.mouseClick(card.browse, LEFT)
        browser = card.window().findChild(BackboneBrowser)
        browser.offline.setChecked(False)
        browser.close()
        texts = [button.text() for button in card.banner.findChildren(QPushButton)]
        assert "Download" in texts, "the switch was turned back in the browser"
        qtbot.waitUntil(lambda: not room.io.jobs)


class TestAgainstAHub:
    """Card and browser with the real download, from a hub on the loopback."""

    CHOICE = BackboneSettings(name="hf-hub:someone/their-clip")

    @pytest.fixture
    def hub(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
        config = {"model_cfg": {"embed_dim": 8, "vision_cfg": {}, "text_cfg": {}}}
        files = {
            "open_clip_config.json": json.dumps(config).encode(),
            "open_clip_model.safetensors": save({"visual.proj": np.arange(400_000, dtype=np.float32)}),
        }
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(hub_transfer, "_RETRY_WAIT_S", 0.0)
        for scheme in ("http", "https", "all"):
            monkeypatch.delenv(f"{scheme}_proxy", raising=False)
            monkeypatch.delenv(f"{scheme}_proxy".upper(), raising=False)
        with serving(StandIn("someone/their-clip", files)) as made:
            # Both were made of HF_ENDPOINT when the hub's library was imported.
            monkeypatch.setattr(constants, "ENDPOINT", made.address)
            address = made.address + "/{repo_id}/resolve/{revision}/{filename}"
            monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
            yield made

    @pytest.fixture
    def card(self, qtbot: QtBot, room: Room, hub: StandIn) -> BackboneCard:
        card = BackboneCard(room.io)
        qtbot.addWidget(card)
        card.show()
        card.take(self.CHOICE)
        qtbot.waitUntil(lambda: not room.io.jobs)
        return card

    def test_one_download_that_both_show_and_either_cancels(
        self, qtbot: QtBot, room: Room, card: BackboneCard, hub: StandIn
    ) -> None:
        hub.pause = 0.1
        qtbot.mouseClick(card.banner.findChild(QPushButton, "bannerAction0"), LEFT)
        qtbot.mouseClick(card.browse, LEFT)
        browser = card.window().findChild(BackboneBrowser)
        # Past the configuration, which comes first.
        qtbot.waitUntil(lambda: card.downloads.latest is not None and card.downloads.latest.done > 100_000)
        for shown in (card.download, browser.progress):
            qtbot.waitUntil(lambda row=shown: "MB/s" in row.text.text() and "left" in row.text.text())
            assert shown.isVisible()
            assert shown.task.text() == "Downloading someone/their-clip"
        assert "is being downloaded" in card.problem()
        assert not browser.fetch_button.isEnabled()
        assert not card.downloads.start(BackboneSettings(name="ViT-B-32", weights="openai"))
        qtbot.mouseClick(browser.progress.cancel_button, LEFT)
        qtbot.waitUntil(lambda: card.downloads.one is None)
        assert not card.download.isVisible()
        assert not browser.progress.isVisible()
        assert "was cancelled" in card.banner.message
        assert "was cancelled" in browser.banner.message
        assert hub.received().count("open_clip_model.safetensors") == 1
        hub.pause = 0.0
        qtbot.mouseClick(browser.fetch_button, LEFT)
        qtbot.waitUntil(lambda: not room.io.jobs)
        assert hub.ranges()[-1] is not None, "it went on from what was kept"
        assert browser.details.state.text() == "Already here"
        assert card.problem() == ""
        assert not card.banner.isVisible()
        browser.close()

    def test_a_fault_of_the_hub_is_said_in_both_and_a_later_try_succeeds(
        self, qtbot: QtBot, room: Room, card: BackboneCard, hub: StandIn
    ) -> None:
        hub.status = 500
        qtbot.mouseClick(card.browse, LEFT)
        browser = card.window().findChild(BackboneBrowser)
        qtbot.waitUntil(lambda: not room.io.jobs)
        qtbot.mouseClick(browser.fetch_button, LEFT)
        qtbot.waitUntil(lambda: not room.io.jobs)
        assert "has a fault of its own just now (500)" in browser.banner.message
        assert card.banner.message == browser.banner.message
        assert card.banner.level == "error"
        assert card.banner.findChildren(QPushButton, "bannerAction0")[-1].text() == "Try again"
        browser.close()
        hub.heal()
        qtbot.mouseClick(card.banner.findChildren(QPushButton, "bannerAction0")[-1], LEFT)
        qtbot.waitUntil(lambda: not room.io.jobs)
        assert card.problem() == ""

    def test_another_choice_waits_for_the_download_that_runs(
        self, qtbot: QtBot, room: Room, card: BackboneCard, hub: StandIn
    ) -> None:
        hub.stall_before_answer = True
        qtbot.mouseClick(card.banner.findChild(QPushButton, "bannerAction0"), LEFT)
        card.take(BackboneSettings(name="ViT-B-32", weights="openai"))
        qtbot.waitUntil(lambda: card.banner.isVisible())
        assert "It can be fetched once someone/their-clip is." in card.banner.message
        texts = [button.text() for button in card.banner.findChildren(QPushButton)]
        assert not any(text.startswith("Download") for text in texts)
        assert card.download.isVisible()
        qtbot.mouseClick(card.download.cancel_button, LEFT)
        qtbot.waitUntil(lambda: not room.io.jobs)
        buttons = card.banner.findChildren(QPushButton, "bannerAction0")
        assert buttons[-1].text() == "Download"
        card.take(self.CHOICE)
        qtbot.waitUntil(lambda: not room.io.jobs)
        assert card.banner.findChildren(QPushButton, "bannerAction0")[-1].text() == "Continue"
        assert "someone/their-clip" in card.choice.toolTip()
