-- no-transaction
-- The events of state updates, and of answers on copied threads, stayed behind when their thread was deleted:
-- they have no row in `tasks`, and what they belong to was looked for there only.
--
-- post: a process of the version before would leave more behind.
-- From one task to the next in the key's order, and so many of them for each commit: nothing here reads the log
-- itself, nor holds a lock for long. A log without a run is nobody's: a run is there before its first event.
-- (Of a file without a transaction, a statement ends where a line ends with a semicolon: hence the comments.)
set enable_seqscan = off;
set enable_hashjoin = off;
set enable_mergejoin = off;
do $$
declare
  place_tenant text := ''; -- below every tenant
  place_task   uuid := '00000000-0000-0000-0000-000000000000'; --
  tenants      text[]; --
  tasks_       uuid[]; --
begin
  loop
    with recursive log as (
      (select e.tenant_id, e.task_id, 1 as n from events e
        where (e.tenant_id, e.task_id) > (place_tenant, place_task) order by e.tenant_id, e.task_id limit 1)
       union all
      select next.tenant_id, next.task_id, log.n + 1
        from log
       cross join lateral (
         select e.tenant_id, e.task_id from events e
          where (e.tenant_id, e.task_id) > (log.tenant_id, log.task_id) order by e.tenant_id, e.task_id limit 1) next
       where log.n < 500
    )
    select array_agg(tenant_id order by n), array_agg(task_id order by n) into tenants, tasks_ from log; --
    exit when tasks_ is null; --
    with orphan as materialized (
      select log.tenant_id, log.task_id from unnest(tenants, tasks_) as log(tenant_id, task_id)
       where not exists (select from runs r where r.tenant_id = log.tenant_id and r.run_id = log.task_id)
         and not exists (select from runs r where r.tenant_id = log.tenant_id and r.task_id = log.task_id
                            and r.kind <> 'input')
         and not exists (select from tasks k where k.tenant_id = log.tenant_id and k.task_id = log.task_id)
    )
    delete from events e using orphan o where e.tenant_id = o.tenant_id and e.task_id = o.task_id; --
    commit; --
    place_tenant := tenants[cardinality(tenants)]; --
    place_task := tasks_[cardinality(tasks_)]; --
  end loop; --
end $$;
reset enable_mergejoin;
reset enable_hashjoin;
reset enable_seqscan;
