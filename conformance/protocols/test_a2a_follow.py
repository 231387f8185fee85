"""Following a task when things are slow, late or gone: paces, and what no event tells."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest
from a2a.types.a2a_pb2 import TaskState
from google.protobuf.json_format import MessageToDict

from agenthub.agents import AgentInfo
from agenthub.errors import NotFound
from agenthub.events import ENDED, MESSAGES, STARTED, VALUES, Event, ended, started
from agenthub.json import dumps
from agenthub.principal import ANONYMOUS, Principal
from agenthub.runs import Run, Task
from agenthub.service import Hub
from agenthub_a2a import follow
from agenthub_a2a.follow import CHUNK_CHARACTERS, SETTLED, TERMINAL, opened, updates
from agenthub_a2a.live import Live, Update

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
INFO = AgentInfo(name="chat", description="")
RUN = Run(
    tenant="default",
    run_id=UUID(int=2),
    thread_id=UUID(int=1),
    task_id=UUID(int=2),
    agent="chat",
    kind="input",
    status="running",
    attempts=1,
    created_at=NOW,
    updated_at=NOW,
)
TASK = Task(
    tenant="default",
    task_id=RUN.task_id,
    thread_id=RUN.thread_id,
    agent="chat",
    status="working",
    subject="anonymous",
    created_at=NOW,
    updated_at=NOW,
    last_seq=0,
    runs=(RUN,),
)


class Stored:
    """The part of the hub that a follower reads: a task, its run and its log."""

    def __init__(self, task: Task | None = TASK, run: Run = RUN, log: Sequence[Event] = ()) -> None:
        self.stored, self.stored_run, self.events = task, run, log
        self.streams = self
        self.log = self
        self.tail = self
        self.told: list[UUID] = []

    def publish(self, task_id: UUID, events: Sequence[Event]) -> None:
        assert not events
        self.told.append(task_id)

    async def task(self, who: Principal, task_id: UUID) -> Task:
        if self.stored is None:
            raise NotFound("it is gone")
        return self.stored

    async def run(self, who: Principal, run_id: UUID) -> Run:
        return self.stored_run

    async def read(
        self, tenant: str, task_id: UUID, *, after: int, limit: int = 1000, **_: Any
    ) -> list[Event]:
        return [e for e in self.events if e.seq > after][:limit]

    def hub(self) -> Hub:
        return cast("Hub", self)


def event(seq: int, kind: str, data: bytes) -> Event:
    return Event(seq, RUN.run_id, kind, data)


def begun() -> Event:
    return event(1, STARTED, started(RUN.run_id, 1))


def said(seq: int, text: str) -> Event:
    return event(seq, MESSAGES, dumps([{"type": "AIMessageChunk", "content": text}, {}]))


def finished(seq: int, **how: Any) -> Event:
    return event(seq, ENDED, ended(RUN.run_id, how.pop("status", "success"), **how))


class Slices:
    """A tail that a test feeds."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Sequence[Event]] = asyncio.Queue()
        self.closed = False

    def put(self, *events: Event) -> None:
        self.queue.put_nowait(events)

    async def __call__(self) -> AsyncGenerator[Sequence[Event], None]:
        try:
            while True:
                yield await self.queue.get()
        finally:
            self.closed = True


def following(stored: Stored, slices: Slices, live: Live) -> AsyncGenerator[Update, None]:
    return updates(stored.hub(), ANONYMOUS, live, slices(), until=SETTLED)


def text(update: Update) -> str:
    return cast("Any", update).artifact.parts[0].text


@pytest.fixture
def slices() -> Slices:
    return Slices()


