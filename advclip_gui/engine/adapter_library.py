"""The user's adapters, below the platform's data folder: folders opened in place, and imported ones.

Every adapter has a folder of its own in the library with ``entry.json`` in it; an imported one lies beside
that file, an opened one stays where it is and is only named there. Free of torch until something is imported.
"""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_data_path

from advclip_gui.engine.control import Control
from advclip_gui.engine.errors import CheckpointError, StorageError, UserError
from advclip_gui.engine.exchange.formats import CONFIG_FILE, INFO_FILE, WEIGHTS_FILE
from advclip_gui.engine.exchange.info import AdapterInfo, adapter_info
from advclip_gui.engine.files import storage_error, write_json_atomic
from advclip_gui.engine.model_ref import ModelRef
from advclip_gui.engine.runs import NOTE_LENGTH
from advclip_gui.engine.scratch_folder import ScratchFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.settings import BackboneSettings

ENTRY_FILE = "entry.json"
BIN = ".removed"
"""Where removed adapters lie until they are put back or deleted by hand."""
NAME_LENGTH = 200
_FILES = (INFO_FILE, WEIGHTS_FILE, CONFIG_FILE)
_LOOKED_AT = (
    *(*_FILES, "settings.toml", "split.json", "result.json"),
    *(os.path.join("adapter", name) for name in _FILES),
)
"""Files of an adapter's folder that tell what it is."""
_Stamp = tuple[tuple[int, int, int], ...]
_ID = re.compile(r"[\w-]{1,80}")


@dataclass(frozen=True, slots=True)
class LibraryAdapter:
    """One adapter of the library.

    Attributes:
        key: its folder's name in the library, which never changes.
        name: what the user calls it.
        folder: with the adapter's files, or the run folder they are in.
        in_place: whether it lies outside of the library and is only named in it.
        added: seconds since the epoch.
        info: backbone, classes, prompts and figures; None where it cannot be read.
        problem: why it cannot be used at the moment, "" where it can.
        note: what the user wrote about it.
        checkpoint: where the backbone's own checkpoint file lies here; "" where that is not needed.
    """

    key: str
    name: str
    folder: Path
    in_place: bool
    added: float
    info: AdapterInfo | None
    problem: str = ""
    note: str = ""
    checkpoint: str = ""

    @property
    def ref(self) -> ModelRef:
        """The classifier, for `Session.borrow`, with the classes and prompts of `info`.

        Raises:
            CheckpointError: it cannot be used at the moment.
        """
        if self.info is None or self.problem:
            raise CheckpointError(self.problem or f"The adapter '{self.name}' cannot be read.")
        return ModelRef(
            kind="adapter", backbone=self.info.backbone, adapter=str(self.folder), title=self.name
        )


def library_root() -> Path:
    """Where the library is unless it is told otherwise."""
    return user_data_path("advclip-gui", appauthor=False) / "adapters"


