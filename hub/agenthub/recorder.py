"""The recorder: an attempt's events, numbered, and committed in slices.

The first token or custom event goes out at once; then whatever arose while the last slice was being
committed, at most every `slice_seconds`. Other events, whole messages too, wait that long for company, so
that a short run has one commit, its finish, and not two. `emit` never waits, so an agent is never slowed by
the log, except by `MOST_WAITING`, which bounds the memory that a fast agent can fill.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from agenthub.clock import Clock
from agenthub.events import CUSTOM, EMITTED, MESSAGES, Event
from agenthub.ports import Claimed, LeaseWriter

MOST_WAITING = 10_000
TURN_EVERY = 32
"""Events after which the agent's task steps back once."""
TURNS_TO_SEND = 3
"""Rounds of the event loop from an emitted event to bytes on the database's socket."""
URGENT = frozenset({CUSTOM, EMITTED, MESSAGES})
"""What a person watches arriving."""


class Recorder:
    """Assigns `seq` and appends. `run` must be running while events are emitted."""

    def __init__(
        self, claimed: Claimed, writer: LeaseWriter, clock: Clock, *, slice_seconds: float
    ) -> None:
        self.claimed = claimed
        self.writer = writer
        self.clock = clock
        self.slice_seconds = slice_seconds
        self.cancelled = False
        """Someone wants the run to end; it does not go on elsewhere."""
        self._seq = claimed.last_seq
        self._waiting: list[Event] = []
        self._arrived = asyncio.Event()
        self._urgent = asyncio.Event()
        self._begun = False
        self._room = asyncio.Event()
        self._room.set()

    @property
    def run_id(self) -> UUID:
        return self.claimed.lease.run_id

    def emit(self, kind: str, data: bytes, ns: str = "", *, whole: bool = False) -> None:
        """Record an event; returns at once. `whole`: a message that comes in one piece, which nobody watches
        growing."""
        self._seq += 1
        self._waiting.append(Event(self._seq, self.run_id, kind, data, ns))
        self._arrived.set()
        if kind in URGENT and not whole:
            self._urgent.set()
        if len(self._waiting) >= MOST_WAITING:
            self._room.clear()

    async def room(self) -> None:
        """Wait while too much is waiting to be committed, and let others have their turn: an agent
        that emits without ever waiting would keep its first event from leaving."""
        await self._room.wait()
        if self._urgent.is_set() and not self._begun:
            self._begun = True
            for _ in range(TURNS_TO_SEND):
                await asyncio.sleep(0)
        elif self._seq % TURN_EVERY == 0:
            await asyncio.sleep(0)

    def take(self) -> list[Event]:
        """What is not committed yet, for the finish to carry."""
        waiting, self._waiting = self._waiting, []
        self._room.set()
        return waiting

    def rewind(self, events: Sequence[Event]) -> None:
        """Give back the numbers of events that were taken and then not stored."""
        if events:
            self._seq = events[0].seq - 1

    async def run(self) -> None:
        """Append what is emitted, until cancelled. Raises `LeaseLost`."""
        while True:
            await self._arrived.wait()
            if not self._urgent.is_set():
                await self._company()
            self._arrived.clear()
            self._urgent.clear()
            events = self.take()
            if events:
                await self.writer.append(self.claimed.lease, self.claimed.task_id, events)
                await self.clock.sleep(self.slice_seconds)

    async def _company(self) -> None:
        """Wait for an urgent event, or until the others have waited long enough."""
        # a bare timer: every run waits here once, and a timeout's task machinery costs several times as much
        timer = asyncio.get_running_loop().call_later(self.slice_seconds, self._urgent.set)
        try:
            await self._urgent.wait()
        finally:
            timer.cancel()
