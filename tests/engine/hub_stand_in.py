"""A model hub on the loopback that answers as the real one does, or in one of the ways hubs fail."""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_BLOCK = 16_384
_LONGEST_STALL_S = 5.0


@dataclass
class Request:
    method: str
    path: str
    range: str | None
    authorization: str | None
    host: str | None


@dataclass
class StandIn:
    """What the hub holds and how it behaves; tests change it between two downloads."""

    repository: str
    files: dict[str, bytes]
    status: int = 200
    error_code: str = ""
    get_status: int = 200
    retry_after: int = 0
    etag: str | None = None
    commit: str | None = COMMIT
    tells_size: bool = True
    wrong_length: int = 0
    extra_bytes: int = 0
    break_after: int | None = None
    breaks_left: int = 1000
    stall_before_answer: bool = False
    stall_after: int | None = None
    pause: float = 0.0
    """Seconds between two blocks: a slow line."""
    ignores_range: bool = False
    storage: str = ""
    """Address of another host that files are redirected to, as large ones are."""
    more: tuple[str, ...] = ()
    """Other repositories, with the same files."""
    requests: list[Request] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    address: str = ""

    def ranges(self) -> list[str | None]:
        """What each GET asked for."""
        return [request.range for request in self.requests if request.method == "GET"]

    def received(self) -> list[str]:
        """Names of the files that were sent."""
        return [request.path.rsplit("/", 1)[-1] for request in self.requests if request.method == "GET"]

    def heal(self) -> None:
        """Answer properly from now on."""
        self.status = self.get_status = 200
        self.etag, self.commit, self.error_code = None, COMMIT, ""
        self.wrong_length = self.extra_bytes = 0
        self.break_after = self.stall_after = None
        self.stall_before_answer = False


def handler_of(hub: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            headers = self.headers
            path = urlsplit(self.path).path
            hub.requests.append(
                Request(
                    self.command,
                    path,
                    headers.get("Range"),
                    headers.get("Authorization"),
                    headers.get("Host"),
                )
            )
            if hub.stall_before_answer:
                hub.released.wait(_LONGEST_STALL_S)
                self.close_connection = True
                return
            status = hub.get_status if body and hub.status == 200 else hub.status
            name = path.rsplit("/", 1)[-1]
            content = hub.files.get(name)
            places = (*(f"/{name}/resolve/" for name in (hub.repository, *hub.more)), "/storage/")
            if status == 200 and not path.startswith(places):
                self._refuse(404, "RepoNotFound")
            elif status == 200 and content is None:
                self._refuse(404, "EntryNotFound")
            elif status != 200 or content is None:
                self._refuse(status, hub.error_code)
            elif hub.storage and not path.startswith("/storage/"):
                self.send_response(302)
                self._describe(content, linked=True)
                self.send_header("Location", f"{hub.storage}/storage/{name}")
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self._send(content, body=body)

        def _refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
            if hub.retry_after:
                self.send_header("Retry-After", str(hub.retry_after))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _describe(self, content: bytes, *, linked: bool) -> None:
            if hub.commit is not None:
                self.send_header("X-Repo-Commit", hub.commit)
            etag = hub.etag if hub.etag is not None else hashlib.sha256(content).hexdigest()
            self.send_header("X-Linked-Etag" if linked else "ETag", f'"{etag}"')
            if linked and hub.tells_size:
                self.send_header("X-Linked-Size", str(len(content)))

        def _send(self, content: bytes, *, body: bool) -> None:
            start = 0
            asked = self.headers.get("Range")
            if asked and not hub.ignores_range:
                start = int(asked.removeprefix("bytes=").split("-")[0])
                if start >= len(content):
                    self._refuse(416, "")
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            self._describe(content, linked=False)
            sent = content[start:] + b"x" * (hub.extra_bytes if body else 0)
            chunked = body and bool(hub.extra_bytes)
            if chunked:
                self.send_header("Transfer-Encoding", "chunked")
            elif hub.tells_size or body:
                self.send_header("Content-Length", str(len(sent) + (hub.wrong_length if body else 0)))
            self.end_headers()
            if body:
                self._write(sent, start, chunked=chunked)

        def _write(self, sent: bytes, start: int, *, chunked: bool) -> None:
            for place in range(0, len(sent), _BLOCK):
                position = start + place
                if hub.stall_after is not None and position >= hub.stall_after:
                    hub.released.wait(_LONGEST_STALL_S)
                    self.close_connection = True
                    return
                if hub.break_after is not None and position >= hub.break_after and hub.breaks_left > 0:
                    hub.breaks_left -= 1
                    self.close_connection = True
                    return
                if hub.pause:
                    hub.released.wait(hub.pause)
                block = sent[place : place + _BLOCK]
                try:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block) if chunked else block)
                except ConnectionError:
                    self.close_connection = True
                    return
            if chunked:
                self.wfile.write(b"0\r\n\r\n")

    return Handler


@contextmanager
def serving(hub: StandIn) -> Iterator[StandIn]:
    """Serve on a free port of 127.0.0.1 until the block ends; every thread has ended by then."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(hub))
    server.daemon_threads = False
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
