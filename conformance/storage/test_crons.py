"""Crons on real Postgres: a slot is decided on once, whoever asks and whatever breaks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from agenthub.crons import MOST_FIRINGS, Cron, CronQuery, DueCron, Fired, decide
from agenthub.errors import Conflict, Invalid, NotFound, Unavailable
from agenthub.ids import new_id
from agenthub.principal import ANONYMOUS
from agenthub.runs import RunRequest
from agenthub.scheduler import CRONS_TOPIC, Crons, Scheduler
from agenthub_postgres import crons
from agenthub_postgres.crons import PostgresCrons
from agenthub_postgres.database import open_database
from testkit.core import Core
from testkit.fakes import FakeDoorbell
from testkit.interleavings import begin, held, waits

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Timetable:
    """A store whose time stands still until a test moves it, with a use-case layer and a scheduler."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.now = NOON
        self.bell = FakeDoorbell()
        self.store = PostgresCrons(core.db, clock=lambda: self.now)
        self.crons = Crons(store=self.store, doorbell=self.bell)
        self.scheduler = self.replica(self.store)

    def replica(self, store: Any) -> Scheduler:
        return Scheduler(store=store, doorbell=self.bell, tenant="default", poll_seconds=5.0)

    async def make(self, schedule: str = "0 * * * *", **changes: Any) -> Cron:
        cron = Cron(
            tenant="default",
            cron_id=new_id(),
            agent="a",
            assistant_id=new_id(),
            schedule=schedule,
            request=RunRequest(input={"n": 1}),
            created_at=self.now,
            updated_at=self.now,
        )
        return await self.crons.create(replace(cron, **changes))

    def later(self, **by: float) -> None:
        self.now += timedelta(**by)

    async def look(self, cron: Cron) -> Fired | None:
        return await self.store.fire("default", DueCron(cron.cron_id, cron.thread_id), decide)

    async def history(self, cron: Cron) -> list[tuple[str, datetime]]:
        found = await self.store.history("default", cron.cron_id, limit=1000, offset=0)
        return [(entry.outcome, entry.slot) for entry in reversed(found)]

    async def runs(self) -> int:
        return await self.core.value("select count(*) from runs")

    async def thread(self) -> UUID:
        thread_id = new_id()
        await self.core.threads.create("default", thread_id, subject="s", metadata={})
        return thread_id

    async def now_of(self, cron: Cron) -> Cron:
        found = await self.store.get("default", cron.cron_id)
        assert found is not None
        return found


@pytest.fixture
async def table(core: Core) -> Timetable:
    return Timetable(core)


def hour(n: int) -> datetime:
    return NOON + timedelta(hours=n)


# --- firing -------------------------------------------------------------------------------------


async def test_a_cron_is_stored_and_read_as_it_was_made(table: Timetable) -> None:
    made = await table.make(
        timezone="Europe/Berlin", jitter_seconds=2.5, metadata={"k": 1}, payload={"input": {"n": 1}},
        end_time=hour(48), misfire="all", overlap="queue", on_run_completed="keep", multitask="reject",
        origin={"protocol": "rest"}, run_metadata={"m": 2}, priority=3,
    )  # fmt: skip
    assert await table.now_of(made) == made
    assert made.next_slot == hour(1)
    assert table.bell.rung == [CRONS_TOPIC]


async def test_a_due_cron_makes_a_run_and_its_next_slot(table: Timetable) -> None:
    cron = await table.make(run_metadata={"k": 1})
    assert await table.scheduler.tick() == pytest.approx(5.0)
    assert await table.runs() == 0
    table.later(hours=1)
    await table.scheduler.tick()
    assert table.bell.rung[-1] == "work:a"
    claimed = await table.core.claim_one()
    assert claimed.request == RunRequest(input={"n": 1})
    assert claimed.metadata == {"k": 1, "cron_id": str(cron.cron_id)}
    assert await table.history(cron) == [("fired", hour(1))]
    (entry,) = await table.store.history("default", cron.cron_id, limit=10, offset=0)
    assert (entry.run_id, entry.thread_id) == (claimed.lease.run_id, claimed.thread_id)
    assert (await table.now_of(cron)).next_slot == hour(2)


