"""What the Runs page reads of a run's folder beyond its line in the list."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from advclip_gui.engine.adapter_facts import adapter_facts
from advclip_gui.engine.errors import UserError
from advclip_gui.engine.exchange.info import adapter_info
from advclip_gui.engine.runs import RunFolder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.run_list import RunSummary
    from advclip_gui.settings import RunSettings


@dataclass(frozen=True)
class Curve:
    """Accuracy over training steps: steps, shares in [0, 1] and their 95 % intervals."""

    steps: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True)
class RunRecord:
    """A run, or an adapter without one, as its folder tells it.

    Attributes:
        path: the run's folder.
        settings: what it was told, None for an adapter that does not say.
        facts: of its adapter, by title; {} where it has none.
        metrics: events of `metrics.jsonl`, oldest first.
        result: final figures, None where it has none.
        message: the sentence kept with its state, e.g. why it failed.
        has_checkpoint: whether training can go on from it.
    """

    path: Path
    settings: RunSettings | None
    metrics: tuple[dict[str, Any], ...] = ()
    result: dict[str, Any] | None = None
    message: str = ""
    has_checkpoint: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)

    def curve(self, kind: str, model: str = "adapter") -> Curve:
        """The live evaluations of a model; `kind` is "clean" or "robust".

        Where a step was evaluated twice (after a resume) the later figure counts. An adapter's
        curve begins with zero-shot at step 0: untrained, it changes nothing.
        """
        found: dict[float, tuple[float, float, float]] = {}
        for event in self.metrics:
            if event.get("event") != "eval" or not _tells_of(event, model):
                continue
            share, interval = event.get(f"{kind}_accuracy"), event.get(f"{kind}_interval")
            if isinstance(share, int | float) and isinstance(interval, list) and len(interval) == 2:
                found[float(event.get("step", 0))] = (float(share), float(interval[0]), float(interval[1]))
        steps = sorted(found)
        columns = zip(*(found[step] for step in steps), strict=True) if steps else ((), (), ())
        shares, low, high = (tuple(column) for column in columns)
        return Curve(tuple(steps), shares, low, high)

    def baseline(self, kind: str) -> float | None:
        """Zero-shot accuracy on the same images as the curve, None where it was not measured."""
        shares = self.curve(kind, "zero-shot").shares
        return shares[-1] if shares else None


def _tells_of(event: dict[str, Any], model: str) -> bool:
    found = event.get("model")
    return found == model or (model == "adapter" and found == "zero-shot" and event.get("step") == 0)


def read_record(path: Path) -> RunRecord:
    """Read a run's folder.

    Raises:
        CheckpointError: it is no run folder (any more).
    """
    folder = RunFolder(path)
    return RunRecord(
        path=path,
        settings=folder.settings(),
        metrics=tuple(folder.metrics()),
        result=folder.result(),
        message=folder.state_message(),
        has_checkpoint=folder.has_checkpoint,
        facts=adapter_facts(path) if folder.has_adapter else {},
    )


def read_adapter_record(path: Path) -> RunRecord:
    """Read the folder of an adapter without a run.

    Raises:
        CheckpointError: it does not say what its adapter is.
    """
    info = adapter_info(path)
    return RunRecord(path=path, settings=info.settings, result=dict(info.figures), facts=adapter_facts(path))


def read_records(lines: Sequence[RunSummary], control: Control) -> dict[Path, RunRecord]:
    """Read several runs and adapters; those that have vanished meanwhile are left out."""
    records: dict[Path, RunRecord] = {}
    for line in lines:
        control.check()
        try:
            read = read_adapter_record if line.is_adapter else read_record
            records[line.path] = read(line.path)
        except UserError:
            continue
    return records
