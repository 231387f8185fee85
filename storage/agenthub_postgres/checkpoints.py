"""Checkpoints in SQL: reads, and writes that no lease guards (maintenance, tools, tests).

A run's own writes go through `writer.GroupWriter`. Values are stored per channel and version, so a
checkpoint only adds what changed; reading one joins its channels' versions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

from asyncpg import Record
from asyncpg.pool import PoolConnectionProxy

from agenthub.errors import Conflict
from agenthub.json import JsonObject, dumps, loads, text
from agenthub.ports import Blob, CheckpointRow, DeltaLink, StoredCheckpoint, WritesRow
from agenthub_postgres.database import IN_BULK, Database
from agenthub_postgres.payload import pack, unpack
from agenthub_postgres.steps import from_json, to_json

_SELECT = """
select c.thread_id, c.ns, c.checkpoint_id, c.parent_id, c.body, c.metadata, c.steps,
       (select coalesce(array_agg((b.channel, b.version, b.type, b.data)), '{}')
          from jsonb_each_text(c.body -> 'channel_versions') v
          join checkpoint_blobs b on b.tenant_id = c.tenant_id and b.thread_id = c.thread_id
           and b.ns = c.ns and b.channel = v.key and b.version = v.value) as blobs,
       -- the order in which LangGraph applied them (writes_sort_key)
       (select coalesce(array_agg((w.step, w.channel, w.type, w.data)
                        order by w.path collate "C", w.step collate "C", w.idx), '{}')
          from checkpoint_writes w
         where w.tenant_id = c.tenant_id and w.thread_id = c.thread_id and w.ns = c.ns
           and w.checkpoint_id = c.checkpoint_id) as writes
  from checkpoints c
"""

LATEST = (
    _SELECT
    + " where c.tenant_id = $1 and c.thread_id = $2 and c.ns = $3 order by c.checkpoint_id desc limit 1"
)

EXACT = (
    _SELECT + " where c.tenant_id = $1 and c.thread_id = $2 and c.ns = $3 and c.checkpoint_id = $4"
)

LIST = (
    _SELECT
    + """
 where c.tenant_id = $1 and ($2::text is null or c.thread_id = $2) and ($3::text is null or c.ns = $3)
   and ($4::text is null or c.checkpoint_id = $4) and c.metadata @> $5::jsonb
   and ($6::text is null or c.checkpoint_id < $6)
 order by c.checkpoint_id desc limit $7
"""
)

PUT = """
with blobs as (
  insert into checkpoint_blobs (tenant_id, thread_id, ns, channel, version, type, data)
  select $1, $2, $3, b.* from unnest($9::text[], $10::text[], $11::text[], $12::bytea[]) b
      on conflict do nothing
)
insert into checkpoints as c (tenant_id, thread_id, ns, checkpoint_id, parent_id, run_id, body, metadata, steps)
values ($1, $2, $3, $4, $5, $6, $7::jsonb, $8::jsonb, $13::jsonb)
    on conflict (tenant_id, thread_id, ns, checkpoint_id) do update
   set body = excluded.body, metadata = excluded.metadata, steps = coalesce(excluded.steps, c.steps)
"""

PUT_WRITES = """
insert into checkpoint_writes (tenant_id, thread_id, ns, checkpoint_id, step, path, idx, channel, type, data)
select $1, $2, $3, $4, $5, $6, w.* from unnest($7::int[], $8::text[], $9::text[], $10::bytea[]) w
    on conflict (tenant_id, thread_id, ns, checkpoint_id, step, idx) do nothing
"""

REPLACE_WRITES = """
insert into checkpoint_writes (tenant_id, thread_id, ns, checkpoint_id, step, path, idx, channel, type, data)
select $1, $2, $3, $4, $5, $6, w.* from unnest($7::int[], $8::text[], $9::text[], $10::bytea[]) w
    on conflict (tenant_id, thread_id, ns, checkpoint_id, step, idx) do update
   set channel = excluded.channel, type = excluded.type, data = excluded.data
"""

LOCK_THREADS = """
-- no key update: the same lock as create and finish take; a thread of tools and tests has no row
-- open_runs: comes with the lock. A claim takes none on the thread, so a run in line may begin at any moment.
select t.thread_id, t.open_runs > 0 as busy from threads t
 where t.tenant_id = $1
   and t.thread_id in (select i::uuid from unnest($2::text[]) i where i ~ '^[0-9a-fA-F-]{36}$')
 order by t.thread_id for no key update of t
