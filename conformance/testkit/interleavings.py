"""Two connections, one statement held open on the first, and what the second may do meanwhile.

No timing: the second statement is started, and the test waits until `pg_stat_activity` shows that it
waits for a lock, or until it is done. Each function is a behaviour; the mutants run them as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeAlias, TypeVar

import asyncpg
from asyncpg import Record
from asyncpg.transaction import Transaction

from agenthub.errors import LeaseLost
from agenthub.events import Event
from agenthub.ids import new_id
from agenthub.ports import Claimed
from agenthub_postgres import cancellation, fenced, locks, plain_runs, queue, runs
from agenthub_postgres.batch import Batch
from agenthub_postgres.database import connect
from agenthub_postgres.writer import Entry
from testkit.core import Core, checkpoint_row
from testkit.waiting import eventually

T = TypeVar("T")
Conn: TypeAlias = "asyncpg.Connection[Record]"


@asynccontextmanager
async def held(core: Core) -> AsyncGenerator[tuple[Conn, Transaction]]:
    """A connection with an open transaction, which the block commits or rolls back."""
    connection = await connect(core.db.dsn)
    try:
        transaction = connection.transaction()
        await transaction.start()
        yield connection, transaction
    finally:
        connection.terminate()


async def waits(core: Core, work: asyncio.Task[Any]) -> bool:
    """True once something waits for a lock, False when `work` ended without waiting."""

    async def settled() -> str | None:
        if work.done():
            return "done"
        waiting = await core.value(
            """select count(*) from pg_stat_activity
                where datname = current_database() and wait_event_type = 'Lock'"""
        )
        return "waits" if waiting else None

    return await eventually(settled) == "waits"


def begin(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    return asyncio.create_task(work)


async def write(connection: Conn, *claims: Claimed, id: str = "c") -> Sequence[Record]:
    """The fenced write of one checkpoint and one event for each claim, as the writer sends it."""
    batch = Batch()
    for claimed in claims:
        done = asyncio.get_running_loop().create_future()
        event = Event(claimed.last_seq + 1, claimed.lease.run_id, "custom", b"{}")
        batch.add(
            Entry(
                claimed.lease, done, checkpoint=checkpoint_row(claimed, id),
                task_id=claimed.task_id, events=[event],
            )
        )  # fmt: skip
    return await connection.fetch(fenced.WRITE, *batch.arguments())


async def reap(core: Core, connection: Conn) -> int:
    return len(await connection.fetch(queue.REAP, core.tenant, 50, 3))


async def checkpoints(core: Core) -> int:
    return await core.value("select count(*) from checkpoints")


async def refused(work: asyncio.Task[Any]) -> bool:
    try:
        await work
    except LeaseLost:
        return True
    return False


# --- a reclaim and a write ----------------------------------------------------------------------


async def an_owner_that_is_writing_is_not_reaped(core: Core) -> None:
    await core.create()
    owner = await core.claim_one()
    await core.expire(owner.lease)
    async with held(core) as (connection, transaction):
        assert len(await write(connection, owner)) == 1
        assert list(await core.reap()) == [], "a run was taken away under an open write"
        await transaction.commit()
    assert list(await core.reap()) == ["a"]
    heir = await core.claim_one()
    assert (heir.last_seq, heir.has_state) == (1, True), "the heir misses what was committed"


async def giving_up_waits_for_a_write_and_ends_the_log_behind_it(core: Core) -> None:
    run = await core.create()
    owner = await core.claim_one()
    await core.expire(owner.lease)
    async with held(core) as (connection, transaction):
        await write(connection, owner)
        reaping = begin(core.reap(max_failures=0))
        assert await waits(core, reaping), "a run was given up under an open write"
        await transaction.commit()
    await reaping
    assert await core.kinds(run.task_id) == [(1, "custom"), (2, "ended")]


async def a_stale_write_waits_for_the_reclaim_and_is_refused(core: Core) -> None:
    await core.create()
    stale = await core.claim_one()
    await core.expire(stale.lease)
    async with held(core) as (connection, transaction):
        assert await reap(core, connection) == 1
        writing = begin(core.checkpoint(stale))
        assert await waits(core, writing), "a stale write did not wait for the reclaim"
        await transaction.commit()
    assert await refused(writing), "a stale write was accepted"
    assert await checkpoints(core) == 0, "a stale write is stored"


async def stale_events_wait_for_the_reclaim_and_are_refused(core: Core) -> None:
    run = await core.create()
    stale = await core.claim_one()
    await core.expire(stale.lease)
    async with held(core) as (connection, transaction):
        assert await reap(core, connection) == 1
        writing = begin(core.append(stale, 1))
        assert await waits(core, writing), "a stale append did not wait for the reclaim"
        await transaction.commit()
    assert await refused(writing), "a stale append was accepted"
    assert await core.events(run.task_id) == []


async def a_stale_finish_waits_for_the_reclaim_and_is_refused(core: Core) -> None:
    run = await core.create()
    stale = await core.claim_one()
    await core.expire(stale.lease)
    async with held(core) as (connection, transaction):
        assert await reap(core, connection) == 1
        finishing = begin(core.finish(stale))
        assert await waits(core, finishing), "a stale finish did not wait for the reclaim"
        await transaction.commit()
    assert await refused(finishing), "a stale finish was accepted"
    assert await core.status(run) == "pending"


async def a_stale_renewal_waits_for_the_reclaim_and_keeps_nothing(core: Core) -> None:
    await core.create()
    stale = await core.claim_one()
    await core.expire(stale.lease)
    async with held(core) as (connection, transaction):
        assert await reap(core, connection) == 1
        renewing = begin(core.queue.renew([stale.lease], lease=timedelta(seconds=60)))
        assert await waits(core, renewing)
        await transaction.commit()
    assert list(await renewing) == []


async def a_reclaim_that_rolls_back_leaves_the_owner_working(core: Core) -> None:
    await core.create()
    owner = await core.claim_one()
    await core.expire(owner.lease)
    async with held(core) as (connection, transaction):
        assert await reap(core, connection) == 1
        writing = begin(core.checkpoint(owner))
        assert await waits(core, writing)
        await transaction.rollback()
    await writing
    await core.finish(owner)


PAUSE = "and agent = any($2::text[]) and pg_advisory_xact_lock_shared(42) is not null"


async def a_claim_that_lost_a_race_does_not_start_with_an_old_log(core: Core) -> None:
    """Another attempt comes and goes between a claim's snapshot and its lock."""
    run = await core.create()
    slow = queue.CLAIM.replace("and agent = any($2::text[])", PAUSE)
    assert slow != queue.CLAIM
    async with held(core) as (gate, transaction):
        await gate.execute("select pg_advisory_xact_lock(42)")
        claimer = await connect(core.db.dsn)
        lease = timedelta(seconds=60)
        claiming = begin(claimer.fetch(slow, core.tenant, ["a"], 1, "slow", lease))
        assert await waits(core, claiming)
        quick = await core.claim_one()
        await core.append(quick, 1, 2)
        await core.queue.release([quick.lease])
        await transaction.commit()
        late = await claiming
        claimer.terminate()
    assert [r["last_seq"] for r in late] in ([], [2]), "a claim missed events of the last attempt"
    if not late:
        assert (await core.claim_one()).last_seq == 2
    assert await core.status(run) == "running"


