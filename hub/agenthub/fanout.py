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


class Group:
    """The followers of one task. After a quiet interval one of them looks into the log for all: what they
    cost does not grow with their number."""

    def __init__(self) -> None:
        self.members: set[Follower] = set()
        self._heard_at = _now()

    def heard(self) -> None:
        """Something arrived, or somebody looks: the interval begins anew."""
        self._heard_at = _now()

    def quiet_in(self, interval: float) -> float:
        """Seconds until the interval is over."""
        return max(0.0, self._heard_at + interval - _now())


class Follower:
    """`agenthub.ports.Following`: one reader's queue."""

    def __init__(self, group: Group, *, prepared: bool = False) -> None:
        self.prepared = prepared
        self._group = group
        self._slices: deque[Slice] = deque()
        self._arrived = asyncio.Event()
        group.members.add(self)

    def put(self, slice_: Slice) -> None:
        """Queue a slice; a full queue, or an order to look, replaces what is there."""
        if slice_.events is None or len(self._slices) >= BACKLOG:
            self._slices.clear()
            slice_ = LOOK
        self._slices.append(slice_)
        self._arrived.set()

    async def next(self, *, timeout: float) -> Slice | None:
        while not self._slices:
            self._arrived.clear()
            try:
                async with asyncio.timeout(self._group.quiet_in(timeout)):
                    await self._arrived.wait()
            except TimeoutError:
                if self._slices or self._group.quiet_in(timeout):
                    continue
                self._group.heard()
                return None
        return self._slices.popleft()

    def share(self, events: Sequence[Event]) -> None:
        for other in self._group.members - {self}:
            other.put(Slice(events))


def _now() -> float:
    return asyncio.get_running_loop().time()


class Fanout:
    """The followers and listeners of one process."""

    def __init__(self) -> None:
        self._groups: dict[UUID, Group] = {}
        self._prepared: dict[UUID, Follower] = {}
        self._listeners: dict[str, set[asyncio.Event]] = {}

    @property
    def tasks(self) -> list[UUID]:
        """The tasks that someone follows."""
        return list(self._groups)

    def prepare(self, task_id: UUID, forget: Callable[[UUID, Follower], None]) -> bool:
        """Queue slices for a follower to come; whether it is the first of its task. `forget` is
        called when nobody came."""
        if task_id in self._prepared:
            return False
        follower, first = self._add(task_id, prepared=True)
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
        return (prepared, False) if prepared is not None else self._add(task_id)

    def _add(self, task_id: UUID, *, prepared: bool = False) -> tuple[Follower, bool]:
        group = self._groups.get(task_id)
        first = group is None
        if group is None:
            group = self._groups[task_id] = Group()
        return Follower(group, prepared=prepared), first

    def remove(self, task_id: UUID, follower: Follower) -> bool:
        """Take a follower away; whether it was the last of its task."""
        group = self._groups[task_id]
        group.members.discard(follower)
        if group.members:
            return False
        del self._groups[task_id]
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
        group = self._groups.get(task_id)
        if group is not None:
            group.heard()
            for follower in group.members:
                follower.put(Slice(events) if events else LOOK)

    def look_everywhere(self) -> None:
        """The transport lost its connection: every follower and listener looks for itself."""
        for group in self._groups.values():
            for follower in group.members:
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