"""

DELETE_THREAD = """
with a as (delete from checkpoints c where c.tenant_id = $1 and c.thread_id = any($2::text[])),
     b as (delete from checkpoint_blobs c where c.tenant_id = $1 and c.thread_id = any($2::text[]))
delete from checkpoint_writes c where c.tenant_id = $1 and c.thread_id = any($2::text[])
"""

COPY_THREAD = """
with a as (
  insert into checkpoints (tenant_id, thread_id, ns, checkpoint_id, parent_id, run_id, epoch, body, metadata, steps)
  select tenant_id, $3, ns, checkpoint_id, parent_id, run_id, epoch, body, metadata, steps
    from checkpoints where tenant_id = $1 and thread_id = $2
), b as (
  insert into checkpoint_blobs (tenant_id, thread_id, ns, channel, version, type, data)
  select tenant_id, $3, ns, channel, version, type, data
    from checkpoint_blobs where tenant_id = $1 and thread_id = $2
)
insert into checkpoint_writes (tenant_id, thread_id, ns, checkpoint_id, step, idx, path, channel, type, data, epoch)
select tenant_id, $3, ns, checkpoint_id, step, idx, path, channel, type, data, epoch
  from checkpoint_writes where tenant_id = $1 and thread_id = $2
"""

KEEP_LATEST = """
with recursive latest as (
  select distinct on (thread_id, ns) thread_id, ns, checkpoint_id, parent_id, metadata
    from checkpoints where tenant_id = $1 and thread_id = any($2::text[])
   order by thread_id, ns, checkpoint_id desc
), kept as (
  -- a delta channel is rebuilt from the writes since its last stored value: LangGraph counts the
  -- supersteps since then, and that many ancestors stay
  select thread_id, ns, checkpoint_id, parent_id,
         coalesce((select max((n.value ->> 1)::int) + 1
                     from jsonb_each(metadata -> 'counters_since_delta_snapshot') n), 0) as more
    from latest
   union all
  select p.thread_id, p.ns, p.checkpoint_id, p.parent_id, k.more - 1
    from kept k
    join checkpoints p on p.tenant_id = $1 and p.thread_id = k.thread_id and p.ns = k.ns
     and p.checkpoint_id = k.parent_id
   where k.more > 0
), gone as (
  delete from checkpoints c
   where c.tenant_id = $1 and c.thread_id = any($2::text[])
     and not exists (select from kept k where (k.thread_id, k.ns, k.checkpoint_id) = (c.thread_id, c.ns, c.checkpoint_id))
), gone_writes as (
  delete from checkpoint_writes c
   where c.tenant_id = $1 and c.thread_id = any($2::text[])
     and not exists (select from kept k where (k.thread_id, k.ns, k.checkpoint_id) = (c.thread_id, c.ns, c.checkpoint_id))
), used as (
  select c.thread_id, c.ns, v.key as channel, v.value as version
    from kept k
    join checkpoints c on c.tenant_id = $1 and c.thread_id = k.thread_id and c.ns = k.ns
     and c.checkpoint_id = k.checkpoint_id
   cross join lateral jsonb_each_text(c.body -> 'channel_versions') v
)
delete from checkpoint_blobs b
 where b.tenant_id = $1 and b.thread_id = any($2::text[])
   and not exists (select from used u where (u.thread_id, u.ns, u.channel, u.version) = (b.thread_id, b.ns, b.channel, b.version))
"""

_WITH_THEM = """
  returning c.thread_id, c.ns, c.checkpoint_id, c.body
), gone_writes as (
  delete from checkpoint_writes w using gone g
   where w.tenant_id = $1 and (w.thread_id, w.ns, w.checkpoint_id) = (g.thread_id, g.ns, g.checkpoint_id)
), candidates as (
  select distinct g.thread_id, g.ns, v.key as channel, v.value as version
    from gone g cross join lateral jsonb_each_text(g.body -> 'channel_versions') v
), used as (
  select distinct c.thread_id, c.ns, v.key as channel, v.value as version
    from (select distinct thread_id, ns from gone) t
    join checkpoints c on c.tenant_id = $1 and c.thread_id = t.thread_id and c.ns = t.ns
     and (c.thread_id, c.ns, c.checkpoint_id) not in (select g.thread_id, g.ns, g.checkpoint_id from gone g)
   cross join lateral jsonb_each_text(c.body -> 'channel_versions') v
)
delete from checkpoint_blobs b using candidates d
 where b.tenant_id = $1 and (b.thread_id, b.ns, b.channel, b.version) = (d.thread_id, d.ns, d.channel, d.version)
   and not exists (select from used u
                    where (u.thread_id, u.ns, u.channel, u.version) = (b.thread_id, b.ns, b.channel, b.version))
