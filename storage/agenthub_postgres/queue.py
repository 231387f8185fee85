"""The run queue in SQL: claim, renew, release, reap, tidy.

The database's clock alone decides expiry. A claim raises `epoch`, which is what fences the attempts
before it; nothing else here may touch it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import LiteralString
from uuid import UUID

from asyncpg import Connection, Record
from asyncpg.pool import PoolConnectionProxy

from agenthub.events import ENDED, ended
from agenthub.json import JsonObject, loads, text
from agenthub.ports import Claimed, Lease, Renewal
from agenthub_postgres import locks, outbox, push_configs, thread_ttl, threads
from agenthub_postgres.cancellation import PROMOTE
from agenthub_postgres.database import Database
from agenthub_postgres.events import LOG_END
from agenthub_postgres.payload import pack
from agenthub_postgres.records import request_of

_SUSPECTS = """
with suspects as materialized (
  -- runs whose workers died, so many of each number of failures as there is room for: see `Worker`
  select r.tenant_id, r.run_id
    from unnest($6::int[]) with ordinality as a(room, failures)
   cross join lateral (
     select tenant_id, run_id from runs
      where tenant_id = $1 and status = 'pending' and ready and failures > 0 and failures = a.failures
        and available_at <= now() and agent = any($2::text[])
      order by available_at limit a.room for update skip locked) r
), head as materialized ("""

_HEAD = """
  -- materialized: a planner that ran this twice would claim more than the limit
  -- skip locked: claimers do not wait for each other, nor for a cancellation
  -- available_at: also leaves out a run that another attempt gave back since our snapshot, whose
  -- events `last_seq` would miss
  select tenant_id, run_id from runs
   where tenant_id = $1 and status = 'pending' and ready and failures = 0 and available_at <= now()
     and agent = any($2::text[])
   order by priority desc, available_at, run_id
   limit """

_TAKE = """
update runs r
   set status = 'running', epoch = r.epoch + 1, worker_id = $4, lease_expires_at = now() + $5::interval,
       started_at = coalesce(r.started_at, now()), updated_at = now()
  -- an array and no join: a plan that is kept from when the table was empty would walk through all of it
 where r.tenant_id = $1 and r.run_id = any (array(select run_id from chosen))
returning r.tenant_id, r.run_id, r.epoch, r.thread_id, r.task_id, r.agent, r.kind, r.request, r.subject,
          r.policy,
          r.metadata, r.failures, r.retries, r.created_at, r.cancel_action,
          -- each by its whole key: see `fenced` on plans
          case when r.epoch = 1 and r.kind = 'input' then 0 else
            coalesce((select max(e.seq) from events e where e.tenant_id = r.tenant_id and e.task_id = r.task_id), 0)
          end as last_seq,
          -- a thread has checkpoints once an attempt was made on it
          r.epoch > 1 or (select t.last_run is not null from threads t
                           where t.tenant_id = r.tenant_id and t.thread_id = r.thread_id) as has_state
"""

# Two statements, and the one that runs all the time is the short one: what a statement has to open and close
# costs more than what it finds.
CLAIM = "\nwith chosen as materialized (" + _HEAD + "$3 for update skip locked\n)" + _TAKE

CLAIM_WITH_SUSPECTS = (
    _SUSPECTS
    + _HEAD
    + """greatest($3 - (select count(*) from suspects), 0) for update skip locked
), chosen as (
  select tenant_id, run_id from suspects
   union all
  select tenant_id, run_id from head
)"""
    + _TAKE
)

HELD = """
with held as materialized (
  -- in the order of ids, like every statement that locks several runs: two orders would deadlock
  -- lateral: see `fenced` on plans
  select r.tenant_id, r.run_id
    from (select * from unnest($1::text[], $2::uuid[], $3::int[]) as h(tenant_id, run_id, epoch)
           order by h.run_id) h
   cross join lateral (
     select * from runs r
      where r.tenant_id = h.tenant_id and r.run_id = h.run_id and r.epoch = h.epoch and r.status = 'running'
     offset 0 for no key update of r) r
)"""

RENEW = (
    HELD
    + """
update runs r set lease_expires_at = now() + $4::interval
  from held where r.tenant_id = held.tenant_id and r.run_id = held.run_id
returning r.tenant_id, r.run_id, r.epoch, r.cancel_action
"""
)

RELEASE = (
    HELD
    + """
update runs r set status = 'pending', worker_id = null, lease_expires_at = null, available_at = now(),
       updated_at = now()
  from held where r.tenant_id = held.tenant_id and r.run_id = held.run_id
