"""Calls of one moment go together, and nobody suffers for another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from asyncpg import DataError, QueryCanceledError

from agenthub.errors import Unavailable
from agenthub_postgres import together
from agenthub_postgres.together import Together
from testkit.virtual import moment, virtual


@dataclass
class Statement:
    """Answers what it is asked with the same in capitals, as often as the test lets it."""

    answers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    sent: list[Sequence[str]] = field(default_factory=list[Sequence[str]])
    failures: dict[str, Exception] = field(default_factory=dict[str, Exception])

    async def __call__(self, asked: Sequence[str]) -> Sequence[Any]:
        self.sent.append(list(asked))
        await asyncio.sleep(0)
        await self.answers.acquire()
        for one in asked:
            if one in self.failures:
                raise self.failures[one]
        return [one.upper() if one else None for one in asked]


@asynccontextmanager
async def gathered(statement: Statement) -> AsyncGenerator[Together[str]]:
    async with asyncio.TaskGroup() as group:
        yield Together(statement, group)


def let(statement: Statement, times: int = 10) -> None:
    for _ in range(times):
        statement.answers.release()


def ask(calls: Together[str], *what: str) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(calls.ask(one)) for one in what]


@virtual
async def test_who_comes_alone_waits_for_nobody() -> None:
    statement = Statement()
    let(statement)
    async with gathered(statement) as calls:
        assert [await calls.ask(one) for one in ("a", "b", "")] == ["A", "B", None]
    assert statement.sent == [["a"], ["b"], [""]]


@virtual
async def test_those_who_come_while_a_statement_is_on_its_way_go_together() -> None:
    statement = Statement()
    async with gathered(statement) as calls:
        asking = ask(calls, "a", "b", "c", "d")
        await moment()
        assert statement.sent == [["a"]]
        let(statement)
        assert await asyncio.gather(*asking) == ["A", "B", "C", "D"]
        # and then it is as it was
        assert await calls.ask("e") == "E"
    assert statement.sent == [["a"], ["b", "c", "d"], ["e"]]


@virtual
async def test_who_asks_again_as_soon_as_it_is_answered_is_answered_again() -> None:
    statement = Statement()
    let(statement)

    async def ask_often(*what: str) -> list[Any]:
        return [await calls.ask(one) for one in what]

    async with gathered(statement) as calls:
        answers = await asyncio.gather(ask_often("a", "b", "c"), ask_often("d", "e", "f"))
    assert answers == [["A", "B", "C"], ["D", "E", "F"]]


@virtual
async def test_a_statement_takes_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "MOST", 2)
    statement = Statement()
    async with gathered(statement) as calls:
        asking = ask(calls, "a", "b", "c", "d")
        await moment()
        let(statement)
        assert await asyncio.gather(*asking) == ["A", "B", "C", "D"]
    assert statement.sent == [["a"], ["b", "c"], ["d"]]


@virtual
async def test_what_postgres_refuses_fails_who_asked_for_it_alone() -> None:
    statement = Statement(failures={"c": DataError("c is wrong")})
    async with gathered(statement) as calls:
        asking = ask(calls, "a", "b", "c", "d")
        await moment()
        let(statement)
        answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [str(answer) for answer in answers] == ["A", "B", "c is wrong", "D"]
    assert statement.sent == [["a"], ["b", "c", "d"], ["b"], ["c"], ["d"]]


@pytest.mark.parametrize("failure", [Unavailable("away"), QueryCanceledError("away")])
@virtual
async def test_a_database_that_is_away_or_slow_is_not_asked_for_each_anew(
    failure: Exception,
) -> None:
    statement = Statement(failures={"c": failure})
    async with gathered(statement) as calls:
        asking = ask(calls, "a", "b", "c")
        await moment()
        let(statement)
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert [str(answer) for answer in answers] == ["A", "away", "away"]
        assert await calls.ask("d") == "D"
    assert statement.sent == [["a"], ["b", "c"], ["d"]]


@virtual
async def test_who_goes_away_takes_nobody_along() -> None:
    statement = Statement()
    async with gathered(statement) as calls:
        first, waits, goes, stays = ask(calls, "a", "b", "c", "d")
        await moment()
        goes.cancel()
        # even if it is the one whose statement is on its way
        first.cancel()
        let(statement)
        assert await asyncio.gather(waits, stays) == ["B", "D"]
        assert await calls.ask("e") == "E"
    assert statement.sent == [["a"], ["b", "d"], ["e"]]
    assert first.cancelled()
    assert goes.cancelled()


@virtual
async def test_a_statement_that_others_share_is_finished_without_the_one_who_left() -> None:
    statement = Statement()
    async with gathered(statement) as calls:
        first, goes, stays = ask(calls, "a", "b", "c")
        await moment()
        let(statement, 1)
        await first
        await moment()
        goes.cancel()
        let(statement)
        assert await stays == "C"
    assert statement.sent == [["a"], ["b", "c"]]


@pytest.mark.parametrize("answered", [True, False], ids=["in a shared statement", "behind one"])
@virtual
async def test_at_the_end_of_the_process_who_waits_is_told(answered: bool) -> None:
    statement = Statement()
    asking: list[asyncio.Task[Any]] = []

    async def serve() -> None:
        async with gathered(statement) as calls:
            asking.extend(ask(calls, "a", "b", "c"))
            await moment()
            if answered:
                let(statement, 1)
                await asking[0]
                await moment()
            serving.cancel()
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    with pytest.raises(asyncio.CancelledError):
        await serving
    let(statement)
    assert await asking[0] == "A"
    for one in asking[1:]:
        with pytest.raises(Unavailable, match="this process is ending"):
            await one


async def test_without_a_group_each_has_a_statement_of_its_own() -> None:
    statement = Statement()
    let(statement)
    calls = Together(statement, None)
    assert await asyncio.gather(calls.ask("a"), calls.ask("b")) == ["A", "B"]
    assert statement.sent == [["a"], ["b"]]
