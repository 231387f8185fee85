"""A replica killed before or while it tells of a run's end: another one tells, and a cron fires once."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from agenthub.signing import write_secret
from faults import clients
from faults.cluster import HUB, Cluster
from testkit.receiver import receiving
from testkit.waiting import eventually

SECRET = write_secret(bytes(range(32)))
SENDS = {"AGENTHUB_OUTBOUND_NETWORKS": "127.0.0.0/8", "AGENTHUB_WEBHOOK_SECRETS": SECRET}
SILENT = {**SENDS, "AGENTHUB_DELIVERY_POLL_SECONDS": "0"}

pytestmark = pytest.mark.slow


async def run_with(hub: Cluster, webhook: str) -> Any:
    """A run that has ended, and wants that told."""
    async with clients.rest(hub.url) as client:
        thread = await client.threads.create()
        run = await client.runs.create(
            thread["thread_id"], "ten_steps", input=hub.journal().order(), webhook=webhook
        )
        await client.runs.join(thread["thread_id"], run["run_id"])
    return run


async def state(hub: Cluster) -> str:
    return await hub.value("select state from outbox")


async def test_a_server_killed_between_commit_and_send_loses_nothing(hub: Cluster) -> None:
    async with receiving() as receiver:
        await hub.start(servers=1, workers=1, **SILENT)
        run = await run_with(hub, receiver.url)
        assert await state(hub) == "pending"
        hub.servers[0].process.signal(signal.SIGKILL)
        await hub.servers[0].process.wait()
        assert receiver.got == []
        await hub.server(**SENDS)
        await eventually(lambda: receiver.got)
        assert receiver.got[0].verified(SECRET)["run_id"] == run["run_id"]

        async def done() -> bool:
            return await state(hub) == "done"

        await eventually(done)
    assert len(receiver.got) == 1
    await hub.holds()


async def test_what_a_killed_server_was_sending_is_sent_by_another_with_the_same_id(
    hub: Cluster,
) -> None:
    async with receiving() as receiver:
        receiver.hang = True
        await hub.start(servers=1, workers=1, **SENDS)
        await run_with(hub, receiver.url)
        await eventually(lambda: receiver.got)
        assert await state(hub) == "sending"
        hub.servers[0].process.signal(signal.SIGKILL)
        await hub.servers[0].process.wait()
        receiver.hang = False
        # a minute passes
        await hub.rows("update outbox set lease_expires_at = now() - interval '1 second'")
        await hub.server(**SENDS)
        await eventually(lambda: len(receiver.got) == 2)

        async def done() -> bool:
            return await state(hub) == "done"

        await eventually(done)
    first, second = receiver.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    await hub.holds()


async def test_replicas_fire_every_slot_once_while_some_of_them_are_killed(hub: Cluster) -> None:
    await hub.start(servers=3, workers=1)
    async with clients.rest(hub.url) as client:
        await client.crons.create(
            "ten_steps",
            schedule="* * * * * *",
            input=hub.journal().order(),
            on_run_completed="keep",
        )

    async def fired(count: int) -> bool:
        rows = await hub.rows("select slot from cron_firings where outcome = 'fired'")
        return len(rows) >= count

    for server in hub.servers[:2]:
        before = await hub.value("select count(*) from cron_firings")
        await eventually(lambda before=before: fired(before + 2))
        server.process.signal(signal.SIGKILL)
        await server.process.wait()
    before = await hub.value("select count(*) from cron_firings")
    await eventually(lambda: fired(before + 2))
    async with clients.rest(hub.servers[2].url) as client:
        (cron,) = await client.crons.search()
        await client.crons.update(cron["cron_id"], enabled=False)
    firings = await hub.rows("select slot, run_id from cron_firings where outcome = 'fired'")
    slots = [row["slot"] for row in firings]
    assert len(set(slots)) == len(slots)
    runs = await hub.rows("select run_id from runs where metadata ? 'cron_id'")
    assert {row["run_id"] for row in runs} == {row["run_id"] for row in firings}
    await hub.holds()


async def test_a_server_that_is_told_to_stop_gives_back_what_it_could_not_send(
    hub: Cluster,
) -> None:
    async with receiving() as receiver:
        receiver.hang = True
        await hub.start(servers=1, workers=1, **SENDS)
        await run_with(hub, receiver.url)
        await eventually(lambda: receiver.got)
        hub.servers[0].process.signal(signal.SIGTERM)
        await asyncio.wait_for(hub.servers[0].process.wait(), 20)
        # the receiver never answered: somebody else may try at once
        assert await state(hub) == "pending"
    await hub.holds()


async def test_the_command_tells_receivers_the_secret_that_signs(hub: Cluster) -> None:
    async with receiving() as receiver:
        sends = {"AGENTHUB_OUTBOUND_NETWORKS": "127.0.0.0/8"}
        await hub.start(servers=1, workers=1, **sends)
        await run_with(hub, receiver.url)
        await eventually(lambda: receiver.got)
        told = await asyncio.create_subprocess_exec(
            *HUB,
            "webhook-secret",
            env={**os.environ, **hub.environment()},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await told.communicate()
        assert told.returncode == 0
        (secret,) = printed.decode().split()
        assert receiver.got[0].verified(secret)
