"""Crons in SQL: a slot is decided on, its run created and the next slot set in one transaction.

Lock order: thread, cron, run. A scheduler skips a cron that another one has locked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

import asyncpg
from asyncpg import Record
from asyncpg.pool import PoolConnectionProxy

from agenthub.archive import ThreadTtl
from agenthub.crons import (
    MOST_FIRINGS,
    Cron,
    CronFiring,
    CronOrder,
    CronQuery,
    Decide,
    DueCron,
    Fired,
    Step,
    new_run,
)
from agenthub.errors import Conflict, NotFound
from agenthub.ids import new_id
from agenthub.json import dumps, loads, text
from agenthub.ports import NewRun
from agenthub.runs import Run, RunRequest
from agenthub_postgres import cancellation, locks, runs
from agenthub_postgres.database import Database
from agenthub_postgres.payload import pack, unpack
from agenthub_postgres.records import run_of

_Connection: TypeAlias = "PoolConnectionProxy[Record]"

NOW = "select now() as now"

CREATE = """
insert into crons (tenant_id, cron_id, agent, assistant_id, thread_id, schedule, timezone, end_time, enabled, misfire,
                   overlap, jitter_seconds, on_run_completed, multitask, request, payload, metadata, subject,
                   next_slot, due_at, priority, origin, run_metadata)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16::jsonb, $17::jsonb, $18, $19, $20,
        $21, $22::jsonb, $23::jsonb)
returning *
"""

GET = "select * from crons where tenant_id = $1 and cron_id = $2"

LOCK = """
-- no key update: firings and changes of one cron go one after the other
select *, now() as now from crons where tenant_id = $1 and cron_id = $2 for no key update
"""

UPDATE = """
update crons set agent = $3, assistant_id = $4, thread_id = $5, schedule = $6, timezone = $7, end_time = $8,
       enabled = $9, misfire = $10, overlap = $11, jitter_seconds = $12, on_run_completed = $13, multitask = $14,
       request = $15, payload = $16::jsonb, metadata = $17::jsonb, subject = $18, next_slot = $19, due_at = $20,
       priority = $21, origin = $22::jsonb, run_metadata = $23::jsonb, held = $24, updated_at = now()
 where tenant_id = $1 and cron_id = $2
returning *
"""

DELETE = "delete from crons where tenant_id = $1 and cron_id = $2 returning cron_id"

DELETE_OF_ASSISTANT = "delete from crons where tenant_id = $1 and assistant_id = $2"

_FILTER = """
 where tenant_id = $1 and ($2::uuid is null or assistant_id = $2) and ($3::uuid is null or thread_id = $3)
   and ($4::boolean is null or enabled = $4) and ($5::jsonb is null or metadata @> $5)
"""

SEARCH = f"""
with found as (
  select *, case $6 when 'cron_id' then cron_id::text when 'assistant_id' then assistant_id::text
                    when 'thread_id' then thread_id::text
                    else to_char(case $6 when 'next_run_date' then next_slot when 'end_time' then end_time
                                         when 'updated_at' then updated_at else created_at end,
                                 'YYYY-MM-DD HH24:MI:SS.US') end as place
    from crons {_FILTER}
)
select * from found
 order by case when $7 then place end desc nulls last, case when not $7 then place end nulls last, cron_id
 limit $8 offset $9
"""

COUNT = f"select count(*) from crons {_FILTER}"

HISTORY = """
select * from cron_firings where tenant_id = $1 and cron_id = $2 order by firing_id desc limit $3 offset $4
"""

DUE = """
select cron_id, thread_id from crons where tenant_id = $1 and due_at <= coalesce($3, now()) order by due_at limit $2
"""

NEXT = """
select due_at - coalesce($2, now()) as wait from crons
 where tenant_id = $1 and due_at > coalesce($2, now()) order by due_at limit 1
"""

LOCK_DUE = """
-- skip locked: another scheduler is at it
select c.*, coalesce($3, now()) as now
  from crons c where c.tenant_id = $1 and c.cron_id = $2 and c.due_at <= coalesce($3, now())
   for no key update of c skip locked
"""

BUSY = """
-- behind the cron's lock, and not in the statement that takes it: that one would not see the run of a firing
-- that came before it by a moment. The run may end meanwhile, which the next look sees.
select exists (select from runs r where r.tenant_id = $1 and r.run_id = $2
                  and r.status in ('pending', 'running'))
"""

ADVANCE = """
update crons set next_slot = $3, due_at = $4, held = $5, last_run = coalesce($6, last_run)
 where tenant_id = $1 and cron_id = $2
"""

REMEMBER = """
insert into cron_firings (tenant_id, cron_id, firing_id, slot, until, trigger, outcome, run_id, thread_id, reason)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""

FORGET = """
-- a history does not grow: what is older than the latest so many goes
delete from cron_firings where tenant_id = $1 and cron_id = $2
   and firing_id <= (select f.firing_id from cron_firings f where f.tenant_id = $1 and f.cron_id = $2
                      order by f.firing_id desc limit 1 offset $3)
"""

