"""What the window remembers between two starts: geometry, theme, last project and last recipe."""

from __future__ import annotations

from typing import Literal, Protocol, cast, runtime_checkable

from PySide6.QtCore import QByteArray, QSettings, QSize
from PySide6.QtWidgets import QSplitter, QWidget

from advclip_gui.engine.errors import SettingsError
from advclip_gui.settings import RunSettings

Mode = Literal["system", "light", "dark"]


@runtime_checkable
class Remembering(Protocol):
    """A page with values of its own that outlive the window."""

    def state(self) -> str:
        """What to remember; "" for nothing new."""

    def recall(self, state: str) -> None:
        """Show what was remembered; what is damaged is as if it were absent."""


class Preferences:
    """A typed view of the platform's settings store; a damaged value reads as if it were absent."""

    def __init__(self) -> None:
        """Open the store of this program."""
        self._store = QSettings(
            QSettings.Format.IniFormat, QSettings.Scope.UserScope, "advclip-gui", "advclip-gui"
        )

    def theme_mode(self) -> Mode:
        """What the user chose: "system" where nothing is stored."""
        stored = self._store.value("theme", "system")
        return cast("Mode", stored) if stored in {"system", "light", "dark"} else "system"

    def set_theme_mode(self, mode: Mode) -> None:
        """Remember the theme."""
        self._store.setValue("theme", mode)

    def geometry(self) -> QByteArray | None:
        """The window's place and size."""
        stored = self._store.value("window/geometry")
        return stored if isinstance(stored, QByteArray) else None

    def set_geometry(self, geometry: QByteArray) -> None:
        """Remember the window's place and size."""
        self._store.setValue("window/geometry", geometry)

    def page(self) -> str:
        """The page shown last."""
        return str(self._store.value("window/page", "start"))

    def set_page(self, page: str) -> None:
        """Remember the page."""
        self._store.setValue("window/page", page)

    def splitter(self, name: str) -> QByteArray | None:
        """The stored state of a named splitter."""
        stored = self._store.value(f"splitters/{name}")
        return stored if isinstance(stored, QByteArray) else None

    def set_splitter(self, name: str, state: QByteArray) -> None:
        """Remember a splitter."""
        self._store.setValue(f"splitters/{name}", state)

    def recall_dialog(self, name: str, dialog: QWidget, splitter: QSplitter) -> None:
        """Give a dialog the size and the division it was left with."""
        size, state = self._store.value(f"dialogs/{name}"), self.splitter(f"dialog.{name}")
        if isinstance(size, QSize) and size.isValid():
            dialog.resize(size)
        if state is not None:
            splitter.restoreState(state)

    def remember_dialog(self, name: str, dialog: QWidget, splitter: QSplitter) -> None:
        """Keep a dialog's size and division."""
        self._store.setValue(f"dialogs/{name}", dialog.size())
        self.set_splitter(f"dialog.{name}", splitter.saveState())

    def offline(self) -> bool:
        """Whether the user switched downloads off."""
        return str(self._store.value("offline", "false")).lower() == "true"

    def set_offline(self, offline: bool) -> None:
        """Remember whether downloads are switched off."""
        self._store.setValue("offline", offline)

    def recall_page(self, key: str, page: QWidget) -> None:
        """Give a new page what it was left with: its splitters, and what it asks for itself."""
        for splitter in page.findChildren(QSplitter):
            state = self.splitter(f"{key}.{splitter.objectName()}")
            if splitter.objectName() and state is not None:
                splitter.restoreState(state)
        stored = self._store.value(f"pages/{key}")
        if isinstance(page, Remembering) and isinstance(stored, str) and stored:
            page.recall(stored)

    def remember_page(self, key: str, page: QWidget) -> None:
        """Keep what a page is left with."""
        for splitter in page.findChildren(QSplitter):
            if splitter.objectName():
                self.set_splitter(f"{key}.{splitter.objectName()}", splitter.saveState())
        if isinstance(page, Remembering) and (state := page.state()):
            self._store.setValue(f"pages/{key}", state)

    def recent(self) -> list[str]:
        """Folders opened before, latest first."""
        stored = self._store.value("recent", [])
        if isinstance(stored, str):
            return [stored]
        return [str(folder) for folder in stored] if isinstance(stored, list) else []

    def set_recent(self, folders: list[str]) -> None:
        """Remember folders."""
        self._store.setValue("recent", folders)

    def recipe(self) -> RunSettings | None:
        """The last recipe, None where there is none or it does not fit this version."""
        stored = self._store.value("recipe")
        if not isinstance(stored, str) or not stored:
            return None
        try:
            return RunSettings.from_toml(stored)
        except SettingsError:
            return None

    def set_recipe(self, settings: RunSettings) -> None:
        """Remember a recipe."""
        self._store.setValue("recipe", settings.to_toml())

    def sync(self) -> None:
        """Write now."""
        self._store.sync()
