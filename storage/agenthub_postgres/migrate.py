"""Migrations: numbered SQL files, applied in order, once, by one process at a time.

`pre` files expand the schema and run before the new code; `post` files contract it and run after the
old code is gone. Each file is one transaction, unless its first line is `-- no-transaction`: then each of its
statements stands alone, and must bear to be repeated from the first, because any may have been the last. The
application never migrates by itself: it checks, and refuses a schema that it does not fit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, TypeAlias

import asyncpg
from asyncpg import Connection, Record

from agenthub.errors import Unavailable
from agenthub_postgres.database import SETTINGS

log = logging.getLogger(__name__)

Phase: TypeAlias = Literal["pre", "post"]
LOCK = 0x41474855  # "AGHU": one migrator at a time, in any number of processes

LOCK_SECONDS = 0.1

SCHEMA = "create schema if not exists agenthub"

BOOTSTRAP = """
create table if not exists schema_migrations (
  -- the schema belongs to no tenant
  name       text primary key,
  applied_at timestamptz not null default now()
)
"""
APPLIED = "select name from schema_migrations order by name"
EXISTS = "select to_regclass('agenthub.schema_migrations') is not null"
RECORD = "insert into schema_migrations (name) values ($1)"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. Its name orders it and says its phase: `0001_pre_core.sql`."""

    name: str
    phase: Phase
    sql: str

    @property
    def transactional(self) -> bool:
        return not self.sql.startswith("-- no-transaction")

    @property
    def statements(self) -> Sequence[str]:
        """Of a file without a transaction; a statement ends with a line that ends with a semicolon."""
        return [one for one in self.sql.split(";\n") if one.strip()]


def migrations() -> Sequence[Migration]:
    """All migrations that this version knows, in order."""
    found: list[Migration] = []
    for file in files("agenthub_postgres").joinpath("migrations").iterdir():
        if file.name.endswith(".sql"):
            phase = file.name.split("_")[1]
            assert phase in ("pre", "post"), file.name
            found.append(Migration(file.name, phase, file.read_text("utf-8")))
    return sorted(found, key=lambda m: m.name)


async def connect_to_migrate(dsn: str) -> Connection[Record]:
    """A connection without a statement's time limit: an index may take long to build."""
    return await asyncpg.connect(
        dsn, server_settings={"search_path": SETTINGS["search_path"]}, timeout=30
    )


async def migrate(dsn: str, phases: Sequence[Phase] = ("pre", "post")) -> list[str]:
    """Apply what is missing and return the names of what was applied."""
    connection = await connect_to_migrate(dsn)
    done: list[str] = []
    try:
        await _alone(connection)
        await connection.execute(SCHEMA)
        await connection.execute(BOOTSTRAP)
        applied = {row["name"] for row in await connection.fetch(APPLIED)}
        for migration in migrations():
            if migration.name in applied or migration.phase not in phases:
                continue
            if migration.transactional:
                async with connection.transaction():
                    # a migration that waits for a lock holds up everyone behind it
                    await connection.execute("set local lock_timeout = '3s'")
                    await connection.execute(migration.sql)
                    await connection.execute(RECORD, migration.name)
            else:
                log.info(
                    "applying %s, which waits for every transaction that is open", migration.name
                )
                for statement in migration.statements:
                    await connection.execute(statement)
                await connection.execute(RECORD, migration.name)
            done.append(migration.name)
    finally:
        await connection.close()
    return done


async def _alone(connection: Connection[Record]) -> None:
    """Wait until nobody else migrates. Asked again and again, because a statement that waits inside Postgres
    has a snapshot, and an index that is built concurrently waits for everyone with one."""
    while True:
        if await connection.fetchval("select pg_try_advisory_lock($1)", LOCK):
            return
        await asyncio.sleep(LOCK_SECONDS)


async def check_schema(dsn: str) -> None:
    """Refuse a database whose schema is older than this version needs, or unknown to it.

    Raises:
        Unavailable: with the sentence that says what to do.
    """
    connection = await connect_to_migrate(dsn)
    try:
        ready = await connection.fetchval(EXISTS)
        applied = {row["name"] for row in await connection.fetch(APPLIED)} if ready else set[str]()
    finally:
        await connection.close()
    known = migrations()
    missing = [m.name for m in known if m.phase == "pre" and m.name not in applied]
    if missing:
        raise Unavailable(
            f"the database lacks {len(missing)} migration(s), from {missing[0]}: "
            "run `agenthub migrate` with the same DATABASE_URL, then start again"
        )
    newer = sorted(n for n in applied if "_post_" in n and n not in {m.name for m in known})
    if newer:
        raise Unavailable(
            f"the database was migrated by a newer version ({newer[-1]}): "
            "upgrade this installation, or give it its own database"
        )
