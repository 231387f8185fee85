"""The doorbell on a Redis list: one push wakes one worker, and a lost push costs one poll.

No run id ever stands in the list: the database decides what is next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from agenthub_redis.link import BROKEN, SILENT_SECONDS, Link
from agenthub_redis.outgoing import Outgoing

KEPT = 7
"""Rings kept for workers that are busy now; more would only wake them for nothing."""
EXPIRE_SECONDS = 60

# one command and one reply: a ring costs as much as its round trip
PUSH = """
redis.call('lpush', KEYS[1], '1')
redis.call('ltrim', KEYS[1], 0, ARGV[1])
redis.call('expire', KEYS[1], ARGV[2])
"""


class RedisDoorbell:
    """`agenthub.ports.Doorbell`. Each of those who wait at once has a link of `links`."""

    def __init__(self, outgoing: Outgoing, links: Callable[[], Link], *, prefix: str) -> None:
        self.outgoing = outgoing
        self.prefix = prefix
        self._links = links
        self._free: list[Link] = []

    async def ring(self, topics: Iterable[str]) -> None:
        for topic in topics:
            key = f"{self.prefix}bell:{topic}"
            self.outgoing.put_once("EVAL", PUSH, 1, key, KEPT, EXPIRE_SECONDS)
        # a worker waits for it, and whoever rings has other things to do next: let it be sent first
        await asyncio.sleep(0)

    async def wait(self, topics: Sequence[str], *, timeout: float) -> None:
        keys = [f"{self.prefix}bell:{topic}" for topic in topics]
        if not keys:
            await asyncio.sleep(timeout)
            return
        link = self._free.pop() if self._free else self._links()
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        try:
            await link.open()
            async with asyncio.timeout(timeout + SILENT_SECONDS):
                await link.send([("BLPOP", *keys, timeout)])
                await link.receive()
        except BROKEN:
            await link.close()
            # whoever waits looks for himself after that time, and not before: he would do nothing else
            await asyncio.sleep(max(0.0, end - loop.time()))
        except asyncio.CancelledError:
            # an answer that nobody reads would be the next one's
            await link.close()
            raise
        finally:
            self._free.append(link)

    async def close(self) -> None:
        """Disconnect; nobody may be waiting."""
        for link in self._free:
            await link.close()
