"""Find a run, or an adapter of the library, by what the user calls it: exactly, or by a unique beginning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from advclip_gui.engine import runs
from advclip_gui.engine.adapter_library import AdapterLibrary
from advclip_gui.engine.adapter_lines import adapter_line
from advclip_gui.engine.errors import CheckpointError
from advclip_gui.engine.run_list import list_runs, summarise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.run_list import RunSummary

_MOST_LISTED = 8


class NotFoundError(CheckpointError):
    """There is nothing of that name."""


@dataclass(frozen=True, slots=True)
class Saved:
    """Something with a name and a folder.

    Attributes:
        path: the run's folder, or the one with the adapter.
        name: what the user calls it.
        short: a name that nothing else has: the run's folder, or the adapter's key.
        problem: why it cannot be used at the moment, "" where it can.
    """

    path: Path
    name: str
    short: str
    problem: str = ""


def find_run(word: str, root: Path | None = None) -> Path:
    """Find a run by its folder, the folder's name below `root`, its own name, or how one of them begins.

    Raises:
        CheckpointError: there is none, or several are called so.
    """
    folder = _folder(word, root)
    if folder is not None:
        return folder
    found = _matching(word, _runs(root))
    if len(found) == 1:
        return found[0].path
    raise _not_one(word, found, "run", "Give a run's folder or name; 'advclip-gui runs list' shows them.")


def find_saved(word: str, root: Path | None = None, library: AdapterLibrary | None = None) -> Saved:
    """Find a run or an adapter of the library by name or folder, or by how one of them begins.

    What is called exactly so comes before what only begins so.

    Args:
        word: what the user typed.
        root: the folder of runs, None for the platform's.
        library: None for the platform's.

    Raises:
        CheckpointError: there is none, several are called so, or it cannot be used at the moment.
    """
    folder = _folder(word, root)
    if folder is not None:
        return Saved(folder, folder.name, folder.name)
    adapters = (library or AdapterLibrary()).adapters()
    known = [Saved(one.folder, one.name, one.key, one.problem) for one in adapters]
    listed = _runs(root)
    own = {one.path for one in listed}
    found = _matching(word, [*listed, *(one for one in known if one.path not in own)])
    if len(found) != 1:
        hint = "'advclip-gui runs list' and 'advclip-gui adapters list' show them."
        raise _not_one(word, found, "run or adapter", hint)
    if found[0].problem:
        raise CheckpointError(found[0].problem)
    return found[0]


def find_line(word: str, root: Path | None = None, library: AdapterLibrary | None = None) -> RunSummary:
    """As `find_saved`, with what the list says of it. Raises `CheckpointError`."""
    library = library or AdapterLibrary()
    found = find_saved(word, root, library)
    if runs.RunFolder(found.path).has_settings:
        return summarise(found.path)
    return adapter_line(library.get(found.short))


def _folder(word: str, root: Path | None) -> Path | None:
    root = runs.runs_root() if root is None else root
    for candidate in (root / word, Path(word).expanduser()):
        if word and runs.RunFolder(candidate).has_settings:
            return candidate
    return None


def _runs(root: Path | None) -> list[Saved]:
    return [Saved(line.path, line.name, line.path.name) for line in list_runs(root)]


def _matching(word: str, known: Sequence[Saved]) -> list[Saved]:
    """Those called so; where there is none, those whose name begins so, whatever the case."""
    exact = [one for one in known if word in (one.name, one.short)]
    if exact or not word.strip():
        return exact
    start = word.casefold()
    return [one for one in known if any(name.casefold().startswith(start) for name in (one.name, one.short))]


def _not_one(word: str, found: Sequence[Saved], what: str, hint: str) -> CheckpointError:
    if not found:
        return NotFoundError(f"There is no {what} '{word}'.", hint)
    names = [one.short if one.name == one.short else f"{one.short} ({one.name})" for one in found]
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    several = "runs and adapters" if " or " in what else f"{what}s"
    called = "are named" if all(one.name == word for one in found) else "begin with"
    listed = ", ".join(names[:_MOST_LISTED])
    return CheckpointError(f"{len(found)} {several} {called} '{word}'.", f"Give one of: {listed}{more}.")
