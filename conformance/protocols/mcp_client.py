"""The official MCP client, as the MCP tests use it, and raw HTTP where it is too polite."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import mcp_types as types
from mcp import Client

MODERN: Final = "2026-07-28"
LEGACY: Final = "legacy"
ERAS: Final = (MODERN, LEGACY)

Reply = dict[str, Any] | types.ElicitResult
Replies = dict[str, Reply | list[Reply]]


def client(url: str, era: str, replies: Replies | None = None, *, path: str = "/mcp") -> Client:
    """A client; with `replies`, by what the question begins with, it declares elicitation.

    A reply is the content of an accepted form; a list is used up, one reply for each time that the
    question is asked.
    """
    asked = None if replies is None else _answering(replies)
    return Client(f"{url}{path}", mode=era, elicitation_callback=asked)


def declined() -> types.ElicitResult:
    """The reply of a user who says no."""
    return types.ElicitResult(action="decline")


def said(result: types.CallToolResult) -> str:
    """All text of a result."""
    return "\n".join(c.text for c in result.content if isinstance(c, types.TextContent))


def task_of(result: types.CallToolResult) -> str:
    """The id of the task that a result belongs to."""
    assert result.meta is not None
    return result.meta["agenthub/task_id"]


class Heard:
    """Progress notifications, as they come in."""

    def __init__(self, on: Callable[[str], None] | None = None) -> None:
        self.numbers: list[float] = []
        self.messages: list[str] = []
        self.on = on

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self.numbers.append(progress)
        self.messages.append(message or "")
        if self.on is not None:
            self.on(message or "")


@asynccontextmanager
async def http(url: str) -> AsyncGenerator[httpx.AsyncClient]:
    """An HTTP client that speaks to the hub directly, whatever the environment says of proxies."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as raw:
        yield raw


def modern_headers(method: str, name: str | None = None) -> dict[str, str]:
    """What every modern request must carry."""
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": method,
    }
    return headers if name is None else {**headers, "Mcp-Name": name}


def modern_call(name: str, arguments: dict[str, Any], **params: Any) -> dict[str, Any]:
    """The body of a modern `tools/call`."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
    }
    params = {"name": name, "arguments": arguments, "_meta": meta, **params}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


async def open_session(raw: httpx.AsyncClient) -> dict[str, str]:
    """The headers of a handshake session, without elicitation."""
    headers = {"Accept": "application/json, text/event-stream"}
    params = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    answer = await raw.post("/mcp", json=body, headers=headers)
    headers["Mcp-Session-Id"] = answer.headers["mcp-session-id"]
    headers["MCP-Protocol-Version"] = "2025-06-18"
    initialized = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert (await raw.post("/mcp", json=initialized, headers=headers)).status_code == 202
    return headers


def _answering(replies: Replies) -> Any:
    async def answer(_: Any, params: types.ElicitRequestFormParams) -> types.ElicitResult:
        # A repeated question begins with what was wrong with the first answer.
        matching = (r for text, r in replies.items() if text in params.message)
        reply = next(matching)
        if isinstance(reply, list):
            reply = reply.pop(0)
        if isinstance(reply, types.ElicitResult):
            return reply
        return types.ElicitResult(action="accept", content=reply)

    return answer
