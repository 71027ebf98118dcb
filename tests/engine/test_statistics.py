"""Wilson intervals against the equation they solve."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from advclip_gui.engine.statistics import wilson


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (1, 3), (790, 1000), (0, 1), (50, 100)])
def test_wilson_against_scipy(hits, n):
    expected = binomtest(hits, n).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-12)
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n <= high <= 1


def test_no_images_tell_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("hits", "n"), [(2, 1), (-1, 5)])
def test_impossible_counts(hits, n):
    with pytest.raises(ValueError, match="impossible"):
        wilson(hits, n)
