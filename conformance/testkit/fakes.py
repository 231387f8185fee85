"""Stand-ins for the ports, for tests of the code that uses them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from agenthub.events import Event
from agenthub.ids import new_id
from agenthub.json import JsonObject
from agenthub.ports import Claimed, Finish, Lease, Renewal
from agenthub.runs import RunRequest

AGENT = "a"


def claimed(agent: str = AGENT, **changes: Any) -> Claimed:
    """A claim of a first run on a fresh thread."""
    run_id = new_id()
    made = Claimed(
        lease=Lease("default", run_id, 1),
        thread_id=new_id(),
        task_id=run_id,
        agent=agent,
        kind="input",
        request=RunRequest(input={}),
        subject="anonymous",
        metadata={},
        last_seq=0,
        has_state=False,
        created_at=datetime.now(UTC),
    )
    return replace(made, **changes)


Answer = Callable[[], Awaitable[None]]


async def at_once() -> None:
    """A database that takes no time."""


@dataclass(slots=True)
class FakeQueue:
    """A queue of prepared claims. `ask_*` runs before an answer: it may wait, or raise."""

    waiting: list[Claimed] = field(default_factory=list)
    held: set[Lease] = field(default_factory=set)
    cancels: dict[Lease, Any] = field(default_factory=dict)
    promoted: list[str] = field(default_factory=list)
    ask_claim: Answer = at_once
    ask_renew: Answer = at_once
    ask_reap: Answer = at_once
    limits: list[int] = field(default_factory=list)
    rooms: list[list[int]] = field(default_factory=list)
    renewed: list[list[Lease]] = field(default_factory=list)
    released: list[Lease] = field(default_factory=list)
    retried: list[tuple[timedelta, JsonObject]] = field(default_factory=list)
    reaped: int = 0

    async def claim(
        self,
        *,
        worker_id: str,
        agents: Sequence[str],
        limit: int,
        suspects: Sequence[int],
        lease: timedelta,
    ) -> Sequence[Claimed]:
        self.limits.append(limit)
        self.rooms.append(list(suspects))
        await self.ask_claim()
        taken = [one for one in self.waiting if suspects or not one.failures][:limit]
        self.waiting = [one for one in self.waiting if one not in taken]
        self.held |= {one.lease for one in taken}
        return taken

    async def renew(self, leases: Sequence[Lease], *, lease: timedelta) -> Sequence[Renewal]:
        self.renewed.append(list(leases))
        await self.ask_renew()
        return [Renewal(one, self.cancels.get(one)) for one in leases if one in self.held]

    async def release(self, leases: Sequence[Lease]) -> None:
        self.released += leases
        self.held -= set(leases)

    async def retry(self, lease: Lease, *, after: timedelta, error: JsonObject) -> bool:
        self.retried.append((after, error))
        self.held.discard(lease)
        return True

    async def reap(self, *, limit: int, max_failures: int) -> Sequence[str]:
        self.reaped += 1
        await self.ask_reap()
        promoted, self.promoted = self.promoted, []
        return promoted

    async def tidy(self, *, ephemeral_ttl: timedelta) -> Sequence[str]:
        return ()


@dataclass(slots=True)
class FakeWriter:
    """A writer that keeps what it is given. `ask` runs before a write is done; a write that was
    begun is done, whoever waits for it."""

    ask: Answer = at_once
    ask_finish: Answer = at_once
    slices: list[list[Event]] = field(default_factory=list)
    finished: list[Finish] = field(default_factory=list)
    promotes: list[str] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)

    @property
    def events(self) -> list[Event]:
        return [event for slice_ in self.slices for event in slice_]

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    @property
    def seqs(self) -> list[int]:
        return [event.seq for event in self.events]

    def append(self, lease: Lease, task_id: UUID, events: Sequence[Event]) -> Any:
        async def write() -> Sequence[str]:
            await self.ask()
            self._keep(events)
            return ()

        return asyncio.shield(asyncio.ensure_future(write()))

    def finish(self, claimed: Claimed, finish: Finish, events: Sequence[Event]) -> Any:
        async def write() -> Sequence[str]:
            await self.ask_finish()
            self._keep(events)
            self.finished.append(finish)
            return self.promotes

        return asyncio.shield(asyncio.ensure_future(write()))

    def _keep(self, events: Sequence[Event]) -> None:
        self.slices.append(list(events))
        self.moments.append(asyncio.get_running_loop().time() - 1000.0)

    def put_checkpoint(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def put_writes(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def put_view(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


@dataclass(slots=True)
class FakeDoorbell:
    """A doorbell within one process."""

    rung: list[str] = field(default_factory=list)
    bells: dict[str, asyncio.Event] = field(default_factory=dict)

    async def ring(self, topics: Iterable[str]) -> None:
        for topic in topics:
            self.rung.append(topic)
            self.bells.setdefault(topic, asyncio.Event()).set()

    async def wait(self, topics: Sequence[str], *, timeout: float) -> None:
        bells = [self.bells.setdefault(topic, asyncio.Event()) for topic in topics]
        waits = [asyncio.ensure_future(bell.wait()) for bell in bells]
        try:
            await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        for bell in bells:
            bell.clear()
