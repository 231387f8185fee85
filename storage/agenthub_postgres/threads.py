"""Threads in SQL."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

import asyncpg
from asyncpg import Record
from asyncpg.pool import PoolConnectionProxy

from agenthub.archive import ThreadTtl
from agenthub.errors import Conflict, Unavailable
from agenthub.json import JsonObject, text
from agenthub.threads import Thread
from agenthub_postgres.database import Database
from agenthub_postgres.records import thread_of
from agenthub_postgres.together import Together

log = logging.getLogger(__name__)

CREATE = """
insert into threads (tenant_id, thread_id, subject, metadata, agent)
select n.tenant_id, n.thread_id, n.subject, n.metadata::jsonb, n.agent
  from unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[])
    as n(tenant_id, thread_id, subject, metadata, agent)
 -- in the order of ids: two statements that make the same threads may not wait for each other
 order by n.thread_id
    on conflict (tenant_id, thread_id) do nothing
returning *
"""

CREATE_LIVING = """
with made as (
  insert into threads (tenant_id, thread_id, subject, metadata, agent) values ($1, $2, $3, $4::jsonb, $5)
      on conflict (tenant_id, thread_id) do nothing
  returning *
), living as (
  insert into thread_ttls (tenant_id, thread_id, strategy, ttl, expires_at)
  select tenant_id, thread_id, $6, $7::interval, now() + $7::interval from made
)
select * from made
"""

GET = """
select t.*, r.output, r.error from threads t
  left join runs r on r.tenant_id = t.tenant_id and r.run_id = t.last_run
 where t.tenant_id = $1 and t.thread_id = $2
"""

SEARCH = """
select t.*, r.output, r.error from threads t
  left join runs r on r.tenant_id = t.tenant_id and r.run_id = t.last_run
 where t.tenant_id = $1 and not t.ephemeral
   and ($2::jsonb is null or t.metadata @> $2) and ($3::text is null or t.status = $3) and ($6::text is null or t.agent = $6)
 order by t.created_at desc, t.thread_id limit $4 offset $5
"""

UPDATE = """
update threads set metadata = metadata || $3::jsonb, updated_at = now()
 where tenant_id = $1 and thread_id = $2
returning *
"""

LOCK = """
-- for update: nobody may put a run on it while it goes. What the deletion is decided on comes with the lock:
-- who was waited for may have used the thread.
select open_runs, open_runs = 0 and interrupts = '{}' and updated_at < now() - $3::interval as forgotten
  from threads where tenant_id = $1 and thread_id = $2 for update
"""

LOCK_RUNS = """
-- for update: nobody may claim one while it goes, and writes under a lease come first
select status from runs where tenant_id = $1 and thread_id = $2 and status in ('pending', 'running')
 order by run_id for update
"""

DELETE = """
with held as (
  select t.tenant_id, t.thread_id from threads t where t.tenant_id = $1 and t.thread_id = $2
), gone_tasks as (
  delete from tasks k using held h where k.tenant_id = h.tenant_id and k.thread_id = h.thread_id
  returning k.tenant_id, k.task_id
), gone_runs as (
  delete from runs r using held h where r.tenant_id = h.tenant_id and r.thread_id = h.thread_id
  returning r.tenant_id, r.task_id
), logs as (
  -- of the runs, too: a state update has no task of its own, nor has what goes on on a copy
  select tenant_id, task_id from gone_tasks union select tenant_id, task_id from gone_runs
), gone_events as (
  delete from events e using logs l where e.tenant_id = l.tenant_id and e.task_id = l.task_id
), gone_checkpoints as (
  delete from checkpoints c using held h where c.tenant_id = h.tenant_id and c.thread_id = h.thread_id::text
), gone_blobs as (
  delete from checkpoint_blobs c using held h
   where c.tenant_id = h.tenant_id and c.thread_id = h.thread_id::text
), gone_writes as (
  delete from checkpoint_writes c using held h
   where c.tenant_id = h.tenant_id and c.thread_id = h.thread_id::text
)
delete from threads t using held h where t.tenant_id = h.tenant_id and t.thread_id = h.thread_id
"""


New: TypeAlias = tuple[str, UUID, str, str, str | None]
"""A new thread's row: tenant, id, subject, metadata as JSON, agent."""


