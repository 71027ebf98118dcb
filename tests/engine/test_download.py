"""Downloading a backbone from a stand-in hub: whole, resumed, cancelled, and every way it can fail."""

from __future__ import annotations

import gc
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from filelock import FileLock
from huggingface_hub import constants, hf_hub_download
from safetensors.numpy import save

from advclip_gui.engine import download, hub_transfer, transfer_meter
from advclip_gui.engine.catalog import availability, cached_weights, entry, is_here, source_of
from advclip_gui.engine.control import Cancelled, Control
from advclip_gui.engine.download import fetch_weights
from advclip_gui.engine.errors import BackboneError, CheckpointError, StorageError, UserError
from advclip_gui.settings import BackboneSettings
from tests.engine.hub_stand_in import COMMIT, StandIn, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from advclip_gui.engine.events import Event

CHOICE = BackboneSettings(name="ViT-B-32", weights="openai")
HUB_ID = entry(CHOICE).hub_id
NAME = "open_clip_model.safetensors"
WEIGHTS = save({"visual.proj": np.arange(65_536, dtype=np.float32)})
ETAG = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture(autouse=True)
def _own_hub_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The hub's settings were read when it was imported: set them anew, away from the user's own."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache with ünïcode"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 3)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 3)
    monkeypatch.setattr(hub_transfer, "_RETRY_WAIT_S", 0.0)
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    for scheme in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme}_proxy".upper(), raising=False)
    threads = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - threads:
        thread.join(2.0)  # a name look-up ends by itself
        assert not thread.is_alive()


@pytest.fixture(scope="module", autouse=True)
def _no_socket_left_open() -> Iterator[None]:
    yield
    gc.collect()  # one left open warns now; too slow to do after every test


@pytest.fixture
def hub() -> Iterator[StandIn]:
    with serving(StandIn(HUB_ID, {NAME: WEIGHTS})) as stand_in:
        yield stand_in


def fetch(hub: StandIn, control: Control | None = None) -> Path:
    return fetch_weights(CHOICE, control=control or Control(), endpoint=hub.address)


def refused(hub: StandIn, error: type[UserError] = BackboneError) -> str:
    """Fail once; return the sentence, which must be one and come with what to do."""
    with pytest.raises(error) as caught:
        fetch(hub)
    assert caught.value.hint
    assert caught.value.message.endswith(".")
    assert "\n" not in str(caught.value)
    assert not availability(CHOICE).here
    return caught.value.message


def succeeds_later(hub: StandIn) -> None:
    hub.heal()
    assert fetch(hub).read_bytes() == WEIGHTS


def part() -> Path:
    folder = "models--" + HUB_ID.replace("/", "--")
    return Path(constants.HF_HUB_CACHE) / folder / "blobs" / f"{ETAG}.incomplete"


def test_the_weights_are_found_afterwards_by_everyone(hub: StandIn) -> None:
    path = fetch(hub)
    assert path.read_bytes() == WEIGHTS
    assert cached_weights(HUB_ID) == path
    assert availability(CHOICE).here
    assert hf_hub_download(HUB_ID, NAME, local_files_only=True) == str(path)
    asked = len(hub.requests)
    assert fetch(hub) == path
    assert len(hub.requests) == asked


def test_progress_goes_up_to_the_whole_file(hub: StandIn) -> None:
    events: list[Event] = []
    fetch(hub, Control(events.append))
    shown = [event for event in events if event.task == f"Downloading {entry(CHOICE).title}"]
    assert [event.done for event in shown] == sorted(event.done for event in shown)
    assert (shown[-1].done, shown[-1].total) == (len(WEIGHTS), len(WEIGHTS))
    assert events[-1].task == "Checking the download"


