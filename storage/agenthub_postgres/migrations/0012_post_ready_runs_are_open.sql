-- A finish that waited while a run behind it was cancelled could make that run the head of its thread, where
-- nothing would ever follow it. Whom it kept from being the head is promoted by `tidy`.
update runs set ready = false where ready and status not in ('pending', 'running');

-- post: a process of the version before would lose the result of a run to it.
-- not valid: what is there has just been mended, and reading all of it would hold up every write
alter table runs add constraint runs_ready_are_open check (not ready or status in ('pending', 'running')) not valid;
