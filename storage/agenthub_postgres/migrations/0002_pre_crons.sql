-- Crons and what became of their slots.
--
-- The foreign keys are the only ones: a cron goes with its thread, and its history with it, however the
-- thread is deleted. Lock order: thread, cron, run.

create table crons (
  tenant_id        text not null,
  cron_id          uuid not null,
  agent            text not null,
  assistant_id     uuid not null,
  thread_id        uuid,                              -- null: every firing makes a thread of its own
  schedule         text not null,
  timezone         text,
  end_time         timestamptz,
  enabled          boolean not null default true,
  misfire          text not null check (misfire in ('none', 'last', 'all')),
  overlap          text not null check (overlap in ('allow', 'skip', 'queue')),
  jitter_seconds   double precision not null default 0,
  on_run_completed text not null check (on_run_completed in ('delete', 'keep')),
  multitask        text not null,
  priority         smallint not null default 0,
  request          bytea not null,
  origin           jsonb not null default '{}',
  run_metadata     jsonb not null default '{}',
  payload          jsonb not null,
  metadata         jsonb not null default '{}',
  subject          text not null,
  next_slot        timestamptz,                       -- null: nothing is to come
  due_at           timestamptz,                       -- the slot and its jitter, or when to look again
  held             boolean not null default false,    -- the slot waits for the run before it
  last_run         uuid,
  created_at       timestamptz not null default now(),
  updated_at       timestamptz not null default now(),
  primary key (tenant_id, cron_id),
  foreign key (tenant_id, thread_id) references threads on delete cascade,
  check ((next_slot is null) = (due_at is null))
);

alter table crons alter column request set storage external;

-- the scheduler takes the one that has been due longest
create index crons_due on crons (tenant_id, due_at) where due_at is not null;
-- deletion of a thread looks for its crons
create index crons_thread on crons (tenant_id, thread_id) where thread_id is not null;

create table cron_firings (
  tenant_id  text not null,
  cron_id    uuid not null,
  firing_id  uuid not null,                           -- UUIDv7: in the order of firing
  slot       timestamptz not null,
  until      timestamptz,                             -- the last of the slots that were missed
  trigger    text not null check (trigger in ('schedule', 'request')),
  outcome    text not null check (outcome in ('fired', 'skipped', 'missed', 'refused')),
  run_id     uuid,
  thread_id  uuid,
  reason     text,
  at         timestamptz not null default now(),
  primary key (tenant_id, cron_id, firing_id),
  foreign key (tenant_id, cron_id) references crons on delete cascade
);

-- one decision per slot: a scheduler that is wrong becomes an error instead of two runs
create unique index cron_firings_slot on cron_firings (tenant_id, cron_id, slot) where trigger = 'schedule';
