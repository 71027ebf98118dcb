"""What an adapter's file does not say: its name here, the backbone, the classes and the prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QPlainTextEdit, QVBoxLayout, QWidget

from advclip_gui.engine.catalog import CATALOG, all_entries
from advclip_gui.gui import theme
from advclip_gui.gui.widgets.basics import Button, Muted, SectionLabel, TextLabel
from advclip_gui.gui.widgets.local_checkpoint import LocalCheckpoint
from advclip_gui.settings import BackboneSettings, DataSettings

if TYPE_CHECKING:
    from advclip_gui.engine.adapter_look import AdapterPlan
    from advclip_gui.gui.workspace import Workspace

_LOCAL = "local"


class AdapterWords(QWidget):
    """Fields for what is missing; those that the file answers are not shown."""

    changed = Signal()
    """Something else is written or chosen."""
    reshaped = Signal()
    """Other fields are shown."""

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        """Start without an adapter, and hidden."""
        super().__init__(parent)
        self._workspace = workspace
        self._plan: AdapterPlan | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.current().s)
        self.name = QLineEdit()
        self.name.setObjectName("adapterName")
        self.name.setAccessibleName("Name")
        self.name.setToolTip("What the adapter is called here.")
        self.name.textChanged.connect(self.changed)
        column.addWidget(SectionLabel("Name"))
        column.addWidget(self.name)
        self.backbone_box = self._make_backbone()
        self.class_box = self._make_classes()
        for box in (self.backbone_box, self.class_box):
            column.addWidget(box)
        self.hide()

    def _make_backbone(self) -> QWidget:
        self.backbones = QComboBox()
        self.backbones.setObjectName("adapterBackbone")
        self.backbones.setAccessibleName("Backbone")
        self.backbones.setToolTip("The CLIP model that the adapter was trained on; its shape is checked.")
        self.backbones.setMaxVisibleItems(16)
        for one in (*all_entries(), CATALOG[-1]):
            if not one.refused:
                key = _LOCAL if one.name == "local" else (one.name, one.weights)
                self.backbones.addItem(one.title, key)
        self.backbones.currentIndexChanged.connect(self._on_backbone)
        self.local = LocalCheckpoint()
        self.local.edited.connect(self.changed)
        self.local.browse_clicked.connect(self._browse)
        self.backbone_note = Muted("")
        self.backbone_note.setObjectName("adapterBackboneNote")
        return _column(SectionLabel("Backbone"), self.backbones, self.local, self.backbone_note)

    def _make_classes(self) -> QWidget:
        look = theme.current()
        self.classes = QPlainTextEdit()
        self.classes.setObjectName("adapterClasses")
        self.classes.setAccessibleName("Class names")
        self.classes.setToolTip("One in a line, in the order in which the adapter was trained.")
        self.classes.setPlaceholderText("cat\ndog\n…")
        self.classes.setTabChangesFocus(True)
        self.classes.setFixedHeight(3 * look.xxl)
        self.classes.textChanged.connect(self.changed)
        self.take_button = Button(
            "Those of the open data", "image-multiple-outline", "flat", name="adapterTakeClasses"
        )
        self.take_button.setToolTip("Take the class names of the images that are open.")
        self.take_button.setAutoDefault(False)
        self.take_button.clicked.connect(self._take_classes)
        self.prompts = QPlainTextEdit()
        self.prompts.setObjectName("adapterPrompts")
        self.prompts.setAccessibleName("Prompts")
        self.prompts.setToolTip("One in a line, with {} for the class name; several are averaged.")
        self.prompts.setTabChangesFocus(True)
        self.prompts.setFixedHeight(2 * look.xxl)
        self.prompts.textChanged.connect(self.changed)
        head = QHBoxLayout()
        head.addWidget(SectionLabel("Class names, one in a line"))
        head.addStretch(1)
        head.addWidget(self.take_button)
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.s)
        column.addLayout(head)
        column.addWidget(self.classes)
        column.addWidget(SectionLabel("Prompts, with {} for the class"))
        column.addWidget(self.prompts)
        return box

    # --- what is asked ------------------------------------------------------------------------

    def show_plan(self, plan: AdapterPlan | None) -> None:
        """Ask for what another adapter does not say."""
        self._plan = plan
        self.setVisible(plan is not None)
        if plan is None:
            return
        self.name.setText(plan.name)
        importing = plan.way == "import"
        ask_backbone = bool(plan.missing_checkpoint) or (importing and not plan.certain)
        self.backbone_box.setVisible(ask_backbone)
        self.class_box.setVisible(importing and not plan.class_names)
        self.take_button.setVisible(bool(self._workspace.class_names()))
        self._choose(plan.backbone or self._workspace.settings.backbone)
        self.backbones.setVisible(importing)
        if plan.missing_checkpoint:
            self.local.set_settings(plan.backbone or BackboneSettings(name=_LOCAL))
            self.local.checkpoint.setText("")
            note = f"It sits on {Path(plan.missing_checkpoint).name}: say where that file is on this machine."
        elif plan.backbone is not None:
            note = "Guessed from the file; choose another if it was not this one."
        else:
            note = "The file does not say it. This is the recipe's."
        self.backbone_note.setText(note)
        self.classes.setPlainText("\n".join(plan.class_names))
        templates = plan.templates or self._workspace.templates() or DataSettings().templates
        self.prompts.setPlainText("\n".join(templates))
        self._on_backbone()

    def lacking(self) -> str:
        """What is still to be said; "" where nothing is."""
        if not self.name.text().strip():
            return "Give it a name."
        if not self.backbone_box.isHidden() and self._is_local:
            settings, sentence = self.local.validate()
            if settings is None:
                return sentence
            if not Path(settings.checkpoint).expanduser().exists():
                return "There is no checkpoint at this place."
        if self.class_box.isHidden():
            return ""
        names = self.class_names()
        if len(names) < 2:
            return "Name two or more classes, in the order of training."
        twice = next((name for name in names if names.count(name) > 1), "")
        if twice:
            return f"The class '{twice}' stands twice."
        if not self.templates() or any(one.count("{}") != 1 for one in self.templates()):
            return "Every prompt needs one {} for the class."
        return ""

    def class_names(self) -> tuple[str, ...]:
        """In the order of the lines."""
        return _lines(self.classes)

    def templates(self) -> tuple[str, ...]:
        """Prompts, in the order of the lines."""
        return _lines(self.prompts)

    def backbone(self) -> BackboneSettings:
        """What was chosen, or what the file says."""
        if self.backbone_box.isHidden() and self._plan is not None and self._plan.backbone is not None:
            return self._plan.backbone
        if self._is_local:
            settings, _ = self.local.validate()
            return settings or BackboneSettings(name=_LOCAL)
        name, weights = self.backbones.currentData()
        return BackboneSettings(name=name, weights=weights)

    def checkpoint(self) -> str:
        """Where the backbone's own file is."""
        return str(Path(self.local.checkpoint.text().strip()).expanduser().absolute())

    @property
    def _is_local(self) -> bool:
        return self.backbones.isHidden() or self.backbones.currentData() == _LOCAL

    def _choose(self, backbone: BackboneSettings) -> None:
        if backbone.name == _LOCAL:
            self.backbones.setCurrentIndex(self.backbones.findData(_LOCAL))
            self.local.set_settings(backbone)
            return
        keys = [self.backbones.itemData(row) for row in range(self.backbones.count())]
        wanted = (backbone.name, backbone.weights)
        same = [row for row, key in enumerate(keys) if key == wanted or (key[0], "") == wanted]
        self.backbones.setCurrentIndex(same[0] if same else 0)

    def _on_backbone(self) -> None:
        if self.local.isHidden() == self._is_local:
            self.local.setVisible(self._is_local)
            self.reshaped.emit()
        self.changed.emit()

    def _browse(self) -> None:
        chosen = self.local.ask_file()
        if chosen:
            self.local.checkpoint.setText(chosen)

    def _take_classes(self) -> None:
        self.classes.setPlainText("\n".join(self._workspace.class_names()))


def _lines(field: QPlainTextEdit) -> tuple[str, ...]:
    lines = (line.strip() for line in field.toPlainText().splitlines())
    return tuple(line for line in lines if line)


def _column(*widgets: QWidget | TextLabel) -> QWidget:
    box = QWidget()
    column = QVBoxLayout(box)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(theme.current().s)
    for widget in widgets:
        column.addWidget(widget)
    return box
