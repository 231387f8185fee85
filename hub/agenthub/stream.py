"""Streams: follow a task's events from any point, on any replica, without a gap or a repeat.

The log is the truth and the tail is a short cut. A slice from the tail counts only when it continues
exactly where the reader stands; anything else (a gap, a restart of Redis, a lost message) sends the
reader to the log. A reader never slows the worker: it only ever reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from uuid import UUID

from agenthub.events import ENDED, Event
from agenthub.ports import EventLog, Tail

PAGE = 1000
"""Events read from the log at a time."""


class Streams:
    """Follows tasks. `poll_seconds` is the safety net under lost wake-ups, not the pace."""

    def __init__(self, log: EventLog, tail: Tail, *, poll_seconds: float) -> None:
        self.log = log
        self.tail = tail
        self.poll_seconds = poll_seconds

    async def follow(
        self, tenant: str, task_id: UUID, *, after: int = 0, replay: bool = True
    ) -> AsyncGenerator[Sequence[Event], None]:
        """Yield slices of events with `seq > after`, for ever; the caller stops.

        An empty slice is yielded after each quiet poll interval, to one of those who follow the task in
        this process, and to all when something was announced that left no event, so that callers can look
        at the run; one who finds what the others should see announces it.
        `replay=False` says that nothing was in the log after `after` when the tail was prepared for
        this follower, which spares the first read.
        """
        async with self.tail.follow(task_id) as following:
            look, announced, for_all = replay or not following.prepared, False, False
            while True:
                while look:
                    page = await self.log.read(tenant, task_id, after=after, limit=PAGE)
                    if page:
                        after = page[-1].seq
                        if for_all:
                            following.share(page)
                        yield page
                    elif announced:
                        # something changed that is not an event: let the caller look at the run
                        yield ()
                    look, announced = len(page) == PAGE, False
                arrived = await following.next(timeout=self.poll_seconds)
                for_all = arrived is None
                if arrived is None:
                    look = True
                    yield ()
                    continue
                if arrived.events is None:
                    look = announced = True
                    continue
                fresh = [e for e in arrived.events if e.seq > after]
                if not fresh:
                    continue
                if fresh[0].seq != after + 1:
                    look = True
                    continue
                after = fresh[-1].seq
                yield fresh

    async def run_events(
        self,
        tenant: str,
        task_id: UUID,
        run_id: UUID,
        *,
        after: int = 0,
        replay: bool = True,
    ) -> AsyncGenerator[Sequence[Event], None]:
        """The slices of one run, ending with the slice that holds its `ended` event. An empty one comes at
        least at every poll interval, so that the caller can look at the run: while another run of its task
        streams, a run that was cancelled in line ends without an event."""
        now = asyncio.get_running_loop().time
        looked = now()
        async with aclosing(self.follow(tenant, task_id, after=after, replay=replay)) as slices:
            async for slice_ in slices:
                mine = [e for e in slice_ if e.run_id == run_id]
                if mine or not slice_ or now() - looked >= self.poll_seconds:
                    looked = now()
                    yield mine
                if any(e.kind == ENDED for e in mine):
                    return
