"""Line plots: figures, smoothing, hovering, zoom, colours and exports, through real keys and clicks."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QAction, QImage, QMouseEvent
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication, QFileDialog

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.plot_axes import FigureAxis, StepAxis, written
from advclip_gui.gui.widgets.plot_series import Smoother, end_of_axis
from advclip_gui.gui.widgets.plots import LinePlot

if TYPE_CHECKING:
    from pathlib import Path

    from PySide6.QtWidgets import QWidget
    from pytestqt.qtbot import QtBot

LEFT = Qt.MouseButton.LeftButton
STEPS = [0, 10, 20, 30]
CLEAN = [0.8, 0.79, 0.77, 1 / 3]
ROBUST = [0.2, 0.25, math.nan, 0.4]


@pytest.fixture
def plot(qtbot: QtBot, qapp: Any) -> LinePlot:
    theme.apply(qapp, "light")
    made = LinePlot("Accuracy · sound", form="percent", y_range=(0, 1), name="accuracyPlot")
    qtbot.addWidget(made)
    made.resize(600, 360)
    made.show()
    made.set_total(100)
    bounds = ([share - 0.05 for share in CLEAN], [share + 0.05 for share in CLEAN])
    made.set_series("clean", STEPS, CLEAN, "Clean", "marked", "clean", interval=bounds)
    made.set_series("robust", STEPS, ROBUST, "Robust", "marked", "robust")
    made.set_baseline("zero", 0.8, "Zero-shot, clean", "clean")
    return made


def rows(plot: LinePlot) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(plot.csv())))


def move_to(qtbot: QtBot, plot: LinePlot, x: float) -> None:
    place = plot.view.mapFromScene(plot.view.box.mapViewToScene(QPointF(x, 0.5)))
    qtbot.mouseMove(plot.view.viewport(), place)


# --- figures ------------------------------------------------------------------------------------


def test_csv_holds_every_digit_and_leaves_gaps_empty(plot: LinePlot) -> None:
    table = rows(plot)
    assert [row["step"] for row in table] == ["0", "10", "20", "30"]
    assert [float(row["Clean"]) for row in table] == CLEAN
    assert [float(row["Clean low"]) for row in table] == [share - 0.05 for share in CLEAN]
    assert [row["Robust"] for row in table] == ["0.2", "0.25", "", "0.4"]
    assert {row["Zero-shot, clean"] for row in table} == {"0.8"}


def test_smoothing_changes_the_drawing_and_not_the_figures(plot: LinePlot) -> None:
    before, values = plot.csv(), plot.values("clean")
    plot.set_smoothing(0.9)
    assert plot.csv() == before
    assert plot.values("clean") == values
    assert plot.smoothing == 0.9
    item = plot._items["clean"]
    assert item.smoothed
    assert item.shown[-1] != CLEAN[-1]
    plot.set_smoothing(0)
    assert item.shown.tolist() == CLEAN


def test_smoothing_that_goes_on_equals_smoothing_at_once() -> None:
    values = np.random.default_rng(0).normal(size=300)
    values[[0, 7, 90]] = math.nan
    expected, mean, mass = [], 0.0, 0.0
    for value in values:
        if math.isnan(value):
            expected.append(math.nan)
            continue
        mean, mass = 0.9 * mean + 0.1 * value, 0.9 * mass + 0.1
        expected.append(mean / mass)
    smoother = Smoother()
    for end in (1, 2, 50, 50, 299, 300):
        found = smoother.smooth(values[:end], 0.9)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_allclose(smoother.smooth(values[:20] + 1, 0.9)[-1], np.asarray(expected[19]) + 1)
    assert smoother.smooth(values, 0.0) is values


def test_a_constant_line_stays_itself_when_smoothed() -> None:
    np.testing.assert_allclose(Smoother().smooth(np.full(50, 3.0), 0.97), 3.0, rtol=1e-12)


def test_lines_are_replaced_and_taken_away(plot: LinePlot) -> None:
    plot.set_series("clean", [0, 5], [None, 0.5], "Clean", "marked", "clean")
    assert plot.keys == ("clean", "robust")
    assert [one.label for one in plot.legend.entries] == ["Clean", "Robust"]
    plot.remove("robust")
    plot.remove("zero")
    assert rows(plot) == [{"step": "0", "Clean": ""}, {"step": "5", "Clean": "0.5"}]
    plot.clear()
    assert plot.keys == ()
    assert plot.csv() == "step\n"


def test_lines_differ_without_colour(plot: LinePlot) -> None:
    marks = [one.mark for one in plot.legend.entries]
    assert len(set(marks)) == 2


@pytest.mark.parametrize(
    ("last", "total", "end"),
    [(0, None, 5), (30, 100, 40), (98, 100, 100), (100, 100, 100), (7, 6, 7), (120, None, 150), (2, 0, 5)],
)
def test_the_axis_ends_at_a_round_number_or_the_end_of_the_run(
    last: float, total: float | None, end: float
) -> None:
    assert end_of_axis(last, total) == end


def test_figures_are_written_in_their_form(qapp: Any) -> None:
    assert written(0.725, "percent") == "72.5 %"
    assert written(1.5 / 255, "epsilon") == "1.5/255"
    assert written(3e-4, "scientific") == "3.00e-04"
    assert written(1.23456, "plain") == "1.235"
    assert FigureAxis("percent").tickStrings([0, 0.5], 1, 0.5) == ["0 %", "50 %"]
    assert FigureAxis("epsilon").tickStrings([0, 2 / 255], 1, 1 / 255) == ["0", "2/255"]
    assert StepAxis().tickSpacing(0, 3, 400)[0][0] == 1  # no lines between two steps


# --- reading off --------------------------------------------------------------------------------


def test_the_legend_shows_the_latest_figures_then_those_under_the_pointer(
    qtbot: QtBot, plot: LinePlot
) -> None:
    assert plot.legend.text == "Clean 33.3 % (28.3 – 38.3), Robust 40.0 %"
    move_to(qtbot, plot, 11)
    qtbot.waitUntil(lambda: plot.place == 10)
    assert plot.legend.text == "Clean 79.0 % (74.0 – 84.0), Robust 25.0 %"
    assert plot.accessibleDescription().startswith("Step 10: Clean 79.0 %")
    plot.read_off(None)
    assert plot.legend.text.startswith("Clean 33.3 %")


def test_arrows_read_off_and_escape_ends_it(qtbot: QtBot, plot: LinePlot) -> None:
    plot.setFocus()
    qtbot.keyClick(plot, Qt.Key.Key_Left)
    assert plot.place == 30
    for _ in range(9):
        qtbot.keyClick(plot, Qt.Key.Key_Left)
    assert plot.place == 0
    qtbot.keyClick(plot, Qt.Key.Key_Right)
    assert plot.place == 10
    qtbot.keyClick(plot, Qt.Key.Key_Escape)
    assert plot.place is None


def test_an_empty_plot_can_be_read_off(qtbot: QtBot, qapp: Any) -> None:
    empty = LinePlot("Loss · sound", compact=True)
    qtbot.addWidget(empty)
    empty.show()
    qtbot.keyClick(empty, Qt.Key.Key_Left)
    empty.read_off(3.0)
    assert empty.place is None
    empty.set_series("loss", [], [], "Loss")
    empty.set_series("nothing", [1, 2], [None, None], "Nothing")
    assert empty.legend.text == "Loss, Nothing"


# --- zoom ---------------------------------------------------------------------------------------


def test_keys_zoom_and_the_button_goes_back(qtbot: QtBot, plot: LinePlot) -> None:
    everything = plot.view.box.viewRange()
    assert not plot.reset_button.isVisible()
    qtbot.keyClick(plot, Qt.Key.Key_Plus)
    assert plot.zoomed
    closer = plot.view.box.viewRange()
    assert closer[0][1] - closer[0][0] < everything[0][1] - everything[0][0]
    plot.set_series("clean", [*STEPS, 40], [*CLEAN, 0.5], "Clean", "marked", "clean")
    assert plot.view.box.viewRange() == closer  # new figures do not take the view away
    qtbot.mouseClick(plot.reset_button, LEFT)
    assert not plot.zoomed
    assert not plot.reset_button.isVisible()
    assert plot.view.box.viewRange()[0][1] > 40


def drag(port: QWidget, start: QPoint, end: QPoint) -> None:
    """Move with the button down; QTest's own moves do not say that it is."""
    kinds, none = QEvent.Type, Qt.MouseButton.NoButton
    middle = (start + end) / 2
    for kind, place, button, buttons in (
        (kinds.MouseMove, start, none, none),
        (kinds.MouseButtonPress, start, LEFT, LEFT),
        (kinds.MouseMove, middle, none, LEFT),
        (kinds.MouseMove, end, none, LEFT),
        (kinds.MouseButtonRelease, end, LEFT, none),
    ):
        at = QPointF(place)
        event = QMouseEvent(kind, at, port.mapToGlobal(at), button, buttons, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(port, event)


def test_a_dragged_rectangle_zooms_and_a_double_click_goes_back(
    qtbot: QtBot, plot: LinePlot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pg.CONFIG_OPTIONS, "mouseRateLimit", -1)  # moves in quick succession count too
    port = plot.view.viewport()
    drag(port, QPoint(200, 100), QPoint(400, 150))
    assert plot.zoomed
    left, right = plot.view.box.viewRange()[0]
    assert 0 < left < right < 40
    qtbot.mouseDClick(port, LEFT, pos=QPoint(300, 120))
    assert not plot.zoomed


def test_the_y_axis_follows_the_figures(qtbot: QtBot, qapp: Any) -> None:
    made = LinePlot("Loss · sound", from_zero=True)
    qtbot.addWidget(made)
    made.set_series("loss", [1, 2, 3], [2.0, math.nan, 4.0], "Loss")
    bottom, top = made.view.box.viewRange()[1]
    assert bottom < 0 < 4 < top < 5
    made.set_series("loss", [1, 2, 3], [0.0, 0.0, 0.0], "Loss")
    bottom, top = made.view.box.viewRange()[1]
    assert bottom < 0 < top


# --- look and export ----------------------------------------------------------------------------


def test_colours_follow_the_theme(qapp: Any, plot: LinePlot) -> None:
    item = plot._items["clean"]
    assert item._line.opts["pen"].color().name() == theme.LIGHT.series.clean
    theme.apply(qapp, "dark")
    assert item._line.opts["pen"].color().name() == theme.DARK.series.clean
    assert plot.view.backgroundBrush().color().name() == theme.DARK.surface
    theme.apply(qapp, "light")


def export(plot: LinePlot, suffix: str) -> None:
    action = plot.export_button.menu().findChild(QAction, f"accuracyPlot.{suffix}")
    assert action is not None
    action.trigger()


@pytest.mark.parametrize("suffix", ["png", "svg", "csv"])
def test_export_asks_where_and_writes(
    qtbot: QtBot, plot: LinePlot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    asked: list[str] = []
    path = tmp_path / "Größe 1" / f"plot.{suffix}"
    path.parent.mkdir()

    def answer(_parent: object, _title: str, proposal: str, _filter: str) -> tuple[str, str]:
        asked.append(proposal)
        return str(path.with_suffix("")), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", answer)
    with qtbot.waitSignal(plot.saved) as saved:
        export(plot, suffix)
    assert saved.args == [path]
    assert asked == [f"accuracy-sound.{suffix}"]
    if suffix == "csv":
        assert path.read_text() == plot.csv()
    elif suffix == "png":
        image = QImage(str(path))
        assert image.width() >= 3 * plot.width()
        colours = {
            image.pixelColor(x, y).name() for x in range(0, image.width(), 3) for y in range(0, 900, 3)
        }
        assert {theme.LIGHT.series.clean, theme.LIGHT.series.robust, theme.LIGHT.surface} <= colours
    else:
        assert QSvgRenderer(str(path)).isValid()
        text = path.read_text()
        assert "Accuracy · sound" in text
        assert "Zero-shot, clean 80.0 %" in text
        assert theme.LIGHT.series.robust in text


def test_export_given_up_writes_nothing(plot: LinePlot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: ("", ""))
    plot.saved.connect(lambda _path: pytest.fail("nothing should have been saved"))
    export(plot, "png")


@pytest.mark.parametrize("suffix", ["png", "svg", "csv"])
def test_export_that_cannot_be_written_is_a_sentence(
    qtbot: QtBot, plot: LinePlot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / f"plot.{suffix}"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: (str(path), ""))
    with qtbot.waitSignal(plot.failed) as failed:
        export(plot, suffix)
    assert "could not be written" in failed.args[0]


def test_a_name_without_a_known_ending_becomes_a_png(plot: LinePlot, tmp_path: Path) -> None:
    assert plot.save(tmp_path / "plot.v2") == tmp_path / "plot.v2.png"
    assert (tmp_path / "plot.v2.png").is_file()


def test_a_baseline_in_the_legend_keeps_its_name_off_the_lines(qtbot: QtBot, qapp: Any) -> None:
    theme.apply(qapp, "light")
    plot = LinePlot("Accuracy", form="percent", y_range=(0, 1))
    qtbot.addWidget(plot)
    plot.set_series("a", [0, 10], [0.2, 0.3], "Robust")
    plot.set_baseline("base", 0.2, "Zero-shot", "robust")
    assert "Zero-shot" not in plot.legend.text
    plot.set_baseline("base", 0.2, "Zero-shot", "robust", in_legend=True)
    assert plot.legend.text == "Robust 30.0 %, Zero-shot 20.0 %"
    assert plot._baselines["base"].text == ""
    assert plot.legend.entries[-1].style == "dashed"


def test_numbers_of_a_small_plot_do_not_touch(qapp: Any) -> None:
    axis = FigureAxis("percent")
    for height in (20.0, 40.0, 64.0, 300.0):
        spacing, _ = axis.tickSpacing(0.0, 1.0, height)[0]
        assert spacing * height >= 17 or spacing > 1
    qapp.processEvents()
