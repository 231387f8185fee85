"""A2A streams over bare HTTP, with the id of every event, which the official client does not show."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import ParseDict


@dataclass(frozen=True, slots=True)
class Told:
    """An event of a stream."""

    id: str | None
    event: pb.StreamResponse


class Raw:
    """An agent over bare HTTP, by either binding."""

    def __init__(self, http: httpx.AsyncClient, binding: str) -> None:
        self.http = http
        self.binding = binding

    def sent(self, content: Any) -> tuple[str, str, Any]:
        """A request that sends a message and streams what comes of it."""
        part = {"text": content} if isinstance(content, str) else {"data": content}
        message = {"messageId": str(uuid4()), "role": "ROLE_USER", "parts": [part]}
        return self._request("SendStreamingMessage", "/message:stream", {"message": message})

    def subscribed(self, id: str) -> tuple[str, str, Any]:
        """A request that follows a task."""
        return self._request("SubscribeToTask", f"/tasks/{id}:subscribe", {"id": id})

    def _request(self, method: str, path: str, params: Any) -> tuple[str, str, Any]:
        if self.binding == "HTTP+JSON":
            return "POST", path, params
        return "POST", "", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}

    @asynccontextmanager
    async def stream(
        self, request: tuple[str, str, Any], last: str | None = None
    ) -> AsyncGenerator[AsyncIterator[Told]]:
        method, path, body = request
        headers = {} if last is None else {"Last-Event-ID": last}
        async with self.http.stream(method, path, json=body, headers=headers) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            yield _told(response.aiter_lines())

    async def refusal(self, id: str, last: str) -> str:
        """The reason for which a reader cannot go on."""
        method, path, body = self.subscribed(id)
        response = await self.http.request(method, path, json=body, headers={"Last-Event-ID": last})
        text = response.text
        if response.headers["content-type"].startswith("text/event-stream"):
            text = next(li for li in text.splitlines() if li.startswith("data:"))[5:]
        error = json.loads(text)["error"]
        return str((error.get("details") or error["data"])[0]["reason"])


async def _told(lines: AsyncIterator[str]) -> AsyncIterator[Told]:
    fields: dict[str, str] = {}
    async for line in lines:
        name, _, value = line.partition(":")
        if line and name:
            fields[name] = value.strip()
        elif fields.get("data"):
            said = json.loads(fields["data"])
            event = ParseDict(said.get("result") or said, pb.StreamResponse())
            yield Told(fields.get("id"), event)
            fields = {}
