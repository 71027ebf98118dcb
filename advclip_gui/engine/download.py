"""Fetch a backbone from a hub into its cache, when the user asks for it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import is_zipfile

from advclip_gui.engine.catalog import (
    availability,
    cached_weights,
    entry,
    lacking_tokenizer,
    source_of,
    weight_names,
)
from advclip_gui.engine.clip_source import (
    CONFIG_FILES,
    PREPROCESSOR,
    PROCESSOR,
    TOKENIZER_FILES,
    cached_files,
    check_configuration,
    hub_switched_off,
)
from advclip_gui.engine.errors import BackboneError, StorageError
from advclip_gui.engine.files import storage_error, write_text_atomic
from advclip_gui.engine.hub_errors import NotAHub, Place, Refused, WrongContent, megabytes
from advclip_gui.engine.published import HUB_PREFIX
from advclip_gui.engine.transfer_meter import Meter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.hub_transfer import RemoteFile
    from advclip_gui.settings import BackboneSettings

_HASH_BLOCK = 1 << 22
_SPARE_BYTES = 50_000_000
"""Left free on the disk beside the download."""


def fetch_weights(
    settings: BackboneSettings, *, control: Control, endpoint: str | None = None, offline: str = ""
) -> Path:
    """Download what a hub backbone lacks; afterwards `catalog.availability` finds it.

    That is the weights, the configuration of a repository that is named itself, and a tokenizer of its
    own. Returns at once where all is here already. What an interrupted call received is kept and the
    next one goes on from there. HF_ENDPOINT, HF_HOME, HF_TOKEN, HF_HUB_OFFLINE and the proxy
    variables mean what they mean to the hub's own tools. Works on any thread that runs no event loop.

    Args:
        settings: which backbone.
        control: receives `Progress` in bytes, ten times a second; cancelling it ends the call within
            a tenth of a second.
        endpoint: address of the hub, instead of HF_ENDPOINT.
        offline: by which of `hub_errors.SWITCHES` the user switched downloads off, "" where they did
            not; what is not here is refused.

    Returns:
        The weights' path in the cache.

    Raises:
        BackboneError: one sentence on what went wrong, and what to do; a later call may succeed.
        CheckpointError: the repository holds no CLIP; told before its weights are fetched.
        StorageError: no room, or no permission to write the cache.
        Cancelled: through `control`.
    """
    chosen = entry(settings)
    state = availability(settings)
    if state.here and state.path is not None:
        return Path(state.path)
    if not chosen.hub_id or chosen.refused:
        raise BackboneError(state.sentence)
    from huggingface_hub import constants

    from advclip_gui.engine.hub_transfer import token

    place = Place(chosen, (endpoint or constants.ENDPOINT).rstrip("/"), has_token=token() is not None)
    switch = "HF_HUB_OFFLINE" if hub_switched_off() else offline
    if switch:
        raise place.offline(switch)
    control.progress(f"Downloading {chosen.title}", 0, 0, f"asking {place.host}")
    _fetch_all(settings, place, Path(constants.HF_HUB_CACHE), control)
    state = availability(settings)
    if not state.here or state.path is None:
        # Here by now is everything the hub has; what is said is what is wrong with it.
        if source_of(settings) is not None:
            raise BackboneError(state.sentence)
        raise StorageError(f"The download was not found again in {constants.HF_HUB_CACHE}.", "Try again.")
    return Path(state.path)


def _fetch_all(settings: BackboneSettings, place: Place, cache: Path, control: Control) -> None:
    """Fetch what is lacking, small files that could end it all before the large one."""
    chosen = place.chosen
    download = _Download(place, cache, control)
    if chosen.name.startswith(HUB_PREFIX) and not cached_files(chosen.hub_id, CONFIG_FILES):
        if download.fetch(CONFIG_FILES) is None:
            raise place.lacks(" or ".join(CONFIG_FILES))
        download.fetch((PREPROCESSOR, PROCESSOR))
    if chosen.name.startswith(HUB_PREFIX):
        check_configuration(chosen.hub_id)
    names = weight_names(chosen)
    if cached_weights(chosen.hub_id, names) is None and download.fetch(names) is None:
        raise place.lacks("weights under a name that is known")
    source = source_of(settings)
    tokenizer = "" if source is None else lacking_tokenizer(chosen, source)
    if tokenizer:
        words = replace(place, chosen=replace(chosen, hub_id=tokenizer, title=f"the tokenizer {tokenizer}"))
        download = _Download(words, cache, control)
        if not any([download.fetch((name,)) for name in TOKENIZER_FILES]):
            raise words.lacks("tokenizer")


class _Download:
    """Files on their way into the cache's layout: blobs/ETAG, snapshots/COMMIT/NAME, refs/main."""

    def __init__(self, place: Place, cache: Path, control: Control) -> None:
        self._place = place
        self._control = control
        folder = "models--" + place.chosen.hub_id.replace("/", "--")
        self._store = cache / folder
        self._locks = cache / ".locks" / folder
        self._received = 0
        self._total = 0

    def fetch(self, names: tuple[str, ...]) -> str | None:
        """Fetch the first of several names that the repository has; returns it, None where it has none."""
        from advclip_gui.engine.hub_transfer import look_up, receive, run_cancellable

        place, control = self._place, self._control
        self._received = self._total = 0
        with self._sentences():
            remote = run_cancellable(look_up(place.chosen.hub_id, names, place.endpoint), control)
        if remote is None:
            return None
        blob = self._store / "blobs" / remote.etag
        part = blob.with_name(f"{blob.name}.incomplete")
        try:
            blob.parent.mkdir(parents=True, exist_ok=True)
            self._locks.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(blob, error) from error
        with self._alone(remote):
            self._received, self._total = part.stat().st_size if part.exists() else 0, remote.size
            # Another tool may have put the content here without the names that lead to it.
            source = blob if blob.is_file() else part
            if source is part:
                self._check_space(blob.parent, part)
                meter = Meter(control, f"Downloading {place.chosen.title}", self._received)

                def report(done: int, total: int, remark: str) -> None:
                    self._received, self._total = done, total
                    meter.update(done, total, remark)

                with self._sentences():
                    run_cancellable(receive(remote, part, report), control)
            with self._sentences():
                verify(source, remote, control)
            try:
                _give_names(source, blob, self._store, remote)
            except OSError as error:
                raise storage_error(blob, error) from error
        return remote.name

    def _check_space(self, folder: Path, part: Path) -> None:
        """Refuse before the first byte what would fill the disk."""
        size = self._total or self._place.chosen.download_mb * 1_000_000
        needed = max(0, size - self._received) + _SPARE_BYTES
        free = shutil.disk_usage(folder).free
        if free < needed:
            kept = f" ({megabytes(self._received)} are here already)" if part.exists() else ""
            raise StorageError(
                f"Downloading {self._place.chosen.title} needs {megabytes(needed)} in {folder}{kept}, "
                f"but only {megabytes(free)} are free.",
                "Free some space, or set HF_HOME to a folder on another disk, and try again.",
            )

    @contextmanager
    def _alone(self, remote: RemoteFile) -> Iterator[None]:
        """Hold the lock the hub's own tools take for this file."""
        from filelock import FileLock, Timeout

        lock = FileLock(self._locks / f"{remote.etag}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise self._place.busy() from error
        except OSError as error:
            raise storage_error(self._locks, error) from error
        except NotImplementedError:
            # A file system without locks; what two downloads at once would spoil fails its checksum.
            yield
            return
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """Turn what the network and the hub do into the user's sentences."""
        import httpx2
        from huggingface_hub import constants

        place = self._place
        try:
            yield
        except Refused as refused:
            raise place.refusal(refused) from refused
        except NotAHub as error:
            raise place.not_a_hub() from error
        except WrongContent as error:
            raise place.wrong_content(error.what) from error
        except (httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
            raise place.bad_address() from error
        except httpx2.ProxyError as error:
            raise place.bad_proxy(str(error).split(". ")[0]) from error
        except httpx2.TransportError as error:
            timed_out = isinstance(error, httpx2.TimeoutException)
            if self._received:
                raise place.broken_off(self._received, self._total, timed_out=timed_out) from error
            if timed_out:
                raise place.silent(constants.HF_HUB_ETAG_TIMEOUT) from error
            raise place.unreachable(str(error)) from error
        except httpx2.HTTPError as error:
            raise place.not_a_hub() from error


def verify(path: Path, remote: RemoteFile, control: Control) -> None:
    """Check length, checksum, and that the file is of the kind its name says.

    What fails is removed, so that the next download begins anew.

    Raises:
        WrongContent: it is not the file the hub promised, or no weights.
        Cancelled: through `control`.
    """
    try:
        _check_content(path, remote, control)
    except WrongContent:
        path.unlink(missing_ok=True)
        raise


def _check_content(path: Path, remote: RemoteFile, control: Control) -> None:
    size = path.stat().st_size
    if remote.size and size != remote.size:
        raise WrongContent(f"has {size:,} bytes instead of {remote.size:,}")
    if len(remote.etag) == 64:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)  # as git names a file
    if digest.digest_size * 2 == len(remote.etag):
        done = 0
        with path.open("rb") as stream:
            while block := stream.read(_HASH_BLOCK):
                digest.update(block)
                done += len(block)
                control.progress("Checking the download", done, size)
        if digest.hexdigest() != remote.etag:
            raise WrongContent("does not match its checksum")
    kind = Path(remote.name).suffix
    if kind == ".safetensors":
        _check_tensors(path)
    elif kind == ".bin" and not is_zipfile(path) and not _begins_pickled(path):
        raise WrongContent("is no checkpoint of PyTorch")
    elif kind == ".json":
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise WrongContent("is no JSON file") from error


def _begins_pickled(path: Path) -> bool:
    """Whether a file begins as PyTorch's checkpoints did before they were archives."""
    with path.open("rb") as stream:
        return stream.read(1) == b"\x80"


def _check_tensors(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as tensors:
            names = tensors.keys()
    except SafetensorError as error:
        raise WrongContent("is no safetensors file") from error
    if not names:
        raise WrongContent("holds no tensors")


def _give_names(source: Path, blob: Path, store: Path, remote: RemoteFile) -> None:
    """Give the content its names in the cache, the one that makes it found last."""
    if source != blob:
        source.replace(blob)
    pointer = store / "snapshots" / remote.commit / remote.name
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.unlink(missing_ok=True)
    try:
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    except OSError:
        # No symbolic links here, as on Windows without developer mode: the file itself, as the hub does it.
        blob.replace(pointer)
    write_text_atomic(store / "refs" / "main", remote.commit)
