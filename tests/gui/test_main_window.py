"""The window: navigation, what it restores, what it asks, and that nothing of it stays behind."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QTimer, QUrl
from PySide6.QtGui import QAction, QCloseEvent, QDropEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QLabel, QMessageBox, QPushButton, QToolButton

from advclip_gui.gui import app as application
from advclip_gui.gui import theme
from advclip_gui.gui.crash_hooks import CrashHooks
from advclip_gui.gui.dialogs import question
from advclip_gui.gui.dialogs.keys import GROUPS, KeysDialog
from advclip_gui.gui.preferences import Preferences
from advclip_gui.gui.widgets.nav_rail import PAGES
from advclip_gui.gui.widgets.status_strip import duration_text
from advclip_gui.gui.workspace import Workspace
from advclip_gui.settings import RunSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from advclip_gui.gui.main_window import MainWindow


@pytest.fixture
def window(qapp, qtbot) -> Iterator[MainWindow]:
    application.make_application()
    shown = application.make_window()
    shown.show()
    qtbot.waitExposed(shown)
    yield shown
    shown.close()
    shown.deleteLater()


def workspace_of(window) -> Workspace:
    return window.findChild(Workspace)


def test_every_page_opens_by_its_button_and_by_its_keys(window, qtbot) -> None:
    for entry in PAGES:
        qtbot.mouseClick(window.findChild(QToolButton, f"nav_{entry.key}"), Qt.MouseButton.LeftButton)
        assert window.current_page == entry.key
    for number, entry in enumerate(PAGES):
        qtbot.keyClick(window, Qt.Key(Qt.Key.Key_0.value + number), Qt.KeyboardModifier.ControlModifier)
        assert window.current_page == entry.key
        assert window.findChild(QToolButton, f"nav_{entry.key}").isChecked()


def test_the_list_of_keys_holds_every_shortcut_of_the_window(window) -> None:
    for entry in PAGES:
        window.show_page(entry.key)
    given = {action.shortcut() for action in window.findChildren(QAction)}
    given |= {shortcut.key() for shortcut in window.findChildren(QShortcut)}
    listed = {QKeySequence(keys) for group in GROUPS for keys, _ in group.keys}
    missing = [keys.toString() for keys in given - listed if not keys.isEmpty()]
    assert len(given) > 12
    assert not missing


def test_the_keys_can_be_looked_up(window, qtbot) -> None:
    window.findChild(QAction, "keysAction").trigger()
    dialog = window.findChild(KeysDialog)
    assert dialog.isVisible()
    assert {label.text() for label in dialog.findChildren(QLabel)} >= {"Runs", "F2", "Rename"}
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()


def test_the_window_is_there_before_torch(window) -> None:
    # Other tests of this process may have imported torch; the page modules must not need it.
    assert window.pages.keys() == {"start"}
    assert window.status.engine.text().startswith("Loading the engine")


def test_try_the_demo_leads_on(window, qtbot) -> None:
    workspace = workspace_of(window)
    with qtbot.waitSignal(workspace.scan_changed, timeout=20_000):
        qtbot.mouseClick(window.findChild(QPushButton, "tryDemoTile"), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.current_page == "train")
    assert len(workspace.class_names()) == 10
    assert window.windowTitle().startswith("Demo")


def test_a_dropped_folder_is_opened_and_listed_at_the_next_start(window, qtbot, tmp_path) -> None:
    from advclip_gui.engine.resources import demo_folder

    root = tmp_path / "my photos"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for source in sorted((demo_folder() / "train" / name).glob("*.jpg"))[:3]:
            (root / name / source.name).write_bytes(source.read_bytes())
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(root))])
    drop = QDropEvent(
        QPointF(5, 5),
        Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    with qtbot.waitSignal(workspace_of(window).scan_changed, timeout=20_000):
        window.dropEvent(drop)
    assert Preferences().recent() == [str(root)]
    again = application.make_window()
    assert again.findChild(QPushButton, "recent0").text() == "my photos"
    again.close()
    again.deleteLater()


def test_a_missing_folder_is_said_where_the_user_stands(window, qtbot, tmp_path) -> None:
    with qtbot.waitSignal(workspace_of(window).notify, timeout=20_000):
        workspace_of(window).open_folder(tmp_path / "gone")
    assert window.notice.isVisible()
    assert window.notice.level == "error"
    assert "gone" in window.notice.message
    assert window.current_page == "start"


def test_recipe_theme_and_geometry_come_back(window, qtbot) -> None:
    workspace_of(window).set_settings(RunSettings(name="Mine").with_values({"lora.rank": 7}))
    window.set_theme("dark")
    assert theme.current().dark
    window.resize(window.minimumWidth(), 700)  # the screenless screen is no larger
    window.close()
    application.make_application()
    again = application.make_window()
    assert workspace_of(again).settings.lora.rank == 7
    assert theme.mode() == "dark"
    assert again.size() == window.size()
    again.set_theme("light")
    again.close()
    again.deleteLater()


def test_the_attack_of_the_last_probe_comes_back(window) -> None:
    window.show_page("probe")
    form = window.pages["probe"].panel.form
    form.set_values(
        {
            "attack": "pgd",
            "norm": "L2",
            "epsilons": {"Linf": 3 / 255, "L2": 0.75},
            "steps": 33,
            "restarts": 4,
            "seed": 5,
            "step_size": 0.2,
            "random_start": False,
        }
    )
    asked = form.request()
    assert asked is not None
    assert (asked.norm, asked.epsilon, asked.steps, asked.step_size) == ("L2", 0.75, 33, 0.2)
    window.close()
    again = application.make_window()
    again.show_page("probe")
    restored = again.pages["probe"].panel.form
    assert restored.request() == asked
    restored.norm.findChild(QPushButton, "probeNorm.Linf").click()
    assert restored.request().epsilon == pytest.approx(3 / 255)
    again.close()
    again.deleteLater()


@pytest.mark.parametrize("stored", ["{", "[]", "3", '{"attack": "pgd"}', '{"attack": "pgd", "epsilons": 3}'])
def test_a_damaged_attack_is_as_if_absent(window, stored) -> None:
    window._preferences._store.setValue("pages/probe", stored)
    window.show_page("probe")
    assert window.pages["probe"].panel.form.request().epsilon == pytest.approx(2 / 255)


def test_damaged_preferences_are_as_if_absent(qapp) -> None:
    from PySide6.QtCore import QSettings

    store = Preferences()._store
    assert isinstance(store, QSettings)
    store.setValue("recipe", "rank = ???")
    store.setValue("theme", "pink")
    store.setValue("recent", 3)
    fresh = Preferences()
    assert (fresh.recipe(), fresh.theme_mode(), fresh.recent()) == (None, "system", [])


@pytest.mark.parametrize("answer", ["stay", "stop"])
def test_closing_while_training_asks(window, monkeypatch, answer) -> None:
    monkeypatch.setattr(Workspace, "is_training", property(lambda self: True))
    asked = []
    monkeypatch.setattr(question, "ask_close_while_training", lambda parent: asked.append(parent) or answer)
    event = QCloseEvent()
    window.closeEvent(event)
    assert asked == [window]
    assert event.isAccepted() == (answer == "stop")
    monkeypatch.undo()


def test_closing_while_something_lasts_asks(window, qtbot, monkeypatch) -> None:
    io, go_on, asked, answers = window._io, threading.Event(), [], ["stay", "stop"]
    monkeypatch.setattr(
        question,
        "ask_close_while_working",
        lambda _parent, titles: asked.append(titles) or answers[len(asked) - 1],
    )
    io.submit(lambda _control: go_on.wait(20), "Counting")
    event = QCloseEvent()
    lasting = io.submit(lambda _control: go_on.wait(20), "Downloading ViT-B-32", lasting=True)
    window.closeEvent(event)
    assert asked == [["Downloading ViT-B-32"]]
    assert not event.isAccepted()
    assert lasting.active
    go_on.set()
    qtbot.waitUntil(lambda: not lasting.active)
    window.closeEvent(event)
    assert event.isAccepted()
    assert len(asked) == 1


def test_what_is_at_work_is_named_and_staying_is_the_default(window, qtbot) -> None:
    def press_return() -> None:
        box = window.findChild(QMessageBox, "closeQuestion")
        assert box.text() == "Still at work: Evaluation, Export."
        qtbot.keyClick(box, Qt.Key.Key_Return)

    QTimer.singleShot(0, press_return)
    assert question.ask_close_while_working(window, ["Evaluation", "Export", "Export"]) == "stay"


class TestCrashes:
    @pytest.fixture
    def hooks(self, window, qtbot) -> Iterator[CrashHooks]:
        hooks = CrashHooks()
        hooks.window = window
        hooks.install()
        yield hooks
        hooks.remove()

    def box(self, window, qtbot) -> QMessageBox:
        qtbot.waitUntil(lambda: window.findChild(QMessageBox, "crashBox") is not None)
        return window.findChild(QMessageBox, "crashBox")

    def test_an_error_on_a_python_thread_is_shown_and_the_window_lives(self, hooks, window, qtbot) -> None:
        def fail() -> None:
            raise LookupError("on a thread")

        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        box = self.box(window, qtbot)
        assert "LookupError: on a thread" in box.text()
        assert "Traceback" in box.detailedText()
        box.close()
        window.show_page("data")
        assert window.current_page == "data"

    def test_an_error_in_a_slot_is_shown(self, hooks, window, qtbot) -> None:
        try:
            raise LookupError("in a slot")
        except LookupError as error:
            # As Qt hands over what a slot raises.
            sys.excepthook(type(error), error, error.__traceback__)
        box = self.box(window, qtbot)
        assert "in a slot" in box.text()
        box.close()


def test_the_guide_opens_and_follows_its_links(window, qtbot) -> None:
    from PySide6.QtWidgets import QDialog

    window._open_guide()
    dialog = window.findChild(QDialog, "guideDialog")
    qtbot.waitExposed(dialog)
    assert dialog.browser.toPlainText().strip()
    dialog.follow(QUrl("recipe.md"))
    assert dialog.browser.source().fileName() == "recipe.md"
    assert "Rank" in dialog.browser.toPlainText()
    dialog.close()


def test_durations_read_well() -> None:
    assert [duration_text(s) for s in (0.2, 40, 89, 200, 7500)] == [
        "0 s",
        "40 s",
        "89 s",
        "3 min",
        "2 h 5 min",
    ]
