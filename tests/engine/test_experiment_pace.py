"""How long an experiment takes: the range before it begins, and the time left while it runs."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from advclip_gui.engine.control import Control
from advclip_gui.engine.events import Event, StepDone, TrainingStarted
from advclip_gui.engine.experiments import progress, run, watching
from advclip_gui.engine.experiments.earlier import earlier_runs
from advclip_gui.engine.experiments.estimate import Timed, estimate
from advclip_gui.engine.experiments.events import CellDone, ExperimentProgress
from advclip_gui.engine.experiments.pace import Pace
from advclip_gui.engine.experiments.presets import EXPERIMENTS
from advclip_gui.engine.experiments.run import run_experiment
from advclip_gui.engine.runs import RunFolder
from tests.engine.experiment_workshop import NoSession, Workshop, make

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from advclip_gui.settings import RunSettings

LOSSES = (
    "adversarial_loss",
    "clean_loss",
    "inner_gain",
    "delta_norm",
    "gradient_norm",
    "learning_rate",
    "flipped_share",
    "steps_per_second",
    "seconds_left",
)


class Clock:
    """Moves only when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        for module in (progress, watching):
            monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: self.now))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def take_time(
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
    *,
    step: Callable[[RunSettings], float],
    around: float = 0.0,
    measuring: Callable[[str], float] = lambda key: 0.0,
) -> None:
    """Training and measuring as the workshop's, each for a while."""
    workshop = Workshop(monkeypatch)

    def train(settings: RunSettings, *, control: Control, **others: Any) -> Any:
        clock.now += 0.7 * around
        facts: dict[str, Any] = {"run_dir": "", "trainable_parameters": 1, "device": "", "protocol": ""}
        total = settings.total_steps
        started = TrainingStarted(**facts, total_steps=total, first_step=0, class_names=(), epsilon=0.0)
        control.report(started)
        for number in range(3, total + 1, 3):
            clock.now += 3 * step(settings)
            control.report(StepDone(step=number, total_steps=total, **dict.fromkeys(LOSSES, 0.0)))
        clock.now += 0.3 * around
        return workshop.train(settings, control=control, **others)

    def measure(self: Any, key: str, ref: Any, control: Control) -> dict[str, Any]:
        seconds = measuring(key)
        for done in range(4):
            control.progress("Evaluating", done, 4)
            clock.now += seconds / 4
        return {**workshop.measure(key, ref, control), "evaluation_seconds": seconds}

    monkeypatch.setattr(run, "train", train)
    monkeypatch.setattr(run.Yardstick, "measure", measure)


def follow(settings: Any, clock: Clock, path: Path) -> list[tuple[float, Event]]:
    told: list[tuple[float, Event]] = []
    control = Control(lambda event: told.append((clock.now, event)))
    run_experiment(settings, session=NoSession(), control=control, path=path)
    return told


