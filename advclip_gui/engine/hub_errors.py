"""Say in one sentence what went wrong between this machine and a model hub, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from advclip_gui.engine.catalog import WAYS_OUT
from advclip_gui.engine.errors import BackboneError

if TYPE_CHECKING:
    from advclip_gui.engine.catalog import BackboneEntry

GOES_ON = "Try again: the download goes on where it stopped."
"""Hint wherever the part that came over is kept."""
SWITCHES: Final = {
    "HF_HUB_OFFLINE": "Unset HF_HUB_OFFLINE and start the program again.",
    "Work offline": "Switch 'Work offline' off.",
    "--offline": "Leave out --offline.",
}
"""What may forbid downloads, and how it is undone."""
_TRY_LATER = f"Try again in a few minutes. {WAYS_OUT}"
_CHECK_THE_WAY = (
    "Check the network, the proxy (HTTPS_PROXY) and the mirror (HF_ENDPOINT), then try again. " + WAYS_OUT
)


class Refused(Exception):  # noqa: N818 (an answer, turned into a sentence by `refusal`)
    """The hub answered with an error status.

    Attributes:
        status: of HTTP, 400 or more.
        code: the hub's own word for it (`X-Error-Code`), "" where there is none.
        retry_after: seconds the hub asks to wait, 0 where it does not say.
    """

    def __init__(self, status: int, code: str = "", retry_after: int = 0) -> None:
        """Keep the answer."""
        super().__init__(f"{status} {code}".strip())
        self.status = status
        self.code = code
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed in a moment; not where the hub names a time to wait."""
        return self.status == 408 or self.status >= 500 or (self.status == 429 and not self.retry_after)


class NotAHub(Exception):  # noqa: N818 (an answer, turned into a sentence by `not_a_hub`)
    """Something answered that is no model hub: a login page, a proxy, a wrong address."""


class WrongContent(Exception):  # noqa: N818 (an answer, turned into a sentence by `wrong_content`)
    """What came over is not the file that was promised; `what` completes "The download ..."."""

    def __init__(self, what: str) -> None:
        """Keep the end of the sentence."""
        super().__init__(what)
        self.what = what


