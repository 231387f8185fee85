"""Calls to a remote agent: to the hosts that its operator named, and no further.

The address is the operator's own, so it may be private. What the other side says of itself may lead
elsewhere only as far as `hosts` allows: every request is checked, those behind a redirect too. What comes
back is bounded, and secrets are read from the environment when a call is made, and kept nowhere.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from functools import lru_cache
from types import ModuleType
from typing import Any, Final, cast
from urllib.parse import urlsplit

from agenthub import tracing
from agenthub.errors import AgentFailed, Invalid
from agenthub.remotes import Remote

MOST_BYTES: Final = 16 * 1024 * 1024
"""Of a response; of a stream: of one line."""
CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 60.0
"""How long a stream may be silent before it is taken for dead and opened again."""
PORTS: Final = {"http": 80, "https": 443}


def check(remote: Remote, url: str) -> None:
    """Insist that a URL may be called.

    Raises:
        AgentFailed: it leads elsewhere than the operator said.
    """
    if not allows(remote, url):
        host = urlsplit(url).netloc.rpartition("@")[2]
        raise AgentFailed(
            f"{remote.url} leads to {host!r}, which is not its own host: add it to the agent's "
            "`hosts` if that is right"
        )


def allows(remote: Remote, url: str) -> bool:
    """Whether a URL is at the declared host, or at one of `hosts`; never from https to http."""
    own, asked = urlsplit(remote.url), urlsplit(url)
    if asked.scheme not in PORTS or (own.scheme == "https" and asked.scheme != "https"):
        return False
    host, port = (asked.hostname or "").lower(), asked.port or PORTS[asked.scheme]
    if host == own.hostname and port in (own.port or PORTS[own.scheme], *_upgrade(own, asked)):
        return True
    shown = f"[{host}]" if ":" in host else host
    return shown in remote.hosts or f"{shown}:{port}" in remote.hosts


def secrets(remote: Remote) -> dict[str, str]:
    """The headers that authenticate, with their values.

    Raises:
        Invalid: a variable is not set.
    """
    found: dict[str, str] = {}
    for name, variable in remote.headers.items():
        value = os.environ.get(variable)
        if not value:
            raise Invalid(
                f"{remote.url}: its header {name} needs the variable {variable}, "
                "which is not set in this worker's environment"
            )
        found[name] = value
    return found


def client(
    library: ModuleType, remote: Remote, *, headers: Mapping[str, str], read_seconds: float
) -> Any:
    """An `AsyncClient` of httpx or httpx2, to be entered: it goes where `remote` allows and reads no
    more than it should. `headers` go along with every request, and so does the trace of the run."""
    bounded = _bounded(library)

    async def before(request: Any) -> None:
        check(remote, str(request.url))

    async def behind(response: Any) -> None:
        streamed = response.headers.get("content-type", "").startswith("text/event-stream")
        response.stream = bounded(response.stream, remote.url, streamed)

    return cast("Any", library).AsyncClient(
        headers={"user-agent": "agenthub", **headers, **(tracing.current() or {})},
        # nothing that would have to be unpacked, and no proxy that would learn our secrets
        trust_env=False,
        follow_redirects=True,
        max_redirects=3,
        verify=_tls(),
        event_hooks={"request": [_identity, before], "response": [behind]},
        timeout=cast("Any", library).Timeout(read_seconds, connect=CONNECT_SECONDS),
    )


async def _identity(request: Any) -> None:
    request.headers["accept-encoding"] = "identity"


@lru_cache
def _bounded(library: ModuleType) -> Callable[[Any, str, bool], Any]:
    """A class of streams that end with an error when they grow too long: by its library's own base."""

    class Bounded(cast("Any", library).AsyncByteStream):
        def __init__(self, inner: Any, url: str, by_line: bool) -> None:
            self.inner, self.url, self.by_line = inner, url, by_line

        async def __aiter__(self) -> AsyncIterator[bytes]:
            read = 0
            async for chunk in self.inner:
                ends = chunk.rfind(b"\n") if self.by_line else -1
                read = read + len(chunk) if ends < 0 else len(chunk) - ends - 1
                if read > MOST_BYTES:
                    raise AgentFailed(f"{self.url} answered with more than {MOST_BYTES} bytes")
                yield chunk

        async def aclose(self) -> None:
            await self.inner.aclose()

    return Bounded


@lru_cache
def _tls() -> ssl.SSLContext:
    # made once: reading all authorities takes longer than a call
    return ssl.create_default_context()


def _upgrade(own: Any, asked: Any) -> tuple[int, ...]:
    """From http to https on the usual ports is no way elsewhere."""
    usual = own.port is None and asked.port is None
    return (443,) if usual and own.scheme == "http" and asked.scheme == "https" else ()
