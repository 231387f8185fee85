-- The durable core: threads, runs, tasks, events, checkpoints, the outbox and the catalogue.
--
-- Every table leads with tenant_id, and so does every key. Lock order, always: thread, run, children.
-- Payloads are bytea with external storage: the writer compresses, Postgres does not try again.
--
-- Indexes cost every run that passes: none here repeats what another gives, none covers a column that a
-- run's steps change if it can be helped (such updates stay on their page), and none ends in another
-- index's key, or a planner without statistics would look a row up by walking through a whole tenant.

create table threads (
  tenant_id        text not null,
  thread_id        uuid not null,
  agent            text,                              -- the agent of its first run; it stays that one's
  status           text not null default 'idle' check (status in ('idle', 'busy', 'interrupted', 'error')),
  subject          text not null default 'anonymous',
  metadata         jsonb not null default '{}',
  open_runs        integer not null default 0,        -- pending + running; what create decides on under the row lock
  interrupts       jsonb not null default '{}',       -- open questions by id
  open_task        uuid,                              -- the task that asks them
  last_run         uuid,                              -- whose output are the thread's values
  ephemeral        boolean not null default false,
  created_at       timestamptz not null default now(),
  updated_at       timestamptz not null default now(),
  state_updated_at timestamptz not null default now(),
  primary key (tenant_id, thread_id)
) with (fillfactor = 70);                             -- every run updates its thread twice: leave room for HOT

-- thread search pages by creation, newest first
create index threads_created on threads (tenant_id, created_at desc);
-- search by metadata uses containment only
create index threads_metadata on threads using gin (metadata jsonb_path_ops);
-- tidy looks for old ephemeral threads; by creation, which never changes
create index threads_ephemeral on threads (tenant_id, created_at) where ephemeral;

create table runs (
  tenant_id        text not null,
  run_id           uuid not null,                     -- UUIDv7, so that order of id is order of creation
  thread_id        uuid not null,
  task_id          uuid not null,                     -- the first run of the chain
  agent            text not null,
  kind             text not null check (kind in ('input', 'resume', 'update')),
  status           text not null default 'pending'
                   check (status in ('pending', 'running', 'success', 'error', 'timeout', 'interrupted')),
  ready            boolean not null,                  -- head of its thread's line, claimed or not
  available_at     timestamptz not null default now(),
  priority         smallint not null default 0,
  epoch            integer not null default 0,        -- the fencing token: +1 per claim, never decreases
  failures         smallint not null default 0,       -- attempts that ended badly; a drain is none
  worker_id        text,
  lease_expires_at timestamptz,
  cancel_action    text check (cancel_action in ('interrupt', 'rollback')),
  multitask        text not null default 'enqueue',
  subject          text not null default 'anonymous',
  request          bytea not null,
  answers          text[] not null default '{}',      -- the questions that a resume answers
  metadata         jsonb not null default '{}',
  origin           jsonb not null default '{}',       -- the protocol's own notes; opaque here
  after_seq        bigint not null default 0,         -- the task's last event before this run
  output           bytea,
  error            jsonb,
  interrupts       jsonb not null default '{}',
  usage            jsonb,
  created_at       timestamptz not null default now(),
  updated_at       timestamptz not null default now(),
  started_at       timestamptz,
  ended_at         timestamptz,
  primary key (tenant_id, run_id),
  check (status <> 'running' or ready)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);

alter table runs alter column request set storage external;
alter table runs alter column output set storage external;

-- one head per thread: a claim or a promotion that is wrong becomes an error instead of two owners
-- (and a running run is ready: see the check above)
create unique index runs_one_ready on runs (tenant_id, thread_id) where ready;
-- claim: the columns of the order, and nothing that another plan could prefer
create index runs_claim on runs (tenant_id, priority desc, available_at, run_id)
  where status = 'pending' and ready and failures = 0;
-- claim again, after a worker died
create index runs_suspects on runs (tenant_id, failures, available_at)
  where status = 'pending' and ready and failures > 0;
-- reap; without the lease's end, which every renewal moves: there are only as many as are being executed
create index runs_running on runs (tenant_id, run_id) where status = 'running';
-- promotion takes the oldest of those that wait behind a thread's head, and tidy looks for lines without one
create index runs_line on runs (tenant_id, thread_id, run_id) where status = 'pending' and not ready;
-- a thread's runs, newest first
create index runs_thread on runs (tenant_id, thread_id, created_at desc);
-- a task's later runs; its first has the task's id
create index runs_task on runs (tenant_id, task_id) where kind <> 'input';

create table tasks (
  tenant_id  text not null,
  task_id    uuid not null,
  thread_id  uuid not null,
  agent      text not null,
  subject    text not null default 'anonymous',
  status     text not null default 'working'
             check (status in ('working', 'input_required', 'completed', 'failed', 'canceled')),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, task_id)
) with (fillfactor = 80);

-- A2A lists a caller's tasks of an agent, latest change first
create index tasks_list on tasks (tenant_id, subject, agent, updated_at desc);
create index tasks_thread on tasks (tenant_id, thread_id);

create table events (
  tenant_id text not null,
  task_id   uuid not null,
  seq       bigint not null,                          -- dense per task, from the single fenced writer
  run_id    uuid not null,
  epoch     integer not null,
  kind      text not null,
  ns        text not null default '',
  data      bytea not null,
  at        timestamptz not null default now(),
  primary key (tenant_id, task_id, seq)
);

