"""The durable core on a real database, with the few verbs that its tests speak."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from asyncpg import Record

from agenthub.events import ENDED, Event, ended
from agenthub.ids import new_id
from agenthub.interrupts import Interrupt
from agenthub.ports import CheckpointRow, Claimed, Finish, Lease, NewRun
from agenthub.runs import CancelAction, Multitask, Run, RunRequest, RunStatus, Task
from agenthub.threads import Thread
from agenthub_postgres.checkpoints import PostgresCheckpoints
from agenthub_postgres.database import Database, open_database
from agenthub_postgres.events import PostgresEventLog
from agenthub_postgres.queue import PostgresQueue
from agenthub_postgres.runs import PostgresRuns
from agenthub_postgres.threads import PostgresThreads
from agenthub_postgres.writer import GroupWriter

LEASE = timedelta(seconds=60)
AGENT = "a"


@dataclass(slots=True)
class NullTail:
    """A tail that nobody follows; it remembers what it was given."""

    published: list[tuple[UUID, Sequence[Event]]] = field(default_factory=list)

    def publish(self, task_id: UUID, events: Sequence[Event]) -> None:
        self.published.append((task_id, events))

    def follow(self, task_id: UUID) -> Any:
        raise NotImplementedError

    def broadcasts(self, topic: str) -> Any:
        raise NotImplementedError

    def announce(self, topic: str) -> None:
        """Nobody listens."""


@dataclass(slots=True)
class Core:
    """Every store of one tenant, and the verbs."""

    db: Database
    writer: GroupWriter
    tail: NullTail
    tenant: str = "default"

    @property
    def runs(self) -> PostgresRuns:
        return PostgresRuns(self.db)

    @property
    def queue(self) -> PostgresQueue:
        return PostgresQueue(self.db, self.tenant)

    @property
    def threads(self) -> PostgresThreads:
        return PostgresThreads(self.db)

    @property
    def log(self) -> PostgresEventLog:
        return PostgresEventLog(self.db)

    @property
    def checkpoints(self) -> PostgresCheckpoints:
        return PostgresCheckpoints(self.db)

    # --- what a client does ---------------------------------------------------------------------

    def new_run(self, thread_id: UUID | None = None, **changes: Any) -> NewRun:
        values: dict[str, Any] = {
            "tenant": self.tenant,
            "run_id": new_id(),
            "thread_id": thread_id or new_id(),
            "agent": AGENT,
            "kind": "input",
            "request": RunRequest(input={"n": 1}),
            "make_thread": True,
            **changes,
        }
        return NewRun(**values)

    async def create(
        self, thread_id: UUID | None = None, multitask: Multitask = "enqueue", **changes: Any
    ) -> Run:
        return await self.runs.create(self.new_run(thread_id, multitask=multitask, **changes))

    async def resume(self, thread_id: UUID, *answers: str, **changes: Any) -> Run:
        request = RunRequest(answers=dict.fromkeys(answers, "yes"))
        return await self.create(thread_id, kind="resume", request=request, **changes)

    async def cancel(self, run: Run, action: CancelAction = "interrupt") -> Any:
        return await self.runs.cancel(self.tenant, run.run_id, action, reason="a test")

    async def run(self, run: Run | Claimed) -> Run:
        run_id = run.run_id if isinstance(run, Run) else run.lease.run_id
        found = await self.runs.get(self.tenant, run_id)
        assert found is not None
        return found

    async def thread(self, thread_id: UUID) -> Thread:
        found = await self.threads.get(self.tenant, thread_id)
        assert found is not None
        return found

    async def task(self, task_id: UUID) -> Task:
        found = await self.runs.task(self.tenant, task_id)
        assert found is not None
        return found

    async def ready(self, run: Run) -> bool:
        return await self.value("select ready from runs where run_id = $1", run.run_id)

    # --- what a worker does ---------------------------------------------------------------------

    async def claim(
        self, limit: int = 1, *, worker_id: str = "w", agents: Sequence[str] = (AGENT,)
    ) -> Sequence[Claimed]:
        """New runs, and where there are too few, those whose workers died."""
        who: dict[str, Any] = {"worker_id": worker_id, "agents": agents, "lease": LEASE}
        new = await self.queue.claim(**who, limit=limit, suspects=())
        if len(new) == limit:
            return new
        rest = limit - len(new)
        return [*new, *await self.queue.claim(**who, limit=rest, suspects=[rest] * 8)]

    async def claim_one(self, **how: Any) -> Claimed:
        (claimed,) = await self.claim(**how)
        return claimed

    async def append(self, claimed: Claimed, *seqs: int, kind: str = "custom") -> None:
        events = [Event(s, claimed.lease.run_id, kind, b"{}") for s in seqs]
        await self.writer.append(claimed.lease, claimed.task_id, events)

    async def checkpoint(self, claimed: Claimed, id: str = "c1") -> None:
        await self.writer.put_checkpoint(claimed.lease, checkpoint_row(claimed, id))

    async def finish(
        self,
        claimed: Claimed,
        status: RunStatus = "success",
        *,
        questions: Sequence[str] = (),
        rollback: bool = False,
        output: bytes | None = None,
    ) -> list[str]:
        seq = await self.last_seq(claimed.task_id) + 1
        run_id = claimed.lease.run_id
        finish = Finish(
            status=status,
            output=output,
            interrupts=tuple(Interrupt(q, {"question": q}) for q in questions),
            error=None if status == "success" else {"error": "Test", "message": status},
            drop_checkpoints=rollback,
        )
        last = Event(seq, run_id, ENDED, ended(run_id, status))
        return list(await self.writer.finish(claimed, finish, [last]))

    async def paused(self, *questions: str) -> Run:
        """A run that ended with open questions; nothing else may be claimable."""
        run = await self.create()
        await self.finish(await self.claim_one(), questions=questions)
        return run

    # --- what a test does -----------------------------------------------------------------------

    async def expire(self, lease: Lease) -> None:
        await self.value(
            "update runs set lease_expires_at = now() - interval '1 second' where run_id = $1",
            lease.run_id,
        )

    async def reap(self, max_failures: int = 3) -> Sequence[str]:
        return await self.queue.reap(limit=50, max_failures=max_failures)

    async def events(self, task_id: UUID) -> Sequence[Event]:
        return await self.log.read(self.tenant, task_id, after=0)

    async def kinds(self, task_id: UUID) -> list[tuple[int, str]]:
        return [(e.seq, e.kind) for e in await self.events(task_id)]

    async def last_seq(self, task_id: UUID) -> int:
        return await self.value(
            "select coalesce(max(seq), 0) from events where task_id = $1", task_id
        )

    async def rows(self, sql: Any, *args: Any) -> Sequence[Record]:
        return await self.db.pool.fetch(sql, *args)

    async def value(self, sql: Any, *args: Any) -> Any:
        return await self.db.pool.fetchval(sql, *args)

    async def status(self, run: Run | Claimed) -> str:
        return (await self.run(run)).status

    async def error(self, run: Run) -> Any:
        return (await self.run(run)).error


def checkpoint_row(claimed: Claimed, id: str) -> CheckpointRow:
    return CheckpointRow(
        thread_id=str(claimed.thread_id),
        ns="",
        checkpoint_id=id,
        parent_id=None,
        body="{}",
        metadata="{}",
    )


@asynccontextmanager
async def open_core(dsn: str, *, connections: int = 4) -> AsyncGenerator[Core]:
    """A core whose writer runs until the end of the block."""
    async with open_database(dsn, most=connections) as db:
        tail = NullTail()
        writer = GroupWriter(db, tail)
        writing = asyncio.create_task(writer.run())
        try:
            yield Core(db, writer, tail)
        finally:
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing


async def has_vectors(core: Core) -> bool:
    """Whether the Postgres of this suite can do semantic search; the embedded one can."""
    return await core.value("select 1 from pg_available_extensions where name = 'vector'") == 1
