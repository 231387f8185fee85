"""The archive in SQL: searches for threads and runs, copies, and the deletion of single runs.

The default order has its index; the others sort what matches. Values are kept packed with the run that
made them, so a search by values reads candidates and looks into them, up to a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from agenthub.archive import RunQuery, Stored, ThreadQuery, ThreadTtl, contains
from agenthub.errors import Conflict, Invalid
from agenthub.json import text
from agenthub.runs import Run
from agenthub.threads import Thread
from agenthub_postgres import locks, storage_sizes, thread_ttl
from agenthub_postgres.checkpoints import COPY_THREAD, DELETE_RUNS
from agenthub_postgres.database import Database
from agenthub_postgres.records import RUN_COLUMNS, run_of, thread_of

MOST_CANDIDATES = 5_000
"""Threads that a search by values looks into."""

_THREADS = """
  from threads t
  left join runs r on r.tenant_id = t.tenant_id and r.run_id = t.last_run
 where t.tenant_id = $1 and not t.ephemeral
   and ($2::uuid[] is null or t.thread_id = any($2)) and ($3::jsonb is null or t.metadata @> $3)
   and ($4::text is null or t.status = $4)
   -- a thread that ran nothing yet may say in its metadata whose it is to be
   and ($5::text is null or t.agent = $5 or (t.agent is null and t.metadata ->> 'graph_id' = $5))
"""

THREADS_NEWEST = f"""
select t.*, r.output, r.error {_THREADS}
 order by t.created_at desc, t.thread_id limit $6 offset $7
"""

_ORDER = """
  case $8 when 'thread_id' then t.thread_id::text when 'status' then t.status
          when 'created_at' then to_char(t.created_at, 'YYYYMMDDHH24MISSUS')
          when 'updated_at' then to_char(t.updated_at, 'YYYYMMDDHH24MISSUS')
          else to_char(t.state_updated_at, 'YYYYMMDDHH24MISSUS') end collate "C" """

THREADS_SORTED = f"""
select t.*, r.output, r.error {_THREADS}
 order by case when $9 then null else {_ORDER} end, case when $9 then {_ORDER} end desc, t.thread_id
 limit $6 offset $7
"""

COUNT_THREADS = """
select count(*) from threads t
 where t.tenant_id = $1 and not t.ephemeral
   and ($2::uuid[] is null or t.thread_id = any($2)) and ($3::jsonb is null or t.metadata @> $3)
   and ($4::text is null or t.status = $4)
   and ($5::text is null or t.agent = $5 or (t.agent is null and t.metadata ->> 'graph_id' = $5))
"""

_RUNS = """
 where r.tenant_id = $1 and r.kind <> 'update'
   and ($2::uuid is null or r.thread_id = $2) and ($3::uuid[] is null or r.run_id = any($3))
   and ($4::text is null or r.agent = $4) and ($5::text is null or r.origin ->> 'assistant_id' = $5)
   and ($6::text[] = '{}' or r.status = any($6)) and ($7::jsonb is null or r.metadata @> $7)
"""

RUNS = f"select {RUN_COLUMNS} from runs r {_RUNS} order by r.run_id desc limit $8 offset $9"

COUNT_RUNS = f"select count(*) from runs r {_RUNS}"

THREADS_OF = """
select distinct r.thread_id from runs r
 where r.tenant_id = $1 and r.origin ->> 'assistant_id' = $2 limit $3
"""

COPY = """
insert into threads (tenant_id, thread_id, agent, status, subject, metadata, interrupts, open_task, last_run,
                     state_updated_at)
select t.tenant_id, $3, t.agent,
       case when t.interrupts <> '{}' then 'interrupted' when t.status = 'error' then 'error' else 'idle' end,
       t.subject, t.metadata, t.interrupts,
       -- a task of its own: two threads that went on with one task would write one log
       case when t.interrupts <> '{}' then $4::uuid end,
       -- an attempt that is being made has left checkpoints, too
       coalesce(t.last_run, (select r.run_id from runs r where r.tenant_id = $1 and r.thread_id = $2
                                order by r.run_id limit 1)),
       t.state_updated_at
  from threads t where t.tenant_id = $1 and t.thread_id = $2
returning thread_id
"""

GET = """
select t.*, r.output, r.error from threads t
  left join runs r on r.tenant_id = t.tenant_id and r.run_id = t.last_run
 where t.tenant_id = $1 and t.thread_id = $2
"""

DELETE_RUN = """
delete from runs r
 where r.tenant_id = $1 and r.run_id = $2 and r.status not in ('pending', 'running')
returning r.task_id
"""

# The events of a task are dense, so they go with its last run and not one by one.
DELETE_EMPTY_TASK = """
with empty as (
  select k.task_id from (select $2::uuid as task_id) k
   where not exists (select from runs r where r.tenant_id = $1 and r.run_id = k.task_id)
     and not exists (select from runs r where r.tenant_id = $1 and r.task_id = k.task_id and r.kind <> 'input')
), gone as (
  delete from events e where e.tenant_id = $1 and e.task_id = (select task_id from empty)
)
delete from tasks t where t.tenant_id = $1 and t.task_id = (select task_id from empty)
"""


@dataclass(frozen=True, slots=True)
class PostgresArchive:
    """`agenthub.archive.Archive`."""

    db: Database

    async def threads(self, tenant: str, query: ThreadQuery) -> Sequence[Thread]:
        if query.values is None:
            return await self._threads(tenant, query)
        found = await self._with_values(tenant, query)
        return found[query.offset : query.offset + query.limit]

    async def count_threads(self, tenant: str, query: ThreadQuery) -> int:
        if query.values is not None:
            return len(await self._with_values(tenant, query))
        row = await self.db.row(COUNT_THREADS, *_threads(tenant, query), again=True)
        assert row is not None
        return row["count"]

    async def _threads(self, tenant: str, query: ThreadQuery) -> Sequence[Thread]:
        args = (*_threads(tenant, query), query.limit, query.offset)
        if (query.sort_by, query.descending) == ("created_at", True):
            rows = await self.db.fetch(THREADS_NEWEST, *args, again=True)
        else:
            rows = await self.db.fetch(
                THREADS_SORTED, *args, query.sort_by, query.descending, again=True
            )
        return [thread_of(row) for row in rows]

    async def _with_values(self, tenant: str, query: ThreadQuery) -> Sequence[Thread]:
        candidates = await self._threads(
            tenant, replace(query, limit=MOST_CANDIDATES + 1, offset=0)
        )
        if len(candidates) > MOST_CANDIDATES:
            raise Invalid(
                f"a search by values looks into {MOST_CANDIDATES} threads at most: narrow it down "
                "by metadata, status or ids"
            )
        return [t for t in candidates if contains(t.values, query.values)]

    async def runs(self, tenant: str, query: RunQuery) -> Sequence[Run]:
        rows = await self.db.fetch(
            RUNS, *_runs(tenant, query), query.limit, query.offset, again=True
        )
        return [run_of(row) for row in rows]

    async def count_runs(self, tenant: str, query: RunQuery) -> int:
        row = await self.db.row(COUNT_RUNS, *_runs(tenant, query), again=True)
        assert row is not None
        return row["count"]

    async def threads_of(
        self, tenant: str, assistant_id: UUID, *, limit: int = 1000
    ) -> Sequence[UUID]:
        rows = await self.db.fetch(THREADS_OF, tenant, str(assistant_id), limit, again=True)
        return [row["thread_id"] for row in rows]

    async def copy_thread(self, tenant: str, source: UUID, target: UUID) -> Thread | None:
        async with self.db.transaction() as connection:
            # one snapshot for the thread and its checkpoints
            await connection.execute("set transaction isolation level repeatable read")
            made = await connection.fetchrow(COPY, tenant, source, target, uuid4())
            if made is None:
                return None
            await connection.execute(COPY_THREAD, tenant, str(source), str(target))
            row = await connection.fetchrow(GET, tenant, target)
        assert row is not None
        return thread_of(row)

    async def delete_run(self, tenant: str, run_id: UUID) -> bool:
        async with self.db.transaction() as connection:
            thread = await connection.fetchrow(locks.THREAD_OF_RUN, tenant, run_id)
            if thread is None:
                return False
            gone = await connection.fetchrow(DELETE_RUN, tenant, run_id)
            if gone is None:
                raise Conflict(f"run {str(run_id)!r} is still open: cancel it first")
            # they go on from what this one left, or will once they are claimed
            if thread["open_runs"]:
                raise Conflict(
                    f"run {str(run_id)!r} is on a thread with open runs, which may need what it left: "
                    "cancel them first, or wait for their end"
                )
            if thread["interrupts"] != "{}" and thread["open_task"] == gone["task_id"]:
                raise Conflict(
                    f"run {str(run_id)!r} belongs to a task that waits for an answer: answer it or "
                    "cancel it first"
                )
            await connection.execute(DELETE_EMPTY_TASK, tenant, gone["task_id"])
            # of this thread: a copy has checkpoints of the same run
            where = [str(thread["thread_id"])]
            await connection.execute(DELETE_RUNS, tenant, [str(run_id)], where)
        return True

    async def set_ttl(self, tenant: str, thread_id: UUID, ttl: ThreadTtl) -> ThreadTtl | None:
        return await thread_ttl.put(self.db, tenant, thread_id, ttl)

    async def ttl(self, tenant: str, thread_id: UUID) -> ThreadTtl | None:
        return await thread_ttl.get(self.db, tenant, thread_id)

    async def stored(self, tenant: str, thread_id: UUID) -> Stored:
        return await storage_sizes.stored(self.db, tenant, thread_id)


def _threads(tenant: str, query: ThreadQuery) -> tuple[object, ...]:
    return (
        tenant,
        None if query.ids is None else list(query.ids),
        None if query.metadata is None else text(query.metadata),
        query.status,
        query.agent,
    )


def _runs(tenant: str, query: RunQuery) -> tuple[object, ...]:
    return (
        tenant,
        query.thread_id,
        None if query.run_ids is None else list(query.run_ids),
        query.agent,
        None if query.assistant_id is None else str(query.assistant_id),
        list(query.status),
        None if query.metadata is None else text(query.metadata),
    )
