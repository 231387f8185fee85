-- Deliveries: the outbox gets what a dispatcher needs.

alter table outbox
  alter column payload drop not null,                 -- built when it is first sent, kept when that fails
  add column host             text not null default '',
  add column order_key        text,                   -- deliveries with the same one are made in order of id
  add column reason           text,                   -- why the last attempt failed
  add column response_status  smallint,
  add column give_up_at       timestamptz not null default now() + interval '1 day',
  add column ended_at         timestamptz;

alter table outbox alter column payload set storage external;

drop index if exists outbox_claim;
-- claim goes from host to host, and takes each one's oldest: a host's backlog costs the others nothing
create index outbox_due on outbox (tenant_id, host, available_at) where state = 'pending';
-- reap; there are only as many as are being sent
create index outbox_sending on outbox (tenant_id, lease_expires_at) where state = 'sending';
-- whether something of the same order is still to come before it
create index outbox_order on outbox (tenant_id, order_key, delivery_id)
 where order_key is not null and state in ('pending', 'sending');
-- sweep
create index outbox_ended on outbox (tenant_id, ended_at) where ended_at is not null;
-- lists, newest first
create index outbox_listed on outbox (tenant_id, state, created_at desc);

-- What a planner should know before the first row comes: see 0001.
insert into outbox (tenant_id, delivery_id, kind, run_id, target, host, state, ended_at)
select 'default', gen_random_uuid(), 'run', gen_random_uuid(), '', 'host' || n % 20, 'done', now()
  from generate_series(1, 500) n;
analyze outbox;
truncate outbox;