class AdapterLibrary:
    """Reads and writes the library; every change is whole or not at all. For any thread, one at a time."""

    def __init__(self, root: Path | None = None) -> None:
        """Name the folder of the library, None for the platform's; it need not exist yet."""
        self.root = library_root() if root is None else root
        self._known: dict[Path, tuple[_Stamp, LibraryAdapter]] = {}

    def adapters(self) -> tuple[LibraryAdapter, ...]:
        """Every adapter, the one added last first; one that is gone or damaged says so in `problem`."""
        return self._in(self.root)

    def removed(self) -> tuple[LibraryAdapter, ...]:
        """What was removed and can be put back."""
        return self._in(self.root / BIN)

    def get(self, word: str) -> LibraryAdapter:
        """Find an adapter by its key, its name, or how one of them begins.

        Raises:
            CheckpointError: there is none, or several are called so.
        """
        every = self.adapters()
        found = [one for one in every if one.key == word] or [one for one in every if one.name == word]
        start = word.casefold()
        if not found and start.strip():
            found = [
                one for one in every if one.name.casefold().startswith(start) or one.key.startswith(start)
            ]
        if len(found) != 1:
            what = "There is no adapter" if not found else f"There are {len(found)} adapters"
            names = ", ".join(one.key for one in found or every)
            raise CheckpointError(f"{what} '{word}' in the library.", f"Known: {names}." if names else "")
        return found[0]

    def open_folder(self, path: Path, name: str = "", *, checkpoint: str = "") -> LibraryAdapter:
        """Name a run folder or an exported folder in the library; it stays where it is.

        Opened twice, it is the same adapter; a new name or checkpoint then replaces the old one.

        Args:
            path: the folder.
            name: what to call it, "" as it calls itself.
            checkpoint: where the backbone's weights are, if they are a local file that the folder only names.

        Raises:
            CheckpointError: it holds no adapter of this program.
            StorageError: the library cannot be written.
        """
        path = path.expanduser().absolute()
        problem = why_unusable(path)
        if problem:
            hint = "Choose a run folder with an adapter, or a folder written by Export."
            raise CheckpointError(problem, hint)
        info = adapter_info(path)
        known = next((one for one in self.adapters() if one.in_place and one.folder == path), None)
        if known is not None:
            named, at = _clean(name) or known.name, checkpoint or known.checkpoint
            same = (named, at) == (known.name, known.checkpoint)
            return known if same else self._rewrite(replace(known, name=named, checkpoint=at))
        title = _clean(name) or info.name or path.name
        with self._new(title) as scratch:
            self._write(scratch.path, name=title, folder=str(path), checkpoint=checkpoint)
        return self._read(scratch.target)

    def import_file(
        self,
        path: Path,
        *,
        backbone: BackboneSettings,
        class_names: Sequence[str],
        templates: Sequence[str],
        name: str = "",
        control: Control | None = None,
    ) -> LibraryAdapter:
        """Copy a foreign peft folder, or a `.pt` of the CLIP-LoRA scripts, into the library.

        Raises:
            UserError: as `exchange.importing.import_adapter`.
            Cancelled: through `control`; nothing is left behind.
        """
        from advclip_gui.engine.exchange.importing import import_adapter

        path = path.expanduser().absolute()
        if not path.exists():
            raise CheckpointError(f"There is no file or folder {path}.")
        title = _clean(name) or path.stem
        with self._new(title) as scratch:
            import_adapter(
                path,
                scratch.path,
                backbone=backbone,
                class_names=class_names,
                templates=templates,
                name=title,
                control=control or Control(),
            )
            self._write(scratch.path, name=title, folder="")
        return self._read(scratch.target)

    def rename(self, key: str, name: str) -> LibraryAdapter:
        """Give an adapter another name; where it lies does not change.

        Raises:
            CheckpointError: there is no such adapter, or the name is empty.
            StorageError: it could not be written; the old name then stays.
        """
        one = self._read(self._place(key))
        title = _clean(name)
        if not title:
            raise CheckpointError("An adapter needs a name.")
        return self._rewrite(replace(one, name=title))

    def set_note(self, key: str, text: str) -> LibraryAdapter:
        """Keep what the user writes about an adapter; its own folder stays as it is.

        Raises:
            CheckpointError: there is no such adapter.
            StorageError: it could not be written; the old note then stays.
        """
        one = self._read(self._place(key))
        return self._rewrite(replace(one, note=text.strip()[:NOTE_LENGTH]))

    def remove(self, key: str) -> None:
        """Move an adapter to the library's bin; one opened in place stays untouched where it is.

        Raises:
            CheckpointError: there is no such adapter.
            StorageError: it could not be moved.
        """
        self._move(self._place(key), self.root / BIN / key)

    def put_back(self, key: str) -> LibraryAdapter:
        """Take an adapter out of the bin again.

        Raises:
            CheckpointError: it is not there.
            StorageError: it could not be moved, or its place is taken.
        """
        self._move(self._place(key, self.root / BIN), self.root / key)
        return self._read(self.root / key)

    def _rewrite(self, one: LibraryAdapter) -> LibraryAdapter:
        place = self._place(one.key)
        folder = str(one.folder) if one.in_place else ""
        entry = {"name": one.name, "folder": folder, "note": one.note, "checkpoint": one.checkpoint}
        self._write(place, added=one.added, **entry)
        return self._read(place)

    def _move(self, source: Path, target: Path) -> None:
        if target.exists():
            raise StorageError(f"{target} exists already.")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
        except OSError as error:
            raise storage_error(target, error) from error

    def _place(self, key: str, root: Path | None = None) -> Path:
        place = (self.root if root is None else root) / key
        if not _ID.fullmatch(key) or not (place / ENTRY_FILE).is_file():
            raise CheckpointError(f"There is no adapter '{key}' in the library.")
        return place

    def _in(self, root: Path) -> tuple[LibraryAdapter, ...]:
        try:
            places = [path for path in root.iterdir() if _ID.fullmatch(path.name) and path.is_dir()]
        except OSError:
            return ()
        found = [self._remembered(place) for place in places if (place / ENTRY_FILE).is_file()]
        return tuple(sorted(found, key=lambda one: (-one.added, one.key)))

    def _remembered(self, place: Path) -> LibraryAdapter:
        """As `_read`, which is done again only where a file it looks at has changed."""
        known = self._known.get(place)
        if known is None or known[0] != _stamp(place, known[1].folder):
            one = self._read(place)
            known = self._known[place] = (_stamp(place, one.folder), one)
        return known[1]

    def _read(self, place: Path) -> LibraryAdapter:
        try:
            entry = json.loads((place / ENTRY_FILE).read_text(encoding="utf-8"))
            folder = Path(str(entry["folder"])) if entry.get("folder") else place
            name, added = str(entry["name"]), float(entry["added"])
            note = str(entry.get("note", ""))[:NOTE_LENGTH]
            checkpoint = str(entry.get("checkpoint", ""))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            problem = f"The entry {place / ENTRY_FILE} is damaged."
            return LibraryAdapter(place.name, place.name, place, False, 0.0, None, problem)
        problem, info = why_unusable(folder), None
        if not problem:
            try:
                info = _with_checkpoint(adapter_info(folder), checkpoint)
            except UserError as error:
                problem = str(error)
        in_place = folder != place
        return LibraryAdapter(place.name, name, folder, in_place, added, info, problem, note, checkpoint)

    @staticmethod
    def _write(place: Path, **entry: str | float) -> None:
        write_json_atomic(place / ENTRY_FILE, {"added": time.time(), "note": "", "checkpoint": "", **entry})

    def _new(self, title: str) -> ScratchFolder:
        word = re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-").lower()[:40] or "adapter"
        return ScratchFolder(self.root / f"{word}-{uuid.uuid4().hex[:8]}")


