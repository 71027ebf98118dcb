"""The Probe page through real clicks: what is shown belongs to the values beside it, always."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog, QWidget

from advclip_gui.engine.attacks import catalog
from advclip_gui.engine.control import Control
from advclip_gui.engine.events import Progress
from advclip_gui.engine.gallery_item import GalleryItem
from advclip_gui.engine.model_ref import ModelRef
from advclip_gui.engine.probe_compare import Compared
from advclip_gui.engine.probe_types import ProbeRequest, SmallestEpsilon
from advclip_gui.gui import theme
from advclip_gui.gui.bridge import Backend
from advclip_gui.gui.io_thread import IoPool
from advclip_gui.gui.job_handle import ErrorInfo
from advclip_gui.gui.pages.probe import ProbePage
from advclip_gui.gui.probe_jobs import GalleryJob, RepeatProbeJob
from advclip_gui.gui.probe_text import request_text
from advclip_gui.gui.widgets import attack_chooser, attack_form
from advclip_gui.gui.widgets.image_canvas import to_array, to_qimage
from advclip_gui.gui.workspace import Workspace
from advclip_gui.settings import BackboneSettings
from tests import bad_images
from tests.gui.page_room import image_tree
from tests.gui.probe_fakes import HandBackend, TinySession, end, fake_result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytestqt.qtbot import QtBot

    from advclip_gui.gui.probe_controller import Question

NAMES = ("cat", "dog", "red fox")


class Bench:
    """A page with images open, and the device in the test's hand."""

    def __init__(self, qtbot: QtBot, backend: Any, io: IoPool) -> None:
        self.qtbot = qtbot
        self.backend = backend
        self.io = io
        self.workspace = Workspace(backend, io)
        self.extra: list[ModelRef] = []
        self.notes: list[tuple[str, str]] = []
        self.visited: list[str] = []
        zero_shot = self.workspace.model_refs
        self.workspace.model_refs = lambda: [*zero_shot(), *self.extra]  # type: ignore[method-assign]
        self.workspace.notify.connect(lambda level, message, _details: self.notes.append((level, message)))
        self.workspace.navigate.connect(self.visited.append)
        self.page = ProbePage(self.workspace, backend, io)
        qtbot.addWidget(self.page)
        self.page.resize(1196, 748)
        self.page.show()

    def open(self, folder: Path) -> None:
        with self.qtbot.waitSignal(self.workspace.scan_changed):
            self.workspace.open_folder(folder, then="")

    def settle(self) -> None:
        self.qtbot.waitUntil(lambda: not self.io.jobs)

    def pick(self, row: int) -> None:
        """Click an image of the strip and wait until it is read."""
        view = self.page.strip.view
        index = view.model().index(row, 0)
        QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualRect(index).center())
        self.qtbot.waitUntil(lambda: self.page.asking.image is not None and not self.page.reader.busy)

    def asked(self, count: int) -> tuple[Any, Any]:
        """Wait until so many probes were asked for; the latest and its handle."""
        self.qtbot.waitUntil(lambda: self.backend.count() >= count)
        assert self.backend.count() == count
        return cast("tuple[Any, Any]", self.backend.last())

    def answer(self, count: int, **changes: Any) -> None:
        job, handle = self.asked(count)
        end(handle, "finished", fake_result(job.request, job.class_names, **changes))

    @property
    def sentence(self) -> str:
        return str(self.page.stage.verdict.sentence.text())

    def type_epsilon(self, text: str) -> None:
        line = self.page.panel.form.epsilon_field.lineEdit()
        line.selectAll()
        self.qtbot.keyClicks(line, text)


def choose_attack(form: Any, name: str) -> None:
    """Choose as the user does."""
    index = form.attack.findData(name)
    form.attack.setCurrentIndex(index)
    form.attack.activated.emit(index)


@pytest.fixture
def io(qapp: Any) -> Iterator[IoPool]:
    theme.apply(qapp, "light")
    made = IoPool()
    yield made
    made.shut_down()


