"""Times to live of threads: kept beside them, swept by the workers' tidying.

A time to live counts from the thread's last change. Runs do not write it on: the sweep takes the entries
whose earliest end has passed, and moves those forward whose thread has changed since.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from asyncpg import Record

from agenthub.archive import ThreadTtl
from agenthub.errors import Conflict
from agenthub_postgres import threads
from agenthub_postgres.checkpoints import PostgresCheckpoints
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
select x.thread_id, x.strategy, x.ttl from thread_ttls x
 where x.tenant_id = $1 and x.expires_at < now() order by x.expires_at limit $2
"""

MOVE_ON = """
update thread_ttls x
   -- what is pruned or in use is looked at again after as long
   set expires_at = case when t.open_runs > 0 or t.updated_at + x.ttl <= now() then now() + x.ttl
                         else t.updated_at + x.ttl end
  from threads t
 where x.tenant_id = $1 and x.thread_id = $2 and t.tenant_id = $1 and t.thread_id = $2
returning t.open_runs = 0 and t.updated_at + x.ttl <= now() as due
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
    prune: list[str] = []
    for row in await db.fetch(EXPIRED, tenant, limit):
        moved = await db.row(MOVE_ON, tenant, row["thread_id"])
        if moved is None or not moved["due"]:
            continue
        if row["strategy"] == "keep_latest":
            prune.append(str(row["thread_id"]))
            continue
        async with db.transaction() as connection:
            await threads.delete(connection, tenant, row["thread_id"], idle_only=True)
    for thread_id in prune:
        # one by one: a thread that began to run meanwhile must not keep the others from it
        with suppress(Conflict):
            await PostgresCheckpoints(db).prune(tenant, [thread_id], keep_latest=True)


def _ttl(row: Record) -> ThreadTtl:
    ttl: timedelta = row["ttl"]
    return ThreadTtl(row["strategy"], ttl, row["expires_at"])
