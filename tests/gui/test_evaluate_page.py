"""The Evaluate page: form, progress, figures that are the same in window and files, warnings."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QGuiApplication, QMouseEvent
from PySide6.QtWidgets import QCheckBox, QFileDialog, QScrollArea

from advclip_gui.engine.attacks import catalog
from advclip_gui.engine.attacks.catalog import INFOS
from advclip_gui.engine.attacks.tiers import TIERS
from advclip_gui.engine.datasets.sampling import Sample
from advclip_gui.engine.evaluation_result import ClassResult, EpsilonResult, Evaluation, Finding
from advclip_gui.engine.events import Progress
from advclip_gui.engine.model_ref import ModelRef
from advclip_gui.engine.report import to_csv
from advclip_gui.engine.statistics import wilson
from advclip_gui.gui import theme
from advclip_gui.gui.bridge import Backend
from advclip_gui.gui.evaluation_progress import EvaluationProgress, duration
from advclip_gui.gui.evaluation_text import parse_epsilons
from advclip_gui.gui.io_thread import IoPool
from advclip_gui.gui.job_handle import ErrorInfo
from advclip_gui.gui.jobs import ModelEvaluation
from advclip_gui.gui.pages.evaluate import EvaluatePage
from advclip_gui.gui.widgets.confusion_view import ConfusionView, readable_on
from advclip_gui.gui.workspace import Workspace
from tests.gui.page_room import image_tree
from tests.gui.probe_fakes import HandBackend, TinySession, end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytestqt.qtbot import QtBot

NAMES = ("cat", "dog", "red fox")
N = 30


def made_up(model: str, hits: tuple[int, ...], *, warnings: tuple[str, ...] = ()) -> Evaluation:
    """An evaluation of 30 images with so many right: clean, then at 1/255, 2/255 ..."""

    def confusion(right: int) -> tuple[tuple[int, ...], ...]:
        per_class = [right // 3 + (k < right % 3) for k in range(3)]
        return tuple(
            tuple(
                per_class[i] if i == j else (10 - per_class[i] if j == (i + 1) % 3 else 0) for j in range(3)
            )
            for i in range(3)
        )

    levels = tuple(
        EpsilonResult(
            epsilon=(k + 1) / 255,
            robust_hits=right,
            robust_accuracy=right / N,
            interval=wilson(right, N),
            robust_hits_after_8bit=right + 1,
            robust_after_8bit=(right + 1) / N,
            interval_after_8bit=wilson(right + 1, N),
            waterfall={"FGSM": (right + 1) / N, "PGD-10": right / N},
            confusion=confusion(right),
            seconds=1.0,
        )
        for k, right in enumerate(hits[1:])
    )
    return Evaluation(
        model=model,
        attack="quick",
        label="FGSM + PGD-10, an upper bound",
        norm="Linf",
        n=N,
        class_names=NAMES,
        clean_hits=hits[0],
        clean_accuracy=hits[0] / N,
        clean_interval=wilson(hits[0], N),
        epsilons=levels,
        per_class=tuple(
            ClassResult(
                name=name,
                n=10,
                clean_hits=confusion(hits[0])[k][k],
                robust_hits=tuple(level.confusion[k][k] for level in levels),
            )
            for k, name in enumerate(NAMES)
        ),
        confusion_clean=confusion(hits[0]),
        clean_predictions=(0,) * N,
        smallest_epsilon=(None,) * N,
        flipped_to=(None,) * N,
        findings=tuple(Finding(kind="zero_gradients", sentence=sentence) for sentence in warnings),
        audit={"norm_within": True},
        provenance={"seed": 0, "device": "cpu", "images_sha256": "abc"},
        seconds=4.0,
    )


class Bench:
    """A page with images open, three models, and the device in the test's hand."""

    def __init__(self, qtbot: QtBot, backend: Any, io: IoPool) -> None:
        self.qtbot = qtbot
        self.backend = backend
        self.io = io
        self.workspace = Workspace(backend, io)
        backbone = self.workspace.settings.backbone
        self.refs = [
            ModelRef("zero_shot", backbone, title="Zero-shot"),
            ModelRef("live", backbone, title="In training (live)"),
            ModelRef("adapter", backbone, adapter="/runs/a", title="AdvCLIP-LoRA"),
        ]
        self.workspace.model_refs = lambda: list(self.refs)  # type: ignore[method-assign]
        self.notes: list[tuple[str, str]] = []
        self.visited: list[str] = []
        self.workspace.notify.connect(lambda level, message, _details: self.notes.append((level, message)))
        self.workspace.navigate.connect(self.visited.append)
        self.page = EvaluatePage(self.workspace, backend, io)
        qtbot.addWidget(self.page)
        self.page.resize(1196, 748)
        self.page.show()

    def open(self, folder: Path) -> None:
        with self.qtbot.waitSignal(self.workspace.scan_changed):
            self.workspace.open_folder(folder, then="")

    def click(self, widget: Any) -> None:
        place = QPoint(8, widget.height() // 2) if isinstance(widget, QCheckBox) else QPoint()
        self.qtbot.mouseClick(widget, Qt.MouseButton.LeftButton, pos=place)

    def run(self) -> tuple[Any, Any]:
        self.click(self.page.run_button)
        job, handle = self.backend.last("EvaluateJob")
        return job, handle

    def finish(
        self, *evaluations: Evaluation, root: Path | None = None, samples: tuple[Sample, ...] = ()
    ) -> None:
        _, handle = self.run()
        results = tuple(
            ModelEvaluation(ref, evaluation, root or Path(), samples)
            for ref, evaluation in zip(self.refs, evaluations, strict=False)
        )
        end(handle, "finished", results)


@pytest.fixture
def io(qapp: Any) -> Iterator[IoPool]:
    theme.apply(qapp, "light")
    made = IoPool()
    yield made
    made.shut_down()


@pytest.fixture
def bench(qtbot: QtBot, io: IoPool, tmp_path: Path) -> Bench:
    made = Bench(qtbot, HandBackend(), io)
    made.open(image_tree(tmp_path / "data"))
    return made


def test_without_data_the_page_says_what_to_do(qtbot: QtBot, io: IoPool) -> None:
    bench = Bench(qtbot, HandBackend(), io)
    assert bench.page.no_data.isVisible()
    assert not bench.page.run_button.isEnabled()
    bench.click(bench.page.empty_data)
    assert bench.visited == ["data"]


def test_the_form_becomes_the_job(bench: Bench) -> None:
    form = bench.page.form
    assert bench.page.no_result.isVisible()
    assert [ref.kind for ref in form.checked_refs()] == ["zero_shot", "adapter"]  # never the moving one
    bench.click(form.findChild(QCheckBox, "evaluateModel0"))
    form.epsilons.selectAll()
    bench.qtbot.keyClicks(form.epsilons, "4/255; 0.5/255, 4/255")
    form.limit.lineEdit().selectAll()
    bench.qtbot.keyClicks(form.limit.lineEdit(), "250")
    form.part.setCurrentIndex(form.part.findData("val"))
    form.steps.set_value(20)
    form.seed.set_value(3)
    job, _ = bench.run()
    assert job.refs == (bench.refs[2],)
    assert job.epsilons == (0.5 / 255, 4 / 255)
    assert (job.limit, job.split, job.steps, job.seed, job.attack) == (250, "val", 20, 3, "quick")
    assert job.data == bench.workspace.data
    assert job.scan is bench.workspace.scan
    assert form.tier_text.text() == "FGSM + PGD-20"


def test_each_norm_has_its_lengths(bench: Bench) -> None:
    form = bench.page.form
    form.epsilons.setText("3/255")
    form.norm.setCurrentIndex(1)
    assert form.epsilons.text() == "0.25, 0.5, 1"
    form.epsilons.setText("2, 3")
    choice = form.choice()
    assert choice is not None
    assert (choice.norm, choice.epsilons) == ("L2", (2.0, 3.0))
    form.norm.setCurrentIndex(0)
    assert form.epsilons.text() == "3/255"
    form.norm.setCurrentIndex(1)
    form.epsilons.setText("65")
    assert form.choice() is None
    assert "An L2 epsilon must lie between 0 and 64" in form.problem.text()
    form.epsilons.setText("0.5")
    bench.page.run()
    job, _ = bench.backend.last("EvaluateJob")
    assert (job.norm, job.epsilons) == ("L2", (0.5,))


@pytest.mark.parametrize(
    ("field", "text", "sentence"),
    [
        ("epsilons", "1/255, 300/255", "An epsilon must lie between 0 and 255/255; 300/255 does not."),
        ("epsilons", "-1/255", "An epsilon must lie between 0 and 255/255; -1/255 does not."),
        ("epsilons", "two", "'two' is not a length such as 4/255 or 0.0157."),
        ("epsilons", "1/0", "'1/0' is not a length such as 4/255 or 0.0157."),
        ("epsilons", " , ", "Give at least one epsilon, for example 1/255, 2/255, 4/255."),
        ("limit", "-5", "The number of images must lie between 0 (all) and 1,000,000."),
        ("steps", "0", "Steps must lie between 1 and 100,000."),
    ],
)
def test_wrong_values_are_told_where_they_stand(bench: Bench, field: str, text: str, sentence: str) -> None:
    form = bench.page.form
    widget = getattr(form, field)
    line = widget if field == "epsilons" else widget.lineEdit()
    line.setText(text)
    assert form.problem.text() == sentence
    assert form.problem.isVisible()
    assert widget.property("invalid") is True
    assert not bench.page.run_button.isEnabled()
    line.setText("1" if field != "epsilons" else "1/255")
    assert not form.problem.isVisible()
    assert bench.page.run_button.isEnabled()


def test_at_least_one_model(bench: Bench) -> None:
    for ref in bench.refs:
        bench.page.form.set_checked(ref, False)
    assert bench.page.form.problem.text() == "Check at least one model."
    assert not bench.page.run_button.isEnabled()


def test_models_have_room_when_they_appear_on_a_visible_page(
    qtbot: QtBot, io: IoPool, tmp_path: Path
) -> None:
    bench = Bench(qtbot, HandBackend(), io)
    refs, bench.refs[:] = list(bench.refs), []
    bench.workspace.models_changed.emit()
    bench.refs[:] = refs
    bench.workspace.models_changed.emit()
    boxes = [bench.page.findChild(QCheckBox, f"evaluateModel{index}") for index in range(2)]
    room = bench.page.findChild(QScrollArea, "evaluateModels").height()
    assert room >= sum(box.sizeHint().height() for box in boxes)
    assert all(box.isVisible() for box in boxes)


def test_a_changing_list_of_models_keeps_what_is_checked(bench: Bench) -> None:
    form = bench.page.form
    form.set_checked(bench.refs[0], False)
    new = ModelRef("adapter", bench.refs[0].backbone, adapter="/runs/b", title="CLIP-LoRA")
    bench.refs.insert(2, new)
    bench.workspace.models_changed.emit()
    assert form.checked_refs() == (new, bench.refs[3])


def test_progress_time_left_and_cancel(bench: Bench) -> None:
    _, handle = bench.run()
    page = bench.page
    assert page.cancel_button.isVisible()
    assert not page.run_button.isVisible()
    assert not page.form.isEnabled()
    assert page.status.text() == "Waiting for the device …"
    handle.deliver("started", None)
    handle.deliver("event", Progress(task="Evaluating", done=15, total=60, detail="PGD-10 at 1/255"))
    handle.drained.emit()
    assert page.bar.value() == 250  # half of the first of two models
    assert page.status.text() == "Zero-shot: PGD-10 at 1/255, 15 of 30 images"
    bench.click(page.cancel_button)
    assert handle.control.cancelled
    end(handle, "cancelled")
    assert page.banner.message.startswith("The evaluation was cancelled. Run with the same settings")
    assert page.run_button.isVisible()
    assert page.form.isEnabled()


def test_while_training_it_waits_and_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workspace, "is_training", True)
    bench.workspace.training_changed.emit()
    assert "begins when it has ended" in bench.page.form.note.text()
    bench.run()
    assert "Waiting until the run in training" in bench.page.status.text()


