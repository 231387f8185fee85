-- Push configs: who is told of the states that a task comes to.
--
-- In the task's own row, because whatever changes the state locks and reads that row in its latest version:
-- a config that is made at the same moment is either seen or behind the change, and a task without any
-- costs its transitions no look into another table.

alter table tasks add column push_configs jsonb;      -- {id: {"url", "host", "notes"}}
