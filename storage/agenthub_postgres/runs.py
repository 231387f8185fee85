"""Runs and tasks in SQL: the create transition, and reads.

Create is one statement. What it decides on (is the thread busy, which questions are open) stands in the
thread's row, because only a locked row is seen in its latest version: a count over `runs` in the same
statement would use the snapshot from before the lock was granted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import LiteralString
from uuid import UUID

import asyncpg
from asyncpg import Record

from agenthub.archive import ThreadTtl
from agenthub.errors import Conflict, KeyReused, NotFound
from agenthub.interrupts import unknown
from agenthub.json import dumps, loads, text
from agenthub.ports import Cancelled, NewRun
from agenthub.runs import CancelAction, Run, RunStatus, Task, TaskStatus
from agenthub_postgres import cancellation, locks, plain_runs
from agenthub_postgres.database import Database
from agenthub_postgres.payload import pack
from agenthub_postgres.push_configs import PUSHED
from agenthub_postgres.records import RUN_COLUMNS, run_of
from agenthub_postgres.together import Together

IDEMPOTENCY_HOURS = 24

_CREATE = f"""
with made as (
  -- the thread, where it may be made and is not there
  insert into threads (tenant_id, thread_id, agent, status, subject, metadata, open_runs, open_task, ephemeral)
  select $1, $2, $4, 'busy', $6, $8::jsonb, 1, $3, $11
   where $10::boolean and $5 <> 'resume'
     and not exists (select from threads t where t.tenant_id = $1 and t.thread_id = $2)
      on conflict (tenant_id, thread_id) do nothing
  returning open_runs, null::uuid as open_task, '{{}}'::jsonb as interrupts, null::uuid as last_run
), old as materialized (
  -- no key update: deciders on one thread go one after the other; foreign readers are not disturbed
  select * from threads t where t.tenant_id = $1 and t.thread_id = $2 for no key update
), held as (
  update threads t
     set open_runs = old.open_runs + 1,
         status = 'busy',
         agent = $4,
         -- an update that is refused leaves the questions open; one that is made closes them when it ends
         interrupts = case $5 when 'resume' then old.interrupts - $13::text[] when 'update' then old.interrupts
                              else '{{}}' end,
         open_task = case when $5 = 'input' then $3 else old.open_task end,
         updated_at = now()
    from old
   where t.tenant_id = old.tenant_id and t.thread_id = old.thread_id
     and ($22::boolean or coalesce(old.agent, $4) = $4)
     and ($9 = 'enqueue' or old.open_runs = 0)
     and ($5 <> 'resume' or old.interrupts ?& $13::text[])
     -- what asks again in the same place uses the same ids
     and ($24::uuid is null or old.last_run = $24)
     and ($5 = 'resume' or $12 = 'supersede' or old.interrupts = '{{}}')
  returning t.open_runs, old.open_task, old.interrupts, old.last_run
), place as (
  select open_runs, open_task, interrupts, last_run from made
   union all
  select open_runs, open_task, interrupts, last_run from held
), run as (
  insert into runs as r (tenant_id, run_id, thread_id, task_id, agent, kind, ready, available_at, priority,
                         multitask, subject, request, metadata, origin, answers, policy, after_seq)
  select $1, $3, $2, task.task_id, $4, $5, place.open_runs = 1, now() + $15::interval, $16, $9, $6, $7,
         $14::jsonb, $17::jsonb, $13,
         -- an answer is looked after like what asked, except where it says otherwise
         case when $5 = 'resume' then
           nullif(coalesce((select a.policy from runs a where a.tenant_id = $1 and a.run_id = place.last_run), '{{}}')
                  || coalesce($23::jsonb, '{{}}'), '{{}}')
         else $23::jsonb end,
         case when $5 = 'resume' then
           coalesce((select max(e.seq) from events e where e.tenant_id = $1 and e.task_id = task.task_id), 0)
         else 0 end
    from place
    cross join lateral (select case when $5 = 'resume' then place.open_task else $3 end as task_id) task
  returning {RUN_COLUMNS}
), fresh as (
  insert into tasks (tenant_id, task_id, thread_id, agent, subject, push_configs)
  select r.tenant_id, r.task_id, r.thread_id, r.agent, r.subject, $21::jsonb from run r where r.kind = 'input'
  returning tenant_id, task_id, push_configs
), carried_on as (
  update tasks t
     set status = 'working', updated_at = now(),
         push_configs = case when $21::jsonb is null then t.push_configs
                             else coalesce(t.push_configs, '{{}}') || $21::jsonb end
   where $5 = 'resume' and t.tenant_id = $1 and t.task_id = (select task_id from run)
  returning t.tenant_id, t.task_id, t.push_configs
), superseded as (
  -- a new input takes the place of a question that was never answered
  update tasks t set status = 'canceled', updated_at = now()
   where $5 = 'input' and t.tenant_id = $1 and t.task_id = (select open_task from place)
     and t.status = 'input_required'
  returning t.tenant_id, t.task_id, t.push_configs
), telling as (
  select f.tenant_id, f.task_id, $3 as run_id, f.push_configs, 'task.working' as kind from fresh f
   union all
  select c.tenant_id, c.task_id, $3, c.push_configs, 'task.working' from carried_on c
   union all
  select s.tenant_id, s.task_id, s.task_id, s.push_configs, 'task.canceled' from superseded s
){PUSHED}, keyed as (
  -- no `on conflict`: a key that is taken must undo the whole statement
  insert into idempotency (tenant_id, key, request_hash, run_id, expires_at)
  select $1, $18::text, $19, r.run_id, now() + make_interval(hours => $20) from run r where $18::text is not null
)"""

CREATE = _CREATE + "\nselect * from run"

# where threads have a time to live by default; a statement apart, because each part costs every run
CREATE_LIVING = (
    _CREATE
    + """, living as (
  insert into thread_ttls (tenant_id, thread_id, strategy, ttl, expires_at)
  select $1, $2, $25, $26::interval, now() + $26::interval from made where not $11
)
select * from run"""
)

THREAD = """
select agent, open_runs, interrupts, open_task, last_run from threads where tenant_id = $1 and thread_id = $2
"""

OPEN_RUNS = """
select run_id from runs where tenant_id = $1 and thread_id = $2 and ready
 union all
