"""Fan-out: followers and listeners of one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID

import pytest

from agenthub.events import Event
from agenthub.fanout import BACKLOG, LOOK, PREPARED_SECONDS, Fanout, Follower
from agenthub.ids import new_id
from agenthub.ports import Slice
from testkit.virtual import moment, now, virtual

TASK, RUN = new_id(), new_id()


def event(seq: int) -> Event:
    return Event(seq, RUN, "custom", b"1")


class Forgotten:
    """What a transport does when nobody came."""

    def __init__(self, fanout: Fanout) -> None:
        self.fanout = fanout
        self.tasks: list[UUID] = []

    def __call__(self, task_id: UUID, follower: Follower) -> None:
        if self.fanout.remove(task_id, follower):
            self.tasks.append(task_id)


@virtual
async def test_every_follower_of_the_task_and_no_other_gets_a_slice() -> None:
    fanout, other = Fanout(), new_id()
    async with (
        fanout.following(TASK) as one,
        fanout.following(TASK) as two,
        fanout.following(other) as third,
    ):
        fanout.deliver(TASK, [event(1)])
        assert await one.next(timeout=1) == await two.next(timeout=1) == Slice([event(1)])
        assert await third.next(timeout=1) is None


@virtual
async def test_a_quiet_follower_is_told_so_after_its_timeout() -> None:
    fanout = Fanout()
    async with fanout.following(TASK) as follower:
        assert await follower.next(timeout=7) is None
        assert now() == 7


@virtual
async def test_a_slice_wakes_a_follower_at_once() -> None:
    fanout = Fanout()
    async with fanout.following(TASK) as follower:
        waiting = asyncio.create_task(follower.next(timeout=7))
        await moment()
        fanout.deliver(TASK, [event(1)])
        assert await waiting == Slice([event(1)])
        assert now() == 0


@virtual
async def test_no_events_mean_that_the_follower_looks_into_the_log() -> None:
    fanout = Fanout()
    async with fanout.following(TASK) as follower:
        fanout.deliver(TASK, [event(1)])
        fanout.deliver(TASK, [])
        fanout.deliver(TASK, [event(2)])
        # what came before the order is in the log as well
        assert await follower.next(timeout=1) == LOOK
        assert await follower.next(timeout=1) == Slice([event(2)])


@virtual
async def test_a_follower_that_falls_behind_loses_its_backlog_and_looks_into_the_log() -> None:
    fanout = Fanout()
    async with fanout.following(TASK) as follower:
        for seq in range(1, BACKLOG + 1):
            fanout.deliver(TASK, [event(seq)])
        assert await follower.next(timeout=1) == Slice([event(1)])
        for seq in range(BACKLOG + 1, BACKLOG + 3):
            fanout.deliver(TASK, [event(seq)])
        assert await follower.next(timeout=1) == LOOK
        assert await follower.next(timeout=1) is None


@virtual
async def test_a_task_is_forgotten_with_its_last_follower() -> None:
    fanout = Fanout()
    one, first = fanout.add(TASK)
    two, second = fanout.add(TASK)
    assert (first, second) == (True, False)
    assert fanout.tasks == [TASK]
    assert not fanout.remove(TASK, one)
    assert fanout.remove(TASK, two)
    assert fanout.tasks == []


@virtual
async def test_a_prepared_follower_has_all_since_it_was_prepared() -> None:
    fanout = Fanout()
    forget = Forgotten(fanout)
    assert fanout.prepare(TASK, forget)
    fanout.deliver(TASK, [event(1)])
    follower, first = fanout.add(TASK)
    assert not first, "the transport subscribed when it was prepared"
    assert follower.prepared
    fanout.deliver(TASK, [event(2)])
    assert await follower.next(timeout=1) == Slice([event(1)])
    assert await follower.next(timeout=1) == Slice([event(2)])
    await asyncio.sleep(PREPARED_SECONDS * 2)
    assert forget.tasks == [], "it came, so it may stay"


@virtual
async def test_a_prepared_follower_is_given_to_one_reader_only() -> None:
    fanout = Fanout()
    fanout.prepare(TASK, Forgotten(fanout))
    one, _ = fanout.add(TASK)
    two, first = fanout.add(TASK)
    assert one is not two
    assert (one.prepared, two.prepared, first) == (True, False, False)


@virtual
async def test_a_prepared_follower_that_nobody_comes_for_is_forgotten() -> None:
    fanout = Fanout()
    forget = Forgotten(fanout)
    fanout.prepare(TASK, forget)
    await asyncio.sleep(PREPARED_SECONDS + 0.1)
    assert forget.tasks == [TASK]
    assert fanout.tasks == []
    follower, first = fanout.add(TASK)
    assert first
    assert not follower.prepared, "it must read the log"


@virtual
async def test_a_task_that_is_prepared_twice_leaves_nothing_behind() -> None:
    # two answers to one task, and nobody follows
    fanout = Fanout()
    forget = Forgotten(fanout)
    fanout.prepare(TASK, forget)
    await asyncio.sleep(1)
    fanout.prepare(TASK, forget)
    await asyncio.sleep(PREPARED_SECONDS * 2)
    assert fanout.tasks == []
    assert forget.tasks == [TASK]


@virtual
async def test_a_lost_connection_makes_every_follower_look() -> None:
    fanout = Fanout()
    async with fanout.following(TASK) as one, fanout.following(new_id()) as two:
        fanout.deliver(TASK, [event(1)])
        fanout.look_everywhere()
        assert await one.next(timeout=1) == await two.next(timeout=1) == LOOK


async def _woken(act: Callable[[Fanout], None], seconds: float) -> int:
    fanout, woken = Fanout(), 0

    async def listen() -> None:
        nonlocal woken
        async for _ in fanout.broadcasts("catalogue", every=60):
            woken += 1

    listening = asyncio.create_task(listen())
    await moment()
    act(fanout)
    await asyncio.sleep(seconds)
    listening.cancel()
    return woken


@pytest.mark.parametrize(
    ("topic", "seconds", "woken"),
    [("catalogue", 1, 2), ("another", 1, 1), ("another", 61, 2), ("catalogue", 61, 3)],
)
def test_a_listener_wakes_at_first_when_it_is_called_and_now_and_then(
    topic: str, seconds: float, woken: int
) -> None:
    @virtual
    async def run() -> None:
        assert await _woken(lambda fanout: fanout.announce(topic), seconds) == woken

    run()


@virtual
async def test_a_lost_connection_wakes_every_listener() -> None:
    assert await _woken(lambda fanout: fanout.look_everywhere(), 1) == 2


@virtual
async def test_a_call_while_the_listener_is_busy_is_not_lost() -> None:
    fanout, seen = Fanout(), 0

    async def listen() -> None:
        nonlocal seen
        async for _ in fanout.broadcasts("catalogue", every=1000):
            seen += 1
            await asyncio.sleep(5)

    listening = asyncio.create_task(listen())
    await asyncio.sleep(1)
    fanout.announce("catalogue")
    await asyncio.sleep(10)
    assert seen == 2
    listening.cancel()