async def test_the_first_text_leaves_at_once_and_the_next_within_the_pace(
    slices: Slices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "PACE_SECONDS", 2.0)
    async with asyncio.timeout(20), aclosing(following(Stored(), slices, Live(INFO, TASK))) as told:
        slices.put(begun())
        assert (await anext(told)).status.state == TaskState.TASK_STATE_WORKING  # type: ignore[union-attr]
        since = time.monotonic()
        slices.put(said(2, "a"))
        assert text(await anext(told)) == "a"
        for n, word in enumerate("bcd"):
            slices.put(said(3 + n, word))
        # nothing follows, and still the text does not stay behind
        assert text(await anext(told)) == "bcd"
        assert time.monotonic() - since > 1.9
    assert slices.closed


async def test_much_text_does_not_wait_for_the_pace(
    slices: Slices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "PACE_SECONDS", 600.0)
    async with asyncio.timeout(20), aclosing(following(Stored(), slices, Live(INFO, TASK))) as told:
        slices.put(begun(), said(2, "a"))
        await anext(told)
        await anext(told)
        slices.put(said(3, "b" * CHUNK_CHARACTERS))
        assert len(text(await anext(told))) == CHUNK_CHARACTERS


async def test_leaving_while_nothing_happens_closes_the_tail(slices: Slices) -> None:
    told = following(Stored(), slices, Live(INFO, TASK))
    slices.put(begun())
    await anext(told)
    waiting = asyncio.ensure_future(anext(told))
    await asyncio.wait({waiting}, timeout=0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await told.aclose()
    assert slices.closed


async def test_a_task_that_was_ended_without_an_event_is_told_after_a_quiet_moment(
    slices: Slices,
) -> None:
    stored = Stored(replace(TASK, status="canceled"))
    slices.put()
    async with asyncio.timeout(20):
        (update,) = [u async for u in following(stored, slices, Live(INFO, TASK))]
    assert cast("Any", update).status.state == TaskState.TASK_STATE_CANCELED
    assert stored.told == [TASK.task_id], "nobody else may have noticed"


async def test_a_stream_of_a_deleted_task_closes(slices: Slices) -> None:
    slices.put()
    async with asyncio.timeout(20):
        stored = Stored(None)
        assert [u async for u in following(stored, slices, Live(INFO, TASK))] == []
    assert stored.told == [TASK.task_id]


async def test_a_quiet_moment_says_nothing_while_events_are_still_to_come(slices: Slices) -> None:
    # the row is ahead of the reader: the end will be read from the log
    stored = Stored(replace(TASK, status="failed", last_seq=2))
    slices.put()
    slices.put(begun(), finished(2, status="error", error={"error": "E", "message": "no"}))
    async with asyncio.timeout(20):
        told = [cast("Any", u) async for u in following(stored, slices, Live(INFO, TASK))]
    assert [u.status.state for u in told] == [
        TaskState.TASK_STATE_WORKING,
        TaskState.TASK_STATE_FAILED,
    ]
    assert told[-1].status.message.parts[0].text == "no"


async def test_a_result_whose_values_were_not_seen_is_read_from_the_run(slices: Slices) -> None:
    stored = Stored(run=replace(RUN, output={"x": 1}))
    slices.put(finished(9))
    async with asyncio.timeout(20):
        result, _ = [cast("Any", u) async for u in following(stored, slices, Live(INFO, TASK))]
    assert MessageToDict(result.artifact.parts[0].data) == {"x": 1}


async def test_a_snapshot_stands_exactly_where_its_task_was_read(slices: Slices) -> None:
    log = [begun(), *(said(n, f"{n} ") for n in range(2, 1500))]
    task = replace(TASK, last_seq=1200)
    live = await opened(Stored(log=log).hub(), INFO, task)
    assert live.seq == 1200
    assert live.text == "".join(f"{n} " for n in range(2, 1201))
    slices.put(*log[1200:], event(1500, VALUES, dumps("done")), finished(1501))
    told = [u async for u in updates(Stored().hub(), ANONYMOUS, live, slices(), until=TERMINAL)]
    assert text(told[0]) == "".join(f"{n} " for n in range(1201, 1500))
    assert cast("Any", told[0]).append