@pytest.fixture
def bench(qtbot: QtBot, io: IoPool, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(qtbot, HandBackend(), io)
    made.open(image_tree(tmp_path / "data"))
    yield made
    made.page.shut_down()


# States ----------------------------------------------------------------------------------------------


def test_without_data_the_page_says_what_to_do(qtbot: QtBot, io: IoPool) -> None:
    bench = Bench(qtbot, HandBackend(), io)
    assert bench.page.pages.data_button.isVisible()
    qtbot.mouseClick(bench.page.pages.data_button, Qt.MouseButton.LeftButton)
    assert bench.visited == ["data"]
    bench.page.shut_down()


def test_with_data_and_no_image_nothing_is_asked(bench: Bench) -> None:
    assert "Pick an image" in bench.sentence
    assert bench.backend.count() == 0
    assert not bench.page.panel.save_button.isEnabled()
    assert not bench.page.panel.smallest.button.isEnabled()
    assert bench.page.strip.shown() == 18


def test_while_the_engine_loads_the_page_says_so(bench: Bench) -> None:
    bench.backend.ready = False
    bench.pick(0)
    bench.asked(1)
    assert bench.page.stage.updating.text() == "The engine is loading …"
    bench.backend.ready = True
    bench.backend.engine_ready.emit("CPU")
    assert bench.page.stage.updating.text() == "Attacking …"


def test_clicking_an_image_attacks_it_and_tells_the_flip(bench: Bench) -> None:
    bench.pick(0)
    bench.answer(1)
    stage = bench.page.stage
    assert bench.sentence == "cat → dog at 2/255"
    assert stage.verdict.tone == "flipped"
    assert stage.verdict.sign.text() == "Flipped"
    assert stage.verdict.survival.text() == "Survives 8-bit saving"
    assert "Flipped" in stage.verdict.accessibleName()
    assert all(view.image is not None for view in stage.views)
    assert stage.original.detail.text() == "cat 95.0 %"
    assert stage.adversarial.detail.text() == "dog 90.0 %"
    assert "Zero-shot" in stage.facts.text()
    assert "PGD · 10 steps · L∞ · 2/255" in stage.facts.text()
    assert stage.seen.text() == "The model sees this: 8 × 8 px from 32 × 32"
    assert stage.size.text().startswith("Largest change 2/255 · L2 ")
    assert stage.updating.text() == ""


def test_holding_is_told_in_words_too(bench: Bench) -> None:
    bench.pick(0)
    bench.answer(1, after=0)
    assert bench.sentence == "Still cat at 2/255"
    assert bench.page.stage.verdict.tone == "held"
    assert bench.page.stage.verdict.sign.text() == "Holds"
    assert not bench.page.stage.verdict.survival.isVisible()


def test_a_wrong_clean_prediction_is_said_with_the_true_label(bench: Bench) -> None:
    bench.pick(0)  # a cat
    bench.answer(1, before=1, after=1)
    assert bench.page.stage.verdict.tone == "wrong"
    assert "the true label is cat" in bench.page.stage.verdict.note.text()


def test_a_flip_that_8_bits_cannot_hold_is_marked(bench: Bench) -> None:
    bench.pick(0)
    bench.answer(1, survives=False)
    assert bench.page.stage.verdict.survival.text() == "Lost in 8-bit saving"
    assert "cat again" in bench.page.stage.verdict.survival.toolTip()


# Never a stale picture -------------------------------------------------------------------------------


def test_an_overtaken_probe_is_cancelled_and_never_shown(bench: Bench) -> None:
    bench.pick(0)
    first_job, first = bench.asked(1)
    bench.page.panel.form.set_epsilon(4 / 255)
    assert first.control.cancelled
    _, second = bench.asked(2)
    end(first, "finished", fake_result(first_job.request, NAMES))  # it came too late to notice
    assert bench.page.stage.result is None
    assert bench.page.controller.busy
    bench.answer(2)
    assert bench.sentence == "cat → dog at 4/255"
    assert not second.control.cancelled


def test_dragging_asks_once_after_a_pause_and_never_queues(bench: Bench) -> None:
    bench.pick(0)
    bench.answer(1)
    slider = bench.page.panel.form.slider.slider
    slider.setFocus()
    for _ in range(25):
        QTest.keyClick(slider, Qt.Key.Key_Right)
        assert bench.backend.count() == 1
    assert bench.page.stage.updating.text() == "Updating …"
    assert bench.sentence == "cat → dog at 2/255"  # the picture is still that of 2/255, and says so
    job, _ = bench.asked(2)
    assert job.request.epsilon == pytest.approx(3.25 / 255)
    assert len(bench.backend.active) == 1
    bench.answer(2)
    assert bench.sentence == "cat → dog at 3.25/255"
    assert bench.page.panel.form.epsilon_field.number() == pytest.approx(3.25)


def test_what_is_on_screen_fades_when_a_newer_one_takes_long(bench: Bench) -> None:
    bench.pick(0)
    bench.answer(1)
    bench.page.panel.form.set_epsilon(8 / 255)
    stage = bench.page.stage
    assert not stage.adversarial.canvas.dimmed
    bench.qtbot.waitUntil(lambda: stage.adversarial.canvas.dimmed)
    assert not stage.original.canvas.dimmed
    bench.answer(2)
    assert not stage.adversarial.canvas.dimmed


def test_coming_back_to_what_is_shown_asks_nothing(bench: Bench) -> None:
    bench.pick(0)
    bench.answer(1)
    bench.page.panel.form.set_epsilon(4 / 255)
    _, second = bench.asked(2)
    bench.page.panel.form.set_epsilon(2 / 255)
    assert second.control.cancelled
    assert not bench.page.controller.busy
    assert bench.page.stage.updating.text() == ""
    assert bench.backend.count() == 2


def test_another_image_takes_the_old_result_away_at_once(bench: Bench) -> None:
    bench.pick(0)
    bench.answer(1)
    bench.pick(1)
    stage = bench.page.stage
    assert stage.original.image is not None
    assert stage.adversarial.image is None
    assert stage.perturbation.image is None
    assert stage.bars.rows == ()
    assert stage.verdict.tone == "neutral"
    assert not bench.page.panel.save_button.isEnabled()
    job, _ = bench.asked(2)
    assert job.class_names == NAMES


def test_the_prepared_image_is_kept_for_the_next_drag(bench: Bench) -> None:
    bench.pick(0)
    job, _ = bench.asked(1)
    assert job.image.shape != (8, 8, 3)
    bench.answer(1)
    bench.page.panel.form.set_epsilon(3 / 255)
    job, _ = bench.asked(2)
    assert job.image.shape == (8, 8, 3)


def test_a_slow_attack_shows_its_steps_as_they_come(bench: Bench) -> None:
    bench.pick(0)
    job, handle = bench.asked(1)
    result = fake_result(job.request, NAMES, side=160)
    handle.deliver("started", None)
    handle.deliver("event", result.steps[2])
    stage = bench.page.stage
    assert bench.sentence == "Attacking … step 2 of 4"
    assert stage.adversarial.image is not None
    assert np.array_equal(to_array(stage.adversarial.image), result.steps[2].adversarial)
    assert not bench.page.panel.save_button.isEnabled()  # a step is no result
    bench.type_epsilon("x")
    assert bench.sentence == "Not attacked"
    assert stage.adversarial.image is None
    bench.type_epsilon("2")
    bench.answer(bench.backend.count() + 1, side=160)
    assert bench.sentence == "cat → dog at 2/255"


def test_steps_of_the_same_image_move_the_bars_instead_of_clearing_them(bench: Bench) -> None:
    bench.pick(0)
    bench.answer(1, side=160)
    rows = bench.page.stage.bars.rows
    bench.page.panel.form.set_epsilon(3 / 255)
    job, handle = bench.asked(2)
    result = fake_result(job.request, NAMES, side=160)
    handle.deliver("started", None)
    handle.deliver("event", result.steps[1])
    bars = bench.page.stage.bars
    assert bars.rows == rows
    assert bars.values["cat"] == (pytest.approx(0.95), pytest.approx(result.steps[1].probabilities[0]))
    bench.pick(1)
    job, handle = bench.asked(3)
    handle.deliver("started", None)
    handle.deliver("event", fake_result(job.request, NAMES, side=160).steps[1])
    assert bars.rows == ()  # nothing is known of this image yet


# The attack's settings -------------------------------------------------------------------------------


def test_every_setting_reaches_the_request(bench: Bench) -> None:
    bench.pick(0)
    bench.answer(1)
    form = bench.page.panel.form
    bench.qtbot.mouseClick(form.norm._buttons["L2"], Qt.MouseButton.LeftButton)
    for field, text in (
        (form.details.steps, "7"),
        (form.details.restarts, "3"),
        (form.details.seed, "11"),
        (form.details.step_size, "0.25"),
    ):
        field.lineEdit().selectAll()
        bench.qtbot.keyClicks(field.lineEdit(), text)
    bench.qtbot.mouseClick(form.details.random_start, Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    form.details.target.setCurrentIndex(2)
    form.details.target.activated.emit(2)
    bench.qtbot.waitUntil(lambda: bench.backend.last()[0].request.target == 1)
    request = bench.backend.last()[0].request
    assert (request.attack, request.norm, request.epsilon) == ("pgd", "L2", 0.5)
    assert (request.steps, request.restarts, request.seed, request.step_size) == (7, 3, 11, 0.25)
    assert (request.random_start, request.target) == (False, 1)


def test_fgsm_has_no_steps(bench: Bench) -> None:
    bench.pick(0)
    bench.answer(1)
    form = bench.page.panel.form
    choose_attack(form, "fgsm")
    job, _ = bench.asked(2)
    assert job.request.attack == "fgsm"
    assert not form.details.steps.isVisible()
    assert form.details.seed.isVisible()


def test_the_form_copes_with_any_attack_of_the_catalogue(
    qtbot: QtBot, io: IoPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = catalog.AttackInfo(
        "spin",
        "Spin",
        "One that came later.",
        norms=("L2",),
        options=frozenset({"steps", "something_else"}),
        default_steps=42,
        steps_name="turns",
    )
    for module in (catalog, attack_chooser, attack_form):
        monkeypatch.setattr(module, "INFOS", (*catalog.INFOS, new))
    form = attack_form.AttackForm()
    qtbot.addWidget(form)
    form.show()
    choose_attack(form, "spin")
    request = form.request()
    assert request is not None
    assert (request.attack, request.norm, request.epsilon, request.steps) == ("spin", "L2", 0.5, 42)
    assert not form.norm._buttons["Linf"].isEnabled()
    assert form.details.steps.isVisible()
    assert form.details.steps.accessibleName() == "Turns"
    assert not form.details.random_start.isVisible()
    assert request_text(request) == "Spin · 42 turns · L2 0.5"
    kept = form.values()
    choose_attack(form, "pgd")
    assert form.norm._buttons["Linf"].isEnabled()
    form.set_values(kept)
    assert form.request() == request
    with pytest.raises(ValueError, match="no values of an attack"):
        form.set_values({**kept, "norm": "Linf"})


def test_each_norm_keeps_its_own_epsilon(bench: Bench) -> None:
    form = bench.page.panel.form
    form.set_epsilon(5 / 255)
    bench.qtbot.mouseClick(form.norm._buttons["L2"], Qt.MouseButton.LeftButton)
    assert form.epsilon_field.number() == 0.5
    bench.qtbot.mouseClick(form.norm._buttons["Linf"], Qt.MouseButton.LeftButton)
    assert form.epsilon_field.number() == 5


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("300", "Epsilon must lie between 0 and 255; 300 does not."),
        ("-1", "Epsilon must lie between 0 and 255; -1 does not."),
        ("abc", "Epsilon must be a number; 'abc' is none."),
    ],
)
def test_a_wrong_epsilon_is_told_where_it_stands(bench: Bench, text: str, sentence: str) -> None:
    bench.pick(0)
    bench.answer(1)
    bench.type_epsilon(text)
    form = bench.page.panel.form
    assert form.problem.isVisible()
    assert form.problem.text() == sentence
    assert form.epsilon_field.property("invalid") is True
    assert bench.page.stage.updating.text() == "Not updated: a value is wrong"
    assert not bench.page.controller.busy
    bench.type_epsilon("4")
    assert not form.problem.isVisible()
    bench.answer(bench.backend.count() + 1)
    assert bench.sentence == "cat → dog at 4/255"


# Replay ----------------------------------------------------------------------------------------------


def test_replay_moves_image_perturbation_bars_loss_and_sentence_together(bench: Bench) -> None:
    bench.pick(0)
    bench.answer(1, steps=4)
    stage = bench.page.stage
    result = stage.result
    assert result is not None
    seen = []
    slider = stage.replay.slider
    slider.setFocus()
    QTest.keyClick(slider, Qt.Key.Key_Home)
    for index in range(5):
        step = result.steps[index]
        assert stage.adversarial.image is not None
        assert stage.perturbation.image is not None
        assert np.array_equal(to_array(stage.adversarial.image), step.adversarial)
        assert stage.bars.values["dog"][1] == step.probabilities[1]
        assert stage.replay.loss_label.text() == f"loss {step.loss:.3f}"
        seen.append((stage.perturbation.image.pixelColor(0, 0).rgb(), bench.sentence))
        QTest.keyClick(slider, Qt.Key.Key_Right)
    assert len({sentence for _, sentence in seen}) == 5
    assert seen[1][1] == "Still cat at step 1 of 4"
    assert seen[3][1] == "cat → dog at step 3 of 4"
    assert seen[4][1] == "cat → dog at 2/255"
    assert stage.replay.line.flipped == (False, False, False, True, True)


def test_the_play_button_runs_to_the_end_and_stops(bench: Bench) -> None:
    bench.pick(0)
    bench.answer(1, steps=3)
    replay = bench.page.stage.replay
    bench.qtbot.mouseClick(replay.play_button, Qt.MouseButton.LeftButton)
    assert replay.playing
    assert replay.index == 0
    bench.qtbot.waitUntil(lambda: not replay.playing)
    assert replay.at_end
    bench.qtbot.mouseClick(replay.play_button, Qt.MouseButton.LeftButton)
    bench.page.hide()
    assert not replay.playing


def test_heat_map_and_signed_view_of_the_same_perturbation(bench: Bench) -> None:
    bench.pick(0)
    bench.answer(1)
    stage = bench.page.stage
    signed = stage.perturbation.image
    assert stage.perturbation.detail.text() == "× 50"
    bench.qtbot.mouseClick(stage.perturbation_mode._buttons["heat"], Qt.MouseButton.LeftButton)
    assert stage.perturbation.image != signed
    assert stage.perturbation.detail.text() == "≤ 2/255"


# Models ----------------------------------------------------------------------------------------------


def test_the_colour_scale_tells_what_the_colours_mean(bench: Bench) -> None:
    legend = bench.page.stage.legend
    bench.pick(0)
    assert (legend.low, legend.high) == ("", "")
    bench.answer(1)
    assert (legend.low, legend.high) == ("−2.55/255", "+2.55/255")  # 0.5 / 50
    assert "amplified 50 times" in legend.accessibleDescription()
    bench.qtbot.mouseClick(bench.page.stage.perturbation_mode._buttons["heat"], Qt.MouseButton.LeftButton)
    assert (legend.low, legend.high) == ("0", "2/255")
    bench.page.stage.replay.slider.setValue(2)  # half of the steps, half of the change
    assert (legend.low, legend.high) == ("0", "1/255")
    assert bench.page.stage.size.text().startswith("Largest change 1/255")
    assert legend.grab().toImage().pixelColor(legend.width() // 4, legend.height() // 2).blue() > 100


def live_and_adapter(bench: Bench) -> tuple[ModelRef, ModelRef]:
    backbone = bench.workspace.settings.backbone
    return (
        ModelRef("live", backbone, title="In training (live)"),
        ModelRef("adapter", backbone, adapter="/runs/new", title="new"),
    )


def test_another_model_is_asked_the_same(bench: Bench) -> None:
    bench.pick(0)
    bench.answer(1)
    _, adapter = live_and_adapter(bench)
    bench.extra = [adapter]
    bench.workspace.models_changed.emit()
    assert bench.backend.count() == 1
    bench.workspace.probe_requested.emit(adapter)
    job, _ = bench.asked(2)
    assert job.ref == adapter
    bench.answer(2, after=0)
    assert bench.sentence == "Still cat at 2/255"
    assert bench.page.stage.facts.text().startswith("new")


def test_the_live_model_is_followed_while_that_is_wanted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.page.controller._again.setInterval(5)
    live, _adapter = live_and_adapter(bench)
    bench.extra = [live]
    bench.workspace.models_changed.emit()
    assert not bench.page.panel.follow.isVisible()
    bench.pick(0)
    bench.answer(1)
    bench.page.panel.models.choose(live)
    assert bench.page.panel.follow.isVisible()
    bench.answer(2)
    bench.asked(3)  # by itself
    assert bench.page.stage.updating.text() == "Following training …"
    assert not bench.page.stage._dim.isActive()
    bench.answer(3, after=0)
    assert bench.sentence == "Still cat at 2/255"
    bench.asked(4)
    bench.qtbot.mouseClick(bench.page.panel.follow, Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    bench.answer(4)
    assert not bench.page.controller._again.isActive()


def test_a_replay_is_not_disturbed_by_following(bench: Bench) -> None:
    bench.page.controller._again.setInterval(5)
    live, _ = live_and_adapter(bench)
    bench.extra = [live]
    bench.workspace.models_changed.emit()
    bench.page.panel.models.choose(live)
    bench.pick(0)
    bench.answer(1)
    bench.page.stage.replay.slider.setValue(2)
    assert not bench.page.controller._again.isActive()
    bench.page.stage.replay.slider.setValue(4)
    assert bench.page.controller._again.isActive()


def test_when_training_ends_the_adapter_takes_the_live_models_place(bench: Bench) -> None:
    live, adapter = live_and_adapter(bench)
    bench.workspace.run_dir = Path("/runs/new")
    bench.extra = [live]
    bench.workspace.models_changed.emit()
    bench.page.panel.models.choose(live)
    bench.extra = []
    bench.workspace.models_changed.emit()
    assert bench.page.panel.models.ref() == bench.workspace.model_refs()[0]
    bench.extra = [adapter]
    bench.workspace.models_changed.emit()
    assert bench.page.panel.models.ref() == adapter
    assert not bench.page.panel.follow.isVisible()


# Other images ----------------------------------------------------------------------------------------


def test_a_bad_image_file_is_a_sentence_and_the_page_lives_on(bench: Bench, tmp_path: Path) -> None:
    bench.pick(0)
    bench.answer(1)
    bad = tmp_path / "broken picture.jpg"
    bad.write_bytes(b"no image at all")
    bench.page.strip.take_file(bad)
    bench.qtbot.waitUntil(lambda: bench.page.banner.isVisible())
    assert "broken picture.jpg" in bench.page.banner.message
    assert "not an image" in bench.page.banner.message
    assert bench.sentence == "cat → dog at 2/255"  # what was there stays
    bench.pick(2)
    assert not bench.page.banner.isVisible()
    bench.answer(2)
    assert "→" in bench.sentence


def test_an_image_from_disk_has_no_true_label(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bad_images.good_jpeg(tmp_path / "Fotos ä" / "a b.jpg", seed=3)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_args: (str(path), ""))
    bench.qtbot.mouseClick(bench.page.strip.disk_button, Qt.MouseButton.LeftButton)
    bench.asked(1)
    bench.answer(1, before=1, after=1)
    assert bench.page.stage.verdict.tone == "held"
    assert "a b.jpg" in bench.page.stage.facts.text()


def test_pasting_an_image_and_pasting_nothing(bench: Bench) -> None:
    QGuiApplication.clipboard().setText("just words")
    bench.qtbot.mouseClick(bench.page.strip.paste_button, Qt.MouseButton.LeftButton)
    assert "no image on the clipboard" in bench.page.banner.message
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    QGuiApplication.clipboard().setImage(to_qimage(pixels))
    bench.qtbot.mouseClick(bench.page.strip.paste_button, Qt.MouseButton.LeftButton)
    job, _ = bench.asked(1)
    assert np.array_equal(job.image, pixels)
    assert not bench.page.banner.isVisible()
    shown = bench.page.stage.original.image
    assert shown is not None
    assert (shown.width(), shown.height()) == (32, 32)  # what the model sees of it


def drop(page: ProbePage, path: Path) -> None:
    """Drag a file over the page and let it go."""
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(5, 5), Qt.DropAction.CopyAction, mime, buttons, keys)
    enter.ignore()
    page.dragEnterEvent(enter)
    assert enter.isAccepted()
    event = QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, mime, buttons, keys)
    page.dropEvent(event)
    assert event.isAccepted()


@pytest.mark.parametrize("way", ["file", "dropped", "pasted"])
def test_a_picture_taken_upright_is_shown_upright(bench: Bench, tmp_path: Path, way: str) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    Image.new("RGB", (64, 32), "navy").save(path, exif=exif)
    if way == "file":
        bench.page.strip.take_file(path)
    elif way == "dropped":
        drop(bench.page, path)
    else:
        mime = QMimeData()
        mime.setData("image/jpeg", path.read_bytes())
        bench.page.strip.take_mime(mime)
    job, _ = bench.asked(1)
    assert job.image.shape == (64, 32, 3)


def test_dropping_an_image_file(bench: Bench, tmp_path: Path) -> None:
    path = bad_images.good_jpeg(tmp_path / "dropped.jpg", seed=9)
    drop(bench.page, path)
    bench.asked(1)


def test_filters_choose_what_the_strip_shows(bench: Bench) -> None:
    strip = bench.page.strip
    first = [strip._model.record(strip._model.index(row)).class_name for row in range(3)]
    assert first == ["cat", "dog", "red_fox"]
    strip.class_filter.setCurrentIndex(2)
    assert strip.shown() == 6
    assert {strip._model.data(strip._model.index(row)) for row in range(6)} == {"dog"}
    assert not strip.split_filter.isVisible()


# Failures --------------------------------------------------------------------------------------------


def test_a_failing_probe_is_a_sentence(bench: Bench) -> None:
    bench.pick(0)
    _, handle = bench.asked(1)
    end(handle, "failed", ErrorInfo("ViT-B/16 is not on this machine.", "Take the bundled model.", "trace"))
    banner = bench.page.banner
    assert banner.isVisible()
    assert banner.level == "error"
    assert banner.message == "ViT-B/16 is not on this machine. Take the bundled model."
    assert not bench.page.controller.busy
    bench.page.panel.form.set_epsilon(3 / 255)
    bench.answer(2)
    assert not banner.isVisible()


# Smallest epsilon ------------------------------------------------------------------------------------


def test_the_smallest_epsilon_narrows_in_sight_and_is_then_shown(bench: Bench) -> None:
    bench.pick(0)
    bench.answer(1)
    panel, form = bench.page.panel.smallest, bench.page.panel.form
    bench.qtbot.mouseClick(panel.button, Qt.MouseButton.LeftButton)
    job, handle = bench.backend.last("SmallestEpsilonJob")
    handle.deliver("started", None)
    assert panel.button.text() == "Cancel search"
    handle.deliver("event", Progress(task="Smallest epsilon", done=3, total=6, detail="1/255 to 2/255"))
    assert form.slider.interval == pytest.approx((1 / 255, 2 / 255))
    assert "Between 1/255 and 2/255" in panel.line.text()
    handle.deliver("event", Progress(task="Smallest epsilon", done=4, total=6, detail="1/255 to 1.5/255"))
    assert form.slider.interval == pytest.approx((1 / 255, 1.5 / 255))
    answer = SmallestEpsilon(
        low=1.2 / 255,
        high=1.25 / 255,
        found=True,
        norm="Linf",
        attacked_label=0,
        after_label=1,
        attacks=8,
        sentence="",
    )
    end(handle, "finished", answer)
    assert "between 1.2/255 and 1.25/255" in panel.line.text()
    assert form.epsilon_field.number() == pytest.approx(1.25)
    assert form.slider.interval == pytest.approx((1.2 / 255, 1.25 / 255))
    assert not panel.searching
    probe, _ = bench.asked(2)
    assert probe.request == replace(job.request, epsilon=pytest.approx(1.25 / 255))


def test_the_search_can_be_cancelled_and_ends_with_its_question(bench: Bench) -> None:
    bench.pick(0)
    bench.answer(1)
    panel = bench.page.panel.smallest
    bench.qtbot.mouseClick(panel.button, Qt.MouseButton.LeftButton)
    _, handle = bench.backend.last("SmallestEpsilonJob")
    bench.qtbot.mouseClick(panel.button, Qt.MouseButton.LeftButton)
    assert handle.control.cancelled
    assert panel.button.text() == "Find smallest epsilon"
    bench.qtbot.mouseClick(panel.button, Qt.MouseButton.LeftButton)
    _, handle = bench.backend.last("SmallestEpsilonJob")
    bench.page.panel.form.set_epsilon(3 / 255)
    assert not handle.control.cancelled  # the search does not depend on the epsilon at hand
    bench.pick(1)
    assert handle.control.cancelled
    assert not panel.line.isVisible()
    assert bench.page.panel.form.slider.interval is None


# Saving and copying ----------------------------------------------------------------------------------


def test_saving_writes_three_files(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.pick(0)
    bench.answer(1)
    wanted = tmp_path / "out" / "first try.json"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: (str(wanted), ""))
    bench.qtbot.mouseClick(bench.page.panel.save_button, Qt.MouseButton.LeftButton)
    bench.qtbot.waitUntil(lambda: bool(bench.notes))
    names = {"first try.json", "first try-adversarial.png", "first try-perturbation.png"}
    assert {path.name for path in wanted.parent.iterdir()} == names
    document = json.loads(wanted.read_text(encoding="utf-8"))
    assert document["model"]["kind"] == "zero_shot"
    assert document["model"]["true_label"] == 0
    assert bench.notes[0][0] == "success"
    bench.settle()


def test_a_save_that_fails_says_why(bench: Bench, tmp_path: Path) -> None:
    bench.pick(0)
    bench.answer(1)
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    bench.page.save_to(tmp_path / "file" / "probe.json")
    bench.qtbot.waitUntil(lambda: bench.page.banner.isVisible())
    assert bench.page.banner.level == "error"
    bench.qtbot.waitUntil(lambda: bench.page.panel.save_button.isEnabled())


def test_copying_the_adversarial_image(bench: Bench) -> None:
    bench.pick(0)
    bench.answer(1)
    bench.qtbot.mouseClick(bench.page.panel.copy_button, Qt.MouseButton.LeftButton)
    result = bench.page.stage.result
    assert result is not None
    assert np.array_equal(to_array(QGuiApplication.clipboard().image()), result.adversarial)


@pytest.mark.parametrize("view", ["stage", "compare", "gallery"])
def test_every_control_is_reached_by_keyboard_and_named(bench: Bench, view: str) -> None:
    bench.extra = list(live_and_adapter(bench))
    bench.workspace.models_changed.emit()
    bench.pick(0)
    bench.answer(1)
    bench.page.views.show_view(view)
    bench.page.activateWindow()
    known = {
        widget for widget in bench.page.findChildren(QWidget) if widget.isVisible() and takes_focus(widget)
    }
    assert len(known) > 12
    for widget in known:
        words = widget.accessibleName() or getattr(widget, "text", str)()
        assert words, widget.objectName()
    reached, widget = set(), bench.page.nextInFocusChain()
    while widget is not bench.page and widget not in reached:
        reached.add(widget)
        widget = widget.nextInFocusChain()
    assert known <= reached


def takes_focus(widget: QWidget) -> bool:
    """Whether Tab stops here; the text inside a spin box belongs to it."""
    inner = widget.focusProxy() is not None or widget.objectName().startswith("qt_")
    return bool(widget.focusPolicy() & Qt.FocusPolicy.TabFocus) and widget.isEnabled() and not inner


# A saved probe -----------------------------------------------------------------------------------------


def save_and_open(bench: Bench, folder: Path, **changes: Any) -> Path:
    """Save what is on screen, pick another image with other settings, and open the file."""
    bench.page.save_to(folder / "probe.json")
    bench.qtbot.waitUntil(lambda: bool(bench.notes))
    path = folder / "probe.json"
    if changes:
        document = json.loads(path.read_text(encoding="utf-8"))
        for key, value in changes.items():
            document[key] = {**document[key], **value}
        path.write_text(json.dumps(document), encoding="utf-8")
    count = bench.backend.count()
    bench.page.panel.form.set_epsilon(7 / 255)
    bench.answer(count + 1)
    bench.pick(3)
    bench.answer(count + 2)
    bench.page.strip.take_file(path)
    return path


def test_a_saved_probe_is_opened_and_repeated(bench: Bench, tmp_path: Path) -> None:
    bench.pick(0)
    bench.answer(1)
    first = bench.backend.last()[0]
    save_and_open(bench, tmp_path)
    job, handle = bench.asked(4)
    assert job.request == first.request
    assert bench.page.panel.form.epsilon() == pytest.approx(first.request.epsilon)
    assert (job.label, job.class_names, job.templates) == (0, NAMES, first.templates)
    assert job.image.shape == (8, 8, 3)  # the pixels inside the file, as the model saw them
    end(handle, "finished", fake_result(job.request, NAMES))
    assert bench.page.banner.level == "success"
    assert "Repeated exactly" in bench.page.banner.message
    assert "12" in bench.page.stage.facts.text()
    # Another epsilon is no repetition, and nothing is claimed.
    bench.page.panel.form.set_epsilon(3 / 255)
    bench.answer(5)
    assert not bench.page.banner.isVisible()


def test_a_saved_probe_is_repeated_with_its_own_number_of_threads(bench: Bench, tmp_path: Path) -> None:
    import torch

    bench.pick(0)
    bench.answer(1)
    wanted = torch.get_num_threads() + 1
    save_and_open(bench, tmp_path, provenance={"threads": str(wanted)})
    job, _ = bench.asked(4)
    assert isinstance(job, RepeatProbeJob)
    before = torch.get_num_threads()
    result = job.run(TinySession(8), Control())
    assert result.provenance["threads"] == str(wanted)
    assert torch.get_num_threads() == before
    bench.page.panel.form.set_epsilon(3 / 255)
    job, _ = bench.asked(5)
    assert not isinstance(job, RepeatProbeJob)


def test_a_saved_probe_dropped_on_the_empty_page_brings_all_it_needs(
    bench: Bench, qtbot: QtBot, io: IoPool, tmp_path: Path
) -> None:
    bench.pick(0)
    bench.answer(1)
    path = save_and_open(bench, tmp_path)
    bench.asked(4)
    other = Bench(qtbot, HandBackend(), io)
    drop(other.page, path)
    job, handle = other.asked(1)
    assert (job.class_names, job.label) == (NAMES, 0)
    end(handle, "finished", fake_result(job.request, NAMES))
    assert other.page.banner.level == "success"
    assert other.page.stage.isVisible()
    other.page.shut_down()


def test_the_empty_page_says_why_it_cannot_take_an_image_or_another_file(
    qtbot: QtBot, io: IoPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(qtbot, HandBackend(), io)
    QGuiApplication.clipboard().setImage(to_qimage(np.full((9, 9, 3), 7, np.uint8)))
    bench.page.strip.paste()
    qtbot.waitUntil(lambda: "open a folder first" in bench.page.pages.empty_banner.message)
    path = tmp_path / "other.json"
    path.write_text("{}", encoding="utf-8")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_args: (str(path), ""))
    qtbot.mouseClick(bench.page.pages.saved_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "is not a saved probe" in bench.page.pages.empty_banner.message)
    assert bench.backend.count() == 0
    bench.page.shut_down()


def test_a_probe_that_comes_out_different_says_what_differs(bench: Bench, tmp_path: Path) -> None:
    bench.pick(0)
    bench.answer(1)
    save_and_open(bench, tmp_path, adversarial={"sha256": "0" * 64}, provenance={"backbone_sha256": "a" * 64})
    bench.answer(4)
    assert bench.page.banner.level == "warning"
    assert "Not the same adversarial pixels" in bench.page.banner.message
    assert "The backbone's weights differ" in bench.page.banner.message


def test_a_probe_of_a_model_in_training_says_that_it_is_gone(bench: Bench, tmp_path: Path) -> None:
    bench.pick(0)
    bench.answer(1)
    save_and_open(bench, tmp_path, model={"kind": "live"})
    bench.asked(4)
    assert "weights of that step were not kept" in bench.page.banner.message


def test_a_file_that_is_no_probe_is_a_sentence(bench: Bench, tmp_path: Path) -> None:
    bench.pick(0)
    bench.answer(1)
    path = tmp_path / "other.json"
    path.write_text("{}", encoding="utf-8")
    bench.page.strip.take_file(path)
    bench.qtbot.waitUntil(lambda: bench.page.banner.isVisible())
    assert "is not a saved probe" in bench.page.banner.message
    assert bench.page.stage.result is not None


# Several models ----------------------------------------------------------------------------------------


def fake_compared(job: Any, *, flips: tuple[int, ...] = (0,)) -> tuple[Compared, ...]:
    """Made-up answers: the models at these places flip."""
    image = np.full((8, 8, 3), 100, np.uint8)
    return tuple(
        Compared(
            class_names=job.class_names,
            original=image,
            adversarial=image + place + 1,
            before=(0.9, 0.06, 0.04),
            after=(0.2, 0.7, 0.1) if place in flips else (0.8, 0.1, 0.1),
            own=job.mode == "each" or place == 0,
        )
        for place in range(len(job.refs))
    )


def compare(bench: Bench, *titles: str) -> None:
    """Add models, pick an image and show the comparison."""
    backbone = bench.workspace.settings.backbone
    bench.extra = [ModelRef("adapter", backbone, adapter=f"/runs/{title}", title=title) for title in titles]
    bench.workspace.models_changed.emit()
    bench.pick(0)
    bench.answer(1)
    button = bench.page.views.choice._buttons["compare"]
    bench.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_models_are_compared_in_one_job(bench: Bench) -> None:
    compare(bench, "AdvCLIP", "TRADES")
    panel = bench.page.views.compare
    bench.qtbot.waitUntil(lambda: bench.backend.count("CompareJob") == 1)
    assert [ref.title for ref in bench.backend.last("CompareJob")[0].refs] == ["Zero-shot", "AdvCLIP"]
    panel.others[1].setCurrentIndex(2)
    panel.others[1].activated.emit(2)
    bench.qtbot.waitUntil(lambda: bench.backend.count("CompareJob") == 2)
    job, handle = bench.backend.last("CompareJob")
    assert bench.backend.submitted[-2][1].control.cancelled
    assert [ref.title for ref in job.refs] == ["Zero-shot", "AdvCLIP", "TRADES"]
    assert len(bench.backend.active) == 1
    end(handle, "finished", fake_compared(job))
    texts = [(c.title.text(), c.sign.text(), c.sentence.text()) for c in panel.columns]
    assert texts == [
        ("Zero-shot", "Flipped", "cat → dog, 90 % → 70 %"),
        ("AdvCLIP", "Holds", "Still cat, 90 % → 80 %"),
        ("TRADES", "Holds", "Still cat, 90 % → 80 %"),
    ]
    assert all(column.isVisible() for column in panel.columns)
    assert "each attacked with its own gradient" in panel.facts.text()
    assert panel.columns[1].bars.values["cat"] == (0.9, 0.8)
    assert not bench.page.panel.save_button.isEnabled()


def test_two_runs_of_one_name_are_told_apart(bench: Bench) -> None:
    backbone = bench.workspace.settings.backbone
    bench.extra = [ModelRef("adapter", backbone, f"/runs/{name}", "Demo") for name in ("early", "late")]
    bench.workspace.models_changed.emit()
    bench.page.views.show_view("compare")
    panel = bench.page.views.compare
    assert [panel.others[0].itemText(row) for row in (1, 2)] == ["early", "late"]
    assert panel.columns[1].title.text() == "early"


def test_an_attack_is_transferred(bench: Bench) -> None:
    compare(bench, "AdvCLIP")
    panel = bench.page.views.compare
    bench.qtbot.mouseClick(panel.mode._buttons["transfer"], Qt.MouseButton.LeftButton)
    bench.qtbot.waitUntil(lambda: bench.backend.count("CompareJob") >= 1)
    job, handle = bench.backend.last("CompareJob")
    bench.qtbot.waitUntil(lambda: bench.backend.last("CompareJob")[0].mode == "transfer")
    job, handle = bench.backend.last("CompareJob")
    end(handle, "finished", fake_compared(job, flips=(0, 1)))
    assert panel.columns[0].view.detail.text() == "its own attack"
    assert panel.columns[1].view.detail.text() == "transferred"
    assert "the adversarial image made for Zero-shot, in 8 bits" in panel.facts.text()
    assert not panel.columns[2].isVisible()


def test_an_overtaken_comparison_is_cancelled_and_never_shown(bench: Bench) -> None:
    compare(bench, "AdvCLIP")
    panel = bench.page.views.compare
    bench.qtbot.waitUntil(lambda: bench.backend.count("CompareJob") == 1)
    first_job, first = bench.backend.last("CompareJob")
    for epsilon in (3.0, 4.0, 5.0):  # dragged
        bench.page.panel.form.slider.moved.emit(epsilon / 255)
    assert first.control.cancelled
    assert bench.backend.count("CompareJob") == 1
    end(first, "finished", fake_compared(first_job))  # too late
    assert panel.shown is None
    bench.qtbot.waitUntil(lambda: bench.backend.count("CompareJob") == 2)
    job, handle = bench.backend.last("CompareJob")
    assert job.request.epsilon == pytest.approx(5 / 255)
    end(handle, "finished", fake_compared(job))
    assert panel.shown is not None
    assert panel.shown.request == job.request
    assert "5/255" in panel.facts.text()
    # Going back to one model ends the comparison and asks for a probe of what the controls say.
    bench.page.panel.form.set_epsilon(6 / 255)
    bench.qtbot.waitUntil(lambda: bench.backend.count("CompareJob") == 3)
    bench.qtbot.mouseClick(bench.page.views.choice._buttons["stage"], Qt.MouseButton.LeftButton)
    assert bench.backend.last("CompareJob")[1].control.cancelled
    probe, _ = bench.asked(2)
    assert probe.request.epsilon == pytest.approx(6 / 255)


def test_a_model_that_goes_takes_its_answer_with_it(bench: Bench) -> None:
    compare(bench, "AdvCLIP")
    panel = bench.page.views.compare
    bench.qtbot.waitUntil(lambda: bench.backend.count("CompareJob") == 1)
    job, handle = bench.backend.last("CompareJob")
    end(handle, "finished", fake_compared(job))
    bench.extra = []
    bench.workspace.models_changed.emit()
    assert panel.shown is None
    assert panel.columns[1].sentence.text() == ""
    assert "Choose a second model" in panel.facts.text()


# Gallery -----------------------------------------------------------------------------------------------


def open_gallery(bench: Bench) -> tuple[Any, Any]:
    """Show one class in the gallery and begin."""
    bench.qtbot.mouseClick(bench.page.views.choice._buttons["gallery"], Qt.MouseButton.LeftButton)
    gallery = bench.page.views.gallery
    bench.page.strip.class_filter.setCurrentIndex(2)
    assert gallery.start_button.text() == "Find for 6 images"
    bench.qtbot.mouseClick(gallery.start_button, Qt.MouseButton.LeftButton)
    return cast("tuple[Any, Any]", bench.backend.last("GalleryJob"))


def test_the_gallery_fills_sorted_and_cancels_at_once(bench: Bench) -> None:
    job, handle = open_gallery(bench)
    gallery = bench.page.views.gallery
    assert len(job.paths) == 6
    assert set(job.labels) == {1}
    handle.deliver("started", None)
    for index, high in ((0, 3.0), (1, 1.0), (2, 0.0)):
        handle.deliver("event", GalleryItem(index=index, high=high / 255, found=True, after="cat"))
    handle.deliver("event", GalleryItem(index=3))
    handle.deliver("event", GalleryItem(index=4, problem="It is no image."))
    handle.drained.emit()
    shown = gallery.grid.entries.entries
    assert [entry.path for entry in shown] == [job.paths[k] for k in (2, 1, 0, 3)]
    assert [entry.caption for entry in shown] == ["0 · cat", "1 · cat", "3 · cat", "holds"]
    assert "5 of 6 images" in gallery.title.text()
    assert "1 not fooled" in gallery.title.text()
    bench.qtbot.mouseClick(gallery.cancel_button, Qt.MouseButton.LeftButton)
    assert handle.control.cancelled
    assert gallery.start_button.isVisible()
    handle.deliver("event", GalleryItem(index=5, high=2 / 255, found=True, after="cat"))
    assert len(gallery.grid.entries.entries) == 4  # kept, and nothing more comes in
    assert not gallery.note.isVisible()
    bench.page.panel.form.set_epsilon(5 / 255)  # only where the search begins
    assert not gallery.note.isVisible()
    choose_attack(bench.page.panel.form, "fgsm")
    assert gallery.note.isVisible()
    assert "PGD" in gallery.facts.text()


def test_clicking_an_image_of_the_gallery_opens_it(bench: Bench) -> None:
    job, handle = open_gallery(bench)
    handle.deliver("event", GalleryItem(index=4, high=1 / 255, found=True, after="cat"))
    grid = bench.page.views.gallery.grid
    bench.settle()
    place = grid.visualRect(grid.entries.index(0, 0)).center()
    QTest.mouseClick(grid.viewport(), Qt.MouseButton.LeftButton, pos=place)
    bench.qtbot.waitUntil(lambda: bench.backend.count() == 1)
    image = bench.page.asking.image
    assert image is not None
    assert (image.title, image.label) == (job.paths[4], 1)
    assert bench.page.views.shown == "stage"
    assert not handle.control.cancelled  # it goes on meanwhile


def test_other_data_end_the_gallery(bench: Bench, tmp_path: Path) -> None:
    _, handle = open_gallery(bench)
    bench.open(image_tree(tmp_path / "more", classes=("ant", "bee")))
    assert handle.control.cancelled
    assert bench.page.views.gallery.grid.entries.rowCount() == 0


# With the real engine on a tiny model ----------------------------------------------------------------


@pytest.fixture
def device(qapp: Any) -> Iterator[Backend]:
    made = Backend(TinySession)
    yield made
    assert made.shut_down()


@pytest.mark.slow  # imports torch and runs real attacks: seconds
def test_real_attacks_through_real_threads(qtbot: QtBot, io: IoPool, device: Backend, tmp_path: Path) -> None:
    bench = Bench(qtbot, device, io)
    bench.open(image_tree(tmp_path / "data"))
    device.start()
    view = bench.page.strip.view
    QTest.mouseClick(
        view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualRect(view.model().index(0, 0)).center()
    )
    stage = bench.page.stage
    qtbot.waitUntil(lambda: stage.result is not None, timeout=60_000)
    for epsilon in (0, 1, 16):
        bench.page.panel.form.set_epsilon(epsilon / 255)
    qtbot.waitUntil(lambda: not bench.page.controller.busy, timeout=20_000)
    assert stage.result is not None
    assert stage.result.epsilon == pytest.approx(16 / 255)
    assert stage.result.flipped
    assert cast("Question", stage.question).request == stage.result.request
    qtbot.mouseClick(bench.page.panel.smallest.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not bench.page.panel.smallest.searching, timeout=20_000)
    qtbot.waitUntil(lambda: not bench.page.controller.busy, timeout=20_000)
    assert stage.result.epsilon < 16 / 255
    assert stage.result.flipped
    bench.settle()
    bench.page.shut_down()


@pytest.mark.slow  # imports torch and runs real attacks: seconds
def test_comparison_and_gallery_through_real_threads(
    qtbot: QtBot, io: IoPool, device: Backend, tmp_path: Path
) -> None:
    bench = Bench(qtbot, device, io)
    backbone = bench.workspace.settings.backbone
    bench.extra = [ModelRef("adapter", backbone, adapter="/runs/a", title="AdvCLIP")]
    bench.open(image_tree(tmp_path / "data", images=2))
    device.start()
    views = bench.page.views
    bench.page.panel.form.set_epsilon(16 / 255)
    views.show_view("compare")
    bench.pick(0)
    for mode in ("each", "transfer"):
        if mode == "transfer":
            qtbot.mouseClick(views.compare.mode._buttons["transfer"], Qt.MouseButton.LeftButton)
        qtbot.waitUntil(
            lambda mode=mode: views.compare.shown is not None and views.compare.shown.mode == mode,
            timeout=60_000,
        )
        first, second = (to_array(column.view.image) for column in views.compare.columns[:2])
        assert np.array_equal(first, second) == (mode == "transfer")
        assert views.compare.columns[0].sign.text() == "Flipped"
    views.show_view("gallery")
    qtbot.mouseClick(views.gallery.start_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not views.gallery.searching, timeout=60_000)
    entries = views.gallery.grid.entries.entries
    assert len(entries) == 6
    assert [entry.epsilon for entry in entries] == sorted(entry.epsilon for entry in entries)
    bench.page.shut_down()
    bench.settle()


@pytest.mark.slow  # imports torch and runs real attacks: seconds
def test_a_gallery_lets_others_in_between_two_attack_steps_and_passes_over_bad_files(tmp_path: Path) -> None:
    root = image_tree(tmp_path / "data", images=1)
    bad_images.truncated_jpeg(root / "dog" / "00.jpg")
    served: list[int] = []
    events: list[Any] = []
    names = ("cat", "dog", "red_fox")
    job = GalleryJob(
        ref=ModelRef("zero_shot", BackboneSettings()),
        class_names=names,
        templates=("{}",),
        root=root,
        paths=tuple(f"{name}/00.jpg" for name in names),
        labels=(0, 1, 2),
        request=ProbeRequest(steps=2),
    )
    session = TinySession()
    control = Control(events.append, serve=lambda: served.append(len(events)))
    assert job.run(session, control) == 2
    attacks = len(session.borrowed)
    assert len(served) > 2 * attacks  # before each attack, and between its steps
    assert job.serves
    items = {event.index: bool(event.problem) for event in events if isinstance(event, GalleryItem)}
    assert items == {0: False, 1: True, 2: False}

    served.clear()
    job.ref = ModelRef("live", BackboneSettings())
    session.borrowed.clear()
    assert job.run(session, control) == 2
    assert len(served) == len(session.borrowed)  # never while the adapter is lent
