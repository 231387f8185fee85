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

from a2a.types.a2a_pb2 import Message, TaskState, TaskStatusUpdateEvent
from a2a.types.a2a_pb2 import Task as A2ATask

from agenthub.agents import AgentInfo
from agenthub.errors import NotFound
from agenthub.events import ENDED, Event
from agenthub.json import dumps
from agenthub.principal import Principal
from agenthub.runs import Run, Task, TaskStatus
from agenthub.service import Hub, as_ended
from agenthub_a2a.convert import state_of
from agenthub_a2a.live import MARKS, SHOWN, Live, Update, at_of

PACE_SECONDS: Final = 0.15
CHUNK_CHARACTERS: Final = 2048
HELD_SECONDS: Final = 5.0
"""How long a stream waits for a message before it begins with the task: its reader may want to cancel it."""
PAGE: Final = 1000
TERMINAL: Final[frozenset[TaskStatus]] = frozenset({"completed", "failed", "canceled"})
SETTLED: Final[frozenset[TaskStatus]] = frozenset({"input_required", *TERMINAL})

Slices = AsyncGenerator[Sequence[Event], None]


async def opened(hub: Hub, info: AgentInfo, task: Task, *, until: int | None = None) -> Live:
    """The task folded up to `until`, by default to where it stood when it was read."""
    live = await resumed(hub, info, task, task.last_seq if until is None else until)
    live.seq = max(live.seq, task.last_seq)
    live.stands(task)
    return live


async def resumed(hub: Hub, info: AgentInfo, task: Task, last: int) -> Live:
    """The task as a reader of its events had it after the one numbered `last`. What a task does not show is
    not read, however much else its agent has said and done."""
    live = Live(info, task)
    at = 0
    while at < last:
        page = await hub.streams.log.read(
            task.tenant, task.task_id, after=at, limit=PAGE, kinds=SHOWN, bare=MARKS
        )
        for event in page:
            if event.seq <= last:
                live.absorb(event)
        if len(page) < PAGE:
            break
        at = page[-1].seq
    live.seq = max(live.seq, min(last, task.last_seq))
    live.shown()
    return live


async def onwards(hub: Hub, live: Live, run: Slices) -> Slices:
    """The events of a run, and those behind it when its user is to sign in: whose answer may come from
    anywhere."""
    async with aclosing(run) as slices:
        async for slice_ in slices:
            yield slice_
    if live.state == TaskState.TASK_STATE_AUTH_REQUIRED:
        async with aclosing(hub.follow_task(live.task, after=live.seq)) as slices:
            async for slice_ in slices:
                yield slice_


async def settled(hub: Hub, who: Principal, live: Live, run: Run, slices: Slices) -> Task:
    """The task at the end of `run`, from the events alone where they tell it; as it was, when its reader
    takes a message instead and there is one."""
    async with aclosing(slices):
        async for slice_ in slices:
            for event in slice_:
                live.absorb(event)
                if live.takes_reply and live.reply is not None:
                    return live.task
                if event.kind == ENDED and event.run_id == run.run_id:
                    await _look_up_values(hub, who, live, event)
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
    """What happens from where `live` stands until the task reaches one of the states `until`. A task whose
    user is to sign in rests in none of them: it goes on by itself when that is done."""
    told_at = 0.0
    async with aclosing(_paced(slices, lambda: _due(live, told_at))) as paced:
        async for slice_ in paced:
            for event in slice_ or ():
                for update in await _told(hub, who, live, event):
                    yield update
                if rests(live, until):
                    return
            if _due(live, told_at) == 0:
                told_at = time.monotonic()
                for update in live.flush():
                    yield update
            elif slice_ is not None and not slice_:
                for update in await _overtaken(hub, who, live, until):
                    yield update
                if rests(live, until):
                    return


async def behind(
    snapshot: A2ATask, live: Live, following: AsyncGenerator[Update, None]
) -> AsyncGenerator[A2ATask | Update, None]:
    """The task and its updates; or, for a reader who takes that instead, the message that the agent begins
    with. Until it says something both are possible, but nobody is kept waiting for ever."""
    held: list[A2ATask | Update] = [snapshot]
    limit = time.monotonic() + (HELD_SECONDS if live.takes_reply else 0.0)
    async with aclosing(following):
        pending = asyncio.ensure_future(anext(following, None))
        try:
            while live.takes_reply:
                await asyncio.wait({pending}, timeout=max(0.0, limit - time.monotonic()))
                update = pending.result() if pending.done() else None
                if isinstance(update, Message):
                    yield update
                    return
                if update is None or not _begins(update):
                    break
                held.append(update)
                pending = asyncio.ensure_future(anext(following, None))
            # the reader has the task now: a message is what it says in the end
            live.takes_reply = False
            for event in held:
                yield event
            if (update := await pending) is not None:
                yield update
                async for update in following:
                    yield update
        finally:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)


def _begins(update: Update) -> bool:
    """Whether it says no more than that the agent is at work."""
    return (
        isinstance(update, TaskStatusUpdateEvent)
        and update.status.state == TaskState.TASK_STATE_WORKING
    )


def rests(live: Live, until: frozenset[TaskStatus]) -> bool:
    """Whether nothing more comes before somebody does something over this protocol."""
    return live.status in until and live.state != TaskState.TASK_STATE_AUTH_REQUIRED


async def _told(hub: Hub, who: Principal, live: Live, event: Event) -> list[Update]:
    """What an event says."""
    if event.kind == ENDED:
        await _look_up_values(hub, who, live, event)
    return live.tell(event)


async def _look_up_values(hub: Hub, who: Principal, live: Live, event: Event) -> None:
    """The output of a run that ends, where its last values passed before we came."""
    if live.values is None:
        run = await hub.run(who, event.run_id)
        live.values = None if run.output is None else dumps(run.output)


async def _overtaken(
    hub: Hub, who: Principal, live: Live, until: frozenset[TaskStatus]
) -> list[Update]:
    """Look at the task after a quiet interval: a newer input may have ended it without an event. The others
    who follow it are told to look as well: of all of them only one is told of a quiet interval."""
    try:
        task = await hub.task(who, live.task.task_id)
    except NotFound:
        hub.streams.tail.publish(live.task.task_id, ())
        # deleted: there is nothing left to say
        live.status, live.state = "canceled", TaskState.TASK_STATE_CANCELED
        return []
    if task.status not in until or task.last_seq > live.seq or state_of(task) == live.state:
        return []
    hub.streams.tail.publish(live.task.task_id, ())
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
