"""What a check talks to: one server over raw HTTP, every exchange written down.

A probe asserts the status that the check expects, unless it is `lenient`: then the exchange is only
written down, for two servers to be compared.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import uuid4

import httpx

Json: TypeAlias = Any
PATIENCE_SECONDS = 30.0
Status: TypeAlias = int | tuple[int, ...]
REFUSED = (400, 422)
"""A request that is wrong in a way that servers disagree on how to call."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One server-sent event; comments are none."""

    event: str
    data: Json
    id: str | None


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what came back; a stream has frames, anything else a body."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    body: Json = None
    frames: tuple[Frame, ...] | None = None


@dataclass(slots=True)
class Probe:
    """One check's requests. `mark` is metadata that no other check uses."""

    client: httpx.AsyncClient
    lenient: bool = False
    mark: dict[str, str] = field(default_factory=lambda: {"check": uuid4().hex})
    exchanges: list[Exchange] = field(default_factory=list[Exchange])

    async def get(self, path: str, *, status: Status = 200, **query: Any) -> Json:
        """The body of the answer to a GET."""
        return await self.call("GET", path, status=status, params=query)

    async def post(
        self, path: str, body: Json = None, *, status: Status = 200, **query: Any
    ) -> Json:
        """The body of the answer to a POST."""
        return await self.call("POST", path, status=status, json=body, params=query)

    async def call(self, method: str, path: str, *, status: Status = 200, **how: Any) -> Json:
        """The decoded body, None when there is none.

        Raises:
            AssertionError: the status is another one.
        """
        response = await self._sent(method, path, **how)
        body = _decoded(response.content)
        self._note(response, method, path, body=body)
        self._hold(response, status, response.text)
        return body

    async def _sent(self, method: str, path: str, **how: Any) -> httpx.Response:
        try:
            return await self.client.request(method, path, **how)
        except (httpx.ReadError, httpx.RemoteProtocolError):
            # servers close a connection behind a failure of theirs: what comes next is lost with it
            return await self.client.request(method, path, **how)

    async def stream(
        self,
        method: str,
        path: str,
        *,
        until: str | None = None,
        status: Status = 200,
        **how: Any,
    ) -> list[Frame]:
        """The frames of a stream, up to the first event named `until` or to its end."""
        frames: list[Frame] = []
        async with self.client.stream(method, path, **how) as response:
            if response.headers.get("content-type", "").startswith("text/event-stream"):
                async for frame in _frames(response.aiter_lines()):
                    frames.append(frame)
                    if frame.event == until:
                        break
                self._note(response, method, path, frames=tuple(frames))
            else:
                self._note(response, method, path, body=_decoded(await response.aread()))
            self._hold(response, status, "a stream")
        return frames

    async def thread(self, **body: Json) -> str:
        """The id of a new thread."""
        made = await self.post("/threads", body)
        return str(made["thread_id"])

    async def run(self, thread_id: str, agent: str, given: Json, **more: Json) -> Json:
        """The last values of a new run on a thread."""
        body = {"assistant_id": agent, "input": given, **more}
        return await self.post(f"/threads/{thread_id}/runs/wait", body)

    async def started(self, thread_id: str, agent: str, given: Json, **more: Json) -> str:
        """The id of a new run on a thread, which may not have begun."""
        body = {"assistant_id": agent, "input": given, **more}
        return str((await self.post(f"/threads/{thread_id}/runs", body))["run_id"])

    @property
    def last(self) -> Exchange:
        """The last exchange."""
        return self.exchanges[-1]

    def _note(
        self,
        response: httpx.Response,
        method: str,
        path: str,
        *,
        body: Json = None,
        frames: tuple[Frame, ...] | None = None,
    ) -> None:
        headers = dict(response.headers)
        noted = Exchange(method, path, response.status_code, headers, body, frames)
        self.exchanges.append(noted)

    def _hold(self, response: httpx.Response, status: Status, text: str) -> None:
        if not self.lenient:
            asked = f"{response.request.method} {response.request.url.path}"
            got = f"{asked} answered {response.status_code}, not {status}: {text[:300]}"
            wanted = status if isinstance(status, tuple) else (status,)
            assert response.status_code in wanted, got


@asynccontextmanager
async def connection(
    url: str, headers: Mapping[str, str] | None = None
) -> AsyncGenerator[httpx.AsyncClient]:
    """An HTTP client for probes of the server at `url`."""
    # shorter than servers keep an idle connection, so that none is closed under a request
    limits = httpx.Limits(max_connections=None, keepalive_expiry=2.0)
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=PATIENCE_SECONDS, limits=limits
    ) as client:
        yield client


def _decoded(content: bytes) -> Json:
    if not content.strip():
        return None
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")


async def _frames(lines: AsyncIterator[str]) -> AsyncIterator[Frame]:
    fields: dict[str, str] = {}
    async for line in lines:
        if line:
            name, _, value = line.partition(":")
            if name:
                fields[name] = value.removeprefix(" ")
        elif fields:
            yield Frame(
                fields.get("event", ""), _decoded(fields.get("data", "").encode()), fields.get("id")
            )
            fields = {}
