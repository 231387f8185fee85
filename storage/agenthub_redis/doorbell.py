"""The doorbell on a Redis list: one push wakes one worker, and a lost push costs one poll.

No run id ever stands in the list: the database decides what is next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from redis.asyncio import Redis

from agenthub_redis.outgoing import Outgoing

KEPT = 7
"""Rings kept for workers that are busy now; more would only wake them for nothing."""
EXPIRE_SECONDS = 60
SILENT_SECONDS = 1.0
"""A server that is this late does not answer at all."""

# one command and one reply: a ring costs as much as its round trip
PUSH = """
redis.call('lpush', KEYS[1], '1')
redis.call('ltrim', KEYS[1], 0, ARGV[1])
redis.call('expire', KEYS[1], ARGV[2])
"""


class RedisDoorbell:
    """`agenthub.ports.Doorbell`. `waiting` is a client of its own, since a wait blocks it."""

    def __init__(self, outgoing: Outgoing, waiting: Redis, *, prefix: str) -> None:
        self.outgoing = outgoing
        # redis-py's types are partial
        self.waiting: Any = waiting
        self.prefix = prefix
        self._ringing: set[str] = set()

    async def ring(self, topics: Iterable[str]) -> None:
        for topic in topics:
            if topic not in self._ringing:
                self._ringing.add(topic)
                self.outgoing.put(partial(self._push, topic))
        # a worker waits for it, and whoever rings has other things to do next: let it be sent first
        await asyncio.sleep(0)

    def _push(self, topic: str, pipeline: Any) -> None:
        self._ringing.discard(topic)
        key = f"{self.prefix}bell:{topic}"
        pipeline.eval(PUSH, 1, key, KEPT, EXPIRE_SECONDS)

    async def wait(self, topics: Sequence[str], *, timeout: float) -> None:
        keys = [f"{self.prefix}bell:{topic}" for topic in topics]
        if not keys:
            await asyncio.sleep(timeout)
            return
        # a task of its own: redis-py swallows a cancellation that meets it while it connects, and has
        # no time limit of its own for a server that is there and does not answer
        popping = asyncio.ensure_future(self.waiting.blpop(keys, timeout=timeout))
        try:
            await asyncio.wait([popping], timeout=timeout + SILENT_SECONDS)
        finally:
            popping.cancel()
        if popping.done() and not popping.cancelled() and popping.exception() is not None:
            await asyncio.sleep(timeout)