async def test_the_scheduler_sleeps_until_the_next_slot_and_no_longer(table: Timetable) -> None:
    await table.make()
    table.later(minutes=59, seconds=57)
    assert await table.scheduler.tick() == pytest.approx(3.0)
    table.later(seconds=3)
    await table.scheduler.tick()
    assert await table.runs() == 1


async def test_the_thread_of_a_firing_is_deleted_or_kept_as_asked(table: Timetable) -> None:
    await table.make(on_run_completed="delete")
    await table.make(on_run_completed="keep")
    table.later(hours=1)
    await table.scheduler.tick()
    found = await table.core.rows("select ephemeral from threads order by ephemeral")
    assert [row["ephemeral"] for row in found] == [False, True]


async def test_a_cron_on_a_thread_fires_there(table: Timetable) -> None:
    thread_id = await table.thread()
    await table.make(thread_id=thread_id)
    for _ in range(2):
        table.later(hours=1)
        await table.scheduler.tick()
    assert await table.core.value("select array_agg(distinct thread_id) from runs") == [thread_id]
    assert (await table.core.thread(thread_id)).open_runs == 2


async def test_crons_are_fired_in_the_order_in_which_they_became_due(table: Timetable) -> None:
    late = await table.make("30 * * * *")
    early = await table.make("10 * * * *")
    table.later(minutes=40)
    due, _ = await table.store.due("default", limit=10)
    assert [one.cron_id for one in due] == [early.cron_id, late.cron_id]


# --- exactly once -------------------------------------------------------------------------------


async def test_many_replicas_fire_a_slot_once(table: Timetable, dsn: str) -> None:
    crons = [await table.make() for _ in range(5)]
    thread_cron = await table.make(thread_id=await table.thread())
    table.later(hours=1)
    async with open_database(dsn, most=8) as db:
        replicas = [table.replica(PostgresCrons(db, clock=lambda: table.now)) for _ in range(8)]
        await asyncio.gather(*(replica.tick() for replica in replicas))
        await asyncio.gather(*(replica.tick() for replica in replicas))
    assert await table.runs() == 6
    for cron in [*crons, thread_cron]:
        assert await table.history(cron) == [("fired", hour(1))]


async def test_a_second_scheduler_does_not_wait_for_the_first(table: Timetable) -> None:
    cron = await table.make()
    table.later(hours=1)
    async with table.core.db.pool.acquire() as other, other.transaction():
        await other.fetch("select 1 from crons for no key update")
        assert await table.look(cron) is None
    fired = await table.look(cron)
    assert fired is not None
    assert fired.run is not None


@pytest.mark.parametrize(
    "at", ["insert on cron_firings", "delete on cron_firings", "update on crons"]
)
async def test_a_scheduler_that_dies_in_the_middle_leaves_the_slot_to_another(
    table: Timetable, at: str
) -> None:
    """Its run, its history and its next slot are one transaction: there is no between."""
    cron = await table.make()
    await table.core.db.pool.execute(
        f"""create function die() returns trigger language plpgsql as $$
            begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$;
            create trigger die after {at} for each statement execute function die()"""
    )
    table.later(hours=1)
    with pytest.raises(Unavailable):
        await table.look(cron)
    assert await table.runs() == 0
    assert await table.history(cron) == []
    assert await table.now_of(cron) == cron
    await table.core.db.pool.execute("drop function die cascade")
    fired = await table.look(cron)
    assert fired is not None
    assert await table.look(cron) is None
    assert await table.runs() == 1


async def test_the_database_itself_refuses_a_second_decision_on_a_slot(table: Timetable) -> None:
    cron = await table.make()
    table.later(hours=1)
    await table.look(cron)
    await table.core.value("update crons set next_slot = $1, due_at = $1", hour(1))
    with pytest.raises(asyncpg.UniqueViolationError):
        await table.look(cron)
    assert await table.runs() == 1


