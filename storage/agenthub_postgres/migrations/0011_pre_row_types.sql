-- What is written together comes as one array of rows for each table. An array for each column is a
-- set-returning function for each column, and cost more than twice as much, for one row as for a hundred. A type
-- that has to change gets a successor: processes of both versions use them while a new version is rolled out.
-- Bodies, metadata and the like are jsonb in their tables and text on their way there.

create type new_run_row as (
  tenant_id text, thread_id uuid, run_id uuid, agent text, subject text, request bytea, metadata text,
  delay interval, priority int, multitask text, origin text, policy text,
  flag boolean,                                       -- what it says is told by each statement
  thread_metadata text
);

create type event_row as (
  lease int, task_id uuid, seq bigint, kind text, ns text, data bytea
);
create type blob_row as (
  run_id uuid, thread_id text, ns text, channel text, version text, type text, data bytea
);
create type checkpoint_row as (
  run_id uuid, thread_id text, ns text, checkpoint_id text, parent_id text, body text, metadata text, steps text
);
create type write_row as (
  run_id uuid, thread_id text, ns text, checkpoint_id text, step text, idx int, path text, channel text, type text,
  data bytea, replaces boolean
);
create type view_row as (
  run_id uuid, thread_id text, ns text, checkpoint_id text, steps text
);
create type finish_row as (
  run_id uuid, thread_id uuid, task_id uuid, status text, output bytea, error text, interrupts text, usage text,
  task_status text, target text, host text
);
