"""What a query builder would check for us: every statement compiles, is tenant-bound and finds its index."""

from __future__ import annotations

import asyncio
import importlib
import json
import pkgutil
import re
from collections.abc import AsyncGenerator, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

import agenthub_postgres
from agenthub.errors import Unavailable
from agenthub.ids import new_id
from agenthub_postgres import events, fenced, queue, runs
from agenthub_postgres.items import ensure_index
from agenthub_postgres.migrate import check_schema, migrate, migrations
from agenthub_server.embedded import Postgres
from testkit.core import Core, has_vectors

FRAGMENTS = {
    "queue.HELD", "fenced.HELD", "fenced.FENCE", "fenced.EVENTS", "fenced.CHECKPOINTS", "records.RUN_COLUMNS",
    "push_configs.PUSHED",
}  # fmt: skip
"""Parts of other statements."""

DEFINITIONS = re.compile(r"\s*(create|alter|drop)\s", re.IGNORECASE)

WITHOUT_TENANT = {
    # the schema belongs to no tenant
    "migrate.APPLIED", "migrate.EXISTS", "migrate.RECORD",
    # names of tasks and topics only; who reads them looks into the log, with its tenant
    "notifier.NOTIFY",
    # the clock
    "crons.NOW",
    # pg_extension and pg_attribute
    "secrets.MAKE", "secrets.GET",
    "items.HAS_VECTOR", "items.INDEX_DIMS",
}  # fmt: skip
WITH_VECTORS = {
    "items.SEARCH_NEAR", "items.WRITE_INDEXED", "items.DROP_VECTORS", "items.PUT_VECTORS",
}  # fmt: skip
TABLES_WITHOUT_TENANT = {
    "schema_migrations": "the schema belongs to no tenant",
    "hub_secrets": "one per installation",
}


def statements() -> Iterator[tuple[str, str]]:
    """Every SQL constant of the package, by `module.NAME`."""
    for module in pkgutil.iter_modules(agenthub_postgres.__path__):
        found = importlib.import_module(f"agenthub_postgres.{module.name}")
        for name, value in vars(found).items():
            if name.isupper() and not name.startswith("_") and isinstance(value, str):
                sql = re.sub(r"--[^\n]*", "", value).strip().lower()
                if re.match(r"(select|insert|update|delete|with)\s", sql):
                    key = f"{module.name}.{name}"
                    if key not in FRAGMENTS:
                        yield key, value


STATEMENTS = dict(statements())


def test_the_statements_are_found() -> None:
    assert len(STATEMENTS) > 60
    assert {"queue.CLAIM", "fenced.FINISH", "runs.CREATE", "items.GET"} <= STATEMENTS.keys()


async def test_every_statement_compiles_on_the_migrated_schema(core: Core) -> None:
    indexed = await has_vectors(core)
    if indexed:
        await ensure_index(core.db.dsn, 3)
    async with core.db.pool.acquire() as connection:
        for name, sql in STATEMENTS.items():
            if name in WITH_VECTORS and not indexed:
                continue
            try:
                await connection.prepare(sql)
            except asyncpg.PostgresError as error:
                pytest.fail(f"{name}: {error}")


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_a_statement_carries_its_tenant(name: str) -> None:
    assert ("tenant_id" in STATEMENTS[name]) != (name in WITHOUT_TENANT)


async def test_every_table_and_every_index_lead_with_the_tenant(core: Core) -> None:
    if await has_vectors(core):
        await ensure_index(core.db.dsn, 3)
    first = await core.rows(
        """select table_name, column_name from information_schema.columns
            where table_schema = 'agenthub' and ordinal_position = 1"""
    )
    wrong = {r["table_name"] for r in first if r["column_name"] != "tenant_id"}
    assert wrong <= TABLES_WITHOUT_TENANT.keys()
    indexes = await core.rows(
        """select c.relname as index, t.relname as table, a.attname as leads
             from pg_index i
             join pg_class c on c.oid = i.indexrelid join pg_class t on t.oid = i.indrelid
             join pg_am m on m.oid = c.relam and m.amname = 'btree'
             join pg_attribute a on a.attrelid = t.oid and a.attnum = i.indkey[0]
            where t.relnamespace = 'agenthub'::regnamespace"""
    )
    assert not [
        r["index"]
        for r in indexes
        if r["leads"] != "tenant_id" and r["table"] not in TABLES_WITHOUT_TENANT
    ]


# --- plans --------------------------------------------------------------------------------------

FILL = """
insert into threads (tenant_id, thread_id) select 'default', gen_random_uuid() from generate_series(1, 4000);
insert into runs (tenant_id, run_id, thread_id, task_id, agent, kind, status, ready, request, epoch,
                  lease_expires_at)
select 'default', gen_random_uuid(), thread_id, gen_random_uuid(), 'a', 'input', status,
       status in ('pending', 'running'), '\\x00', 1,
       case when status = 'running' then now() + interval '1 minute' end
  from (select thread_id, case (row_number() over ()) % 10 when 0 then 'running' when 1 then 'pending'
                               else 'success' end as status
          from threads) t;
insert into events (tenant_id, task_id, seq, run_id, epoch, kind, data)
select 'default', task_id, n, run_id, 1, 'custom', '\\x00'
  from (select * from runs limit 400) r, generate_series(1, 20) n;
analyze;
"""


