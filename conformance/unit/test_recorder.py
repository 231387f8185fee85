"""The recorder: events numbered without a gap, the urgent ones at once, the others together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from agenthub import recorder as module
from agenthub.errors import LeaseLost
from agenthub.recorder import Recorder
from testkit.fakes import FakeWriter, claimed
from testkit.virtual import LoopClock, moment, now, virtual

SLICE = 0.01


def recorder_of(writer: FakeWriter, *, last_seq: int = 0) -> Recorder:
    return Recorder(claimed(last_seq=last_seq), writer, LoopClock(), slice_seconds=SLICE)


@asynccontextmanager
async def recording(writer: FakeWriter, **how: int) -> AsyncGenerator[Recorder]:
    recorder = recorder_of(writer, **how)
    running = asyncio.create_task(recorder.run())
    await moment()
    yield recorder
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@virtual
async def test_numbers_go_on_after_the_last_event_of_the_task() -> None:
    writer = FakeWriter()
    async with recording(writer, last_seq=41) as recorder:
        for _ in range(3):
            recorder.emit("custom", b"1")
            await asyncio.sleep(1)
        assert writer.seqs == [42, 43, 44]
        assert {event.run_id for event in writer.events} == {recorder.run_id}


@pytest.mark.parametrize("kind", ["custom", "messages"])
def test_what_a_person_watches_goes_out_at_once(kind: str) -> None:
    @virtual
    async def run() -> None:
        writer = FakeWriter()
        async with recording(writer) as recorder:
            recorder.emit(kind, b"1")
            await moment()
            assert writer.moments == [now()] == [0]

    run()


@virtual
async def test_other_events_wait_one_slice_for_company() -> None:
    writer = FakeWriter()
    async with recording(writer) as recorder:
        recorder.emit("updates", b"1")
        await asyncio.sleep(SLICE * 0.6)
        recorder.emit("updates", b"2")
        await asyncio.sleep(1)
        assert [len(slice_) for slice_ in writer.slices] == [2]
        assert writer.moments == [pytest.approx(SLICE)]


@virtual
async def test_a_message_in_one_piece_waits_for_company_too() -> None:
    writer = FakeWriter()
    async with recording(writer) as recorder:
        recorder.emit("messages", b"1", whole=True)
        recorder.emit("updates", b"2")
        await asyncio.sleep(1)
        assert [len(slice_) for slice_ in writer.slices] == [2]
        assert writer.moments == [pytest.approx(SLICE)]


@virtual
async def test_an_urgent_event_takes_the_waiting_ones_along() -> None:
    writer = FakeWriter()
    async with recording(writer) as recorder:
        recorder.emit("updates", b"1")
        await asyncio.sleep(SLICE / 2)
        recorder.emit("messages", b"2")
        await moment()
        assert writer.kinds == ["updates", "messages"]
        assert writer.moments == [pytest.approx(SLICE / 2)]


@virtual
async def test_a_flood_is_cut_into_slices_of_that_length_and_keeps_its_order() -> None:
    writer = FakeWriter()
    async with recording(writer) as recorder:
        for i in range(1, 1001):
            recorder.emit("messages", str(i).encode())
            await asyncio.sleep(SLICE / 100)
        await asyncio.sleep(1)
        assert [int(event.data) for event in writer.events] == list(range(1, 1001))
        assert writer.seqs == list(range(1, 1001))
        gaps = [b - a for a, b in zip(writer.moments, writer.moments[1:], strict=False)]
        assert min(gaps) >= SLICE * 0.99
        assert len(writer.slices) <= 12


@virtual
async def test_what_arises_during_a_commit_goes_into_the_next_one() -> None:
    async def slow() -> None:
        await asyncio.sleep(1)

    writer = FakeWriter(ask=slow)
    async with recording(writer) as recorder:
        recorder.emit("custom", b"1")
        await asyncio.sleep(0.5)
        recorder.emit("custom", b"2")
        recorder.emit("updates", b"3")
        await asyncio.sleep(5)
        assert [[e.seq for e in slice_] for slice_ in writer.slices] == [[1], [2, 3]]


@virtual
async def test_an_agent_waits_while_too_much_is_waiting_to_be_committed() -> None:
    gate = asyncio.Event()
    writer = FakeWriter(ask=lambda: gate.wait())
    async with recording(writer) as recorder:
        recorder.emit("custom", b"0")
        await moment()
        emitted = 0

        async def agent() -> None:
            nonlocal emitted
            for _ in range(module.MOST_WAITING * 2):
                recorder.emit("custom", b"1")
                emitted += 1
                await recorder.room()

        talking = asyncio.create_task(agent())
        await asyncio.sleep(1)
        assert emitted == module.MOST_WAITING
        gate.set()
        await asyncio.wait_for(talking, 60)
        await asyncio.sleep(1)
        assert writer.seqs == list(range(1, module.MOST_WAITING * 2 + 2))


@virtual
async def test_the_rest_is_taken_once() -> None:
    writer = FakeWriter()
    recorder = recorder_of(writer)
    recorder.emit("updates", b"1")
    assert [event.seq for event in recorder.take()] == [1]
    assert recorder.take() == []


@virtual
async def test_a_rest_that_was_not_stored_leaves_no_gap() -> None:
    recorder = recorder_of(FakeWriter(), last_seq=5)
    recorder.emit("updates", b"1")
    recorder.emit("ended", b"2")
    recorder.rewind(recorder.take())
    recorder.emit("ended", b"3")
    assert [event.seq for event in recorder.take()] == [6]
    recorder.rewind([])
    recorder.emit("ended", b"4")
    assert [event.seq for event in recorder.take()] == [7]


@pytest.mark.parametrize("steps", range(12))
def test_wherever_the_recorder_is_cancelled_no_event_is_missing(steps: int) -> None:
    @virtual
    async def run() -> None:
        async def slow() -> None:
            for _ in range(3):
                await asyncio.sleep(0)

        writer = FakeWriter(ask=slow)
        recorder = recorder_of(writer)
        running = asyncio.create_task(recorder.run())
        for kind in ("updates", "custom", "updates"):
            recorder.emit(kind, b"1")
        for _ in range(steps):
            await asyncio.sleep(0)
        recorder.emit("custom", b"1")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        rest = [event.seq for event in recorder.take()]
        await asyncio.sleep(1)
        assert [*writer.seqs, *rest] == [1, 2, 3, 4]

    run()


@virtual
async def test_a_lost_lease_ends_the_recorder() -> None:
    async def lost() -> None:
        raise LeaseLost

    recorder = recorder_of(FakeWriter(ask=lost))
    recorder.emit("custom", b"1")
    with pytest.raises(LeaseLost):
        await recorder.run()
