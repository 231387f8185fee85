"""The outbox in SQL: claim, settle, reap; read and drive again.

The same shape as the run queue: the database's clock judges leases, a claim raises `epoch`, and whoever
writes how an attempt ended must still hold it. Rows are put in by what causes them: see `fenced`.

Plans: rows are looked up by their whole key, with an array of ids; without statistics the planner would
rather join a tenant's every row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from asyncpg import Record
from asyncpg.pool import PoolConnectionProxy

from agenthub.deliveries import Delivery, DeliveryState, Verdict, target_of
from agenthub.runs import RunRequest
from agenthub_postgres.database import Database
from agenthub_postgres.payload import pack, unpack

PUT_RUN = """
-- a run ends once, so its delivery has its id
insert into outbox (tenant_id, delivery_id, kind, run_id, target, host) values ($1, $2, 'run', $2, $3, $4)
    on conflict (tenant_id, delivery_id) do nothing
"""

CLAIM = """
with recursive hosts as (
  -- from host to host by the index: what one of them has waiting is not walked through
  (select o.host from outbox o where o.tenant_id = $1 and o.state = 'pending' order by o.host limit 1)
   union all
  select (select o.host from outbox o where o.tenant_id = $1 and o.state = 'pending' and o.host > h.host
           order by o.host limit 1)
    from hosts h where h.host is not null
), head as materialized (
  -- materialized: a planner that ran this twice would claim more than the limit
  select d.delivery_id
    from hosts h
    left join unnest($4::text[], $5::int[]) as a(host, most) on a.host = h.host
    cross join lateral (
      -- skip locked: dispatchers do not wait for each other
      select o.delivery_id, o.available_at from outbox o
       where o.tenant_id = $1 and o.state = 'pending' and o.host = h.host and o.available_at <= coalesce($7, now())
         and (o.order_key is null or not exists (
               select from outbox e where e.tenant_id = $1 and e.order_key = o.order_key
                  and e.state in ('pending', 'sending') and e.delivery_id < o.delivery_id))
       order by o.available_at limit coalesce(a.most, $3) for update of o skip locked
    ) d
   where h.host is not null
   order by d.available_at limit $2
)
update outbox o
   set state = 'sending', epoch = o.epoch + 1, attempts = o.attempts + 1,
       lease_expires_at = coalesce($7, now()) + $6::interval
 where o.tenant_id = $1 and o.delivery_id = any(array(select h.delivery_id from head h))
returning o.*
"""

SETTLE = """
update outbox o
   set state = e.state, lease_expires_at = null, reason = $5, response_status = $6,
       payload = case when e.state = 'pending' then coalesce(o.payload, $8) else o.payload end,
       -- the last attempt is made when the time is up
       available_at = case when e.state = 'pending' then least(e.now + $7::interval, o.give_up_at) else o.available_at end,
       ended_at = case when e.state <> 'pending' then e.now end
  from (select case when $4 = 'pending' and coalesce($9, now()) >= i.give_up_at then 'dead' else $4 end as state,
               coalesce($9, now()) as now
          from outbox i where i.tenant_id = $1 and i.delivery_id = $2) e
 where o.tenant_id = $1 and o.delivery_id = $2 and o.epoch = $3 and o.state = 'sending'
returning o.delivery_id
"""

GIVE_BACK = """
update outbox set state = 'pending', attempts = attempts - 1, lease_expires_at = null
 where tenant_id = $1 and delivery_id = $2 and epoch = $3 and state = 'sending'
"""

REAP = """
with dead as materialized (
  -- skip locked: another reaper has it, or its dispatcher is writing and so is not dead
  select delivery_id from outbox
   where tenant_id = $1 and state = 'sending' and lease_expires_at < coalesce($2, now())
   limit 500 for update skip locked
)
update outbox o
   set state = case when o.give_up_at <= e.now then 'dead' else 'pending' end,
       -- whoever sends it ends each time before he can say why
       reason = case when o.give_up_at <= e.now then coalesce(o.reason, 'no attempt came to an end') else o.reason end,
       ended_at = case when o.give_up_at <= e.now then e.now end,
       lease_expires_at = null, available_at = e.now
  from (select coalesce($2, now()) as now) e
 where o.tenant_id = $1 and o.delivery_id = any(array(select d.delivery_id from dead d))
