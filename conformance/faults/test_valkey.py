"""Valkey emptied, killed, absent: that costs latency and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest
import redis

from faults import clients
from faults.cluster import RARE_POLLS, Cluster, ids
from faults.load import latency, load, polled
from testkit.waiting import eventually

pytestmark = pytest.mark.filterwarnings("ignore:Request failed, attempting reconnect")
COUNT = 2000
POLLS = {"AGENTHUB_POLL_SECONDS": "3"}
"""Where runs have to wait for polls: both kinds, of workers and of streams, are to be told from none."""


async def followed(hub: Cluster) -> tuple[dict[str, Any], list[Any], asyncio.Task[None]]:
    """A run that says a lot, and its reader."""
    order = {"journal": str(hub.journal("long").path), "count": COUNT}
    run = await clients.start(hub.url, "chatty", order)
    seen: list[Any] = []
    return run, seen, asyncio.create_task(clients.join(hub.url, run, seen))


async def complete(hub: Cluster, run: dict[str, Any], seen: list[Any]) -> None:
    """Assert that a reader has seen the whole log."""
    assert ids(seen) == [row["seq"] for row in await hub.log(run["run_id"])]
    assert [part.data for part in seen if part.event == "custom"] == list(range(COUNT))


async def test_flushall_under_load_loses_nothing(hub: Cluster) -> None:
    hub.settings |= RARE_POLLS
    await hub.start(workers=1)
    with redis.Redis.from_url(hub.on.redis_url) as valkey:
        run, seen, reading = await followed(hub)
        async with load(hub) as so_far:
            for goal in range(10, 60, 5):
                await eventually(lambda goal=goal: len(so_far.answered) > goal)
                valkey.flushall()
    await reading
    assert so_far.refused == []
    await complete(hub, run, seen)
    await hub.holds()
    assert not await polled(hub)


@pytest.mark.slow
async def test_valkey_killed_under_load_costs_latency_until_it_is_back(hub: Cluster) -> None:
    hub.settings |= POLLS
    await hub.start()
    run, seen, reading = await followed(hub)
    async with load(hub) as so_far:
        await eventually(lambda: len(so_far.answered) > 20)
        hub.on.valkey.kill()
        await eventually(lambda: len(seen) > COUNT)
        slow = await latency(hub, 5)
        print(f"without Valkey the middle one of five runs took {slow:.2f} s")
        answered = len(so_far.answered)
        await eventually(lambda: len(so_far.answered) > answered + 5)
        await asyncio.to_thread(hub.on.valkey.start)
    await reading
    assert so_far.refused == []
    await complete(hub, run, seen)
    await hub.holds()
    await eventually(lambda: quick(hub, slow))


@pytest.mark.slow
async def test_a_valkey_that_does_not_answer_stops_nobody(hub: Cluster) -> None:
    hub.settings |= POLLS
    await hub.start(workers=1)
    os.kill(hub.on.valkey.pid, signal.SIGSTOP)
    try:
        slow = await latency(hub, 5)
        print(f"with a silent Valkey the middle one of five runs took {slow:.2f} s")
    finally:
        os.kill(hub.on.valkey.pid, signal.SIGCONT)
    await eventually(lambda: quick(hub, slow))
    await hub.holds()


async def test_a_hub_that_starts_without_its_valkey_works_and_gets_fast_when_it_comes(
    hub: Cluster,
) -> None:
    hub.on.valkey.kill()
    hub.settings |= POLLS
    await hub.start(workers=1)
    run, seen, reading = await followed(hub)
    slow = await latency(hub, 5)
    print(f"before Valkey came the middle one of five runs took {slow:.2f} s")
    await reading
    await complete(hub, run, seen)
    await asyncio.to_thread(hub.on.valkey.start)
    await eventually(lambda: quick(hub, slow))
    await hub.holds()


async def test_without_any_valkey_wake_ups_go_through_postgres(hub: Cluster) -> None:
    hub.redis = False
    hub.settings |= RARE_POLLS
    await hub.start(workers=1)
    run, seen, reading = await followed(hub)
    assert not await polled(hub)
    await reading
    await complete(hub, run, seen)
    await hub.holds()


async def test_a_worker_stops_while_its_valkey_is_away(hub: Cluster) -> None:
    await hub.start(workers=1)
    hub.on.valkey.kill()
    await latency(hub, 1)
    hub.workers[0].signal(signal.SIGTERM)
    hub.servers[0].process.signal(signal.SIGTERM)
    assert await hub.workers[0].wait() == 0
    assert await hub.servers[0].process.wait() == 0


async def quick(hub: Cluster, slow: float) -> bool:
    """Whether most of ten runs wait for no poll, if most of five took so long with polls."""
    return await latency(hub) < slow / 2
