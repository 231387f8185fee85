"""Assistants in SQL: the latest version in one row, every version beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from asyncpg import Record

from agenthub.agents import AgentInfo
from agenthub.assistants import SYSTEM, Assistant, AssistantChange, AssistantDraft, AssistantQuery
from agenthub.json import JsonObject, loads, text
from agenthub_postgres.database import Database

_COLUMNS = """
  a.tenant_id, a.assistant_id, a.agent, a.name, a.description, a.config, a.context, a.metadata, a.version,
  a.created_at, a.updated_at"""

_VERSIONED = """
insert into assistant_versions
       (tenant_id, assistant_id, version, agent, name, description, config, context, metadata)
select m.tenant_id, m.assistant_id, m.version, m.agent, m.name, m.description, m.config, m.context, m.metadata
  from made m"""

ENSURE = f"""
with offered as (
  select * from unnest($2::uuid[], $3::text[], $4::text[], $5::text[]) as o(assistant_id, agent, name, description)
), made as (
  insert into assistants as a (tenant_id, assistant_id, agent, name, description, metadata)
  select $1, o.assistant_id, o.agent, o.name, o.description, $6::jsonb from offered o order by o.assistant_id
      on conflict (tenant_id, assistant_id) do update
     set name = excluded.name, description = excluded.description
   -- what somebody changed is theirs
   where a.last_version = 1 and (a.name, a.description) is distinct from (excluded.name, excluded.description)
  returning {_COLUMNS}
)
{_VERSIONED}
    on conflict (tenant_id, assistant_id, version) do update
   set name = excluded.name, description = excluded.description
"""

CREATE = f"""
with made as (
  insert into assistants as a (tenant_id, assistant_id, agent, name, description, config, context, metadata)
  values ($1, $2, $3, $4, $5, $6::jsonb, $7::jsonb, $8::jsonb)
      on conflict (tenant_id, assistant_id) do nothing
  returning {_COLUMNS}
), first as ({_VERSIONED}
)
select * from made
"""

GET = f"select {_COLUMNS} from assistants a where a.tenant_id = $1 and a.assistant_id = $2"

UPDATE = f"""
with made as (
  update assistants a
     set agent = coalesce($3, a.agent), name = coalesce($4, a.name), description = coalesce($5, a.description),
         config = coalesce($6::jsonb, a.config), context = coalesce($7::jsonb, a.context),
         metadata = a.metadata || coalesce($8::jsonb, '{{}}'),
         version = a.last_version + 1, last_version = a.last_version + 1, updated_at = now()
   where a.tenant_id = $1 and a.assistant_id = $2
  returning {_COLUMNS}
), next as ({_VERSIONED}
)
select * from made
"""

SET_LATEST = f"""
update assistants a
   set version = v.version, agent = v.agent, name = v.name, description = v.description, config = v.config,
       context = v.context, metadata = v.metadata, updated_at = now()
  from assistant_versions v
 where a.tenant_id = $1 and a.assistant_id = $2
   and v.tenant_id = $1 and v.assistant_id = $2 and v.version = $3
returning {_COLUMNS}
"""

DELETE = "delete from assistants a where a.tenant_id = $1 and a.assistant_id = $2 returning 1"

VERSIONS = """
select v.tenant_id, v.assistant_id, v.agent, v.name, v.description, v.config, v.context, v.metadata, v.version,
       v.created_at, v.created_at as updated_at
  from assistant_versions v
 where v.tenant_id = $1 and v.assistant_id = $2 and v.metadata @> $3::jsonb
 order by v.version desc limit $4 offset $5
"""

_MATCHING = """
 where a.tenant_id = $1 and a.agent = any($2::text[])
   and ($3::text is null or position(lower($3) in lower(a.name)) > 0) and a.metadata @> $4::jsonb
