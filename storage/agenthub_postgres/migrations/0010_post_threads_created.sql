-- no-transaction
-- `threads_listed` has taken its place.
drop index concurrently if exists threads_created;