returning r.agent
"""
)

RETRY = (
    HELD
    + """
update runs r
   set status = 'pending', retries = r.retries + 1, worker_id = null, lease_expires_at = null,
       -- one that was cancelled in the meantime has nothing to wait for
       available_at = case when r.cancel_action is null then now() + $4::interval else now() end,
       error = $5::jsonb, updated_at = now()
  from held where r.tenant_id = held.tenant_id and r.run_id = held.run_id
returning r.run_id
"""
)

REAP = """
with dead as materialized (
  -- skip locked: another reaper has it, or its owner is writing and so is not dead
  select tenant_id, run_id from runs
   where tenant_id = $1 and status = 'running' and lease_expires_at < now() and failures < $3
   order by run_id limit $2 for update skip locked
)
update runs r
   set status = 'pending', failures = r.failures + 1, worker_id = null, lease_expires_at = null,
       -- the first death is most often the worker's; only a run that dies again has to wait
       available_at = now() + case when r.failures = 0 then interval '0'
                                   else make_interval(secs => random() * least(2 ^ r.failures, 300)) end,
       updated_at = now()
  from dead where r.tenant_id = dead.tenant_id and r.run_id = dead.run_id
returning r.agent
"""

POISONED = """
select run_id, thread_id, task_id, worker_id from runs
 where tenant_id = $1 and status = 'running' and lease_expires_at < now() and failures >= $3
 order by run_id limit $2
"""

GIVE_UP = """
update runs r set status = 'error', ready = false, failures = r.failures + 1, error = $3::jsonb,
       lease_expires_at = null, ended_at = now(), updated_at = now()
 where r.tenant_id = $1 and r.run_id = $2 and r.status = 'running' and r.lease_expires_at < now()
returning r.epoch, r.request, r.policy
"""

FAIL_TASK = """
update tasks set status = 'failed', updated_at = now() where tenant_id = $1 and task_id = $2
returning push_configs is not null as told
"""

LEAVE_THREAD = """
update threads t set open_runs = t.open_runs - 1, last_run = $3, updated_at = now(), interrupts = '{}',
       status = case when t.open_runs > 1 then 'busy' else 'error' end
 where t.tenant_id = $1 and t.thread_id = $2
"""

HEADLESS = """
select distinct p.thread_id from runs p
 where p.tenant_id = $1 and p.status = 'pending' and not p.ready
   and not exists (select from runs r where r.tenant_id = p.tenant_id and r.thread_id = p.thread_id and r.ready)
 limit 100
"""

OLD_EPHEMERAL = """
select thread_id from threads
 where tenant_id = $1 and ephemeral and created_at < now() - $2::interval
   and open_runs = 0 and interrupts = '{}' and updated_at < now() - $2::interval
   -- its end is still to be told, from the run itself; the delivery has the run's id
   and not exists (select from outbox o where o.tenant_id = threads.tenant_id and o.delivery_id = threads.last_run
                      and o.state in ('pending', 'sending') and o.payload is null)
 limit 500
"""

DROP_KEYS = """
-- skip locked: another worker tidies, or it is being used
-- by place, and the tenant inside alone: with it outside, too, all that the tenant has would be read
delete from idempotency
 where ctid = any (array(
   select ctid from idempotency
    where tenant_id = $1 and expires_at < now() order by expires_at limit $2 for update skip locked))
returning key
"""

DROP_ITEMS = """
-- as above
delete from store_items
 where ctid = any (array(
   select ctid from store_items
    where tenant_id = $1 and expires_at < now() order by expires_at limit $2 for update skip locked))