def test_after_the_first_cells_the_time_left_is_within_a_quarter(
    small_run: RunSettings, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    base = small_run.with_values({"training.steps": 60})
    settings = make(base, shots=[1, 2, 4, 8], seeds=[0, 1, 2])

    def measuring(key: str) -> float:
        """More shots withstand more, so that measuring takes longer."""
        if key == "zero-shot":
            return 6.0
        shots = int(key.split("-shots")[0].rsplit("-", 1)[1])
        return 14.0 + 0.8 * shots if key.startswith("adv") else 8.0

    def step(run_settings: RunSettings) -> float:
        # Not what the inner steps would make one think, and every third seed beside other work.
        other = 1.2 if run_settings.training.seed == 1 else 1.0
        return other * (0.55 if run_settings.adversary.inner_steps else 0.25)

    take_time(monkeypatch, clock, step=step, around=5.0, measuring=measuring)
    told = follow(settings, clock, tmp_path / "e")
    whole = clock.now
    ends = [(when, event) for when, event in told if isinstance(event, CellDone)]
    assert len(ends) == 25
    assert whole > 1000
    for when, event in ends[2:-1]:
        assert event.seconds_left == pytest.approx(whole - when, rel=0.25)
    assert ends[-1][1].seconds_left == 0
    every = [(when, event) for when, event in told if isinstance(event, ExperimentProgress)]
    late = [one for one in every if one[0] > ends[2][0] and whole - one[0] > 60]
    assert {event.phase for _, event in late} >= {"training", "evaluating"}
    for when, event in late:
        assert event.seconds_left == pytest.approx(whole - when, rel=0.25)
        assert event.share == pytest.approx(when / whole, abs=0.1)
    shares = [event.share for _, event in every]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_what_was_measured_counts_when_it_goes_on(
    small_run: RunSettings, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = make(small_run, shots=[1], seeds=[0, 1])
    take_time(monkeypatch, clock, step=lambda _: 1.0, around=4.0, measuring=lambda _: 10.0)
    run_experiment(
        settings,
        session=NoSession(),
        control=Control(),
        path=tmp_path / "e",
        only=["zero-shot", settings.cells[0].key, settings.cells[1].key],
    )
    began = clock.now
    told = follow(settings, clock, tmp_path / "e")
    first = next(event for _, event in told if isinstance(event, ExperimentProgress))
    # The first report comes when the third cell has loaded: 70 % of what surrounds its steps.
    assert first.seconds_left == pytest.approx(clock.now - began - 4.0, rel=0.01)


def test_a_time_is_told_only_once_something_was_measured(
    small_run: RunSettings, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    take_time(monkeypatch, clock, step=lambda _: 1.0, measuring=lambda _: 2.0)
    settings = make(small_run, shots=[1], methods=["clip-lora"])
    told = [event for _, event in follow(settings, clock, tmp_path / "e")]
    steps = [event for event in told if isinstance(event, ExperimentProgress) and event.phase == "training"]
    # Nothing has been measured while the first one trains: its steps alone would be too short a time.
    assert [event.seconds_left for event in steps] == [None, None, None, 8.0, 5.0, 2.0]
    assert steps[1].share == pytest.approx(3 / 12)


def test_a_pause_is_no_work(
    small_run: RunSettings, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    take_time(monkeypatch, clock, step=lambda _: 1.0, measuring=lambda _: 2.0)

    def serve() -> None:
        clock.now += 1000.0

    settings = make(small_run, shots=[1], seeds=[0], methods=["clip-lora"])
    run_experiment(settings, session=NoSession(), control=Control(serve=serve), path=tmp_path / "e")
    record = json.loads((tmp_path / "e" / "records" / f"{settings.cells[0].key}.json").read_text())
    assert record["seconds"] == pytest.approx(6.0)


def test_the_pace_of_one_method_tells_of_the_other(small_run: RunSettings) -> None:
    settings = make(small_run.with_values({"adversary.inner_steps": 2}))
    plain, adversarial = settings.cells[:2]
    pace = Pace()
    assert pace.seconds_left([(plain, 10)], []) is None
    pace.trained(plain, 10, 5.0)
    assert pace.seconds_left([(plain, 10)], []) == pytest.approx(5.0)
    assert pace.seconds_left([(adversarial, 10)], []) == pytest.approx(15.0)
    assert pace.seconds_left([(adversarial, 10)], ["clip-lora"]) is None
    pace.trained(adversarial, 10, 20.0)
    pace.evaluated("clip-lora", 3.0)
    pace.evaluated("zero-shot", 2.0)
    left = pace.seconds_left([(plain, 2), (adversarial, 5)], ["clip-lora", "advclip-lora"])
    assert left == pytest.approx(1.0 + 10.0 + 3.0 + 3.0)


def test_what_was_measured_last_counts_most(small_run: RunSettings) -> None:
    cell, pace = make(small_run).cells[0], Pace()
    pace.trained(cell, 10, 10.0)
    for _ in range(10):
        pace.begin()
    pace.trained(cell, 10, 30.0)
    assert pace.seconds_per_step(cell) == pytest.approx(3.0, abs=0.05)


# --- before it begins -------------------------------------------------------------------------


def describe(recipe: RunSettings) -> Any:
    """A second for sixteen images of a step without inner steps."""
    weight = 1 + recipe.adversary.inner_steps
    seconds = recipe.total_steps * weight * recipe.training.batch_size / 16
    return SimpleNamespace(estimated_seconds=seconds)


def test_the_range_holds_trainings_and_evaluations() -> None:
    settings = EXPERIMENTS["demo"]
    found = estimate(settings, describe, classes=10, images=100)
    assert (found.trainings, found.steps, found.timed) == (8, 8 * 20, False)
    assert found.shortest is not None
    assert found.longest is not None
    assert 1 < found.longest / found.shortest < 6
    fewer = estimate(settings.with_values({"evaluation.images": 10}), describe, classes=10, images=100)
    stronger = estimate(settings.with_values({"evaluation.attack": "standard"}), describe, classes=10)
    assert fewer.longest is not None
    assert stronger.longest is not None
    assert fewer.longest < 0.8 * found.longest
    assert stronger.longest > 10 * found.longest


def test_a_batch_is_never_more_than_the_images_there_are() -> None:
    asked = []

    def listen(recipe: RunSettings) -> Any:
        asked.append((recipe.data.shots, recipe.training.batch_size))
        return describe(recipe)

    estimate(EXPERIMENTS["demo"], listen, classes=3)
    assert {(1, 3), (4, 12)} <= set(asked)


def test_runs_that_were_timed_make_it_narrow(small_run: RunSettings) -> None:
    settings = make(small_run, evaluation={"images": 50, "attack": "quick"})
    guessed = estimate(settings, describe, classes=3)
    run_settings = settings.cells[1].settings
    told = describe(run_settings).estimated_seconds / run_settings.total_steps
    batch = run_settings.training.batch_size
    slow = Timed(run_settings, classes=batch, seconds_per_step=3 * told)
    timed = estimate(settings, describe, classes=3, earlier=(slow,))
    assert timed.timed
    for one in (guessed, timed):
        assert one.shortest is not None
        assert one.longest is not None
    assert timed.longest / timed.shortest < guessed.longest / guessed.shortest  # type: ignore[operator]
    middle = (timed.shortest * timed.longest) ** 0.5  # type: ignore[operator]
    assert middle == pytest.approx(3 * (guessed.shortest * guessed.longest) ** 0.5, rel=0.5)  # type: ignore[operator]


def test_a_device_that_was_not_measured_has_no_time() -> None:
    found = estimate(EXPERIMENTS["demo"], lambda recipe: SimpleNamespace(estimated_seconds=None))  # type: ignore[arg-type]
    assert (found.trainings, found.shortest, found.longest) == (8, None, None)


def test_runs_of_the_same_kind_are_found(small_run: RunSettings, tmp_path: Path) -> None:
    cell = tmp_path / "experiments" / "one" / "cells" / "a"
    other = small_run.under("released")
    places = {tmp_path / "run": small_run, cell: small_run, tmp_path / "released": other}
    for folder, settings in places.items():
        run_folder = RunFolder(folder)
        run_folder.start(settings, device="CPU", split={"class_folders": ["a", "b", "c"]})
        rates = [0.1, 2.0, 4.0, 2.5]
        lines = [json.dumps({"event": "step", "steps_per_second": rate}) for rate in rates]
        (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "run" / "environment.json").write_text('{"device": "GPU"}')
    (found,) = earlier_runs(small_run, "CPU", tmp_path)
    assert (found.settings, found.classes) == (small_run, 3)
    assert found.seconds_per_step == pytest.approx(1 / 2.5)
    assert earlier_runs(small_run, "TPU", tmp_path) == ()
