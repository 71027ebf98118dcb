"""Probability bars: stable rows, spoken text, animation that ends at the figures."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from PySide6.QtTest import QTest

from advclip_gui.gui import theme
from advclip_gui.gui.widgets.bar_painting import percent
from advclip_gui.gui.widgets.bar_rows import StableRows
from advclip_gui.gui.widgets.probability_bars import ProbabilityBars

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

NAMES = tuple(f"class {k}" for k in range(20))


def shares(**heavy: float) -> tuple[float, ...]:
    """Probabilities with some classes given (``c3=0.5``), the rest spread evenly."""
    given = {int(key[1:]): value for key, value in heavy.items()}
    rest = (1 - sum(given.values())) / (len(NAMES) - len(given))
    return tuple(given.get(k, rest) for k in range(len(NAMES)))


@pytest.fixture
def bars(qtbot: QtBot) -> ProbabilityBars:
    made = ProbabilityBars(6)
    qtbot.addWidget(made)
    made.resize(800, made.sizeHint().height())
    made.show()
    return made


def test_the_clean_prediction_is_first_and_the_largest_follow(bars: ProbabilityBars) -> None:
    bars.set_subject(NAMES, shares(c4=0.7, c9=0.1), shares(c2=0.6, c4=0.2))
    assert bars.rows[:3] == ("class 4", "class 2", "class 9")
    assert len(bars.rows) == 6


def test_rows_do_not_move_while_the_attack_grows(bars: ProbabilityBars) -> None:
    bars.set_subject(NAMES, shares(c4=0.9), shares(c4=0.9))
    orders = []
    for share in (0.8, 0.5, 0.3, 0.1, 0.5, 0.9):
        bars.set_after(shares(c4=share, c7=0.95 - share))
        orders.append(bars.rows)
    for before, after in itertools.pairwise(orders):
        # A row may change its class once for a newcomer; a class never changes its row.
        for name in set(before) & set(after):
            assert before.index(name) == after.index(name)
    assert "class 7" in orders[-1]
    assert orders[1] == orders[-1]


def test_what_the_attack_predicts_is_always_shown(bars: ProbabilityBars) -> None:
    bars.set_subject(NAMES, shares(c0=0.9))
    for k in range(1, 20):
        after = shares(**{f"c{k}": 0.8})
        bars.set_after(after)
        assert NAMES[k] in bars.rows
        assert bars.rows[0] == NAMES[0]


def test_true_label_and_target_stay(bars: ProbabilityBars) -> None:
    bars.set_subject(NAMES, shares(c0=0.9), label=13, target=17)
    for k in (3, 5, 6, 8, 9, 10):
        bars.set_after(shares(**{f"c{k}": 0.8}))
    assert {"class 0", "class 13", "class 17"} <= set(bars.rows)
    assert "true label" in bars.accessibleDescription()
    assert "target" in bars.accessibleDescription()


def test_few_classes_are_all_shown(bars: ProbabilityBars) -> None:
    bars.set_subject(("cat", "dog"), (0.9, 0.1), (0.2, 0.8))
    assert bars.rows == ("cat", "dog")
    assert bars.values == {"cat": (0.9, 0.2), "dog": (0.1, 0.8)}


def test_the_animation_ends_at_the_figures(qtbot: QtBot, bars: ProbabilityBars) -> None:
    bars.set_subject(NAMES, shares(c4=0.9), shares(c4=0.9))
    bars.set_after(shares(c4=0.1, c5=0.8))
    assert bars.values["class 5"][1] == 0.8  # what is told is the figure, not where the bar is on its way
    qtbot.waitUntil(lambda: bars._shown == bars._after)
    assert not bars.grab().isNull()


def test_a_hidden_widget_animates_nothing(bars: ProbabilityBars) -> None:
    bars.set_subject(NAMES, shares(c4=0.9), shares(c4=0.9))
    bars.set_after(shares(c4=0.1, c5=0.8))
    bars.hide()
    assert bars._shown == bars._after


def test_keeping_rows_for_another_state_of_the_model(bars: ProbabilityBars) -> None:
    bars.set_subject(NAMES, shares(c4=0.6, c5=0.3), shares(c5=0.9))
    order = bars.rows
    bars.set_subject(NAMES, shares(c4=0.3, c5=0.6), shares(c5=0.9), keep_rows=True)
    assert bars.rows == order
    assert bars.values["class 5"] == (0.6, 0.9)


def test_a_lower_window_shows_fewer_rows(qtbot: QtBot, bars: ProbabilityBars) -> None:
    bars.set_subject(NAMES, shares(c4=0.9), shares(c5=0.9))
    bars.setMinimumSize(0, 0)
    bars.resize(800, round(bars._row_height() * 5))
    QTest.qWait(0)
    assert bars.rows == ("class 4", "class 5", *bars.rows[2:])
    assert len(bars.rows) == 3


def test_one_class_too_many_for_the_others_row_is_shown_itself(bars: ProbabilityBars) -> None:
    names = NAMES[:7]
    even = (0.4, *[0.1] * 6)
    bars.set_subject(names, even, even)
    assert len(bars.rows) == 7
    assert bars.maximumHeight() == round(bars._row_height() * 9)


@pytest.mark.parametrize("width", [800, 277])
def test_a_sure_bar_is_long_enough_to_be_compared_in_a_narrow_place_too(
    bars: ProbabilityBars, width: int
) -> None:
    bars.setMinimumSize(0, 0)
    bars.resize(width, bars.height())
    bars.set_subject(("automobile", "dog"), (1.0, 0.0), (0.0, 1.0), label=0)
    image = bars.grab().toImage()
    look = theme.current()
    for role in ("clean", "adversarial"):
        colour = look.qcolor(role).rgb()
        ratio = bars.devicePixelRatioF()
        longest = max(
            sum(image.pixel(x, y) == colour for x in range(image.width())) for y in range(image.height())
        )
        assert longest >= 60 * ratio


def test_clearing_and_speaking(bars: ProbabilityBars) -> None:
    bars.set_subject(("cat", "dog"), (0.9, 0.1), (0.25, 0.75))
    assert "dog: 10.00 % before, 75.00 % after" in bars.accessibleDescription()
    bars.clear()
    assert bars.rows == ()
    assert bars.accessibleDescription() == "no probabilities yet"
    bars.set_after((0.5, 0.5))
    assert bars.values == {}


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0.0 %"), (0.0004, "<0.1 %"), (0.5, "50.0 %"), (0.99996, ">99.9 %"), (1.0, "100.0 %")],
)
def test_shares_are_written_without_false_certainty(share: float, text: str) -> None:
    assert percent(share) == text


def test_a_class_comes_back_into_its_own_row_only_by_growing() -> None:
    rows = StableRows(2)
    rows.reset([0.8, 0.1, 0.1])
    assert rows.rows == [0, 1]
    rows.update([0.1, 0.1, 0.8])
    assert rows.rows == [0, 2]
    rows.update([0.3, 0.4, 0.3])
    assert rows.rows == [0, 2]