select run_id from runs where tenant_id = $1 and thread_id = $2 and status = 'pending' and not ready
 order by run_id desc
"""

BY_KEY = """
select request_hash, run_id from idempotency where tenant_id = $1 and key = $2 and expires_at > now()
"""

DROP_EXPIRED_KEY = """
delete from idempotency where tenant_id = $1 and key = $2 and expires_at <= now()
"""

EXECUTING = """
select worker_id from runs where tenant_id = $1 and thread_id = $2 and ready and status || '' = 'running'
"""

GET = f"select {RUN_COLUMNS}, r.output from runs r where r.tenant_id = $1 and r.run_id = $2"

LIST = f"""
select {RUN_COLUMNS} from runs r
 where r.tenant_id = $1 and r.thread_id = $2 and ($3::text is null or r.status = $3)
   -- state updates are no runs of anybody's
   and r.kind <> 'update'
 order by r.created_at desc, r.run_id desc limit $4 offset $5
"""

TASK = """
select t.*, coalesce((select max(e.seq) from events e
                       where e.tenant_id = t.tenant_id and e.task_id = t.task_id), 0) as last_seq
  from tasks t where t.tenant_id = $1 and t.task_id = $2
"""

TASK_RUNS = f"""
select {RUN_COLUMNS}, r.output from runs r
 where r.tenant_id = $1 and (r.run_id = any($2::uuid[]) or r.task_id = any($2::uuid[]) and r.kind <> 'input')
 order by r.run_id
"""

_TASK_FILTER = """
 where t.tenant_id = $1 and ($2::text is null or t.subject = $2) and ($3::text is null or t.agent = $3)
   and ($4::uuid is null or t.thread_id = $4) and ($5::text[] = '{}' or t.status = any($5))
   and ($6::timestamptz is null or t.updated_at >= $6)
"""

TASKS = f"""
select t.*, 0::bigint as last_seq from tasks t {_TASK_FILTER}
   and ($7::timestamptz is null or (t.updated_at, t.task_id) < ($7, $8::uuid))
 order by t.updated_at desc, t.task_id desc limit $9
