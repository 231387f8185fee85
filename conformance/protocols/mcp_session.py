"""A handshake session by hand: each request to the replica that the test says."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx

ACCEPT = {"Accept": "application/json, text/event-stream"}
VERSION = "2025-11-25"


@dataclass(frozen=True, slots=True)
class Frame:
    """A server-sent event; `message` is None for one that only gives an id."""

    id: str
    message: dict[str, Any] | None


class Hand:
    """A client in a session. `at` is the address of a replica."""

    def __init__(self, raw: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self.raw = raw
        self.headers = headers
        self._ids = count(1)

    async def post(self, at: str, message: dict[str, Any], **headers: str) -> httpx.Response:
        """Post a message."""
        body = {"jsonrpc": "2.0", **message}
        return await self.raw.post(f"{at}/mcp", json=body, headers={**self.headers, **headers})

    async def ask(self, at: str, method: str, **params: Any) -> dict[str, Any]:
        """Post a request that is answered in one piece."""
        request = {"id": next(self._ids), "method": method, "params": params}
        answer = await self.post(at, request)
        assert answer.status_code == 200, answer.text
        return answer.json()

    @asynccontextmanager
    async def call(
        self, at: str, tool: str, arguments: dict[str, Any], **meta: Any
    ) -> AsyncGenerator[tuple[int, AsyncGenerator[Frame]]]:
        """Call a tool: the request's id, and the frames of its stream."""
        request_id = next(self._ids)
        params = {"name": tool, "arguments": arguments, "_meta": meta}
        body = {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params}
        async with self.raw.stream(
            "POST", f"{at}/mcp", json=body, headers=self.headers
        ) as response:
            assert response.status_code == 200, await response.aread()
            yield request_id, frames(response)

    @asynccontextmanager
    async def listen(
        self, at: str, last: str | None = None
    ) -> AsyncGenerator[AsyncGenerator[Frame]]:
        """Open a stream, behind an event or for news."""
        headers = self.headers if last is None else {**self.headers, "Last-Event-ID": last}
        async with self.raw.stream("GET", f"{at}/mcp", headers=headers) as response:
            assert response.status_code == 200, await response.aread()
            yield frames(response)

    async def reply(self, at: str, question: dict[str, Any], **content: Any) -> None:
        """Accept a question."""
        result = {"action": "accept", "content": content}
        answer = await self.post(at, {"id": question["id"], "result": result})
        assert answer.status_code == 202


@asynccontextmanager
async def session(
    at: str, *, version: str = VERSION, elicitation: dict[str, Any] | None = None
) -> AsyncGenerator[Hand]:
    """A session that begins at a replica, with elicitation: forms, unless told otherwise."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as raw:
        params = {
            "protocolVersion": version,
            "capabilities": {"elicitation": elicitation or {}},
            "clientInfo": {"name": "hand", "version": "1"},
        }
        body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        answer = await raw.post(f"{at}/mcp", json=body, headers=ACCEPT)
        assert answer.status_code == 200, answer.text
        assert answer.json()["result"]["protocolVersion"] == version
        id = answer.headers["mcp-session-id"]
        yield Hand(raw, {**ACCEPT, "Mcp-Session-Id": id, "MCP-Protocol-Version": version})


async def frames(response: httpx.Response) -> AsyncGenerator[Frame]:
    """The events of a stream."""
    id, data = "", ""
    async for line in response.aiter_lines():
        name, _, value = line.partition(":")
        if name == "id":
            id = value.strip()
        elif name == "data":
            data = value.strip()
        elif not line and id:
            yield Frame(id, json.loads(data) if data else None)
            id, data = "", ""