@dataclass(frozen=True, slots=True)
class Place:
    """What is fetched from where; every sentence names it.

    Attributes:
        endpoint: address of the hub, without a slash at its end.
        has_token: whether the request carried one.
    """

    chosen: BackboneEntry
    endpoint: str
    has_token: bool = False

    @property
    def host(self) -> str:
        """The hub's name for people."""
        return urlsplit(self.endpoint).netloc or self.endpoint

    def offline(self, switch: str) -> BackboneError:
        """Downloads are switched off by the user; `switch` is one of `SWITCHES`."""
        return BackboneError(
            f"Downloads are switched off ({switch}) and {self.chosen.title} is not on this machine.",
            f"{SWITCHES[switch]} {WAYS_OUT}",
        )

    def unreachable(self, reason: str) -> BackboneError:
        """No connection at all."""
        if "CERTIFICATE" in reason.upper():
            return BackboneError(
                f"The certificate of {self.host} is not trusted, so {self.chosen.title} was not downloaded.",
                "Behind a company proxy, point SSL_CERT_FILE to its certificate, then try again.",
            )
        return BackboneError(
            f"{self.host} cannot be reached, so {self.chosen.title} was not downloaded.", _CHECK_THE_WAY
        )

    def bad_proxy(self, reason: str) -> BackboneError:
        """The proxy itself refuses, or its address is wrong."""
        return BackboneError(
            f"The proxy on the way to {self.host} does not work ({reason}).",
            "Correct HTTPS_PROXY, HTTP_PROXY, ALL_PROXY or NO_PROXY, then start the program again.",
        )

    def bad_address(self) -> BackboneError:
        """HF_ENDPOINT is no address."""
        return BackboneError(
            f"The address of the hub, '{self.endpoint}', is not a web address.",
            "Correct HF_ENDPOINT or unset it, then start the program again.",
        )

    def silent(self, seconds: float) -> BackboneError:
        """The hub let the first question time out."""
        return BackboneError(
            f"{self.host} did not answer within {seconds:g} s, so {self.chosen.title} was not downloaded.",
            _CHECK_THE_WAY,
        )

    def broken_off(self, done: int, total: int, *, timed_out: bool) -> BackboneError:
        """The transfer stopped half-way; `done` of `total` bytes (0: unknown) are kept."""
        of_total = f" of {megabytes(total)}" if total else ""
        what = f"{self.host} stopped sending" if timed_out else f"The connection to {self.host} broke"
        return BackboneError(f"{what} after {megabytes(done)}{of_total} of {self.chosen.title}.", GOES_ON)

    def not_a_hub(self) -> BackboneError:
        """A proxy or a login page answered."""
        return BackboneError(
            f"{self.host} answered, but not as a model hub does.",
            "A login page or proxy may stand in between, or HF_ENDPOINT is wrong; mend that and try again.",
        )

    def lacks(self, what: str) -> BackboneError:
        """The repository has none of the files that are needed; `what` names them."""
        return BackboneError(f"{self.host} has no {what} in {self.chosen.hub_id} (404).", WAYS_OUT)

    def wrong_content(self, what: str) -> BackboneError:
        """The file is not what was promised, and was removed."""
        return BackboneError(
            f"The download of {self.chosen.title} from {self.host} {what}; it was thrown away.",
            "Try again; if it happens again, choose another mirror with HF_ENDPOINT.",
        )

    def busy(self) -> BackboneError:
        """Another process fetches the same file."""
        return BackboneError(
            f"{self.chosen.title} is being downloaded by another program at this moment.",
            "Wait until it is done, then try again.",
        )

    def refusal(self, refused: Refused) -> BackboneError:
        """Turn an error status into a sentence."""
        host, hub_id = self.host, self.chosen.hub_id
        if refused.code == "GatedRepo":
            return BackboneError(
                f"{host} hands {hub_id} only to users who accepted its conditions ({refused.status}).",
                f"Accept them at {self.endpoint}/{hub_id}, set HF_TOKEN to your token, and try again.",
            )
        if refused.status == 401 and self.has_token:
            return BackboneError(
                f"{host} did not accept your token for {hub_id} (401).",
                "Set HF_TOKEN to a valid token, or unset it for open weights, and try again.",
            )
        if refused.status == 401:
            return BackboneError(
                f"{host} wants a token for {hub_id}, or has no such repository (401).",
                "Set HF_TOKEN to your token, or check HF_ENDPOINT, and try again.",
            )
        if refused.status == 403:
            return BackboneError(
                f"{host} refuses to hand out {hub_id} (403).",
                f"Check what your token (HF_TOKEN) may read, and that a proxy does not block it. {WAYS_OUT}",
            )
        if refused.status == 404:
            return BackboneError(
                f"{host} has no repository {hub_id} (404).", f"Check HF_ENDPOINT. {WAYS_OUT}"
            )
        if refused.status == 429:
            wait = f"Wait {refused.retry_after} s" if refused.retry_after else "Wait a few minutes"
            return BackboneError(
                f"{host} takes no more requests from here for now (429).",
                f"{wait}, or set HF_TOKEN, and try again.",
            )
        if refused.status >= 500:
            return BackboneError(f"{host} has a fault of its own just now ({refused.status}).", _TRY_LATER)
        return BackboneError(f"{host} refused the request for {hub_id} ({refused.status}).", _TRY_LATER)


def megabytes(count: int) -> str:
    """Write a number of bytes as the user reads it: ``"605 MB"``, ``"0.3 MB"``."""
    size = count / 1e6
    return f"{size:.0f} MB" if size >= 10 else f"{size:.1f} MB"
