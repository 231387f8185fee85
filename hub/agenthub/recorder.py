"""The recorder: an attempt's events, numbered, and committed in slices.

The first event goes out at once; then whatever arose while the last slice was being committed, and at
most every `slice_seconds`. `emit` never waits, so an agent is never slowed by the log, except by
`MOST_WAITING`, which bounds the memory that a fast agent can fill.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

from agenthub.clock import Clock
from agenthub.events import Event
from agenthub.ports import Claimed, LeaseWriter

MOST_WAITING = 10_000


class Recorder:
    """Assigns `seq` and appends. `run` must be running while events are emitted."""

    def __init__(
        self, claimed: Claimed, writer: LeaseWriter, clock: Clock, *, slice_seconds: float
    ) -> None:
        self.claimed = claimed
        self.writer = writer
        self.clock = clock
        self.slice_seconds = slice_seconds
        self._seq = claimed.last_seq
        self._waiting: list[Event] = []
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def run_id(self) -> UUID:
        return self.claimed.lease.run_id

    def emit(self, kind: str, data: bytes, ns: str = "") -> None:
        """Record an event; returns at once."""
        self._seq += 1
        self._waiting.append(Event(self._seq, self.run_id, kind, data, ns))
        self._arrived.set()
        if len(self._waiting) >= MOST_WAITING:
            self._room.clear()

    async def room(self) -> None:
        """Wait while too much is waiting to be committed."""
        await self._room.wait()

    def take(self) -> list[Event]:
        """What is not committed yet, for the finish to carry."""
        waiting, self._waiting = self._waiting, []
        self._room.set()
        return waiting

    async def run(self) -> None:
        """Append what is emitted, until cancelled. Raises `LeaseLost`."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            events = self.take()
            if events:
                await self.writer.append(self.claimed.lease, self.claimed.task_id, events)
                await self.clock.sleep(self.slice_seconds)
