"""The Data page: which images, what their classes are called, how many of them train."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from advclip_gui.engine.datasets.known import known_dataset
from advclip_gui.engine.datasets.layout import LAYOUT_TITLES
from advclip_gui.engine.datasets.records import ImagesFound
from advclip_gui.engine.events import Progress
from advclip_gui.gui import theme
from advclip_gui.gui.data_choosing import ask_for_file, ask_for_folder, dropped_data
from advclip_gui.gui.widgets.basics import Banner, PageHeader, PrimaryButton, TextLabel
from advclip_gui.gui.widgets.data_side import DataSide
from advclip_gui.gui.widgets.drop_area import DropArea
from advclip_gui.gui.widgets.folder_card import FolderCard
from advclip_gui.gui.widgets.image_browser import ImageBrowser
from advclip_gui.settings import DEMO_FOLDER, DataSettings

if TYPE_CHECKING:
    from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent

    from advclip_gui.gui.backend import Backend
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.job_handle import ErrorInfo
    from advclip_gui.gui.workspace import Workspace
    from advclip_gui.settings.data import LayoutName

_SUBTITLE = "Which images, what their classes are called, and how many of them train."


class DataPage(QWidget):
    """Opens a folder, shows what is in it and prepares the few-shot sample."""

    def __init__(
        self, workspace: Workspace, backend: Backend, io: IoPool, parent: QWidget | None = None
    ) -> None:
        """Build the page; nothing is scanned before it is asked for."""
        super().__init__(parent)
        self.setObjectName("dataPage")
        self.setProperty("role", "page")
        self.setAcceptDrops(True)
        self._workspace = workspace
        self._io = io
        self._templates: tuple[str, ...] = ()
        self._partial = False
        look = theme.current()
        self.header = PageHeader("Data", _SUBTITLE)
        self.banner = Banner()
        self.banner.setObjectName("dataBanner")
        self.banner.hide()
        self.folder_card = FolderCard()
        self.stack = QStackedWidget()
        self.drop_area = DropArea()
        self.stack.addWidget(self.drop_area)
        self.stack.addWidget(self._make_content())
        column = QVBoxLayout(self)
        column.setContentsMargins(look.xl, look.l, look.xl, look.l)
        column.setSpacing(look.m)
        column.addWidget(self.header)
        column.addWidget(self.banner)
        column.addWidget(self.folder_card)
        column.addWidget(self.stack, 1)
        column.addLayout(self._make_footer())
        self._connect()
        self._on_scan_changed()
        self._on_scanning_changed()

    # --- construction -------------------------------------------------------------------------

    def _make_content(self) -> QWidget:
        self.browser = ImageBrowser(self._io)
        aside = DataSide(self._io)
        self.sample, self.prompts, self.side = aside.sample, aside.prompts, aside.content
        content = QWidget()
        row = QHBoxLayout(content)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.current().m)
        row.addWidget(self.browser, 1)
        row.addWidget(aside)
        return content

    def _make_footer(self) -> QHBoxLayout:
        self.reason = TextLabel("", "muted", wrap=True)
        self.reason.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.reason.setObjectName("continueReason")
        self.continue_button = PrimaryButton(
            "Continue to Recipe",
            "arrow-right",
            name="continueToRecipe",
            tip="Choose how to train on these images.",
        )
        row = QHBoxLayout()
        row.setSpacing(theme.current().m)
        row.addWidget(self.reason, 1)
        row.addWidget(self.continue_button)
        return row

    def _connect(self) -> None:
        workspace = self._workspace
        workspace.scan_changed.connect(self._on_scan_changed)
        workspace.scanning_changed.connect(self._on_scanning_changed)
        workspace.settings_changed.connect(self._on_settings_changed)
        self.folder_card.open_clicked.connect(self.choose_folder)
        self.folder_card.file_clicked.connect(self.choose_file)
        self.folder_card.layout_chosen.connect(self._on_layout_chosen)
        self.folder_card.demo_clicked.connect(self.open_demo)
        self.folder_card.rescan_clicked.connect(self._rescan)
        self.folder_card.cancel_clicked.connect(self._cancel_scan)
        self.drop_area.open_clicked.connect(self.choose_folder)
        self.drop_area.file_clicked.connect(self.choose_file)
        self.drop_area.demo_clicked.connect(self.open_demo)
        self.browser.class_selected.connect(self._show_preview)
        self.browser.renamed.connect(self._on_renamed)
        self.browser.skip_requested.connect(self._on_skip)
        self.browser.notify.connect(self._on_notify)
        self.sample.changed.connect(self._on_sample_changed)
        self.sample.drawn.connect(self._on_drawn)
        self.sample.split_file_chosen.connect(self._on_split_file)
        self.sample.notify.connect(self._on_notify)
        self.prompts.changed.connect(self._on_templates_changed)
        self.continue_button.clicked.connect(self._continue)

    # --- opening ------------------------------------------------------------------------------

    def choose_folder(self) -> None:
        """Ask for a folder and open it."""
        folder = ask_for_folder(self, self._workspace.data.folder)
        if folder:
            self.open(folder)

    def choose_file(self) -> None:
        """Ask for a zip or a list of images and open it."""
        name = ask_for_file(self)
        if name:
            self.open(name)

    def open_demo(self) -> None:
        """Open the bundled images with the demo's preset."""
        self.banner.clear()
        self._workspace.open_demo(then="")

    def open(self, folder: str) -> None:
        """Scan a folder, a zip or a list of images."""
        self.banner.clear()
        self._workspace.open_folder(folder, then="", quiet=True)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take a local folder, zip or list."""
        if dropped_data(event.mimeData()) is not None:
            self.drop_area.set_active(True)
            event.acceptProposedAction()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        """Let go of what was dragged over the page."""
        self.drop_area.set_active(False)

    def dropEvent(self, event: QDropEvent) -> None:
        """Open the folder."""
        self.drop_area.set_active(False)
        folder = dropped_data(event.mimeData())
        if folder is not None:
            event.acceptProposedAction()
            self.open(str(folder))

    def _rescan(self) -> None:
        self.banner.clear()
        self._workspace.rescan(quiet=True)

    def _cancel_scan(self) -> None:
        if self._workspace.scanning is not None:
            self._workspace.scanning.cancel()

    # --- the workspace has changed ------------------------------------------------------------

    def _on_scanning_changed(self) -> None:
        scanning = self._workspace.scanning
        self.folder_card.set_scanning(scanning is not None)
        if scanning is not None:
            scanning.event.connect(self._on_scan_event)
            scanning.failed.connect(self._on_scan_failed)
            self.banner.clear()
            if self._workspace.scan is None:
                self.folder_card.title.setText(scanning.title)
                self.folder_card.path.setText("Nothing in the folder is changed.")
        self.folder_card.setVisible(scanning is not None or self._workspace.scan is not None)
        self.drop_area.set_scanning(scanning is not None)
        if scanning is None:
            scan = self._workspace.scan
            recognised = LAYOUT_TITLES[scan.layout] if scan is not None else ""
            self.folder_card.show_layout(self._workspace.data.layout, recognised)
        if scanning is None and self._partial:
            # Cancelled or failed: what was open before is shown again.
            self._show_scan()
        self._update_continue()

    def _on_scan_event(self, event: object) -> None:
        if isinstance(event, Progress):
            self.folder_card.show_progress(event)
        elif isinstance(event, ImagesFound):
            self._show_found(event)

    def _show_found(self, event: ImagesFound) -> None:
        """Show images that a scan has come upon, long before it has looked at all of them."""
        if self.sender() is not self._workspace.scanning:
            return
        if not self._partial:
            self._partial = True
            self.browser.begin(event.root)
            self.side.setEnabled(False)
            self.stack.setCurrentIndex(1)
        self.browser.add_found(event.records)

    def _on_scan_failed(self, error: ErrorInfo) -> None:
        self.banner.show_message(
            "error", error.sentence, error.details, (("Open another folder", self.choose_folder),)
        )

    def _on_scan_changed(self) -> None:
        self.banner.clear()
        self._show_scan()

    def _show_scan(self) -> None:
        scan = self._workspace.scan
        self._partial = False
        self.side.setEnabled(True)
        self.stack.setCurrentIndex(0 if scan is None else 1)
        self.folder_card.setVisible(scan is not None)
        if scan is not None:
            data = self._workspace.data
            self.folder_card.show_scan(scan, demo=data.folder == DEMO_FOLDER, layout=data.layout)
        known = known_dataset(scan.dataset) if scan is not None else None
        self.prompts.set_offer(known.title if known else "", (known.template,) if known else ())
        self.browser.set_scan(scan)
        self._show_data()

    def _on_settings_changed(self) -> None:
        self._show_data()

    def _show_data(self) -> None:
        data = self._workspace.data
        scan = self._workspace.scan
        self.browser.set_data(data)
        self.sample.set_data(data, scan)
        # What is being typed and wrong stays, unless the templates were changed elsewhere.
        if data.templates != self._templates:
            self._templates = data.templates
            if self.prompts.templates() != data.templates:
                self.prompts.set_templates(data.templates)
        self._show_preview()
        self._update_continue()

    # --- edits --------------------------------------------------------------------------------

    def _on_sample_changed(self, data: DataSettings | None) -> None:
        if data is not None:
            current = self._workspace.data
            self._workspace.set_data(
                current.model_copy(
                    update={name: getattr(data, name) for name in ("shots", "val_shots", "seed", "classes")}
                )
            )
        self._update_continue()

    def _on_split_file(self, name: str) -> None:
        self._workspace.set_data(self._workspace.data.model_copy(update={"split_file": name}))

    def _on_layout_chosen(self, layout: str) -> None:
        if layout != self._workspace.data.layout:
            self.banner.clear()
            self._workspace.set_layout(cast("LayoutName", layout), quiet=True)

    def _on_templates_changed(self, templates: tuple[str, ...] | None) -> None:
        if templates is not None:
            self._workspace.set_data(self._workspace.data.model_copy(update={"templates": templates}))
        self._update_continue()

    def _on_renamed(self, folder: str, name: str) -> None:
        names = dict(self._workspace.data.class_names)
        names.pop(folder, None)
        if name:
            names[folder] = name
        self._workspace.set_data(self._workspace.data.model_copy(update={"class_names": names}))

    def _on_skip(self, paths: list[str], left_out: bool) -> None:
        skip = set(self._workspace.data.skip)
        skip = skip | set(paths) if left_out else skip - set(paths)
        self._workspace.set_data(self._workspace.data.model_copy(update={"skip": tuple(sorted(skip))}))

    # --- views --------------------------------------------------------------------------------

    def _on_drawn(self) -> None:
        self.browser.set_split(self.sample.split)
        self._update_continue()

    def _show_preview(self) -> None:
        names = self._workspace.class_names()
        position = self.browser.selected_class() or 0
        self.prompts.set_class_name(names[position] if position < len(names) else "")

    def _missing(self) -> str:
        """Why the page cannot be left for the recipe, "" where it can."""
        if self._workspace.scanning is not None:
            return "The folder is being scanned."
        if self._workspace.scan is None:
            return "Open an image folder first."
        problems = [*self.sample.form.problems().values(), self.prompts.problem()]
        if self.sample.problem:
            problems.append("The few-shot sample cannot be drawn; the reason stands beside the shots.")
        return next((problem for problem in problems if problem), "")

    def _update_continue(self) -> None:
        missing = self._missing()
        self.continue_button.setEnabled(not missing)
        self.reason.setText(missing)

    def _on_notify(self, level: str, message: str) -> None:
        self._workspace.notify.emit(level, message, "")

    def _continue(self) -> None:
        self._workspace.navigate.emit("recipe")