# --- a finish and a create ----------------------------------------------------------------------


async def a_create_waits_for_the_finish_and_is_ready(core: Core) -> None:
    first = await core.create()
    claimed = await core.claim_one()
    async with held(core) as (connection, transaction):
        await connection.execute(locks.THREAD, core.tenant, first.thread_id)
        finishing = begin(core.finish(claimed))
        assert await waits(core, finishing)
        creating = begin(core.create(first.thread_id))
        await eventually(lambda: _waiting(core, 2))
        await transaction.commit()
    second = await creating
    assert (await finishing) == (["a"] if not await _was_head(core, second.run_id) else [])
    assert await core.ready(second)
    assert (await core.thread(first.thread_id)).open_runs == 1
    assert (await core.claim_one()).lease.run_id == second.run_id


async def _waiting(core: Core, count: int) -> bool:
    return count == await core.value(
        """select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'"""
    )


async def _was_head(core: Core, run_id: object) -> bool:
    """Whether it was ready from its creation on; a promotion stamps `updated_at`."""
    return await core.value("select updated_at = created_at from runs where run_id = $1", run_id)


async def a_finish_waits_for_the_create_and_promotes_what_it_made(core: Core) -> None:
    first = await core.create()
    claimed = await core.claim_one()
    async with held(core) as (connection, transaction):
        new = core.new_run(first.thread_id)
        await connection.fetch(runs.CREATE, *runs.arguments(new))
        finishing = begin(core.finish(claimed))
        assert await waits(core, finishing)
        await transaction.commit()
    assert await finishing == ["a"], "a run that was created meanwhile was not promoted"
    assert (await core.claim_one()).lease.run_id == new.run_id


