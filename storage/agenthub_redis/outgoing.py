"""What a process sends to Redis: rings and slices of one moment in one round trip.

Nobody waits for it and nobody is told when it is lost: readers and workers poll.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

Command = Callable[[Any], None]
"""Puts itself on the pipeline that it is given."""


class Outgoing:
    """Sends what it is given; `run` must be running."""

    def __init__(self, client: Redis) -> None:
        # redis-py's types are partial
        self.client: Any = client
        self._waiting: list[Command] = []
        self._queued = asyncio.Event()

    def put(self, command: Command) -> None:
        """Queue a command for the next round trip."""
        self._waiting.append(command)
        self._queued.set()

    async def run(self) -> None:
        """Send what is queued, for ever; what comes together goes together."""
        while True:
            await self._queued.wait()
            await self.flush()

    async def flush(self) -> None:
        """Send what is queued now."""
        self._queued.clear()
        commands, self._waiting = self._waiting, []
        if not commands:
            return
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            command(pipeline)
        try:
            answers = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError) as lost:
            log.debug("%d wake-ups are lost (%s); polls make up for them", len(commands), lost)
        except asyncio.CancelledError:
            # the last flush takes them along: a worker that leaves has just given its runs back, and
            # a reader ignores what it has seen
            self._waiting = commands + self._waiting
            raise
        else:
            refused = next((a for a in answers if isinstance(a, Exception)), None)
            if refused is not None:
                log.warning("Redis refuses wake-ups (%s); polls make up for them", refused)
