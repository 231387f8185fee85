"""Connections to Postgres: one pool of tuned connections, and what to do when they break.

Statements are constants (`LiteralString`), prepared once per connection by asyncpg's cache. A pooled
connection is not reset between uses: nothing here leaves session state behind, and the reset would
double the cost of a small query.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, LiteralString

import asyncpg
from asyncpg import Connection, Record
from asyncpg.pool import Pool, PoolConnectionProxy

from agenthub.errors import Unavailable

log = logging.getLogger(__name__)

# What a restart, a failover or a cut connection looks like from asyncpg (embedding.md §5.5).
BROKEN: tuple[type[Exception], ...] = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    # a standby: who fails over may still lead us there
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.QueryCanceledError,
    OSError,
    TimeoutError,
)
SLOW: tuple[type[Exception], ...] = (TimeoutError, asyncpg.QueryCanceledError)
"""Those of them that say that a statement took longer than it may."""

STATEMENT_SECONDS = 10
CLIENT_SECONDS = STATEMENT_SECONDS + 2
"""When a statement is given up here. Later than by the server: a statement that went on there alone would
hold its locks, and whoever asked would not know what became of it."""
RELEASE_SECONDS = 1
"""How long a connection whose statement was cancelled has for that. One that is silent would keep whoever
gave up waiting for it for as long again."""
SETTINGS = {
    "application_name": "agenthub",
    "statement_timeout": str(STATEMENT_SECONDS * 1000),
    "idle_in_transaction_session_timeout": "10000",
    "timezone": "UTC",
    # A schema of our own: LangGraph's savers have tables of the same names, and people share databases.
    # Extensions (pgvector) are found in public.
    "search_path": "agenthub, public",
    # our statements are short: compiling them costs more than running them
    "jit": "off",
    # A plan is kept for the life of its connection, and a plan made while a table was empty would scan
    # it for ever, be it for a hash or in the order of a merge. Every statement here looks up by key.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
IN_BULK = "set local enable_hashjoin = on; set local enable_mergejoin = on"
"""For the few transactions that compare everything on a thread with everything else on it."""


async def connect(dsn: str) -> Connection[Record]:
    """A connection of its own, for a listener or a reserved use."""
    return await asyncpg.connect(
        dsn, server_settings=SETTINGS, command_timeout=CLIENT_SECONDS, timeout=5
    )


async def _keep(_: PoolConnectionProxy[Record] | Connection[Record]) -> None:
    """Reset nothing: see the module's docstring."""


class Database:
    """A pool. `fetch` and its kin retry once when the connection broke before anything was sent
    that could have an effect twice: callers mark those statements with `again=True`.

    One connection is kept at hand between statements: taking one from the pool and giving it back, each
    time, costs more than a small statement does, and whoever asked waits for both.
    """

    def __init__(self, pool: Pool[Record], dsn: str) -> None:
        self.pool = pool
        self.dsn = dsn
        self._at_hand: PoolConnectionProxy[Record] | None = None
        # how many want one of the pool's: what is given back is theirs
        self._waiting = 0
        self._closing = False

    async def fetch(self, sql: LiteralString, *args: Any, again: bool = False) -> Sequence[Record]:
        """Run a statement and return its rows.

        Raises:
            Unavailable: the database cannot be reached.
        """
        try:
            return await self._fetch(sql, args)
        except BROKEN as broken:
            # one that was too slow would only be so again
            if not again or isinstance(broken, asyncpg.QueryCanceledError):
                raise _unavailable(broken) from broken
            return await self._fetch_again(sql, args)

    async def row(self, sql: LiteralString, *args: Any, again: bool = False) -> Record | None:
        """The first row of a statement's result."""
        rows = await self.fetch(sql, *args, again=again)
        return rows[0] if rows else None

    async def _fetch_again(self, sql: LiteralString, args: Sequence[Any]) -> Sequence[Record]:
        # A restarting server refuses for some 0.1 to 2 s; a reader waits that long for its answer.
        for pause in (0.05, 0.1, 0.2, 0.4, 0.8, 1.6):
            try:
                return await self._fetch(sql, args)
            except BROKEN:
                await asyncio.sleep(pause)
        return await self.fetch(sql, *args)

    async def _fetch(self, sql: LiteralString, args: Sequence[Any]) -> Sequence[Record]:
        connection = await self._take()
        try:
            rows = await connection.fetch(sql, *args)
        except BaseException as failed:
            await self._let_go(connection, failed)
            raise
        await self._give_back(connection)
        return rows

    async def _take(self) -> PoolConnectionProxy[Record]:
        connection, self._at_hand = self._at_hand, None
        if connection is not None:
            if _is_good(connection):
                return connection
            await self.pool.release(connection)
        self._waiting += 1
        try:
            return await self.pool.acquire()
        finally:
            self._waiting -= 1

    async def _give_back(self, connection: PoolConnectionProxy[Record]) -> None:
        if self._at_hand is None and not self._waiting and not self._closing:
            self._at_hand = connection
        else:
            await self.pool.release(connection)

    async def _let_go(self, connection: PoolConnectionProxy[Record], failed: BaseException) -> None:
        if isinstance(failed, asyncpg.ReadOnlySQLTransactionError):
            # the next one may lead to the primary
            connection.terminate()
        with suppress(TimeoutError):
            await self.pool.release(connection, timeout=RELEASE_SECONDS)

    async def close(self) -> None:
        """Keep nothing at hand any more, so that the pool can be closed."""
        self._closing = True
        connection, self._at_hand = self._at_hand, None
        if connection is not None:
            await self.pool.release(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[PoolConnectionProxy[Record]]:
        """A transaction on one connection; for the few transitions that cannot be one statement.

        Raises:
            Unavailable: the database cannot be reached; whether it committed is not known.
        """
        try:
            connection = await self._take()
            try:
                async with connection.transaction():
                    yield connection
            except BaseException as failed:
                await self._let_go(connection, failed)
                raise
            await self.pool.release(connection)
        except BROKEN as broken:
            raise _unavailable(broken) from broken


def _is_good(connection: PoolConnectionProxy[Record]) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:  # it broke, and the pool has taken it back
        return False


def _unavailable(broken: BaseException) -> Unavailable:
    log.warning("the database cannot be reached: %s", str(broken) or type(broken).__name__)
    if isinstance(broken, asyncpg.QueryCanceledError):
        return Unavailable(f"the database took longer than {STATEMENT_SECONDS} s; try again")
    return Unavailable("the database cannot be reached; try again")


@asynccontextmanager
async def open_database(dsn: str, *, least: int = 1, most: int = 8) -> AsyncGenerator[Database]:
    """Open a pool of `least` to `most` connections for the time of the context."""
    async with asyncpg.create_pool(
        dsn,
        min_size=least,
        max_size=most,
        reset=_keep,
        server_settings=SETTINGS,
        command_timeout=CLIENT_SECONDS,
        timeout=5,
        max_inactive_connection_lifetime=0,
    ) as pool:
        database = Database(pool, dsn)
        try:
            yield database
        finally:
            await database.close()