POSTPONE = """
update crons set due_at = now() + $3::interval where tenant_id = $1 and cron_id = $2 and due_at is not null
"""


@dataclass(frozen=True, slots=True)
class PostgresCrons:
    """`agenthub.crons.CronStore`. `clock` takes the place of the database's, in tests; `thread_ttl` is for
    the threads that firings make."""

    db: Database
    clock: Callable[[], datetime] | None = None
    thread_ttl: ThreadTtl | None = None

    async def now(self) -> datetime:
        if self.clock is not None:
            return self.clock()
        row = await self.db.row(NOW, again=True)
        assert row is not None
        return row["now"]

    async def create(self, cron: Cron) -> Cron:
        try:
            row = await self.db.row(CREATE, *_columns(cron))
        except asyncpg.ForeignKeyViolationError:
            raise NotFound(f"there is no thread {str(cron.thread_id)!r}") from None
        assert row is not None
        return cron_of(row)

    async def get(self, tenant: str, cron_id: UUID) -> Cron | None:
        row = await self.db.row(GET, tenant, cron_id, again=True)
        return None if row is None else cron_of(row)

    async def update(
        self, tenant: str, cron_id: UUID, change: Callable[[Cron, datetime], Cron]
    ) -> Cron | None:
        async with self.db.transaction() as connection:
            locked = await connection.fetchrow(LOCK, tenant, cron_id)
            if locked is None:
                return None
            cron = change(cron_of(locked), self.clock() if self.clock else locked["now"])
            row = await connection.fetchrow(UPDATE, *_columns(cron), cron.held)
        assert row is not None
        return cron_of(row)

    async def delete(self, tenant: str, cron_id: UUID) -> bool:
        return await self.db.row(DELETE, tenant, cron_id) is not None

    async def delete_of_assistant(self, tenant: str, assistant_id: UUID) -> None:
        await self.db.fetch(DELETE_OF_ASSISTANT, tenant, assistant_id)

    async def search(
        self,
        tenant: str,
        query: CronQuery,
        *,
        sort_by: CronOrder = "created_at",
        descending: bool = True,
        limit: int = 10,
        offset: int = 0,
    ) -> Sequence[Cron]:
        found = await self.db.fetch(
            SEARCH, *_filter(tenant, query), sort_by, descending, limit, offset, again=True
        )
        return [cron_of(row) for row in found]

    async def count(self, tenant: str, query: CronQuery) -> int:
        row = await self.db.row(COUNT, *_filter(tenant, query), again=True)
        assert row is not None
        return row["count"]

    async def history(
        self, tenant: str, cron_id: UUID, *, limit: int, offset: int
    ) -> Sequence[CronFiring]:
        rows = await self.db.fetch(HISTORY, tenant, cron_id, limit, offset, again=True)
        return [_firing_of(row) for row in rows]

    async def due(self, tenant: str, *, limit: int) -> tuple[Sequence[DueCron], timedelta | None]:
        now = self.clock() if self.clock else None
        rows = await self.db.fetch(DUE, tenant, limit, now, again=True) if limit else ()
        found = [DueCron(row["cron_id"], row["thread_id"]) for row in rows]
        if found:
            return found, None
        row = await self.db.row(NEXT, tenant, now, again=True)
        return (), None if row is None else row["wait"]

    async def fire(self, tenant: str, due: DueCron, decide: Decide) -> Fired | None:
        now = self.clock() if self.clock else None
        async with self.db.transaction() as connection:
            if due.thread_id is not None:
                await connection.fetch(locks.THREAD, tenant, due.thread_id)
            row = await connection.fetchrow(LOCK_DUE, tenant, due.cron_id, now)
            # one that was moved to another thread meanwhile is taken up with that thread's lock
            if row is None or row["thread_id"] != due.thread_id:
                return None
            busy = await connection.fetchval(BUSY, tenant, row["last_run"])
            step = decide(cron_of(row), row["now"], busy)
            return await _do(connection, step, row["now"], self.thread_ttl)

    async def run_now(self, cron: Cron) -> Fired | None:
        async with self.db.transaction() as connection:
            if cron.thread_id is not None:
                await connection.fetch(locks.THREAD, cron.tenant, cron.thread_id)
            row = await connection.fetchrow(LOCK, cron.tenant, cron.cron_id)
            if row is None:
                return None
            made = await _start(connection, cron, self.thread_ttl)
            if isinstance(made, str):
                # raised inside, so that nothing of it stays
                raise Conflict(made)
            now = self.clock() if self.clock else row["now"]
            await _remember(connection, cron, now, "fired", run=made.run, trigger="request")
            return made

    async def postpone(self, tenant: str, due: DueCron, *, by: timedelta) -> None:
        await self.db.fetch(POSTPONE, tenant, due.cron_id, by)


