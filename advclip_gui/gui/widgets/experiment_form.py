"""The form of an experiment: kind, shots, seeds, methods, other data and how it is measured."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QFileDialog, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from advclip_gui.engine.errors import SettingsError
from advclip_gui.engine.experiments.definition import METHODS, ExperimentSettings, Kind
from advclip_gui.gui import theme
from advclip_gui.gui.experiment_text import recipe_text, summary_text
from advclip_gui.gui.widgets.basics import Button, Muted, SectionLabel, TextLabel, set_property
from advclip_gui.gui.widgets.number_field import NumberField
from advclip_gui.gui.widgets.segmented import Segmented
from advclip_gui.settings import DEMO_FOLDER
from advclip_gui.wording import radius_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from advclip_gui.settings import RunSettings

SHOTS = (1, 2, 4, 8, 16)
"""The paper's."""
_LATE_SHOTS = SHOTS[-1:]
"""At which base-to-new and cross-dataset are told."""
_DEMO_IMAGES = 100
_WHOLE = re.compile(r"[0-9]{1,12}")
_KINDS = (
    ("few-shot", "Few-shot", "Train and test on the same classes."),
    ("base-to-new", "Base to new", "Train on the first half of the classes, test on both halves."),
    ("cross-dataset", "Cross-dataset", "Train on one folder, test on others too."),
)
_ATTACKS = (
    ("quick", "Quick", "FGSM and PGD: an upper bound of the robust accuracy."),
    ("standard", "Standard", "APGD-CE and APGD-T."),
    ("thorough", "Thorough", "As standard, with Square and restarts; slow."),
)


