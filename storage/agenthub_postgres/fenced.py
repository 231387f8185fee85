"""The fenced statements: every write of a worker, refused row by row once its lease is lost.

Each statement takes the leases as arrays and joins every row to the runs that are still held, so that
one lost lease never fails its neighbours. `for share` is load-bearing: an UPDATE that takes a run away
takes `no key update`, which conflicts with `share` but not with `key share`; without the lock a stale
worker's write slips through (852 of 853 claims, reliability.md §4). The status belongs to the fence,
because a reaped run keeps its epoch until the next claim. The expiry does not: safety comes from the
epoch, and a database that stalls should not kill healthy runs.

Plans: the planner cannot know how few of a tenant's rows are meant, and would rather walk through all
runs once than look some up by key. So rows to lock are looked up one by one, in a lateral subquery that
`offset 0` keeps in one piece, and every join names the whole key.

Rows come in arrays of the types in `0011_pre_row_types.sql`.
"""

from __future__ import annotations

from agenthub_postgres.push_configs import PUSHED

HELD = """
with claims as (
  select * from unnest($1::text[], $2::uuid[], $3::int[]) as h(tenant_id, run_id, epoch)
)"""

FENCE = (
    HELD
    + """, fence as materialized (
  -- share: see the module; in the order of ids, because statements that lock several runs must agree
  select r.tenant_id, r.run_id, r.epoch
    from (select * from claims order by run_id) h
   cross join lateral (
     select * from runs r
      where r.tenant_id = h.tenant_id and r.run_id = h.run_id and r.epoch = h.epoch and r.status = 'running'
     offset 0 for share of r) r
)"""
)

EVENTS = """, logged as (
  -- do nothing: the same batch again, after a connection broke in its commit
  insert into events (tenant_id, task_id, seq, run_id, epoch, kind, ns, data)
  select ($1::text[])[v.lease], v.task_id, v.seq, ($2::uuid[])[v.lease], ($3::int[])[v.lease], v.kind, v.ns, v.data
    from unnest($4::event_row[]) v
   -- `is true` keeps it a hashed look-up: joined, every event would be compared with every lease
   where (($2::uuid[])[v.lease] in (select run_id from fence)) is true
      on conflict (tenant_id, task_id, seq) do nothing
)"""

CHECKPOINTS = """, blobs as (
  insert into checkpoint_blobs (tenant_id, thread_id, ns, channel, version, type, data)
  select f.tenant_id, v.thread_id, v.ns, v.channel, v.version, v.type, v.data
    from unnest($5::blob_row[]) v
    join fence f on f.run_id = v.run_id
      on conflict (tenant_id, thread_id, ns, channel, version) do nothing
), kept as (
  insert into checkpoints as c (tenant_id, thread_id, ns, checkpoint_id, parent_id, run_id, epoch, body, metadata, steps)
  select f.tenant_id, v.thread_id, v.ns, v.checkpoint_id, v.parent_id, f.run_id::text, f.epoch,
         v.body::jsonb, v.metadata::jsonb, v.steps::jsonb
    from unnest($6::checkpoint_row[]) v
    join fence f on f.run_id = v.run_id
      on conflict (tenant_id, thread_id, ns, checkpoint_id) do update
     set body = excluded.body, metadata = excluded.metadata, epoch = excluded.epoch,
         steps = coalesce(excluded.steps, c.steps)
), writes as (
  select f.tenant_id, f.epoch, v.*
    from unnest($7::write_row[]) v
    join fence f on f.run_id = v.run_id
), first_writes as (
  insert into checkpoint_writes (tenant_id, thread_id, ns, checkpoint_id, step, idx, path, channel, type, data, epoch)
  select w.tenant_id, w.thread_id, w.ns, w.checkpoint_id, w.step, w.idx, w.path, w.channel, w.type, w.data, w.epoch
    from writes w where not w.replaces
      on conflict (tenant_id, thread_id, ns, checkpoint_id, step, idx) do nothing
), last_writes as (
  -- errors, interrupts and answers: the latest counts
  insert into checkpoint_writes (tenant_id, thread_id, ns, checkpoint_id, step, idx, path, channel, type, data, epoch)
  select w.tenant_id, w.thread_id, w.ns, w.checkpoint_id, w.step, w.idx, w.path, w.channel, w.type, w.data, w.epoch
    from writes w where w.replaces
      on conflict (tenant_id, thread_id, ns, checkpoint_id, step, idx) do update
     set channel = excluded.channel, type = excluded.type, data = excluded.data, epoch = excluded.epoch
), views as (
  -- of checkpoints that are there already; those of this very statement bring theirs along
  -- an insert that always meets a conflict: an update would be joined by walking through the table
  insert into checkpoints (tenant_id, thread_id, ns, checkpoint_id, body, metadata, steps)
  select c.tenant_id, c.thread_id, c.ns, c.checkpoint_id, c.body, c.metadata, v.steps::jsonb
    from unnest($8::view_row[]) v
    join fence f on f.run_id = v.run_id
   cross join lateral (
     select * from checkpoints c
      where c.tenant_id = f.tenant_id and c.thread_id = v.thread_id and c.ns = v.ns
        and c.checkpoint_id = v.checkpoint_id
     offset 0) c
      on conflict (tenant_id, thread_id, ns, checkpoint_id) do update set steps = excluded.steps
)"""