def test_results_are_shown_with_intervals(bench: Bench) -> None:
    bench.finish(made_up("Zero-shot", (24, 9, 3)), made_up("AdvCLIP-LoRA", (21, 15, 12)))
    results = bench.page.results
    assert results.isVisible()
    assert results.title.text() == "Robust accuracy · sound, L∞"
    assert results.subtitle.text().startswith("FGSM + PGD-10, an upper bound · 30 images, test part of data")
    table = results.figures
    assert table.text_at(0, 0) == "Zero-shot"
    assert table.text_at(0, 1) == "30"
    low, high = wilson(24, N)
    assert table.text_at(0, 2) == f"80.0 %\n{100 * low:.1f} – {100 * high:.1f}"
    assert table.text_at(1, 4).startswith("40.0 %\n")
    assert table.text_at(1, 5).startswith("43.3 %\n")  # after 8 bits
    spoken = results.curve.accessibleDescription()
    assert "AdvCLIP-LoRA, at 2/255: 40.0 %" in spoken
    assert not results.warnings.isVisible()


def test_classes_confusions_and_provenance_of_the_model_chosen(bench: Bench) -> None:
    first, second = made_up("Zero-shot", (24, 9, 3)), made_up("AdvCLIP-LoRA", (21, 15, 12))
    bench.finish(first, second)
    results = bench.page.results
    results.tabs.setCurrentIndex(1)
    assert results.model.isVisible()
    assert results.model.currentText() == "AdvCLIP-LoRA"
    assert [results.classes.text_at(0, column) for column in range(4)] == ["cat", "10", "70.0 %", "50.0 %"]
    results.model.setCurrentIndex(0)
    assert results.classes.text_at(0, 2) == "80.0 %"
    results.tabs.setCurrentIndex(2)
    assert results.clean_confusion.counts == first.confusion_clean
    assert results.attacked_confusion.counts == first.epsilons[1].confusion
    results.epsilon.setCurrentIndex(0)
    assert results.attacked_confusion.counts == first.epsilons[0].confusion
    assert "1/255" in results.attacked_confusion.accessibleName()
    results.tabs.setCurrentIndex(4)
    assert results.attacks.isVisible()
    assert [results.attacks.text_at(1, column) for column in range(4)] == [
        "2/255",
        "80.0 %",
        "13.3 %",
        "10.0 %",
    ]
    results.tabs.setCurrentIndex(5)
    assert "images_sha256: abc" in results.provenance.toPlainText()
    assert "protocol: sound\nnorm: Linf" in results.provenance.toPlainText()
    assert "accuracy left at 1/255: FGSM 33.3 %, PGD-10 30.0 %" in results.provenance.toPlainText()


