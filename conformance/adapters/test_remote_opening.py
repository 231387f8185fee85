"""Which era an MCP server is of: a server that is away has not said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from mcp_types.version import LATEST_HANDSHAKE_VERSION
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from agenthub.errors import AgentFailed
from agenthub.json import JsonObject
from agenthub_remote import RemoteMcp
from agenthub_remote.mcp_tools import agents_of, tool_of
from agenthub_remote.patience import transient
from testkit.hub import Quiet
from testkit.processes import free_port
from testkit.waiting import eventually

RESULTS: dict[str, JsonObject] = {
    "initialize": {
        "protocolVersion": LATEST_HANDSHAKE_VERSION,
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "old", "version": "1"},
    },
    "tools/list": {"tools": [{"name": "only", "inputSchema": {"type": "object"}}]},
}


@asynccontextmanager
async def old_server(status: int) -> AsyncGenerator[tuple[str, list[str]]]:
    """A server of the handshake era, which answers the newer era's question so; and what it was asked."""
    asked: list[str] = []

    async def answer(request: Request) -> Response:
        message: JsonObject = await request.json()
        asked.append(message["method"])
        if message["method"] == "server/discover":
            return PlainTextResponse("something is wrong", status)
        if "id" not in message:
            return Response(status_code=202)
        said = {"jsonrpc": "2.0", "id": message["id"], "result": RESULTS[message["method"]]}
        return JSONResponse(said)

    port = free_port()
    app = Starlette(routes=[Route("/mcp", answer, methods=["POST"])])
    server = Quiet(uvicorn.Config(app, port=port, log_level="warning", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started or serving.done())
    try:
        yield f"http://127.0.0.1:{port}/mcp", asked
    finally:
        server.should_exit = True
        await serving


async def test_a_server_that_fails_on_the_newer_question_is_asked_in_its_own_era() -> None:
    async with old_server(500) as (url, asked):
        agent = RemoteMcp(url, tool="only")
        await agents_of(agent)
        assert not (await tool_of(agent)).modern
    assert asked[:2] == ["server/discover", "initialize"]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_server_that_is_away_is_asked_again_later_and_not_taken_for_an_older_one(
    status: int,
) -> None:
    async with old_server(status) as (url, asked):
        with pytest.raises(AgentFailed, match=str(status)) as failed:
            await agents_of(RemoteMcp(url))
    assert transient(failed.value)
    assert asked == ["server/discover"]
