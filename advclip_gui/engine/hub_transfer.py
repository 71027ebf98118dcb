"""Ask a hub about one file and receive it, going on from what an earlier try left behind.

The library's own `hf_hub_download` removes what it has when it is interrupted, waits in retries that
cannot be cancelled and writes 10 MB at a time. So only its addresses, tokens, settings and client are
taken from it; the transfer itself is done here, on an event loop that a cancellation ends at once.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

import httpx2
from huggingface_hub import constants, get_async_session, get_token, hf_hub_url

from advclip_gui.engine.files import storage_error
from advclip_gui.engine.hub_errors import NotAHub, Refused, WrongContent, megabytes

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from advclip_gui.engine.control import Control

_CANCEL_POLL_S = 0.05
_TRIES = 4
"""How often in a row a transfer may fail before the user is told."""
_RETRY_WAIT_S = 0.5
_WORTHWHILE = 8_000_000
"""Bytes gained by a try that broke off, after which the tries are counted anew."""
_MAX_REDIRECTS = 5
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ETAG = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of one commit of a repository.

    Attributes:
        url: of the file at this very commit.
        etag: SHA-256 of large files, else the hash git knows them by.
        size: in bytes, 0 where the hub does not say.
    """

    url: str
    name: str
    commit: str
    etag: str
    size: int


def token() -> str | None:
    """Return the user's token (HF_TOKEN, or stored by `hf auth login`), if it may be sent."""
    return None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()


def run_cancellable(work: Coroutine[Any, Any, _Result], control: Control) -> _Result:
    """Run `work` on a loop of its own and end it as soon as `control` is cancelled.

    The loop is closed without waiting for a name look-up that hangs, as `asyncio.run` would.

    Raises:
        Cancelled: through `control`; connections are closed by then.
    """
    loop = asyncio.new_event_loop()
    task = loop.create_task(_watched(work, control))
    try:
        return loop.run_until_complete(task)
    finally:
        if not task.done():
            task.cancel()
            loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _watched(work: Coroutine[Any, Any, _Result], control: Control) -> _Result:
    task = asyncio.ensure_future(work)
    try:
        while not task.done() and not control.cancelled:
            await asyncio.wait({task}, timeout=_CANCEL_POLL_S)
        control.check()
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def look_up(hub_id: str, names: tuple[str, ...], endpoint: str) -> RemoteFile | None:
    """Find the first of several files in a repository's main branch; None where it has none of them.

    Raises:
        Refused, NotAHub, httpx2.HTTPError: the hub did not answer as it should.
    """
    async with _client() as client:
        for name in names:
            url = hf_hub_url(hub_id, name, endpoint=endpoint)
            try:
                headers = await _metadata(client, url)
            except Refused as refused:
                if refused.status == 404 and refused.code in {"", "EntryNotFound"}:
                    continue
                raise
            commit = headers.get(constants.HUGGINGFACE_HEADER_X_REPO_COMMIT, "")
            etag = headers.get(constants.HUGGINGFACE_HEADER_X_LINKED_ETAG) or headers.get("ETag") or ""
            etag = etag.removeprefix("W/").strip('"')
            # Both become names of files: nothing but what a hub really sends may pass.
            if not _COMMIT.fullmatch(commit) or not _ETAG.fullmatch(etag):
                raise NotAHub
            size = headers.get(constants.HUGGINGFACE_HEADER_X_LINKED_SIZE)
            if size is None and "Location" not in headers:
                size = headers.get("Content-Length")
            return RemoteFile(
                url=hf_hub_url(hub_id, name, revision=commit, endpoint=endpoint),
                name=name,
                commit=commit,
                etag=etag,
                size=int(size) if size and size.isdigit() else 0,
            )
    return None


def _client() -> httpx2.AsyncClient:
    try:
        return get_async_session()
    except (ImportError, ValueError) as error:
        # All it reads are the proxy variables: a scheme it does not know, or SOCKS without its package.
        raise httpx2.ProxyError(str(error)) from error


