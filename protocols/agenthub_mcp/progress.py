"""Progress: that a call is alive, and where it stands, in a few words; never its tokens.

The number counts the notifications of one request, so it rises strictly whatever the agent does, also
when a resumed agent starts its steps again. Several steps within the pace become one notification.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias, cast

from agenthub.events import UPDATES, Event
from agenthub.json import Json, JsonObject
from agenthub_mcp.caller import Caller

log = logging.getLogger(__name__)

PACE_SECONDS = 0.5
HEARTBEAT_SECONDS = 15.0
LENGTH = 200

Report: TypeAlias = Callable[[float, float | None, str | None], Awaitable[None]]


class Progress:
    """The progress of one request. `run` sends it; `saw` and `say` feed it."""

    def __init__(
        self,
        report: Report,
        *,
        pace_seconds: float = PACE_SECONDS,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self.report = report
        self.pace_seconds = pace_seconds
        self.heartbeat_seconds = heartbeat_seconds
        self._message = "working"
        self._steps = 0
        self._sent = 0
        self._news = asyncio.Event()

    def saw(self, event: Event) -> None:
        """Take note of an event; only finished steps of the agent itself count."""
        for node in steps(event):
            self._steps += 1
            self.say(f"step {self._steps}: {node}")

    def say(self, message: str) -> None:
        """Report this next."""
        self._message = message[:LENGTH]
        self._news.set()

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self.heartbeat_seconds):
                    await self._news.wait()
            except TimeoutError:
                pass  # nothing new: a heartbeat with the last message
            await self._send()
            await asyncio.sleep(self.pace_seconds)

    @property
    def begun(self) -> bool:
        """Whether anything was reported."""
        return self._sent > 0

    async def last(self) -> None:
        """Report what a call that was quicker than the pace would otherwise keep to itself."""
        if self._news.is_set():
            await self._send()

    async def _send(self) -> None:
        self._news.clear()
        self._sent += 1
        await self.report(self._sent, None, self._message)


@asynccontextmanager
async def reporting(caller: Caller) -> AsyncGenerator[Progress | None]:
    """Report progress while the block runs, if the caller asked for it."""
    if not caller.wants_progress:
        yield None
        return
    progress = Progress(caller.ctx.session.report_progress)
    sending = asyncio.create_task(progress.run())
    try:
        yield progress
        if not progress.begun:
            await progress.last()
    finally:
        sending.cancel()
        await asyncio.wait([sending])
        if not sending.cancelled() and (wrong := sending.exception()) is not None:
            log.warning("progress could not be reported: %s", wrong)


def steps(event: Event) -> list[str]:
    """The steps of the agent itself that an event says are finished."""
    if event.kind != UPDATES or event.ns:
        return []
    update: Json = event.json()
    if not isinstance(update, dict):
        return []
    return [str(n) for n in cast("JsonObject", update) if not str(n).startswith("__")]
