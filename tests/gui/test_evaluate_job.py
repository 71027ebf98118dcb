"""The evaluation the window asks for, on the bundled backbone: cancelled, it goes on where it was."""

from __future__ import annotations

import pytest

from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.evaluation_journal import journal_path
from advclip_gui.engine.events import Progress
from advclip_gui.engine.model_ref import ModelRef
from advclip_gui.engine.session import Session
from advclip_gui.gui.jobs import EvaluateJob
from advclip_gui.settings import BackboneSettings, DataSettings


def job() -> EvaluateJob:
    model = ModelRef(kind="zero_shot", backbone=BackboneSettings())
    return EvaluateJob(
        (model,), DataSettings(), (1 / 255, 2 / 255), limit=12, steps=2, batch_size=4, attack="pgd"
    )


def figures(results) -> dict:
    document = results[0].evaluation.to_json()
    del document["seconds"]
    for level in document["epsilons"]:
        del level["seconds"]
    return document


def test_a_cancelled_evaluation_goes_on_where_it_was() -> None:
    session = Session("cpu")
    folder = journal_path({}).parent
    expected = figures(job().run(session, Control()))
    assert not list(folder.glob("*.jsonl"))  # finished: nothing is left behind
    seen: list[Progress] = []

    def cancel_late(event: object) -> None:
        if isinstance(event, Progress) and event.task.startswith("Evaluat"):
            seen.append(event)
            if event.done > 0.6 * event.total:
                control.cancel()

    control = Control(cancel_late)
    with pytest.raises(Cancelled):
        job().run(session, control)
    (journal,) = folder.glob("*.jsonl")
    kept = len(journal.read_text().splitlines()) - 1
    assert kept >= 2
    assert figures(job().run(session, Control())) == expected
    assert not journal.exists()


def test_old_journals_go(monkeypatch) -> None:
    folder = journal_path({}).parent
    folder.mkdir(parents=True)
    for number in range(30):
        (folder / f"{number}.jsonl").write_text("{}\n")
    journal_path({})
    assert len(list(folder.glob("*.jsonl"))) == 20


def test_progress_of_two_models_is_that_of_both() -> None:
    model = ModelRef(kind="zero_shot", backbone=BackboneSettings())
    both = EvaluateJob(
        (model, model), DataSettings(), (1 / 255,), limit=12, steps=2, batch_size=4, attack="pgd"
    )
    events: list[object] = []
    both.run(Session("cpu"), Control(events.append))
    seen = [event for event in events if isinstance(event, Progress) and event.task == "Evaluating"]
    shares = [event.share for event in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert 0.5 in shares
    assert {event.total for event in seen} == {24}
