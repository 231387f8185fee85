"""A task of A2A whose worker dies, then its server, while its webhook is down: nobody misses anything."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import httpx
import pytest
from a2a.types.a2a_pb2 import StreamResponse
from google.protobuf.json_format import ParseDict

from agenthub_a2a.card import GENERATION
from faults.cluster import REAPED_SOON, Cluster
from protocols import a2a_client
from protocols.a2a_raw import Raw, Told
from testkit.receiver import Receiver, receiving
from testkit.waiting import eventually

SENDS = {
    "AGENTHUB_OUTBOUND_NETWORKS": "127.0.0.0/8",
    "AGENTHUB_DELIVERY_POLL_SECONDS": "0.1",
}
# a killed server's attempts end with their leases, and the pauses between attempts are minutes
LAPSE = "update outbox set lease_expires_at = now() where state = 'sending'"
HURRY = "update outbox set available_at = now() where state = 'pending'"

pytestmark = pytest.mark.slow


async def follow(url: str, task_id: str, seen: list[Told], last: str | None = None) -> None:
    """Read a task's events, from one on, to its end."""
    async with httpx.AsyncClient(
        base_url=f"{url}/agents/ten_steps/a2a", trust_env=False, timeout=60
    ) as http:
        raw = Raw(http, "JSONRPC")
        async with raw.stream(raw.subscribed(task_id), last=last) as stream:
            async for one in stream:
                seen.append(one)  # noqa: PERF401  # others look at it meanwhile


def told(seen: list[Told], begun: str = "") -> str:
    """The text that a reader of these events has."""
    return a2a_client.streamed([one.event for one in seen], "output", begun)


def states(receiver: Receiver) -> list[str]:
    """What the webhook was told, in the order of arrival, each once."""
    tasks = [ParseDict(one.json, StreamResponse()).task for one in receiver.got]
    generations = [int(task.metadata[GENERATION]) for task in tasks if task.metadata]
    assert generations == sorted(generations)
    return [a2a_client.state(task) for task in tasks]


async def test_a_subscriber_goes_on_and_a_webhook_hears_every_state_though_all_around_them_dies(
    hub: Cluster,
) -> None:
    async with receiving() as receiver:
        receiver.status = 503
        hub.settings |= REAPED_SOON
        await hub.start(servers=2, workers=2, **SENDS)
        first, second = hub.servers
        journal = hub.journal()
        async with a2a_client.agent(first.url, "ten_steps") as agent:
            how: Any = {
                "returnImmediately": True,
                "taskPushNotificationConfig": {"url": receiver.url},
            }
            task = await agent.send(journal.order(3, 6), **how)
        before: list[Told] = []
        reading = asyncio.create_task(follow(first.url, task.id, before))

        victim = hub.worker_of(await journal.reached(3))
        victim.signal(signal.SIGKILL)
        await hub.lapse(victim)
        await hub.recovered(task.id)
        journal.open(3)
        # a step speaks before it waits
        await eventually(lambda: before and told(before).endswith("step-6;"))

        first.process.signal(signal.SIGKILL)
        await asyncio.wait([reading])
        assert reading.exception() is not None
        await first.process.wait()
        await hub.rows(LAPSE)
        after: list[Told] = []
        reading = asyncio.create_task(follow(second.url, task.id, after, before[-1].id))
        await eventually(lambda: after)
        journal.open(6)
        await reading

        assert told(after, told(before)) == "".join(f"step-{step};" for step in range(1, 11))
        # the first says where the reader stood
        ids = [int(one.id) for one in (*before, *after[1:]) if one.id]
        assert ids == sorted(set(ids))
        assert a2a_client.kinds([one.event for one in after])[-2:] == ["result", "COMPLETED"]

        # what stands first of a task's states has been refused, and waits; nothing is on its way
        await eventually(
            lambda: hub.value("select count(*) = 0 from outbox where state = 'sending'")
        )
        refused = len(receiver.got)
        assert refused, "the webhook was tried while it was down"
        receiver.got.clear()
        receiver.status = 200

        async def heard() -> bool:
            await hub.rows(HURRY)
            return await hub.value("select count(*) from outbox where state <> 'done'") == 0

        await eventually(heard)
        assert states(receiver)[-1] == "COMPLETED"
        assert set(states(receiver)[:-1]) <= {"SUBMITTED", "WORKING"}
        assert await hub.value("select count(*) from outbox") == len(receiver.got)
    await hub.holds()
