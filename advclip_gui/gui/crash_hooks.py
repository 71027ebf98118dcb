"""Two exception hooks: errors in slots and threads are logged and shown, and the window stays alive."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, Signal

from advclip_gui.gui.dialogs.question import show_crash

if TYPE_CHECKING:
    from types import TracebackType

    from PySide6.QtWidgets import QWidget

_log = logging.getLogger(__name__)


class CrashHooks(QObject):
    """Installed for the life of the application; owned by the main thread.

    `sys.excepthook` gets what slots and `QThread.run` raise, on whichever thread that was;
    `threading.excepthook` gets what Python's own threads raise.
    """

    caught = Signal(str, str)
    """A sentence and the traceback, delivered in the main thread."""

    def __init__(self, parent: QObject | None = None) -> None:
        """Remember the hooks that were there."""
        super().__init__(parent)
        self.window: QWidget | None = None
        self._before = (sys.excepthook, threading.excepthook)
        self.caught.connect(self._show, Qt.ConnectionType.QueuedConnection)

    def install(self) -> None:
        """Put both hooks in place."""
        sys.excepthook = self._from_anywhere
        threading.excepthook = self._from_thread

    def remove(self) -> None:
        """Put the former hooks back."""
        sys.excepthook, threading.excepthook = self._before

    def _from_anywhere(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            self._before[0](kind, error, trace)
            return
        _log.error("Unhandled error", exc_info=(kind, error, trace))
        details = "".join(traceback.format_exception(kind, error, trace))
        self.caught.emit(f"An unexpected error: {kind.__name__}: {error}", details)

    def _from_thread(self, arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            self._from_anywhere(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)

    def _show(self, message: str, details: str) -> None:
        show_crash(message, details, self.window)
