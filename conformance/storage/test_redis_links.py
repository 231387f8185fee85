"""Links to a real Valkey, and to one that says nothing: held, opened again, and left at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from agenthub.background import in_background
from agenthub_redis import RedisDoorbell, link, open_redis
from testkit.virtual import moment
from testkit.waiting import eventually

LONG = 30.0
DATABASE = "9"
"""Other tests' hubs are on the same server, in the database 0."""


@pytest.fixture
def apart(redis_url: str) -> str:
    """The address of a database that nobody else uses."""
    return redis_url.replace("db=0", f"db={DATABASE}")


async def clients(admin: Any) -> list[dict[str, str]]:
    """Those who are connected to it, without the one that asks."""
    found = await admin.client_list()
    return [one for one in found if one["db"] == DATABASE and one["cmd"] != "client|list"]


@asynccontextmanager
async def bell_on(redis_url: str) -> AsyncGenerator[RedisDoorbell]:
    async with (
        open_redis(redis_url, prefix="test:") as (bell, _, loops),
        in_background(*loops),
    ):
        yield bell


@asynccontextmanager
async def silent(folder: Path) -> AsyncGenerator[str]:
    """The address of a server that takes every connection and says nothing."""
    path = folder / "silent.sock"
    took: list[asyncio.StreamWriter] = []
    server = await asyncio.start_unix_server(lambda _, writer: took.append(writer), path)
    try:
        yield f"unix://{path}"
    finally:
        server.close()
        for writer in took:
            writer.close()


async def rings(redis_url: str, topic: str) -> int:
    """Rings that nobody has heard yet."""
    async with Redis.from_url(redis_url) as admin:
        found: Any = await admin.execute_command("LLEN", f"test:bell:{topic}")
        return found


async def test_a_ring_goes_out_though_its_link_broke_since_the_last_one(apart: str) -> None:
    async with bell_on(apart) as bell:
        for topic in ("first", "second", "third"):
            await bell.ring([topic])
            # the first try is the only one that the link could have had
            await eventually(lambda topic=topic: rings(apart, topic))
            async with Redis.from_url(apart) as admin:
                for one in await clients(admin):
                    await admin.execute_command("CLIENT", "KILL", "ID", one["id"])
            await moment()


async def test_a_ring_that_is_not_yet_on_its_way_is_not_sent_twice(apart: str) -> None:
    async with bell_on(apart) as bell:
        await asyncio.gather(*(bell.ring(["busy"]) for _ in range(5)))
        await bell.ring(["last"])
        await eventually(lambda: rings(apart, "last"))
        assert await rings(apart, "busy") == 1


async def test_a_ring_after_one_that_was_sent_is_sent_too(apart: str) -> None:
    async with bell_on(apart) as bell:
        for sent in range(1, 4):
            await bell.ring(["again"])
            await eventually(lambda sent=sent: heard(apart, sent))


async def heard(redis_url: str, sent: int) -> bool:
    return await rings(redis_url, "again") == sent


async def test_who_stops_waiting_takes_no_ring_along(apart: str) -> None:
    async with bell_on(apart) as bell, asyncio.timeout(20):
        left = asyncio.ensure_future(bell.wait(["work"], timeout=LONG))
        await eventually(lambda: waiting(apart, 1))
        left.cancel()
        await asyncio.wait([left])
        assert left.cancelled()
        # until the server knows, it would give the ring to who has left
        await eventually(lambda: waiting(apart, 0))
        other = asyncio.ensure_future(bell.wait(["control"], timeout=LONG))
        await eventually(lambda: waiting(apart, 1))
        await bell.ring(["work"])
        await bell.wait(["work"], timeout=LONG)
        assert not other.done()
        await bell.ring(["control"])
        await other


async def waiting(redis_url: str, count: int) -> bool:
    """Whether so many wait for rings."""
    async with Redis.from_url(redis_url) as admin:
        return sum("b" in one["flags"] for one in await clients(admin)) == count


async def test_who_waits_at_a_server_that_went_away_does_not_look_before_his_time(
    apart: str,
) -> None:
    async with bell_on(apart) as bell, asyncio.timeout(60):
        loop = asyncio.get_running_loop()
        end = loop.time() + 5.0
        waits = asyncio.ensure_future(bell.wait(["work"], timeout=5.0))
        await eventually(lambda: waiting(apart, 1))
        async with Redis.from_url(apart) as admin:
            for one in await clients(admin):
                await admin.execute_command("CLIENT", "KILL", "ID", one["id"])
        await waits
        # a worker would look again and again
        assert loop.time() >= end


async def test_a_server_that_says_nothing_is_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "SILENT_SECONDS", 0.01)
    async with silent(folder) as url, asyncio.timeout(20):
        one = link.links(url)()
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await one.open()
            assert not one.is_open


async def test_who_is_cancelled_while_a_server_is_greeted_is_cancelled(folder: Path) -> None:
    async with silent(folder) as url, asyncio.timeout(20):
        for passes in range(20):
            one = link.links(url)()
            greeting = asyncio.ensure_future(one.open())
            for _ in range(passes):
                await asyncio.sleep(0)
            greeting.cancel()
            await asyncio.wait([greeting])
            assert greeting.cancelled()
            assert not one.is_open
