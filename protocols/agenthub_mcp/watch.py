"""Watching: tasks, threads and agents for those who want to hear when they change.

A watcher waits for the announcements that are made in any case, and reads the database when one says that
something changed. It looks by itself only after a long silence, in case an announcement was lost.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from agenthub.errors import HubError
from agenthub.events import ENDED, STARTED
from agenthub.ports import Following
from agenthub.principal import Principal
from agenthub.runs import Task
from agenthub.service import Hub
from agenthub_mcp.progress import steps

SILENCE_SECONDS: Final = 60.0
PACE_SECONDS: Final = 0.5
"""Steps within this time are told as one; the beginning and the end of a run are told at once."""


@dataclass(frozen=True, slots=True)
class Change:
    """A task as it stands, and the step that it has just finished, if that is the news."""

    task: Task
    step: str | None = None


async def task_changes(hub: Hub, who: Principal, task_id: UUID) -> AsyncGenerator[Change]:
    """A task now, and whenever it changed, to its end.

    Raises:
        NotFound: there is no such task, or no more.
    """
    async with hub.streams.tail.follow(task_id) as following:
        change = Change(await hub.task(who, task_id))
        while True:
            yield change
            if not change.task.open:
                return
            told_at = time.monotonic()
            step = await _news(following, told_at)
            task = change.task if step is not None else await hub.task(who, task_id)
            change = Change(task, step)


async def _news(following: Following, told_at: float) -> str | None:
    """Wait for news: a finished step, or None when the task should be looked at."""
    while True:
        arrived = await following.next(timeout=SILENCE_SECONDS)
        if arrived is None or arrived.events is None:
            return None
        if any(event.kind in (STARTED, ENDED) for event in arrived.events):
            return None
        done = [node for event in arrived.events for node in steps(event)]
        if done and time.monotonic() - told_at >= PACE_SECONDS:
            return done[-1]


async def thread_changes(hub: Hub, who: Principal, thread_id: UUID) -> AsyncGenerator[None]:
    """A thread now, and whenever its state changed, for ever. The thread is the caller's to check."""
    async with hub.streams.tail.follow(thread_id) as following:
        while True:
            yield
            run = await hub.streams.log.current_run(who.tenant, thread_id)
            if run is not None and run.open:
                async with aclosing(task_changes(hub, who, run.task_id)) as changes:
                    async for change in changes:
                        if not any(r.open for r in change.task.runs):
                            break
                        yield
            else:
                await following.next(timeout=SILENCE_SECONDS)


async def agent_changes(hub: Hub, name: str) -> AsyncGenerator[None]:
    """An agent now, and whenever it was deployed anew, for ever."""
    known: object = object()
    async for _ in hub.agents.changes():
        try:
            now: object = hub.agents.get(name)
        except HubError:
            now = None
        if now != known:
            known = now
            yield
