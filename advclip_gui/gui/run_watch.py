"""Notices runs that other processes begin or go on with, while the page is on screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QFileSystemWatcher, QObject, QTimer, Signal

from advclip_gui.engine import runs as run_files
from advclip_gui.gui.model_list import nearest

if TYPE_CHECKING:
    from advclip_gui.gui.workspace import Workspace

REFRESH_MS = 2000
"""Between two looks at the disk, while a run is in training."""
_LOOKS_AFTER_A_CHANGE = 15
"""The folder of a run comes first, its settings when the model is loaded: look on for half a minute."""


class RunWatch(QObject):
    """Watches the folders of runs, experiments and adapters; while one trains, looks every other second.

    The looking itself is the workspace's, off the main thread.
    """

    looked = Signal()
    """The runs in training may have moved on."""

    def __init__(self, workspace: Workspace, parent: QObject) -> None:
        """Watch nothing yet."""
        super().__init__(parent)
        self._workspace = workspace
        self._on = False
        self._looks_left = 0
        self._watcher = QFileSystemWatcher(self)
        self._watcher.directoryChanged.connect(self._on_disk)
        self.timer = QTimer(self)
        self.timer.setInterval(REFRESH_MS)
        self.timer.timeout.connect(self._on_timer)
        workspace.folders_changed.connect(self.update)

    @property
    def folders(self) -> list[str]:
        """What is watched."""
        return self._watcher.directories()

    def switch(self, on: bool) -> None:
        """Watch, or watch no more."""
        self._on = on
        if not on:
            self._looks_left = 0
        self.update()

    def update(self) -> None:
        """Follow the workspace: another folder of runs, a run that began or ended."""
        wanted = self._wanted() if self._on else set()
        watched = set(self._watcher.directories())
        if watched - wanted:
            self._watcher.removePaths(sorted(watched - wanted))
        if wanted - watched:
            self._watcher.addPaths(sorted(wanted - watched))
        running = self._workspace.is_training or any(
            line.state == "running" for line in self._workspace.listed.lines
        )
        if not (self._on and (running or self._looks_left)):
            self.timer.stop()
        elif not self.timer.isActive():
            self.timer.start()

    def _wanted(self) -> set[str]:
        root = nearest(self._workspace.runs_root or run_files.runs_root())
        listed = self._workspace.listed.folders
        # Before anything is listed, and when the runs are elsewhere now, there is only this.
        return {str(folder) for folder in listed} if root in listed else {str(root)}

    def _on_disk(self) -> None:
        self._looks_left = _LOOKS_AFTER_A_CHANGE
        self._workspace.refresh_runs()
        self.update()

    def _on_timer(self) -> None:
        self._looks_left = max(0, self._looks_left - 1)
        self._workspace.refresh_runs()
        self.looked.emit()
        self.update()
