"""A thread's runs in the order in which they were executed, found one after the other."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from agenthub.ids import new_id
from agenthub.runs import Run
from agenthub.thread_stream import NEVER
from testkit.core import Core


async def order(core: Core, thread_id: UUID, after: Run | None = None) -> list[UUID]:
    """The runs behind a run, to the last that was begun or is to be the next."""
    found: list[UUID] = []
    while run := await core.log.next_run(core.tenant, thread_id, after=after):
        assert run.run_id not in found
        found.append(run.run_id)
        if run.started_at is None:
            break
        after = run
    return found


async def executed(core: Core) -> UUID:
    """Claim and finish the next run."""
    claimed = await core.claim_one()
    await core.finish(claimed)
    return claimed.lease.run_id


async def test_runs_follow_each_other_as_they_were_executed_and_the_head_is_last(
    core: Core,
) -> None:
    first = await core.create()
    second = await core.create(first.thread_id)
    third = await core.create(first.thread_id)
    await core.create()  # on another thread
    ids = [first.run_id, second.run_id, third.run_id]
    # the head alone: what stands behind it is not yet in any order
    assert await order(core, first.thread_id) == ids[:1]
    await core.finish(await core.claim_one())
    assert await order(core, first.thread_id) == ids[:2]
    assert await order(core, first.thread_id, await core.run(first)) == ids[1:2]


async def test_runs_that_were_created_in_the_same_moment_follow_by_their_execution(
    core: Core,
) -> None:
    first, second = await core.create(), None
    second = await core.create(first.thread_id)
    assert [await executed(core) for _ in range(2)] == [first.run_id, second.run_id]
    # as if the first had waited for the thread's lock, behind the second
    await core.value(
        "update runs set created_at = created_at + interval '1 second' where run_id = $1 returning 1",
        first.run_id,
    )
    assert await order(core, first.thread_id) == [first.run_id, second.run_id]
    assert await order(core, first.thread_id, await core.run(first)) == [second.run_id]


async def test_a_run_that_was_cancelled_in_line_is_in_no_order(core: Core) -> None:
    first = await core.create()
    second = await core.create(first.thread_id)
    third = await core.create(first.thread_id)
    await core.cancel(second)
    await executed(core)
    await executed(core)
    assert await order(core, first.thread_id) == [first.run_id, third.run_id]


async def test_a_run_that_was_deleted_does_not_lead_back_to_the_beginning(core: Core) -> None:
    first = await core.create()
    await executed(core)
    second = await core.create(first.thread_id)
    await executed(core)
    gone = await core.run(second)
    await core.value("delete from runs where run_id = $1 returning 1", second.run_id)
    third = await core.create(first.thread_id)
    assert await order(core, first.thread_id, gone) == [third.run_id]
    assert await core.log.next_run("another", first.thread_id, after=None) is None


async def test_the_current_run_is_the_open_one_or_the_last_that_was_begun(core: Core) -> None:
    nowhere = new_id()
    assert await core.log.current_run(core.tenant, nowhere) is None
    first = await core.create()
    second = await core.create(first.thread_id)

    async def current() -> UUID | None:
        run = await core.log.current_run(core.tenant, first.thread_id)
        return None if run is None else run.run_id

    assert await current() == first.run_id
    assert await core.log.current_run(core.tenant, first.thread_id, at=NEVER) is None
    await executed(core)
    assert await current() == second.run_id
    begun = await core.log.current_run(core.tenant, first.thread_id, at=NEVER)
    assert begun is not None
    assert begun.run_id == first.run_id
    await executed(core)
    assert await current() == second.run_id
    assert await core.log.current_run("another", first.thread_id) is None


async def test_an_instant_leads_to_the_run_that_had_been_begun_by_then(core: Core) -> None:
    first = await core.create()
    await core.create(first.thread_id)
    await executed(core)
    await executed(core)
    begun = (await core.run(first)).started_at
    assert begun is not None

    async def at(late: int) -> UUID | None:
        moment = begun + timedelta(microseconds=late)
        run = await core.log.current_run(core.tenant, first.thread_id, at=moment)
        return None if run is None else run.run_id

    assert [await at(late) for late in (-1, 0, 1)] == [None, first.run_id, first.run_id]
