"""QApplication, exception hooks, theme and the first window; torch is imported later, on its thread."""

from __future__ import annotations

import argparse
import locale
import logging
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QApplication, QWidget

from advclip_gui import __version__
from advclip_gui.gui import theme
from advclip_gui.gui.bridge import Backend
from advclip_gui.gui.crash_hooks import CrashHooks
from advclip_gui.gui.garbage import MainThreadGarbage
from advclip_gui.gui.io_thread import IoPool
from advclip_gui.gui.main_window import MainWindow
from advclip_gui.gui.preferences import Preferences
from advclip_gui.gui.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] = ()) -> int:
    """Open the window and run it to its end; returns the exit status."""
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    app = make_application()
    hooks = CrashHooks(app)
    hooks.install()
    window = make_window()
    hooks.window = window
    garbage = collect_in_main_thread(window)
    _let_ctrl_c_close(window)
    if options.theme:
        window.set_theme(options.theme)
    window.show()
    first = FirstPaint(window)
    first.painted.connect(partial(_after_first_paint, window, options), Qt.ConnectionType.QueuedConnection)
    try:
        return app.exec()
    finally:
        garbage.stop()
        hooks.remove()


def collect_in_main_thread(window: MainWindow) -> MainThreadGarbage:
    """Keep destructors of widgets off the device's thread; see `garbage`."""
    backend, io = window.findChild(Backend), window.findChild(IoPool)
    garbage = MainThreadGarbage(lambda: not backend.jobs and not io.jobs, window)
    backend.engine_ready.connect(garbage.settle)
    backend.engine_failed.connect(garbage.settle)
    return garbage


def make_application() -> QApplication:
    """The one QApplication, with its names, numbers and look."""
    existing = QApplication.instance()
    app = existing if isinstance(existing, QApplication) else QApplication([sys.argv[0]])
    # Qt takes over the system's locale; a comma as decimal sign breaks number parsing in C libraries.
    locale.setlocale(locale.LC_NUMERIC, "C")
    app.setApplicationName("advclip-gui")
    app.setApplicationDisplayName("AdvCLIP-LoRA workbench")
    app.setApplicationVersion(__version__)
    app.setDesktopFileName("advclip-gui")
    theme.apply(app, Preferences().theme_mode())
    return app


def make_window() -> MainWindow:
    """The window with its backend, file pool and workspace, not yet started."""
    backend = Backend()
    io = IoPool()
    workspace = Workspace(backend, io)
    window = MainWindow(backend, workspace, io)
    for part in (backend, io, workspace):
        part.setParent(window)
    return window


def start_engine(window: MainWindow) -> None:
    """Load the engine and the list of runs behind the shown window."""
    window.findChild(Backend).start()
    window.findChild(Workspace).refresh_runs()


class FirstPaint(QObject):
    """Tells once that a window has been drawn: what is slow begins only then."""

    painted = Signal()

    def __init__(self, window: QWidget) -> None:
        """Watch the window; owned by it."""
        super().__init__(window)
        self._window = window
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Never holds an event back."""
        if watched is self._window and event.type() == QEvent.Type.Paint:
            self._window.removeEventFilter(self)
            self.painted.emit()
        return False


def _after_first_paint(window: MainWindow, options: argparse.Namespace) -> None:
    start_engine(window)
    workspace = window.findChild(Workspace)
    if options.demo:
        workspace.open_demo()
    elif options.folder:
        workspace.open_folder(options.folder)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="advclip-gui", description="Open the window.")
    parser.add_argument("folder", nargs="?", default="", help="an image folder to open")
    parser.add_argument("--demo", action="store_true", help="open the bundled demo, ready to train")
    parser.add_argument("--theme", choices=("system", "light", "dark"), default="")
    return parser.parse_args(list(arguments))


def _let_ctrl_c_close(window: MainWindow) -> None:
    """Ctrl+C in the terminal closes the window; Python sees it only while it runs, hence the timer."""
    signal.signal(signal.SIGINT, lambda *_: window.close())
    timer = QTimer(window)
    timer.setObjectName("ctrlC")
    timer.timeout.connect(window.isVisible)
    timer.start(500)