alter table events alter column data set storage external;

create table checkpoints (
  tenant_id     text not null,
  thread_id     text not null,
  ns            text not null,
  checkpoint_id text not null,
  parent_id     text,
  run_id        text,                                 -- who wrote it, for rollback
  epoch         integer,                              -- under which lease, for the audit of the fence
  body          jsonb not null,                       -- the checkpoint, of its values only the small and plain ones
  metadata      jsonb not null,
  steps         jsonb,                                -- what is next, for readers that do not have the agent's code
  primary key (tenant_id, thread_id, ns, checkpoint_id)
) with (fillfactor = 90);                             -- the steps of the last one come later, in place

create table checkpoint_blobs (
  tenant_id text not null,
  thread_id text not null,
  ns        text not null,
  channel   text not null,
  version   text not null,
  type      text not null,
  data      bytea not null,
  primary key (tenant_id, thread_id, ns, channel, version)
);
alter table checkpoint_blobs alter column data set storage external;

create table checkpoint_writes (
  tenant_id     text not null,
  thread_id     text not null,
  ns            text not null,
  checkpoint_id text not null,
  step          text not null,                        -- LangGraph's task id
  idx           integer not null,
  path          text not null,
  channel       text not null,
  type          text not null,
  data          bytea not null,
  epoch         integer,
  primary key (tenant_id, thread_id, ns, checkpoint_id, step, idx)
);
alter table checkpoint_writes alter column data set storage external;

create table idempotency (
  tenant_id    text not null,
  key          text not null,
  request_hash text not null,
  run_id       uuid not null,
  expires_at   timestamptz not null,
  primary key (tenant_id, key)
);
create index idempotency_expired on idempotency (tenant_id, expires_at);

-- Intended outbound calls, written in the transaction that causes them. The dispatcher comes later.
create table outbox (
  tenant_id        text not null,
  delivery_id      uuid not null,
  kind             text not null,
  run_id           uuid not null,
  target           text not null,
  payload          bytea not null,
  state            text not null default 'pending' check (state in ('pending', 'sending', 'done', 'dead')),
  attempts         smallint not null default 0,
  epoch            integer not null default 0,
  available_at     timestamptz not null default now(),
  lease_expires_at timestamptz,
  created_at       timestamptz not null default now(),
  primary key (tenant_id, delivery_id)
);
create index outbox_claim on outbox (tenant_id, available_at, delivery_id) where state = 'pending';

create table agents (
  tenant_id    text not null,
  name         text not null,
  environment  text not null,
  info         jsonb not null,
  reason       text,                                  -- why it cannot be served, if so
  worker_id    text not null,
  published_at timestamptz not null default now(),
  primary key (tenant_id, name)
);

-- long-term memory: LangGraph's BaseStore
create table store_items (
  tenant_id  text not null,
  namespace  text[] not null,
  key        text not null,
  value      jsonb not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  expires_at timestamptz,
  ttl        interval,
  primary key (tenant_id, namespace, key)
);
create index store_items_expired on store_items (tenant_id, expires_at) where expires_at is not null;
create index store_items_value on store_items using gin (value jsonb_path_ops);

-- the installation's own secrets, when none are configured; they belong to no tenant
create table hub_secrets (
  name  text primary key,
  value bytea not null
);

-- What a planner should know before the first row comes: tenants are few, ids are unique, most runs are over.
-- Without it, it takes a tenant for as selective as an id, walks through all that a tenant has instead of
-- looking a row up, and keeps such plans until the first ANALYZE (12 million index entries for 2,000 runs).
-- The statistics stay when the rows that made them go.
insert into threads (tenant_id, thread_id, agent)
select 'default', gen_random_uuid(), 'agent' from generate_series(1, 500);
insert into tasks (tenant_id, task_id, thread_id, agent, status)
select tenant_id, gen_random_uuid(), thread_id, agent, 'completed' from threads;
insert into runs (tenant_id, run_id, thread_id, task_id, agent, kind, status, ready, request)
select tenant_id, task_id, thread_id, task_id, agent, 'input', 'success', false, '' from tasks;
insert into events (tenant_id, task_id, seq, run_id, epoch, kind, data)
select r.tenant_id, r.task_id, n, r.run_id, 1, 'values', '' from runs r, generate_series(1, 4) n;
insert into checkpoints (tenant_id, thread_id, ns, checkpoint_id, run_id, body, metadata)
select r.tenant_id, r.thread_id::text, '', gen_random_uuid()::text, r.run_id::text, '{}', '{}'
  from runs r, generate_series(1, 3) n;
insert into checkpoint_blobs (tenant_id, thread_id, ns, channel, version, type, data)
select c.tenant_id, c.thread_id, c.ns, 'channel', c.checkpoint_id, 'msgpack', '' from checkpoints c;
insert into checkpoint_writes (tenant_id, thread_id, ns, checkpoint_id, step, idx, path, channel, type, data)
select c.tenant_id, c.thread_id, c.ns, c.checkpoint_id, gen_random_uuid()::text, n, '', 'channel', 'msgpack', ''
  from checkpoints c, generate_series(0, 1) n;
analyze threads, tasks, runs, events, checkpoints, checkpoint_blobs, checkpoint_writes;
truncate threads, tasks, runs, events, checkpoints, checkpoint_blobs, checkpoint_writes;
