"""Wake-ups over Redis: fast, lossy, and never the truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from redis.asyncio import Redis

from agenthub_redis.doorbell import RedisDoorbell
from agenthub_redis.tail import RedisTail

FLUSH_SECONDS = 1.0

__all__ = ["RedisDoorbell", "RedisTail", "open_redis"]


@asynccontextmanager
async def open_redis(
    url: str, *, prefix: str = "agenthub:", refresh_seconds: float = 5.0
) -> AsyncGenerator[tuple[RedisDoorbell, RedisTail]]:
    """A doorbell and a tail on one server. Their `run` are the caller's to run."""
    connect = cast("Any", Redis).from_url  # redis-py's types are partial
    client: Redis = connect(url)
    waiting: Redis = connect(url, socket_timeout=None)
    doorbell = RedisDoorbell(client, waiting, prefix=prefix)
    tail = RedisTail(client, prefix=prefix, refresh_seconds=refresh_seconds)
    try:
        yield doorbell, tail
        # what the last moments queued, since the loops have ended
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await tail.flush()
                await doorbell.flush()
    finally:
        await waiting.aclose()
        await client.aclose()
