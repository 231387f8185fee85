-- How a run is looked after, apart from what it is asked: the answers of its task go on with it.

alter table runs
  add column policy  jsonb,                           -- time limit, tries, deadline of questions, webhook
  add column retries smallint not null default 0,     -- attempts that the agent's own error has ended
  add column due_at  timestamptz;                     -- when the questions of a run that paused are to be answered
-- the sweep takes what is overdue; few questions have a deadline
create index runs_due on runs (tenant_id, due_at) where due_at is not null;