@dataclass(slots=True)
class PostgresThreads:
    """`agenthub.ports.ThreadStore`. `thread_ttl` is for threads that do not get their own; with a `group`,
    requests of one moment share a statement."""

    db: Database
    thread_ttl: ThreadTtl | None = None
    group: asyncio.TaskGroup | None = None
    _new: Together[New] = field(init=False)

    def __post_init__(self) -> None:
        self._new = Together(self._create, self.group)

    async def create(
        self,
        tenant: str,
        thread_id: UUID,
        *,
        subject: str,
        metadata: JsonObject,
        agent: str | None = None,
        exists_ok: bool = False,
        fresh: bool = False,
    ) -> Thread:
        new = (tenant, thread_id, subject, text(metadata), agent)
        if self.thread_ttl is not None:
            ttl = self.thread_ttl
            row = await self.db.row(CREATE_LIVING, *new, ttl.strategy, ttl.after)
        elif fresh:
            row = await self._new.ask(new)
        else:
            # who deletes this very thread would keep the others' waiting
            [row] = await self._create([new])
        if row is not None:
            return thread_of(row)
        found = await self.get(tenant, thread_id)
        if found is None or not exists_ok:
            raise Conflict(f"Thread with ID {thread_id!s} already exists")
        return found

    async def _create(self, new: Sequence[New]) -> Sequence[Record | None]:
        rows = await self.db.fetch(CREATE, *zip(*new, strict=True))
        made = {(row["tenant_id"], row["thread_id"]): row for row in rows}
        # of two who asked for the same, the first has made it
        return [made.pop(one[:2], None) for one in new]

    async def get(self, tenant: str, thread_id: UUID) -> Thread | None:
        row = await self.db.row(GET, tenant, thread_id, again=True)
        return None if row is None else thread_of(row)

    async def search(
        self,
        tenant: str,
        *,
        metadata: JsonObject | None = None,
        status: str | None = None,
        agent: str | None = None,
        limit: int = 10,
        offset: int = 0,
    ) -> Sequence[Thread]:
        contains = None if metadata is None else text(metadata)
        rows = await self.db.fetch(
            SEARCH, tenant, contains, status, limit, offset, agent, again=True
        )
        return [thread_of(row) for row in rows]

    async def update(self, tenant: str, thread_id: UUID, *, metadata: JsonObject) -> Thread | None:
        row = await self.db.row(UPDATE, tenant, thread_id, text(metadata))
        return None if row is None else await self.get(tenant, thread_id)

    async def delete(self, tenant: str, thread_id: UUID) -> bool:
        async with self.db.transaction() as connection:
            return await delete(connection, tenant, thread_id)


@contextmanager
def one_of_many(what: str) -> Generator[None]:
    """Log what fails in here, and go on: one that cannot be tidied, as when that takes longer than a
    statement may, must not keep the others from it in every round."""
    try:
        yield
    except (Conflict, Unavailable, asyncpg.PostgresError) as failed:
        away = isinstance(failed, Unavailable)
        if away and not isinstance(failed.__cause__, asyncpg.QueryCanceledError):
            raise
        log.warning("cannot tidy %s: %s", what, failed)


async def delete(
    connection: PoolConnectionProxy[Record],
    tenant: str,
    thread_id: UUID,
    *,
    unused_for: timedelta | None = None,
) -> bool:
    """Delete a thread with everything on it; `unused_for`: only if nothing has happened on it for so long,
    and no run is open and no question. In a transaction: the locks come first, so that the deletion sees
    whatever was written before them."""
    thread = await connection.fetchrow(LOCK, tenant, thread_id, unused_for)
    if thread is None or (unused_for is not None and not thread["forgotten"]):
        return False
    open_ = await connection.fetch(LOCK_RUNS, tenant, thread_id)
    if any(row["status"] == "running" for row in open_):
        raise Conflict(f"a run is running on thread {str(thread_id)!r}: cancel it first")
    await connection.execute(DELETE, tenant, thread_id)
    return True
