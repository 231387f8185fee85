"""Wake-ups over Redis: fast, lossy, and never the truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from redis.asyncio import Redis

from agenthub.background import Loop
from agenthub_redis.doorbell import RedisDoorbell
from agenthub_redis.outgoing import Outgoing
from agenthub_redis.tail import RedisTail

FLUSH_SECONDS = 1.0

__all__ = ["Outgoing", "RedisDoorbell", "RedisTail", "open_redis"]


@asynccontextmanager
async def open_redis(
    url: str, *, prefix: str = "agenthub:", refresh_seconds: float = 5.0
) -> AsyncGenerator[tuple[RedisDoorbell, RedisTail, Sequence[Loop]]]:
    """A doorbell and a tail on one server, and the loops that are the caller's to run."""
    connect = cast("Any", Redis).from_url  # redis-py's types are partial
    # protocol 3 has nothing for us, and redis-py writes out every message of a channel for a log then
    client: Redis = connect(url, protocol=2)
    waiting: Redis = connect(url, protocol=2, socket_timeout=None)
    outgoing = Outgoing(client)
    doorbell = RedisDoorbell(outgoing, waiting, prefix=prefix)
    tail = RedisTail(client, outgoing, prefix=prefix, refresh_seconds=refresh_seconds)
    try:
        yield doorbell, tail, (outgoing.run, tail.run)
        # what the last moments queued, since the loops have ended
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await outgoing.flush()
    finally:
        await waiting.aclose()
        await client.aclose()
