"""What a run costs does not grow with what the tenant has, from the first row on and without an ANALYZE."""

from __future__ import annotations

import asyncio

import asyncpg

from agenthub.ports import CheckpointView, Claimed
from agenthub.threads import StepView
from testkit.core import LEASE, Core
from testkit.waiting import eventually

ROUNDS = 40
BATCH = 10
MOST_ENTRIES_PER_RUN = 30
"""Index entries that a run's statements read: some look-ups, and its part of each claim and reap.
A statement that walks through the tenant reads hundreds."""

READ = """
select sum(idx_tup_read) from pg_stat_user_indexes
 where relname in ('threads', 'tasks', 'runs', 'events')
    or relname in ('checkpoints', 'checkpoint_blobs', 'checkpoint_writes')
"""
LEAVE = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
 where datname = current_database() and pid <> pg_backend_pid()
"""


async def test_a_run_reads_no_more_than_its_own_rows(core: Core) -> None:
    await core.value("alter table runs set (autovacuum_enabled = false)")
    for _ in range(ROUNDS):
        await asyncio.gather(*(core.create() for _ in range(BATCH)))
        claimed = await core.claim(BATCH)
        assert len(claimed) == BATCH
        await core.queue.renew([c.lease for c in claimed], lease=LEASE)
        await asyncio.gather(*(core.checkpoint(c) for c in claimed))
        await asyncio.gather(*(core.append(c, 1) for c in claimed))
        # what is next at a checkpoint that is stored already
        await asyncio.gather(*(core.writer.put_view(c.lease, _view(c)) for c in claimed))
        await core.reap()
        await asyncio.gather(*(core.finish(c) for c in claimed))
    # a connection reports what it has read when it goes
    watch = await asyncpg.connect(core.db.dsn, server_settings={"search_path": "agenthub"})
    try:
        await eventually(lambda: _alone(watch))
        read = await watch.fetchval(READ)
    finally:
        await watch.close()
    assert read / (ROUNDS * BATCH) <= MOST_ENTRIES_PER_RUN


SLICES = 300
READ_BY_APPENDING = """
select sum(idx_tup_read) from pg_stat_user_indexes where relname in ('threads', 'tasks', 'runs', 'events')
"""
CHANGED = "select sum(n_tup_upd) + sum(n_tup_del) from pg_stat_user_tables"


async def test_an_event_costs_its_row_however_many_were_before_it(core: Core) -> None:
    await core.create()
    claimed = await core.claim_one()
    watch = await asyncpg.connect(core.db.dsn, server_settings={"search_path": "agenthub"})
    try:
        await eventually(lambda: _alone(watch))
        before = [await watch.fetchval(sql) for sql in (READ_BY_APPENDING, CHANGED)]
        for first in range(1, SLICES * 10, 10):
            await core.append(claimed, *range(first, first + 10))
        await eventually(lambda: _alone(watch))
        read, changed = [await watch.fetchval(sql) for sql in (READ_BY_APPENDING, CHANGED)]
    finally:
        await watch.close()
    assert (
        len(await core.log.read("default", claimed.task_id, after=0, limit=10_000)) == SLICES * 10
    )
    assert (read - before[0]) / SLICES <= 2, "the lease, and nothing of what was said before"
    assert changed == before[1]


def _view(claimed: Claimed) -> CheckpointView:
    step = StepView(id="1", name="next")
    return CheckpointView(
        thread_id=str(claimed.thread_id), ns="", checkpoint_id="c1", steps=(step,)
    )


async def _alone(watch: asyncpg.Connection[asyncpg.Record]) -> bool:
    return await watch.fetchval(LEAVE) == 0
