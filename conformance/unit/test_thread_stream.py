"""Thread streams: run after run, in the order in which they were begun, whatever the tail says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from agenthub import thread_stream
from agenthub.events import ENDED, STARTED, Event
from agenthub.fanout import Fanout
from agenthub.ids import new_id
from agenthub.runs import Run
from agenthub.stream import Streams
from agenthub.thread_stream import ThreadPosition
from testkit.virtual import moment, now, virtual

THREAD = new_id()
POLL = 2.0
DAWN = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """A thread's runs, each with as many events as it was given, and a tail."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.said: dict[UUID, int] = {}
        self.ended: dict[UUID, asyncio.Event] = {}
        self.fanout = Fanout()
        self.reads = 0

    def add(self, said: int, *, begun: bool = True, ended: bool = True) -> Run:
        id_ = new_id()
        at = DAWN + timedelta(seconds=len(self.runs))
        run = Run(
            tenant="default",
            run_id=id_,
            thread_id=THREAD,
            task_id=id_,
            agent="a",
            kind="input",
            status="success" if ended else "pending",
            created_at=at,
            updated_at=at,
            started_at=at if begun else None,
        )
        self.runs.append(run)
        self.said[id_] = said
        self.ended[id_] = asyncio.Event()
        if ended:
            self.ended[id_].set()
        return run

    def announce(self) -> None:
        self.fanout.deliver(THREAD, ())

    # --- the ports ------------------------------------------------------------------------------

    async def next_run(self, tenant: str, thread_id: UUID, *, after: Run | None) -> Run | None:
        assert thread_id == THREAD
        self.reads += 1
        ids = [run.run_id for run in self.runs]
        first = 0 if after is None else ids.index(after.run_id) + 1
        return next(iter(self.runs[first:]), None)

    def follow(self, task_id: UUID) -> Any:
        return self.fanout.following(task_id)

    async def run_events(self, run: Run, seq: int) -> AsyncGenerator[Sequence[Event], None]:
        for n in range(seq + 1, self.said[run.run_id] + 1):
            yield [Event(n, run.run_id, STARTED if n == 1 else "custom", b"1")]
        await self.ended[run.run_id].wait()
        if not self.said[run.run_id]:
            # a run that is cancelled in line leaves its end, and nothing else
            yield [Event(1, run.run_id, ENDED, b"1")]

    async def read(self, after: ThreadPosition | None, into: list[Any]) -> None:
        streams = Streams(cast("Any", self), cast("Any", self), poll_seconds=POLL)
        slices = thread_stream.follow(streams, self.run_events, "default", THREAD, after=after)
        async with aclosing(slices) as found:
            async for slice_ in found:
                told: Any = "quiet"
                if slice_.run is not None and slice_.events:
                    told = [(self.index(slice_.run), event.seq) for event in slice_.events]
                into += [told]

    def index(self, run: Run) -> int:
        return [one.run_id for one in self.runs].index(run.run_id)


async def stop(reading: asyncio.Task[None]) -> None:
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


@virtual
async def test_a_follower_gets_every_run_and_then_the_next_when_it_is_announced() -> None:
    world, found = World(), list[Any]()
    world.add(2)
    world.add(1)
    reading = asyncio.create_task(world.read(None, found))
    await moment()
    assert found == [[(0, 1)], [(0, 2)], [(1, 1)]]
    world.add(1)
    world.announce()
    await moment()
    assert found[-1] == [(2, 1)]
    assert now() == 0
    await stop(reading)
    assert world.fanout.tasks == []


@virtual
async def test_a_follower_goes_on_in_the_middle_of_a_run() -> None:
    world, found = World(), list[Any]()
    world.add(3)
    middle = world.add(3)
    world.add(1)
    reading = asyncio.create_task(world.read(ThreadPosition(middle, 2), found))
    await moment()
    assert found == [[(1, 3)], [(2, 1)]]
    await stop(reading)


@virtual
async def test_a_run_whose_announcement_was_lost_is_found_by_the_quiet_poll() -> None:
    world, found = World(), list[Any]()
    reading = asyncio.create_task(world.read(None, found))
    await asyncio.sleep(POLL * 3 + 0.1)
    assert found == ["quiet"] * 3
    assert world.reads == 4
    world.add(1)
    await asyncio.sleep(POLL)
    assert found[-1] == [(0, 1)]
    await stop(reading)


@virtual
async def test_a_run_that_one_of_many_found_in_a_quiet_moment_is_found_by_all() -> None:
    world, found = World(), [list[Any]() for _ in range(5)]
    world.add(1)
    readings = [asyncio.create_task(world.read(None, into)) for into in found]
    await moment()
    world.add(1)
    await asyncio.sleep(POLL + 0.1)
    assert all(into[-1] == [(1, 1)] for into in found)
    assert sum("quiet" in into for into in found) == 1
    for reading in readings:
        await stop(reading)


@virtual
async def test_a_run_that_was_announced_while_another_was_read_is_not_missed() -> None:
    world, found = World(), list[Any]()
    first = world.add(1, ended=False)
    reading = asyncio.create_task(world.read(None, found))
    await moment()
    world.add(1)
    world.announce()
    await moment()
    assert found == [[(0, 1)]]
    world.ended[first.run_id].set()
    await moment()
    assert found == [[(0, 1)], [(1, 1)]]
    assert now() == 0
    await stop(reading)


@virtual
async def test_a_run_that_is_cancelled_in_line_gives_way_to_the_next() -> None:
    world, found = World(), list[Any]()
    waiting = world.add(0, begun=False, ended=False)
    reading = asyncio.create_task(world.read(None, found))
    await moment()
    world.runs[0] = replace(waiting, status="interrupted")
    later = world.add(1)
    world.runs = [later]
    world.ended[waiting.run_id].set()
    await moment()
    assert [told for told in found if told != "quiet"] == [[(0, 1)]]
    await stop(reading)