def test_speed_and_time_left_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 1.01, 2.0, 5.0, 5.2])
    monkeypatch.setattr(transfer_meter, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    events: list[Event] = []
    meter = transfer_meter.Meter(Control(events.append), "Downloading", start=1_000_000)
    for done in (3_000_000, 3_100_000, 5_000_000, 11_000_000):
        meter.update(done, 611_000_000, "")
    meter.update(11_000_000, 611_000_000, "trying again")
    assert [event.detail for event in events] == [
        "2.0 MB/s, 6 min left",
        "2.0 MB/s, 6 min left",
        "2.0 MB/s, 5 min left",
        "trying again",
    ]
    assert transfer_meter.duration(0.2) == "1 s"
    assert transfer_meter.duration(7_260) == "2 h 1 min"


def test_a_slow_hub_is_watched_all_the_way(hub: StandIn) -> None:
    hub.pause = 0.02
    events: list[Event] = []
    assert fetch(hub, Control(events.append)).read_bytes() == WEIGHTS
    half_way = [event for event in events if 0 < event.done < len(WEIGHTS)]
    assert half_way
    assert any("MB/s" in event.detail and "left" in event.detail for event in half_way)


def test_the_second_name_is_taken_where_the_first_is_not_there(hub: StandIn) -> None:
    hub.files = {"model.safetensors": WEIGHTS}
    assert fetch(hub).name == "model.safetensors"


def test_files_in_another_storage_are_followed_without_the_token(
    hub: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serving(StandIn(HUB_ID, hub.files)) as storage:
        hub.storage = storage.address
        fetch(hub)
        assert [request.authorization for request in hub.requests] == ["Bearer hf_secret"] * 2
        assert [request.authorization for request in storage.requests] == [None]


def test_a_hub_that_sends_elsewhere_does_not_send_the_token_along(
    hub: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.commit = (
        None  # what sends us on is no hub itself: its answer to the first question counts for nothing
    )
    with serving(StandIn(HUB_ID, hub.files)) as elsewhere:
        hub.storage = elsewhere.address
        assert fetch(hub).read_bytes() == WEIGHTS
        assert [request.method for request in elsewhere.requests] == ["HEAD", "GET"]
        assert {request.authorization for request in elsewhere.requests} == {None}


def test_a_file_of_unknown_size_arrives(hub: StandIn) -> None:
    hub.tells_size = False
    assert fetch(hub).read_bytes() == WEIGHTS


def test_a_small_file_is_checked_against_its_git_hash(hub: StandIn) -> None:
    hub.etag = hashlib.sha1(b"blob %d\0" % len(WEIGHTS) + WEIGHTS).hexdigest()
    assert fetch(hub).read_bytes() == WEIGHTS


def test_content_that_another_tool_fetched_is_taken(hub: StandIn) -> None:
    blob = part().with_name(ETAG)
    blob.parent.mkdir(parents=True)
    blob.write_bytes(WEIGHTS)
    assert fetch(hub).read_bytes() == WEIGHTS
    assert hub.ranges() == []


def test_without_symbolic_links_the_file_itself_is_moved(
    hub: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no symbolic links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    path = fetch(hub)
    assert not path.is_symlink()
    assert path.read_bytes() == WEIGHTS


# Cancel and resume


def test_cancel_ends_at_once_and_a_later_call_goes_on(hub: StandIn) -> None:
    hub.stall_after = 98_304
    cancelled_at = []

    def cancel_half_way(event: Event) -> None:
        if event.done and not cancelled_at:
            threading.Timer(0.02, lambda: (cancelled_at.append(time.monotonic()), control.cancel())).start()

    control = Control(cancel_half_way)
    with pytest.raises(Cancelled):
        fetch(hub, control)
    assert time.monotonic() - cancelled_at[0] < 1.5
    kept = part().stat().st_size
    assert 0 < kept <= 98_304
    succeeds_later(hub)
    assert hub.ranges() == [None, f"bytes={kept}-"]
    assert not part().exists()


def test_cancel_ends_at_once_while_the_hub_does_not_answer(hub: StandIn) -> None:
    hub.stall_before_answer = True
    control = Control()
    timer = threading.Timer(0.05, control.cancel)
    timer.start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        fetch(hub, control)
    assert time.monotonic() - began < 1.5
    timer.join()


class _StopNow(BaseException):
    """What a second Ctrl+C raises on the command line."""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer signal")
def test_a_signal_that_stops_at_once_leaves_nothing_open(hub: StandIn) -> None:
    hub.stall_after = 98_304

    def stop(*_: object) -> None:
        raise _StopNow

    def arm(event: Event) -> None:
        if event.done:
            signal.setitimer(signal.ITIMER_REAL, 0.05)

    before = signal.signal(signal.SIGALRM, stop)
    try:
        with pytest.raises(_StopNow):
            fetch(hub, Control(arm))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert part().stat().st_size > 0
    succeeds_later(hub)


def test_cancel_while_checking_keeps_what_came(hub: StandIn) -> None:
    def cancel_in_check(event: Event) -> None:
        if event.task == "Checking the download":
            control.cancel()

    control = Control(cancel_in_check)
    big = save({"w": np.zeros(download._HASH_BLOCK // 4 + 1000, dtype=np.float32)})
    hub.files = {NAME: big}
    with pytest.raises(Cancelled):
        fetch(hub, control)
    assert not availability(CHOICE).here
    assert fetch(hub).stat().st_size == len(big)
    assert hub.ranges() == [None]


def test_a_cancelled_call_asks_nobody(hub: StandIn) -> None:
    control = Control()
    control.cancel()
    with pytest.raises(Cancelled):
        fetch(hub, control)
    assert hub.requests == []


def test_a_connection_that_breaks_is_taken_up_again_by_itself(hub: StandIn) -> None:
    hub.break_after, hub.breaks_left = 100_000, 2
    assert fetch(hub).read_bytes() == WEIGHTS
    first, *others = hub.ranges()
    assert first is None
    assert len(others) == 2
    assert all(asked is not None for asked in others)


def test_a_hub_that_ignores_ranges_starts_anew(hub: StandIn) -> None:
    hub.break_after, hub.breaks_left, hub.ignores_range = 100_000, 1, True
    assert fetch(hub).read_bytes() == WEIGHTS


@pytest.mark.parametrize("size", [len(WEIGHTS), len(WEIGHTS) + 7], ids=["whole", "too long"])
def test_a_left_over_of_another_length_does_no_harm(hub: StandIn, size: int) -> None:
    part().parent.mkdir(parents=True)
    part().write_bytes((WEIGHTS + b"remains")[:size])
    assert fetch(hub).read_bytes() == WEIGHTS


@pytest.mark.parametrize("size", [100_000, len(WEIGHTS)], ids=["half", "whole"])
def test_a_left_over_of_other_content_is_thrown_away_and_never_taken_for_whole(
    hub: StandIn, size: int
) -> None:
    part().parent.mkdir(parents=True)
    part().write_bytes(bytes(size))
    assert "does not match its checksum; it was thrown away" in refused(hub)
    assert not part().exists()
    succeeds_later(hub)
    assert hub.ranges()[-1] is None


# Failures: a sentence each, and a later try succeeds


def test_broken_off_again_and_again(hub: StandIn) -> None:
    hub.break_after = 100_000
    assert refused(hub) == (
        f"The connection to {hub.address[7:]} broke after 0.1 MB of 0.3 MB of ViT-B/32 - OpenAI."
    )
    assert len(hub.ranges()) == hub_transfer._TRIES
    kept = part().stat().st_size
    succeeds_later(hub)
    assert hub.ranges()[-1] == f"bytes={kept}-"


def test_a_transfer_that_stops_times_out(hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.25)
    monkeypatch.setattr(hub_transfer, "_TRIES", 2)
    hub.stall_after = 98_304
    assert "stopped sending after 0.1 MB of 0.3 MB" in refused(hub)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 3)
    succeeds_later(hub)


def test_a_hub_that_does_not_answer_times_out(hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.05)
    hub.stall_before_answer = True
    assert "did not answer within 0.05 s" in refused(hub)
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 3)
    succeeds_later(hub)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, "RepoNotFound", "wants a token for"),
        (401, "GatedRepo", "only to users who accepted its conditions (401)"),
        (403, "GatedRepo", "only to users who accepted its conditions (403)"),
        (403, "", "refuses to hand out"),
        (404, "RepoNotFound", "has no repository"),
        (404, "EntryNotFound", "has no weights under a name that is known in"),
        (429, "", "takes no more requests"),
        (418, "", "refused the request"),
        (500, "", "has a fault of its own just now (500)"),
        (503, "", "has a fault of its own just now (503)"),
    ],
)
def test_every_refusal_is_a_sentence(hub: StandIn, status: int, code: str, expected: str) -> None:
    hub.status, hub.error_code = status, code
    message = refused(hub)
    assert expected in message
    assert hub.address[7:] in message
    succeeds_later(hub)


def test_a_token_that_is_not_accepted(hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    hub.status = 401
    assert "did not accept your token" in refused(hub)


def test_the_hub_says_how_long_to_wait(hub: StandIn) -> None:
    hub.status, hub.retry_after = 429, 40
    with pytest.raises(BackboneError) as caught:
        fetch(hub)
    assert caught.value.hint.startswith("Wait 40 s")
    hub.status, hub.get_status = 200, 429
    assert "takes no more requests" in refused(hub)
    assert len(hub.ranges()) == 1, "it was told to wait and came back at once"
    hub.retry_after = 0
    succeeds_later(hub)


@pytest.mark.parametrize(
    ("status", "tries"),
    [(500, hub_transfer._TRIES), (429, hub_transfer._TRIES), (401, 1), (403, 1), (404, 1)],
)
def test_the_file_itself_is_refused(hub: StandIn, status: int, tries: int) -> None:
    hub.get_status = status
    assert f"({status})" in refused(hub)
    assert len(hub.ranges()) == tries
    succeeds_later(hub)


def test_refused_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    gone = StandIn(HUB_ID, {}, address=f"http://127.0.0.1:{port}")
    assert refused(gone) == f"127.0.0.1:{port} cannot be reached, so ViT-B/32 - OpenAI was not downloaded."


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "hub.invalid cannot be reached" in refused(StandIn(HUB_ID, {}, address="http://hub.invalid"))


def test_a_certificate_that_is_not_trusted(hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    async def distrust(*_: object) -> None:
        raise hub_transfer.httpx2.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")

    monkeypatch.setattr(hub_transfer, "look_up", distrust)
    assert "certificate" in refused(hub)


@pytest.mark.parametrize("change", [{"commit": None}, {"commit": "main/../.."}, {"etag": "../../etc"}])
def test_what_is_no_hub_is_told_from_one(hub: StandIn, change: dict[str, str | None]) -> None:
    for attribute, value in change.items():
        setattr(hub, attribute, value)
    assert "not as a model hub does" in refused(hub)
    assert not list(Path(constants.HF_HUB_CACHE).rglob("*"))
    succeeds_later(hub)


def test_wrong_checksum(hub: StandIn) -> None:
    hub.etag = "0" * 64
    assert refused(hub).endswith("does not match its checksum; it was thrown away.")
    assert not list(Path(constants.HF_HUB_CACHE).rglob("*.incomplete"))
    succeeds_later(hub)


@pytest.mark.parametrize("difference", [-5, 5])
def test_wrong_content_length(hub: StandIn, difference: int) -> None:
    hub.wrong_length = difference
    assert f"would be {len(WEIGHTS) + difference:,} bytes instead of {len(WEIGHTS):,}" in refused(hub)
    succeeds_later(hub)


def test_more_than_was_promised(hub: StandIn) -> None:
    hub.extra_bytes = 100
    assert "is longer than" in refused(hub)
    assert not part().exists()
    succeeds_later(hub)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"<html>log in first</html>", "is no safetensors file"), (save({}), "holds no tensors")],
    ids=["a page", "empty"],
)
def test_what_holds_no_weights_is_thrown_away(hub: StandIn, content: bytes, expected: str) -> None:
    hub.files = {NAME: content}
    assert expected in refused(hub)
    hub.files = {NAME: WEIGHTS}
    succeeds_later(hub)


# The user's machine


def test_offline_by_the_usual_variable(hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in refused(hub)
    assert hub.requests == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    succeeds_later(hub)


def test_too_little_room_is_said_before_the_first_byte(hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as full:
        full.setattr(download.shutil, "disk_usage", lambda _: SimpleNamespace(free=2_000_000))
        message = refused(hub, StorageError)
    assert "needs 50 MB in" in message
    assert "only 2.0 MB are free" in message
    assert hub.ranges() == []
    succeeds_later(hub)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_the_disk_is_full_half_way(hub: StandIn) -> None:
    part().parent.mkdir(parents=True)
    part().symlink_to("/dev/full")
    assert "The disk is full" in refused(hub, StorageError)
    part().unlink()
    succeeds_later(hub)


def test_a_cache_that_cannot_be_written(
    hub: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="could not be written"):
        fetch(hub)


def test_two_downloads_of_one_file_at_once(hub: StandIn) -> None:
    locks = Path(constants.HF_HUB_CACHE) / ".locks" / ("models--" + HUB_ID.replace("/", "--"))
    locks.mkdir(parents=True)
    with FileLock(locks / f"{ETAG}.lock"):
        assert "by another program" in refused(hub)
    succeeds_later(hub)


def test_the_proxy_variables_are_used(hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", hub.address)
    path = fetch_weights(CHOICE, control=Control(), endpoint="http://hub.invalid")
    assert path.read_bytes() == WEIGHTS
    assert {request.host for request in hub.requests} == {"hub.invalid"}


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("HTTP_PROXY", "gopher://127.0.0.1:1", "The proxy on the way"),
        ("ALL_PROXY", "socks5://127.0.0.1:1", "The proxy on the way"),
    ],
)
def test_a_proxy_that_cannot_be_used(
    hub: StandIn, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    with monkeypatch.context() as wrong:
        wrong.setenv(variable, value)
        assert expected in refused(hub)
    succeeds_later(hub)


@pytest.mark.parametrize("address", ["not an address", "ftp://127.0.0.1"])
def test_an_endpoint_that_is_no_address(address: str) -> None:
    assert "is not a web address" in refused(StandIn(HUB_ID, {}, address=address))


@pytest.mark.slow(reason="imports everything in a fresh process")
def test_the_hubs_own_variables_are_honoured(hub: StandIn, tmp_path: Path) -> None:
    """HF_ENDPOINT and HF_HOME are read when the hub is imported, so this takes a fresh process."""
    code = """
from advclip_gui.engine.download import fetch_weights
from advclip_gui.engine.control import Control
from advclip_gui.settings import BackboneSettings
import sys
print(fetch_weights(BackboneSettings(name="ViT-B-32", weights="openai"), control=Control()))
assert "torch" not in sys.modules
"""
    environment = {**os.environ, "HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home")}
    environment |= {"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    path = Path(done.stdout.strip())
    assert path.is_relative_to(tmp_path / "home")
    assert path.read_bytes() == WEIGHTS
    assert path.parent.name == COMMIT


def test_offline_by_the_programs_own_switch(hub: StandIn) -> None:
    with pytest.raises(
        BackboneError, match=r"Downloads are switched off \(Work offline\).*'Work offline' off"
    ):
        fetch_weights(CHOICE, control=Control(), endpoint=hub.address, offline="Work offline")
    assert hub.requests == []
    succeeds_later(hub)
    assert fetch_weights(CHOICE, control=Control(), endpoint=hub.address, offline="--offline").is_file()


def test_what_is_bundled_or_local_is_never_fetched(hub: StandIn, tmp_path: Path) -> None:
    assert fetch_weights(BackboneSettings(), control=Control(), endpoint=hub.address).is_dir()
    missing = BackboneSettings(name="local", checkpoint=str(tmp_path / "gone.safetensors"))
    with pytest.raises(BackboneError, match="does not exist"):
        fetch_weights(missing, control=Control(), endpoint=hub.address)
    assert hub.requests == []


def test_what_cannot_be_adapted_is_not_fetched(hub: StandIn) -> None:
    with pytest.raises(BackboneError, match="RN50 - openai cannot be adapted"):
        fetch_weights(BackboneSettings(name="RN50"), control=Control(), endpoint=hub.address)
    assert hub.requests == []


# Repositories by their own name, pickled tensors, tokenizers

MODEL = {"embed_dim": 8, "vision_cfg": {"layers": 1}, "text_cfg": {}}
CONFIG = json.dumps({"model_cfg": MODEL}).encode()
WORDS = b'{"model": {"type": "WordLevel"}}'
OTHER = BackboneSettings(name="hf-hub:someone/their-clip")


def pickled() -> bytes:
    """An archive as PyTorch saves it, as far as a download looks into it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", b"x")
    return stream.getvalue()


@pytest.fixture
def other() -> Iterator[StandIn]:
    files = {"open_clip_config.json": CONFIG, NAME: WEIGHTS}
    with serving(StandIn("someone/their-clip", files, more=("someone/words",))) as stand_in:
        yield stand_in


def fetch_other(hub: StandIn, settings: BackboneSettings = OTHER) -> Path:
    return fetch_weights(settings, control=Control(), endpoint=hub.address)


def test_a_repository_brings_its_configuration(other: StandIn) -> None:
    assert fetch_other(other).read_bytes() == WEIGHTS
    assert other.received() == ["open_clip_config.json", NAME]
    assert availability(OTHER).here
    source = source_of(OTHER)
    assert source is not None
    assert source.config == MODEL
    asked = len(other.requests)
    fetch_other(other)
    assert len(other.requests) == asked


def test_a_repository_of_hugging_face(other: StandIn) -> None:
    other.files = {
        "config.json": b'{"model_type": "clip"}',
        "preprocessor_config.json": b'{"image_mean": [0.1, 0.2, 0.3]}',
        "model.safetensors": WEIGHTS,
    }
    assert fetch_other(other).name == "model.safetensors"
    source = source_of(OTHER)
    assert source is not None
    assert source.preprocess == {"mean": [0.1, 0.2, 0.3]}
    assert source.config is not None
    assert source.config["quick_gelu"] is True


def test_a_repository_saved_with_a_whole_processor(other: StandIn) -> None:
    other.files = {
        "config.json": b'{"model_type": "clip"}',
        "processor_config.json": b'{"image_processor": {"image_mean": [0.1, 0.2, 0.3]}}',
        "model.safetensors": WEIGHTS,
    }
    fetch_other(other)
    source = source_of(OTHER)
    assert source is not None
    assert source.preprocess == {"mean": [0.1, 0.2, 0.3]}


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({NAME: WEIGHTS}, r"has no open_clip_config\.json or config\.json in someone/their-clip"),
        (
            {"open_clip_config.json": CONFIG},
            "has no weights under a name that is known in someone/their-clip",
        ),
        ({"open_clip_config.json": b"<html>", NAME: WEIGHTS}, "is no JSON file; it was thrown away"),
    ],
)
def test_a_repository_that_lacks_something_may_have_it_later(
    other: StandIn, files: dict[str, bytes], sentence: str
) -> None:
    whole, other.files = other.files, files
    with pytest.raises(BackboneError, match=sentence):
        fetch_other(other)
    assert not availability(OTHER).here
    other.files = whole
    assert fetch_other(other).read_bytes() == WEIGHTS


def test_a_repository_of_another_model_says_so(other: StandIn) -> None:
    other.files = {"config.json": b'{"model_type": "bert"}', "model.safetensors": WEIGHTS}
    with pytest.raises(CheckpointError, match="is not a CLIP of Hugging Face"):
        fetch_other(other)
    assert other.received() == ["config.json"], "the weights were fetched for nothing"


def test_pickled_tensors_are_taken_where_there_is_nothing_better(other: StandIn) -> None:
    name = "open_clip_pytorch_model.bin"
    other.files = {"open_clip_config.json": CONFIG, name: b"<html>log in first</html>"}
    with pytest.raises(BackboneError, match=r"is no checkpoint of PyTorch; it was thrown away"):
        fetch_other(other)
    other.files[name] = pickled()
    assert fetch_other(other).name == name


def test_a_file_that_is_named_by_the_registry() -> None:
    settings = BackboneSettings(name="ViTamin-S", weights="datacomp1b")
    with serving(StandIn(entry(settings).hub_id, {"pytorch_model.bin": pickled()})) as hub:
        assert fetch_other(hub, settings).name == "pytorch_model.bin"
        hub.files["pytorch_model.safetensors"] = WEIGHTS
        assert availability(settings).here


@pytest.fixture
def with_words(other: StandIn) -> StandIn:
    model = {**MODEL, "text_cfg": {"hf_tokenizer_name": "someone/words"}}
    other.files = {
        "open_clip_config.json": json.dumps({"model_cfg": model}).encode(),
        NAME: WEIGHTS,
        "tokenizer.json": WORDS,
        "tokenizer_config.json": b"{}",
    }
    return other


def test_a_tokenizer_of_its_own_comes_along(with_words: StandIn) -> None:
    fetch_other(with_words)
    assert with_words.received() == ["open_clip_config.json", NAME, "tokenizer_config.json", "tokenizer.json"]
    assert hf_hub_download("someone/words", "tokenizer.json", local_files_only=True)


def test_a_tokenizer_that_was_lacking_is_all_that_is_fetched_later(with_words: StandIn) -> None:
    whole = with_words.files
    with_words.files = {name: data for name, data in whole.items() if "tokenizer" not in name}
    with pytest.raises(BackboneError, match="has no tokenizer in someone/words"):
        fetch_other(with_words)
    assert "its tokenizer is not on this machine" in availability(OTHER).sentence
    with_words.files, before = whole, len(with_words.received())
    fetch_other(with_words)
    assert NAME not in with_words.received()[before:]
    assert availability(OTHER).here


def test_a_registered_backbone_with_a_tokenizer() -> None:
    settings = BackboneSettings(name="ViT-B-16-SigLIP", weights="webli")
    files = {NAME: WEIGHTS, "tokenizer.json": WORDS, "tokenizer_config.json": b"{}"}
    with serving(StandIn(entry(settings).hub_id, files)) as hub:
        fetch_other(hub, settings)
        assert is_here(entry(settings))
