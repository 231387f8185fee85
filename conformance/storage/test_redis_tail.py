"""The tail on a real Valkey: what is announced and published arrives, from the first moment on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from agenthub.background import in_background
from agenthub.events import Event
from agenthub.fanout import LOOK
from agenthub.ids import new_id
from agenthub.ports import Following
from agenthub_redis import RedisTail, open_redis
from agenthub_redis import tail as module
from testkit.virtual import moment
from testkit.waiting import eventually

LONG = 3600.0
"""Nobody looks by himself within a test."""
AGAIN = 0.02


@dataclass
class Listener:
    """Hears a topic of a tail."""

    tail: RedisTail
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        async for _ in self.tail.broadcasts("topic"):
            self.heard.set()

    async def hears(self, sender: RedisTail) -> None:
        """An announcement arrives: one of many, since a tail may lose what is sent while it connects."""
        self.heard.clear()
        while not self.heard.is_set():
            sender.announce("topic")
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN):
                    await self.heard.wait()


async def gets(following: Following, sender: RedisTail, task_id: UUID, seq: int) -> None:
    """An event arrives."""
    while True:
        sender.publish(task_id, [Event(seq, task_id, "custom", b"1")])
        slice_ = await following.next(timeout=AGAIN)
        if slice_ is not None and slice_.events and slice_.events[0].seq == seq:
            return


@asynccontextmanager
async def tail_on(redis_url: str) -> AsyncGenerator[RedisTail]:
    async with (
        open_redis(redis_url, prefix="test:", refresh_seconds=LONG) as (_, tail, loops),
        in_background(*loops),
    ):
        yield tail


async def test_who_follows_a_task_while_the_tail_connects_hears_of_topics_too(
    redis_url: str,
) -> None:
    async with (
        open_redis(redis_url, prefix="test:", refresh_seconds=LONG) as (_, tail, loops),
        tail_on(redis_url) as sender,
    ):
        at_once = tail.link.open

        async def late() -> None:
            """Connecting takes its time."""
            await at_once()
            for _ in range(50):
                await asyncio.sleep(0)

        tail.link.open = late
        task_id = new_id()
        tail.prepare(task_id)
        listener = Listener(tail)
        async with in_background(*loops, listener.run), tail.follow(task_id) as following:
            async with asyncio.timeout(20):
                # and not only what comes while the first connection is still being read
                for seq in range(1, 5):
                    await listener.hears(sender)
                    await gets(following, sender, task_id, seq)


async def test_topics_and_tasks_are_heard_again_after_the_connection_broke(redis_url: str) -> None:
    async with tail_on(redis_url) as tail, tail_on(redis_url) as sender:
        listener, task_id = Listener(tail), new_id()
        async with in_background(listener.run), tail.follow(task_id) as following:
            async with asyncio.timeout(30):
                await listener.hears(sender)
                async with Redis.from_url(redis_url) as admin:
                    await admin.execute_command("CLIENT KILL TYPE pubsub")
                for seq in range(1, 5):
                    await listener.hears(sender)
                    await gets(following, sender, task_id, seq)


@pytest.mark.parametrize("followers", [50])
async def test_many_who_begin_and_leave_at_once_all_hear(redis_url: str, followers: int) -> None:
    async def follows(n: int) -> None:
        task_id = new_id()
        for seq in range(1, 4):
            async with tail.follow(task_id) as following:
                await gets(following, sender, task_id, seq)

    async with tail_on(redis_url) as tail, tail_on(redis_url) as sender, asyncio.timeout(30):
        await asyncio.gather(*(follows(n) for n in range(followers)))


async def test_a_task_that_is_followed_again_at_once_stays_subscribed(redis_url: str) -> None:
    async with tail_on(redis_url) as tail, tail_on(redis_url) as sender, asyncio.timeout(30):
        task_id, other = new_id(), new_id()
        async with tail.follow(task_id) as following:
            await gets(following, sender, task_id, 1)
        async with tail.follow(task_id) as following, Redis.from_url(redis_url) as admin:
            async with tail.follow(other):
                pass
            # what nobody follows any more is given up, in a moment
            while await subscribers(admin, other):
                await gets(following, sender, task_id, 2)
            assert await subscribers(admin, task_id) == 1
        async with Redis.from_url(redis_url) as admin:
            while await subscribers(admin, task_id):
                pass


async def test_a_ring_is_on_its_way_before_whoever_rings_goes_on(redis_url: str) -> None:
    sent: list[bool] = []
    async with open_redis(redis_url, prefix="test:") as (bell, _, loops):
        flush = bell.outgoing.flush

        async def noticed() -> None:
            sent.append(True)
            await flush()

        bell.outgoing.flush = noticed
        async with in_background(*loops):
            await moment()
            await bell.ring(["work"])
            assert sent


async def subscribers(admin: Redis, task_id: UUID) -> int:
    """Connections that are subscribed to a task's slices."""
    found: Any = await admin.execute_command("PUBSUB", "NUMSUB", b"test:task:" + task_id.bytes)
    return int(found[1])


async def test_a_redis_that_is_away_sends_its_followers_to_the_log_once(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECONNECT_SECONDS", 0.001)
    tried = 0

    async def refused() -> None:
        nonlocal tried
        tried += 1
        raise ConnectionRefusedError("nobody is there")

    async with (
        tail_on(redis_url) as sender,
        tail_on(redis_url) as tail,
        in_background((listener := Listener(tail)).run),
        tail.follow(new_id()) as following,
    ):
        async with asyncio.timeout(20):
            await listener.hears(sender)
        # what it has been told while it connected
        while (slice_ := await following.next(timeout=AGAIN)) is not None:
            assert slice_.events is None
        monkeypatch.setattr(tail.link, "open", refused)
        await tail.link.close()
        async with Redis.from_url(redis_url) as admin:
            await admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        async with asyncio.timeout(20):
            assert await following.next(timeout=LONG) == LOOK
            again = asyncio.ensure_future(following.next(timeout=LONG))
            before = tried
            await eventually(lambda: tried > before + 10)
        assert not again.done()
        again.cancel()
        for _ in range(3):
            async with tail.follow(new_id()):
                """A short one."""
        before = tried
        await eventually(lambda: tried > before + 1)
        # that nothing is kept of those shows nowhere else until memory is short
        assert not tail._unwanted  # pyright: ignore[reportPrivateUsage]
