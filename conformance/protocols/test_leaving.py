"""A server that leaves tells whoever still asks to come again, and does not fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message

from agenthub_server.cli.leaving import Cut


@asynccontextmanager
async def lifespan_of(app: Any) -> AsyncGenerator[None]:
    """What a server tells an application before its first request and after its last."""
    told: asyncio.Queue[Message] = asyncio.Queue()
    heard: asyncio.Queue[Message] = asyncio.Queue()
    told.put_nowait({"type": "lifespan.startup"})
    async with asyncio.TaskGroup() as group:
        group.create_task(app({"type": "lifespan"}, told.get, heard.put))
        assert (await heard.get())["type"] == "lifespan.startup.complete"
        yield
        told.put_nowait({"type": "lifespan.shutdown"})
        assert (await heard.get())["type"] == "lifespan.shutdown.complete"


async def test_a_request_that_comes_after_the_surfaces_are_closed_is_to_come_again() -> None:
    async def answer(_: Request) -> PlainTextResponse:
        return PlainTextResponse("here")

    app = Cut(Starlette(routes=[Route("/", answer)]))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://hub"
    ) as client:
        async with lifespan_of(app):
            assert (await client.get("/")).text == "here"
        late = await client.get("/")
    assert (late.status_code, late.json()["code"]) == (503, "unavailable")
    # to another server, not over this connection
    assert (late.headers["retry-after"], late.headers["connection"]) == ("1", "close")
