"""Leases: what is trusted, for how long, and who is told when it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from agenthub.ids import new_id
from agenthub.lease import LeaseKeeper
from agenthub.ports import Lease
from testkit.fakes import FakeQueue
from testkit.virtual import LoopClock, moment, now, virtual

LEASE, RENEW, MARGIN = 15.0, 4.0, 3.0
WINDOW = LEASE - MARGIN


@dataclass
class Holder:
    """What an attempt is told, and when."""

    lease: Lease = field(default_factory=lambda: Lease("default", new_id(), 1))
    lost_at: list[float] = field(default_factory=list)
    cancels: list[tuple[float, Any]] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    def lost(self) -> None:
        self.lost_at.append(now())
        self.told.set()

    def cancel(self, action: Any) -> None:
        self.cancels.append((now(), action))
        self.told.set()


def keeper_of(queue: FakeQueue) -> LeaseKeeper:
    return LeaseKeeper(
        queue,
        LoopClock(),
        lease_seconds=LEASE,
        renew_seconds=RENEW,
        margin_seconds=MARGIN,
    )


@asynccontextmanager
async def keeping(
    queue: FakeQueue, *holders: Holder, since: float | None = None
) -> AsyncGenerator[LeaseKeeper]:
    """A running keeper that holds leases, all claimed now."""
    keeper = keeper_of(queue)
    running = asyncio.create_task(keeper.run())
    await moment()
    queue.held |= {holder.lease for holder in holders}
    try:
        async with hold_all(keeper, holders, since):
            yield keeper
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def hold_all(
    keeper: LeaseKeeper, holders: tuple[Holder, ...], since: float | None
) -> AsyncGenerator[None]:
    if not holders:
        yield
        return
    first, *rest = holders
    at = LoopClock().monotonic() if since is None else 1000 + since
    with keeper.holding(first.lease, since=at, lost=first.lost, cancel=first.cancel):
        async with hold_all(keeper, tuple(rest), since):
            yield


async def never() -> None:
    await asyncio.Event().wait()


async def away() -> None:
    raise OSError("the database is away")


@virtual
async def test_a_lease_that_is_renewed_is_kept_for_ever() -> None:
    queue, holder = FakeQueue(), Holder()
    async with keeping(queue, holder):
        await asyncio.sleep(601)
        assert holder.lost_at == []
        assert len(queue.renewed) == 600 / RENEW


@virtual
async def test_nothing_is_renewed_while_nothing_is_held() -> None:
    queue = FakeQueue()
    async with keeping(queue):
        await asyncio.sleep(600)
        assert queue.renewed == []


@virtual
async def test_trust_counts_from_when_the_claim_was_sent() -> None:
    # its answer came 10 seconds later, 2 before the trust ends
    queue, holder = FakeQueue(ask_renew=away), Holder()
    async with keeping(queue):
        await asyncio.sleep(10)
    async with keeping(queue, holder, since=0):
        await holder.told.wait()
        assert holder.lost_at == [WINDOW]


@virtual
async def test_trust_counts_from_when_the_renewal_was_sent_and_not_from_its_answer() -> None:
    async def slow_once() -> None:
        queue.ask_renew = away
        await asyncio.sleep(3)

    queue, holder = FakeQueue(ask_renew=slow_once), Holder()
    async with keeping(queue, holder):
        await holder.told.wait()
        assert holder.lost_at == [RENEW + WINDOW]


@virtual
async def test_a_renewal_that_hangs_does_not_stretch_the_trust() -> None:
    queue, holder = FakeQueue(ask_renew=never), Holder()
    async with keeping(queue, holder):
        await holder.told.wait()
        assert holder.lost_at == [WINDOW]


@virtual
async def test_a_renewal_that_hangs_is_tried_again_in_time() -> None:
    queue, holder = FakeQueue(ask_renew=never), Holder()
    async with keeping(queue, holder):
        await asyncio.sleep(WINDOW - 2)
        queue.ask_renew = FakeQueue().ask_renew
        await asyncio.sleep(600)
        # sent at 4 and 8, each given up after 4 seconds; the one of 12 would have come too late
        assert holder.lost_at == [WINDOW]
        assert len(queue.renewed) == 2


@virtual
async def test_a_database_that_comes_back_in_time_costs_nothing() -> None:
    queue, holder = FakeQueue(ask_renew=away), Holder()
    async with keeping(queue, holder):
        await asyncio.sleep(RENEW + 1)
        queue.ask_renew = FakeQueue().ask_renew
        await asyncio.sleep(600)
        assert holder.lost_at == []


@virtual
async def test_a_lease_that_is_missing_from_the_answer_is_lost_and_the_others_are_not() -> None:
    queue, mine, stolen = FakeQueue(), Holder(), Holder()
    async with keeping(queue, mine, stolen):
        queue.held.discard(stolen.lease)
        await asyncio.sleep(60)
        assert stolen.lost_at == [RENEW]
        assert mine.lost_at == []


@virtual
async def test_a_lost_lease_is_told_once_and_never_renewed_again() -> None:
    # the attempt takes its time to notice
    queue, holder = FakeQueue(), Holder()
    async with keeping(queue, holder):
        queue.held.clear()
        await asyncio.sleep(600)
        assert holder.lost_at == [RENEW]
        assert queue.renewed == [[holder.lease]]


@virtual
async def test_a_lease_whose_trust_has_ended_does_not_make_the_loop_spin() -> None:
    queue, holder = FakeQueue(ask_renew=away), Holder()
    async with keeping(queue, holder) as keeper:
        looked = 0
        distrust = keeper.distrust

        def counted() -> float | None:
            nonlocal looked
            looked += 1
            return distrust()

        keeper.distrust = counted
        await asyncio.sleep(600)
        assert holder.lost_at == [WINDOW]
        assert looked <= 2


@virtual
async def test_a_late_answer_does_not_give_a_distrusted_lease_back() -> None:
    async def late() -> None:
        await asyncio.sleep(RENEW - 0.1)

    queue, holder = FakeQueue(ask_renew=away), Holder()
    async with keeping(queue, holder) as keeper:
        await asyncio.sleep(WINDOW - 1)
        queue.ask_renew = late
        queue.cancels[holder.lease] = "interrupt"
        keeper.hurry()
        await asyncio.sleep(600)
        assert holder.lost_at == [WINDOW]
        assert holder.cancels == []


@virtual
async def test_a_lease_claimed_slowly_is_distrusted_before_the_others() -> None:
    queue, old, young = FakeQueue(), Holder(), Holder()
    async with keeping(queue, old) as keeper:
        await asyncio.sleep(RENEW + 0.5)
        queue.ask_renew = away
        # claimed at 0 as well, but its answer took longer than the other's renewal
        with keeper.holding(young.lease, since=1000, lost=young.lost, cancel=young.cancel):
            await old.told.wait()
        assert young.lost_at == [WINDOW]
        assert old.lost_at == [RENEW + WINDOW]


@virtual
async def test_a_lease_that_is_not_held_any_more_is_told_nothing() -> None:
    async def slow() -> None:
        await asyncio.sleep(1)

    queue, kept, ended = FakeQueue(ask_renew=slow), Holder(), Holder()
    async with keeping(queue, kept) as keeper:
        with keeper.holding(ended.lease, since=1000, lost=ended.lost, cancel=ended.cancel):
            await asyncio.sleep(RENEW + 0.5)
        # its run ended while the renewal was under way
        await asyncio.sleep(60)
        assert ended.lost_at == []
        assert kept.lost_at == []


@virtual
async def test_a_renewal_brings_the_cancellation_that_was_asked_for() -> None:
    queue, mine, other = FakeQueue(), Holder(), Holder()
    async with keeping(queue, mine, other):
        queue.cancels[mine.lease] = "rollback"
        await mine.told.wait()
        assert mine.cancels == [(RENEW, "rollback")]
        assert other.cancels == []


@virtual
async def test_a_cancellation_does_not_wait_for_the_next_renewal() -> None:
    queue, holder = FakeQueue(), Holder()
    async with keeping(queue, holder) as keeper:
        await asyncio.sleep(1)
        queue.cancels[holder.lease] = "interrupt"
        keeper.hurry()
        await holder.told.wait()
        assert holder.cancels == [(1, "interrupt")]


@virtual
async def test_a_hurry_during_a_renewal_is_followed_by_another_one() -> None:
    async def slow() -> None:
        await asyncio.sleep(1)

    queue, holder = FakeQueue(ask_renew=slow), Holder()
    async with keeping(queue, holder) as keeper:
        await asyncio.sleep(RENEW + 0.5)
        keeper.hurry()
        await asyncio.sleep(1.6)
        assert len(queue.renewed) == 2