def _stamp(place: Path, folder: Path) -> _Stamp:
    """Time of change, size and inode of every file an adapter is read from; zeros where one is not there."""
    stamps = []
    for path in (place / ENTRY_FILE, folder, *(folder / name for name in _LOOKED_AT)):
        try:
            found = os.stat(path)
        except OSError:
            stamps.append((0, 0, 0))
        else:
            stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
    return tuple(stamps)


def _with_checkpoint(info: AdapterInfo, checkpoint: str) -> AdapterInfo:
    if not checkpoint or info.backbone.name != "local":
        return info
    return replace(info, backbone=info.backbone.model_copy(update={"checkpoint": checkpoint}))


def _clean(name: str) -> str:
    return " ".join(name.split())[:NAME_LENGTH]


def why_unusable(folder: Path) -> str:
    """Why a folder cannot be used as an adapter, as far as its file names tell; "" where it can."""
    try:
        if not folder.is_dir():
            return f"The folder {folder} is not there at the moment."
        for place in (folder, folder / "adapter"):
            if (place / WEIGHTS_FILE).is_file() and (place / CONFIG_FILE).is_file():
                known = place / INFO_FILE, folder / INFO_FILE, folder / "settings.toml"
                if any(file.is_file() for file in known):
                    return ""
                return f"{folder} does not say which backbone and classes its adapter belongs to; import it."
    except OSError as error:
        return f"The folder {folder} cannot be read: {error.strerror or error}."
    return f"There is no adapter in {folder}."