returning o.delivery_id
"""

SWEEP = """
with old as materialized (
  select delivery_id from outbox
   where tenant_id = $1 and ended_at < coalesce($4, now()) - case state when 'done' then $2::interval else $3::interval end
   order by ended_at limit 1000
)
delete from outbox o where o.tenant_id = $1 and o.delivery_id = any(array(select d.delivery_id from old d))
"""

_COLUMNS = """
  tenant_id, delivery_id, kind, run_id, target, host, state, attempts, epoch, order_key, reason, response_status,
  available_at, give_up_at, created_at, ended_at, null::bytea as payload"""

GET = f"select {_COLUMNS} from outbox where tenant_id = $1 and delivery_id = $2"

_FILTER = """
 where tenant_id = $1 and ($2::text is null or state = $2) and ($3::uuid is null or run_id = $3)
"""

LIST = f"select {_COLUMNS} from outbox {_FILTER} order by created_at desc, delivery_id desc limit $4 offset $5"

COUNT = f"select count(*) from outbox {_FILTER}"

REDRIVE = f"""
update outbox set state = 'pending', available_at = coalesce($3, now()), attempts = 0, ended_at = null,
       give_up_at = coalesce($3, now()) + interval '1 day'
 where tenant_id = $1 and delivery_id = $2 and state in ('dead', 'pending')
returning {_COLUMNS}
"""


@dataclass(frozen=True, slots=True)
class PostgresOutbox:
    """`agenthub.deliveries.Outbox`. `clock` takes the place of the database's, in tests."""

    db: Database
    clock: Callable[[], datetime] | None = None

    def _now(self) -> datetime | None:
        return None if self.clock is None else self.clock()

    async def claim(
        self,
        tenant: str,
        *,
        limit: int,
        per_host: int,
        allowed: Mapping[str, int],
        lease: timedelta,
    ) -> Sequence[Delivery]:
        rows = await self.db.fetch(
            CLAIM,
            tenant,
            limit,
            per_host,
            list(allowed),
            list(allowed.values()),
            lease,
            self._now(),
        )
        return [_delivery(row) for row in rows]

    async def settle(self, delivery: Delivery, verdict: Verdict) -> bool:
        row = await self.db.row(
            SETTLE,
            delivery.tenant,
            delivery.delivery_id,
            delivery.epoch,
            verdict.state,
            verdict.reason,
            verdict.response_status,
            verdict.wait,
            None if verdict.payload is None else pack(verdict.payload),
            self._now(),
        )
        return row is not None

    async def give_back(self, delivery: Delivery) -> None:
        await self.db.fetch(GIVE_BACK, delivery.tenant, delivery.delivery_id, delivery.epoch)

    async def reap(self, tenant: str) -> int:
        return len(await self.db.fetch(REAP, tenant, self._now()))

    async def sweep(self, tenant: str, *, done: timedelta, dead: timedelta) -> None:
        await self.db.fetch(SWEEP, tenant, done, dead, self._now())

    async def get(self, tenant: str, delivery_id: UUID) -> Delivery | None:
        row = await self.db.row(GET, tenant, delivery_id, again=True)
        return None if row is None else _delivery(row)

    async def list(
        self,
        tenant: str,
        *,
        state: DeliveryState | None = None,
        run_id: UUID | None = None,
        limit: int = 10,
        offset: int = 0,
    ) -> Sequence[Delivery]:
        rows = await self.db.fetch(LIST, tenant, state, run_id, limit, offset, again=True)
        return [_delivery(row) for row in rows]

    async def count(
        self, tenant: str, *, state: DeliveryState | None = None, run_id: UUID | None = None
    ) -> int:
        row = await self.db.row(COUNT, tenant, state, run_id, again=True)
        assert row is not None
        return row["count"]

    async def redrive(self, tenant: str, delivery_id: UUID) -> Delivery | None:
        row = await self.db.row(REDRIVE, tenant, delivery_id, self._now())
        return None if row is None else _delivery(row)


async def put_run(
    connection: PoolConnectionProxy[Record], tenant: str, run_id: UUID, request: RunRequest
) -> None:
    """Intend to tell of the end of a run that asks nothing, in the transaction that ends it."""
    target, host = target_of(request.webhook, ())
    if target is not None:
        await connection.execute(PUT_RUN, tenant, run_id, target, host)


def _delivery(row: Record) -> Delivery:
    payload: bytes | None = row["payload"]
    return Delivery(
        tenant=row["tenant_id"],
        delivery_id=row["delivery_id"],
        kind=row["kind"],
        run_id=row["run_id"],
        target=row["target"],
        host=row["host"],
        state=row["state"],
        attempts=row["attempts"],
        epoch=row["epoch"],
        order_key=row["order_key"],
        payload=None if payload is None else unpack(payload),
        reason=row["reason"],
        response_status=row["response_status"],
        available_at=row["available_at"],
        give_up_at=row["give_up_at"],
        created_at=row["created_at"],
        ended_at=row["ended_at"],
    )
