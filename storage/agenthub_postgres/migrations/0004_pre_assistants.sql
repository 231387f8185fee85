-- Assistants with their versions, times to live of threads, and versions of stored items.

create table assistants (
  tenant_id    text not null,
  assistant_id uuid not null,
  agent        text not null,
  name         text not null,
  description  text,
  config       jsonb not null default '{}',
  context      jsonb not null default '{}',
  metadata     jsonb not null default '{}',
  version      integer not null default 1,            -- the latest: the one that runs get
  last_version integer not null default 1,            -- the highest ever made; numbers are not used again
  created_at   timestamptz not null default now(),
  updated_at   timestamptz not null default now(),
  primary key (tenant_id, assistant_id)
);

create table assistant_versions (
  tenant_id    text not null,
  assistant_id uuid not null,
  version      integer not null,
  agent        text not null,
  name         text not null,
  description  text,
  config       jsonb not null,
  context      jsonb not null,
  metadata     jsonb not null,
  created_at   timestamptz not null default now(),
  primary key (tenant_id, assistant_id, version),
  foreign key (tenant_id, assistant_id) references assistants on delete cascade
);

-- Beside the threads, not in them: a thread's row is written by every run, and few have a time to live.
create table thread_ttls (
  tenant_id  text not null,
  thread_id  uuid not null,
  strategy   text not null check (strategy in ('delete', 'keep_latest')),
  ttl        interval not null,
  expires_at timestamptz not null,                    -- the earliest; the sweep looks at the thread's last change
  primary key (tenant_id, thread_id),
  foreign key (tenant_id, thread_id) references threads on delete cascade
);
-- the sweep takes the oldest
create index thread_ttls_expired on thread_ttls (tenant_id, expires_at);

-- compare-and-set: every write makes the next version
alter table store_items add column version bigint not null default 1;
