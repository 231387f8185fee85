-- no-transaction
-- what an interrupted build has left is not valid
drop index concurrently if exists threads_listed;
-- Thread search pages by creation, newest first. Only what is searched is in it: an index that every look-up
-- by key could use as well would be used by some (decision 15).
create index concurrently threads_listed on threads (tenant_id, created_at desc) where not ephemeral;
