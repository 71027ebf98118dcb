"""What is said of runs in the window and on the command line alike: states, search, comparability."""

from __future__ import annotations

from typing import TYPE_CHECKING

from advclip_gui.wording import PROTOCOL_SENTENCES, PROTOCOL_TITLES, norm_text, plain_radius

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from advclip_gui.engine.run_list import RunSummary
    from advclip_gui.settings import RunSettings

STATE_TITLES: Mapping[str, str] = {
    "running": "Running",
    "finished": "Finished",
    "stopped": "Stopped",
    "cancelled": "Cancelled",
    "failed": "Failed",
    "interrupted": "Interrupted",
}

LINE_TITLES: Mapping[str, str] = {**STATE_TITLES, "adapter": "Adapter", "missing": "Adapter, not usable"}
"""As `STATE_TITLES`, with those of adapters without a run."""


def matches(run: RunSummary, words: str) -> bool:
    """Whether every word occurs somewhere in what the list says of a run."""
    text = searched(run)
    return all(word in text for word in words.casefold().split())


def searched(run: RunSummary) -> str:
    """Everything a search looks at, in lower case."""
    parts: tuple[str, ...] = (
        *(run.name, run.data, run.backbone, run.method, run.protocol, PROTOCOL_TITLES.get(run.protocol, "")),
        *(LINE_TITLES[run.state], run.path.name, run.note, run.part_of, run.key),
    )
    if run.epsilon is not None:
        parts += run.norm, norm_text(run.norm), plain_radius(run.epsilon, run.norm)
    if run.shots is not None:
        parts += (f"{run.shots} shots",)
    return " ".join(parts).casefold()


def why_not_comparable(several: Sequence[RunSettings]) -> str:
    """Why the figures of several runs cannot be compared, "" where they can."""
    measured = [(one.protocol, one.monitor.norm, one.monitor.epsilon) for one in several]
    return _not_comparable(measured)


def why_figures_differ(lines: Sequence[RunSummary]) -> str:
    """The same of runs and adapters as they are listed; those without a robust accuracy do not count."""
    known = [one for one in lines if one.robust is not None and one.epsilon is not None]
    return _not_comparable([(one.protocol, one.norm, one.epsilon or 0.0) for one in known])


def _not_comparable(measured: Sequence[tuple[str, str, float]]) -> str:
    protocols, norms, epsilons = (
        (set(values) for values in zip(*measured, strict=True)) if measured else [()] * 3
    )
    if len(protocols) > 1:
        return PROTOCOL_SENTENCES["released"]
    if len(norms) > 1:
        return "Their robust accuracies were measured in different norms and cannot be compared."
    if len(epsilons) > 1:
        return "Their robust accuracies were measured at different epsilons and cannot be compared."
    return ""
