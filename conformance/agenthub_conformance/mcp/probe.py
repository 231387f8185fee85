"""What a check talks to: one MCP endpoint over raw HTTP, in either era, each request a connection of its
own, so that a balancer may take it to another replica."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, TypeAlias

import httpx

Json: TypeAlias = Any
MODERN: Final = "2026-07-28"
HANDSHAKE: Final = "2025-11-25"
TASKS: Final = "io.modelcontextprotocol/tasks"
ACCEPT: Final = "application/json, text/event-stream"
PATIENCE_SECONDS: Final = 30.0
NAMED_BY: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
ROUNDS: Final = 6
"""Requests in a row that reach every replica behind any balancer worth the name."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response: its messages in order, and the ids of its events."""

    status: int
    headers: httpx.Headers
    messages: tuple[Json, ...] = ()
    ids: tuple[str, ...] = ()

    @property
    def result(self) -> Json:
        """The result.

        Raises:
            AssertionError: there is none.
        """
        assert self.messages, f"answered {self.status} without a message"
        told = f"answered {self.status}: {json.dumps(self.messages[-1])[:300]}"
        assert "result" in self.messages[-1], told
        return self.messages[-1]["result"]

    @property
    def error(self) -> int | None:
        """The code of the error, None when it is none."""
        return self.messages[-1].get("error", {}).get("code") if self.messages else None


@dataclass(slots=True)
class Probe:
    """One check's requests to the endpoint at `url`."""

    url: str
    headers: dict[str, str] = field(default_factory=dict[str, str])
    _ids: count[int] = field(default_factory=lambda: count(1))

    async def modern(
        self,
        method: str,
        params: Json = None,
        *,
        declares: Json = None,
        version: str = MODERN,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """A request of the stateless revision. A header that is None is left out."""
        given: dict[str, Json] = dict(params or {})
        meta: dict[str, Json] = {
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": declares or {},
            **given.get("_meta", {}),
        }
        sent: dict[str, str | None] = {"mcp-protocol-version": version, "mcp-method": method}
        name = given.get(NAMED_BY.get(method, "taskId"))
        if isinstance(name, str):
            sent["mcp-name"] = name
        sent.update(headers or {})
        body: Json = {"jsonrpc": "2.0", "id": next(self._ids), "method": method}
        body["params"] = {**given, "_meta": meta}
        return await self.send("POST", body, {k: v for k, v in sent.items() if v is not None})

    async def call(self, name: str, arguments: Json = None, *, declares: Json = None) -> Json:
        """The result of a stateless `tools/call`."""
        params: Json = {"name": name, "arguments": arguments or {}}
        return (await self.modern("tools/call", params, declares=declares)).result

    async def session(self, **capabilities: Json) -> Session:
        """A new session of the handshake era."""
        params: Json = {
            "protocolVersion": HANDSHAKE,
            "capabilities": capabilities,
            "clientInfo": {"name": "agenthub-conformance", "version": "1"},
        }
        body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        answer = await self.send("POST", body, {})
        version = answer.result["protocolVersion"]
        headers = {"mcp-protocol-version": version}
        if "mcp-session-id" in answer.headers:
            headers["mcp-session-id"] = answer.headers["mcp-session-id"]
        session = Session(self, headers)
        await session.notify("notifications/initialized")
        return session

    async def send(self, method: str, body: Json, headers: dict[str, str]) -> Answer:
        """An HTTP request, and all that comes back."""
        async with self.stream(method, body, headers) as response:
            if _is_stream(response):
                frames = [frame async for frame in events(response.aiter_lines())]
                messages = tuple(json.loads(data) for _, data in frames if data)
                ids = tuple(id_ for id_, _ in frames if id_)
                return Answer(response.status_code, response.headers, messages, ids)
            content = await response.aread()
        try:
            messages = (json.loads(content),) if content.strip() else ()
        except ValueError:
            messages = ()
        return Answer(response.status_code, response.headers, messages)

    @asynccontextmanager
    async def stream(
        self, method: str, body: Json, headers: dict[str, str]
    ) -> AsyncGenerator[httpx.Response]:
        """An HTTP response that is still being read."""
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"accept": ACCEPT, "content-type": "application/json", **self.headers, **headers}
        async with (
            httpx.AsyncClient(timeout=PATIENCE_SECONDS, trust_env=False) as client,
            client.stream(method, self.url, content=content, headers=sent) as response,
        ):
            yield response


@dataclass(slots=True)
class Session:
    """A session of the handshake era."""

    probe: Probe
    headers: dict[str, str]
    _ids: count[int] = field(default_factory=lambda: count(1))

    async def request(self, method: str, params: Json = None) -> Answer:
        """A request, and all that comes back."""
        return await self.probe.send("POST", self.message(method, params), self.headers)

    async def notify(self, method: str) -> Answer:
        """A notification."""
        body = {"jsonrpc": "2.0", "method": method}
        return await self.probe.send("POST", body, self.headers)

    async def after(self, event_id: str) -> Answer:
        """What follows an event, to the end of its stream."""
        return await self.probe.send("GET", None, {**self.headers, "last-event-id": event_id})

    def message(self, method: str, params: Json = None) -> Json:
        """A request's body."""
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method}
        return body if params is None else {**body, "params": params}


async def events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str | None, str]]:
    """The id and the data of each server-sent event."""
    fields: dict[str, str] = {}
    async for line in lines:
        if line:
            name, _, value = line.partition(":")
            if name:
                fields[name] = value.removeprefix(" ")
        elif fields:
            yield fields.get("id"), fields.get("data", "")
            fields = {}


def _is_stream(response: httpx.Response) -> bool:
    return response.headers.get("content-type", "").startswith("text/event-stream")
