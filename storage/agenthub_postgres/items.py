"""Long-term memory in SQL: items by namespace and key, filters, times to live, likeness.

Filters travel as one JSON parameter and are never part of a statement. Vectors live in a table of their
own that exists only where an index is configured (`ensure_index`); the search over them is exact, so
that a filter or a small namespace never loses a result. An expired item is gone for every reader,
whether or not `tidy` has removed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import asyncpg
from asyncpg import Record

from agenthub.errors import Invalid, LeaseLost, Unavailable
from agenthub.items import ItemFilter, ItemWrite, StoredItem
from agenthub.json import JsonObject, loads, text
from agenthub.ports import Lease
from agenthub_postgres.database import Database, connect

LOCK = 0x41474856
"""One process at a time makes the index."""

MOST_DIMS = 16_000  # pgvector's own limit

GET = """
with found as (
  select i.* from store_items i
   where i.tenant_id = $1 and i.namespace = $2::text[] and i.key = $3
     and (i.expires_at is null or i.expires_at > now())
), refreshed as (
  update store_items i set expires_at = now() + i.ttl from found f
   where $4 and i.ttl is not null and i.tenant_id = f.tenant_id and i.namespace = f.namespace and i.key = f.key
)
select namespace, key, value, created_at, updated_at, version, null::float8 as score from found
"""

UNDER = """
with found as (
  select i.* from store_items i
   where i.tenant_id = $1 and i.namespace = $2::text[] and i.key > $3
     and (i.expires_at is null or i.expires_at > now())
   -- the primary key's own order: it is read from here on, and no further than the limit
   order by i.tenant_id, i.namespace, i.key limit $4
), refreshed as (
  update store_items i set expires_at = now() + i.ttl from found f
   where $5 and i.ttl is not null and i.tenant_id = f.tenant_id and i.namespace = f.namespace and i.key = f.key
)
select namespace, key, value, created_at, updated_at, version, null::float8 as score from found order by key
"""

_MATCHING = """
  where i.tenant_id = $1 and i.namespace >= $2::text[] and i.namespace[1:cardinality($2)] = $2
    and (i.expires_at is null or i.expires_at > now())
    -- what must be in it, for the index; then all that is asked, one condition after the other
    and i.value @> $3::jsonb
    and not exists (
      select from jsonb_to_recordset($4::jsonb) as f(path text[], operator text, wanted jsonb)
       cross join lateral (select coalesce(i.value #> f.path, 'null') as held) h
       where not case f.operator
         when '$eq' then h.held = f.wanted
         when '$ne' then h.held <> f.wanted
         when '$object' then jsonb_typeof(h.held) = 'object'
         else jsonb_typeof(h.held) = jsonb_typeof(f.wanted) and jsonb_typeof(h.held) in ('number', 'string')
          and case f.operator when '$gt' then h.held > f.wanted when '$gte' then h.held >= f.wanted
                              when '$lt' then h.held < f.wanted else h.held <= f.wanted end
       end
    )
"""

_REFRESHED = """
), refreshed as (
  update store_items i set expires_at = now() + i.ttl from found f
   where $7 and i.ttl is not null and i.tenant_id = f.tenant_id and i.namespace = f.namespace and i.key = f.key
)
"""

SEARCH = f"""
with found as (
  select i.*, null::float8 as score from store_items i {_MATCHING}
   order by i.updated_at desc, i.namespace, i.key limit $5 offset $6
{_REFRESHED}
select namespace, key, value, created_at, updated_at, version, score from found
 order by updated_at desc, namespace, key
"""

SEARCH_NEAR = f"""
with found as (
  select i.*, v.score from store_items i
    left join lateral (
      -- the best field counts; a zero vector is like nothing
      select max(coalesce(nullif(1 - (v.embedding <=> $8::text::vector), 'NaN'), 0)) as score from store_vectors v
       where v.tenant_id = i.tenant_id and v.namespace = i.namespace and v.key = i.key
    ) v on true {_MATCHING}
   order by v.score desc nulls last, i.updated_at desc, i.namespace, i.key limit $5 offset $6
{_REFRESHED}
select namespace, key, value, created_at, updated_at, version, score from found
 order by score desc nulls last, updated_at desc, namespace, key
"""

NAMESPACES = """
select distinct i.namespace[1:coalesce($4, cardinality(i.namespace))] as namespace from store_items i
 where i.tenant_id = $1 and (i.expires_at is null or i.expires_at > now())
   and not exists (
     select from jsonb_to_recordset($2::jsonb) as p(path text[])
      where cardinality(i.namespace) < cardinality(p.path)
         or exists (select from unnest(p.path) with ordinality as part(name, at)
                     where part.name <> '*' and part.name <> i.namespace[part.at])
   )
   and not exists (
     select from jsonb_to_recordset($3::jsonb) as s(path text[])
      where cardinality(i.namespace) < cardinality(s.path)
         or exists (select from unnest(s.path) with ordinality as part(name, at)
                     where part.name <> '*'
                       and part.name <> i.namespace[cardinality(i.namespace) - cardinality(s.path) + part.at])
   )
 order by 1 limit $5 offset $6
"""

_FENCED = """
with fence as materialized (
  -- share: as in fenced.py; without a lease nothing is to be held
  select 1 from runs r
   where r.tenant_id = $1 and r.run_id = $2 and r.epoch = $3 and r.status = 'running' for share
), allowed as (
  select 1 where $2::uuid is null union all select 1 from fence
), given as (
  select w.* from jsonb_to_recordset($4::jsonb)
      as w(namespace text[], key text, value jsonb, ttl float8, gone boolean, vectors jsonb)
   cross join allowed
), put as (
  insert into store_items (tenant_id, namespace, key, value, ttl, expires_at)
  select $1, g.namespace, g.key, g.value, make_interval(secs => g.ttl), now() + make_interval(secs => g.ttl)
    from given g where not g.gone
   order by g.namespace, g.key
      on conflict (tenant_id, namespace, key) do update
     set value = excluded.value, ttl = excluded.ttl, expires_at = excluded.expires_at, updated_at = now(),
         version = store_items.version + 1
), dropped as (
  delete from store_items i using given g
   where g.gone and i.tenant_id = $1 and i.namespace = g.namespace and i.key = g.key
)"""

WRITE = _FENCED + "\nselect 1 from allowed"

WRITE_INDEXED = (
    _FENCED
    + """, vectors as (
  insert into store_vectors (tenant_id, namespace, key, field, embedding)
  select $1, g.namespace, g.key, v.key, v.value::vector
    from given g cross join lateral jsonb_each_text(g.vectors) v where not g.gone
      on conflict (tenant_id, namespace, key, field) do update set embedding = excluded.embedding
), outdated as (
  delete from store_vectors v using given g
   where v.tenant_id = $1 and v.namespace = g.namespace and v.key = g.key
     and not g.gone and g.vectors is not null and not g.vectors ? v.field
)
select 1 from allowed"""
)

PUT_NEW = """
insert into store_items as i (tenant_id, namespace, key, value, ttl, expires_at)
values ($1, $2::text[], $3, $4::jsonb, $5::interval, now() + $5::interval)
    on conflict (tenant_id, namespace, key) do update
   set value = excluded.value, ttl = excluded.ttl, expires_at = excluded.expires_at, created_at = now(),
       updated_at = now(), version = i.version + 1
 -- one that has expired is not there
 where i.expires_at <= now()
returning i.version
"""

PUT_SAME = """
update store_items i
   set value = $4::jsonb, ttl = $5::interval, expires_at = now() + $5::interval, updated_at = now(),
       version = i.version + 1
 where i.tenant_id = $1 and i.namespace = $2::text[] and i.key = $3 and i.version = $6
   and (i.expires_at is null or i.expires_at > now())
returning i.version
"""

DROP_SAME = """
delete from store_items i
 where i.tenant_id = $1 and i.namespace = $2::text[] and i.key = $3 and i.version = $4
   and (i.expires_at is null or i.expires_at > now())
returning i.version
"""

DROP_VECTORS = (
    "delete from store_vectors where tenant_id = $1 and namespace = $2::text[] and key = $3"
)

PUT_VECTORS = """
insert into store_vectors (tenant_id, namespace, key, field, embedding)
select $1, $2::text[], $3, v.key, v.value::vector from jsonb_each_text($4::jsonb) v
"""

HAS_VECTOR = "select 1 from pg_available_extensions where name = 'vector'"

INDEX_DIMS = """
select atttypmod from pg_attribute
 where attrelid = to_regclass('store_vectors') and attname = 'embedding' and not attisdropped
"""


@dataclass(frozen=True, slots=True)
class PostgresItems:
    """`agenthub.ports.ItemStore`."""

    db: Database

    async def get(
        self, tenant: str, namespace: Sequence[str], key: str, *, refresh: bool
    ) -> StoredItem | None:
        row = await self.db.row(GET, tenant, list(namespace), key, refresh, again=True)
        return None if row is None else _item(row)

    async def search(
        self,
        tenant: str,
        prefix: Sequence[str],
        *,
        filters: Sequence[ItemFilter] = (),
        near: Sequence[float] | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh: bool = False,
    ) -> Sequence[StoredItem]:
        asked = [
            {"path": list(f.path), "operator": f.operator, "wanted": f.wanted} for f in filters
        ]
        args = (
            tenant,
            list(prefix),
            text(_contained(filters)),
            text(asked),
            limit,
            offset,
            refresh,
        )
        if near is None:
            rows = await self.db.fetch(SEARCH, *args, again=True)
        else:
            rows = await self.db.fetch(SEARCH_NEAR, *args, _vector(near), again=True)
        return [_item(row) for row in rows]

    async def under(
        self, tenant: str, namespace: Sequence[str], *, after: str, limit: int, refresh: bool
    ) -> Sequence[StoredItem]:
        args = (tenant, list(namespace), after, limit, refresh)
        return [_item(row) for row in await self.db.fetch(UNDER, *args, again=True)]

    async def namespaces(
        self,
        tenant: str,
        *,
        prefixes: Sequence[Sequence[str]] = (),
        suffixes: Sequence[Sequence[str]] = (),
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> Sequence[tuple[str, ...]]:
        rows = await self.db.fetch(
            NAMESPACES,
            tenant,
            text([{"path": list(p)} for p in prefixes]),
            text([{"path": list(s)} for s in suffixes]),
            max_depth,
            limit,
            offset,
            again=True,
        )
        return [tuple(row["namespace"]) for row in rows]

    async def write(
        self, tenant: str, writes: Sequence[ItemWrite], *, lease: Lease | None = None
    ) -> None:
        # a statement may touch a row only once, and the latest write counts
        latest = {(w.namespace, w.key): w for w in writes}
        indexed = any(w.vectors is not None for w in latest.values())
        row = await self.db.row(
            WRITE_INDEXED if indexed else WRITE,
            tenant,
            None if lease is None else lease.run_id,
            None if lease is None else lease.epoch,
            text([_given(w) for w in latest.values()]),
        )
        if row is None:
            raise LeaseLost(lease)

    async def write_if(self, tenant: str, write: ItemWrite, version: int) -> int | None:
        key = (tenant, list(write.namespace), write.key)
        if write.value is None:
            row = await self.db.row(DROP_SAME, *key, version)
            return None if row is None else row["version"]
        value = (text(write.value), write.ttl)
        indexed = await self.indexed()
        async with self.db.transaction() as connection:
            if version == 0:
                row = await connection.fetchrow(PUT_NEW, *key, *value)
            else:
                row = await connection.fetchrow(PUT_SAME, *key, *value, version)
            if row is not None and indexed:
                # they are the old value's
                await connection.execute(DROP_VECTORS, *key)
                if write.vectors:
                    await connection.execute(PUT_VECTORS, *key, text(_given(write)["vectors"]))
        return None if row is None else row["version"]

    async def indexed(self) -> bool:
        return await self.db.row(INDEX_DIMS, again=True) is not None


async def ensure_index(dsn: str, dims: int) -> None:
    """Make what semantic search needs, where it is missing.

    Raises:
        Unavailable: the server has no pgvector, or this role may not create it.
        Invalid: the index exists for vectors of another size.
    """
    if not 0 < dims <= MOST_DIMS:
        raise Invalid(f"the store's index has {dims} dims: 1 to {MOST_DIMS} are possible")
    connection = await connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", LOCK)
            if await connection.fetchval(HAS_VECTOR) is None:
                raise Unavailable(
                    "semantic search needs the extension pgvector, which this Postgres does not "
                    "have: install it there, or take `store.index` out of the configuration"
                )
            await connection.execute("create extension if not exists vector")
            there = await connection.fetchval(INDEX_DIMS)
            if there is not None and there != dims:
                raise Invalid(
                    f"the store's index holds vectors of {there} dims, not {dims}: keep the "
                    "embedding model, or drop the table store_vectors and put the items again"
                )
            await connection.execute(f"""
                create table if not exists store_vectors (
                  tenant_id text not null,
                  namespace text[] not null,
                  key       text not null,
                  field     text not null,
                  embedding vector({dims:d}) not null,
                  primary key (tenant_id, namespace, key, field),
                  foreign key (tenant_id, namespace, key) references store_items on delete cascade
                )""")
    except asyncpg.InsufficientPrivilegeError as refused:
        raise Unavailable(
            f"the extension pgvector cannot be created ({refused}): have an administrator run "
            "`create extension vector` in this database"
        ) from refused
    finally:
        await connection.close()


def _item(row: Record) -> StoredItem:
    return StoredItem(
        namespace=tuple(row["namespace"]),
        key=row["key"],
        value=loads(row["value"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        score=row["score"],
        version=row["version"],
    )


def _given(write: ItemWrite) -> JsonObject:
    vectors = write.vectors
    return {
        "namespace": list(write.namespace),
        "key": write.key,
        "value": write.value,
        "ttl": None if write.ttl is None else write.ttl.total_seconds(),
        "gone": write.value is None,
        "vectors": None if vectors is None else {f: _vector(v) for f, v in vectors.items()},
    }


def _vector(values: Sequence[float]) -> str:
    return "[" + ",".join(repr(float(v)) for v in values) + "]"


def _contained(filters: Sequence[ItemFilter]) -> JsonObject:
    """What a value must contain to satisfy the equalities; absent and null are the same there."""
    document: JsonObject = {}
    for f in filters:
        if f.operator != "$eq" or f.wanted is None:
            continue
        at = document
        for part in f.path[:-1]:
            at = cast("JsonObject", at.setdefault(part, {}))
        at.setdefault(f.path[-1], f.wanted)
    return document