async def a_pause_waits_for_the_create_and_is_superseded_by_it(core: Core) -> None:
    first = await core.create()
    claimed = await core.claim_one()
    async with held(core) as (connection, transaction):
        new = core.new_run(first.thread_id)
        await connection.fetch(runs.CREATE, *runs.arguments(new))
        finishing = begin(core.finish(claimed, questions=["q"]))
        assert await waits(core, finishing)
        await transaction.commit()
    await finishing
    assert (await core.thread(first.thread_id)).interrupts == ()
    assert (await core.task(first.task_id)).status == "canceled"


async def a_finish_that_waits_for_a_cancellation_promotes_only_what_is_left(core: Core) -> None:
    first = await core.create()
    claimed = await core.claim_one()
    gone, left = await core.create(first.thread_id), await core.create(first.thread_id)
    async with held(core) as (connection, transaction):
        await cancellation.cancel(connection, core.tenant, gone.run_id, "interrupt", "a test")
        finishing = begin(core.finish(claimed))
        assert await waits(core, finishing)
        await transaction.commit()
    assert await finishing == ["a"], "the next run was not promoted"
    assert [c.lease.run_id for c in await core.claim()] == [left.run_id]
    assert await core.status(gone) == "interrupted"


async def a_finish_that_waits_for_the_last_cancellation_leaves_the_thread_idle(core: Core) -> None:
    first = await core.create()
    claimed = await core.claim_one()
    gone = await core.create(first.thread_id)
    async with held(core) as (connection, transaction):
        await cancellation.cancel(connection, core.tenant, gone.run_id, "interrupt", "a test")
        finishing = begin(core.finish(claimed))
        assert await waits(core, finishing)
        await transaction.commit()
    assert await finishing == [], "a run that was cancelled meanwhile was promoted"
    thread = await core.thread(first.thread_id)
    assert (thread.open_runs, thread.status) == (0, "idle")
    after = await core.create(first.thread_id)
    assert (await core.claim_one()).lease.run_id == after.run_id


async def a_pause_that_waits_for_a_cancellation_keeps_its_questions(core: Core) -> None:
    first = await core.create()
    claimed = await core.claim_one()
    gone = await core.create(first.thread_id)
    async with held(core) as (connection, transaction):
        await cancellation.cancel(connection, core.tenant, gone.run_id, "interrupt", "a test")
        finishing = begin(core.finish(claimed, questions=["q"]))
        assert await waits(core, finishing)
        await transaction.commit()
    await finishing
    assert [one.id for one in (await core.thread(first.thread_id)).interrupts] == ["q"]
    assert (await core.task(first.task_id)).status == "input_required"