def test_what_an_attack_says_of_itself_stands_with_its_figures(bench: Bench) -> None:
    note = "One change for all images, fitted to these images."
    bench.finish(
        replace(made_up("Zero-shot", (24, 9, 3)), notes=(note,)), made_up("AdvCLIP-LoRA", (21, 15, 12))
    )
    results = bench.page.results
    results.tabs.setCurrentIndex(4)
    assert not results.attack_notes.isVisible()
    results.model.setCurrentIndex(0)
    assert results.attack_notes.isVisible()
    assert results.attack_notes.text() == note


def test_warnings_stand_above_the_figures(bench: Bench) -> None:
    bench.finish(
        made_up("Zero-shot", (24, 9, 3), warnings=("The gradients are zero.",)),
        made_up("AdvCLIP-LoRA", (21, 15, 12), warnings=("It answers at random.",)),
    )
    banner = bench.page.results.warnings
    assert banner.isVisible()
    assert banner.level == "warning"
    assert banner.message == "Zero-shot: The gradients are zero. And 1 more."
    bench.click(banner.details_button)
    assert "AdvCLIP-LoRA: It answers at random." in banner.details_text.toPlainText()


def test_files_hold_the_figures_shown(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluations = (made_up("Zero-shot", (24, 9, 3)), made_up("AdvCLIP-LoRA", (21, 15, 12)))
    bench.finish(*evaluations)
    wanted = tmp_path / "report"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: (str(wanted), ""))
    results = bench.page.results
    for button in (results.html_button, results.json_button, results.csv_button):
        count = len(bench.notes)
        bench.click(button)
        bench.qtbot.waitUntil(lambda count=count: len(bench.notes) > count)
    document = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert tuple(Evaluation.from_json(one) for one in document["evaluations"]) == evaluations
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert all(one.model in page for one in evaluations)
    table = csv.DictReader((tmp_path / "report.csv").read_text(encoding="utf-8").splitlines())
    rows = [row for row in table if row["row"] == "accuracy"]
    assert len(rows) == 6
    shown = bench.page.results.figures
    for row in rows:
        line = ["Zero-shot", "AdvCLIP-LoRA"].index(row["model"])
        column = {"0/255": 2, "1/255": 3, "2/255": 4}[row["epsilon"]]
        low, high = float(row["interval_low"]), float(row["interval_high"])
        text = f"{100 * float(row['accuracy']):.1f} %\n{100 * low:.1f} – {100 * high:.1f}"
        assert shown.text_at(line, column) == text
        assert int(row["hits"]) / int(row["n"]) == pytest.approx(float(row["accuracy"]))


