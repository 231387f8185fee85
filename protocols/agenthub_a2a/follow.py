"""Following a task over A2A: where it stands, its updates as they come, and its next rest.

Text is coalesced per reader: a chunk leaves at once after a silence, and then at most every
`PACE_SECONDS`, or when it has grown to `CHUNK_CHARACTERS`. Leaving a stream never touches the task.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from agenthub.agents import AgentInfo
from agenthub.errors import NotFound
from agenthub.events import ENDED, Event
from agenthub.json import dumps
from agenthub.principal import Principal
from agenthub.runs import Run, Task, TaskStatus
from agenthub.service import Hub, as_ended
from agenthub_a2a.live import Live, Update, at_of

PACE_SECONDS: Final = 0.15
CHUNK_CHARACTERS: Final = 2048
PAGE: Final = 1000
TERMINAL: Final[frozenset[TaskStatus]] = frozenset({"completed", "failed", "canceled"})
SETTLED: Final[frozenset[TaskStatus]] = frozenset({"input_required", *TERMINAL})

Slices = AsyncGenerator[Sequence[Event], None]


async def opened(hub: Hub, info: AgentInfo, task: Task, *, until: int | None = None) -> Live:
    """The task folded up to `until`, by default to where it stood when it was read."""
    live = await resumed(hub, info, task, task.last_seq if until is None else until)
    live.seq = max(live.seq, task.last_seq)
    live.status = task.status
    return live


async def resumed(hub: Hub, info: AgentInfo, task: Task, last: int) -> Live:
    """The task as a reader of its events had it after the one numbered `last`."""
    live = Live(info, task)
    while live.seq < last:
        page = await hub.streams.log.read(task.tenant, task.task_id, after=live.seq, limit=PAGE)
        for event in page:
            if event.seq <= last:
                live.absorb(event)
        if len(page) < PAGE:
            break
    live.shown()
    return live


async def settled(hub: Hub, who: Principal, live: Live, run: Run, slices: Slices) -> Task:
    """The task at the end of `run`, from the events alone where they tell it."""
    async with aclosing(slices):
        async for slice_ in slices:
            for event in slice_:
                live.absorb(event)
                if event.kind == ENDED and event.run_id == run.run_id:
                    task = live.task
                    ended = as_ended(run, event, live.values)
                    return replace(
                        task,
                        status=live.status,
                        updated_at=at_of(event),
                        last_seq=event.seq,
                        runs=(*task.runs[:-1], replace(ended, attempts=max(1, run.attempts))),
                    )
    return await hub.task(who, live.task.task_id)


async def updates(
    hub: Hub, who: Principal, live: Live, slices: Slices, *, until: frozenset[TaskStatus]
) -> AsyncGenerator[Update, None]:
    """What happens from where `live` stands until the task reaches one of the states `until`."""
    told_at = 0.0
    async with aclosing(_paced(slices, lambda: _due(live, told_at))) as paced:
        async for slice_ in paced:
            for event in slice_ or ():
                for update in await _told(hub, who, live, event):
                    yield update
                if live.status in until:
                    return
            if _due(live, told_at) == 0:
                told_at = time.monotonic()
                for update in live.flush():
                    yield update
            elif slice_ is not None and not slice_:
                for update in await _overtaken(hub, who, live, until):
                    yield update
                if live.status in until:
                    return


async def _told(hub: Hub, who: Principal, live: Live, event: Event) -> list[Update]:
    """What an event says; its run's output is read where its last values passed before we came."""
    if event.kind == ENDED and live.values is None:
        run = await hub.run(who, event.run_id)
        live.values = None if run.output is None else dumps(run.output)
    return live.tell(event)


async def _overtaken(
    hub: Hub, who: Principal, live: Live, until: frozenset[TaskStatus]
) -> list[Update]:
    """Look at the task after a quiet interval: a newer input may have ended it without an event."""
    try:
        task = await hub.task(who, live.task.task_id)
    except NotFound:
        live.status = "canceled"  # deleted: there is nothing left to say
        return []
    if task.status not in until or task.last_seq > live.seq:
        return []
    return [live.overtaken(task)]


def _due(live: Live, told_at: float) -> float | None:
    """Seconds until the waiting text must leave; None when there is none."""
    if not live.unsent:
        return None
    if len(live.unsent) >= CHUNK_CHARACTERS:
        return 0.0
    return max(0.0, told_at + PACE_SECONDS - time.monotonic())


async def _paced(
    slices: Slices, due: Callable[[], float | None]
) -> AsyncGenerator[Sequence[Event] | None, None]:
    """The slices as they come, and None when `due()` seconds passed without one.

    The pending read is kept across such a pause: cancelling it would end the generator behind it.
    """
    async with aclosing(slices):
        pending = asyncio.ensure_future(anext(slices, None))
        try:
            while True:
                done, _ = await asyncio.wait({pending}, timeout=due())
                if not done:
                    yield None
                    continue
                arrived = pending.result()
                if arrived is None:
                    return
                yield arrived
                pending = asyncio.ensure_future(anext(slices, None))
        finally:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)
