"""Cancelling in SQL: a pending run ends in place, a running one is asked to, a waiting task closes.

Each function runs inside a transaction of its caller and locks thread, then run.
"""

from __future__ import annotations

from uuid import UUID

from asyncpg import Record
from asyncpg.pool import PoolConnectionProxy

from agenthub.events import ENDED, ended
from agenthub.json import text
from agenthub.ports import Cancelled
from agenthub.runs import CancelAction
from agenthub_postgres import locks, outbox, push_configs
from agenthub_postgres.checkpoints import ROLL_BACK
from agenthub_postgres.events import LOG_END
from agenthub_postgres.payload import pack
from agenthub_postgres.records import RUN_COLUMNS, request_of, run_of

# An update of pending runs too: the row stays locked, so that no claim and no release comes between this
# and `END`.
ASK = f"""
update runs r set cancel_action = case when r.status = 'running' then $3 else r.cancel_action end,
       updated_at = now()
 where r.tenant_id = $1 and r.run_id = $2 and r.status in ('pending', 'running')
returning {RUN_COLUMNS}, r.worker_id
"""

END = f"""
with old as materialized (
  -- as it was: a result has new values only
  select * from runs o where o.tenant_id = $1 and o.run_id = $2 and o.status = 'pending'
)
update runs r set status = 'interrupted', ready = false, error = $3::jsonb, ended_at = now(), updated_at = now()
  from old where r.tenant_id = old.tenant_id and r.run_id = old.run_id
returning {RUN_COLUMNS}, old.ready as was_ready, r.request, r.policy
"""

LEAVE_THREAD = """
update threads t set open_runs = t.open_runs - 1, updated_at = now(), interrupts = '{}',
       -- an attempt that was given back has left checkpoints
       last_run = coalesce($3, t.last_run),
       status = case when t.open_runs > 1 then 'busy' else 'interrupted' end
 where t.tenant_id = $1 and t.thread_id = $2
"""

CANCEL_TASK = """
update tasks set status = 'canceled', updated_at = now() where tenant_id = $1 and task_id = $2
returning push_configs is not null as told
"""

PROMOTE = """
update runs r set ready = true, updated_at = now()
 where r.tenant_id = $1 and r.status = 'pending' and not r.ready
   and r.thread_id = $2
   and r.run_id = (select p.run_id from runs p where p.tenant_id = $1 and p.thread_id = $2
                      and p.status = 'pending' and not p.ready order by p.run_id limit 1)
   and not exists (select from runs o where o.tenant_id = $1 and o.thread_id = $2 and o.ready)
returning r.agent
"""

LOCK_WAITING = """
-- thread first; no key update as in create
select t.thread_id, k.task_id from threads t join tasks k using (tenant_id, thread_id)
 where k.tenant_id = $1 and k.task_id = $2 and t.open_task = k.task_id and t.open_runs = 0
   and ($3::uuid is null or t.last_run = $3)
   for no key update of t
"""

CLOSE_TASK = """
update tasks set status = 'canceled', updated_at = now()
 where tenant_id = $1 and task_id = $2 and status = 'input_required'
returning task_id
"""

FORGET_QUESTIONS = """
update threads set interrupts = '{}', status = 'idle', updated_at = now()
 where tenant_id = $1 and thread_id = $2
"""

LAST_RUN = """
select run_id, epoch from runs
 where tenant_id = $1 and (run_id = $2 or task_id = $2 and kind <> 'input') order by run_id desc limit 1
"""


async def cancel(
    connection: PoolConnectionProxy[Record],
    tenant: str,
    run_id: UUID,
    action: CancelAction,
    reason: str,
) -> Cancelled | None:
    """Cancel a run; None when it is not open."""
    await connection.fetch(locks.THREAD_OF_RUN, tenant, run_id)
    asked = await connection.fetchrow(ASK, tenant, run_id, action)
    if asked is None:
        return None
    if asked["status"] == "running":
        return Cancelled(run=run_of(asked), ended=False, worker_id=asked["worker_id"])
    error = {"error": "Cancelled", "message": reason}
    row = await connection.fetchrow(END, tenant, run_id, text(error))
    assert row is not None
    run = run_of(row)
    if row["was_ready"] or run.kind == "input":
        # A resume that waits behind another run of its task must not write: that run's worker
        # owns the numbering. Its followers learn the end from the run itself.
        body = pack(ended(run_id, "interrupted", error=error))
        await connection.execute(LOG_END, tenant, run.task_id, run_id, run.attempts, ENDED, body)
    if action == "rollback" and run.attempts:
        await connection.execute(ROLL_BACK, tenant, [str(run_id)], [str(run.thread_id)])
    await connection.execute(LEAVE_THREAD, tenant, run.thread_id, run_id if run.attempts else None)
    if await connection.fetchval(CANCEL_TASK, tenant, run.task_id):
        await push_configs.tell(connection, tenant, run.task_id, run_id, "task.ended")
    await outbox.put_run(connection, tenant, run_id, request_of(row))
    await connection.execute(PROMOTE, tenant, run.thread_id)
    return Cancelled(run=run, ended=True)


async def close_task(
    connection: PoolConnectionProxy[Record],
    tenant: str,
    task_id: UUID,
    reason: str,
    asked_by: UUID | None,
) -> bool:
    """Cancel a task that waits for an answer, to this run's questions if one is named; False when it does
    not."""
    waiting = await connection.fetchrow(LOCK_WAITING, tenant, task_id, asked_by)
    if waiting is None:
        return False
    if await connection.fetchrow(CLOSE_TASK, tenant, task_id) is None:
        return False
    last = await connection.fetchrow(LAST_RUN, tenant, task_id)
    assert last is not None
    error = {"error": "Cancelled", "message": reason}
    body = pack(ended(last["run_id"], "interrupted", error=error))
    await connection.execute(LOG_END, tenant, task_id, last["run_id"], last["epoch"], ENDED, body)
    await connection.execute(FORGET_QUESTIONS, tenant, waiting["thread_id"])
    await push_configs.tell(connection, tenant, task_id, last["run_id"], "task.canceled")
    return True
