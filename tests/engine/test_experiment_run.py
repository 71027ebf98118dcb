"""Running experiments: nothing is done twice, what fails or is cut off is kept, probes are served."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from safetensors.torch import load_file

from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.errors import (
    CheckpointError,
    DataError,
    SettingsError,
    StorageError,
    TrainingError,
)
from advclip_gui.engine.events import Event, Log
from advclip_gui.engine.experiments.events import CellDone, CellLive, ExperimentProgress
from advclip_gui.engine.experiments.figures import read_figures
from advclip_gui.engine.experiments.folder import ExperimentFolder
from advclip_gui.engine.experiments.run import run_experiment
from advclip_gui.engine.experiments.watching import Evaluating, Watched
from advclip_gui.engine.model_ref import ModelRef
from advclip_gui.engine.runs import RunFolder
from advclip_gui.engine.session import Session
from tests.engine.experiment_workshop import NoSession, Workshop, make

if TYPE_CHECKING:
    from pathlib import Path

    from advclip_gui.settings import RunSettings


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    return Workshop(monkeypatch)


@pytest.fixture
def session() -> Any:
    return NoSession()


@pytest.fixture
def without_test_part(tmp_path: Path) -> Path:
    root = tmp_path / "all in one"
    for number, name in enumerate(("ant", "bee", "cat")):
        (root / name).mkdir(parents=True)
        for shade in range(8):
            Image.new("RGB", (20, 20), (20 * shade, 50 * number, 9)).save(root / name / f"{shade}.png")
    return root


def test_zero_shot_is_measured_once_and_every_cell_once(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path
) -> None:
    settings, events = make(small_run), []
    result = run_experiment(settings, session=session, control=Control(events.append), path=tmp_path / "e")
    assert result.state == ExperimentFolder(tmp_path / "e").state() == "finished"
    assert workshop.measured.count("zero-shot") == 1
    assert workshop.trained == [cell.key for cell in settings.cells]
    done = [event for event in events if isinstance(event, CellDone)]
    assert len(done) == 9
    last = [event for event in events if isinstance(event, ExperimentProgress)][-1]
    assert (last.done, last.total, last.share) == (9, 9, 1.0)
    again = run_experiment(settings, session=session, control=Control(), path=tmp_path / "e")
    assert again.state == "finished"
    assert len(workshop.measured) == 9


def test_without_zero_shot_there_is_none(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path
) -> None:
    settings = make(small_run, methods=["clip-lora"], shots=[1], seeds=[0])
    run_experiment(settings, session=session, control=Control(), path=tmp_path / "e")
    assert workshop.measured == ["clip-lora-1-shots-seed-0"]


def test_a_failed_cell_says_why_and_is_tried_again(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path
) -> None:
    settings = make(small_run)
    bad = settings.cells[2].key

    def fail(key: str) -> None:
        if key == bad:
            raise TrainingError("The loss is not a number.", "Lower the rate.")

    workshop.before = fail
    result = run_experiment(settings, session=session, control=Control(), path=tmp_path / "e")
    folder = ExperimentFolder(tmp_path / "e")
    assert result.state == folder.state() == "failed"
    assert "1 of 9" in result.message
    assert folder.record(bad)["message"] == "The loss is not a number. Lower the rate."
    figures = read_figures(folder)
    assert (figures.done, figures.total) == (8, 9)
    assert list(figures.failed.values()) == ["The loss is not a number. Lower the rate."]
    workshop.before = lambda key: None
    workshop.trained.clear()
    result = run_experiment(settings, session=session, control=Control(), path=tmp_path / "e")
    assert result.state == "finished"
    assert workshop.trained == []
    assert workshop.resumed == [bad]


@pytest.mark.parametrize("where", ["clip-lora-2-shots-seed-0", "measure clip-lora-2-shots-seed-0"])
def test_cancelling_keeps_what_is_done(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path, where: str
) -> None:
    settings, control = make(small_run), Control()

    def cancel(key: str) -> None:
        if key == where:
            raise Cancelled

    workshop.before = cancel
    with pytest.raises(Cancelled):
        run_experiment(settings, session=session, control=control, path=tmp_path / "e")
    folder = ExperimentFolder(tmp_path / "e")
    assert folder.state() == "cancelled"
    assert read_figures(folder).done == 3
    workshop.before = lambda key: None
    before = len(workshop.trained)
    run_experiment(settings, session=session, control=Control(), path=tmp_path / "e")
    # What was trained already is only measured; what was cut off is taken up.
    assert workshop.resumed == ([] if where.startswith("measure") else ["clip-lora-2-shots-seed-0"])
    assert len(workshop.trained) == len(settings.cells)
    assert before == 3
    assert folder.state() == "finished"


def test_a_stop_ends_it_without_counting_the_cell(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path
) -> None:
    settings, control = make(small_run), Control()
    workshop.before = lambda key: control.stop() if key.startswith("advclip-lora-1") else None
    result = run_experiment(settings, session=session, control=control, path=tmp_path / "e")
    assert result.state == "stopped"
    assert not ExperimentFolder(tmp_path / "e").is_done("advclip-lora-1-shots-seed-0")
    workshop.before = lambda key: None
    run_experiment(settings, session=session, control=Control(), path=tmp_path / "e")
    assert workshop.resumed == ["advclip-lora-1-shots-seed-0"]


def test_other_test_images_than_at_the_beginning_are_refused(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path, without_test_part: Path
) -> None:
    base = small_run.with_values({"data.folder": str(without_test_part), "data.val_shots": 1})
    settings = make(base, evaluation={"images": 0})
    workshop.before = lambda key: (_ for _ in ()).throw(Cancelled) if key.startswith("measure adv") else None
    with pytest.raises(Cancelled):
        run_experiment(settings, session=session, control=Control(), path=tmp_path / "e")
    Image.new("RGB", (20, 20)).save(without_test_part / "ant" / "new.png")
    with pytest.raises(DataError, match="not those the experiment was begun with"):
        run_experiment(settings, session=session, control=Control(), path=tmp_path / "e")


def test_a_full_disk_ends_it(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: ExperimentFolder, key: str, record: dict[str, Any]) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(ExperimentFolder, "write_record", full)
    with pytest.raises(StorageError):
        run_experiment(make(small_run), session=session, control=Control(), path=tmp_path / "e")
    assert ExperimentFolder(tmp_path / "e").state() == "failed"


def test_a_run_cut_off_at_any_step_ends_in_the_same_figures(small_run: RunSettings, tmp_path: Path) -> None:
    """A real one, twice: whole, and cancelled in the middle of its training and taken up again."""
    settings = make(small_run, shots=[2], seeds=[1], methods=["zero-shot", "advclip-lora"])
    whole = run_experiment(settings, session=Session("cpu"), control=Control(), path=tmp_path / "whole")
    assert whole.state == "finished"

    control = Control()

    def cut(event: Event) -> None:
        if isinstance(event, ExperimentProgress) and event.phase == "training" and event.step >= 1:
            control.cancel()

    control._report = cut
    with pytest.raises(Cancelled):
        run_experiment(settings, session=Session("cpu"), control=control, path=tmp_path / "cut")
    key = settings.cells[0].key
    halfway = ExperimentFolder(tmp_path / "cut")
    assert RunFolder(halfway.run_dir(key)).has_checkpoint
    assert not halfway.is_done(key)
    assert halfway.is_done("zero-shot")
    answered = _go_on_with_probes_and_pauses(settings, tmp_path / "cut")
    # Probed while it learns, and, late, while it is measured; gone with the experiment.
    assert {"training", "evaluating"} <= answered

    adapters = [
        load_file(tmp_path / name / "cells" / key / "adapter" / "adapter_model.safetensors")
        for name in ("whole", "cut")
    ]
    assert all((adapters[0][name] == adapters[1][name]).all() for name in adapters[0])
    tables = [read_figures(ExperimentFolder(tmp_path / name)).rows for name in ("whole", "cut")]
    assert tables[0] == tables[1]
    assert {row.n for row in tables[0]} == {6}
    assert all((tmp_path / "cut" / f"table{suffix}").is_file() for suffix in (".csv", ".md", ".tex"))
    assert not list((tmp_path / "cut" / "journals").glob("*"))


def _go_on_with_probes_and_pauses(settings: Any, path: Path) -> set[str]:
    """Do the rest of an experiment, held at every step, its live adapter asked for while it is."""
    import torch

    session, phase, answered = Session("cpu"), [""], set()
    live = ModelRef("live", settings.base.backbone)

    def hear(event: Event) -> None:
        if isinstance(event, ExperimentProgress):
            phase[0] = event.phase
            control.pause()

    def serve() -> None:
        if control.paused and phase[0]:
            with session.borrow(live, (), (), Control()) as classifier, torch.no_grad():
                assert len(classifier.class_names) == 3
                assert classifier(torch.full((1, 3, 32, 32), 0.5)).shape == (1, 3)
            answered.add(phase[0])
        control.resume()

    control = Control(hear, serve=serve)
    run_experiment(settings, session=session, control=control, path=path)
    with (
        pytest.raises(CheckpointError, match="Nothing is being trained"),
        session.borrow(live, (), (), Control()),
    ):
        pass
    return answered


def test_the_adapter_is_lent_while_a_cell_learns_and_not_after_the_last(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path
) -> None:
    settings, told = make(small_run, shots=[1], seeds=[0]), []
    run_experiment(settings, session=session, control=Control(told.append), path=tmp_path / "e")
    live = [event for event in told if isinstance(event, CellLive)]
    assert [(event.title, event.live) for event in live] == [
        (cell.title, state) for cell in settings.cells for state in (True, False)
    ]
    assert session.lent[-1] is None
    ends = [place for place, event in enumerate(told) if isinstance(event, CellLive) and not event.live]
    done = [place for place, event in enumerate(told) if isinstance(event, CellDone)]
    assert ends[0] < done[1] < ends[1] < done[2]


def test_data_that_cannot_give_the_shots_is_refused_and_nothing_is_written(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path
) -> None:
    settings = make(small_run, shots=[1, 9])
    with pytest.raises(DataError, match=r"'cat' \(8\).*the 9 shots.*Lower the shots to 8"):
        run_experiment(settings, session=session, control=Control(), path=tmp_path / "e")
    assert not (tmp_path / "e").exists()
    assert workshop.trained == []


def test_a_failed_cell_is_run_again_alone(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path
) -> None:
    settings, path = make(small_run, shots=[1], seeds=[0, 1]), tmp_path / "e"
    bad = [cell.key for cell in settings.cells[:2]]

    def fail(key: str) -> None:
        if key in bad:
            raise TrainingError("The loss is not a number.")

    workshop.before = fail
    run_experiment(settings, session=session, control=Control(), path=path)
    named = read_figures(ExperimentFolder(path)).failed_keys
    assert named == {cell.title: cell.key for cell in settings.cells[:2]}
    workshop.before = lambda key: None
    workshop.measured.clear()
    result = run_experiment(settings, session=session, control=Control(), path=path, only=[bad[0]])
    assert workshop.measured == [bad[0]]
    assert result.state == "failed"
    assert settings.cells[1].title in result.message
    assert run_experiment(settings, session=session, control=Control(), path=path, only=[bad[1]]).state == (
        "finished"
    )
    with pytest.raises(SettingsError, match="no cell 'x'"):
        run_experiment(settings, session=session, control=Control(), path=path, only=["x"])


def test_one_cell_of_many_leaves_the_rest_to_be_done(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path
) -> None:
    result = run_experiment(
        make(small_run), session=session, control=Control(), path=tmp_path / "e", only=["zero-shot"]
    )
    assert (result.state, workshop.measured) == ("stopped", ["zero-shot"])


def test_a_checkpoint_that_cannot_be_read_begins_the_cell_again(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path
) -> None:
    settings, told = make(small_run, shots=[1], seeds=[0], methods=["clip-lora"]), []
    key, path = settings.cells[0].key, tmp_path / "e"
    workshop.before = lambda key: (_ for _ in ()).throw(Cancelled)
    with pytest.raises(Cancelled):
        run_experiment(settings, session=session, control=Control(), path=path)
    failures = [CheckpointError("The checkpoint cannot be read.")]

    def fail_once(_key: str) -> None:
        if failures:
            raise failures.pop()

    workshop.before = fail_once
    result = run_experiment(settings, session=session, control=Control(told.append), path=path)
    assert result.state == "finished"
    assert workshop.resumed == [key]
    assert workshop.trained == [key, key]
    assert (path / "damaged" / key).is_dir()
    assert next(event.message for event in told if isinstance(event, Log)).startswith(
        "CLIP-LoRA, 1 shot, seed 0 begins again: The checkpoint cannot be read."
    )


@pytest.mark.parametrize("left", ["", "{", '{"state": "finished"}', '{"state": "finished", "figures": {}}'])
def test_a_record_that_the_power_cut_is_measured_again_and_nothing_else(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path, left: str
) -> None:
    settings, path = make(small_run, shots=[1]), tmp_path / "e"
    run_experiment(settings, session=session, control=Control(), path=path)
    folder, key = ExperimentFolder(path), settings.cells[1].key
    (path / "records" / f"{key}.json").write_text(left)
    (path / "state.json").write_text(left[:1])
    assert folder.state() == "interrupted"
    figures = read_figures(folder)
    assert (figures.done, figures.total) == (4, 5)
    workshop.trained.clear()
    workshop.measured.clear()
    assert run_experiment(settings, session=session, control=Control(), path=path).state == "finished"
    assert (workshop.trained, workshop.resumed, workshop.measured) == ([], [], [key])


def test_the_table_is_what_the_records_hold(
    small_run: RunSettings, workshop: Workshop, session: Any, tmp_path: Path
) -> None:
    import csv
    import statistics

    settings, path = make(small_run, shots=[1], seeds=[0, 1, 2]), tmp_path / "e"
    run_experiment(settings, session=session, control=Control(), path=path)
    with (path / "table.csv").open(encoding="utf-8") as stream:
        rows = {line["method"]: line for line in csv.DictReader(stream)}
    for method, title in (("clip-lora", "CLIP-LoRA"), ("advclip-lora", "AdvCLIP-LoRA")):
        records = [
            json.loads((path / "records" / f"{method}-1-shots-seed-{seed}.json").read_text())
            for seed in range(3)
        ]
        clean = [100 * record["figures"]["test"]["clean"] for record in records]
        assert rows[title]["seeds"] == "3"
        assert rows[title]["clean_mean"] == f"{statistics.mean(clean):.2f}"
        assert rows[title]["clean_deviation"] == f"{statistics.stdev(clean):.2f}"
    assert rows["Zero-shot CLIP"]["clean_deviation"] == ""


# --- views of the control ---------------------------------------------------------------------


def test_an_evaluation_serves_probes_with_autograd_as_usual() -> None:
    import torch

    seen = []
    outer = Control(serve=lambda: seen.append((torch.is_grad_enabled(), torch.is_inference_mode_enabled())))
    with torch.inference_mode():
        Evaluating(outer, lambda event: None).check()
    assert seen == [(True, False)]


def test_a_view_is_stopped_and_cancelled_with_what_it_looks_at() -> None:
    heard: list[Event] = []
    outer = Control()
    view = Watched(outer, heard.append)
    view.progress("Work", 1, 2)
    assert len(heard) == 1
    outer.pause()
    assert view.paused
    outer.stop()
    assert view.stop_requested
    outer.cancel()
    with pytest.raises(Cancelled):
        view.interruptible().check()
