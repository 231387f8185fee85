-- What sessions of MCP clients want to hear of, told on their standing stream by whichever replica has it.

create table mcp_subscriptions (
  tenant_id  text not null,
  session_id uuid not null,
  uri        text not null,
  primary key (tenant_id, session_id, uri),
  foreign key (tenant_id, session_id) references mcp_sessions on delete cascade
);
