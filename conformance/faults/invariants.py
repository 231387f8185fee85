"""What must hold after any fault (reliability.md §9.2), checked in SQL over what the hub has stored.

`watch` adds a history to a test's database: a trigger writes each transition of a run in the transaction
that makes it, and, at a claim, how much the attempts before it had written. `broken` reads both.
"""

from __future__ import annotations

import asyncpg

WATCH = """
create table history (
  id           bigserial primary key,
  run_id       uuid not null,
  thread_id    uuid not null,
  epoch        integer not null,
  status       text not null,
  checkpoints  bigint,
  writes       bigint,
  events       bigint
);
create function remember() returns trigger language plpgsql as $$
begin
  -- after the update: the run's row is locked, so what older attempts wrote is all here or refused
  insert into history (run_id, thread_id, epoch, status, checkpoints, writes, events)
  select new.run_id, new.thread_id, new.epoch, new.status,
         (select count(*) from checkpoints c where c.run_id = new.run_id::text and c.epoch < new.epoch),
         (select count(*) from checkpoint_writes w
            join checkpoints c using (tenant_id, thread_id, ns, checkpoint_id)
           where c.run_id = new.run_id::text and w.epoch < new.epoch),
         (select count(*) from events e where e.run_id = new.run_id and e.epoch < new.epoch);
  return null;
end $$;
create trigger remember after update on runs for each row
  when (old.status is distinct from new.status or old.epoch is distinct from new.epoch)
  execute function remember();
"""

RULES = {
    "I1 a run never ended": """
select run_id from runs where status in ('pending', 'running')
""",
    "I2 a run ended more than once, or not by a transition": """
select r.run_id, count(h.id) from runs r
  left join history h on h.run_id = r.run_id and h.status not in ('pending', 'running')
 group by r.run_id having count(h.id) <> 1
""",
    "I2 a run has not exactly one `ended` event": """
select r.run_id, count(e.seq) from runs r
  left join events e on e.tenant_id = r.tenant_id and e.run_id = r.run_id and e.kind = 'ended'
 group by r.run_id having count(e.seq) <> 1
""",
    "I3 an attempt wrote after it lost its lease": """
select h.run_id, h.epoch from history h
 where h.status = 'running' and (
   h.checkpoints < (select count(*) from checkpoints c where c.run_id = h.run_id::text and c.epoch < h.epoch)
   or h.events < (select count(*) from events e where e.run_id = h.run_id and e.epoch < h.epoch)
   or h.writes < (select count(*) from checkpoint_writes w
                    join checkpoints c using (tenant_id, thread_id, ns, checkpoint_id)
                   where c.run_id = h.run_id::text and w.epoch < h.epoch
                     -- an answer writes, in an attempt of its own run, beside the checkpoint that asked
                     and not exists (select from runs r join runs later using (tenant_id, task_id)
                                      where r.run_id = h.run_id and later.run_id > r.run_id)))
""",
    "I4 a log is not dense": """
select task_id, count(*), max(seq) from events
 group by tenant_id, task_id having min(seq) <> 1 or max(seq) <> count(*)
""",
    "I4 epochs decrease along a log": """
select task_id, seq from (
  select task_id, seq, epoch, lag(epoch) over (partition by tenant_id, run_id order by seq) as before
    from events) e
 where epoch < before
""",
    "I4 a run's log goes on after its end": """
select e.run_id, e.seq from events e
  join events last on last.tenant_id = e.tenant_id and last.run_id = e.run_id and last.kind = 'ended'
 where e.seq > last.seq
""",
    "I5 two runs of a thread were running at once": """
select thread_id, id from (
  select thread_id, id, status, lag(status) over (partition by thread_id order by id) as before
    from history) h
 where status = 'running' and before = 'running'
""",
    "I6 the runs of a thread ended out of order": """
select thread_id, run_id from (
  select thread_id, run_id, lag(run_id) over (partition by thread_id order by id) as before from history
   where status not in ('pending', 'running')) h
 where run_id < before
""",
    "I8 a slot of a cron has more than one decision, or a firing has no run": """
select f.cron_id, f.slot from cron_firings f
 where (f.trigger = 'schedule' and exists (
          select from cron_firings o where o.cron_id = f.cron_id and o.slot = f.slot
             and o.trigger = 'schedule' and o.firing_id <> f.firing_id))
    or (f.outcome = 'fired' and not exists (select from runs r where r.run_id = f.run_id))
""",
    "I9 the end of a run is told that has not ended": """
select o.delivery_id from outbox o
  join runs r on r.tenant_id = o.tenant_id and r.run_id = o.run_id
 where o.kind = 'run' and r.status in ('pending', 'running')
""",
    "I14 a run that ended has a lease or leads its line": """
select run_id from runs
 where status not in ('pending', 'running') and (ready or lease_expires_at is not null)
""",
    "I14 a thread is busy with nothing": """
select t.thread_id, t.status, t.open_runs from threads t
 where t.open_runs <> (select count(*) from runs r where r.tenant_id = t.tenant_id
                          and r.thread_id = t.thread_id and r.status in ('pending', 'running'))
    or (t.status = 'busy') <> (t.open_runs > 0)
""",
    "I14 a task works on nothing": """
select k.task_id, k.status from tasks k
 where k.status = 'working' and not exists (
   select from runs r where r.tenant_id = k.tenant_id and r.task_id = k.task_id
      and r.status in ('pending', 'running'))
""",
}


async def watch(dsn: str) -> None:
    """Begin the history of a database."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(WATCH)
    finally:
        await connection.close()


async def broken(connection: asyncpg.Connection[asyncpg.Record]) -> dict[str, list[str]]:
    """Every rule that does not hold, with what breaks it."""
    found = {rule: await connection.fetch(sql) for rule, sql in RULES.items()}
    return {rule: [str(dict(row)) for row in rows[:5]] for rule, rows in found.items() if rows}
