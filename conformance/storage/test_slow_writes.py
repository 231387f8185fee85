"""A write that takes too long fails the run that it is of, and holds up nobody else for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import asyncpg
import pytest

from agenthub_postgres import database, writer
from testkit.core import Core, open_core
from testkit.interleavings import begin, held
from testkit.waiting import eventually


@pytest.fixture
async def hasty(dsn: str, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Core]:
    """A core whose statements may take no more than a fifth of a second."""
    monkeypatch.setitem(database.SETTINGS, "statement_timeout", "200")
    async with open_core(dsn) as core:
        yield core


async def test_a_run_that_cannot_be_written_fails_alone(hasty: Core) -> None:
    for _ in range(3):
        await hasty.create()
    stuck, *others = await hasty.claim(limit=3)
    async with held(hasty) as (connection, transaction):
        await connection.execute("set local statement_timeout = 0")
        # somebody's tool holds it, and does not let go
        await connection.execute(
            "select 1 from runs where run_id = $1 for update", stuck.lease.run_id
        )
        async with asyncio.timeout(60):
            told = await asyncio.gather(
                hasty.append(stuck, 1), *(hasty.append(one, 1) for one in others),
                return_exceptions=True,
            )  # fmt: skip
        await transaction.rollback()
    assert [isinstance(one, asyncpg.QueryCanceledError) for one in told] == [True, False, False]
    # and it must not end as if all of it were stored
    with pytest.raises(asyncpg.QueryCanceledError):
        await hasty.finish(stuck)
    for one in others:
        await hasty.finish(one)


async def test_a_database_that_cannot_be_reached_for_long_fails_no_run(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "RECONNECT_SECONDS", 0.001)
    tried = 0

    async def reached(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
        nonlocal tried
        tried += 1
        if tried < 3 * writer.TOO_LATE:
            raise TimeoutError
        return await database.connect(dsn)

    monkeypatch.setattr(writer, "connect", reached)
    async with open_core(dsn) as core, asyncio.timeout(60):
        run = await core.create()
        await core.finish(await core.claim_one())
        assert await core.status(run) == "success"


async def test_a_finish_that_waited_too_long_is_sent_again(
    hasty: Core, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "TOO_LATE", 1000)
    run = await hasty.create()
    claimed = await hasty.claim_one()
    async with held(hasty) as (connection, transaction):
        await connection.execute("set local statement_timeout = 0")
        await connection.execute(
            "select 1 from threads where thread_id = $1 for update", run.thread_id
        )
        finishing = begin(hasty.finish(claimed))
        await eventually(lambda: "the write connection broke" in caplog.text)
        await transaction.rollback()
    async with asyncio.timeout(60):
        await finishing
    assert await hasty.status(run) == "success"
