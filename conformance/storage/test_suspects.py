"""Runs whose workers died are claimed again, a few at a time."""

from __future__ import annotations

from uuid import UUID

from testkit.core import LEASE, Core


async def test_of_runs_whose_workers_died_no_more_are_claimed_than_there_is_room_for(
    core: Core,
) -> None:
    runs = [await core.create() for _ in range(4)]
    for claimed in await core.claim(limit=4):
        await core.expire(claimed.lease)
    await core.reap()
    await core.value("update runs set failures = 2 where run_id = $1", runs[0].run_id)
    fresh = await core.create()

    async def take(limit: int, *rooms: int) -> set[UUID]:
        taken = await core.queue.claim(
            worker_id="w", agents=["a"], limit=limit, suspects=rooms, lease=LEASE
        )
        return {one.lease.run_id for one in taken}

    some = await take(8, 2, 0)
    assert fresh.run_id in some
    assert len(some) == 3
    assert runs[0].run_id not in some
    assert await take(8, 0, 1) == {runs[0].run_id}
    last = await core.create()
    assert len(await take(1, 8, 8)) == 1, "suspects count towards the limit"
    assert await take(8) == {last.run_id}
