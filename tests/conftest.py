"""Shared ground of all tests: fresh folders, no network, few threads, and nothing of Qt left behind."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Before anything imports Qt, torch or the hub: these are read once, at import.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["QT_API"] = "pyside6"
os.environ["PYQTGRAPH_QT_LIB"] = "PySide6"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["GIT_PYTHON_REFRESH"] = "quiet"  # an attack library imports GitPython, which insists on git
# Processes side by side, each with as many threads as there are cores, would only wait for each other.
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, min(2, (os.cpu_count() or 1) // _WORKERS))))

_GRACE_S = 2.0
"""How long a thread that was told to end may take to do so."""


@pytest.fixture(autouse=True)
def user_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test settings, data and cache folders of its own; returns their parent."""
    home = tmp_path_factory.mktemp("user")
    for variable, name in (
        ("XDG_CONFIG_HOME", "config"),
        ("XDG_DATA_HOME", "data"),
        ("XDG_STATE_HOME", "state"),
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_DOCUMENTS_DIR", "documents"),
        ("WIN_PD_OVERRIDE_APPDATA", "config"),
        ("WIN_PD_OVERRIDE_LOCAL_APPDATA", "data"),
        ("HF_HOME", "hub"),
    ):
        folder = home / name
        folder.mkdir(exist_ok=True)
        monkeypatch.setenv(variable, str(folder))
    qt_core = sys.modules.get("PySide6.QtCore")
    if qt_core is not None:
        # QSettings reads the environment only once in the life of a process.
        settings = qt_core.QSettings
        for file_format in (settings.Format.NativeFormat, settings.Format.IniFormat):
            settings.setPath(file_format, settings.Scope.UserScope, str(home / "config"))
    return home


@pytest.fixture(autouse=True)
def _nothing_of_qt_left_behind(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Fail a GUI test that leaves a running QThread, an active QTimer or a top-level widget behind."""
    if "qapp" not in request.fixturenames:
        yield
        return
    app = request.getfixturevalue("qapp")
    before = {id(widget) for widget in app.topLevelWidgets()}
    python_threads = set(threading.enumerate())
    threads, timers = _record_starts(monkeypatch)
    yield
    leaks = _leaks(app, before, python_threads, threads, timers)
    if leaks:
        # A cycle of Python objects is no leak; collecting costs too much to do after every test.
        gc.collect()
        leaks = _leaks(app, before, python_threads, threads, timers)
    if leaks:
        _clear(app, before, threads, timers)
        pytest.fail("left behind: " + "; ".join(leaks), pytrace=False)


def _record_starts(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], list[Any]]:
    """Keep a weak reference to every QThread and QTimer that is started from now on."""
    from PySide6.QtCore import QThread, QTimer

    lists: tuple[list[Any], list[Any]] = ([], [])
    for qt_class, started in zip((QThread, QTimer), lists, strict=True):
        original = qt_class.start

        def start(
            self: Any, *args: Any, _original: Any = original, _started: list[Any] = started, **kwargs: Any
        ) -> Any:
            _started.append(weakref.ref(self))
            return _original(self, *args, **kwargs)

        monkeypatch.setattr(qt_class, "start", start)
    return lists


def _leaks(
    app: Any, before: set[int], python_threads: set[threading.Thread], threads: list[Any], timers: list[Any]
) -> list[str]:
    _settle(app)
    found = []
    for thread in _alive(threads):
        if thread.isRunning() and not thread.wait(int(_GRACE_S * 1000)):
            found.append(f"running thread {_name(thread)}")
    found += [f"active timer {_name(timer)}" for timer in _alive(timers) if timer.isActive()]
    found += [f"widget {_name(widget)}" for widget in _new_windows(app, before)]
    deadline = time.monotonic() + _GRACE_S
    for python_thread in set(threading.enumerate()) - python_threads:
        if not python_thread.daemon:
            python_thread.join(max(0.0, deadline - time.monotonic()))
            if python_thread.is_alive():
                found.append(f"Python thread {python_thread.name}")
    return found


def _settle(app: Any) -> None:
    from PySide6.QtCore import QCoreApplication, QEvent

    for _ in range(2):
        app.processEvents()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def _alive(references: list[Any]) -> list[Any]:
    from shiboken6 import isValid

    alive = {id(one): one for one in (reference() for reference in references) if one is not None}
    return [one for one in alive.values() if isValid(one)]


def _new_windows(app: Any, before: set[int]) -> list[Any]:
    return [
        widget
        for widget in app.topLevelWidgets()
        # A menu or tooltip lives and dies with its parent.
        if id(widget) not in before and widget.parent() is None and widget.objectName() != "qtooltip_label"
    ]


def _clear(app: Any, before: set[int], threads: list[Any], timers: list[Any]) -> None:
    """Keep one test's leak from failing the next."""
    for timer in _alive(timers):
        timer.stop()
    for thread in _alive(threads):
        thread.quit()
        thread.wait(int(_GRACE_S * 1000))
    for widget in _new_windows(app, before):
        widget.hide()
        widget.deleteLater()
    _settle(app)


def _name(qt_object: Any) -> str:
    parent = qt_object.parent()
    owner = f" of {type(parent).__name__}" if parent is not None else ""
    return f"{type(qt_object).__name__} '{qt_object.objectName()}'{owner}"