"""

COUNT_TASKS = f"select count(*) from tasks t {_TASK_FILTER}"


@dataclass(slots=True)
class PostgresRuns:
    """`agenthub.ports.RunStore`. `thread_ttl` is for threads that runs make; with a `group`, requests of
    one moment share a statement."""

    db: Database
    thread_ttl: ThreadTtl | None = None
    group: asyncio.TaskGroup | None = None
    _alone: Together[NewRun] = field(init=False)
    _idle: Together[NewRun] = field(init=False)

    def __post_init__(self) -> None:
        self._alone = Together(partial(plain_runs.alone, self.db), self.group)
        self._idle = Together(partial(plain_runs.idle, self.db), self.group)

    async def create(self, new: NewRun) -> Run:
        """See the port. Retries when another transaction made the thread at the same moment."""
        if (row := await self._plain(new)) is not None:
            return run_of(row)
        for _ in range(3):
            try:
                row = await self.db.row(*creation(new, self.thread_ttl))
                if row is not None:
                    return run_of(row)
                # a retry changes nothing: what its first request did is no reason to refuse it
                run = await self._replayed(new) or await self._refused(new)
            except asyncpg.UniqueViolationError as taken:
                if taken.constraint_name != "idempotency_pkey":
                    raise
                run = await self._replayed(new)
            if run is not None:
                return run
        raise Conflict(f"thread {str(new.thread_id)!r} keeps changing; try again")

    async def _plain(self, new: NewRun) -> Record | None:
        """The run, if there was nothing to decide on."""
        if not plain_runs.is_plain(new):
            return None
        if not new.new_thread:
            return await self._idle.ask(new)
        return await self._alone.ask(new) if self.thread_ttl is None else None

    async def _replayed(self, new: NewRun) -> Run | None:
        """The run that this key made before; None when the key may be used."""
        if new.idempotency_key is None:
            return None
        run = await self.replayed(new.tenant, new.idempotency_key, new.request_hash)
        if run is None:
            await self.db.fetch(DROP_EXPIRED_KEY, new.tenant, new.idempotency_key)
        return run

    async def replayed(self, tenant: str, key: str, request_hash: str) -> Run | None:
        record = await self.db.row(BY_KEY, tenant, key)
        if record is None:
            return None
        if record["request_hash"] != request_hash:
            raise KeyReused("this idempotency key was already used for a different request")
        run = await self.get(tenant, record["run_id"])
        if run is None:
            raise NotFound("the run of this idempotency key has been deleted")
        return run

    async def _refused(self, new: NewRun) -> Run | None:
        """Say why nothing was created; None when it may be tried again."""
        row = await self.db.row(THREAD, new.tenant, new.thread_id)
        if row is None:
            if new.make_thread and new.kind != "resume":
                return None
            raise NotFound(f"there is no thread {str(new.thread_id)!r}")
        if row["agent"] not in (None, new.agent) and not (new.any_agent and new.kind == "input"):
            raise Conflict(
                f"thread {str(new.thread_id)!r} belongs to agent {row['agent']!r}, not {new.agent!r}"
            )
        _require_questions(new, row)
        if row["open_runs"] == 0:
            return None
        if new.multitask == "reject":
            raise Conflict(
                "Thread is already running a task. Wait for it to finish or choose a different "
                "multitask strategy."
            )
        if new.multitask in ("interrupt", "rollback"):
            return await self._displace(
                new, "rollback" if new.multitask == "rollback" else "interrupt"
            )
        return None

    async def _displace(self, new: NewRun, action: CancelAction) -> Run:
        """Cancel what is open on the thread and queue the new run behind it, in one transaction."""
        async with self.db.transaction() as connection:
            await connection.fetch(locks.THREAD, new.tenant, new.thread_id)
            for row in await connection.fetch(OPEN_RUNS, new.tenant, new.thread_id):
                await cancellation.cancel(
                    connection, new.tenant, row["run_id"], action, "superseded by a new run"
                )
            behind = replace(new, multitask="enqueue")
            row = await connection.fetchrow(*creation(behind, self.thread_ttl))
            if row is None:
                # raised inside, so that the cancellations are undone
                raise Conflict(f"thread {str(new.thread_id)!r} changed meanwhile; try again")
        return run_of(row)

    async def executing(self, tenant: str, thread_id: UUID) -> str | None:
        row = await self.db.row(EXECUTING, tenant, thread_id, again=True)
        return None if row is None else row["worker_id"]

    async def get(self, tenant: str, run_id: UUID) -> Run | None:
        row = await self.db.row(GET, tenant, run_id, again=True)
        return None if row is None else run_of(row)

    async def list(
        self,
        tenant: str,
        thread_id: UUID,
        *,
        status: RunStatus | None = None,
        limit: int = 10,
        offset: int = 0,
    ) -> Sequence[Run]:
        rows = await self.db.fetch(LIST, tenant, thread_id, status, limit, offset, again=True)
        return [run_of(row) for row in rows]

    async def cancel(
        self, tenant: str, run_id: UUID, action: CancelAction, *, reason: str
    ) -> Cancelled | None:
        async with self.db.transaction() as connection:
            return await cancellation.cancel(connection, tenant, run_id, action, reason)

    async def close_task(
        self, tenant: str, task_id: UUID, *, reason: str, asked_by: UUID | None = None
    ) -> bool:
        async with self.db.transaction() as connection:
            return await cancellation.close_task(connection, tenant, task_id, reason, asked_by)

    async def task(self, tenant: str, task_id: UUID) -> Task | None:
        row = await self.db.row(TASK, tenant, task_id, again=True)
        if row is None:
            return None
        return (await self._with_runs(tenant, [row]))[0]

    async def tasks(
        self,
        tenant: str,
        *,
        agent: str | None = None,
        subject: str | None = None,
        thread_id: UUID | None = None,
        status: Sequence[TaskStatus] = (),
        updated_since: datetime | None = None,
        before: tuple[datetime, UUID] | None = None,
        limit: int = 50,
    ) -> tuple[Sequence[Task], int]:
        matching = (tenant, subject, agent, thread_id, list(status), updated_since)
        at, last = before or (None, None)
        rows = await self.db.fetch(TASKS, *matching, at, last, limit, again=True)
        count = await self.db.row(COUNT_TASKS, *matching, again=True)
        assert count is not None
        return await self._with_runs(tenant, rows), count["count"]

    async def _with_runs(self, tenant: str, rows: Sequence[Record]) -> Sequence[Task]:
        ids = [row["task_id"] for row in rows]
        runs: dict[UUID, list[Run]] = {}
        for row in await self.db.fetch(TASK_RUNS, tenant, ids, again=True):
            runs.setdefault(row["task_id"], []).append(run_of(row))
        return [
            Task(
                tenant=row["tenant_id"],
                task_id=row["task_id"],
                thread_id=row["thread_id"],
                agent=row["agent"],
                status=row["status"],
                subject=row["subject"],
                created_at=row["created_at"],
                updated_at=row["updated_at"],
                last_seq=row["last_seq"],
                runs=tuple(runs.get(row["task_id"], ())),
            )
            for row in rows
        ]


def _require_questions(new: NewRun, row: Record) -> None:
    """Insist that what an answer is for is asked, and that a new input may talk past what is."""
    open_ = loads(row["interrupts"])
    if new.kind == "resume":
        wrong = [i for i in new.request.answers or () if i not in open_]
        if wrong:
            raise unknown(wrong, open_)
        if new.asked_by not in (None, row["last_run"]):
            raise Conflict("what this answers has been answered, and something else is asked now")
    elif new.open_task == "refuse" and open_:
        raise Conflict(
            f"task {str(row['open_task'])!r} of this thread waits for an answer: "
            "answer it or cancel it first",
            task_id=str(row["open_task"]),
        )


def creation(new: NewRun, ttl: ThreadTtl | None) -> tuple[LiteralString, *tuple[object, ...]]:
    """The statement that makes a run, and its parameters."""
    if ttl is None:
        return CREATE, *arguments(new)
    return CREATE_LIVING, *arguments(new), ttl.strategy, ttl.after


def arguments(new: NewRun) -> tuple[object, ...]:
    """The parameters of `CREATE`."""
    asked, policy = new.request.parts()
    return (
        new.tenant,
        new.thread_id,
        new.run_id,
        new.agent,
        new.kind,
        new.subject,
        pack(dumps(asked)),
        text(new.thread_metadata),
        new.multitask,
        new.make_thread,
        new.ephemeral,
        new.open_task,
        list(new.request.answers or ()),
        text(new.metadata),
        new.delay,
        new.priority,
        text(new.origin),
        new.idempotency_key,
        new.request_hash,
        IDEMPOTENCY_HOURS,
        None if new.push is None else text({new.push.config_id: new.push.to_json()}),
        new.any_agent and new.kind == "input",
        text(policy) if policy else None,
        new.asked_by,
    )
