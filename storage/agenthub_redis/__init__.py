"""Wake-ups over Redis: fast, lossy, and never the truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress

from agenthub.background import Loop
from agenthub_redis.doorbell import RedisDoorbell
from agenthub_redis.link import links
from agenthub_redis.outgoing import Outgoing
from agenthub_redis.tail import RedisTail

FLUSH_SECONDS = 1.0

__all__ = ["Outgoing", "RedisDoorbell", "RedisTail", "open_redis"]


@asynccontextmanager
async def open_redis(
    url: str, *, prefix: str = "agenthub:", refresh_seconds: float = 5.0
) -> AsyncGenerator[tuple[RedisDoorbell, RedisTail, Sequence[Loop]]]:
    """A doorbell and a tail on one server, and the loops that are the caller's to run."""
    link = links(url)
    outgoing = Outgoing(link())
    doorbell = RedisDoorbell(outgoing, link, prefix=prefix)
    tail = RedisTail(link(), outgoing, prefix=prefix, refresh_seconds=refresh_seconds)
    try:
        yield doorbell, tail, (outgoing.run, tail.run)
        # what the last moments queued, since the loops have ended
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await outgoing.flush()
    finally:
        await outgoing.link.close()
        await tail.link.close()
        await doorbell.close()
