"""What a process sends to Redis: rings and slices of one moment in one round trip.

Nobody waits for it and nobody is told when it is lost: readers and workers poll.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from redis.exceptions import ResponseError

from agenthub_redis.link import BROKEN, SILENT_SECONDS, Command, Link

log = logging.getLogger(__name__)


class Outgoing:
    """Sends what it is given; `run` must be running."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._waiting: list[Command] = []
        self._once: set[Command] = set()
        self._queued = asyncio.Event()

    def put(self, *command: bytes | str | int) -> None:
        """Queue a command for the next round trip."""
        self._waiting.append(command)
        self._queued.set()

    def put_once(self, *command: bytes | str | int) -> None:
        """The same, unless this very command is queued for it."""
        if command not in self._once:
            self._once.add(command)
            self.put(*command)

    async def run(self) -> None:
        """Send what is queued, for ever; what comes together goes together."""
        while True:
            await self._queued.wait()
            await self.flush()

    async def flush(self) -> None:
        """Send what is queued now."""
        self._queued.clear()
        self._once.clear()
        commands, self._waiting = self._waiting, []
        if not commands:
            return
        # one that was open may have broken since it was last used, and its server be there again
        was_open = self.link.is_open
        try:
            if not (await self._sent(commands) or (was_open and await self._sent(commands))):
                log.debug("%d wake-ups are lost; polls make up for them", len(commands))
        except asyncio.CancelledError:
            # the last flush takes them along: a worker that leaves has just given its runs back, and
            # a reader ignores what it has seen
            self._waiting = commands + self._waiting
            raise

    async def _sent(self, commands: Sequence[Command]) -> bool:
        refused: ResponseError | None = None
        try:
            await self.link.open()
            async with asyncio.timeout(SILENT_SECONDS):
                await self.link.send(commands)
                for _ in commands:
                    try:
                        await self.link.receive()
                    except ResponseError as error:
                        refused = refused or error
        except BROKEN as broken:
            log.debug("Redis is not reachable (%s)", broken)
            await self.link.close()
            return False
        if refused is not None:
            log.warning("Redis refuses wake-ups (%s); polls make up for them", refused)
        return True