"""

# By run alone: for tools, at the price of a walk through the tenant's checkpoints. An index for so rare
# a call would burden every checkpoint that is written.
DELETE_FOR_RUNS = f"""
with gone as (
  delete from checkpoints c where c.tenant_id = $1 and c.run_id = any($2::text[])
{_WITH_THEM}"""

ROLL_BACK = f"""
with gone as (
  delete from checkpoints c
   where c.tenant_id = $1 and c.run_id = any($2::text[]) and c.thread_id = any($3::text[])
{_WITH_THEM}"""

# A rollback is of the latest run. These may be older ones, and what others left is rebuilt from their writes.
DELETE_RUNS = f"""
with needing as materialized (
  -- the last of other runs' checkpoints that counts supersteps since a stored value: see `KEEP_LATEST`
  select d.thread_id, d.ns, max(d.checkpoint_id) as last
    from checkpoints d
   where d.tenant_id = $1 and d.thread_id = any($3::text[]) and coalesce(d.run_id, '') <> all($2::text[])
     and coalesce(d.metadata -> 'counters_since_delta_snapshot', '{{}}') <> '{{}}'
   group by d.thread_id, d.ns
), gone as (
  delete from checkpoints c
   where c.tenant_id = $1 and c.run_id = any($2::text[]) and c.thread_id = any($3::text[])
     and not exists (select from needing n
                      where n.thread_id = c.thread_id and n.ns = c.ns and n.last > c.checkpoint_id)
{_WITH_THEM}"""

DELTA_HISTORY = """
with recursive chain as (
  select c.checkpoint_id, c.parent_id, 0 as depth, $5::text[] as wanted, $5::text[] as missing
    from checkpoints c
   where c.tenant_id = $1 and c.thread_id = $2 and c.ns = $3 and c.checkpoint_id = $4
   union all
  -- each channel is followed to the nearest ancestor that stores its value, and no further
  select p.checkpoint_id, p.parent_id, chain.depth + 1, chain.missing,
         array(select ch from unnest(chain.missing) ch
                where not p.body -> 'channel_values' ? ch
                  and not exists (select from checkpoint_blobs b
                                   where b.tenant_id = $1 and b.thread_id = $2 and b.ns = $3 and b.channel = ch
                                     and b.version = p.body -> 'channel_versions' ->> ch))
    from chain
    join checkpoints p on p.tenant_id = $1 and p.thread_id = $2 and p.ns = $3
     and p.checkpoint_id = chain.parent_id
   where cardinality(chain.missing) > 0
)
select chain.checkpoint_id, chain.wanted,
       (select coalesce(array_agg((w.step, w.channel, w.type, w.data)
                        order by w.path collate "C", w.step collate "C", w.idx), '{}')
          from checkpoint_writes w
         where w.tenant_id = $1 and w.thread_id = $2 and w.ns = $3 and w.checkpoint_id = chain.checkpoint_id
           and w.channel = any(chain.wanted)) as writes,
       (select coalesce(array_agg((b.channel, b.type, b.data)), '{}')
          from checkpoints c
         cross join lateral jsonb_each_text(c.body -> 'channel_versions') v
          join checkpoint_blobs b on b.tenant_id = $1 and b.thread_id = $2 and b.ns = $3
           and b.channel = v.key and b.version = v.value
         where c.tenant_id = $1 and c.thread_id = $2 and c.ns = $3 and c.checkpoint_id = chain.checkpoint_id
           and v.key = any(chain.wanted)) as blobs,
       -- small plain values stand in the checkpoint itself
       (select c.body -> 'channel_values' from checkpoints c
         where c.tenant_id = $1 and c.thread_id = $2 and c.ns = $3 and c.checkpoint_id = chain.checkpoint_id) as plain
  from chain where chain.depth > 0 order by chain.depth
"""


@dataclass(frozen=True, slots=True)
class PostgresCheckpoints:
    """`agenthub.ports.CheckpointStore`."""

    db: Database

    async def get(
        self, tenant: str, thread_id: str, ns: str, checkpoint_id: str | None
    ) -> StoredCheckpoint | None:
        if checkpoint_id is None:
            row = await self.db.row(LATEST, tenant, thread_id, ns, again=True)
        else:
            row = await self.db.row(EXACT, tenant, thread_id, ns, checkpoint_id, again=True)
        return None if row is None else _stored(row)

    async def list(
        self,
        tenant: str,
        *,
        thread_id: str | None = None,
        ns: str | None = None,
        checkpoint_id: str | None = None,
        metadata: JsonObject | None = None,
        before: str | None = None,
        limit: int | None = None,
    ) -> Sequence[StoredCheckpoint]:
        contains = text(metadata or {})
        rows = await self.db.fetch(
            LIST, tenant, thread_id, ns, checkpoint_id, contains, before, limit, again=True
        )
        return [_stored(row) for row in rows]

    async def put(self, tenant: str, row: CheckpointRow) -> None:
        await self.db.fetch(
            PUT,
            tenant,
            row.thread_id,
            row.ns,
            row.checkpoint_id,
            row.parent_id,
            row.run_id,
            row.body,
            row.metadata,
            [b.channel for b in row.blobs],
            [b.version for b in row.blobs],
            [b.type for b in row.blobs],
            [pack(b.data) for b in row.blobs],
            None if row.steps is None else text(to_json(row.steps)),
        )

    async def put_writes(self, tenant: str, row: WritesRow) -> None:
        await self.db.fetch(
            REPLACE_WRITES if row.replace else PUT_WRITES,
            tenant,
            row.thread_id,
            row.ns,
            row.checkpoint_id,
            row.step,
            row.path,
            [w.idx for w in row.writes],
            [w.channel for w in row.writes],
            [w.type for w in row.writes],
            [pack(w.data) for w in row.writes],
        )

    async def delete_thread(self, tenant: str, thread_id: str) -> None:
        await self._maintain(DELETE_THREAD, tenant, [thread_id])

    async def delete_for_runs(self, tenant: str, run_ids: Sequence[str]) -> None:
        await self.db.fetch(DELETE_FOR_RUNS, tenant, list(run_ids))

    async def copy_thread(self, tenant: str, source: str, target: str) -> None:
        await self.db.fetch(COPY_THREAD, tenant, source, target)

    async def prune(self, tenant: str, thread_ids: Sequence[str], *, keep_latest: bool) -> None:
        sql = KEEP_LATEST if keep_latest else DELETE_THREAD
        await self._maintain(sql, tenant, list(thread_ids))

    async def _maintain(self, sql: LiteralString, tenant: str, thread_ids: list[str]) -> None:
        """Change what is on idle threads only: a run counts on what it has read."""
        async with self.db.transaction() as connection:
            for row in await connection.fetch(LOCK_THREADS, tenant, thread_ids):
                if row["busy"]:
                    raise Conflict(
                        f"a run is open on thread {str(row['thread_id'])!r}: cancel it first"
                    )
            await connection.execute(IN_BULK)
            await connection.execute(sql, tenant, thread_ids)

    async def delta_history(
        self, tenant: str, thread_id: str, ns: str, checkpoint_id: str, channels: Sequence[str]
    ) -> Mapping[str, Sequence[DeltaLink]]:
        rows = await self.db.fetch(
            DELTA_HISTORY, tenant, thread_id, ns, checkpoint_id, list(channels), again=True
        )
        history: dict[str, list[DeltaLink]] = {channel: [] for channel in channels}
        for row in rows:
            blobs = {channel: (type_, unpack(data)) for channel, type_, data in row["blobs"]}
            for channel, value in loads(row["plain"] or "{}").items():
                blobs.setdefault(channel, ("json", dumps(value)))
            for channel in row["wanted"]:
                writes = tuple(
                    (step, name, type_, unpack(data))
                    for step, name, type_, data in row["writes"]
                    if name == channel
                )
                link = DeltaLink(
                    checkpoint_id=row["checkpoint_id"], writes=writes, blob=blobs.get(channel)
                )
                history[channel].append(link)
        return history


async def keep_latest(connection: PoolConnectionProxy[Record], tenant: str, thread_id: str) -> None:
    """Leave an idle thread its latest state only; needs the thread's lock."""
    await connection.execute(IN_BULK)
    await connection.execute(KEEP_LATEST, tenant, [thread_id])


def _stored(row: Record) -> StoredCheckpoint:
    return StoredCheckpoint(
        thread_id=row["thread_id"],
        ns=row["ns"],
        checkpoint_id=row["checkpoint_id"],
        parent_id=row["parent_id"],
        body=row["body"],
        metadata=row["metadata"],
        blobs=tuple(Blob(c, v, t, unpack(d)) for c, v, t, d in row["blobs"]),
        writes=tuple((s, c, t, unpack(d)) for s, c, t, d in row["writes"]),
        steps=from_json(row["steps"]),
    )
