"""Thread streams: everything that happens on a thread, run after run, from any point, on any replica.

A thread executes one run at a time, so its stream is its runs' streams, in the order in which they were
begun. A place in it is a place in a run: nothing is counted across runs, and reading on costs the same
however long the thread is. Between two runs a follower waits for the announcement of the next.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from agenthub.events import STARTED, Event
from agenthub.runs import Run
from agenthub.stream import Streams


@dataclass(frozen=True, slots=True)
class ThreadPosition:
    """Behind event `seq` of this run's task."""

    run: Run
    seq: int


@dataclass(frozen=True, slots=True)
class ThreadSlice:
    """Consecutive events of one run, as it stood when it was found; none in a quiet interval."""

    run: Run | None
    events: Sequence[Event] = ()


BEHIND_ITS_END = (1 << 63) - 1
NEVER = datetime.max.replace(tzinfo=UTC)

RunEvents = Callable[[Run, int], AsyncGenerator[Sequence[Event], None]]
"""The events of a run behind a `seq`, to its end."""


async def present(
    streams: Streams, tenant: str, thread_id: UUID, *, replay: bool
) -> ThreadPosition | None:
    """Where one stands who asks for nothing that is over: before the open run, or behind the last one;
    with `replay` before that too. None: at the beginning."""
    run = await streams.log.current_run(tenant, thread_id)
    if run is None:
        return None
    if run.started_at is None:
        # it may be cancelled before it has a place in the order, so what counts is the one before it
        head, run = run, await streams.log.current_run(tenant, thread_id, at=NEVER)
        if run is None:
            return None
        replay = run.run_id == head.run_id
    return ThreadPosition(run, run.after_seq if run.open or replay else BEHIND_ITS_END)


async def follow(
    streams: Streams,
    run_events: RunEvents,
    tenant: str,
    thread_id: UUID,
    *,
    after: ThreadPosition | None,
) -> AsyncGenerator[ThreadSlice, None]:
    """Yield a thread's slices, for ever; the caller stops."""
    async with streams.tail.follow(thread_id) as following:
        last = None if after is None else after.run
        if after is not None:
            async with aclosing(run_events(after.run, after.seq)) as slices:
                async for slice_ in slices:
                    yield ThreadSlice(after.run, slice_)
        for_all = False
        while True:
            run = await streams.log.next_run(tenant, thread_id, after=last)
            if run is None:
                for_all = await following.next(timeout=streams.poll_seconds) is None
                if for_all:
                    yield ThreadSlice(None)
                continue
            if for_all:
                # the others have not heard of it either
                following.share(())
            begun = run.started_at is not None
            async with aclosing(run_events(run, run.after_seq)) as slices:
                async for slice_ in slices:
                    begun = begun or any(event.kind == STARTED for event in slice_)
                    # one that is cancelled in line has no place in the order, and so no events here
                    yield ThreadSlice(run, slice_ if begun else ())
            if begun:
                last = run
