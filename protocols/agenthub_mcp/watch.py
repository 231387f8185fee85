"""Watching: tasks, threads and agents for those who want to hear when they change.

A watcher waits for the announcements that are made in any case, and reads the database when one says that
something changed. It looks by itself only after a long silence, in case an announcement was lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from agenthub.errors import HubError
from agenthub.events import ENDED, STARTED
from agenthub.ports import Following, Slice
from agenthub.principal import Principal
from agenthub.runs import Run, Task
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


async def task_changes(hub: Hub, who: Principal, of: Run | Task) -> AsyncGenerator[Change]:
    """A task, or that of a run, now and whenever it changed, to its end.

    Raises:
        NotFound: there is no such task, or no more.
    """
    tail = hub.streams.tail
    async with (
        tail.follow(of.task_id) as following,
        # a new input closes a task that waits without knowing it, and is announced on the thread alone
        tail.follow(of.thread_id) as thread,
        aclosing(_News(following, thread)) as news,
    ):
        change = Change(await hub.task(who, of.task_id))
        while True:
            yield change
            if not change.task.open:
                return
            step = await news.next(time.monotonic())
            task = change.task if step is not None else await hub.task(who, of.task_id)
            change = Change(task, step)


class _News:
    """What a task's followers hear, of it and of its thread."""

    def __init__(self, following: Following, thread: Following) -> None:
        self._following = following
        self._thread = thread
        self._task_news = _next(following)
        self._thread_news = _next(thread)

    async def next(self, told_at: float) -> str | None:
        """Wait for news: a finished step, or None when the task should be looked at."""
        while True:
            waiting = (self._task_news, self._thread_news)
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if self._thread_news.done():
                told = self._thread_news.result()
                self._thread_news = _next(self._thread)
                if told is not None:
                    return None
                continue
            arrived = self._task_news.result()
            self._task_news = _next(self._following)
            if arrived is None or arrived.events is None:
                return None
            if any(event.kind in (STARTED, ENDED) for event in arrived.events):
                return None
            done = [node for event in arrived.events for node in steps(event)]
            if done and time.monotonic() - told_at >= PACE_SECONDS:
                return done[-1]

    async def aclose(self) -> None:
        """Hear no more."""
        waiting = (self._task_news, self._thread_news)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def _next(following: Following) -> asyncio.Future[Slice | None]:
    return asyncio.ensure_future(following.next(timeout=SILENCE_SECONDS))


async def thread_changes(hub: Hub, who: Principal, thread_id: UUID) -> AsyncGenerator[None]:
    """A thread now, and whenever its state changed, for ever. The thread is the caller's to check."""
    async with hub.streams.tail.follow(thread_id) as following:
        while True:
            yield
            run = await hub.streams.log.current_run(who.tenant, thread_id)
            if run is not None and run.open:
                async with aclosing(task_changes(hub, who, run)) as changes:
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
