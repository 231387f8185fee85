"""Updating a thread's state: the server asks, a worker does it, within milliseconds.

Only the graph knows its reducers and what comes next, and the server has no graphs. So an update is a
run of kind `update`: claimed before anything else, fenced like every run, shown in no list of runs and
belonging to no task. One that is refused leaves the thread as it was, its open questions included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING
from uuid import UUID

from agenthub.errors import AgentFailed, Conflict, Invalid, NotFound, Unavailable
from agenthub.events import CHECKPOINTS
from agenthub.ids import new_id
from agenthub.ports import NewRun
from agenthub.principal import Principal
from agenthub.runs import Run, RunRequest
from agenthub.threads import StateUpdate, ThreadState

if TYPE_CHECKING:
    from agenthub.service import Hub

PRIORITY = 100
"""Above any priority that a caller may give: somebody waits for it."""
PATIENCE_SECONDS = 30.0
REFUSALS = frozenset({"InvalidUpdateError", "ValidationError"})


async def update_state(
    hub: Hub,
    who: Principal,
    thread_id: UUID,
    updates: Sequence[Sequence[StateUpdate]],
    *,
    checkpoint_id: str | None,
    ns: str,
    agent: str | None,
) -> ThreadState:
    """See `Hub.update_state`."""
    thread = await hub.thread(who, thread_id)
    named = thread.agent or agent or thread.metadata.get("graph_id")
    if named is None:
        raise Conflict(
            f"thread {str(thread_id)!r} belongs to no agent yet: run one on it, or create it with "
            "`graph_id` in its metadata"
        )
    if not updates or not all(updates):
        raise Invalid("a state update needs at least one superstep with at least one update")
    if checkpoint_id is not None:
        await hub.state(who, thread_id, checkpoint_id, ns=ns)
    new = NewRun(
        tenant=who.tenant,
        run_id=new_id(),
        thread_id=thread_id,
        agent=hub.agents.get(agent or str(named)).name,
        kind="update",
        request=RunRequest(
            updates=[[asdict(one) for one in step] for step in updates],
            checkpoint_id=checkpoint_id,
            checkpoint_ns=ns,
            durability="sync",
        ),
        subject=who.subject,
        multitask="reject",
        priority=PRIORITY,
    )
    hub.streams.tail.prepare(new.run_id)
    made = await _made(hub, who, await hub.enqueue(new))
    if thread.open_task is not None and not (await hub.thread(who, thread_id)).interrupts:
        # the question is behind the new checkpoint; its task ends, and its followers learn of it
        await hub.close_task(who, thread.open_task, reason="superseded by a state update")
    return await hub.state(who, thread_id, made, ns=ns)


async def _made(hub: Hub, who: Principal, run: Run) -> str:
    """The checkpoint that an update came to."""
    made: str | None = None
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), aclosing(hub.follow_run(run)) as slices:
            async for slice_ in slices:
                for event in slice_:
                    if event.kind == CHECKPOINTS:
                        made = event.json()["config"]["configurable"]["checkpoint_id"]
    except TimeoutError:
        with suppress(NotFound):
            await hub.cancel_run(who, run.run_id, reason="no worker took it in time")
        raise Unavailable(
            f"no worker made the update within {PATIENCE_SECONDS:g} s; it was withdrawn"
        ) from None
    if made is not None:
        return made
    error = (await hub.run(who, run.run_id)).error or {}
    message = str(error.get("message") or "the update was not made")
    if error.get("error") in REFUSALS:
        raise Invalid(message)
    raise AgentFailed(message)