async def indexes_used(core: Core, sql: str, *args: Any) -> tuple[set[str], set[str]]:
    """The indexes of a plan, and the tables that it reads in full."""
    plan = json.loads(await core.value(f"explain (format json) {sql}", *args))
    indexes: set[str] = set()
    whole: set[str] = set()

    def walk(node: dict[str, Any]) -> None:
        if "Index Name" in node:
            indexes.add(node["Index Name"])
        if node["Node Type"] == "Seq Scan":
            whole.add(node["Relation Name"])
        for child in node.get("Plans", ()):
            walk(child)

    walk(plan[0]["Plan"])
    return indexes, whole


async def test_the_hot_statements_find_their_indexes(core: Core) -> None:
    await core.db.pool.execute(FILL)
    minute = timedelta(minutes=1)
    one = (["default"], [new_id()], [1])
    no_events: list[Any] = []
    for name, sql, args, index in (
        ("claim", queue.CLAIM, ("default", ["a"], 8, "w", minute), "runs_claim"),
        (
            "claim all",
            queue.CLAIM_WITH_SUSPECTS,
            ("default", ["a"], 8, "w", minute, [8, 1]),
            "runs_suspects",
        ),
        ("renew", queue.RENEW, (*one, minute), "runs_running"),
        ("release", queue.RELEASE, one, "runs_running"),
        ("reap", queue.REAP, ("default", 50, 3), "runs_running"),
        ("poisoned", queue.POISONED, ("default", 50, 3), "runs_running"),
        ("append", fenced.APPEND, (*one, no_events), "runs_running"),
        ("read", events.READ, ("default", uuid4(), 5, 1000), "events_pkey"),
        ("headless", queue.HEADLESS, ("default",), "runs_line"),
        ("next run", events.NEXT_RUN, ("default", uuid4(), uuid4(), None, None), "runs_thread"),
        ("current run", events.CURRENT_RUNS, ("default", uuid4(), None), "runs_thread"),
    ):
        used, whole = await indexes_used(core, sql, *args)
        assert index in used, f"{name} uses {used}"
        assert not whole & {"runs", "events"}, f"{name} reads {whole} in full"


# --- migrations ---------------------------------------------------------------------------------


@pytest.fixture
async def empty(postgres: Postgres) -> AsyncGenerator[str]:
    """A database without any schema."""
    name = f"empty_{uuid4().hex}"
    admin = await asyncpg.connect(postgres.url("postgres"))
    await admin.execute(f"create database {name}")
    yield postgres.url(name)
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


async def test_an_empty_database_is_refused_with_what_to_do(empty: str) -> None:
    with pytest.raises(Unavailable, match=r"lacks \d+ migration.* run `agenthub migrate`"):
        await check_schema(empty)


async def test_a_database_without_the_latest_migration_is_refused(core: Core) -> None:
    latest = [m.name for m in migrations() if m.phase == "pre"][-1]
    await core.value("delete from schema_migrations where name = $1", latest)
    with pytest.raises(Unavailable, match=latest):
        await check_schema(core.db.dsn)


async def test_a_database_that_a_newer_version_contracted_is_refused(core: Core) -> None:
    await core.value("insert into schema_migrations (name) values ('9998_pre_later.sql')")
    await check_schema(core.db.dsn)
    await core.value("insert into schema_migrations (name) values ('9999_post_later.sql')")
    with pytest.raises(Unavailable, match="newer version"):
        await check_schema(core.db.dsn)


async def test_many_migrators_at_once_apply_everything_once(empty: str) -> None:
    done = await asyncio.gather(*(migrate(empty) for _ in range(4)))
    assert sorted(map(len, done)) == [0, 0, 0, len(migrations())]
    await check_schema(empty)
    assert await migrate(empty) == []


async def test_an_index_whose_build_was_interrupted_is_built_anew(empty: str) -> None:
    await migrate(empty)
    connection = await asyncpg.connect(empty, server_settings={"search_path": "agenthub"})
    try:
        await connection.execute("delete from schema_migrations where name like '0009%'")
        await connection.execute(
            "update pg_index set indisvalid = false where indexrelid = 'threads_listed'::regclass"
        )
        assert await migrate(empty) == ["0009_pre_threads_listed.sql"]
        assert await connection.fetchval(
            "select indisvalid from pg_index where indexrelid = 'threads_listed'::regclass"
        )
    finally:
        await connection.close()


async def test_a_thread_whose_head_has_ended_goes_on_after_the_migration(core: Core) -> None:
    ended = await core.create()
    await core.finish(await core.claim_one())
    await core.value("alter table runs drop constraint runs_ready_are_open")
    await core.value("update runs set ready = true")
    left = core.new_run(ended.thread_id)
    async with core.db.transaction() as connection:
        # as it came to be: behind a head
        await connection.execute("update threads set open_runs = 1, status = 'busy'")
        await connection.fetch(runs.CREATE, *runs.arguments(left))
        await connection.execute("update threads set open_runs = 1")
    await core.queue.tidy(ephemeral_ttl=timedelta(hours=1))
    assert await core.claim() == []
    await core.value("delete from schema_migrations where name like '0012%'")
    assert await migrate(core.db.dsn) == ["0012_post_ready_runs_are_open.sql"]
    await core.queue.tidy(ephemeral_ttl=timedelta(hours=1))
    assert [c.lease.run_id for c in await core.claim()] == [left.run_id]


async def test_a_migration_that_fails_leaves_nothing_and_may_be_repeated(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agenthub_postgres import migrate as module

    broken = module.Migration("0001_pre_broken.sql", "pre", "create table half (x int); select 1/0")
    monkeypatch.setattr(module, "migrations", lambda: [broken])
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty)
    connection = await asyncpg.connect(empty)
    assert await connection.fetchval("select to_regclass('half')") is None
    await connection.close()
    monkeypatch.undo()
    assert len(await migrate(empty)) == len(migrations())
