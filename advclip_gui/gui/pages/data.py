"""The Data page: which images, what their classes are called, how many of them train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QScrollArea,
    QSplitter,
    QStackedWidget,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from advclip_gui.engine.events import Progress
from advclip_gui.gui import theme
from advclip_gui.gui.thumbnails import ThumbnailLoader
from advclip_gui.gui.widgets.basics import (
    Banner,
    Button,
    Card,
    EmptyState,
    PageHeader,
    PrimaryButton,
    TextLabel,
    set_property,
)
from advclip_gui.gui.widgets.class_table import ClassTable
from advclip_gui.gui.widgets.field_editors import ChoiceBox
from advclip_gui.gui.widgets.folder_card import FolderCard
from advclip_gui.gui.widgets.problem_panel import ProblemPanel
from advclip_gui.gui.widgets.prompt_editor import PromptEditor
from advclip_gui.gui.widgets.sample_card import SampleCard
from advclip_gui.gui.widgets.thumbnail_grid import ThumbnailGrid
from advclip_gui.gui.widgets.untitled_card import UntitledCard
from advclip_gui.settings import DEMO_FOLDER, DataSettings

if TYPE_CHECKING:
    from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent, QShowEvent

    from advclip_gui.engine.datasets.records import ImageRecord
    from advclip_gui.gui.backend import Backend
    from advclip_gui.gui.io_thread import IoPool
    from advclip_gui.gui.job_handle import ErrorInfo
    from advclip_gui.gui.workspace import Workspace

_SUBTITLE = "Which images, what their classes are called, and how many of them train."
_SIDE_WIDTH = 280
_EMPTY_TITLE = "No images are open yet"
_EMPTY_TEXT = (
    "Open a folder with one sub-folder of images for each class, with or without train, val and test, "
    "or drop it here. Nothing is ever written into it."
)
_SCANNING_TEXT = "Every image is looked at once, so that a bad file is known before the training."
_PARTS = (
    ("All images", "all"),
    ("Training sample", "train"),
    ("Validation sample", "val"),
    ("Test images", "test"),
)


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
        self._shared_out = False
        self._templates: tuple[str, ...] = ()
        self._loader = ThumbnailLoader(io, ratio=self.devicePixelRatioF(), parent=self)
        look = theme.current()
        self.header = PageHeader("Data", _SUBTITLE)
        self.banner = Banner()
        self.banner.setObjectName("dataBanner")
        self.banner.hide()
        self.folder_card = FolderCard()
        self.stack = QStackedWidget()
        self.stack.addWidget(self._make_empty())
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

    def _make_empty(self) -> QWidget:
        open_button = PrimaryButton(
            "Open image folder",
            "folder-open-outline",
            name="emptyOpenFolder",
            tip="Choose a folder of images.",
        )
        demo_button = Button(
            "Try the demo", "flask-outline", name="emptyOpenDemo", tip="Bundled photos; works offline."
        )
        open_button.clicked.connect(self.choose_folder)
        demo_button.clicked.connect(self.open_demo)
        self._drop = QFrame()
        self._drop.setProperty("role", "drop")
        self._empty = EmptyState("folder-image", _EMPTY_TITLE, _EMPTY_TEXT, (open_button, demo_button))
        self._empty_buttons = (open_button, demo_button)
        # A wrapped label in a centred column asks for too little height by itself.
        self._empty.text.setFixedWidth(26 * theme.current().l)
        self._empty.text.setMinimumHeight(self._empty.text.heightForWidth(26 * theme.current().l))
        inner = QVBoxLayout(self._drop)
        inner.addWidget(self._empty)
        return self._drop

    def _make_content(self) -> QWidget:
        look = theme.current()
        self.classes = ClassTable(self._loader)
        self.classes.setProperty("frameless", True)
        self.search = QLineEdit()
        self.search.setObjectName("classSearch")
        self.search.setPlaceholderText("Find a class")
        self.search.setAccessibleName("Find a class")
        self.search.setToolTip("Show only the classes whose folder or name contains this.")
        self.search.setClearButtonEnabled(True)
        self.search.setMaximumWidth(180)
        class_card = Card("Classes")
        class_card.header.addWidget(self.search)
        class_card.body.addWidget(self.classes)

        self.grid = ThumbnailGrid(self._loader)
        self.grid.setProperty("frameless", True)
        self.part = ChoiceBox(_PARTS)
        self.part.setObjectName("imagePart")
        self.part.setAccessibleName("Which images are shown")
        self.part.setToolTip("Show all images, or those that were drawn for training, validation or testing.")
        self.shown = TextLabel("", "caption")
        self.shown.setObjectName("shownImages")
        self.all_classes = Button(
            "All classes", "close", "link", name="allClasses", tip="Show all classes again."
        )
        bar = QHBoxLayout()
        bar.setSpacing(look.s)
        bar.addWidget(self.part)
        bar.addWidget(self.shown, 1)
        bar.addWidget(self.all_classes)
        images = QWidget()
        inner = QVBoxLayout(images)
        inner.setContentsMargins(0, look.s, 0, 0)
        inner.setSpacing(look.s)
        inner.addLayout(bar)
        inner.addWidget(self.grid, 1)
        self.problems = ProblemPanel()
        self.tabs = QTabWidget()
        self.tabs.setObjectName("dataTabs")
        self.tabs.setDocumentMode(True)
        self.tabs.tabBar().setDrawBase(False)
        self.tabs.addTab(images, "Images")
        self.tabs.addTab(self.problems, "Problems")
        image_card = UntitledCard()
        image_card.body.addWidget(self.tabs)
        image_card.layout().setContentsMargins(look.l, look.xs, look.l, look.m)

        self.sample = SampleCard(self._io)
        self.prompts = PromptEditor()
        prompt_card = Card("Prompt templates")
        prompt_card.body.addWidget(self.prompts)
        side = QWidget()
        side.setProperty("role", "page")
        side_column = QVBoxLayout(side)
        side_column.setContentsMargins(0, 0, look.xs, 0)
        side_column.setSpacing(look.m)
        side_column.addWidget(self.sample)
        side_column.addWidget(prompt_card)
        side_column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(side)
        scroll.setMinimumWidth(_SIDE_WIDTH)

        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setObjectName("dataSplitter")
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setHandleWidth(look.m)
        for index, (widget, stretch) in enumerate(((class_card, 1), (image_card, 1), (scroll, 0))):
            self.splitter.addWidget(widget)
            self.splitter.setStretchFactor(index, stretch)
        return self.splitter

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
        self.folder_card.demo_clicked.connect(self.open_demo)
        self.folder_card.rescan_clicked.connect(self._rescan)
        self.folder_card.cancel_clicked.connect(self._cancel_scan)
        self.classes.class_selected.connect(self._on_class_selected)
        self.classes.renamed.connect(self._on_renamed)
        self.search.textChanged.connect(self.classes.set_filter)
        self.part.edited.connect(self._show_images)
        self.all_classes.clicked.connect(self.classes.clearSelection)
        self.grid.skip_requested.connect(self._on_skip)
        self.problems.skip_requested.connect(self._on_skip)
        self.problems.notify.connect(self._on_notify)
        self.sample.changed.connect(self._on_sample_changed)
        self.sample.drawn.connect(self._on_drawn)
        self.prompts.changed.connect(self._on_templates_changed)
        self.continue_button.clicked.connect(self._continue)

    def showEvent(self, event: QShowEvent) -> None:
        """Share out the width once it is known; later the user's own split is kept."""
        super().showEvent(event)
        if not self._shared_out:
            self._shared_out = True
            free = self.width() - 2 * theme.current().xl - _SIDE_WIDTH
            self.splitter.setSizes([round(0.56 * free), round(0.44 * free), _SIDE_WIDTH])

    # --- opening ------------------------------------------------------------------------------

    def choose_folder(self) -> None:
        """Ask for a folder and open it."""
        start = (
            self._workspace.data.folder if self._workspace.data.folder != DEMO_FOLDER else str(Path.home())
        )
        folder = QFileDialog.getExistingDirectory(self, "Open image folder", start)
        if folder:
            self.open(folder)

    def open_demo(self) -> None:
        """Open the bundled images with the demo's preset."""
        self.banner.clear()
        self._workspace.open_demo(then="")

    def open(self, folder: str) -> None:
        """Scan a folder."""
        self.banner.clear()
        self._workspace.open_folder(folder, then="")

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take one local folder, or a file in it."""
        if self._dropped_folder(event) is not None:
            set_property(self._drop, "active", True)
            event.acceptProposedAction()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        """Let go of what was dragged over the page."""
        set_property(self._drop, "active", False)

    def dropEvent(self, event: QDropEvent) -> None:
        """Open the folder."""
        set_property(self._drop, "active", False)
        folder = self._dropped_folder(event)
        if folder is not None:
            event.acceptProposedAction()
            self.open(str(folder))

    @staticmethod
    def _dropped_folder(event: QDropEvent) -> Path | None:
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        return next((path for path in paths if path.is_dir()), None)

    def _rescan(self) -> None:
        self.banner.clear()
        self._workspace.rescan()

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
        self._empty.title.setText(_EMPTY_TITLE if scanning is None else "Looking through the folder")
        self._empty.text.setText(_EMPTY_TEXT if scanning is None else _SCANNING_TEXT)
        for button in self._empty_buttons:
            button.setVisible(scanning is None)
        self._update_continue()

    def _on_scan_event(self, event: object) -> None:
        if isinstance(event, Progress):
            self.folder_card.show_progress(event)

    def _on_scan_failed(self, error: ErrorInfo) -> None:
        self.banner.show_message(
            "error", error.sentence, error.details, (("Open another folder", self.choose_folder),)
        )

    def _on_scan_changed(self) -> None:
        scan = self._workspace.scan
        self.stack.setCurrentIndex(0 if scan is None else 1)
        self.folder_card.setVisible(scan is not None)
        if scan is not None:
            self._loader.set_root(scan.root)
            self.folder_card.show_scan(scan, demo=self._workspace.data.folder == DEMO_FOLDER)
            self.banner.clear()
        self.search.clear()
        self.classes.classes.set_scan(scan)
        self.problems.set_scan(scan)
        count = len(scan.problems) if scan is not None else 0
        self.tabs.setTabText(1, f"Problems ({count:,})" if count else "Problems")
        self._show_data()
        self._show_images()

    def _on_settings_changed(self) -> None:
        self._show_data()

    def _show_data(self) -> None:
        data = self._workspace.data
        self.classes.classes.set_names(data.class_names)
        scan = self._workspace.scan
        names = self._workspace.class_names()
        self.grid.thumbnails.set_names(
            dict(zip(scan.class_folders, names, strict=True)) if scan is not None else {}
        )
        self.grid.thumbnails.set_skipped(data.skip)
        self.problems.set_skipped(data.skip)
        self.sample.set_data(data, scan)
        # What is being typed and wrong stays, unless the templates were changed elsewhere.
        if data.templates != self._templates:
            self._templates = data.templates
            if self.prompts.templates() != data.templates:
                self.prompts.set_templates(data.templates)
        self._show_preview()
        self.grid.viewport().update()
        self._update_continue()

    # --- edits --------------------------------------------------------------------------------

    def _on_sample_changed(self, data: DataSettings | None) -> None:
        if data is not None:
            current = self._workspace.data
            self._set_data(
                current.model_copy(
                    update={"shots": data.shots, "val_shots": data.val_shots, "seed": data.seed}
                )
            )
        self._update_continue()

    def _on_templates_changed(self, templates: tuple[str, ...] | None) -> None:
        if templates is not None:
            self._set_data(self._workspace.data.model_copy(update={"templates": templates}))
        self._update_continue()

    def _on_renamed(self, folder: str, name: str) -> None:
        names = dict(self._workspace.data.class_names)
        names.pop(folder, None)
        if name:
            names[folder] = name
        self._set_data(self._workspace.data.model_copy(update={"class_names": names}))

    def _on_skip(self, paths: list[str], left_out: bool) -> None:
        skip = set(self._workspace.data.skip)
        skip = skip | set(paths) if left_out else skip - set(paths)
        self._set_data(self._workspace.data.model_copy(update={"skip": tuple(sorted(skip))}))

    def _set_data(self, data: DataSettings) -> None:
        self._workspace.set_data(data)

    # --- views --------------------------------------------------------------------------------

    def _on_class_selected(self, _folder: str) -> None:
        self._show_preview()
        self._show_images()

    def _on_drawn(self) -> None:
        if self.part.value() != "all":
            self._show_images()
        self._update_continue()

    def _show_preview(self) -> None:
        scan = self._workspace.scan
        names = self._workspace.class_names()
        if scan is None or not names:
            self.prompts.set_class_name("")
            return
        folder = self.classes.selected_folder()
        position = scan.class_folders.index(folder) if folder in scan.class_folders else 0
        self.prompts.set_class_name(names[position])

    def _show_images(self) -> None:
        scan = self._workspace.scan
        folder = self.classes.selected_folder()
        part, split = self.part.value(), self.sample.split
        records: tuple[ImageRecord, ...] = scan.records if scan is not None else ()
        if part != "all":
            drawn = {sample.path for sample in getattr(split, str(part))} if split is not None else set()
            records = tuple(record for record in records if record.path in drawn)
        if folder:
            records = tuple(record for record in records if record.class_name == folder)
        self.grid.thumbnails.set_records(records)
        where = f" in {folder}" if folder else ""
        self.shown.setText(f"{len(records):,} image{'' if len(records) == 1 else 's'}{where}")
        self.all_classes.setVisible(bool(folder))

    def _missing(self) -> str:
        """Why the page cannot be left for the recipe, "" where it can."""
        if self._workspace.scanning is not None:
            return "The folder is being scanned."
        if self._workspace.scan is None:
            return "Open an image folder first."
        problems = [*self.sample.form.problems().values(), self.prompts.problem()]
        for problem in (*problems, self.sample.problem):
            if problem:
                return problem
        return ""

    def _update_continue(self) -> None:
        missing = self._missing()
        self.continue_button.setEnabled(not missing)
        self.reason.setText(missing)

    def _on_notify(self, level: str, message: str) -> None:
        self._workspace.notify.emit(level, message, "")

    def _continue(self) -> None:
        self._workspace.navigate.emit("recipe")