class ExperimentForm(QWidget):
    """Says what is to be run; the recipe comes from elsewhere and is only named here."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        """Offer the paper's few-shot experiment."""
        super().__init__(parent)
        self.setObjectName("experimentForm")
        self._targets: list[str] = []
        self._base: RunSettings | None = None
        look = theme.current()
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        self.editor = QWidget()
        column = QVBoxLayout(self.editor)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(look.s)
        self.summary = TextLabel("", wrap=True)
        self.summary.setObjectName("experimentSummary")
        self.summary.hide()
        self.recipe = Muted("")
        self.recipe.setObjectName("experimentRecipe")
        self.kind = Segmented(_KINDS, name="experimentKind", label="Kind")
        self.kind.chosen.connect(self._on_kind)
        self.shots = QLineEdit(_listed(SHOTS))
        self.shots.setObjectName("experimentShots")
        self.shots.setAccessibleName("Shots per class")
        self.shots.setToolTip("Training images per class: any whole numbers, such as 1, 2, 3, 32.")
        self.methods = {method: QCheckBox(title) for method, title in METHODS.items()}
        self.seeds = QLineEdit("1, 2, 3")
        self.seeds.setObjectName("experimentSeeds")
        self.seeds.setAccessibleName("Seeds")
        self.seeds.setToolTip("Whole numbers, separated by commas; deviation is over them.")
        self.images = NumberField(integer=True, step=100, minimum=0, maximum=1_000_000)
        self.images.setObjectName("experimentImages")
        self.images.setAccessibleName("Test images")
        self.images.setToolTip("Of each test set, the same for every model; 0 takes all.")
        self.images.set_value(0)
        self.attack = Segmented(_ATTACKS, name="experimentAttack", label="Attack")
        self.attack.set_value("standard")
        self.released = Muted("FGSM and PGD-100, as the released protocol has them.")
        self.released.setObjectName("experimentReleasedAttack")
        attack = QWidget()
        choice = QVBoxLayout(attack)
        choice.setContentsMargins(0, 0, 0, 0)
        for one in (self.attack, self.released):
            choice.addWidget(one)
        parts: tuple[tuple[str, QWidget], ...] = (
            ("Recipe", self.recipe),
            ("Kind", self.kind),
            ("Shots per class", self.shots),
            ("Seeds", self.seeds),
            ("Methods", self._column(self.methods.values(), "experimentMethod")),
            ("Other data to test on", self._make_targets()),
            ("Attack", attack),
            ("Test images (0 takes all)", self.images),
        )
        for title, widget in parts:
            label = SectionLabel(title)
            column.addWidget(label)
            column.addWidget(widget)
            if widget is self.target_box:
                self._target_label = label
        whole.addWidget(self.editor)
        whole.addWidget(self.summary)
        whole.addStretch(1)
        for box in self.methods.values():
            box.setChecked(True)
            box.toggled.connect(self.changed)
        for line in (self.shots, self.seeds):
            line.textChanged.connect(self.changed)
        self.images.edited.connect(self.changed)
        self.attack.chosen.connect(self.changed)
        self._show_targets()

    def _column(self, boxes: Iterable[QCheckBox], name: str) -> QWidget:
        whole = QWidget()
        column = QVBoxLayout(whole)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.current().xs)
        for box in boxes:
            box.setObjectName(f"{name}.{box.text()}")
            column.addWidget(box)
        return whole

    def _make_targets(self) -> QWidget:
        self.target_box = QWidget()
        column = QVBoxLayout(self.target_box)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.current().xs)
        self.target_text = Muted("")
        self.target_text.setObjectName("experimentTargets")
        self.add_target = Button(
            "Add folder…",
            "folder-open-outline",
            name="experimentAddTarget",
            tip="A folder to test on.",
        )
        self.clear_targets = Button("Clear", None, "flat", name="experimentNoTargets", tip="Take all away.")
        for button in (self.add_target, self.clear_targets):
            button.setAutoDefault(False)
        self.add_target.clicked.connect(self._choose_target)
        self.clear_targets.clicked.connect(self._on_clear)
        row = QHBoxLayout()
        row.setSpacing(theme.current().s)
        row.addWidget(self.add_target)
        row.addWidget(self.clear_targets)
        row.addStretch(1)
        column.addWidget(self.target_text)
        column.addLayout(row)
        return self.target_box

    # --- what it says -------------------------------------------------------------------------

    def set_recipe(self, base: RunSettings) -> None:
        """Take the recipe every run has; its evaluation epsilon is the experiment's too."""
        if base.data.folder == DEMO_FOLDER and (self._base is None or self._base.data.folder != DEMO_FOLDER):
            # The demo is to be tried: the paper's evaluation of it would take hours without a GPU.
            self.attack.set_value("quick")
            self.images.set_value(_DEMO_IMAGES)
        elif self._base is not None and self._base.data.folder == DEMO_FOLDER != base.data.folder:
            self.attack.set_value("standard")
            self.images.set_value(0)
        self._base = base
        released = base.protocol == "released"
        self.attack.setVisible(not released)
        self.released.setVisible(released)
        radius = radius_text(base.monitor.epsilon, base.monitor.norm)
        self.recipe.setText(f"{recipe_text(base)}; measured at {radius}.")
        self.changed.emit()

    def settings(self) -> ExperimentSettings:
        """What is asked for. Raises `SettingsError` where that does not fit together."""
        if self._base is None:
            raise SettingsError("There is no recipe yet.")
        shots = _numbers(self.shots.text())
        methods = [method for method, box in self.methods.items() if box.isChecked()]
        seeds = _numbers(self.seeds.text())
        images = self.images.number()
        if not shots or min(shots) < 1:
            raise SettingsError(
                "Shots are whole numbers from 1, separated by commas.", "For example 1, 2, 4."
            )
        if not methods:
            raise SettingsError("Choose at least one method.")
        if self.kind.value() == "cross-dataset" and not self._targets:
            raise SettingsError("Add at least one other folder to test on.")
        if not seeds:
            raise SettingsError("Seeds are whole numbers, separated by commas.", "For example 1, 2, 3.")
        if images is None or images < 0 or images != int(images):
            raise SettingsError("Test images are a whole number; 0 takes all.")
        kind = self.kind.value()
        base = self._base
        # An experiment draws its own samples, and its kind says which classes.
        data = base.data.model_copy(
            update={"split_file": "", "classes": "all" if kind == "base-to-new" else base.data.classes}
        )
        plain = base.model_copy(update={"data": data}).model_dump(mode="json", exclude_none=True)
        values: dict[str, Any] = {
            "name": f"{dict((key, text) for key, text, _ in _KINDS)[kind]}, {base.name or base.data.folder}",
            "kind": kind,
            "shots": shots,
            "seeds": seeds,
            "methods": methods,
            "targets": self._targets if kind == "cross-dataset" else [],
            "base": plain,
            "evaluation": {
                "attack": self.attack.value(),
                "norm": base.monitor.norm,
                "epsilon": base.monitor.epsilon,
                "images": int(images),
            },
        }
        return ExperimentSettings.checked(values)

    def lock(self, settings: ExperimentSettings | None) -> None:
        """Tell of an experiment that was begun, which cannot be changed; None lets one be defined."""
        self.editor.setVisible(settings is None)
        self.summary.setVisible(settings is not None)
        if settings is not None:
            self.summary.setText(summary_text(settings))

    def propose(self, settings: ExperimentSettings) -> None:
        """Offer another experiment with these choices."""
        self.kind.set_value(settings.kind)
        self.shots.setText(_listed(settings.shots))
        for method, box in self.methods.items():
            box.setChecked(method in settings.methods)
        self.seeds.setText(_listed(settings.seeds))
        self.images.set_value(settings.evaluation.images)
        self.attack.set_value(settings.evaluation.attack)
        self._targets = list(settings.targets)
        self._show_targets()
        self.set_recipe(settings.base)

    def add(self, folder: str) -> None:
        """Test on this folder too."""
        if folder and folder not in self._targets:
            self._targets.append(folder)
            self._show_targets()
            self.changed.emit()

    def mark(self, *, short: bool = False) -> None:
        """Show which lists cannot be read, and whether the data has too few images for the shots."""
        shots = _numbers(self.shots.text())
        set_property(self.shots, "invalid", short or not shots or min(shots) < 1)
        set_property(self.seeds, "invalid", not _numbers(self.seeds.text()))

    def _on_kind(self, kind: str) -> None:
        assert kind in get_args(Kind)
        # As in the paper: these two are told at 16 shots. What the user has typed stays.
        before, after = (SHOTS, _LATE_SHOTS) if kind != "few-shot" else (_LATE_SHOTS, SHOTS)
        if _numbers(self.shots.text()) == list(before):
            self.shots.setText(_listed(after))
        self._show_targets()
        self.changed.emit()

    def _on_clear(self) -> None:
        self._targets.clear()
        self._show_targets()
        self.changed.emit()

    def _show_targets(self) -> None:
        shown = self.kind.value() == "cross-dataset"
        self.target_box.setVisible(shown)
        self._target_label.setVisible(shown)
        self.target_text.setText("\n".join(self._targets) or "None yet.")

    def _choose_target(self) -> None:
        self.add(QFileDialog.getExistingDirectory(self, "Folder to test on"))


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def _numbers(text: str) -> list[int]:
    """The whole numbers of a list; [] where something else is in it."""
    parts = [part for part in re.split(r"[,\s]+", text.strip()) if part]
    # Longer ones are no counts, and Python refuses to read the longest of all.
    return [int(part) for part in parts] if all(_WHOLE.fullmatch(part) for part in parts) else []
