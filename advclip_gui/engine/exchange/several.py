"""Export several adapters at once, each to a folder of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from advclip_gui.engine.control import Control
from advclip_gui.engine.errors import StorageError, UserError
from advclip_gui.engine.exchange.formats import INFO_FILE
from advclip_gui.engine.export import export_adapter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one of several exports.

    Attributes:
        source: what was exported.
        folder: where to.
        error: why it was not; None where it was.
    """

    source: Path
    folder: Path
    error: UserError | None = None


def export_several(
    sources: Sequence[Path],
    out: Path,
    *,
    format: str = "peft",
    control: Control | None = None,
    checkpoint: str = "",
    with_backbone: bool = False,
) -> tuple[Outcome, ...]:
    """Export each of several adapters to a folder of its own below `out`, named after its source.

    One that cannot be exported does not keep the others from it; the same call again replaces what this
    one has written.

    Args:
        sources: as `export_adapter` takes them; one that is named twice is exported once.
        out: made where it is not there.
        format: as for `export_adapter`; the same for all, like everything below.
        control: hears of the progress; a cancelled export leaves those before it.
        checkpoint: as for `export_adapter`.
        with_backbone: as for `export_adapter`.

    Raises:
        StorageError: `out` is a file, or an export itself.
        Cancelled: through `control`.
    """
    control = control or Control()
    if (out / INFO_FILE).is_file() or (out.exists() and not out.is_dir()):
        raise StorageError(f"{out} cannot hold several exports.", "Choose an empty folder or a new name.")
    named: dict[str, Path] = {}
    for source in dict.fromkeys(source.absolute() for source in sources):
        stem = source.name if source.name != "adapter" else source.parent.name
        number = 1
        while (name := stem if number == 1 else f"{stem}-{number}") in named:
            number += 1
        named[name] = source
    outcomes = []
    for index, (name, source) in enumerate(named.items()):
        part, error = control.part(index, len(named)), None
        try:
            export_adapter(
                source,
                out / name,
                format=format,
                control=part,
                checkpoint=checkpoint,
                with_backbone=with_backbone,
            )
        except UserError as failure:
            error = failure
        outcomes.append(Outcome(source, out / name, error))
    return tuple(outcomes)
