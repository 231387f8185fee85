-- Sessions of MCP clients that keep state on the server, and what is on its way to them.

create table mcp_sessions (
  tenant_id  text not null,
  session_id uuid not null,
  subject    text not null,
  version    text not null,                           -- the protocol revision that was agreed on
  client     jsonb not null,                          -- the params of `initialize`
  seen_at    timestamptz not null default now(),      -- to within an hour: most requests only read
  primary key (tenant_id, session_id)
);
-- the sweep takes the oldest
create index mcp_sessions_idle on mcp_sessions (tenant_id, seen_at);

create table mcp_streams (
  tenant_id  text not null,
  session_id uuid not null,
  stream_id  uuid not null,
  request_id text,                                    -- as JSON: 1 and "1" are two ids; null once it has ended
  request    bytea not null,
  owner      uuid not null,                           -- the replica that writes it, to be told when it is not
  epoch      integer not null default 1,              -- the fence: one adoption, one more
  last_seq   integer not null default 0,
  ended      boolean not null default false,
  taken_back boolean not null default false,
  drop_at    timestamptz not null,
  primary key (tenant_id, session_id, stream_id),
  foreign key (tenant_id, session_id) references mcp_sessions on delete cascade
);
-- a cancellation names the request. Not `where not ended`: writers would be led here, past the entries of
-- all that has ended, and not to the key
create index mcp_streams_open on mcp_streams (tenant_id, session_id, request_id) where request_id is not null;
-- the sweep takes the oldest
create index mcp_streams_old on mcp_streams (tenant_id, drop_at);

create table mcp_messages (
  tenant_id  text not null,
  session_id uuid not null,
  stream_id  uuid not null,
  seq        integer not null,
  last       boolean not null,
  data       bytea not null,
  primary key (tenant_id, session_id, stream_id, seq),
  foreign key (tenant_id, session_id, stream_id) references mcp_streams on delete cascade
);

create table mcp_questions (
  tenant_id  text not null,
  session_id uuid not null,
  stream_id  uuid not null,
  key        text not null,                           -- the same when the call is followed again
  answer     bytea,
  primary key (tenant_id, session_id, stream_id, key),
  foreign key (tenant_id, session_id, stream_id) references mcp_streams on delete cascade
);

-- compressed by us, when that pays
alter table mcp_streams alter column request set storage external;
alter table mcp_messages alter column data set storage external;
alter table mcp_questions alter column answer set storage external;
