-- no-transaction
-- Thread search pages by creation, newest first. Only what is searched is in it: an index that every look-up
-- by key could use as well would be used by some (decision 15). An interrupted build leaves an index that is
-- not valid: drop it, and migrate again.
create index concurrently threads_listed on threads (tenant_id, created_at desc) where not ephemeral;
