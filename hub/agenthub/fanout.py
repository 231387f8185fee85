"""Fan-out inside one process: what arrives from the tail goes to the followers that wait for it.

Any transport of the tail uses this: it calls `deliver`, `look` or `look_everywhere`, and the followers
do the rest. A follower that falls behind loses its backlog and reads the log instead; nobody waits
for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from agenthub.events import Event
from agenthub.ports import Slice

BACKLOG = 256
"""Slices that a follower may leave unread before they are dropped."""

PREPARED_SECONDS = 5.0
"""How long a prepared follower is waited for."""

LOOK = Slice(None)


class Follower:
    """`agenthub.ports.Following`: one reader's queue."""

    def __init__(self, *, prepared: bool = False) -> None:
        self.prepared = prepared
        self._slices: deque[Slice] = deque()
        self._arrived = asyncio.Event()

    def put(self, slice_: Slice) -> None:
        """Queue a slice; a full queue, or an order to look, replaces what is there."""
        if slice_.events is None or len(self._slices) >= BACKLOG:
            self._slices.clear()
            slice_ = LOOK
        self._slices.append(slice_)
        self._arrived.set()

    async def next(self, *, timeout: float) -> Slice | None:
        if not self._slices:
            self._arrived.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._arrived.wait()
            except TimeoutError:
                return None
        return self._slices.popleft()


class Fanout:
    """The followers and listeners of one process."""

    def __init__(self) -> None:
        self._followers: dict[UUID, set[Follower]] = {}
        self._prepared: dict[UUID, Follower] = {}
        self._listeners: dict[str, set[asyncio.Event]] = {}

    @property
    def tasks(self) -> list[UUID]:
        """The tasks that someone follows."""
        return list(self._followers)

    def prepare(self, task_id: UUID, forget: Callable[[UUID, Follower], None]) -> bool:
        """Queue slices for a follower to come; whether it is the first of its task. `forget` is
        called when nobody came."""
        if task_id in self._prepared:
            return False
        follower, first = self._add(task_id, Follower(prepared=True))
        self._prepared[task_id] = follower

        def expire() -> None:
            if self._prepared.get(task_id) is follower:
                del self._prepared[task_id]
                forget(task_id, follower)

        asyncio.get_running_loop().call_later(PREPARED_SECONDS, expire)
        return first

    def add(self, task_id: UUID) -> tuple[Follower, bool]:
        """A follower, and whether it is the first of its task: the prepared one, if there is one."""
        prepared = self._prepared.pop(task_id, None)
        return (prepared, False) if prepared is not None else self._add(task_id, Follower())

    def _add(self, task_id: UUID, follower: Follower) -> tuple[Follower, bool]:
        group = self._followers.setdefault(task_id, set())
        group.add(follower)
        return follower, len(group) == 1

    def remove(self, task_id: UUID, follower: Follower) -> bool:
        """Take a follower away; whether it was the last of its task."""
        group = self._followers[task_id]
        group.discard(follower)
        if group:
            return False
        del self._followers[task_id]
        return True

    @asynccontextmanager
    async def following(self, task_id: UUID) -> AsyncGenerator[Follower]:
        """A follower for the time of the context, where the transport needs no subscription."""
        follower, _ = self.add(task_id)
        try:
            yield follower
        finally:
            self.remove(task_id, follower)

    def deliver(self, task_id: UUID, events: Sequence[Event]) -> None:
        """Hand events to the task's followers; none means "look into the log"."""
        for follower in self._followers.get(task_id, ()):
            follower.put(Slice(events) if events else LOOK)

    def look_everywhere(self) -> None:
        """The transport lost its connection: every follower and listener looks for itself."""
        for group in self._followers.values():
            for follower in group:
                follower.put(LOOK)
        for topic in self._listeners:
            self.announce(topic)

    def announce(self, topic: str) -> None:
        """Wake the listeners of a topic."""
        for event in self._listeners.get(topic, ()):
            event.set()

    async def broadcasts(self, topic: str, *, every: float) -> AsyncIterator[None]:
        """Yield now, after each announcement, and at least `every` seconds."""
        event = asyncio.Event()
        self._listeners.setdefault(topic, set()).add(event)
        try:
            while True:
                yield
                try:
                    async with asyncio.timeout(every):
                        await event.wait()
                except TimeoutError:
                    pass
                event.clear()
        finally:
            self._listeners[topic].discard(event)
