"""The window: rail, pages, menus, shortcuts, status line and what is restored; no logic of its own."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import (
    QAction,
    QActionGroup,
    QCloseEvent,
    QDragEnterEvent,
    QDropEvent,
    QKeySequence,
    QShortcut,
)
from PySide6.QtWidgets import (
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QMainWindow,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from advclip_gui.engine.errors import UserError
from advclip_gui.engine.resources import resource_path
from advclip_gui.gui import theme
from advclip_gui.gui.dialogs.question import may_close
from advclip_gui.gui.pages.start import StartPage
from advclip_gui.gui.preferences import Preferences
from advclip_gui.gui.widgets.basics import Banner
from advclip_gui.gui.widgets.nav_rail import PAGES, NavRail
from advclip_gui.gui.widgets.status_strip import StatusStrip
from advclip_gui.settings import DEMO_FOLDER, RunSettings

if TYPE_CHECKING:
    from advclip_gui.gui.bridge import Backend
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.workspace import Workspace

_PAGE_CLASSES = {
    "data": "DataPage",
    "recipe": "RecipePage",
    "train": "TrainPage",
    "probe": "ProbePage",
    "evaluate": "EvaluatePage",
    "runs": "RunsPage",
}
_SIZE = (1280, 800)
_SUCCESS_SHOWN_MS = 6000


class MainWindow(QMainWindow):
    """Pages are built when first shown, so that the window itself is there at once.

    Attributes:
        pages: the pages built so far, by key.
    """

    def __init__(
        self,
        backend: Backend,
        workspace: Workspace,
        io: IoPool,
        parent: QWidget | None = None,
    ) -> None:
        """Build rail, start page, menus and status line; restore what was stored."""
        super().__init__(parent)
        self.setObjectName("mainWindow")
        self.setWindowTitle("AdvCLIP-LoRA workbench")
        self.setAcceptDrops(True)
        self._backend, self._workspace, self._io = backend, workspace, io
        self._preferences = Preferences()
        self.pages: dict[str, QWidget] = {}
        self._build()
        self._menus()
        self._shortcuts()
        self._connect()
        self._restore()

    # --- building -----------------------------------------------------------------------------

    def _build(self) -> None:
        look = theme.current()
        middle = QWidget()
        row = QHBoxLayout(middle)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        self.rail = NavRail()
        row.addWidget(self.rail)
        column = QVBoxLayout()
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.notice = Banner()
        self.notice.setObjectName("notice")
        self.notice.clear()
        holder = QVBoxLayout()
        holder.setContentsMargins(look.m, 0, look.m, 0)
        holder.addWidget(self.notice)
        column.addLayout(holder)
        self.stack = QStackedWidget()
        column.addWidget(self.stack, 1)
        self.status = StatusStrip(self._backend, self._io)
        column.addWidget(self.status)
        row.addLayout(column, 1)
        self.setCentralWidget(middle)
        self.setMinimumSize(960, 640)
        self.resize(*_SIZE)
        start = StartPage(self._workspace, self._backend, self._io)
        start.open_requested.connect(self.choose_folder)
        self.pages["start"] = start
        self.stack.addWidget(start)
        self._notice_timer = QTimer(self)
        self._notice_timer.setSingleShot(True)
        self._notice_timer.timeout.connect(self.notice.clear)

    def _menus(self) -> None:
        bar = self.menuBar()
        file = bar.addMenu("&File")
        self._action(file, "Open image folder …", self.choose_folder, "Ctrl+O", "openFolderAction")
        self._action(file, "Try the demo", self._open_demo, "", "tryDemoAction")
        file.addSeparator()
        self._action(file, "Import settings …", self.import_settings, "Ctrl+I", "importSettingsAction")
        self.export_action = self._action(
            file, "Export the last adapter …", self._export_last, "Ctrl+E", "exportAction"
        )
        self.export_action.setEnabled(False)
        file.addSeparator()
        self._action(file, "Quit", self.close, QKeySequence.StandardKey.Quit, "quitAction")
        view = bar.addMenu("&View")
        group = QActionGroup(self)
        self._theme_actions: dict[str, QAction] = {}
        for mode, text in (("system", "Follow the system"), ("light", "Light"), ("dark", "Dark")):
            action = self._action(view, text, partial(self.set_theme, mode), "", f"theme_{mode}")
            action.setCheckable(True)
            group.addAction(action)
            self._theme_actions[mode] = action
        self._theme_actions[theme.mode()].setChecked(True)
        help_menu = bar.addMenu("&Help")
        self._action(help_menu, "User guide", self._open_guide, "F1", "guideAction")
        self._action(help_menu, "Keyboard shortcuts", self._show_keys, "Ctrl+?", "keysAction")
        self._action(help_menu, "About", self._show_about, "", "aboutAction")

    def _action(
        self, menu: object, text: str, act: object, keys: str | QKeySequence.StandardKey, name: str
    ) -> QAction:
        action = QAction(text, self)
        action.setObjectName(name)
        if keys:
            action.setShortcut(QKeySequence(keys))
        action.triggered.connect(lambda _checked=False: act())  # type: ignore[operator]
        menu.addAction(action)  # type: ignore[attr-defined]
        return action

    def _shortcuts(self) -> None:
        for entry in PAGES:
            shortcut = QShortcut(QKeySequence(entry.shortcut), self)
            shortcut.activated.connect(partial(self.show_page, entry.key))

    def _connect(self) -> None:
        self.rail.chosen.connect(self.show_page)
        workspace = self._workspace
        workspace.navigate.connect(self.show_page)
        workspace.notify.connect(self.show_notice)
        workspace.export_requested.connect(self.export_run)
        workspace.scanning_changed.connect(self._scan_moved)
        workspace.training_changed.connect(self._training_moved)
        workspace.runs_changed.connect(self._runs_changed)
        workspace.recent_changed.connect(self._recent_changed)
        workspace.settings_changed.connect(self._settings_changed)
        workspace.scan_changed.connect(self._title)

    def _restore(self) -> None:
        stored = self._preferences.geometry()
        if stored is not None:
            self.restoreGeometry(stored)
        self._workspace.recent = self._preferences.recent()
        self._workspace.recent_changed.emit()
        recipe = self._preferences.recipe()
        if recipe is not None:
            self._workspace.set_settings(recipe)
        self.show_page("start")

    # --- pages --------------------------------------------------------------------------------

    def show_page(self, key: str) -> None:
        """Show a page, building it the first time."""
        page = self.pages.get(key)
        if page is None:
            module = import_module(f"advclip_gui.gui.pages.{key}")
            page_class = getattr(module, _PAGE_CLASSES[key])
            page = cast("QWidget", page_class(self._workspace, self._backend, self._io))
            self.pages[key] = page
            self.stack.addWidget(page)
            self._preferences.recall_page(key, page)
        self.stack.setCurrentWidget(page)
        self.rail.show_current(key)

    @property
    def current_page(self) -> str:
        """Key of the page on screen."""
        shown = self.stack.currentWidget()
        return next(key for key, page in self.pages.items() if page is shown)

    # --- what the user asks for ---------------------------------------------------------------

    def choose_folder(self) -> None:
        """Let the user choose an image folder."""
        recent = self._workspace.recent
        folder = QFileDialog.getExistingDirectory(self, "Open image folder", recent[0] if recent else "")
        if folder:
            self._workspace.open_folder(folder)

    def _open_demo(self) -> None:
        self._workspace.open_demo()

    def import_settings(self) -> None:
        """Let the user choose a TOML settings file and take it as the recipe."""
        name, _ = QFileDialog.getOpenFileName(self, "Import settings", "", "Settings (*.toml)")
        if not name:
            return
        try:
            settings = RunSettings.from_file(Path(name))
        except UserError as error:
            self.show_notice("error", str(error), "")
            return
        self._workspace.set_settings(settings)
        self.show_page("recipe")
        self.show_notice("success", f"The settings of {Path(name).name} are in the recipe.", "")

    def export_run(self, run_dir: Path) -> None:
        """Open the export dialog for a run."""
        from advclip_gui.gui.dialogs.export import ExportDialog

        dialog = ExportDialog(self._workspace, self._backend, run_dir, self)
        dialog.open()

    def _export_last(self) -> None:
        run = self._last_adapter()
        if run is not None:
            self.export_run(run)

    def _last_adapter(self) -> Path | None:
        return next((run.path for run in self._workspace.last_runs if run.has_adapter), None)

    def set_theme(self, mode: str) -> None:
        """Switch between light, dark and the system's scheme."""
        app = cast("QApplication", QApplication.instance())
        theme.apply(app, cast("theme.Mode", mode))
        self._theme_actions[mode].setChecked(True)
        self._preferences.set_theme_mode(cast("theme.Mode", mode))

    def _open_guide(self) -> None:
        try:
            guide = resource_path("guide", "index.md")
        except FileNotFoundError as error:
            self.show_notice("error", str(error), "")
            return
        from advclip_gui.gui.dialogs.guide import GuideDialog

        dialog = GuideDialog(guide, self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.show()

    def _show_keys(self) -> None:
        from advclip_gui.gui.dialogs.keys import KeysDialog

        KeysDialog(self).open()

    def _show_about(self) -> None:
        from advclip_gui.gui.dialogs.about import AboutDialog

        AboutDialog(self).open()

    # --- what the window tells ----------------------------------------------------------------

    def show_notice(self, level: str, message: str, details: str) -> None:
        """Show a sentence above the page; good news leaves by itself."""
        self.notice.show_message(level, message, details)
        self._notice_timer.stop()
        if level in {"success", "info"}:
            self._notice_timer.start(_SUCCESS_SHOWN_MS)

    def _scan_moved(self) -> None:
        if self._workspace.scanning is not None:
            self.notice.clear()
            self.status.follow(self._workspace.scanning)

    def _training_moved(self) -> None:
        self._title()

    def _runs_changed(self) -> None:
        self.export_action.setEnabled(self._last_adapter() is not None)

    def _recent_changed(self) -> None:
        self._preferences.set_recent(self._workspace.recent)

    def _settings_changed(self, settings: RunSettings) -> None:
        self._preferences.set_recipe(settings)

    def _title(self) -> None:
        parts = ["AdvCLIP-LoRA workbench"]
        if self._workspace.scan is not None:
            folder = self._workspace.data.folder
            parts.insert(0, "Demo" if folder == DEMO_FOLDER else Path(folder).name)
        if self._workspace.is_training:
            parts.insert(0, "Training")
        self.setWindowTitle(" – ".join(parts))

    # --- Qt -----------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take a dropped folder anywhere."""
        if self._dropped_folder(event) is not None:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open the dropped folder."""
        folder = self._dropped_folder(event)
        if folder is not None:
            event.acceptProposedAction()
            self._workspace.open_folder(folder)

    @staticmethod
    def _dropped_folder(event: QDropEvent) -> Path | None:
        for url in event.mimeData().urls():
            path = Path(url.toLocalFile())
            if url.isLocalFile() and path.is_dir():
                return path
        return None

    def closeEvent(self, event: QCloseEvent) -> None:
        """Ask while something is at work; remember the window; end every job."""
        jobs = (*self._backend.jobs, *self._io.jobs)
        if may_close(self, self._workspace.is_training, jobs) == "stay":
            event.ignore()
            return
        self._preferences.set_geometry(self.saveGeometry())
        self._preferences.set_page(self.current_page)
        for key, page in self.pages.items():
            self._preferences.remember_page(key, page)
        self._preferences.sync()
        self._notice_timer.stop()
        self._io.shut_down()
        self._backend.shut_down()
        event.accept()
