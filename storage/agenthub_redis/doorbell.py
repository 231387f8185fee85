"""The doorbell on a Redis list: one push wakes one worker, and a lost push costs one poll.

No run id ever stands in the list: the database decides what is next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

KEPT = 7
"""Rings kept for workers that are busy now; more would only wake them for nothing."""
EXPIRE_SECONDS = 60
SILENT_SECONDS = 1.0
"""A server that is this late does not answer at all."""


class RedisDoorbell:
    """`agenthub.ports.Doorbell`; `run` must be running. `waiting` is a client of its own, since a wait
    blocks it."""

    def __init__(self, client: Redis, waiting: Redis, *, prefix: str) -> None:
        # redis-py's types are partial
        self.client: Any = client
        self.waiting: Any = waiting
        self.prefix = prefix
        self._outgoing: set[str] = set()
        self._queued = asyncio.Event()

    async def ring(self, topics: Iterable[str]) -> None:
        self._outgoing.update(topics)
        self._queued.set()

    async def run(self) -> None:
        """Send the rings, for ever; those of one moment together."""
        while True:
            await self._queued.wait()
            await self.flush()

    async def flush(self) -> None:
        """Send what waits to be rung now."""
        self._queued.clear()
        topics, self._outgoing = self._outgoing, set()
        if not topics:
            return
        pipeline = self.client.pipeline(transaction=False)
        for topic in topics:
            key = f"{self.prefix}bell:{topic}"
            pipeline.lpush(key, b"1")
            pipeline.ltrim(key, 0, KEPT)
            pipeline.expire(key, EXPIRE_SECONDS)
        try:
            await pipeline.execute()
        except (RedisError, OSError) as lost:
            log.warning("a doorbell did not ring (%s); workers find the run by polling", lost)
        except asyncio.CancelledError:
            # the last flush takes them along: a worker that leaves has just given its runs back
            self._outgoing |= topics
            raise

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
