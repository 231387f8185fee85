"""Runs that meet nothing to decide on: many of them in one statement, at a fraction of what `runs.CREATE` costs.

Most runs are on a thread of their own, or on one where nothing runs and nothing is asked. What either
statement returns no row for, `runs.CREATE` decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from asyncpg import Record

from agenthub.json import dumps, text
from agenthub.ports import NewRun
from agenthub_postgres.database import Database
from agenthub_postgres.payload import pack
from agenthub_postgres.records import RUN_COLUMNS

_GIVEN = """
with given as (
  select * from unnest($1::new_run_row[])
   -- for the planner: it guesses ten rows where it does not see them, and would rather plan anew each
   -- time for the one that it sees; of an unknown limit it expects a tenth
   limit $2
)"""

_RUN = """
insert into runs as r (tenant_id, run_id, thread_id, task_id, agent, kind, ready, available_at, priority,
                       multitask, subject, request, metadata, origin, answers, policy, after_seq)
select g.tenant_id, g.run_id, g.thread_id, g.run_id, g.agent, 'input', true, now() + g.delay, g.priority,
       g.multitask, g.subject, g.request, g.metadata::jsonb, g.origin::jsonb, '{}', g.policy::jsonb, 0"""

_FRESH = """, fresh as (
  insert into tasks (tenant_id, task_id, thread_id, agent, subject)
  select r.tenant_id, r.task_id, r.thread_id, r.agent, r.subject from run r
)
select * from run
"""

# A thread that is made for its run: nobody else knows of it. `flag` says that it goes with the run.
ALONE = f"""{_GIVEN}, made as (
  insert into threads (tenant_id, thread_id, agent, status, subject, metadata, open_runs, open_task, ephemeral)
  select g.tenant_id, g.thread_id, g.agent, 'busy', g.subject, g.thread_metadata::jsonb, 1, g.run_id, g.flag
    from given g
), run as ({_RUN}
    from given g
  returning {RUN_COLUMNS}
){_FRESH}"""

# A thread that is there, where nothing runs, waits, or is asked. `flag` lets another agent go on there.
IDLE = f"""{_GIVEN}, idle as materialized (
  -- no key update: the same lock as `runs.CREATE` takes, and the row's latest version; skip locked: its
  -- holder may be long about it, and those who are in this statement too should not wait for that
  select g.*
    from given g
   cross join lateral (
     select * from threads t where t.tenant_id = g.tenant_id and t.thread_id = g.thread_id
     offset 0 for no key update of t skip locked) t
   -- a thread that is asked something has an open task
   where t.open_runs = 0 and t.open_task is null and (g.flag or coalesce(t.agent, g.agent) = g.agent)
), held as (
  -- an insert that always meets a conflict: an update would be joined by walking through the table
  insert into threads (tenant_id, thread_id, agent, open_task)
  select g.tenant_id, g.thread_id, g.agent, g.run_id from idle g
      on conflict (tenant_id, thread_id) do update
     set open_runs = 1, status = 'busy', agent = excluded.agent, open_task = excluded.open_task, updated_at = now()
), run as ({_RUN}
    from idle g
  returning {RUN_COLUMNS}
){_FRESH}"""


def is_plain(new: NewRun) -> bool:
    """Whether one of these statements may be all that this run needs."""
    return new.kind == "input" and new.idempotency_key is None and new.push is None


async def alone(db: Database, runs: Sequence[NewRun]) -> Sequence[Record | None]:
    """Insert runs with threads of their own. Threads that exist fail the statement."""
    rows = [(*_row(new), new.ephemeral, text(new.thread_metadata)) for new in runs]
    return _by_run(runs, await db.fetch(ALONE, rows, len(rows)))


async def idle(db: Database, runs: Sequence[NewRun]) -> Sequence[Record | None]:
    """Insert runs on threads that are idle; one of each thread."""
    firsts = {(new.tenant, new.thread_id): new for new in reversed(runs)}.values()
    rows = [(*_row(new), new.any_agent, None) for new in firsts]
    return _by_run(runs, await db.fetch(IDLE, rows, len(rows)))


def _by_run(runs: Sequence[NewRun], rows: Sequence[Record]) -> Sequence[Record | None]:
    made: dict[UUID, Record] = {row["run_id"]: row for row in rows}
    return [made.get(new.run_id) for new in runs]


def _row(new: NewRun) -> tuple[Any, ...]:
    # in the order of `new_run_row`, which has two more
    asked, policy = new.request.parts()
    return (
        new.tenant,
        new.thread_id,
        new.run_id,
        new.agent,
        new.subject,
        pack(dumps(asked)),
        text(new.metadata),
        new.delay,
        new.priority,
        new.multitask,
        text(new.origin),
        text(policy) if policy else None,
    )
