"""Push configs in SQL, and the deliveries that tell of a task's states.

The configs stand in their task's row. `PUSHED` is the last part of every statement that changes a task's
status: it makes deliveries of what a CTE `telling` names, and costs nothing where no config is.

Ids of deliveries are their order, and come from the database's clock at that moment, under the lock of the
task's row: the clocks of servers, and of transactions that began earlier, could differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from asyncpg import Record
from asyncpg.pool import PoolConnectionProxy

from agenthub.errors import Conflict
from agenthub.json import loads, text
from agenthub.pushes import MOST_CONFIGS, PushConfig, TaskNews
from agenthub_postgres.database import Database

PUSHED = """, pushed as (
  insert into outbox (tenant_id, delivery_id, kind, run_id, target, host, order_key)
  select t.tenant_id,
         -- a UUIDv7 with microseconds
         overlay(replace(gen_random_uuid()::text, '-', '') placing
                 lpad(to_hex(c.us / 1000), 12, '0') || '7' || lpad(to_hex(c.us % 1000), 3, '0') from 1)::uuid,
         t.kind, t.run_id, p.value->>'url', p.value->>'host', t.task_id || ':' || p.key
    from telling t
   cross join lateral jsonb_each(t.push_configs) p
   cross join lateral (select (extract(epoch from clock_timestamp()) * 1000000)::bigint as us) c
)"""

TELL = f"""
with telling as (
  select t.tenant_id, t.task_id, $3::uuid as run_id, t.push_configs, $4::text as kind
    from tasks t where t.tenant_id = $1 and t.task_id = $2
){PUSHED}
select 1
"""

PUT = """
with put as (
  update tasks t set push_configs = coalesce(t.push_configs, '{}') || jsonb_build_object($3::text, $4::jsonb)
   where t.tenant_id = $1 and t.task_id = $2
     and (t.push_configs is null or t.push_configs ? $3
          or (select count(*) from jsonb_object_keys(t.push_configs)) < $5)
  returning t.task_id
), moved as (
  -- what a config that is replaced has not been told yet goes to its new address
  update outbox o set target = $4::jsonb->>'url', host = $4::jsonb->>'host'
   where o.tenant_id = $1 and o.order_key = (select p.task_id from put p) || ':' || $3
     and o.state in ('pending', 'sending')
)
select task_id from put
"""

LIST = "select push_configs from tasks where tenant_id = $1 and task_id = $2"

DELETE = """
with gone as (
  update tasks set push_configs = nullif(push_configs - $3::text, '{}')
   where tenant_id = $1 and task_id = $2 and push_configs ? $3
)
delete from outbox where tenant_id = $1 and order_key = $2::uuid::text || ':' || $3 and state = 'pending'
"""


@dataclass(frozen=True, slots=True)
class PostgresPushConfigs:
    """`agenthub.pushes.PushConfigs`."""

    db: Database

    async def put(self, tenant: str, task_id: UUID, config: PushConfig) -> bool:
        stored = text(config.to_json())
        row = await self.db.row(PUT, tenant, task_id, config.config_id, stored, MOST_CONFIGS)
        if row is not None:
            return True
        if await self.db.row(LIST, tenant, task_id) is None:
            return False
        raise Conflict(f"a task has at most {MOST_CONFIGS} push configs: delete one first")

    async def list(self, tenant: str, task_id: UUID) -> Sequence[PushConfig]:
        row = await self.db.row(LIST, tenant, task_id, again=True)
        if row is None or row["push_configs"] is None:
            return []
        return [
            PushConfig(config_id=id, url=body["url"], host=body["host"], notes=body["notes"])
            for id, body in sorted(loads(row["push_configs"]).items())
        ]

    async def delete(self, tenant: str, task_id: UUID, config_id: str) -> None:
        await self.db.fetch(DELETE, tenant, task_id, config_id)


async def tell(
    connection: PoolConnectionProxy[Record],
    tenant: str,
    task_id: UUID,
    run_id: UUID,
    news: TaskNews,
) -> None:
    """Intend to tell of a task's new status, in the transaction that has just changed it."""
    await connection.execute(TELL, tenant, task_id, run_id, news)
