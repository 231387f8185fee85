"""The worker: what it claims and when, what it outlives, and how it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from agenthub.config import Config
from agenthub.crowd import FEW, LEAST, LOOK_SECONDS, PATIENCE_SECONDS
from agenthub.ports import Claimed, Finish, control_topic, work_topic
from agenthub.recorder import Recorder
from agenthub.worker import Worker
from testkit.fakes import FakeDoorbell, FakeQueue, FakeWriter, claimed
from testkit.virtual import LoopClock, moment, now, virtual

DONE = Finish(status="success")
POLL = 10.0


@dataclass
class Gates:
    """An engine whose runs end when they are told to."""

    started: list[Any] = field(default_factory=list)
    running: set[Any] = field(default_factory=set)
    cancelled: list[tuple[float, Any]] = field(default_factory=list)
    most: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    ends: dict[Any, asyncio.Event] = field(default_factory=dict[Any, asyncio.Event])

    def done(self, run_id: Any) -> None:
        self.ends[run_id].set()

    async def execute(self, claimed: Claimed, recorder: Recorder) -> Finish:
        run_id = claimed.lease.run_id
        self.started.append(run_id)
        self.running.add(run_id)
        self.most = max(self.most, len(self.running))
        own = self.ends[run_id] = asyncio.Event()
        either = [asyncio.ensure_future(event.wait()) for event in (self.gate, own)]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self.cancelled.append((now(), run_id))
            raise
        finally:
            for wait in either:
                wait.cancel()
            self.running.discard(run_id)
        return DONE


@dataclass
class Scene:
    """A worker of the agents `a` and `b` with everything around it."""

    config: Config = field(default_factory=lambda: Config(poll_seconds=POLL, slots=4))
    queue: FakeQueue = field(default_factory=FakeQueue)
    renewals: FakeQueue = field(default_factory=FakeQueue)
    writer: FakeWriter = field(default_factory=FakeWriter)
    doorbell: FakeDoorbell = field(default_factory=FakeDoorbell)
    engine: Gates = field(default_factory=Gates)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    clock: LoopClock = field(default_factory=LoopClock)

    def __post_init__(self) -> None:
        self.renewals.held = self.queue.held
        self.renewals.cancels = self.queue.cancels
        self.worker = Worker(
            worker_id="w",
            agents=["a", "b"],
            engine=self.engine,
            queue=self.queue,
            renewals=self.renewals,
            writer=self.writer,
            doorbell=self.doorbell,
            clock=self.clock,
            config=self.config,
        )

    async def enqueue(self, count: int = 1, *, ring: bool = True) -> list[Claimed]:
        runs = [claimed() for _ in range(count)]
        self.queue.waiting += runs
        if ring:
            await self.doorbell.ring([work_topic("a")])
        await moment()
        return runs


@asynccontextmanager
async def working(scene: Scene) -> AsyncGenerator[asyncio.Task[None]]:
    """A running worker; at the end everything may finish, and it is stopped."""
    running = asyncio.create_task(scene.worker.run(scene.stopping))
    await moment()
    yield running
    scene.engine.gate.set()
    await moment()
    scene.stopping.set()
    await running


@virtual
async def test_an_idle_worker_asks_once_and_then_waits_for_the_bell() -> None:
    scene = Scene()
    async with working(scene):
        await asyncio.sleep(POLL / 2)
        assert scene.queue.limits == [4]
        await scene.enqueue()
        assert now() == POLL / 2
        assert len(scene.engine.running) == 1


@virtual
async def test_a_run_whose_bell_was_lost_is_found_by_polling() -> None:
    scene = Scene()
    async with working(scene):
        await scene.enqueue(ring=False)
        assert scene.engine.started == []
        await asyncio.sleep(POLL * 1.25)
        assert len(scene.engine.started) == 1


@virtual
async def test_no_more_is_claimed_than_slots_are_free() -> None:
    scene = Scene()
    async with working(scene):
        await scene.enqueue(3)
        await scene.enqueue(3)
        assert len(scene.engine.running) == 4
        assert len(scene.queue.waiting) == 2
        assert scene.queue.limits[-1] == 1
        assert 0 not in scene.queue.limits


@virtual
async def test_what_a_full_worker_cannot_take_is_left_to_those_who_can() -> None:
    scene = Scene()
    topic = work_topic("a")
    async with working(scene):
        await scene.enqueue(6)
        # two are left, and whoever waits next hears of them
        assert scene.doorbell.bells[topic].is_set()
        await scene.doorbell.ring([topic])
        await moment()
        assert scene.doorbell.bells[topic].is_set()
        scene.engine.done(scene.engine.started[0])
        await moment()
        assert len(scene.engine.started) == 5


@virtual
async def test_what_comes_back_to_the_line_beside_a_full_worker_is_rung_for() -> None:
    scene = Scene()
    async with working(scene):
        await scene.enqueue(4)
        scene.doorbell.rung.clear()
        scene.queue.promoted = ["a"]
        await asyncio.sleep(scene.config.reap_seconds)
        assert scene.doorbell.rung == [work_topic("a")]


@virtual
async def test_a_slot_that_becomes_free_is_filled_at_once() -> None:
    scene = Scene()
    async with working(scene):
        await scene.enqueue(9)
        scene.engine.gate.set()
        await moment()
        assert len(scene.engine.started) == 9
        assert scene.engine.most == 4
        assert now() == 0


@virtual
async def test_a_long_line_is_claimed_in_batches() -> None:
    scene = Scene(config=Config(slots=100, claim_batch=5))
    async with working(scene):
        await scene.enqueue(12)
        assert len(scene.engine.running) == 12
        assert set(scene.queue.limits) == {5}


def crowded(busy: float) -> Scene:
    return Scene(config=Config(slots=100, claim_batch=50), clock=LoopClock(busy))


@virtual
async def test_a_loop_without_a_pause_keeps_few_runs_at_once() -> None:
    scene = crowded(busy=1.0)
    async with working(scene):
        await scene.enqueue(60)
        await asyncio.sleep(PATIENCE_SECONDS / 2)
        assert len(scene.engine.running) == FEW
        assert scene.queue.limits == [FEW, FEW]  # the first when it came and found nothing


@virtual
async def test_a_loop_with_pauses_takes_as_many_as_there_are_slots() -> None:
    scene = crowded(busy=0.5)
    async with working(scene):
        await scene.enqueue(100)
        await asyncio.sleep(LOOK_SECONDS * 2.5)
        assert len(scene.engine.running) == 100


@virtual
async def test_where_a_busy_loop_has_come_to_an_end_with_some_others_start() -> None:
    scene = crowded(busy=1.0)
    async with working(scene):
        await scene.enqueue(60)
        for one in list(scene.engine.running)[: LEAST - 1]:
            scene.engine.done(one)
        await asyncio.sleep(PATIENCE_SECONDS / 2)
        assert len(scene.engine.started) == FEW
        scene.engine.done(next(iter(scene.engine.running)))
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert len(scene.engine.started) == FEW + LEAST


@virtual
async def test_what_is_only_to_be_written_crowds_nobody() -> None:
    scene = crowded(busy=1.0)
    written = asyncio.Event()

    async def until_written() -> None:
        await written.wait()

    scene.writer.ask_finish = until_written
    async with working(scene):
        await scene.enqueue(60)
        for one in list(scene.engine.running):
            scene.engine.done(one)
        await asyncio.sleep(PATIENCE_SECONDS / 2)
        assert len(scene.engine.started) == 2 * FEW
        written.set()


@virtual
async def test_behind_runs_that_never_pause_some_more_start_after_a_while() -> None:
    scene = crowded(busy=1.0)
    async with working(scene):
        await scene.enqueue(60)
        await asyncio.sleep(PATIENCE_SECONDS * 2.5)
        assert len(scene.engine.running) == FEW + 2 * LEAST


@virtual
async def test_a_worker_that_waits_for_room_leaves_without_a_claim() -> None:
    scene = crowded(busy=1.0)
    async with working(scene):
        await scene.enqueue(60)
        scene.engine.gate.set()
        scene.stopping.set()
        await moment()
    assert scene.queue.limits == [FEW, FEW]


@virtual
async def test_a_bell_that_rings_during_a_claim_is_not_lost() -> None:
    claiming, answer = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        claiming.set()
        await answer.wait()

    class Sees(FakeQueue):
        async def claim(self, **how: Any) -> Any:
            # what it sees is decided before it answers
            seen, self.waiting = self.waiting, []
            await slow()
            self.held |= {one.lease for one in seen}
            return seen

    scene = Scene(queue=Sees())
    async with working(scene):
        await claiming.wait()
        await scene.enqueue()
        answer.set()
        await moment()
        assert len(scene.engine.started) == 1
        assert now() == 0


@virtual
async def test_a_worker_outlives_a_database_that_is_away() -> None:
    async def away() -> None:
        raise OSError("the database is away")

    scene = Scene(queue=FakeQueue(ask_claim=away, ask_reap=away))
    async with working(scene):
        await asyncio.sleep(600)
        tries = len(scene.queue.limits)
        assert 600 <= tries <= 1300, "it must neither give up nor spin"
        scene.queue.ask_claim = FakeQueue().ask_claim
        await scene.enqueue(ring=False)
        await asyncio.sleep(1)
        assert len(scene.engine.started) == 1


@virtual
async def test_a_worker_that_cannot_renew_stops_its_runs_before_their_leases_end() -> None:
    async def away() -> None:
        raise OSError("the database is away")

    scene = Scene()
    async with working(scene):
        (run,) = await scene.enqueue()
        scene.renewals.ask_renew = away
        await asyncio.sleep(60)
        trust = scene.config.lease_seconds - scene.config.lease_margin_seconds
        assert scene.engine.cancelled == [(trust, run.lease.run_id)]
        assert scene.writer.finished == []


@virtual
async def test_a_cancellation_that_rings_the_worker_is_heard_at_once() -> None:
    scene = Scene()
    async with working(scene):
        run, other = await scene.enqueue(2)
        await asyncio.sleep(1)
        scene.queue.cancels[run.lease] = "interrupt"
        await scene.doorbell.ring([control_topic("w")])
        await moment()
        assert scene.engine.cancelled == [(1, run.lease.run_id)]
        assert scene.engine.running == {other.lease.run_id}
        assert [finish.status for finish in scene.writer.finished] == ["interrupted"]


@virtual
async def test_an_attempt_that_breaks_leaves_the_worker_going() -> None:
    class Broken(Gates):
        async def execute(self, claimed: Claimed, recorder: Recorder) -> Finish:
            await super().execute(claimed, recorder)
            recorder.take = None
            return DONE

    scene = Scene(engine=Broken())
    scene.engine.gate.set()
    async with working(scene) as running:
        await scene.enqueue(2)
        assert len(scene.engine.started) == 2
        assert not running.done()
        assert scene.queue.released == []


@virtual
async def test_promoted_runs_of_its_own_agents_are_claimed_and_others_are_rung_for() -> None:
    scene = Scene(writer=FakeWriter(promotes=["b", "elsewhere"]))
    async with working(scene):
        await scene.enqueue()
        asked = len(scene.queue.limits)
        scene.doorbell.rung.clear()
        scene.engine.gate.set()
        await moment()
        assert scene.doorbell.rung == [work_topic("elsewhere")]
        # and since nothing new was there, those of dead workers
        assert scene.queue.rooms[asked:] == [[], [256, 16, 1]]


@virtual
async def test_what_the_reaper_returns_to_the_line_is_rung_for() -> None:
    scene = Scene()
    async with working(scene):
        asked = len(scene.queue.limits)
        scene.queue.promoted = ["a", "elsewhere"]
        await asyncio.sleep(scene.config.reap_seconds)
        assert scene.doorbell.rung == [work_topic("elsewhere")]
        # those of dead workers, at once
        assert scene.queue.rooms[asked:] == [[256, 16, 1]]


@virtual
async def test_the_reaper_rests_between_its_rounds() -> None:
    scene = Scene()
    async with working(scene):
        await asyncio.sleep(600)
        reap = scene.config.reap_seconds
        assert 600 / reap <= scene.queue.reaped <= 600 / reap / 0.75 + 1


@virtual
async def test_a_stopping_worker_lets_its_runs_end_and_claims_no_more() -> None:
    scene = Scene()
    async with working(scene) as running:
        await scene.enqueue()
        scene.stopping.set()
        await moment()
        asked = len(scene.queue.limits)
        await scene.enqueue()
        await asyncio.sleep(scene.config.drain_seconds - 1)
        scene.engine.gate.set()
        await running
        assert [finish.status for finish in scene.writer.finished] == ["success"]
        assert scene.queue.released == []
        assert len(scene.queue.limits) == asked


@virtual
async def test_a_stopping_worker_gives_back_what_takes_too_long_and_then_rings() -> None:
    rung_after_release: list[bool] = []

    class Watched(FakeDoorbell):
        async def ring(self, topics: Any) -> None:
            rung_after_release.append(len(scene.queue.released) == 2)
            await super().ring(topics)

    scene = Scene(doorbell=Watched())
    async with working(scene) as running:
        runs = await scene.enqueue(2)
        scene.stopping.set()
        await running
        assert now() == scene.config.drain_seconds
        assert set(scene.queue.released) == {run.lease for run in runs}
        assert scene.writer.finished == []
        assert rung_after_release[-1]


@virtual
async def test_what_a_claim_in_flight_takes_from_a_stopping_worker_is_given_back_at_once() -> None:
    answer = asyncio.Event()
    scene = Scene(queue=FakeQueue(ask_claim=answer.wait))
    async with working(scene) as running:
        (run,) = await scene.enqueue()
        scene.stopping.set()
        await moment()
        assert not running.done()
        answer.set()
        await running
        assert scene.queue.released == [run.lease]
        assert scene.engine.started == []


@virtual
async def test_of_runs_whose_workers_died_the_fewer_run_together_the_oftener_they_did() -> None:
    scene = Scene(config=Config(poll_seconds=POLL, slots=4, max_failures=3))
    async with working(scene):
        assert scene.queue.rooms == [[256, 16, 1]]
        scene.queue.waiting += [claimed(failures=3), claimed(failures=1)]
        await scene.doorbell.ring([work_topic("a")])
        await moment()
        assert scene.queue.rooms[-1] == [256, 16, 1]
        await scene.enqueue()
        await scene.doorbell.ring([work_topic("a")])
        await moment()
        assert scene.queue.rooms[-1] == [254, 15, 0]


@virtual
async def test_what_is_reaped_while_a_claim_is_in_flight_is_looked_for_behind_it() -> None:
    answer = asyncio.Event()
    scene = Scene()
    async with working(scene):
        scene.queue.ask_claim = answer.wait
        scene.queue.waiting += [claimed()]
        await scene.doorbell.ring([work_topic("a")])
        await moment()
        assert scene.queue.rooms[-1] == [], "a look for new runs is in flight"
        asked = len(scene.queue.rooms)
        scene.queue.promoted = ["a"]
        await asyncio.sleep(scene.config.reap_seconds)
        # and new ones come, so that no look is for nothing
        answer.set()
        await asyncio.sleep(0)
        scene.queue.waiting += [claimed()]
        await moment()
        assert scene.queue.rooms[asked] == [256, 16, 1]


@virtual
async def test_runs_of_dead_workers_wait_for_no_pause_in_the_new_ones() -> None:
    scene = Scene()
    async with working(scene):
        asked = len(scene.queue.rooms)
        scene.queue.waiting += [claimed(failures=1)]
        for _ in range(3):
            await scene.enqueue()
            await asyncio.sleep(POLL * 0.6)
        rooms = scene.queue.rooms[asked:]
        assert len(rooms) == 3, "rung for each time, and never quiet"
        # one look in a poll's time is enough: it costs more than one for new runs
        assert [bool(room) for room in rooms] == [False, False, True]
        assert scene.queue.waiting == []


@virtual
async def test_when_a_run_whose_worker_died_is_over_the_next_is_looked_for() -> None:
    scene = Scene()
    async with working(scene):
        scene.queue.waiting += [claimed(failures=3)]
        await scene.doorbell.ring([work_topic("a")])
        await moment()
        asked = len(scene.queue.limits)
        scene.engine.gate.set()
        await moment()
        assert len(scene.queue.limits) == asked + 1


@virtual
async def test_an_agent_that_ignores_its_cancellation_keeps_its_slot() -> None:
    class Deaf(Gates):
        async def execute(self, claimed: Claimed, recorder: Recorder) -> Finish:
            while not self.gate.is_set():
                try:
                    await self.gate.wait()
                except asyncio.CancelledError:
                    continue
            return DONE

    scene = Scene(engine=Deaf(), config=Config(poll_seconds=POLL, slots=1))
    async with working(scene):
        (run,) = await scene.enqueue()
        scene.queue.cancels[run.lease] = "interrupt"
        await asyncio.sleep(scene.config.renew_seconds + scene.config.cancel_grace_seconds + 1)
        assert [finish.status for finish in scene.writer.finished] == ["interrupted"]
        asked = len(scene.queue.limits)
        await scene.enqueue()
        await asyncio.sleep(POLL * 2)
        assert len(scene.queue.limits) == asked
        scene.engine.gate.set()
        await moment()
        assert len(scene.queue.limits) > asked


@virtual
async def test_leases_are_renewed_while_a_worker_drains() -> None:
    scene = Scene()
    async with working(scene) as running:
        await scene.enqueue()
        scene.stopping.set()
        await running
        assert len(scene.renewals.renewed) >= scene.config.drain_seconds // 4 - 1
        assert all(at == scene.config.drain_seconds for at, _ in scene.engine.cancelled)
