"""Following a thread by the event-streaming protocol: one order, whoever reads and from wherever.

A reader who names no `since` sees the run that is open, or else the last one, from its first event: so a
client that comes a moment after its `run.start` misses nothing, and an old conversation is not replayed.
`since: 0` is its beginning.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from uuid import UUID

from agenthub.errors import NotFound
from agenthub.events import ENDED
from agenthub.principal import Principal
from agenthub.runs import Run
from agenthub.service import Hub
from agenthub.thread_stream import ThreadPosition, present
from agenthub_rest.protocol_events import (
    Filter,
    Namespace,
    ProtocolEvent,
    Rendering,
    instant,
    microseconds,
)


async def follow(
    hub: Hub, who: Principal, thread_id: UUID, wanted: Filter, *, since: int | None
) -> AsyncGenerator[ProtocolEvent, None]:
    """The events that a subscription asks for, for ever; the caller stops. The thread exists."""
    after = await _start(hub, who, thread_id, since)
    rendering: Rendering | None = None
    slices = hub.follow_thread(who, thread_id, after=after)
    async with aclosing(slices) as found:
        async for slice_ in found:
            # a state update is nothing that an agent did
            if slice_.run is None or not slice_.events or slice_.run.kind == "update":
                continue
            if rendering is None or rendering.run.run_id != slice_.run.run_id:
                try:
                    rendering = await begin(hub, who, slice_.run)
                except NotFound:  # it was deleted this moment
                    continue
            for event in rendering.render(slice_.events):
                if (since is None or event.seq > since) and wanted.matches(event):
                    yield event


async def begin(hub: Hub, who: Principal, run: Run) -> Rendering:
    """The rendering of a run that has begun."""
    if run.started_at is None:
        run = await hub.run(who, run.run_id)
    assert run.started_at is not None, "a run that has events was begun"
    return Rendering(run, microseconds(run.started_at))


async def graphs_of(hub: Hub, who: Principal, run: Run) -> Mapping[Namespace, str]:
    """How the graphs of a run stand by what is recorded now; none before it has begun."""
    after, rendering = run.after_seq, None
    while page := await hub.streams.log.read(run.tenant, run.task_id, after=after):
        after = page[-1].seq
        mine = [event for event in page if event.run_id == run.run_id]
        if not mine:
            continue
        rendering = rendering or await begin(hub, who, run)
        for _ in rendering.render(mine):
            pass
        if mine[-1].kind == ENDED:
            break
    return {} if rendering is None else rendering.graphs


async def _start(
    hub: Hub, who: Principal, thread_id: UUID, since: int | None
) -> ThreadPosition | None:
    if since == 0:
        return None
    if since is None:
        return await present(hub.streams, who.tenant, thread_id, replay=True)
    run = await hub.streams.log.current_run(who.tenant, thread_id, at=instant(since))
    # from its first event: what a message says depends on what was said of it before
    return None if run is None else ThreadPosition(run, run.after_seq)
