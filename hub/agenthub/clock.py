"""Time as a parameter, so that tests own it. The database's clock is another one, and judges leases."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock that can be slept on."""

    def monotonic(self) -> float: ...

    def processor(self) -> float:
        """Seconds for which the calling thread had a processor."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The real one."""

    def monotonic(self) -> float:
        return time.monotonic()

    def processor(self) -> float:
        return time.thread_time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
