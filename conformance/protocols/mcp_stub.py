"""A hub with nothing behind it, for what the real one does too rarely to wait for, and a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import uvicorn
from starlette.applications import Starlette

from agenthub.agents import AgentInfo
from agenthub.catalogue import Agents
from agenthub.events import ENDED, VALUES, Event, ended
from agenthub.ids import new_id
from agenthub.interrupts import Interrupt
from agenthub.json import Json, dumps
from agenthub.ports import Deployed
from agenthub.principal import ANONYMOUS, Principal
from agenthub.runs import Run, Task, task_status
from agenthub.service import Hub, Start
from agenthub.stream import Streams
from agenthub_mcp import Mcp
from testkit.processes import free_port
from testkit.sessions import MemorySessions, MemoryTail
from testkit.waiting import eventually


@dataclass
class StubHub:
    """`agenthub.service.Hub` with one task and whatever outcome the test sets."""

    deployed_now: list[Deployed] = field(
        default_factory=lambda: [Deployed(info=AgentInfo(name="agent", description="An agent."))]
    )
    outcome: Json = None
    asks: tuple[Interrupt, ...] = ()
    error: Exception | None = None
    creating: asyncio.Event = field(default_factory=asyncio.Event)
    finish: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    on_resume: Callable[[], Awaitable[Run]] | None = None
    runs: list[Run] = field(default_factory=list[Run])

    def __post_init__(self) -> None:
        self.agents = Agents(cast("Any", self), cast("Any", None), tenant="default")
        self.sessions = MemorySessions()
        self.archive = self
        self.streams = Streams(cast("Any", None), MemoryTail(), poll_seconds=1.0)
        self.creating.set()
        self.finish.set()

    async def ttl(self, tenant: str, thread_id: UUID) -> None:
        """Every thread is kept."""

    async def deployed(self, tenant: str) -> Sequence[Deployed]:
        return self.deployed_now

    async def start(self, who: Principal, start: Start) -> Run:
        await self.creating.wait()
        if self.error is not None:
            raise self.error
        return self.new_run()

    def new_run(self) -> Run:
        now = datetime.now(UTC)
        id = new_id()
        run = Run(
            tenant=ANONYMOUS.tenant,
            run_id=id,
            thread_id=id,
            task_id=self.runs[0].run_id if self.runs else id,
            agent="agent",
            kind="input",
            status="pending",
            created_at=now,
            updated_at=now,
        )
        self.runs.append(run)
        return run

    async def follow_run(self, run: Run) -> AsyncGenerator[Sequence[Event]]:
        await self.finish.wait()
        values = Event(1, run.run_id, VALUES, dumps(self.outcome))
        asked = [i.public() for i in self.asks]
        end = Event(2, run.run_id, ENDED, ended(run.run_id, "success", interrupts=asked))
        self.runs[-1] = replace(run, status="success", interrupts=self.asks, output=self.outcome)
        yield [values, end]

    async def run(self, who: Principal, run_id: UUID) -> Run:
        return next(r for r in self.runs if r.run_id == run_id)

    async def task(self, who: Principal, task_id: UUID) -> Task:
        last = self.runs[-1]
        standing = task_status(last.status, last.interrupts)
        return Task(
            tenant=last.tenant,
            task_id=task_id,
            thread_id=last.thread_id,
            agent=last.agent,
            status=standing,
            subject=last.subject,
            created_at=last.created_at,
            updated_at=last.updated_at,
            last_seq=2,
            runs=tuple(self.runs),
        )

    async def resume_task(self, who: Principal, task_id: UUID, answer: Json, **_: Any) -> Run:
        if self.on_resume is not None:
            return await self.on_resume()
        self.asks = ()
        return self.new_run()

    async def made_by(self, who: Principal, key: str) -> Run | None:
        return self.runs[-1] if self.runs else None

    async def cancel_task(self, who: Principal, task_id: UUID, *, reason: str) -> None:
        self.cancelled.set()


@asynccontextmanager
async def serving(stub: StubHub, **options: Any) -> AsyncGenerator[str]:
    """The MCP surface over a stub, on a port of its own."""
    await stub.agents.refresh()
    options = {"principal": lambda _: ANONYMOUS, "state_keys": [b"k" * 32], **options}
    mcp = Mcp(cast("Hub", stub), **options)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with mcp.running():
            yield

    port = free_port()
    config = uvicorn.Config(
        Starlette(routes=list(mcp.routes), lifespan=lifespan),
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    server = Server(config)
    running = asyncio.create_task(server.serve())
    try:
        await eventually(lambda: server.started or running.done())
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await running


class Server(uvicorn.Server):
    """uvicorn inside pytest, which keeps its signals to itself."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield
