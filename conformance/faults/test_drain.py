"""SIGTERM: processes leave politely and soon, and what they gave back goes on elsewhere at once."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

from faults import clients
from faults.cluster import RARE_POLL_SECONDS, RARE_POLLS, REAPED_SOON, Cluster, ids
from testkit.waiting import eventually

ALL = list(range(1, 11))
FOR_EVER = "600"
"""Whoever leaves sooner than any test waits has not waited for this."""


async def test_a_worker_finishes_short_runs_and_gives_long_ones_back(hub: Cluster) -> None:
    hub.settings |= RARE_POLLS
    await hub.start(workers=1, AGENTHUB_DRAIN_SECONDS="6")
    leaving = hub.workers[0]
    short, long = hub.journal("short"), hub.journal("long")
    quick = await clients.start(hub.url, "brief", short.order(1))
    slow = await clients.start(hub.url, "ten_steps", long.order(5))
    await short.reached(1)
    await long.reached(5)
    await hub.worker()
    leaving.signal(signal.SIGTERM)
    await eventually(lambda: "draining 2 runs" in leaving.output())
    short.open(1)
    assert (await clients.output(hub.url, quick))["done"] == [1]
    assert await leaving.wait(within=30) == 0, leaving.output()
    left_at = time.time()
    began_at = await hub.recovered(slow["run_id"])
    print(f"a run that was given back: {began_at - left_at:.2f} s after its worker left")
    long.open(5)
    assert (await clients.output(hub.url, slow))["done"] == ALL
    rows = await hub.rows("select agent, epoch, failures from runs order by agent")
    assert [tuple(row) for row in rows] == [("brief", 1, 0), ("ten_steps", 2, 0)]
    assert began_at - left_at < RARE_POLL_SECONDS / 2
    assert set(long.executions().values()) == {1, 2}
    await hub.holds()


async def test_a_worker_that_leaves_takes_no_new_runs(hub: Cluster) -> None:
    await hub.start(workers=1, AGENTHUB_DRAIN_SECONDS=FOR_EVER)
    leaving = hub.workers[0]
    busy = hub.journal("busy")
    first = await clients.start(hub.url, "brief", busy.order(1))
    await busy.reached(1)
    leaving.signal(signal.SIGTERM)
    await eventually(lambda: "draining 1 runs" in leaving.output())
    later = hub.journal("later")
    second = await clients.start(hub.url, "brief", later.order())
    other = await hub.worker()
    assert (await clients.output(hub.url, second))["done"] == [1]
    assert [pid for _, pid, _ in later.lines] == [other.pid]
    busy.open(1)
    assert (await clients.output(hub.url, first))["done"] == [1]
    assert await leaving.wait() == 0
    await hub.holds()


async def test_a_second_signal_ends_a_worker_at_once(hub: Cluster) -> None:
    hub.settings |= REAPED_SOON
    await hub.start(workers=1, AGENTHUB_DRAIN_SECONDS=FOR_EVER)
    leaving = hub.workers[0]
    journal = hub.journal()
    run = await clients.start(hub.url, "ten_steps", journal.order(5))
    await journal.reached(5)
    leaving.signal(signal.SIGTERM)
    await eventually(lambda: "draining 1 runs" in leaving.output())
    leaving.signal(signal.SIGTERM)
    assert await leaving.wait() == 130
    await hub.lapse(leaving)
    journal.open(5)
    await hub.worker()
    assert (await clients.output(hub.url, run))["done"] == ALL
    await hub.holds()


async def test_a_server_leaves_within_seconds_under_open_streams_that_go_on_elsewhere(
    hub: Cluster,
) -> None:
    await hub.start(servers=2, workers=1)
    first, second = hub.servers
    journal = hub.journal()
    run = await clients.start(first.url, "ten_steps", journal.order(5))
    seen: list[Any] = []
    told: list[Any] = []
    reading = [
        asyncio.create_task(clients.join(first.url, run, seen)),
        asyncio.create_task(clients.output(first.url, run)),
        asyncio.create_task(clients.subscribe(first.url, run["run_id"], told)),
    ]
    await journal.reached(5)
    await eventually(lambda: seen and told)
    began = time.monotonic()
    first.process.signal(signal.SIGTERM)
    status = await first.process.wait()
    took = time.monotonic() - began
    print(f"a server with open streams left in {took:.2f} s")
    assert status == 0, first.process.output()
    assert "Traceback" not in first.process.output(), first.process.output()
    for task in reading:
        task.cancel()
    await asyncio.wait(reading)

    journal.open(5)
    after: list[Any] = []
    await clients.join(second.url, run, after, str(seen[-1].id))
    assert ids(seen) + ids(after) == [row["seq"] for row in await hub.log(run["run_id"])]
    await hub.holds()
