"""Streams: whatever the tail does, a reader sees exactly the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agenthub import fanout, stream
from agenthub.background import in_background
from agenthub.events import ENDED, Event
from agenthub.fanout import Fanout, Follower
from agenthub.ids import new_id
from agenthub.ports import Following
from agenthub.stream import Streams
from testkit.virtual import VirtualLoop, moment, now, virtual

TASK, RUN, OTHER = new_id(), new_id(), new_id()
POLL = 2.0


@dataclass
class World:
    """A log and a tail that passes on what the test says."""

    rows: list[Event] = field(default_factory=list)
    fanout: Fanout = field(default_factory=Fanout)
    late: list[list[Event]] = field(default_factory=list)
    reads: int = 0

    @property
    def streams(self) -> Streams:
        return Streams(self, self, poll_seconds=POLL)

    def commit(self, count: int = 1, *, kind: str = "custom", run_id: UUID = RUN) -> list[Event]:
        first = len(self.rows) + 1
        events = [Event(first + i, run_id, kind, b"1") for i in range(count)]
        self.rows += events
        return events

    def write(self, count: int = 1, *, kind: str = "custom", run_id: UUID = RUN) -> None:
        self.publish(TASK, self.commit(count, kind=kind, run_id=run_id))

    # --- the ports ------------------------------------------------------------------------------

    async def read(
        self, tenant: str, task_id: UUID, *, after: int, limit: int = 1000, **_: Any
    ) -> Sequence[Event]:
        assert task_id == TASK
        self.reads += 1
        return [event for event in self.rows if event.seq > after][:limit]

    def publish(self, task_id: UUID, events: Sequence[Event]) -> None:
        self.fanout.deliver(task_id, events)

    def forget(self, task_id: UUID, follower: Follower) -> None:
        self.fanout.remove(task_id, follower)

    def prepare(self, task_id: UUID) -> None:
        self.fanout.prepare(task_id, self.forget)

    def follow(self, task_id: UUID) -> AbstractAsyncContextManager[Following]:
        return self.fanout.following(task_id)

    def broadcasts(self, topic: str) -> AsyncIterator[None]:
        raise NotImplementedError

    def announce(self, topic: str) -> None:
        raise NotImplementedError


class Reader:
    """Collects what a stream yields, in the background."""

    def __init__(self, world: World, *, after: int = 0, replay: bool = True) -> None:
        self.slices: list[Sequence[Event]] = []
        self._read = asyncio.create_task(self._follow(world, after, replay))

    async def _follow(self, world: World, after: int, replay: bool) -> None:
        follow = world.streams.follow("default", TASK, after=after, replay=replay)
        async with aclosing(follow) as slices:
            async for slice_ in slices:
                self.slices.append(slice_)

    @property
    def seqs(self) -> list[int]:
        return [event.seq for slice_ in self.slices for event in slice_]

    @property
    def quiet(self) -> int:
        return sum(not slice_ for slice_ in self.slices)

    async def close(self) -> None:
        self._read.cancel()
        await asyncio.gather(self._read, return_exceptions=True)


@virtual
async def test_a_reader_gets_the_log_and_then_what_arrives_without_reading_again() -> None:
    world = World()
    world.commit(3)
    reader = Reader(world)
    await moment()
    world.write(2)
    world.write()
    await moment()
    assert reader.seqs == [1, 2, 3, 4, 5, 6]
    assert world.reads == 1
    assert now() == 0
    await reader.close()


@virtual
async def test_a_reader_resumes_after_the_event_it_names() -> None:
    world = World()
    world.commit(5)
    reader = Reader(world, after=3)
    await moment()
    assert reader.seqs == [4, 5]
    await reader.close()


@virtual
async def test_a_long_log_is_read_in_pages_to_its_end() -> None:
    world = World()
    world.commit(stream.PAGE * 2)
    reader = Reader(world)
    await moment()
    assert reader.seqs == list(range(1, stream.PAGE * 2 + 1))
    assert world.reads == 3
    await reader.close()


@virtual
async def test_a_gap_sends_the_reader_to_the_log() -> None:
    world = World()
    reader = Reader(world)
    await moment()
    world.commit(2)
    world.write()
    await moment()
    assert reader.seqs == [1, 2, 3]
    assert now() == 0
    await reader.close()


@virtual
async def test_what_was_seen_is_dropped_even_in_the_middle_of_a_slice() -> None:
    world = World()
    reader = Reader(world)
    await moment()
    world.write(2)
    world.publish(TASK, world.rows)
    world.commit(1)
    world.publish(TASK, world.rows[1:])
    await moment()
    assert reader.seqs == [1, 2, 3]
    assert world.reads == 1
    await reader.close()


@virtual
async def test_an_event_that_the_tail_lost_is_found_by_polling() -> None:
    world = World()
    reader = Reader(world)
    await moment()
    world.commit(1)
    await asyncio.sleep(POLL + 0.1)
    assert reader.seqs == [1]
    await reader.close()


@virtual
async def test_a_quiet_stream_tells_its_caller_so_at_every_poll() -> None:
    world = World()
    reader = Reader(world)
    await asyncio.sleep(POLL * 5 + 0.1)
    assert reader.quiet == 5
    await reader.close()


@virtual
async def test_of_many_readers_one_looks_for_all_of_them() -> None:
    world = World()
    readers = [Reader(world) for _ in range(20)]
    await moment()
    begun = world.reads
    await asyncio.sleep(POLL * 5 + 0.1)
    assert world.reads - begun == sum(reader.quiet for reader in readers) == 5
    # and what the tail lost is found for all at once, though the one who looked last has left
    looked = next(reader for reader in readers if reader.quiet)
    await looked.close()
    readers.remove(looked)
    world.commit(2)
    await asyncio.sleep(POLL)
    assert all(reader.seqs == [1, 2] for reader in readers)
    assert world.reads - begun == 6
    for reader in readers:
        await reader.close()


@virtual
async def test_a_reader_that_hears_something_waits_for_a_whole_quiet_interval() -> None:
    world = World()
    reader = Reader(world)
    for _ in range(10):
        await asyncio.sleep(POLL * 0.9)
        world.write(1)
    await moment()
    assert (reader.quiet, len(reader.seqs)) == (0, 10)
    await reader.close()


@virtual
async def test_an_announcement_that_left_no_event_reaches_the_caller() -> None:
    # a task that waited was cancelled: nothing is in the log, but its state has changed
    world = World()
    reader = Reader(world)
    await moment()
    world.publish(TASK, ())
    await moment()
    assert reader.slices == [()]
    assert now() == 0
    await reader.close()


@virtual
async def test_a_reader_that_falls_behind_reads_the_log_instead() -> None:
    world = World()
    follow = world.streams.follow("default", TASK)
    seen: list[int] = []
    async with aclosing(follow) as slices:
        world.write()
        seen += [event.seq for event in await anext(slices)]
        for _ in range(fanout.BACKLOG * 2 + 7):
            world.write()
        while len(seen) < len(world.rows):
            seen += [event.seq for event in await anext(slices)]
    assert seen == list(range(1, len(world.rows) + 1))
    assert now() == 0


@virtual
async def test_a_prepared_reader_misses_nothing_and_spares_the_log() -> None:
    world = World()
    world.prepare(TASK)
    world.write(2)
    reader = Reader(world, replay=False)
    await moment()
    world.write()
    await moment()
    assert reader.seqs == [1, 2, 3]
    assert world.reads == 0
    await reader.close()


@virtual
async def test_a_reader_that_comes_too_late_to_its_preparation_reads_the_log() -> None:
    world = World()
    world.prepare(TASK)
    await asyncio.sleep(fanout.PREPARED_SECONDS + 0.1)
    world.write(2)
    reader = Reader(world, replay=False)
    await moment()
    assert reader.seqs == [1, 2]
    await reader.close()


@virtual
async def test_a_reader_that_leaves_is_followed_no_more() -> None:
    world = World()
    reader = Reader(world)
    await moment()
    await reader.close()
    assert world.fanout.tasks == []


@virtual
async def test_the_events_of_a_run_end_with_its_end() -> None:
    world = World()
    world.commit(1, run_id=OTHER)
    world.commit(1)
    world.commit(1, kind=ENDED, run_id=OTHER)
    world.commit(1, kind=ENDED)
    world.commit(1, run_id=OTHER)
    slices = [s async for s in world.streams.run_events("default", TASK, RUN)]
    assert [[e.seq for e in s] for s in slices] == [[2, 4]]


@virtual
async def test_the_events_of_a_run_are_quiet_while_another_run_speaks() -> None:
    world = World()
    seen: list[Sequence[Event]] = []

    async def read() -> None:
        async for slice_ in world.streams.run_events("default", TASK, RUN):
            seen.append(slice_)  # noqa: PERF401  # a task, so that the test goes on

    reading = asyncio.create_task(read())
    await moment()
    world.write(3, run_id=OTHER)
    world.write(1)
    world.write(1, kind=ENDED)
    await reading
    assert [[e.seq for e in s] for s in seen] == [[4], [5]]


@virtual
async def test_a_reader_looks_at_its_run_at_every_poll_however_much_another_one_speaks() -> None:
    world = World()
    seen: list[tuple[float, Sequence[Event]]] = []

    async def read() -> None:
        async for slice_ in world.streams.run_events("default", TASK, RUN):
            seen.append((now(), slice_))  # noqa: PERF401  # as above

    async with in_background(read):
        for _ in range(40):
            await asyncio.sleep(POLL / 10)
            world.write(run_id=OTHER)
        await moment()
    assert [events for _, events in seen] == [[]] * 4
    assert all(b - a < 1.2 * POLL for (a, _), (b, _) in pairwise(seen))


Fate = Callable[[World, list[Event]], None]


def passed(world: World, events: list[Event]) -> None:
    world.publish(TASK, events)


def dropped(world: World, events: list[Event]) -> None:
    pass


def twice(world: World, events: list[Event]) -> None:
    world.publish(TASK, events)
    world.publish(TASK, events)


def late(world: World, events: list[Event]) -> None:
    world.late.append(events)


def old(world: World, events: list[Event]) -> None:
    world.publish(TASK, world.rows[: len(events) + 1])


def announced(world: World, events: list[Event]) -> None:
    world.publish(TASK, ())


def disconnected(world: World, events: list[Event]) -> None:
    world.fanout.look_everywhere()


FATES = st.sampled_from([passed, passed, dropped, twice, late, old, announced, disconnected])
STEPS = st.lists(st.tuples(st.integers(1, 4), FATES, st.booleans()), min_size=1, max_size=25)


async def read_through(steps: list[tuple[int, Fate, bool]], *, replay: bool, after: int) -> None:
    world = World()
    if not replay:
        world.prepare(TASK)
    reader = Reader(world, after=after, replay=replay)
    for size, fate, pause in steps:
        fate(world, world.commit(size))
        if pause:
            await moment()
            while world.late:
                world.publish(TASK, world.late.pop())
    await asyncio.sleep(POLL * 2 + 0.1)
    assert reader.seqs == list(range(after + 1, len(world.rows) + 1))
    await reader.close()


@pytest.mark.parametrize("replay", [True, False])
@given(steps=STEPS, after=st.integers(0, 6))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_whatever_becomes_of_its_slices_a_reader_sees_exactly_the_log(
    replay: bool, steps: list[tuple[int, Fate, bool]], after: int
) -> None:
    after = min(after, sum(size for size, _, _ in steps)) if replay else 0
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(read_through(steps, replay=replay, after=after))