def test_a_report_that_cannot_be_written_is_a_sentence(bench: Bench, tmp_path: Path) -> None:
    bench.finish(made_up("Zero-shot", (24, 9, 3)))
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    bench.page.save_to(tmp_path / "file" / "report.json")
    bench.qtbot.waitUntil(lambda: bench.page.banner.isVisible())
    assert bench.page.banner.level == "error"
    assert bench.page.results.isVisible()


def test_images_are_listed_by_the_smallest_epsilon_that_fooled_them(bench: Bench) -> None:
    scan = bench.workspace.scan
    assert scan is not None
    samples = tuple(Sample(record.path, k % 3) for k, record in enumerate(scan.records[:5]))
    evaluation = replace(
        made_up("AdvCLIP-LoRA", (24, 9, 3)),
        smallest_epsilon=(2 / 255, None, 0.0, 1 / 255, 2 / 255),
        flipped_to=(1, None, 0, 1, 2),
    )
    other = replace(evaluation, model="Other", smallest_epsilon=(None,) * 5, flipped_to=(None,) * 5)
    bench.finish(other, evaluation, root=scan.root, samples=samples)
    results = bench.page.results
    results.tabs.setCurrentIndex(3)
    assert results.images.isVisible()
    entries = results.images.grid.entries.entries
    order = sorted((0, 4), key=lambda k: samples[k].path)
    assert [entry.path for entry in entries] == [samples[k].path for k in (2, 3, *order, 1)]
    captions = {entry.path: entry.caption for entry in entries}
    shown = [captions[sample.path] for sample in samples]
    assert shown == ["2 · dog", "holds", "0 · cat", "1 · dog", "2 · red fox"]
    assert "1 wrong without an attack, 3 fooled" in results.images.summary.text()
    assert "1 hold at 2/255" in results.images.summary.text()
    results.model.setCurrentIndex(0)
    assert {entry.caption for entry in results.images.grid.entries.entries} == {"holds"}
    # A click opens the image on the Probe page.
    asked: list[str] = []
    bench.workspace.image_requested.connect(asked.append)
    grid = results.images.grid
    bench.qtbot.waitUntil(lambda: not bench.io.jobs)
    place = grid.visualRect(grid.entries.index(1, 0)).center()
    bench.qtbot.mouseClick(grid.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert asked == [grid.entries.entries[1].path]
    assert bench.visited[-1] == "probe"


def test_tiers_are_chosen_by_name(bench: Bench) -> None:
    form = bench.page.form
    names = [form.tier.itemData(row) for row in range(form.tier.count())]
    assert names == [*TIERS, None, *(info.name for info in INFOS)]
    assert form.tier_text.text() == "FGSM + PGD-10"
    assert form.bound.isVisible()
    form.tier.setCurrentIndex(names.index("standard"))
    assert not form.bound.isVisible()  # with its whole budget
    job, handle = bench.run()
    assert (job.attack, job.steps) == ("standard", None)
    end(handle, "cancelled")
    form.tier.setCurrentIndex(names.index("thorough"))
    assert form.tier_text.text() == "APGD-CE-100 (3 restarts) + APGD-T-100 (3 restarts) + Square-5000"
    form.tier.setCurrentIndex(names.index("standard"))
    form.steps.lineEdit().setText("5")
    assert form.bound.isVisible()  # a reduced budget is none to trust
    assert "APGD-CE-5" in form.tier_text.text()
    form.tier.setCurrentIndex(names.index("square"))
    job, _ = bench.run()
    assert job.attack == "square"


def test_an_attack_that_is_not_defined_in_a_norm_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the catalogue holds, the form reads it from there."""
    form = bench.page.form
    only = replace(INFOS[0], norms=("L2",))
    monkeypatch.setattr(catalog, "INFOS", (only, *INFOS[1:]))
    form.tier.setCurrentIndex(form.tier.findData(only.name))
    assert form.problem.text() == f"{only.title} is not defined in L∞."
    assert not bench.page.run_button.isEnabled()
    form.norm.setCurrentIndex(1)
    assert not form.problem.isVisible()
    assert bench.page.run_button.isEnabled()


def test_a_failure_keeps_the_former_results(bench: Bench) -> None:
    bench.finish(made_up("Zero-shot", (24, 9, 3)))
    _, handle = bench.run()
    end(handle, "failed", ErrorInfo("There are no images in the val part of this data."))
    assert bench.page.banner.message == "There are no images in the val part of this data."
    assert bench.page.results.isVisible()
    assert bench.page.run_button.isEnabled()


def test_figures_copy_as_a_table(bench: Bench) -> None:
    bench.finish(made_up("Zero-shot", (24, 9, 3)))
    classes = bench.page.results.classes
    bench.page.results.tabs.setCurrentIndex(1)
    classes.selectAll()
    bench.qtbot.keyClick(classes, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0].split("\t")[:3] == ["cat", "10", "80.0 %"]
    assert len(lines) == 3


def test_hovering_a_point_of_the_curve_marks_it(bench: Bench) -> None:
    bench.finish(made_up("Zero-shot", (24, 9, 3)))
    curve = bench.page.results.curve
    place = curve._place(curve._frame(), 1 / 255, 9 / N)
    move = QMouseEvent(
        QEvent.Type.MouseMove,
        place + QPointF(3, 2),
        curve.mapToGlobal(place),
        Qt.MouseButton.NoButton,
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QGuiApplication.sendEvent(curve, move)
    assert curve._hover == (0, 1)
    assert curve._sentence(0, 1).startswith("Zero-shot, at 1/255: 30.0 % (")
    assert not curve.grab().isNull()


def test_confusions_of_many_classes_are_painted_without_labels(qtbot: QtBot) -> None:
    view = ConfusionView("Many", name="many")
    qtbot.addWidget(view)
    view.resize(300, 300)
    count = 200
    counts = [[int(i == j) * 5 + int(j == 0) for j in range(count)] for i in range(count)]
    view.set_matrix("Many", [f"class {k}" for k in range(count)], counts)
    view.show()
    assert not view.grab().isNull()
    assert view.accessibleDescription().startswith("1001 of 1200 on the diagonal")
    assert view.most_confused(1) == [(1, 0)]


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_counts_stand_out_from_their_cells(qapp: Any, mode: str) -> None:
    theme.apply(qapp, mode)
    look = theme.current()
    faint, strong = (readable_on(look.qcolor("adversarial", alpha), look) for alpha in (0.1, 0.9))
    assert faint == QColor(look.text)
    assert strong == QColor(look.accent_text)
    if mode == "light":  # half-strong orange on white still asks for dark figures
        assert readable_on(look.qcolor("adversarial", 0.585), look) == QColor(look.text)
    theme.apply(qapp, "light")


def test_progress_of_several_models_adds_up() -> None:
    progress = EvaluationProgress(["a", "b"])
    progress.take(Progress(task="Loading", done=1, total=4), 0.0)
    assert progress.text(0.0) == "Loading: 1 of 4"
    shares = []
    for second, done in enumerate((0, 50, 100, 101, 150, 200)):
        progress.take(Progress(task="Evaluating", done=done, total=200, detail="FGSM"), float(second))
        shares.append(progress.share)
    assert shares == [0, 0.25, 0.5, 0.505, 0.75, 1.0]
    assert progress.text(5.0) == "b: FGSM, 100 of 100 images. About 1 s left."
    assert [duration(s) for s in (0.2, 59, 61, 3600, 5000)] == [
        "1 s",
        "59 s",
        "1 min",
        "1 h 00 min",
        "1 h 23 min",
    ]


def test_epsilons_are_read_as_written() -> None:
    assert parse_epsilons("1/255,0.5/255 ; 0.1, 1/255") == (0.5 / 255, 1 / 255, 0.1)


def test_the_csv_quotes_what_needs_it() -> None:
    text = to_csv([made_up('A "strange", name', (24, 9))])
    assert next(csv.DictReader(text.splitlines()))["model"] == 'A "strange", name'
    assert {row["protocol"] for row in csv.DictReader(text.splitlines())} == {"sound"}


@pytest.fixture
def device(qapp: Any) -> Iterator[Backend]:
    made = Backend(TinySession)
    yield made
    assert made.shut_down()


@pytest.mark.slow  # imports torch and runs real attacks: seconds
def test_the_real_engine_through_real_threads(
    qtbot: QtBot, io: IoPool, device: Backend, tmp_path: Path
) -> None:
    bench = Bench(qtbot, device, io)
    bench.open(image_tree(tmp_path / "data"))
    data = bench.workspace.data.model_copy(update={"shots": 1, "val_shots": 1})
    bench.workspace.set_data(data)
    device.start()
    bench.click(bench.page.run_button)
    qtbot.waitUntil(lambda: bench.page._handle is None, timeout=60_000)
    assert bench.page.banner.message == ""
    evaluations = bench.page.results.evaluations
    assert [evaluation.model for evaluation in evaluations] == ["Zero-shot", "AdvCLIP-LoRA"]
    assert evaluations[0].n == 12
    assert bench.page.results.figures.rowCount() == 2
    qtbot.waitUntil(lambda: not io.jobs)
    bench.page.shut_down()
