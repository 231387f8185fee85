"""The catalogue in SQL: what workers publish about their agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agenthub.agents import AgentInfo
from agenthub.json import loads, text
from agenthub.ports import Deployed
from agenthub_postgres.database import Database

PUBLISH = """
with offered as (
  select * from unnest($4::text[], $5::text[], $6::text[]) as o(name, info, reason)
), gone as (
  delete from agents a where a.tenant_id = $1 and a.environment = $2
     and a.name not in (select o.name from offered o)
)
insert into agents as a (tenant_id, name, environment, info, reason, worker_id)
select $1, o.name, $2, o.info::jsonb, o.reason, $3 from offered o order by o.name
    on conflict (tenant_id, name) do update
   set environment = excluded.environment, info = excluded.info, reason = excluded.reason,
       worker_id = excluded.worker_id, published_at = now()
"""

DEPLOYED = "select info, reason from agents where tenant_id = $1 order by name"


@dataclass(frozen=True, slots=True)
class PostgresCatalogue:
    """`agenthub.ports.Catalogue`."""

    db: Database

    async def publish(
        self,
        tenant: str,
        *,
        worker_id: str,
        environment: str,
        agents: Sequence[AgentInfo],
        failures: Mapping[str, str],
    ) -> None:
        broken = [
            AgentInfo(name=name, description="not available", environment=environment)
            for name in sorted(failures)
        ]
        offered = [*agents, *broken]
        await self.db.fetch(
            PUBLISH,
            tenant,
            environment,
            worker_id,
            [a.name for a in offered],
            [text(a.to_json()) for a in offered],
            [failures.get(a.name) for a in offered],
        )

    async def deployed(self, tenant: str) -> Sequence[Deployed]:
        rows = await self.db.fetch(DEPLOYED, tenant, again=True)
        return [
            Deployed(info=AgentInfo.from_json(loads(row["info"])), reason=row["reason"])
            for row in rows
        ]