async def _do(connection: _Connection, step: Step, now: datetime, ttl: ThreadTtl | None) -> Fired:
    """Do what was decided, in the transaction that holds the cron."""
    cron = step.cron
    made: Fired | str = Fired(None)
    if step.missed is not None:
        await _remember(connection, cron, step.missed[0], "missed", until=step.missed[1])
    if step.slot is not None and step.outcome == "fired":
        made = await _start(connection, cron, ttl)
    run = None if isinstance(made, str) else made.run
    if step.slot is not None:
        outcome = "refused" if isinstance(made, str) else step.outcome
        reason = made if isinstance(made, str) else None
        await _remember(connection, cron, step.slot, outcome, run=run, reason=reason)
    await connection.execute(
        ADVANCE,
        cron.tenant,
        cron.cron_id,
        cron.next_slot,
        cron.due_at,
        cron.held,
        None if run is None else run.run_id,
    )
    again = cron.due_at is not None and cron.due_at <= now
    return Fired(run, again, () if isinstance(made, str) else made.displaced)


async def _start(connection: _Connection, cron: Cron, ttl: ThreadTtl | None) -> Fired | str:
    """Create the run of a firing; or why its thread does not take it."""
    new = new_run(cron)
    row = await connection.fetchrow(*runs.creation(new, ttl))
    if row is not None:
        return Fired(run_of(row))
    thread = await connection.fetchrow(locks.THREAD, new.tenant, new.thread_id)
    if thread is None:
        return f"there is no thread {str(new.thread_id)!r}"
    if new.multitask in ("interrupt", "rollback"):
        return await _displace(connection, new)
    return "the thread is running a task already, and multitask_strategy is 'reject'"


async def _displace(connection: _Connection, new: NewRun) -> Fired | str:
    """Cancel what is open on the thread and put the run behind it."""
    action = "rollback" if new.multitask == "rollback" else "interrupt"
    displaced: list[str] = []
    for row in await connection.fetch(runs.OPEN_RUNS, new.tenant, new.thread_id):
        cancelled = await cancellation.cancel(
            connection, new.tenant, row["run_id"], action, "superseded by a scheduled run"
        )
        if cancelled is not None and cancelled.worker_id is not None:
            displaced.append(cancelled.worker_id)
    behind = replace(new, multitask="enqueue")
    row = await connection.fetchrow(*runs.creation(behind, None))
    assert row is not None, "the thread is locked, and it is this agent's"
    return Fired(run_of(row), displaced=displaced)


async def _remember(
    connection: _Connection,
    cron: Cron,
    slot: datetime,
    outcome: str,
    *,
    run: Run | None = None,
    until: datetime | None = None,
    reason: str | None = None,
    trigger: str = "schedule",
) -> None:
    await connection.execute(
        REMEMBER,
        cron.tenant,
        cron.cron_id,
        new_id(),
        slot,
        until,
        trigger,
        outcome,
        None if run is None else run.run_id,
        None if run is None else run.thread_id,
        reason,
    )
    await connection.execute(FORGET, cron.tenant, cron.cron_id, MOST_FIRINGS)


def _filter(tenant: str, query: CronQuery) -> tuple[object, ...]:
    metadata = None if query.metadata is None else text(query.metadata)
    return tenant, query.assistant_id, query.thread_id, query.enabled, metadata


def _columns(cron: Cron) -> tuple[object, ...]:
    return (
        cron.tenant,
        cron.cron_id,
        cron.agent,
        cron.assistant_id,
        cron.thread_id,
        cron.schedule,
        cron.timezone,
        cron.end_time,
        cron.enabled,
        cron.misfire,
        cron.overlap,
        cron.jitter_seconds,
        cron.on_run_completed,
        cron.multitask,
        pack(dumps(cron.request.to_json())),
        text(cron.payload),
        text(cron.metadata),
        cron.subject,
        cron.next_slot,
        cron.due_at,
        cron.priority,
        text(cron.origin),
        text(cron.run_metadata),
    )


def cron_of(row: Record) -> Cron:
    """A row of `crons`."""
    return Cron(
        tenant=row["tenant_id"],
        cron_id=row["cron_id"],
        agent=row["agent"],
        assistant_id=row["assistant_id"],
        thread_id=row["thread_id"],
        schedule=row["schedule"],
        timezone=row["timezone"],
        end_time=row["end_time"],
        enabled=row["enabled"],
        misfire=row["misfire"],
        overlap=row["overlap"],
        jitter_seconds=row["jitter_seconds"],
        on_run_completed=row["on_run_completed"],
        multitask=row["multitask"],
        request=RunRequest.from_json(loads(unpack(row["request"]))),
        priority=row["priority"],
        origin=loads(row["origin"]),
        run_metadata=loads(row["run_metadata"]),
        payload=loads(row["payload"]),
        metadata=loads(row["metadata"]),
        subject=row["subject"],
        next_slot=row["next_slot"],
        due_at=row["due_at"],
        held=row["held"],
        last_run=row["last_run"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _firing_of(row: Record) -> CronFiring:
    return CronFiring(
        firing_id=row["firing_id"],
        slot=row["slot"],
        until=row["until"],
        trigger=row["trigger"],
        outcome=row["outcome"],
        run_id=row["run_id"],
        thread_id=row["thread_id"],
        reason=row["reason"],
        at=row["at"],
    )
