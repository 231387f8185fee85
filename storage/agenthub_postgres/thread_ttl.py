"""Times to live of threads: kept beside them, swept by the workers' tidying.

A time to live counts from the thread's last change. Runs do not write it on: the sweep takes the entries
whose earliest end has passed, and moves those forward whose thread has changed since.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from asyncpg import Record
from asyncpg.pool import PoolConnectionProxy

from agenthub.archive import ThreadTtl
from agenthub_postgres import checkpoints, threads
from agenthub_postgres.database import Database

PUT = """
insert into thread_ttls as x (tenant_id, thread_id, strategy, ttl, expires_at)
select t.tenant_id, t.thread_id, $3, $4::interval, now() + $4::interval from threads t
 where t.tenant_id = $1 and t.thread_id = $2
    on conflict (tenant_id, thread_id) do update
   set strategy = excluded.strategy, ttl = excluded.ttl, expires_at = excluded.expires_at
returning strategy, ttl, expires_at
"""

GET = "select strategy, ttl, expires_at from thread_ttls where tenant_id = $1 and thread_id = $2"

EXPIRED = """
select x.thread_id from thread_ttls x
 where x.tenant_id = $1 and x.expires_at < now() order by x.expires_at limit $2
"""

MOVE_ON = """
update thread_ttls x
   -- behind the thread's lock; what is pruned or in use is looked at again after as long
   set expires_at = case when t.open_runs > 0 or t.updated_at + x.ttl <= now() then now() + x.ttl
                         else t.updated_at + x.ttl end
  from threads t
 where x.tenant_id = $1 and x.thread_id = $2 and t.tenant_id = $1 and t.thread_id = $2
   -- again: it may have been renewed since it was found
   and x.expires_at < now()
returning x.strategy, t.open_runs = 0 and t.updated_at + x.ttl <= now() as due
"""

PUT_OFF = """
update thread_ttls set expires_at = now() + ttl where tenant_id = $1 and thread_id = $2 and expires_at < now()
"""


async def put(db: Database, tenant: str, thread_id: UUID, ttl: ThreadTtl) -> ThreadTtl | None:
    """Begin a time to live; None: there is no such thread."""
    row = await db.row(PUT, tenant, thread_id, ttl.strategy, ttl.after)
    return None if row is None else _ttl(row)


async def get(db: Database, tenant: str, thread_id: UUID) -> ThreadTtl | None:
    """The thread's time to live, if it has one."""
    row = await db.row(GET, tenant, thread_id, again=True)
    return None if row is None else _ttl(row)


async def sweep(db: Database, tenant: str, *, limit: int = 500) -> None:
    """Delete or prune the threads whose time has come; one that is in use stays."""
    for row in await db.fetch(EXPIRED, tenant, limit):
        thread_id: UUID = row["thread_id"]
        with threads.one_of_many(f"thread {thread_id}, whose time to live has passed"):
            async with db.transaction() as connection:
                await _end(connection, tenant, thread_id)
            continue
        # or as many of them as a sweep takes would be all that any sweep comes to
        await db.fetch(PUT_OFF, tenant, thread_id)


async def _end(connection: PoolConnectionProxy[Record], tenant: str, thread_id: UUID) -> None:
    """Delete or prune a thread, if its time has come."""
    if await connection.fetchrow(threads.LOCK, tenant, thread_id, None) is None:
        return
    moved = await connection.fetchrow(MOVE_ON, tenant, thread_id)
    if moved is None or not moved["due"]:
        return
    if moved["strategy"] == "keep_latest":
        await checkpoints.keep_latest(connection, tenant, str(thread_id))
    else:
        await threads.delete(connection, tenant, thread_id)


def _ttl(row: Record) -> ThreadTtl:
    ttl: timedelta = row["ttl"]
    return ThreadTtl(row["strategy"], ttl, row["expires_at"])