async def finishes_of_several_threads_wait_for_one_of_them_and_all_end(core: Core) -> None:
    runs_ = [await core.create() for _ in range(3)]
    claims = await core.claim(limit=3)
    gone = await core.create(runs_[1].thread_id)
    async with held(core) as (connection, transaction):
        await cancellation.cancel(connection, core.tenant, gone.run_id, "interrupt", "a test")
        finishing = begin(_together(core, claims))
        assert await waits(core, finishing)
        await transaction.commit()
    await finishing
    assert [await core.status(run) for run in runs_] == ["success"] * 3
    assert [len(await core.kinds(run.task_id)) for run in runs_] == [1, 1, 1]


async def _together(core: Core, claims: Sequence[Claimed]) -> None:
    await asyncio.gather(*(core.finish(claimed) for claimed in claims))


async def runs_on_one_thread_at_once_stand_in_line(core: Core) -> None:
    """Whoever has the thread decides first, and nobody else's statement waits for that."""
    threads = [new_id(), new_id()]
    for thread_id in threads:
        await core.threads.create(core.tenant, thread_id, subject="s", metadata={})
    mine, rival, other = [core.new_run(t) for t in (threads[0], *threads)]
    async with held(core) as (connection, transaction):
        await connection.fetch(locks.THREAD, core.tenant, threads[0])
        sent = begin(plain_runs.idle(core.db, [rival, other]))
        assert not await waits(core, sent), "one thread that is held holds up the others"
        left, made = await sent
        assert left is None
        assert made is not None
        assert made["run_id"] == other.run_id
        creating = begin(core.runs.create(rival))
        assert await waits(core, creating)
        await connection.fetch(runs.CREATE, *runs.arguments(mine))
        await transaction.commit()
    assert not await core.ready(await creating)
    assert [c.lease.run_id for c in await core.claim(limit=3)] == [mine.run_id, other.run_id]


async def a_task_whose_questions_are_gone_is_superseded(core: Core) -> None:
    """Between a state update that closed them and the end of their task."""
    first = await core.paused("q")
    update = await core.create(first.thread_id, kind="update")
    await core.finish(await core.claim_one())
    thread = await core.thread(first.thread_id)
    assert (thread.interrupts, thread.status) == ((), "idle")
    assert (await core.task(first.task_id)).status == "input_required"
    assert update.task_id != first.task_id
    await core.create(first.thread_id)
    assert (await core.task(first.task_id)).status == "canceled"


# --- a cancellation and the queue ---------------------------------------------------------------


async def a_cancellation_that_meets_a_claim_asks_its_worker(core: Core) -> None:
    run = await core.create()
    async with held(core) as (connection, transaction):
        lease = timedelta(seconds=60)
        assert await connection.fetch(queue.CLAIM, core.tenant, ["a"], 1, "w", lease)
        cancelling = begin(core.cancel(run))
        assert await waits(core, cancelling)
        await transaction.commit()
    cancelled = await cancelling
    assert cancelled is not None, "a run that was claimed meanwhile was not cancelled"
    assert (cancelled.ended, cancelled.worker_id) == (False, "w")


async def a_cancellation_that_meets_a_release_ends_the_run(core: Core) -> None:
    run = await core.create()
    claimed = await core.claim_one()
    async with held(core) as (connection, transaction):
        given = ([core.tenant], [claimed.lease.run_id], [claimed.lease.epoch])
        assert await connection.fetch(queue.RELEASE, *given)
        cancelling = begin(core.cancel(run))
        assert await waits(core, cancelling)
        await transaction.commit()
    cancelled = await cancelling
    assert cancelled is not None, "a run that was given back meanwhile was not cancelled"
    assert cancelled.ended
    assert await core.status(run) == "interrupted"


# --- many runs in one statement -----------------------------------------------------------------


async def _locks_in_the_order_of_ids(core: Core, work: Any) -> None:
    """While the statement waits for the lowest id, it must not hold a higher one."""
    for _ in range(3):
        await core.create()
    claims = sorted(await core.claim(limit=3), key=lambda c: c.lease.run_id)
    async with held(core) as (connection, transaction):
        lock = "select 1 from runs where run_id = $1 for update"
        await connection.execute(lock, claims[0].lease.run_id)
        working = begin(work(list(reversed(claims))))
        assert await waits(core, working)
        async with held(core) as (other, _):
            for claimed in claims[1:]:
                try:
                    await other.execute(f"{lock} nowait", claimed.lease.run_id)
                except asyncpg.LockNotAvailableError as taken:
                    raise AssertionError("a later run was locked before an earlier one") from taken
        await transaction.commit()
    await working


