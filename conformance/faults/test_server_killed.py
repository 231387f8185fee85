"""A replica killed under its readers: they go on at another one, and miss and repeat nothing."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from faults import clients
from faults.balancer import balanced
from faults.cluster import Cluster, ids
from protocols import a2a_client
from testkit.waiting import eventually

COUNT = 3000


async def test_a_rest_stream_goes_on_at_another_replica_by_its_last_event_id(hub: Cluster) -> None:
    await hub.start(servers=2, workers=1)
    first, second = hub.servers
    journal = hub.journal()
    order = {**journal.order(1), "count": COUNT}
    run = await clients.start(first.url, "chatty", order)
    before: list[Any] = []
    reading = asyncio.create_task(clients.join(first.url, run, before))
    await eventually(lambda: len(before) > COUNT / 10)
    first.process.signal(signal.SIGKILL)
    await first.process.wait()
    # the client would try its own replica again, for a minute
    reading.cancel()
    await asyncio.wait([reading])
    assert all(part.event != "end" for part in before), "the stream was cut in the middle"
    journal.open(1)

    after: list[Any] = []
    await clients.join(second.url, run, after, str(before[-1].id))
    assert ids(before) + ids(after) == [row["seq"] for row in await hub.log(run["run_id"])]
    said = [part.data for part in before + after if part.event == "custom"]
    assert said == list(range(len(said)))
    assert (await clients.output(second.url, run))["done"] == [len(said)]
    assert after[-1].event == "end"
    await hub.holds()


async def test_the_official_client_behind_a_balancer_does_not_even_notice(hub: Cluster) -> None:
    await hub.start(servers=2, workers=1)
    first, second = hub.servers
    journal = hub.journal()
    order = {**journal.order(1), "count": COUNT}
    async with balanced([first.url, second.url]) as url:
        run = await clients.start(second.url, "chatty", order)
        seen: list[Any] = []
        reading = asyncio.create_task(clients.join(url, run, seen))
        await eventually(lambda: len(seen) > COUNT / 10)
        first.process.signal(signal.SIGKILL)
        journal.open(1)
        await reading
    assert ids(seen) == [row["seq"] for row in await hub.log(run["run_id"])]
    await hub.holds()


async def test_an_a2a_subscriber_goes_on_at_another_replica(hub: Cluster) -> None:
    await hub.start(servers=2, workers=1)
    first, second = hub.servers
    journal = hub.journal()
    run = await clients.start(first.url, "ten_steps", journal.order(5))
    before: list[Any] = []
    reading = asyncio.create_task(clients.subscribe(first.url, run["run_id"], before))
    await eventually(lambda: before and clients.told(before).endswith("step-5;"))
    first.process.signal(signal.SIGKILL)
    await asyncio.wait([reading])
    assert reading.exception() is not None

    after: list[Any] = []
    reading = asyncio.create_task(clients.subscribe(second.url, run["run_id"], after))
    await eventually(lambda: after)
    journal.open(5)
    task = await reading
    assert clients.told(after) == "".join(f"step-{step};" for step in range(1, 11))
    assert a2a_client.kinds(after)[-2:] == ["result", "COMPLETED"]
    assert a2a_client.state(task) == "COMPLETED"
    await hub.holds()


async def test_a_call_that_waits_is_answered_by_another_replica(hub: Cluster) -> None:
    await hub.start(servers=2, workers=1)
    first, second = hub.servers
    journal = hub.journal()
    run = await clients.start(first.url, "ten_steps", journal.order(5))
    waiting = asyncio.create_task(clients.output(first.url, run))
    await journal.reached(5)
    first.process.signal(signal.SIGKILL)
    await asyncio.wait([waiting])
    assert waiting.exception() is not None
    journal.open(5)
    assert (await clients.output(second.url, run))["done"] == list(range(1, 11))
    await hub.holds()