APPEND = FENCE + EVENTS + "\nselect run_id from fence"

WRITE = FENCE + EVENTS + CHECKPOINTS + "\nselect run_id from fence"

# What stands behind a run in its thread is read as it was when the statement began. Who held the thread
# meanwhile may have cancelled it or added to it, so a finish that finds another version of the thread does
# nothing and is sent again, behind the lock.
FINISH = (
    HELD
    + """, ending as (
  select h.tenant_id, h.epoch, v.*
    from unnest($9::finish_row[]) v
    join claims h on h.run_id = v.run_id
), seen as materialized (
  select t.tenant_id, t.thread_id, t.version
    from (select distinct tenant_id, thread_id from ending) e
   cross join lateral (
     select tenant_id, thread_id, xmin as version from threads t
      where t.tenant_id = e.tenant_id and t.thread_id = e.thread_id
     offset 0) t
), place as materialized (
  -- threads before runs; no key update: the same lock as create and cancel take
  select s.tenant_id, s.thread_id, s.version <> t.version as stale
    from (select * from seen order by thread_id) s
   cross join lateral (
     select xmin as version from threads t where t.tenant_id = s.tenant_id and t.thread_id = s.thread_id
     offset 0 for no key update of t) t
), fence as materialized (
  select r.tenant_id, r.run_id, r.epoch, r.thread_id, r.kind,
         r.kind = 'update' and e.status <> 'success' as refused
    from (select e.* from ending e
            join place p on p.tenant_id = e.tenant_id and p.thread_id = e.thread_id
           where not p.stale
           order by e.run_id) e
   cross join lateral (
     select * from runs r
      where r.tenant_id = e.tenant_id and r.run_id = e.run_id and r.epoch = e.epoch and r.status = 'running'
     offset 0 for no key update of r) r
)"""
    + EVENTS
    + CHECKPOINTS
    + """, ended as (
  update runs r
     set status = e.status, ready = false, output = e.output, error = e.error::jsonb,
         interrupts = e.interrupts::jsonb, usage = e.usage::jsonb, lease_expires_at = null,
         -- a run without a deadline has no seconds, and so no due time
         due_at = case when e.interrupts <> '{}'
                       then now() + make_interval(secs => (r.policy -> 'deadline' ->> 'seconds')::float8) end,
         ended_at = now(), updated_at = now()
    from ending e join fence f on f.run_id = e.run_id
   where r.tenant_id = e.tenant_id and r.run_id = e.run_id
  returning r.tenant_id, r.run_id, r.thread_id
), line as (
  -- what waits behind the run: a new input takes the place of its questions, a resume answers them
  select e.run_id, bool_or(p.task_id = e.task_id) as goes_on, bool_or(p.kind = 'input') as superseded,
         coalesce(array_agg(a.id) filter (where a.id is not null), '{}') as answered
    from ending e
   cross join lateral (
     select * from runs p
      where p.tenant_id = e.tenant_id and p.thread_id = e.thread_id and p.status = 'pending' and not p.ready
     offset 0) p
    left join lateral unnest(p.answers) a(id) on true
   group by e.run_id
), left_behind as (
  select e.run_id,
         case when l.superseded then '{}' else e.interrupts::jsonb - coalesce(l.answered, '{}') end as interrupts,
         case when l.goes_on then 'working'
              when l.superseded and e.task_status = 'input_required' then 'canceled'
              else e.task_status end as task_status
    from ending e left join line l on l.run_id = e.run_id
), next as (
  -- from `ended`, so that the old head steps down before the new one steps up
  select p.tenant_id, p.run_id, p.thread_id
    from ended d
   cross join lateral (
     select * from runs p
      where p.tenant_id = d.tenant_id and p.thread_id = d.thread_id and p.status = 'pending' and not p.ready
      order by p.run_id limit 1) p
), promoted as (
  update runs r set ready = true, updated_at = now()
    from next n where r.tenant_id = n.tenant_id and r.run_id = n.run_id
  returning r.tenant_id, r.thread_id, r.agent
), left_thread as (
  update threads t
     set open_runs = t.open_runs - 1,
         status = case when t.open_runs > 1 then 'busy'
                       -- a state update that was refused leaves everything as it was
                       when f.refused and t.interrupts <> '{}' then 'interrupted'
                       when f.refused then case when exists (
                              select from runs l where l.tenant_id = t.tenant_id and l.run_id = t.last_run
                                 and l.status in ('error', 'timeout')) then 'error' else 'idle' end
                       when e.interrupts <> '{}' or e.status = 'interrupted' then 'interrupted'
                       when e.status in ('error', 'timeout') then 'error'
                       else 'idle' end,
         interrupts = case when f.refused then t.interrupts else b.interrupts end,
         -- whose questions are open; an update that closes them leaves their task to whoever made it
         open_task = case when f.kind = 'update' and t.open_task is not null then t.open_task
                          when b.interrupts <> '{}' then e.task_id end,
         last_run = case when f.refused then t.last_run else e.run_id end,
         updated_at = now(), state_updated_at = now()
    from ending e join fence f on f.run_id = e.run_id join left_behind b on b.run_id = e.run_id
   where t.tenant_id = e.tenant_id and t.thread_id = e.thread_id
  returning t.tenant_id, t.thread_id, t.open_runs
), settled as (
  update tasks k set status = b.task_status, updated_at = now()
    from ending e join fence f on f.run_id = e.run_id join left_behind b on b.run_id = e.run_id
   where k.tenant_id = e.tenant_id and k.task_id = e.task_id
  returning k.tenant_id, k.task_id, k.push_configs, k.status, e.run_id, e.task_status
), telling as (
  -- a task that goes on at once has not come to a new state
  select s.tenant_id, s.task_id, s.run_id, s.push_configs,
         case when s.status = s.task_status then 'task.ended' else 'task.canceled' end as kind
    from settled s where s.status <> 'working'
)"""
    + PUSHED
    + """, told as (
  -- a run ends once, so its delivery has its id; one that is there already must not fail its neighbours
  insert into outbox (tenant_id, delivery_id, kind, run_id, target, host)
  select f.tenant_id, f.run_id, 'run', f.run_id, e.target, e.host
    from ending e join fence f on f.run_id = e.run_id where e.target is not null
      on conflict (tenant_id, delivery_id) do nothing
)
select f.run_id, p.agent as next_agent, false as stale
  from fence f
  left join promoted p on p.tenant_id = f.tenant_id and p.thread_id = f.thread_id
 union all
select e.run_id, null, true
  from ending e join place p on p.tenant_id = e.tenant_id and p.thread_id = e.thread_id
 where p.stale
"""
)

# In the order of ids, and with the lock of `FINISH`.
PLACES = """
select t.thread_id
  from (select distinct h.tenant_id, h.thread_id from unnest($1::text[], $2::uuid[]) as h(tenant_id, thread_id)
         order by h.thread_id) h
 cross join lateral (
   select * from threads t where t.tenant_id = h.tenant_id and t.thread_id = h.thread_id
   offset 0 for no key update of t) t
"""

ALREADY_ENDED = """
select r.run_id from runs r
  join unnest($1::text[], $2::uuid[], $3::int[]) as h(tenant_id, run_id, epoch)
    on r.tenant_id = h.tenant_id and r.run_id = h.run_id and r.epoch = h.epoch
 where r.status not in ('pending', 'running')
"""