async def _metadata(client: httpx2.AsyncClient, url: str) -> httpx2.Headers:
    """Return the headers that describe a file, following the hub's redirects but not to its storage."""
    headers = _headers()
    for _ in range(_MAX_REDIRECTS):
        response = await client.request(
            "HEAD", url, headers=headers, follow_redirects=False, timeout=constants.HF_HUB_ETAG_TIMEOUT
        )
        _raise_for_status(response)
        if not response.has_redirect_location:
            return response.headers
        target = urljoin(url, response.headers["Location"])
        if _origin(target) != _origin(url):
            if constants.HUGGINGFACE_HEADER_X_REPO_COMMIT in response.headers:
                return response.headers
            headers.pop("Authorization", None)
        url = target
    raise NotAHub


async def receive(remote: RemoteFile, part: Path, report: Callable[[int, int, str], None]) -> None:
    """Append to `part` what it lacks of the file; a few tries, each going on where the last one ended.

    Args:
        remote: what `look_up` found.
        part: need not exist; kept when the transfer fails.
        report: receives bytes done, bytes in all (0: unknown), and a remark.

    Raises:
        Refused, WrongContent, httpx2.HTTPError: the last try failed.
        StorageError: the disk is full, or there is no permission.
    """
    failures = 0
    async with _client() as client:
        while True:
            before = _size(part)
            try:
                return await _receive_once(client, remote, part, report)
            except (httpx2.TransportError, Refused) as error:
                if isinstance(error, Refused) and not error.transient:
                    raise
                failures = 1 if _size(part) - before >= _WORTHWHILE else failures + 1
                if failures >= _TRIES:
                    raise
                report(_size(part), remote.size, "the connection broke, trying again")
            await asyncio.sleep(_RETRY_WAIT_S * 2 ** (failures - 1))


async def _receive_once(
    client: httpx2.AsyncClient, remote: RemoteFile, part: Path, report: Callable[[int, int, str], None]
) -> None:
    have = _size(part)
    if remote.size and have > remote.size:
        part.unlink()
        have = 0
    if remote.size and have == remote.size:
        return
    headers = _headers()
    if have:
        headers["Range"] = f"bytes={have}-"
    async with client.stream(
        "GET", remote.url, headers=headers, follow_redirects=True, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
    ) as response:
        if response.status_code == 416:
            part.unlink(missing_ok=True)
            raise httpx2.RemoteProtocolError("the part at hand does not belong to the file")
        _raise_for_status(response)
        done = _start(response, have)
        length = response.headers.get("Content-Length", "")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            length = ""  # of the compressed form
        total = done + int(length) if length.isdigit() else remote.size
        if remote.size and total != remote.size:
            raise WrongContent(f"would be {total:,} bytes instead of {remote.size:,}")
        try:
            with part.open("ab" if done else "wb") as stream:
                async for chunk in response.aiter_bytes():
                    stream.write(chunk)
                    done += len(chunk)
                    if total and done > total:
                        part.unlink()
                        raise WrongContent(f"is longer than the {megabytes(total)} that were promised")
                    report(done, total, "")
        except OSError as error:
            raise storage_error(part, error) from error
    if done < total:
        raise httpx2.RemoteProtocolError("the file ended early")


def _start(response: httpx2.Response, have: int) -> int:
    """Return the position of the first byte that comes: after what is here, or the file's start."""
    if response.status_code != 206:
        return 0
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != have:
        raise WrongContent("came from another place in the file than asked for")
    return have


def _headers() -> dict[str, str]:
    # Nothing compressed: lengths and ranges are those of the file itself.
    headers = {"Accept-Encoding": "identity", "User-Agent": "advclip-gui"}
    known = token()
    if known:
        headers["Authorization"] = f"Bearer {known}"
    return headers


def _raise_for_status(response: httpx2.Response) -> None:
    if response.status_code >= 400:
        wait = response.headers.get("Retry-After", "")
        raise Refused(
            response.status_code,
            response.headers.get("X-Error-Code", ""),
            int(wait) if wait.isdigit() else 0,
        )


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