async def test_a_cron_that_breaks_is_put_off_and_the_others_fire(
    table: Timetable, caplog: pytest.LogCaptureFixture
) -> None:
    broken = await table.make()
    await table.make()
    await table.core.value(
        "update crons set schedule = 'nonsense' where cron_id = $1", broken.cron_id
    )
    table.later(hours=1)
    await table.scheduler.tick()
    assert await table.runs() == 1
    assert str(broken.cron_id) in caplog.text
    postponed = await table.core.value(
        "select due_at > now() from crons where cron_id = $1", broken.cron_id
    )
    assert postponed


# --- policies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [
        ("none", [("missed", hour(1))]),
        ("last", [("missed", hour(1)), ("fired", hour(3))]),
        ("all", [("fired", hour(1)), ("fired", hour(2)), ("fired", hour(3))]),
    ],
)
async def test_slots_that_passed_while_nobody_ran(
    table: Timetable, misfire: Any, expected: list[Any]
) -> None:
    cron = await table.make(misfire=misfire)
    table.later(hours=3, minutes=30)
    while await table.scheduler.tick() < 1:
        pass
    assert await table.history(cron) == expected
    assert (await table.now_of(cron)).next_slot == hour(4)


async def test_a_slot_is_skipped_while_the_run_before_is_open(table: Timetable) -> None:
    cron = await table.make(overlap="skip")
    for _ in range(2):
        table.later(hours=1)
        await table.scheduler.tick()
    await table.core.finish(await table.core.claim_one())
    table.later(hours=1)
    await table.scheduler.tick()
    assert await table.history(cron) == [
        ("fired", hour(1)), ("skipped", hour(2)), ("fired", hour(3)),
    ]  # fmt: skip


