"""The event log in SQL: reads. Appending is the writer's, under a lease (`writer.py`).

A thread's runs are executed one at a time, so its log is theirs, one after the other: by when they were
begun, which no two share. They are found by when they were created, which has an index.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from agenthub.events import Event
from agenthub.runs import Run
from agenthub_postgres.database import Database
from agenthub_postgres.payload import PLAIN, unpack
from agenthub_postgres.records import RUN_COLUMNS, run_of

READ = """
select seq, run_id, kind, ns, data from events
 where tenant_id = $1 and task_id = $2 and seq > $3 order by seq limit $4
"""

READ_KINDS = """
select seq, run_id, kind, ns, case when kind <> all($6::text[]) then data end as data from events
 where tenant_id = $1 and task_id = $2 and seq > $3 and kind = any($5::text[]) order by seq limit $4
"""

NEXT_RUN = f"""
with last as materialized (
  select started_at from runs where tenant_id = $1 and run_id = $3
)
select {RUN_COLUMNS} from runs r
 where r.tenant_id = $1 and r.thread_id = $2
   -- two that were created in the same moment may be executed in either order
   and r.created_at >= coalesce($4::timestamptz, '-infinity') - interval '1 minute'
   -- begun later, or the head of the line; one that was cancelled in line has left nothing
   and (r.started_at > coalesce((select started_at from last), $5::timestamptz, '-infinity')
        or r.started_at is null and r.ready)
 order by r.created_at limit 8
"""

CURRENT_RUNS = f"""
select {RUN_COLUMNS} from runs r
 where r.tenant_id = $1 and r.thread_id = $2 and r.created_at <= coalesce($3::timestamptz, 'infinity')
   and (r.started_at <= coalesce($3::timestamptz, 'infinity') or $3::timestamptz is null and r.ready)
   and r.kind <> 'update'
 order by r.created_at desc limit 8
"""

LOG_END = """
-- for an end that no worker writes; under the thread's lock, and no attempt of the task is under way
insert into events (tenant_id, task_id, seq, run_id, epoch, kind, data)
select $1, $2, coalesce(max(e.seq), 0) + 1, $3, $4, $5, $6 from events e where e.tenant_id = $1 and e.task_id = $2
"""

NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PostgresEventLog:
    """`agenthub.ports.EventLog`."""

    db: Database

    async def read(
        self,
        tenant: str,
        task_id: UUID,
        *,
        after: int,
        limit: int = 1000,
        kinds: Collection[str] | None = None,
        bare: Collection[str] = (),
    ) -> Sequence[Event]:
        asked = (tenant, task_id, after, limit)
        if kinds is None:
            rows = await self.db.fetch(READ, *asked, again=True)
        else:
            rows = await self.db.fetch(READ_KINDS, *asked, list(kinds), list(bare), again=True)
        return [
            Event(row["seq"], row["run_id"], row["kind"], unpack(row["data"] or PLAIN), row["ns"])
            for row in rows
        ]

    async def next_run(self, tenant: str, thread_id: UUID, *, after: Run | None) -> Run | None:
        last = (None, None, None)
        if after is not None:
            # what is known of it stands in for a row that was deleted meanwhile
            last = (after.run_id, after.created_at, after.started_at or after.created_at)
        rows = await self.db.fetch(NEXT_RUN, tenant, thread_id, *last, again=True)
        return min(map(run_of, rows), key=_begun, default=None)

    async def current_run(
        self, tenant: str, thread_id: UUID, *, at: datetime | None = None
    ) -> Run | None:
        rows = await self.db.fetch(CURRENT_RUNS, tenant, thread_id, at, again=True)
        return max(map(run_of, rows), key=_begun, default=None)


def _begun(run: Run) -> datetime:
    return run.started_at or NEVER
