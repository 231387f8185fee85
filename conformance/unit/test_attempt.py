"""Attempts: every way that one can end, and that each writes exactly one end, or none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from agenthub.attempt import Attempt
from agenthub.errors import LeaseLost
from agenthub.interrupts import Interrupt
from agenthub.ports import Claimed, Finish
from agenthub.recorder import Recorder
from agenthub.retries import pause_before
from agenthub.runs import RunRequest
from testkit.fakes import FakeQueue, FakeWriter, claimed
from testkit.virtual import LoopClock, moment, now, virtual

GRACE = 5.0
DONE = Finish(status="success", output=b'{"n":1}')
Agent = Callable[[Recorder], Awaitable[Finish]]


@dataclass
class FakeEngine:
    """Runs a function, and says whether it did."""

    agent: Agent
    ran: int = 0

    async def execute(self, claimed: Claimed, recorder: Recorder) -> Finish:
        self.ran += 1
        return await self.agent(recorder)


@dataclass
class Scene:
    """An attempt with everything around it."""

    agent: Agent
    claimed: Claimed = field(default_factory=claimed)
    writer: FakeWriter = field(default_factory=FakeWriter)
    queue: FakeQueue = field(default_factory=FakeQueue)

    def __post_init__(self) -> None:
        self.engine = FakeEngine(self.agent)
        self.attempt = Attempt(
            self.claimed,
            engine=self.engine,
            writer=self.writer,
            queue=self.queue,
            clock=LoopClock(),
            slice_seconds=0.01,
            cancel_grace_seconds=GRACE,
        )

    async def begin(self) -> asyncio.Task[list[str]]:
        running = asyncio.create_task(self.attempt.run())
        await moment()
        return running

    @property
    def finish(self) -> Finish:
        (finish,) = self.writer.finished
        return finish

    @property
    def ended(self) -> Any:
        (event,) = [event for event in self.writer.events if event.kind == "ended"]
        assert event is self.writer.events[-1]
        assert self.writer.seqs == list(range(1, len(self.writer.seqs) + 1))
        return event.json()


async def done(_: Recorder) -> Finish:
    return DONE


async def stays(_: Recorder) -> Finish:
    await asyncio.Event().wait()
    raise AssertionError


@virtual
async def test_a_finished_run_has_one_commit_with_all_its_events() -> None:
    async def agent(recorder: Recorder) -> Finish:
        recorder.emit("updates", b"{}")
        return Finish(status="success", interrupts=(Interrupt("q", "Go?"),))

    scene = Scene(agent, writer=FakeWriter(promotes=["b"]))
    assert await scene.attempt.run() == ["b"]
    assert [[e.kind for e in s] for s in scene.writer.slices] == [["started", "updates", "ended"]]
    assert scene.finish.status == "success"
    assert scene.ended["interrupts"] == [{"id": "q", "value": "Go?", "response_schema": None}]


@virtual
async def test_the_first_event_says_which_attempt_it_is() -> None:
    scene = Scene(done)
    await scene.attempt.run()
    first = scene.writer.events[0].json()
    assert (first["run_id"], first["attempt"]) == (str(scene.claimed.lease.run_id), 1)


@virtual
async def test_a_lost_lease_stops_the_agent_and_writes_nothing_more() -> None:
    scene = Scene(stays)
    running = await scene.begin()
    await asyncio.sleep(1)
    written = scene.writer.seqs
    scene.attempt.lost()
    assert await running == []
    assert scene.writer.finished == []
    assert scene.writer.seqs == written
    assert scene.queue.released == []


@virtual
async def test_an_agent_that_was_done_when_the_lease_was_lost_is_not_finished() -> None:
    async def agent(_: Recorder) -> Finish:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return DONE
        raise AssertionError

    scene = Scene(agent)
    running = await scene.begin()
    scene.attempt.lost()
    assert await running == []
    assert scene.writer.finished == []


@virtual
async def test_events_that_are_refused_stop_the_agent() -> None:
    async def refused() -> None:
        raise LeaseLost

    scene = Scene(stays, writer=FakeWriter(ask=refused))
    assert await scene.attempt.run() == []
    assert scene.writer.finished == []


@virtual
async def test_events_that_cannot_be_written_stop_the_agent() -> None:
    async def broken() -> None:
        raise ValueError("the disk is full")

    scene = Scene(stays, writer=FakeWriter(ask=broken))
    assert await scene.attempt.run() == []
    assert scene.writer.finished == []


@virtual
async def test_an_engine_that_finds_the_lease_lost_ends_the_attempt() -> None:
    async def agent(_: Recorder) -> Finish:
        raise LeaseLost

    scene = Scene(agent)
    assert await scene.attempt.run() == []
    assert scene.writer.finished == []


@virtual
async def test_a_finish_that_is_refused_is_not_tried_again() -> None:
    tries = 0

    async def refused() -> None:
        nonlocal tries
        tries += 1
        raise LeaseLost

    scene = Scene(done, writer=FakeWriter(ask_finish=refused))
    assert await scene.attempt.run() == []
    assert tries == 1


@pytest.mark.parametrize("action", ["interrupt", "rollback"])
def test_a_cancelled_run_ends_as_interrupted(action: Any) -> None:
    @virtual
    async def run() -> None:
        scene = Scene(stays)
        running = await scene.begin()
        scene.attempt.cancel(action)
        await running
        assert now() == 0
        assert scene.finish.status == "interrupted"
        assert scene.finish.drop_checkpoints == (action == "rollback")
        assert scene.ended["status"] == "interrupted"
        assert scene.ended["error"]["error"] == "UserInterrupt"

    run()


@virtual
async def test_an_agent_may_clean_up_after_its_cancellation() -> None:
    cleaned = False

    async def agent(_: Recorder) -> Finish:
        nonlocal cleaned
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(GRACE - 1)
            cleaned = True
        raise AssertionError

    scene = Scene(agent)
    running = await scene.begin()
    scene.attempt.cancel("interrupt")
    await running
    assert cleaned
    assert scene.finish.status == "interrupted"


@virtual
async def test_an_agent_that_ends_well_in_spite_of_its_cancellation_keeps_its_result() -> None:
    async def agent(_: Recorder) -> Finish:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return DONE
        raise AssertionError

    scene = Scene(agent)
    running = await scene.begin()
    scene.attempt.cancel("interrupt")
    await running
    assert scene.finish == DONE


@virtual
async def test_an_agent_that_fails_in_its_clean_up_is_cancelled_all_the_same() -> None:
    async def agent(_: Recorder) -> Finish:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("no")

    scene = Scene(agent)
    running = await scene.begin()
    scene.attempt.cancel("interrupt")
    await running
    assert scene.finish.status == "interrupted"


@pytest.mark.parametrize("stop", ["interrupt", "drain", "lost"])
def test_an_agent_that_ignores_its_cancellation_is_left_behind(stop: Any) -> None:
    @virtual
    async def run() -> None:
        stubborn: list[asyncio.Task[Any]] = []

        async def agent(recorder: Recorder) -> Finish:
            task = asyncio.current_task()
            assert task is not None
            stubborn.append(task)
            while not over.is_set():
                try:
                    await over.wait()
                except asyncio.CancelledError:
                    continue
            return DONE

        over = asyncio.Event()
        scene = Scene(agent)
        running = await scene.begin()
        scene.attempt.stop(stop)
        finished, _ = await asyncio.wait([running], timeout=GRACE * 10)
        took = now()
        over.set()
        await asyncio.wait([running, *stubborn])
        assert finished, "the attempt waits for an agent that does not listen"
        assert took == GRACE
        assert [f.status for f in scene.writer.finished] == (
            ["interrupted"] if stop == "interrupt" else []
        )
        assert scene.queue.released == ([scene.claimed.lease] if stop == "drain" else [])

    run()


@virtual
async def test_an_agent_that_cancels_itself_has_failed() -> None:
    async def agent(_: Recorder) -> Finish:
        raise asyncio.CancelledError

    scene = Scene(agent)
    await scene.attempt.run()
    assert scene.finish.status == "error"
    assert scene.ended["error"] == {"error": "Cancelled", "message": "the agent cancelled itself"}


@virtual
async def test_an_engine_that_breaks_says_nothing_of_its_inside() -> None:
    async def agent(_: Recorder) -> Finish:
        raise RuntimeError("password=secret")

    scene = Scene(agent)
    await scene.attempt.run()
    assert scene.finish.status == "error"
    assert scene.ended["error"]["error"] == "InternalError"
    assert b"secret" not in b"".join(event.data for event in scene.writer.events)


@virtual
async def test_a_run_whose_result_cannot_be_stored_has_failed_and_its_log_has_no_gap() -> None:
    tries = 0

    async def first_refused() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ValueError("unsupported Unicode escape sequence")

    async def agent(recorder: Recorder) -> Finish:
        recorder.emit("custom", b"1")
        await asyncio.sleep(1)
        recorder.emit("updates", b"2")
        return DONE

    scene = Scene(agent, writer=FakeWriter(ask_finish=first_refused))
    await scene.attempt.run()
    assert scene.finish.status == "error"
    assert scene.ended["status"] == "error"
    assert scene.ended["error"]["error"] == "InternalError"
    assert scene.writer.kinds == ["started", "custom", "updates", "ended"], "what was said is told"


@virtual
async def test_a_run_whose_last_events_cannot_be_stored_either_ends_all_the_same() -> None:
    refusals = 0

    async def refused() -> None:
        nonlocal refusals
        if refusals < 2:
            refusals += 1
            raise ValueError("the database refuses it")

    async def agent(recorder: Recorder) -> Finish:
        recorder.emit("updates", b"bad")
        return DONE

    writer = FakeWriter(ask=refused, ask_finish=refused)
    scene = Scene(agent, writer=writer)
    await scene.attempt.run()
    assert refusals == 2
    assert (scene.finish.status, scene.writer.kinds) == ("error", ["ended"])
    assert scene.ended["error"]["error"] == "InternalError"


@virtual
async def test_a_run_that_drains_is_given_back_after_its_last_events() -> None:
    async def agent(recorder: Recorder) -> Finish:
        try:
            await asyncio.Event().wait()
        finally:
            recorder.emit("updates", b"{}")
        raise AssertionError

    scene = Scene(agent)
    running = await scene.begin()
    scene.attempt.stop("drain")
    assert await running == ["a"]
    assert scene.queue.released == [scene.claimed.lease]
    assert scene.writer.finished == []
    assert scene.writer.kinds == ["started", "updates"]


@virtual
async def test_a_run_whose_lease_is_lost_while_it_drains_is_not_given_back() -> None:
    async def refused() -> None:
        raise LeaseLost

    scene = Scene(stays)
    running = await scene.begin()
    await asyncio.sleep(1)
    scene.writer.ask = refused
    scene.attempt.stop("drain")
    assert await running == []
    assert scene.queue.released == []


@virtual
async def test_a_run_that_ends_while_it_drains_is_finished() -> None:
    async def agent(_: Recorder) -> Finish:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return DONE
        raise AssertionError

    scene = Scene(agent)
    running = await scene.begin()
    scene.attempt.stop("drain")
    await running
    assert scene.finish == DONE
    assert scene.queue.released == []


@virtual
async def test_the_first_reason_to_stop_counts() -> None:
    scene = Scene(stays)
    running = await scene.begin()
    scene.attempt.cancel("interrupt")
    scene.attempt.stop("drain")
    scene.attempt.cancel("rollback")
    await running
    assert scene.finish.status == "interrupted"
    assert not scene.finish.drop_checkpoints
    assert scene.queue.released == []


@virtual
async def test_a_lost_lease_overrules_a_cancellation() -> None:
    scene = Scene(stays)
    running = await scene.begin()
    scene.attempt.cancel("interrupt")
    scene.attempt.lost()
    await running
    assert scene.writer.finished == []


@pytest.mark.parametrize("action", ["interrupt", "rollback"])
def test_a_run_that_was_to_be_cancelled_before_it_began_is_not_executed(action: Any) -> None:
    @virtual
    async def run() -> None:
        scene = Scene(done, claimed=claimed(cancel=action, last_seq=0))
        await scene.attempt.run()
        assert scene.engine.ran == 0
        assert scene.finish.status == "interrupted"
        assert scene.finish.drop_checkpoints == (action == "rollback")

    run()


@virtual
async def test_an_attempt_that_is_cancelled_itself_takes_its_agent_along() -> None:
    stopped = False

    async def agent(_: Recorder) -> Finish:
        nonlocal stopped
        try:
            await asyncio.Event().wait()
        finally:
            stopped = True
        raise AssertionError

    scene = Scene(agent)
    running = await scene.begin()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await moment()
    assert stopped
    assert scene.writer.finished == []


async def stumbles(recorder: Recorder) -> Finish:
    recorder.emit("updates", b"{}")
    return Finish(status="error", error={"error": "E", "message": "no"})


@virtual
async def test_an_agent_that_fails_is_tried_again_when_its_run_says_so() -> None:
    retry = {"max_attempts": 2, "initial_interval": 4.0}
    scene = Scene(stumbles, claimed=replace(claimed(), request=RunRequest(retry=retry)))
    assert await scene.attempt.run() == []
    assert scene.writer.finished == []
    assert [e.kind for e in scene.writer.events] == ["started", "updates"]
    ((after, error),) = scene.queue.retried
    assert (3.0 <= after.total_seconds() <= 4.0, error["message"]) == (True, "no")


@virtual
async def test_the_last_try_ends_the_run() -> None:
    retry = {"max_attempts": 2}
    last = replace(claimed(), request=RunRequest(retry=retry), retries=1)
    scene = Scene(stumbles, claimed=last)
    await scene.attempt.run()
    assert scene.finish.status == "error"
    assert scene.queue.retried == []


@virtual
async def test_a_run_that_was_cancelled_is_not_tried_again() -> None:
    async def fails_when_cancelled(recorder: Recorder) -> Finish:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return await stumbles(recorder)
        raise AssertionError

    retried = replace(claimed(), request=RunRequest(retry={"max_attempts": 2}))
    scene = Scene(fails_when_cancelled, claimed=retried)
    running = asyncio.create_task(scene.attempt.run())
    await moment()
    scene.attempt.cancel("interrupt")
    await running
    assert scene.queue.retried == []
    assert scene.finish.status == "error"


def test_pauses_grow_to_a_limit() -> None:
    retry = {"max_attempts": 100, "initial_interval": 1.0, "max_interval": 10.0}
    pauses = [pause_before(retry, tried) for tried in (0, 1, 2, 3, 98)]
    seconds = [pause.total_seconds() for pause in pauses if pause is not None]
    for least, got in zip((0.75, 1.5, 3.0, 6.0, 7.5), seconds, strict=True):
        assert least <= got <= least / 0.75
    assert pause_before(retry, 99) is None
    assert pause_before(None, 0) is None