"""

_SORTED = """
  case $5 when 'name' then a.name when 'graph_id' then a.agent when 'assistant_id' then a.assistant_id::text
          when 'created_at' then to_char(a.created_at, 'YYYYMMDDHH24MISSUS')
          else to_char(a.updated_at, 'YYYYMMDDHH24MISSUS') end collate "C" """

SEARCH = f"""
select {_COLUMNS} from assistants a {_MATCHING}
 order by case when $6 then null else {_SORTED} end, case when $6 then {_SORTED} end desc, a.assistant_id
 limit $7 offset $8
"""

COUNT = f"select count(*) from assistants a {_MATCHING}"

CHANGED = f"""
select {_COLUMNS} from assistants a
 where a.tenant_id = $1 and a.version > 1 and a.metadata @> $2::jsonb
"""


@dataclass(frozen=True, slots=True)
class PostgresAssistants:
    """`agenthub.assistants.AssistantStore`."""

    db: Database

    async def ensure(self, tenant: str, agents: Sequence[AgentInfo]) -> None:
        await self.db.fetch(
            ENSURE,
            tenant,
            [a.assistant_id for a in agents],
            [a.name for a in agents],
            [a.title or a.name for a in agents],
            [a.description for a in agents],
            text(SYSTEM),
            again=True,
        )

    async def create(self, tenant: str, draft: AssistantDraft) -> Assistant | None:
        row = await self.db.row(
            CREATE,
            tenant,
            draft.assistant_id,
            draft.agent,
            draft.name,
            draft.description,
            text(draft.config),
            text(draft.context),
            text(draft.metadata),
        )
        return None if row is None else _assistant(row)

    async def get(self, tenant: str, assistant_id: UUID) -> Assistant | None:
        row = await self.db.row(GET, tenant, assistant_id, again=True)
        return None if row is None else _assistant(row)

    async def update(
        self, tenant: str, assistant_id: UUID, change: AssistantChange
    ) -> Assistant | None:
        row = await self.db.row(
            UPDATE,
            tenant,
            assistant_id,
            change.agent,
            change.name,
            change.description,
            _maybe(change.config),
            _maybe(change.context),
            _maybe(change.metadata),
        )
        return None if row is None else _assistant(row)

    async def set_latest(self, tenant: str, assistant_id: UUID, version: int) -> Assistant | None:
        row = await self.db.row(SET_LATEST, tenant, assistant_id, version)
        return None if row is None else _assistant(row)

    async def delete(self, tenant: str, assistant_id: UUID) -> bool:
        return await self.db.row(DELETE, tenant, assistant_id) is not None

    async def versions(
        self,
        tenant: str,
        assistant_id: UUID,
        *,
        metadata: JsonObject | None = None,
        limit: int = 10,
        offset: int = 0,
    ) -> Sequence[Assistant]:
        wanted = text(metadata or {})
        rows = await self.db.fetch(
            VERSIONS, tenant, assistant_id, wanted, limit, offset, again=True
        )
        return [_assistant(row) for row in rows]

    async def search(self, tenant: str, query: AssistantQuery) -> Sequence[Assistant]:
        rows = await self.db.fetch(
            SEARCH,
            *_matching(tenant, query),
            query.sort_by,
            query.descending,
            query.limit,
            query.offset,
            again=True,
        )
        return [_assistant(row) for row in rows]

    async def count(self, tenant: str, query: AssistantQuery) -> int:
        row = await self.db.row(COUNT, *_matching(tenant, query), again=True)
        assert row is not None
        return row["count"]

    async def changed_system(self, tenant: str) -> Sequence[Assistant]:
        rows = await self.db.fetch(CHANGED, tenant, text(SYSTEM), again=True)
        return [_assistant(row) for row in rows]


def _matching(tenant: str, query: AssistantQuery) -> tuple[object, ...]:
    return tenant, list(query.agents), query.name, text(query.metadata or {})


def _maybe(value: JsonObject | None) -> str | None:
    return None if value is None else text(value)


def _assistant(row: Record) -> Assistant:
    return Assistant(
        tenant=row["tenant_id"],
        assistant_id=row["assistant_id"],
        agent=row["agent"],
        name=row["name"],
        description=row["description"],
        config=loads(row["config"]),
        context=loads(row["context"]),
        metadata=loads(row["metadata"]),
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