async def writes_lock_their_runs_in_one_order(core: Core) -> None:
    async def work(claims: list[Claimed]) -> None:
        connection = await connect(core.db.dsn)
        try:
            assert len(await write(connection, *claims)) == 3
        finally:
            connection.terminate()

    await _locks_in_the_order_of_ids(core, work)


async def renewals_lock_their_runs_in_one_order(core: Core) -> None:
    async def work(claims: list[Claimed]) -> None:
        leases = [c.lease for c in claims]
        assert len(await core.queue.renew(leases, lease=timedelta(seconds=60))) == 3

    await _locks_in_the_order_of_ids(core, work)


async def releases_lock_their_runs_in_one_order(core: Core) -> None:
    async def work(claims: list[Claimed]) -> None:
        await core.queue.release([c.lease for c in claims])

    await _locks_in_the_order_of_ids(core, work)


async def a_renewal_waits_for_a_write_of_the_same_runs(core: Core) -> None:
    await core.create()
    await core.create()
    claims = await core.claim(limit=2)
    async with held(core) as (connection, transaction):
        assert len(await write(connection, *claims)) == 2
        leases = [c.lease for c in reversed(claims)]
        renewing = begin(core.queue.renew(leases, lease=timedelta(seconds=60)))
        assert await waits(core, renewing)
        await transaction.commit()
    assert len(await renewing) == 2


async def a_deletion_of_the_thread_waits_for_a_write_and_refuses(core: Core) -> None:
    run = await core.create()
    claimed = await core.claim_one()
    async with held(core) as (connection, transaction):
        await write(connection, claimed)
        deleting = begin(core.threads.delete(core.tenant, run.thread_id))
        assert await waits(core, deleting)
        await core.value("select 1")
        await transaction.commit()
    try:
        await deleting
    except Exception as conflict:
        assert "cancel it first" in str(conflict)  # noqa: PT017
    else:
        raise AssertionError("a thread was deleted under a running run")
    await core.finish(claimed)


INTERLEAVINGS = [
    an_owner_that_is_writing_is_not_reaped,
    giving_up_waits_for_a_write_and_ends_the_log_behind_it,
    a_stale_write_waits_for_the_reclaim_and_is_refused,
    stale_events_wait_for_the_reclaim_and_are_refused,
    a_stale_finish_waits_for_the_reclaim_and_is_refused,
    a_stale_renewal_waits_for_the_reclaim_and_keeps_nothing,
    a_reclaim_that_rolls_back_leaves_the_owner_working,
    a_claim_that_lost_a_race_does_not_start_with_an_old_log,
    a_create_waits_for_the_finish_and_is_ready,
    a_finish_waits_for_the_create_and_promotes_what_it_made,
    a_pause_waits_for_the_create_and_is_superseded_by_it,
    a_finish_that_waits_for_a_cancellation_promotes_only_what_is_left,
    a_finish_that_waits_for_the_last_cancellation_leaves_the_thread_idle,
    a_pause_that_waits_for_a_cancellation_keeps_its_questions,
    finishes_of_several_threads_wait_for_one_of_them_and_all_end,
    a_cancellation_that_meets_a_claim_asks_its_worker,
    a_cancellation_that_meets_a_release_ends_the_run,
    runs_on_one_thread_at_once_stand_in_line,
    a_task_whose_questions_are_gone_is_superseded,
    writes_lock_their_runs_in_one_order,
    renewals_lock_their_runs_in_one_order,
    releases_lock_their_runs_in_one_order,
    a_renewal_waits_for_a_write_of_the_same_runs,
    a_deletion_of_the_thread_waits_for_a_write_and_refuses,
]
