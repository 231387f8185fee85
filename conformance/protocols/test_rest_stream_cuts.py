"""Every stream mode, cut at every event: the other replica goes on exactly where the client stands."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import httpx
import pytest

from agenthub_server.embedded import Postgres, Valkey
from protocols.rest_client import Frame, frames, http, joined
from testkit import hub
from testkit.processes import free_port

HI = {"messages": [{"role": "user", "content": "hi"}]}
NESTED: dict[str, Any] = {"assistant_id": "nested", "input": HI, "stream_subgraphs": True}
COUNT: dict[str, Any] = {"assistant_id": "count", "input": 5}
ASK: dict[str, Any] = {"assistant_id": "ask", "input": 5}
FAIL: dict[str, Any] = {"assistant_id": "fail_late", "input": {"log": []}}
TOOLED: dict[str, Any] = {"assistant_id": "tooled", "input": {"messages": []}}
MODES = ["values", "updates", "messages", "messages-tuple", "custom", "tasks", "checkpoints"]
MODES += ["debug", "events"]


@pytest.fixture(scope="module")
async def replicas(
    postgres: Postgres, valkey: Valkey, template: str
) -> AsyncGenerator[tuple[str, str]]:
    """Two servers and a worker over one database."""
    import asyncpg

    admin = await asyncpg.connect(postgres.url("postgres"))
    await admin.execute(f"create database hub_cuts template {template} strategy file_copy")
    await admin.close()
    config = hub.settings(postgres.url("hub_cuts"), valkey.url(11), drain_seconds=0.0)
    async with AsyncExitStack() as stack:
        urls: list[str] = []
        await stack.enter_async_context(hub.working(config, hub.FIXTURES / "rest_agents.py"))
        for _ in range(2):
            mine = replace(config, port=free_port())
            url, service = await stack.enter_async_context(hub.serving(mine))
            await service.agents.refresh()
            urls.append(url)
        yield urls[0], urls[1]


async def begun(raw: httpx.AsyncClient, body: Any, most: int) -> tuple[str, list[Frame]]:
    """Where a new run's stream is found again, and its first frames, at most so many."""
    found: list[Frame] = []
    async with raw.stream("POST", "/runs/stream", json=body) as response:
        assert response.status_code == 200, await response.aread()
        async for frame in frames(response.aiter_lines()):
            found.append(frame)
            if len(found) == most:
                break
        return response.headers["location"], found


@pytest.mark.parametrize(
    ("agent", "mode"),
    [
        *((NESTED, mode) for mode in MODES if mode != "custom"),
        (COUNT, "custom"),
        (ASK, ["values", "updates", "custom"]),
        (ASK, ["events", "updates"]),
        (FAIL, ["events", "values"]),
        (TOOLED, ["messages", "messages-tuple", "updates"]),
        (NESTED, MODES),
    ],
    ids=lambda given: given["assistant_id"] if isinstance(given, dict) else str(given),
)
async def test_a_client_that_is_cut_anywhere_misses_and_repeats_nothing(
    replicas: tuple[str, str], agent: Any, mode: Any
) -> None:
    body = {**agent, "stream_mode": mode}
    async with http(replicas[0]) as raw, http(replicas[1]) as other:
        location, whole = await begun(raw, body, 1_000)
        assert whole[-1].event == "end"
        assert {frame.event.partition("|")[0].partition("/")[0] for frame in whole} > {"metadata"}
        assert await joined(other, location) == whole
        for at, frame in enumerate(whole, 1):
            # after the end: each place leads to exactly what came behind it
            after = {"Last-Event-ID": str(frame.id)}
            assert await joined(other, location, headers=after) == whole[at:]
        for at in range(1, len(whole), max(1, len(whole) // 12)):
            # and while it runs: a new run, cut off, is taken up at the other replica
            location, seen = await begun(raw, body, at)
            after = {"Last-Event-ID": str(seen[-1].id)}
            rest = await joined(other, location, headers=after)
            assert [*seen, *rest] == await joined(raw, location)
