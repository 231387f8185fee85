"""The pool and the connection at hand: nobody starves beside it, and nobody is given a dead one."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import pytest

from agenthub.errors import Unavailable
from agenthub_postgres import database
from agenthub_postgres.database import Database, open_database
from testkit.virtual import moment
from testkit.waiting import eventually

LOCK = "select pg_advisory_xact_lock(4711)"
PID = "select pg_backend_pid() as pid"


@pytest.fixture
async def narrow(dsn: str) -> AsyncGenerator[Database]:
    """A database that has one connection for everybody."""
    async with open_database(dsn, most=1) as db:
        yield db


async def pid(db: Database) -> int:
    """The server process of the connection that a statement takes."""
    row = await db.row(PID)
    assert row is not None
    return row["pid"]


async def test_statements_and_transactions_of_one_moment_all_get_the_only_connection(
    narrow: Database,
) -> None:
    async def transaction() -> int:
        async with narrow.transaction() as connection:
            return await connection.fetchval(PID)

    async with asyncio.timeout(20):
        for _ in range(3):
            took = [pid(narrow), transaction(), pid(narrow), transaction(), pid(narrow)]
            assert len(set(await asyncio.gather(*took))) == 1


async def test_statements_of_one_moment_run_beside_each_other(dsn: str) -> None:
    async with open_database(dsn, most=4) as db:
        for _ in range(3):
            assert len(set(await asyncio.gather(*(pid(db) for _ in range(4))))) == 4


async def test_a_connection_that_broke_while_nobody_used_it_is_not_used_again(
    narrow: Database, dsn: str
) -> None:
    async with open_database(dsn) as other:
        for _ in range(3):
            broken = await pid(narrow)
            await other.row("select pg_terminate_backend($1)", broken)
            await eventually(partial(gone, broken))
            # what its end says is there to be read
            await moment()
            assert await pid(narrow) != broken


async def test_a_statement_that_was_cancelled_leaves_nothing_to_the_next(narrow: Database) -> None:
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await narrow.row("select pg_sleep(30)")
        async with asyncio.timeout(20):
            assert await pid(narrow)


async def test_a_connection_that_went_silent_costs_who_gave_up_waiting_only_a_moment(
    narrow: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "RELEASE_SECONDS", 0.05)
    silent = await pid(narrow)
    os.kill(silent, signal.SIGSTOP)
    try:
        # as long as a statement may take, and well before that
        async with asyncio.timeout(database.CLIENT_SECONDS - 2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await pid(narrow)
            assert await pid(narrow) != silent
    finally:
        os.kill(silent, signal.SIGCONT)


async def test_a_statement_that_takes_too_long_is_not_tried_again(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(database.SETTINGS, "statement_timeout", "50")
    async with open_database(dsn, most=1) as db:
        await db.fetch("create temporary sequence tries")
        with pytest.raises(Unavailable, match="took longer than"):
            await db.fetch("select nextval('tries'), pg_sleep(30)", again=True)
        (row,) = await db.fetch("select nextval('tries') as next")
        assert row["next"] == 2


async def test_a_pool_closes_when_the_last_statement_has_ended(dsn: str) -> None:
    begun: list[asyncio.Future[Any]] = []
    may_leave = asyncio.Event()

    async def leaves_early() -> None:
        async with open_database(dsn, most=2) as db:
            begun.append(asyncio.ensure_future(db.fetch(LOCK)))
            await may_leave.wait()

    async with asyncio.timeout(20), open_database(dsn) as other:
        async with other.transaction() as holder:
            await holder.execute(LOCK)
            leaving = asyncio.ensure_future(leaves_early())
            await eventually(lambda: begun)
            await eventually(lambda: blocked(other))
            may_leave.set()
            await moment()
            assert not leaving.done()
        await leaving
        assert len(await begun[0]) == 1


async def blocked(other: Database) -> bool:
    """Whether somebody waits for the lock."""
    return bool(
        await other.row("select 1 from pg_locks where locktype = 'advisory' and not granted")
    )


def gone(process: int) -> bool:
    """Whether a process has ended, and so closed what it had open."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False
