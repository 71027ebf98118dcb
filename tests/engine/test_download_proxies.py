"""On the way to a hub: proxies for both schemes, exceptions from them, mirrors, and certificates."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import save

from advclip_gui.engine import hub_transfer
from advclip_gui.engine.catalog import entry
from advclip_gui.engine.control import Control
from advclip_gui.engine.download import fetch_weights
from advclip_gui.engine.errors import BackboneError
from advclip_gui.settings import BackboneSettings
from tests.engine.hub_stand_in import StandIn, handler_of, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHOICE = BackboneSettings(name="ViT-B-32", weights="openai")
HUB_ID = entry(CHOICE).hub_id
WEIGHTS = save({"visual.proj": np.arange(4_096, dtype=np.float32)})
NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _own_hub_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 3)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 3)
    monkeypatch.setattr(hub_transfer, "_RETRY_WAIT_S", 0.0)
    for variable in (*NAMES, "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)


@pytest.fixture
def hub() -> Iterator[StandIn]:
    with serving(StandIn(HUB_ID, {"open_clip_model.safetensors": WEIGHTS})) as stand_in:
        yield stand_in


def fetch(endpoint: str) -> bytes:
    return fetch_weights(CHOICE, control=Control(), endpoint=endpoint).read_bytes()


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[ThreadingHTTPServer]:
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def proxy(status: int = 200, port: int = 0) -> Iterator[tuple[str, list[str]]]:
    """A proxy for TLS: answers CONNECT with `status`, and on 200 joins both sides at 127.0.0.1:`port`."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_CONNECT(self) -> None:
            asked.append(self.path)
            self.close_connection = True
            self.send_response(status)
            self.end_headers()
            if status != 200:
                return
            with socket.create_connection(("127.0.0.1", port)) as other:
                back = threading.Thread(target=pump, args=(other, self.connection))
                back.start()
                pump(self.connection, other)
                back.join()

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}", asked


def pump(source: socket.socket, target: socket.socket) -> None:
    """Hand on what comes until one side closes; the other side is told."""
    try:
        while data := source.recv(65_536):
            target.sendall(data)
    except OSError:
        pass
    try:
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate and its key, signed by nobody, for hub.test and 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    path = tmp_path / "hub.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=hub.test", "-addext", "subjectAltName=DNS:hub.test,IP:127.0.0.1",
         "-keyout", str(tmp_path / "key"), "-out", str(path)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + (tmp_path / "key").read_text())
    return path


@pytest.fixture
def secure_hub(certificate: Path) -> Iterator[StandIn]:
    hub = StandIn(HUB_ID, {"open_clip_model.safetensors": WEIGHTS})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(hub))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    # A visitor who distrusts the certificate hangs up; that is no error of the server.
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    hub.address = f"https://127.0.0.1:{server.server_port}"
    with running(server):
        yield hub


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_for_plain_http(hub: StandIn, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, hub.address)
    assert fetch("http://hub.invalid") == WEIGHTS
    assert {request.host for request in hub.requests} == {"hub.invalid"}


@pytest.mark.parametrize("exceptions", ["127.0.0.1", "*", "example.org, 127.0.0.1"])
def test_exceptions_go_past_the_proxy(hub: StandIn, monkeypatch: pytest.MonkeyPatch, exceptions: str) -> None:
    with proxy(status=502) as (address, _):
        monkeypatch.setenv("ALL_PROXY", address)
        monkeypatch.setenv("NO_PROXY", exceptions)
        assert fetch(hub.address) == WEIGHTS


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_proxy_that_refuses_is_named(
    hub: StandIn, monkeypatch: pytest.MonkeyPatch, variable: str, status: int
) -> None:
    with proxy(status) as (address, asked), monkeypatch.context() as refusing:
        refusing.setenv(variable, address)
        with pytest.raises(BackboneError, match=rf"proxy on the way to hub\.test .*\({status}") as caught:
            fetch("https://hub.test")
    assert "Correct HTTPS_PROXY" in caught.value.hint
    assert asked == ["hub.test:443"]
    assert fetch(hub.address) == WEIGHTS


def test_a_proxy_that_is_not_there(hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gone = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("HTTPS_PROXY", gone)
    with pytest.raises(BackboneError, match=r"cannot be reached.*HTTPS_PROXY"):
        fetch("https://hub.test")


def test_a_mirror_below_a_path_and_with_a_slash(hub: StandIn) -> None:
    hub.repository = f"mirror/{HUB_ID}"
    assert fetch(f"{hub.address}/mirror/") == WEIGHTS


def test_a_mirror_with_a_certificate_of_its_own(
    secure_hub: StandIn, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BackboneError, match=r"certificate of .* is not trusted.*SSL_CERT_FILE"):
        fetch(secure_hub.address)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetch(secure_hub.address) == WEIGHTS


def test_through_a_proxy_to_a_hub_with_a_certificate(
    secure_hub: StandIn, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    port = int(secure_hub.address.rsplit(":", 1)[1])
    with proxy(port=port) as (address, asked):
        monkeypatch.setenv("HTTPS_PROXY", address)
        assert fetch("https://hub.test") == WEIGHTS
    assert set(asked) == {"hub.test:443"}
    assert {request.host for request in secure_hub.requests} == {"hub.test"}
