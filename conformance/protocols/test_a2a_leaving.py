"""Clients that leave while they wait for an answer: nobody waits in their place, and the task goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message

from agenthub.json import dumps
from agenthub.principal import ANONYMOUS
from agenthub_a2a import A2A
from agenthub_server.embedded import Postgres
from agenthub_server.wiring import open_hub
from protocols.a2a_client import PATIENCE_SECONDS, agent, state
from protocols.test_a2a_tasks import listed
from testkit import hub
from testkit.waiting import eventually

OLD = {"kind": "message", "role": "user"}
NEW = {"role": "ROLE_USER"}


@pytest.fixture
async def app(hub_url: str, postgres: Postgres) -> AsyncGenerator[ASGIApp]:
    """A second server on the hub's database, which is talked to without a network."""
    async with open_hub(hub.settings(postgres.url("hub_a2a_agents"), None)) as service:
        await service.agents.refresh()
        surface = A2A(
            service,
            public_url=None,
            default_agent=None,
            principal=lambda _: ANONYMOUS,
            max_body_bytes=1 << 20,
        )
        yield Starlette(routes=surface.routes)


def rpc(method: str, message: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"message": message}}


@pytest.mark.parametrize(
    ("path", "method"),
    [("", "SendMessage"), ("", "message/send"), ("/message:send", ""), ("/v1/message:send", "")],
)
async def test_a_client_that_leaves_ends_the_wait_and_not_the_task(
    app: ASGIApp, hub_url: str, tmp_path: Path, path: str, method: str
) -> None:
    gate, context = tmp_path / "gate", str(uuid4())
    data = {"gate": str(gate)}
    message: dict[str, Any] = {"messageId": "1", "contextId": context}
    if path.startswith("/v1"):
        message |= {**NEW, "content": [{"data": {"data": data}}]}
    elif method == "message/send":
        message |= {**OLD, "parts": [{"kind": "data", "data": data}]}
    else:
        message |= {**NEW, "parts": [{"data": data}]}
    body = rpc(method, message) if method else {"message": message}
    told: asyncio.Queue[Message] = asyncio.Queue()
    told.put_nowait({"type": "http.request", "body": dumps(body), "more_body": False})

    async def send(_: Message) -> None:
        """Nobody reads it."""

    scope = {
        "type": "http", "method": "POST", "path": f"/agents/gated/a2a{path}", "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"host", b"hub")],
        "http_version": "1.1", "scheme": "http", "server": ("hub", 80), "root_path": "",
    }  # fmt: skip
    async with asyncio.timeout(PATIENCE_SECONDS), agent(hub_url, "gated") as gated:
        answering = asyncio.ensure_future(app(scope, told.get, send))
        try:

            async def stands(wanted: str) -> bool:
                page = await listed(gated, context_id=context)
                return [state(task) for task in page.tasks] == [wanted]

            await eventually(lambda: stands("WORKING"))
            assert not answering.done()
            told.put_nowait({"type": "http.disconnect"})
            await answering
            assert await stands("WORKING")
            gate.touch()
            await eventually(lambda: stands("COMPLETED"))
        finally:
            gate.touch()
            answering.cancel()
