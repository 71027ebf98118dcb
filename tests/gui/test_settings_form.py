"""The form made from the settings' models, through real keys and clicks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication, QCheckBox, QComboBox, QPushButton

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.epsilon_field import EpsilonField
from advclip_gui.gui.widgets.field_editors import Chips, TextLines, TextPairs, editor_for
from advclip_gui.gui.widgets.number_field import NumberField, decade_step, format_number
from advclip_gui.gui.widgets.settings_form import SettingsForm
from advclip_gui.settings import (
    AdversarySettings,
    BackboneSettings,
    DataSettings,
    LoraSettings,
    MonitorSettings,
    RunSettings,
    TrainingSettings,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytestqt.qtbot import QtBot

SECTIONS = (
    DataSettings,
    BackboneSettings,
    LoraSettings,
    AdversarySettings,
    TrainingSettings,
    MonitorSettings,
)


@pytest.fixture
def make_form(qtbot: QtBot, qapp: QApplication) -> Callable[..., SettingsForm]:
    theme.apply(qapp, "light")

    def make(model: type[BaseModel], **options: Any) -> SettingsForm:
        form = SettingsForm(model, name="section", **options)
        qtbot.addWidget(form)
        form.show()
        return form

    return make


def retype(qtbot: QtBot, field: NumberField | EpsilonField, text: str) -> None:
    line = (field.number_field if isinstance(field, EpsilonField) else field).lineEdit()
    line.setFocus()
    qtbot.keyClick(line, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(line, Qt.Key.Key_Delete)
    qtbot.keyClicks(line, text)


@pytest.mark.parametrize("model", SECTIONS)
def test_every_section_has_a_form_that_gives_its_defaults_back(
    make_form: Any, model: type[BaseModel]
) -> None:
    form = make_form(model)
    assert form.section() == model()
    assert set(form.rows) == set(model.model_fields)
    for field, row in form.rows.items():
        info = model.model_fields[field]
        assert row.label.text() == info.title
        assert row.editor.toolTip() == info.description
        assert row.editor.accessibleName() == info.title
        assert row.editor.objectName() == f"section.{field}"


def test_section_is_shown_and_given_back_unchanged(make_form: Any) -> None:
    section = AdversarySettings(
        kind="universal", inner_steps=7, epsilon=0.0123456789012, step_size=1 / 510, random_start=False
    )
    form = make_form(AdversarySettings)
    form.set_section(section)
    assert form.section() == section


OTHER_VALUES: dict[str, Any] = {
    "shots": "8",
    "val_shots": "2",
    "seed": "5",
    "rank": "16",
    "alpha": "2.5",
    "dropout": "0.1",
    "inner_steps": "4",
    "epsilon_warmup": "0.3",
    "accumulation": "2",
    "gradient_clip": "1.5",
    "patience": "3",
    "epsilon": "6.5",
    "step_size": "0.25",
    "steps": "120",
    "batch_size": "48",
    "learning_rate": "3e-4",
    "final_learning_rate": "1e-5",
    "warmup": "0.2",
    "weight_decay": "0.05",
    "clean_share": "0.5",
    "trades_beta": "6",
    "every": "11",
    "images": "50",
    "attack_steps": "20",
    "final_images": "0",
    "checkpoint_every": "9",
}


@pytest.mark.parametrize(
    ("model", "field"),
    [
        (model, field)
        for model in SECTIONS
        for field, info in model.model_fields.items()
        if info.annotation in {int, float}
    ],
)
def test_every_number_can_be_typed(qtbot: QtBot, make_form: Any, model: type[BaseModel], field: str) -> None:
    form = make_form(model)
    form.unfold()
    with qtbot.waitSignal(form.changed):
        retype(qtbot, form.editor(field), OTHER_VALUES[field])
    section = form.section()
    expected = float(OTHER_VALUES[field]) / (255 if field in {"epsilon", "step_size"} else 1)
    assert getattr(section, field) == pytest.approx(expected, rel=1e-12)
    assert getattr(section, field) != getattr(model(), field)


def test_choices_checks_and_chips_are_edited_with_the_keyboard_and_the_mouse(
    qtbot: QtBot, make_form: Any
) -> None:
    lora = make_form(LoraSettings)
    encoder = lora.editor("encoder")
    assert isinstance(encoder, QComboBox)
    assert [encoder.itemText(i) for i in range(encoder.count())] == [
        "Vision tower",
        "Text tower",
        "Both towers",
    ]
    qtbot.keyClick(encoder, Qt.Key.Key_Up)
    assert lora.section().encoder == "text"
    chips = lora.editor("matrices")
    assert isinstance(chips, Chips)
    qtbot.mouseClick(chips.button("o"), Qt.MouseButton.LeftButton)
    qtbot.mouseClick(chips.button("k"), Qt.MouseButton.LeftButton)
    assert lora.section().matrices == ("q", "v", "o")

    adversary = make_form(AdversarySettings)
    random_start = adversary.editor("random_start")
    assert isinstance(random_start, QCheckBox)
    qtbot.keyClick(random_start, Qt.Key.Key_Space)
    assert adversary.section().random_start is False
    assert random_start.text() == "Off"


def test_no_matrix_at_all_is_a_sentence(qtbot: QtBot, make_form: Any) -> None:
    form = make_form(LoraSettings)
    for value in "qkv":
        qtbot.mouseClick(form.editor("matrices").button(value), Qt.MouseButton.LeftButton)
    assert form.section() is None
    assert form.rows["matrices"].note.text() == "Matrices: choose at least 1."


def test_tri_state_has_automatic_on_and_off(qtbot: QtBot, make_form: Any) -> None:
    form = make_form(BackboneSettings)
    seen = []
    for _ in range(3):
        seen.append(form.section().quick_gelu)
        qtbot.keyClick(form.editor("quick_gelu"), Qt.Key.Key_Down)
    assert seen == [None, True, False]


def test_texts_are_edited_line_by_line(qtbot: QtBot, make_form: Any) -> None:
    form = make_form(DataSettings)
    templates, names = form.editor("templates"), form.editor("class_names")
    assert isinstance(templates, TextLines)
    assert isinstance(names, TextPairs)
    qtbot.keyClick(templates, Qt.Key.Key_End, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(templates, Qt.Key.Key_Return)
    qtbot.keyClicks(templates, "art of a {}.")
    qtbot.keyClicks(names, "n01 = tench")
    section = form.section()
    assert section.templates == ("a photo of a {}.", "art of a {}.")
    assert section.class_names == {"n01": "tench"}


def retype_layers(qtbot: QtBot, form: SettingsForm, text: str) -> None:
    line = form.editor("layers").lineEdit()
    line.setFocus()
    line.selectAll()
    qtbot.keyClick(line, Qt.Key.Key_Delete)
    qtbot.keyClicks(line, text)


def test_layers_are_a_named_part_or_typed_numbers(qtbot: QtBot, make_form: Any) -> None:
    form = make_form(LoraSettings)
    editor = form.editor("layers")
    retype_layers(qtbot, form, "0, 2, 9-11")
    assert form.section().layers == (0, 2, 9, 10, 11)
    assert editor.currentText() == "0, 2, 9-11"  # nothing is completed or rewritten
    editor.setFocus()
    qtbot.keyClick(editor, Qt.Key.Key_Home)  # in the text, not in the list
    editor.setCurrentIndex(editor.findText("Upper half"))
    assert form.section().layers == "half-up"
    retype_layers(qtbot, form, "top3")  # as the file and the command line write it
    assert form.section().layers == "top3"
    form.set_section(LoraSettings(layers="1-3"))
    assert editor.currentText() == "1-3"
    form.set_section(LoraSettings(layers="mid"))
    assert editor.currentText() == "Middle third"
    assert form.section() == LoraSettings(layers="mid")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("upper", "numbers such as 0, 2, 9-11"),
        ("9-4", "runs backwards"),
        ("0, 1000", "Layers must be at most 999; 1000 is too large."),
        ("", "Layers is empty."),
    ],
)
def test_wrong_layers_are_told_and_stay_as_typed(qtbot: QtBot, make_form: Any, text: str, part: str) -> None:
    form = make_form(LoraSettings)
    retype_layers(qtbot, form, text)
    row = form.rows["layers"]
    assert form.section() is None
    assert part in row.note.text()
    assert row.editor.property("invalid") is True
    assert row.editor.currentText() == text
    retype_layers(qtbot, form, "4")
    assert form.section().layers == (4,)
    assert row.editor.property("invalid") is False


def test_the_mlp_can_be_adapted_and_says_what_it_is(qtbot: QtBot, make_form: Any) -> None:
    form = make_form(LoraSettings)
    chip = form.editor("matrices").button("mlp")
    assert chip.toolTip() == "Both projections of the MLP (not in the paper)"
    qtbot.mouseClick(chip, Qt.MouseButton.LeftButton)
    assert form.section().matrices == ("q", "k", "v", "mlp")


def choose_norm(form: SettingsForm, norm: str) -> None:
    editor = form.editor("norm")
    editor.setCurrentIndex(["Linf", "L2"].index(norm))


def test_l2_counts_in_lengths_that_may_exceed_1_and_each_norm_keeps_its_own(
    qtbot: QtBot, make_form: Any
) -> None:
    form = make_form(AdversarySettings)
    retype(qtbot, form.editor("epsilon"), "4")
    choose_norm(form, "L2")
    section = form.section()
    assert (section.norm, section.epsilon, section.step_size) == ("L2", 0.5, 0.25)
    retype(qtbot, form.editor("epsilon"), "3.5")
    assert form.section().epsilon == 3.5  # 892.5/255
    retype(qtbot, form.editor("epsilon"), "128/255")
    assert form.section().epsilon == 128 / 255
    retype(qtbot, form.editor("epsilon"), "100")
    assert form.rows["epsilon"].note.text() == "Epsilon must be at most 64; 100 is too large."
    retype(qtbot, form.editor("epsilon"), "3")
    choose_norm(form, "Linf")
    assert form.section() == AdversarySettings(epsilon=4 / 255)
    assert form.editor("epsilon").number_field.lineEdit().text() == "4"
    choose_norm(form, "L2")
    assert form.section().epsilon == 3.0


def test_a_section_in_l2_is_shown_and_given_back_unchanged(make_form: Any) -> None:
    section = AdversarySettings(norm="L2", epsilon=1.2345678901234, step_size=0.3)
    form = make_form(AdversarySettings)
    form.set_section(section)
    assert form.section() == section
    assert form.editor("step_size").number_field.lineEdit().text() == "0.3"


def test_float16_is_offered(make_form: Any) -> None:
    form = make_form(RunSettings, fields=("precision",))
    editor = form.editor("precision")
    editor.setCurrentIndex(editor.findText("float16"))
    assert form.section().precision == "float16"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("-1", "Epsilon must be at least 0/255; -1/255 is too small."),
        ("300", "Epsilon 300/255 is more than the whole range of a pixel."),
        ("four", "'four/255' is not a length such as 4/255 or 0.0157."),
        ("", "Epsilon is empty."),
        ("4/0", "'4/0' is not a length such as 4/255 or 0.0157."),
    ],
)
def test_wrong_epsilon_is_marked_where_it_stands_and_can_be_mended(
    qtbot: QtBot, make_form: Any, text: str, sentence: str
) -> None:
    form = make_form(AdversarySettings)
    heard: list[object] = []
    form.changed.connect(heard.append)
    field = form.editor("epsilon")
    retype(qtbot, field, text)
    row = form.rows["epsilon"]
    assert row.note.text() == sentence
    assert row.note.property("role") == "bad"
    assert field.number_field.property("invalid") is True
    assert heard[-1] is None
    assert form.section() is None
    assert form.problems() == {"epsilon": sentence}
    assert field.number_field.lineEdit().text() == text  # what was typed stays
    retype(qtbot, field, "2")
    assert row.note.text() == AdversarySettings.model_fields["epsilon"].description
    assert field.number_field.property("invalid") is False
    assert heard[-1] == AdversarySettings(epsilon=2 / 255)


@pytest.mark.parametrize(
    ("model", "field", "text", "sentence"),
    [
        (LoraSettings, "rank", "0", "Rank r must be at least 1; 0 is too small."),
        (LoraSettings, "rank", "2.5", "Rank r must be a whole number; '2.5' is none."),
        (LoraSettings, "rank", "", "Rank r is empty."),
        (LoraSettings, "dropout", "1", "Dropout must be less than 1; 1 is too large."),
        (LoraSettings, "alpha", "0", "Alpha must be more than 0; 0 is too small."),
        (LoraSettings, "alpha", "nan", "Alpha must be a number; 'nan' is none."),
        (TrainingSettings, "learning_rate", "1e", "Learning rate must be a number; '1e' is none."),
    ],
)
def test_sentences_of_numbers(
    qtbot: QtBot, make_form: Any, model: type[BaseModel], field: str, text: str, sentence: str
) -> None:
    form = make_form(model)
    retype(qtbot, form.editor(field), text)
    assert form.rows[field].note.text() == sentence
    assert form.section() is None


def test_template_without_a_place_is_a_sentence(qtbot: QtBot, make_form: Any) -> None:
    form = make_form(DataSettings)
    qtbot.keyClick(form.editor("templates"), Qt.Key.Key_Return)
    qtbot.keyClick(form.editor("templates"), Qt.Key.Key_Up)
    qtbot.keyClicks(form.editor("templates"), "a photo")
    assert "needs exactly one {} where the class name goes" in form.rows["templates"].note.text()


def test_steps_are_fine_and_stay_in_range(qtbot: QtBot, make_form: Any) -> None:
    form = make_form(AdversarySettings)
    line = form.editor("epsilon").number_field.lineEdit()
    retype(qtbot, form.editor("epsilon"), "4")
    qtbot.keyClick(line, Qt.Key.Key_Up)
    assert form.section().epsilon == pytest.approx(4.1 / 255)
    qtbot.keyClick(line, Qt.Key.Key_PageUp)
    assert form.section().epsilon == pytest.approx(5.1 / 255)
    retype(qtbot, form.editor("epsilon"), "0.05")
    qtbot.keyClick(line, Qt.Key.Key_Down)
    qtbot.keyClick(line, Qt.Key.Key_Down)
    assert form.section().epsilon == 0.0
    retype(qtbot, form.editor("epsilon"), "8/255")
    assert form.section().epsilon == 8 / 255


def test_steps_follow_the_size_of_the_value(qtbot: QtBot, make_form: Any) -> None:
    form = make_form(TrainingSettings)
    rate = form.editor("learning_rate")
    qtbot.keyClick(rate, Qt.Key.Key_Up)
    assert form.section().learning_rate == pytest.approx(2.1e-4, rel=1e-9)
    share = form.editor("clean_share")
    qtbot.keyClick(share, Qt.Key.Key_Up)
    assert form.section().clean_share == pytest.approx(0.05)
    qtbot.keyClick(share, Qt.Key.Key_Down)
    qtbot.keyClick(share, Qt.Key.Key_Down)
    assert form.section().clean_share == 0.0
    lora = make_form(LoraSettings)
    retype(qtbot, lora.editor("dropout"), "0.95")
    qtbot.keyClick(lora.editor("dropout"), Qt.Key.Key_Up)  # 1 itself is not allowed
    assert lora.section().dropout == 0.95


def test_wheel_over_a_field_without_focus_scrolls_the_page(qtbot: QtBot, make_form: Any) -> None:
    form = make_form(LoraSettings)
    for field in ("rank", "encoder"):
        editor = form.editor(field)
        editor.clearFocus()
        form.setFocus()
        event = QWheelEvent(
            QPointF(5, 5),
            QPointF(5, 5),
            QPoint(0, 0),
            QPoint(0, -120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(editor, event)
        assert not event.isAccepted()
    assert form.section() == LoraSettings()


def test_fields_not_shown_keep_their_value(qtbot: QtBot, make_form: Any) -> None:
    form = make_form(DataSettings, fields=("shots",))
    form.set_section(DataSettings(folder="/somewhere", seed=9, skip=("a.png",)))
    retype(qtbot, form.editor("shots"), "2")
    assert form.section() == DataSettings(folder="/somewhere", seed=9, skip=("a.png",), shots=2)


def test_setting_a_section_is_no_edit(qtbot: QtBot, make_form: Any) -> None:
    form = make_form(LoraSettings)
    with qtbot.assertNotEmitted(form.changed):
        form.set_section(LoraSettings(rank=9, encoder="text", matrices=("o",)))


def test_folded_fields_cannot_be_reached_until_unfolded_and_unfold_when_wrong(
    qtbot: QtBot, make_form: Any
) -> None:
    form = make_form(LoraSettings, folded=("dropout",))
    assert not form.editor("dropout").isVisible()
    toggle = form.findChild(QPushButton, "section.fold.toggle")
    qtbot.mouseClick(toggle, Qt.MouseButton.LeftButton)
    assert form.editor("dropout").isVisible()
    qtbot.mouseClick(toggle, Qt.MouseButton.LeftButton)
    assert not form.editor("dropout").isVisible()
    form.editor("dropout").lineEdit().setText("7")
    assert form.editor("dropout").isVisible()


def test_run_settings_own_fields(qtbot: QtBot, make_form: Any) -> None:
    form = make_form(RunSettings, fields=("name", "device"))
    qtbot.keyClicks(form.editor("name"), "first")
    assert form.section() == RunSettings(name="first")


def test_kind_without_editor_is_refused() -> None:
    class Odd(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        odd: complex = Field(default=1j)
        either: Literal["a", 1] = "a"

    with pytest.raises(TypeError, match="no editor for odd"):
        editor_for("odd", Odd.model_fields["odd"])


def test_numbers_are_written_shortly() -> None:
    assert [format_number(value) for value in (16, 0.25, 2e-4, 1e-6, 255.0)] == [
        "16",
        "0.25",
        "0.0002",
        "1e-06",
        "255",
    ]
    assert [decade_step(value) for value in (2e-4, 1.0, 150.0, 0.0)] == pytest.approx([1e-5, 0.1, 10.0, 0.0])
