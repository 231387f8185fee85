"""Modern requests by hand: each with the capabilities, the headers and the replica that the test says."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from protocols.mcp_client import MODERN
from testkit.waiting import eventually

TASKS: Final = "io.modelcontextprotocol/tasks"
WITH_TASKS: Final[dict[str, Any]] = {"elicitation": {}, "extensions": {TASKS: {}}}
_NAMED: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


class Wire:
    """A client of 2026-07-28 that says exactly what it is told to."""

    def __init__(
        self, raw: httpx.AsyncClient, capabilities: dict[str, Any], path: str = "/mcp"
    ) -> None:
        self.raw = raw
        self.capabilities = capabilities
        self.path = path

    def request(self, method: str, params: dict[str, Any], **headers: str | None) -> dict[str, Any]:
        """What httpx sends: `json` and `headers`; a header of None is left out."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
        }
        name = params.get("taskId") or params.get(_NAMED.get(method, ""))
        sent = {
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": MODERN,
            "Mcp-Method": method,
            "Mcp-Name": name,
            **headers,
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
        return {"json": body, "headers": {k: v for k, v in sent.items() if v is not None}}

    async def post(
        self, at: str, method: str, params: dict[str, Any] | None = None, **headers: str | None
    ) -> dict[str, Any]:
        """The JSON-RPC response to a request, however it is sent."""
        sent = self.request(method, params or {}, **headers)
        answer = await self.raw.post(f"{at}{self.path}", **sent)
        if answer.headers["content-type"].startswith("text/event-stream"):
            frames = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
            return json.loads(frames[-1])
        return answer.json()

    async def ask(
        self, at: str, method: str, params: dict[str, Any] | None = None, **headers: str | None
    ) -> dict[str, Any]:
        """The result of a request."""
        response = await self.post(at, method, params, **headers)
        assert "result" in response, response
        return response["result"]

    async def refused(
        self, at: str, method: str, params: dict[str, Any] | None = None, **headers: str | None
    ) -> dict[str, Any]:
        """The error of a request."""
        response = await self.post(at, method, params, **headers)
        assert "error" in response, response
        return response["error"]

    async def call(self, at: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The result of a call."""
        return await self.ask(at, "tools/call", {"name": tool, "arguments": arguments})

    async def until(self, at: str, task_id: str, status: str) -> dict[str, Any]:
        """A task, once it stands like this."""
        seen: dict[str, Any] = {}

        async def stands() -> bool:
            seen.update(await self.ask(at, "tasks/get", {"taskId": task_id}))
            return seen["status"] == status

        await eventually(stands, within=20)
        return await self.ask(at, "tasks/get", {"taskId": task_id})

    @asynccontextmanager
    async def listen(
        self, at: str, **notifications: Any
    ) -> AsyncGenerator[AsyncGenerator[dict[str, Any]]]:
        """The messages of a listen stream; the first one acknowledges it."""
        sent = self.request("subscriptions/listen", {"notifications": notifications})
        async with self.raw.stream("POST", f"{at}{self.path}", **sent) as response:
            assert response.status_code == 200, await response.aread()
            yield _messages(response)


@asynccontextmanager
async def wire(
    capabilities: dict[str, Any] | None = None, *, path: str = "/mcp"
) -> AsyncGenerator[Wire]:
    """A modern client, which takes tasks and answers forms unless told otherwise."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as raw:
        yield Wire(raw, WITH_TASKS if capabilities is None else capabilities, path)


async def _messages(response: httpx.Response) -> AsyncGenerator[dict[str, Any]]:
    async for line in response.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line[6:])