async def test_a_firing_that_lost_a_race_sees_the_run_of_the_one_before_it(
    table: Timetable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another scheduler comes and goes between the snapshot of a look and its lock."""
    cron = await table.make(overlap="skip", misfire="all")
    table.later(hours=2, minutes=1)
    due = "c.due_at <= coalesce($3, now())"
    slow = crons.LOCK_DUE.replace(due, f"{due} and pg_advisory_xact_lock_shared(42) is not null")
    assert slow != crons.LOCK_DUE
    async with held(table.core) as (gate, transaction):
        await gate.execute("select pg_advisory_xact_lock(42)")
        with monkeypatch.context() as patch:
            patch.setattr(crons, "LOCK_DUE", slow)
            late = begin(table.look(cron))
            assert await waits(table.core, late)
        fired = await table.look(cron)
        assert fired is not None
        assert fired.run is not None
        await transaction.commit()
    await late
    assert await table.history(cron) == [("fired", hour(1)), ("skipped", hour(2))]


async def test_a_slot_in_the_queue_is_fired_when_the_run_before_has_ended(table: Timetable) -> None:
    cron = await table.make(overlap="queue")
    for _ in range(2):
        table.later(hours=1)
        await table.scheduler.tick()
    assert await table.runs() == 1
    assert (await table.now_of(cron)).held
    await table.core.finish(await table.core.claim_one())
    table.later(seconds=2)
    await table.scheduler.tick()
    assert await table.history(cron) == [("fired", hour(1)), ("fired", hour(2))]


async def test_a_firing_that_its_thread_refuses_is_told_in_the_history(table: Timetable) -> None:
    busy = (await table.core.create()).thread_id
    cron = await table.make(thread_id=busy, multitask="reject")
    table.later(hours=1)
    await table.scheduler.tick()
    (entry,) = await table.store.history("default", cron.cron_id, limit=10, offset=0)
    assert (entry.outcome, entry.run_id) == ("refused", None)
    assert "running a task already" in (entry.reason or "")
    assert (await table.now_of(cron)).next_slot == hour(2)


async def test_a_firing_goes_on_where_another_agent_has_worked(table: Timetable) -> None:
    other = (await table.core.create(agent="b")).thread_id
    cron = await table.make(thread_id=other)
    table.later(hours=1)
    fired = await table.look(cron)
    assert fired is not None
    assert fired.run is not None
    assert (fired.run.thread_id, fired.run.agent) == (other, "a")


async def test_a_firing_that_interrupts_cancels_what_is_open_and_tells_its_worker(
    table: Timetable,
) -> None:
    open_ = await table.core.create()
    claimed = await table.core.claim_one(worker_id="w1")
    await table.make(thread_id=open_.thread_id, multitask="interrupt")
    table.later(hours=1)
    await table.scheduler.tick()
    assert table.bell.rung[-2:] == ["work:a", "control:w1"]
    asked = await table.core.value(
        "select cancel_action from runs where run_id = $1", claimed.lease.run_id
    )
    assert asked == "interrupt"
    assert await table.runs() == 2


async def test_a_history_keeps_the_latest_entries_only(table: Timetable) -> None:
    cron = await table.make("* * * * * *", misfire="all")
    table.later(seconds=30)
    while await table.scheduler.tick() < 0.5:
        if await table.runs() == 30:
            break
    await table.core.value(
        """insert into cron_firings (tenant_id, cron_id, firing_id, slot, trigger, outcome)
           select tenant_id, cron_id, overlay(firing_id::text placing lpad(n::text, 4, '0') from 1)::uuid,
                  slot, 'request', 'fired' from cron_firings, generate_series(1, 9) n"""
    )
    table.later(seconds=1)
    await table.look(cron)
    kept = await table.store.history("default", cron.cron_id, limit=1000, offset=0)
    assert len(kept) == MOST_FIRINGS
    assert kept[0].slot == NOON + timedelta(seconds=31)


# --- changing -----------------------------------------------------------------------------------


async def test_a_cron_may_be_run_now_beside_its_schedule(table: Timetable) -> None:
    cron = await table.make()
    run = await table.crons.run_now(ANONYMOUS, cron.cron_id)
    assert run.metadata["cron_id"] == str(cron.cron_id)
    assert table.bell.rung[-1] == "work:a"
    (entry,) = await table.store.history("default", cron.cron_id, limit=10, offset=0)
    assert (entry.trigger, entry.outcome, entry.run_id) == ("request", "fired", run.run_id)
    assert await table.now_of(cron) == cron


async def test_a_run_now_that_the_thread_refuses_leaves_nothing(table: Timetable) -> None:
    busy = (await table.core.create()).thread_id
    cron = await table.make(thread_id=busy, multitask="reject")
    with pytest.raises(Conflict, match="running a task already"):
        await table.crons.run_now(ANONYMOUS, cron.cron_id)
    assert await table.history(cron) == []


async def test_a_change_of_the_times_finds_the_next_slot_anew(table: Timetable) -> None:
    cron = await table.make()
    moved = await table.crons.update(
        ANONYMOUS, cron.cron_id, lambda old: replace(old, schedule="30 * * * *")
    )
    assert moved.next_slot == NOON + timedelta(minutes=30)
    stopped = await table.crons.update(
        ANONYMOUS, cron.cron_id, lambda old: replace(old, enabled=False)
    )
    assert stopped.next_slot is None
    table.later(hours=8)
    assert await table.store.due("default", limit=10) == ((), None)
    again = await table.crons.update(
        ANONYMOUS, cron.cron_id, lambda old: replace(old, enabled=True)
    )
    assert again.next_slot == hour(8) + timedelta(minutes=30)


async def test_a_change_of_anything_else_leaves_a_due_slot_due(table: Timetable) -> None:
    cron = await table.make()
    table.later(hours=1, seconds=1)
    changed = await table.crons.update(
        ANONYMOUS, cron.cron_id, lambda old: replace(old, metadata={"k": 2})
    )
    assert (changed.next_slot, changed.metadata) == (hour(1), {"k": 2})
    await table.scheduler.tick()
    assert await table.history(cron) == [("fired", hour(1))]


async def test_a_cron_that_would_never_fire_is_refused(table: Timetable) -> None:
    with pytest.raises(Invalid, match="is in the past"):
        await table.make(end_time=NOON - timedelta(hours=1))
    with pytest.raises(Invalid, match="before its first slot"):
        await table.make(end_time=NOON + timedelta(minutes=1))


async def test_a_cron_on_an_unknown_thread_is_refused(table: Timetable) -> None:
    with pytest.raises(NotFound, match="no thread"):
        await table.make(thread_id=new_id())


async def test_a_cron_goes_with_its_thread_and_its_history_with_it(table: Timetable) -> None:
    thread_id = await table.thread()
    cron = await table.make(thread_id=thread_id)
    kept = await table.make()
    table.later(hours=1)
    await table.scheduler.tick()
    assert await table.core.threads.delete("default", thread_id)
    assert await table.store.get("default", cron.cron_id) is None
    assert await table.core.value("select count(*) from cron_firings") == 1
    await table.now_of(kept)


async def test_a_cron_goes_with_its_assistant(table: Timetable) -> None:
    cron = await table.make()
    await table.crons.assistant_deleted("default", cron.assistant_id)
    assert await table.store.get("default", cron.cron_id) is None


async def test_crons_are_found_by_what_they_are(table: Timetable) -> None:
    thread_id = await table.thread()
    one = await table.make(thread_id=thread_id, metadata={"k": 1})
    two = await table.make("30 * * * *", metadata={"k": 1, "l": 2}, enabled=False)

    async def found(**query: Any) -> list[UUID]:
        wanted = CronQuery(**query)
        crons = await table.store.search("default", wanted, sort_by="cron_id", descending=False)
        assert await table.store.count("default", wanted) == len(crons)
        return [cron.cron_id for cron in crons]

    assert await found() == [one.cron_id, two.cron_id]
    assert await found(thread_id=thread_id) == [one.cron_id]
    assert await found(assistant_id=two.assistant_id) == [two.cron_id]
    assert await found(enabled=False) == [two.cron_id]
    assert await found(metadata={"k": 1}) == [one.cron_id, two.cron_id]
    assert await found(metadata={"l": 2}) == [two.cron_id]
    assert await table.store.search("other", CronQuery()) == []


@pytest.mark.parametrize(
    "sort_by",
    [
        "cron_id",
        "assistant_id",
        "thread_id",
        "next_run_date",
        "end_time",
        "created_at",
        "updated_at",
    ],
)
async def test_crons_are_sorted_by_any_column_and_nulls_come_last(
    table: Timetable, sort_by: Any
) -> None:
    await table.make("10 * * * *", end_time=hour(5), thread_id=await table.thread())
    await table.make("20 * * * *", end_time=hour(4), thread_id=await table.thread())
    await table.make("30 * * * *")
    name = "next_slot" if sort_by == "next_run_date" else sort_by
    for descending in (False, True):
        found = await table.store.search(
            "default", CronQuery(), sort_by=sort_by, descending=descending
        )
        values = [getattr(cron, name) for cron in found]
        present = [value for value in values if value is not None]
        assert present == sorted(present, reverse=descending)
        assert values == [*present, *[None] * (3 - len(present))]


async def test_due_crons_are_found_by_their_index_before_any_analyze(table: Timetable) -> None:
    from agenthub_postgres import crons as module

    for sql, args in ((module.DUE, ("default", 100, None)), (module.NEXT, ("default", None))):
        plan = await table.core.rows(f"explain {sql}", *args)
        assert any("crons_due" in row[0] for row in plan), plan


async def test_a_firing_gets_what_its_assistant_says_now(table: Timetable) -> None:
    async def freshen(cron: Cron) -> Cron:
        return replace(cron, request=RunRequest(input="fresh"), run_metadata={"version": 2})

    await table.make()
    table.later(hours=1)
    await replace(table.scheduler, freshen=freshen).tick()
    claimed = await table.core.claim_one()
    assert claimed.request == RunRequest(input="fresh")
    assert claimed.metadata["version"] == 2
