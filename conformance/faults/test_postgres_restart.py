"""Postgres restarted under load: nothing that was acknowledged is lost, and nobody has to be restarted."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest

from faults import clients
from faults.cluster import RARE_POLLS, TIGHT, Cluster, ids
from faults.load import load, polled
from testkit.waiting import eventually

pytestmark = pytest.mark.filterwarnings("ignore:Request failed, attempting reconnect")


@pytest.mark.slow
@pytest.mark.parametrize(("how", "redis"), [("fast", True), ("immediate", False)])
async def test_nothing_acknowledged_is_lost_when_postgres_restarts_under_load(
    hub: Cluster, how: Literal["fast", "immediate"], redis: bool
) -> None:
    hub.redis = redis
    hub.settings |= {**TIGHT, **RARE_POLLS}
    await hub.start(workers=2)
    order = {"journal": str(hub.journal("long").path), "count": 4000}
    long = await clients.start(hub.url, "chatty", order)
    seen: list[Any] = []
    reading = asyncio.create_task(clients.join(hub.url, long, seen))
    async with load(hub) as so_far:
        await eventually(lambda: len(so_far.answered) > 30)
        await asyncio.to_thread(hub.on.postgres.stop, how)
        await asyncio.to_thread(hub.on.postgres.start)
        before = len(so_far.created)
        await eventually(lambda: len(so_far.created) > before + 30)
    await reading
    print(
        f"postgres {how}: longest time without a new run {so_far.outage():.2f} s, "
        f"{len(so_far.created)} runs, {len(so_far.refused)} refusals: {set(so_far.refused)}"
    )
    assert so_far.created.keys() == so_far.answered.keys()
    await hub.holds()
    rows = await hub.rows("select run_id::text, status from runs")
    ended = {row["run_id"]: row["status"] for row in rows}
    assert {ended[run_id] for run_id in so_far.created} == {"success"}
    assert set(ended.values()) == {"success"}, "nor what was created and not acknowledged"
    assert ids(seen) == [row["seq"] for row in await hub.log(long["run_id"])]
    assert all(p.alive for p in (hub.servers[0].process, *hub.workers))
    assert not await polled(hub)
