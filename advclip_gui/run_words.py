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


def matches(run: RunSummary, words: str) -> bool:
    """Whether every word occurs somewhere in what the list says of a run."""
    text = searched(run)
    return all(word in text for word in words.casefold().split())


def searched(run: RunSummary) -> str:
    """Everything a search looks at, in lower case."""
    parts = (
        *(run.name, run.data, run.backbone, run.method, run.protocol, PROTOCOL_TITLES.get(run.protocol, "")),
        *(run.norm, norm_text(run.norm), plain_radius(run.epsilon, run.norm)),
        *(f"{run.shots} shots", STATE_TITLES[run.state], run.path.name, run.note),
    )
    return " ".join(parts).casefold()


def why_not_comparable(several: Sequence[RunSettings]) -> str:
    """Why the figures of several runs cannot be compared, "" where they can."""
    if len({settings.protocol for settings in several}) > 1:
        return PROTOCOL_SENTENCES["released"]
    if len({settings.monitor.norm for settings in several}) > 1:
        return "Their robust accuracies were measured in different norms and cannot be compared."
    if len({settings.monitor.epsilon for settings in several}) > 1:
        return "Their robust accuracies were measured at different epsilons and cannot be compared."
    return ""
