"""What A2A costs: many who watch one task are one reader, and a task is read by what it shows."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from agenthub_postgres.events import PostgresEventLog
from protocols.a2a_client import PATIENCE_SECONDS, agent, data, kinds, streamed
from protocols.a2a_raw import Raw
from testkit.waiting import eventually

SUBSCRIBERS = 200


@pytest.mark.slow
async def test_two_hundred_who_watch_a_task_cost_one_reader(
    hub_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    read = PostgresEventLog.read

    async def counted(self: PostgresEventLog, *args: Any, **how: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read(self, *args, **how)

    gate = tmp_path / "gate"
    unlimited = httpx.Limits(max_connections=None)
    async with (
        agent(hub_url, "gated") as gated,
        httpx.AsyncClient(
            base_url=f"{hub_url}/agents/gated/a2a",
            limits=unlimited,
            trust_env=False,
            timeout=PATIENCE_SECONDS,
        ) as http,
        asyncio.TaskGroup() as group,
    ):
        task = await gated.send({"gate": str(gate)}, returnImmediately=True)
        raw = Raw(http, "JSONRPC")
        begun = 0

        async def watch() -> list[Any]:
            nonlocal begun
            async with raw.stream(raw.subscribed(task.id)) as stream:
                first = await anext(stream)
                begun += 1
                return [first.event, *[one.event async for one in stream]]

        watching = [group.create_task(watch()) for _ in range(SUBSCRIBERS)]
        await eventually(lambda: begun == SUBSCRIBERS)
        monkeypatch.setattr(PostgresEventLog, "read", counted)
        gate.touch()
    for seen in [done.result() for done in watching]:
        assert kinds(seen)[-1] == "COMPLETED"
        text = seen[0].task.artifacts[0].parts[0].text if seen[0].task.artifacts else ""
        assert streamed(seen, "output", text) == "before the gate behind the gate "
    # one that looks in a quiet moment looks for all; a machine that stalls has some more such moments
    assert reads < SUBSCRIBERS / 4


@pytest.mark.parametrize("events", [0, 3000])
async def test_a_task_is_read_by_what_it_shows_and_not_by_what_its_agent_did(
    hub_url: str, events: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    got = 0
    read = PostgresEventLog.read

    async def counted(self: PostgresEventLog, *args: Any, **how: Any) -> Any:
        nonlocal got
        found = await read(self, *args, **how)
        got += len(found)
        return found

    async with agent(hub_url, "chatters") as chatters:
        task = await chatters.send({"count": events})
        monkeypatch.setattr(PostgresEventLog, "read", counted)
        again = await chatters.get(task)
    assert data(again) == {"said": events}
    assert got <= 5