returning key
"""

BATCH = 1000
"""Keys or items that one statement drops."""


@dataclass(frozen=True, slots=True)
class PostgresQueue:
    """`agenthub.ports.Queue` for one tenant."""

    db: Database
    tenant: str

    async def claim(
        self,
        *,
        worker_id: str,
        agents: Sequence[str],
        limit: int,
        suspects: Sequence[int],
        lease: timedelta,
    ) -> Sequence[Claimed]:
        asked = (self.tenant, list(agents), limit, worker_id, lease)
        if suspects:
            rooms = [min(room, limit) for room in suspects]
            rows = await self.db.fetch(CLAIM_WITH_SUSPECTS, *asked, rooms)
        else:
            rows = await self.db.fetch(CLAIM, *asked)
        return [_claimed(row) for row in rows]

    async def renew(self, leases: Sequence[Lease], *, lease: timedelta) -> Sequence[Renewal]:
        rows = await self.db.fetch(RENEW, *_columns(leases), lease)
        return [
            Renewal(Lease(row["tenant_id"], row["run_id"], row["epoch"]), row["cancel_action"])
            for row in rows
        ]

    async def release(self, leases: Sequence[Lease]) -> None:
        await self.db.fetch(RELEASE, *_columns(leases))

    async def retry(self, lease: Lease, *, after: timedelta, error: JsonObject) -> bool:
        rows = await self.db.fetch(RETRY, *_columns([lease]), after, text(error))
        return bool(rows)

    async def reap(self, *, limit: int, max_failures: int) -> Sequence[str]:
        rows = await self.db.fetch(REAP, self.tenant, limit, max_failures)
        agents = [row["agent"] for row in rows]
        for row in await self.db.fetch(POISONED, self.tenant, limit, max_failures):
            agents += await self._give_up(row)
        return agents

    async def _give_up(self, row: Record) -> list[str]:
        run_id: UUID = row["run_id"]
        error = {
            "error": "AttemptsExhausted",
            "message": f"the run was given up: worker {row['worker_id']!r} and others before it "
            "died or stalled while they executed it",
        }
        async with self.db.transaction() as connection:
            await connection.fetch(locks.THREAD, self.tenant, row["thread_id"])
            gone = await connection.fetchrow(GIVE_UP, self.tenant, run_id, text(error))
            if gone is None:
                return []
            epoch = gone["epoch"]
            body = pack(ended(run_id, "error", error=error))
            await connection.execute(
                LOG_END, self.tenant, row["task_id"], run_id, epoch, ENDED, body
            )
            if await connection.fetchval(FAIL_TASK, self.tenant, row["task_id"]):
                await push_configs.tell(
                    connection, self.tenant, row["task_id"], run_id, "task.ended"
                )
            await outbox.put_run(connection, self.tenant, run_id, request_of(gone))
            await connection.execute(LEAVE_THREAD, self.tenant, row["thread_id"], run_id)
            return await promote(connection, self.tenant, row["thread_id"])

    async def tidy(self, *, ephemeral_ttl: timedelta) -> Sequence[str]:
        agents: list[str] = []
        for row in await self.db.fetch(HEADLESS, self.tenant):
            with threads.one_of_many(f"the line of thread {row['thread_id']}"):
                async with self.db.transaction() as connection:
                    await connection.fetch(locks.THREAD, self.tenant, row["thread_id"])
                    agents += await promote(connection, self.tenant, row["thread_id"])
        with threads.one_of_many("idempotency keys"):
            await self._drop(DROP_KEYS)
        with threads.one_of_many("stored items"):
            await self._drop(DROP_ITEMS)
        with threads.one_of_many("old ephemeral threads"):
            await self._drop_ephemeral(ephemeral_ttl)
        with threads.one_of_many("threads with a time to live"):
            await thread_ttl.sweep(self.db, self.tenant)
        return agents

    async def _drop(self, expired: LiteralString) -> None:
        while len(await self.db.fetch(expired, self.tenant, BATCH)) == BATCH:
            pass

    async def _drop_ephemeral(self, after: timedelta) -> None:
        for row in await self.db.fetch(OLD_EPHEMERAL, self.tenant, after):
            thread_id: UUID = row["thread_id"]
            with threads.one_of_many(f"ephemeral thread {thread_id}"):
                async with self.db.transaction() as connection:
                    await threads.delete(connection, self.tenant, thread_id, unused_for=after)


async def promote(
    connection: Connection[Record] | PoolConnectionProxy[Record], tenant: str, thread_id: UUID
) -> list[str]:
    """Make the oldest pending run of a thread its head, if it has none; needs the thread's lock."""
    return [row["agent"] for row in await connection.fetch(PROMOTE, tenant, thread_id)]


def _columns(leases: Sequence[Lease]) -> tuple[list[str], list[UUID], list[int]]:
    return (
        [lease.tenant for lease in leases],
        [lease.run_id for lease in leases],
        [lease.epoch for lease in leases],
    )


def _claimed(row: Record) -> Claimed:
    return Claimed(
        lease=Lease(row["tenant_id"], row["run_id"], row["epoch"]),
        thread_id=row["thread_id"],
        task_id=row["task_id"],
        agent=row["agent"],
        kind=row["kind"],
        request=request_of(row),
        subject=row["subject"],
        metadata=loads(row["metadata"]),
        last_seq=row["last_seq"],
        has_state=row["has_state"],
        cancel=row["cancel_action"],
        failures=row["failures"],
        retries=row["retries"],
        created_at=row["created_at"],
    )
