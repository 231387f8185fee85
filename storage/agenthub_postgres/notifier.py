"""Doorbell and tail without Redis: one connection per process that listens and notifies.

NOTIFY takes a cluster-wide lock at commit, so it never stands in a data transaction: what is to be
announced is collected, folded, and sent by this connection alone, a few milliseconds at a time, with
`synchronous_commit = off`. Only names travel; readers look into the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

from asyncpg import Connection, PostgresError, Record

from agenthub.events import Event
from agenthub.fanout import Fanout, Follower
from agenthub.ports import Following
from agenthub_postgres.database import BROKEN, connect

log = logging.getLogger(__name__)

CHANNEL = "agenthub"
COALESCE_SECONDS = 0.003
RECONNECT_SECONDS = 0.5
FLUSH_SECONDS = 1.0

# the channel belongs to no tenant: names of tasks and topics only, and the reader checks what it reads
NOTIFY = "select pg_notify('agenthub', name) from unnest($1::text[]) as name"


class Notifier:
    """`agenthub.ports.Doorbell` and `Tail` over NOTIFY; `run` must be running."""

    def __init__(self, dsn: str, *, refresh_seconds: float) -> None:
        self.dsn = dsn
        self.refresh_seconds = refresh_seconds
        self._fanout = Fanout()
        self._bells: dict[tuple[str, ...], asyncio.Event] = {}
        self._outgoing: set[str] = set()
        self._queued = asyncio.Event()

    # --- doorbell -------------------------------------------------------------------------------

    async def ring(self, topics: Iterable[str]) -> None:
        self._send(f"bell:{topic}" for topic in topics)

    async def wait(self, topics: Sequence[str], *, timeout: float) -> None:
        # one bell per set of topics, kept: what rings between two waits is not lost
        rung = self._bells.setdefault(tuple(topics), asyncio.Event())
        try:
            async with asyncio.timeout(timeout):
                await rung.wait()
        except TimeoutError:
            return
        rung.clear()

    # --- tail -----------------------------------------------------------------------------------

    def publish(self, task_id: UUID, events: Sequence[Event]) -> None:
        self._send([f"task:{task_id}"])

    def announce(self, topic: str) -> None:
        self._send([f"topic:{topic}"])

    def broadcasts(self, topic: str) -> AsyncIterator[None]:
        return self._fanout.broadcasts(topic, every=self.refresh_seconds)

    def prepare(self, task_id: UUID) -> None:
        self._fanout.prepare(task_id, self._forget)

    def _forget(self, task_id: UUID, follower: Follower) -> None:
        self._fanout.remove(task_id, follower)

    def follow(self, task_id: UUID) -> AbstractAsyncContextManager[Following]:
        return self._fanout.following(task_id)

    # --- transport ------------------------------------------------------------------------------

    def _send(self, names: Iterable[str]) -> None:
        self._outgoing.update(names)
        self._queued.set()

    async def run(self) -> None:
        """Listen and notify, for ever."""
        while True:
            try:
                await self._session()
            except (*BROKEN, PostgresError) as broken:
                log.warning("the notifier lost Postgres (%s); connecting again", broken)
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _session(self) -> None:
        connection = await connect(self.dsn)
        try:
            await connection.execute("set synchronous_commit = off")
            await connection.add_listener(CHANNEL, self._received)
            connection.add_termination_listener(self._terminated)
            self._look_everywhere()
            while True:
                await self._queued.wait()
                await asyncio.sleep(COALESCE_SECONDS)
                self._queued.clear()
                if connection.is_closed():
                    raise ConnectionError("the listening connection is gone")
                await self._notify(connection)
        finally:
            connection.terminate()

    async def flush(self) -> None:
        """Send what waits to be sent, when `run` does not run any more."""
        if not self._outgoing:
            return
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                connection = await connect(self.dsn)
                try:
                    await self._notify(connection)
                finally:
                    connection.terminate()
        except (*BROKEN, PostgresError) as lost:
            log.warning("wake-ups were not sent (%s); others find out by polling", lost)

    async def _notify(self, connection: Connection[Record]) -> None:
        names, self._outgoing = self._outgoing, set()
        try:
            await connection.fetch(NOTIFY, sorted(names))
        except BaseException:
            # the next session, or the last flush, takes them along
            self._outgoing |= names
            raise

    def _terminated(self, _: Connection[Record] | Any) -> None:
        self._queued.set()

    def _look_everywhere(self) -> None:
        self._fanout.look_everywhere()
        for rung in self._bells.values():
            rung.set()

    def _received(self, _connection: object, _pid: int, _channel: str, name: object) -> None:
        kind, _, rest = str(name).partition(":")
        if kind == "task":
            self._fanout.deliver(UUID(rest), ())
        elif kind == "topic":
            self._fanout.announce(rest)
        else:
            for topics, rung in self._bells.items():
                if rest in topics:
                    rung.set()
