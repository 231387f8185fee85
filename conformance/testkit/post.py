"""Deliveries under test: an outbox whose time a test owns, and receivers that do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from agenthub.deliveries import Delivery, Letter
from agenthub.dispatcher import Dispatcher
from agenthub.ids import new_id
from agenthub.outbound import Reply
from agenthub.signing import Signer
from agenthub_postgres.outbox import PostgresOutbox
from testkit.core import Core
from testkit.fakes import FakeDoorbell

SECRET = bytes(range(32))


@dataclass(slots=True)
class Time:
    """The clock of the database and of the process, moved by the test."""

    now: datetime = datetime(2026, 6, 1, 12, tzinfo=UTC)

    def passes(self, **by: float) -> None:
        self.now += timedelta(**by)

    def monotonic(self) -> float:
        return self.now.timestamp()

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


@dataclass(slots=True)
class Receivers:
    """Endpoints. `answer` decides on a URL: a reply, or an error to raise."""

    answer: Callable[[str], Any] = lambda _: Reply(200)
    hang: set[str] = field(default_factory=set)
    calls: list[tuple[str, bytes]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        self.calls.append((url, body))
        self.headers.append(headers)
        if url in self.hang:
            await asyncio.Event().wait()
        answer = self.answer(url)
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass(slots=True)
class Post:
    """An outbox, receivers, and as many dispatchers as a test wants."""

    core: Core
    time: Time = field(default_factory=Time)
    at: Receivers = field(default_factory=Receivers)
    bell: FakeDoorbell = field(default_factory=FakeDoorbell)
    written: list[UUID] = field(default_factory=list)

    @property
    def outbox(self) -> PostgresOutbox:
        return PostgresOutbox(self.core.db, clock=lambda: self.time.now)

    def dispatcher(self, **changes: Any) -> Dispatcher:
        values: dict[str, Any] = {
            "outbox": self.outbox,
            "sender": self.at,
            "signer": Signer([SECRET]),
            "letters": {"run": self.letter},
            "doorbell": self.bell,
            "clock": self.time,
            "tenant": "default",
            "poll_seconds": 3600.0,
            "chance": lambda: 0.5,
            **changes,
        }
        return Dispatcher(**values)

    async def letter(self, delivery: Delivery) -> Letter | None:
        if delivery.payload is not None:
            return Letter(delivery.payload)
        self.written.append(delivery.delivery_id)
        return Letter(b'{"run":1}')

    async def put(
        self, url: str = "https://a.test/hook", *, order_key: str | None = None, count: int = 1
    ) -> list[UUID]:
        """Deliveries that are due now."""
        ids = [new_id() for _ in range(count)]
        host = url.split("/")[2]
        await self.core.db.pool.executemany(
            """insert into outbox (tenant_id, delivery_id, kind, run_id, target, host, order_key,
                                   available_at, created_at, give_up_at)
               values ('default', $1, 'run', $1, $2, $3, $4, $5, $5, $6)""",
            [
                (i, url, host, order_key, self.time.now, self.time.now + timedelta(days=1))
                for i in ids
            ],
        )
        return ids

    async def round(self, dispatcher: Dispatcher) -> None:
        """Claim once, and wait for the attempts."""
        async with asyncio.TaskGroup() as group:
            await dispatcher.claim(group)

    @asynccontextmanager
    async def sending(self, dispatcher: Dispatcher) -> AsyncGenerator[asyncio.TaskGroup]:
        """Claim once; what hangs at the end of the block is cancelled."""
        async with asyncio.TaskGroup() as group:
            await dispatcher.claim(group)
            yield group
            for attempt in dispatcher._attempts:
                attempt.cancel()

    async def get(self, delivery_id: UUID) -> Delivery:
        found = await self.outbox.get("default", delivery_id)
        assert found is not None
        return found

    async def states(self) -> list[str]:
        rows = await self.core.rows("select state from outbox order by delivery_id")
        return [row["state"] for row in rows]
