"""What the benchmarks share: medians of several runs, and one JSON object as the last line."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

QUICK_REPEATS, REPEATS = 3, 9


def repeats(quick: bool) -> int:
    """How often something is measured."""
    return QUICK_REPEATS if quick else REPEATS


def seconds(work: Callable[[], object], times: int, *, warm_up: int = 1) -> list[float]:
    """Time some work several times, after `warm_up` untimed calls."""
    for _ in range(warm_up):
        work()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return taken


def figure(values: Sequence[float], unit: str) -> dict[str, Any]:
    """Sum several measurements up."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "n": len(values),
        "unit": unit,
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def run(measure: Callable[[bool], dict[str, Any]]) -> None:
    """Run a benchmark as a script."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="few repetitions, small cases only")
    print(json.dumps(measure(parser.parse_args().quick)))
