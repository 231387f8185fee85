"""The lease writer: group commit for all runs of a worker.

Whatever queued while the last statement ran goes into the next one: under load a commit carries the
events and checkpoints of many runs, and an idle worker's write waits for nothing. Writes of one run
keep their order; a finish goes out with the run's last writes in the same statement. When the
connection breaks, the batch is sent again: every part of it is idempotent under its lease, and a
finish that was committed without an answer is recognised by the run's state.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from uuid import UUID

from asyncpg import Connection, DeadlockDetectedError, PostgresError, Record

from agenthub.errors import LeaseLost
from agenthub.events import Event
from agenthub.ports import CheckpointRow, CheckpointView, Claimed, Finish, Lease, Tail, WritesRow
from agenthub_postgres import fenced
from agenthub_postgres.batch import Batch, FinishRow
from agenthub_postgres.checkpoints import ROLL_BACK
from agenthub_postgres.database import BROKEN, SLOW, Database, connect

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 0.1
LINGER_SECONDS = 0.02
"""How long writes that nobody waits for (checkpoints under `async`) wait for company."""

TOO_LATE: Final = 2
"""How often a group may take longer than a statement has; its trust in its leases ends before."""

Written: TypeAlias = asyncio.Future[Sequence[str]]


@dataclass(eq=False, slots=True)
class Entry:
    """What one caller wants written, and the future that tells it how that went."""

    lease: Lease
    done: Written
    checkpoint: CheckpointRow | None = None
    writes: WritesRow | None = None
    view: CheckpointView | None = None
    task_id: UUID | None = None
    events: Sequence[Event] = ()
    finish: FinishRow | None = None


@dataclass(eq=False, slots=True)
class GroupWriter:
    """`agenthub.ports.LeaseWriter`; `run` does the writing and must be running."""

    db: Database
    tail: Tail
    _queue: list[Entry] = field(default_factory=list[Entry])
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _urgent: asyncio.Event = field(default_factory=asyncio.Event)
    _connection: Connection[Record] | None = None
    _doubtful: bool = False
    # runs with a write that failed: their next finish must not pretend that all is stored
    _failed: dict[Lease, Exception] = field(default_factory=dict[Lease, Exception])

    def put_checkpoint(self, lease: Lease, row: CheckpointRow, *, urgent: bool = True) -> Written:
        return self._enqueue(Entry(lease, _future(), checkpoint=row), urgent=urgent)

    def put_writes(self, lease: Lease, row: WritesRow, *, urgent: bool = True) -> Written:
        return self._enqueue(Entry(lease, _future(), writes=row), urgent=urgent)

    def put_view(self, lease: Lease, view: CheckpointView) -> Written:
        return self._enqueue(Entry(lease, _future(), view=view), urgent=False)

    def append(self, lease: Lease, task_id: UUID, events: Sequence[Event]) -> Written:
        return self._enqueue(Entry(lease, _future(), task_id=task_id, events=events))

    def finish(self, claimed: Claimed, finish: Finish, events: Sequence[Event]) -> Written:
        entry = Entry(
            claimed.lease,
            _future(),
            task_id=claimed.task_id,
            events=events,
            finish=FinishRow(claimed, finish),
        )
        failed = self._failed.pop(claimed.lease, None)
        if failed is not None:
            entry.done.set_exception(failed)
            return entry.done
        return self._enqueue(entry)

    def _enqueue(self, entry: Entry, *, urgent: bool = True) -> Written:
        self._queue.append(entry)
        self._arrived.set()
        if urgent:
            self._urgent.set()
        # shielded: a caller that is cancelled while it waits must not tear a hole into the log
        return asyncio.shield(entry.done)

    async def run(self) -> None:
        """Write what is queued, for ever. Cancel it when no lease is held any more."""
        try:
            while True:
                await self._arrived.wait()
                if not self._urgent.is_set():
                    await self._linger()
                self._arrived.clear()
                self._urgent.clear()
                entries, self._queue = self._queue, []
                if entries:
                    await self._flush(entries)
        finally:
            if self._connection is not None:
                self._connection.terminate()

    async def _linger(self) -> None:
        """Nobody waits for what is queued: let more join, for a moment."""
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                await self._urgent.wait()
        except TimeoutError:
            return

    async def _flush(self, entries: list[Entry]) -> None:
        # a statement knows one lease of a run: those of an attempt that was reaped and claimed again
        # by this very worker go apart, or they would ride on the new one
        newest = {e.lease.run_id: e.lease for e in sorted(entries, key=lambda e: e.lease.epoch)}
        stale = [e for e in entries if e.lease != newest[e.lease.run_id]]
        if stale:
            await self._flush(stale)
            entries = [e for e in entries if e.lease == newest[e.lease.run_id]]
        ending = {e.lease.run_id for e in entries if e.finish is not None}
        for group in (
            [e for e in entries if e.lease.run_id not in ending],
            [e for e in entries if e.lease.run_id in ending],
        ):
            if group:
                await self._write_until_sent(group)

    async def _write_until_sent(self, group: list[Entry]) -> None:
        """Send a group again while the connection breaks; the attempts' leases set the limit."""
        late = 0
        while group:
            try:
                await self._write(group)
            except BROKEN as broken:
                if not self._doubtful:
                    reason = str(broken) or type(broken).__name__
                    log.warning("the write connection broke (%s); trying until it holds", reason)
                self._doubtful = True
                # a server that cannot be reached has not even seen what we send
                sent = self._connection is not None
                late = late + 1 if sent and isinstance(broken, SLOW) else 0
                await self._drop_connection()
                if late == TOO_LATE:
                    # where the whole database is slow the leases are gone by now: it is what we send
                    await self._write_apart(group, broken)
                    return
                await asyncio.sleep(RECONNECT_SECONDS)
            except DeadlockDetectedError:
                # our lock order excludes it; someone's tool may have another
                await asyncio.sleep(RECONNECT_SECONDS)
            except PostgresError as refused:
                await self._write_apart(group, refused)
                return
            else:
                self._doubtful = False
                return
            group = [e for e in group if not e.done.done()]

    async def _write_apart(self, group: list[Entry], refused: Exception) -> None:
        """One run's data was refused: write run by run, so that only that run fails."""
        runs = {e.lease.run_id for e in group}
        if len(runs) == 1:
            finishing = any(e.finish is not None for e in group)
            for entry in group:
                _fail(entry, refused)
            if not finishing:
                self._failed[group[0].lease] = refused
            return
        for run_id in runs:
            await self._write_until_sent([e for e in group if e.lease.run_id == run_id])

    async def _write(self, group: list[Entry]) -> None:
        connection = await self._connected()
        batch = Batch.of(group)
        if batch.finishes:
            held = await self._finish(connection, group, batch)
        else:
            sql = fenced.WRITE if batch.has_checkpoints else fenced.APPEND
            rows = await connection.fetch(sql, *batch.arguments())
            held = {row["run_id"]: list[str]() for row in rows}
        for entry in group:
            agents = held.get(entry.lease.run_id)
            if agents is None:
                _fail(entry, LeaseLost(entry.lease))
                continue
            if entry.events and entry.task_id is not None:
                self.tail.publish(entry.task_id, entry.events)
            if not entry.done.done():
                entry.done.set_result(agents)

    async def _finish(
        self, connection: Connection[Record], group: Sequence[Entry], batch: Batch
    ) -> dict[UUID, list[str]]:
        """The runs that ended, with the agents that are to be rung for."""
        rows = await _sent(connection, batch)
        if stale := {row["run_id"] for row in rows if row["stale"]}:
            again = Batch.of([e for e in group if e.lease.run_id in stale])
            rows = [row for row in rows if not row["stale"]]
            rows += await _sent(connection, again, locked=True)
        result = {row["run_id"]: [row["next_agent"]] if row["next_agent"] else [] for row in rows}
        if self._doubtful and len(result) < len(batch.finishes):
            for row in await connection.fetch(fenced.ALREADY_ENDED, *batch.arguments()[:3]):
                result.setdefault(row["run_id"], batch.agents_of(row["run_id"]))
        return result

    async def _connected(self) -> Connection[Record]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self.db.dsn)
            # these statements have dozens of parameters: planning them each time costs more than
            # running them, and no value changes the plan
            await self._connection.execute("set plan_cache_mode = force_generic_plan")
        return self._connection

    async def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


async def _sent(
    connection: Connection[Record], batch: Batch, *, locked: bool = False
) -> Sequence[Record]:
    """The rows of `fenced.FINISH`. `locked` sends it behind the locks of its threads: nothing is stale then."""
    if not locked and not batch.rolled_back:
        return await connection.fetch(fenced.FINISH, *batch.arguments())
    async with connection.transaction():
        if locked:
            await connection.fetch(fenced.PLACES, *batch.places())
        rows = await connection.fetch(fenced.FINISH, *batch.arguments())
        ended = {row["run_id"] for row in rows if not row["stale"]}
        gone = [
            row.claimed
            for id, row in batch.finishes.items()
            if id in ended and row.finish.drop_checkpoints
        ]
        if gone:
            runs, threads = [str(c.lease.run_id) for c in gone], [str(c.thread_id) for c in gone]
            await connection.execute(ROLL_BACK, gone[0].lease.tenant, runs, threads)
    return rows


def _future() -> Written:
    return asyncio.get_running_loop().create_future()


def _fail(entry: Entry, error: Exception) -> None:
    if not entry.done.done():
        entry.done.set_exception(error)
