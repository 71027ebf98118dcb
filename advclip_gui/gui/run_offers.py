"""What can be done with the runs and adapters selected, and why something cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from advclip_gui.gui.run_text import CONTINUABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from advclip_gui.engine.run_list import RunSummary
    from advclip_gui.gui.run_record import RunRecord

MOST_PROBED = 3
"""Models that the Probe page compares."""
_NOTHING = "Select a run or an adapter first."
_ONE = "Select one alone."


def refusals(lines: Sequence[RunSummary], record: RunRecord | None, *, training: bool) -> Mapping[str, str]:
    """Say for every action why it cannot be done now; "" where it can.

    Args:
        lines: what is selected.
        record: of the single one, where its folder has been read.
        training: whether this window trains.
    """
    if not lines:
        return dict.fromkeys(
            ("probe", "evaluate", "go_on", "export", "rename", "note", "folder", "bin"), _NOTHING
        )
    single = "" if len(lines) == 1 else _ONE
    return {
        "probe": _no_model(lines, MOST_PROBED),
        "evaluate": _no_model(lines),
        "go_on": single or _cannot_go_on(lines[0], record, training),
        "export": _no_adapter(lines),
        "rename": single,
        "note": single,
        "folder": single,
        "bin": _must_stay(lines),
    }


def with_adapter(lines: Sequence[RunSummary]) -> list[RunSummary]:
    """Those that can be used as a model."""
    return [line for line in lines if line.has_adapter]


def _no_adapter(lines: Sequence[RunSummary]) -> str:
    if with_adapter(lines):
        return ""
    if len(lines) > 1:
        return "None of them has an adapter."
    line = lines[0]
    if line.problem:
        return line.problem
    return "It has no adapter yet." if line.state == "running" else "It left no adapter."


def _no_model(lines: Sequence[RunSummary], most: int = 0) -> str:
    usable = with_adapter(lines)
    if not usable:
        return _no_adapter(lines)
    if len({repr(line.backbone_settings) for line in usable}) > 1:
        return "They sit on different backbones; select adapters of one."
    if most and len(usable) > most:
        return f"The Probe page compares at most {most} models."
    return ""


def _cannot_go_on(line: RunSummary, record: RunRecord | None, training: bool) -> str:
    if line.is_adapter:
        return "An adapter without its run has no checkpoint to go on from."
    if line.part_of:
        return f"It is part of '{line.part_of}': continue the experiment instead."
    if line.state not in CONTINUABLE:
        return "It is in training." if line.state == "running" else "All its steps are done."
    if not (line.has_checkpoint if record is None else record.has_checkpoint):
        return "It left no checkpoint to continue from."
    return "It can be continued when the run in training has ended." if training else ""


def _must_stay(lines: Sequence[RunSummary]) -> str:
    if any(line.state != "running" and not line.part_of for line in lines):
        return ""
    if all(line.state == "running" for line in lines):
        return "What is in training stays; stop it first."
    return "Parts of an experiment stay with it."
