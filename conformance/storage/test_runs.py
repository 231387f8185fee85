"""Every transition of a run, one at a time, on real Postgres."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from agenthub.errors import Conflict, LeaseLost, NotFound
from agenthub.ids import new_id
from agenthub.runs import RunStatus
from agenthub_postgres.writer import GroupWriter
from testkit.core import Core, checkpoint_row

# --- create -------------------------------------------------------------------------------------


async def test_a_run_on_a_new_thread_is_ready_and_makes_the_thread_busy(core: Core) -> None:
    run = await core.create(thread_metadata={"topic": "x"}, metadata={"k": 1}, origin={"p": "mcp"})
    thread = await core.thread(run.thread_id)
    task = await core.task(run.task_id)
    assert (run.status, run.task_id, run.metadata, run.origin) == (
        "pending", run.run_id, {"k": 1}, {"p": "mcp"},
    )  # fmt: skip
    assert (thread.status, thread.open_runs, thread.agent) == ("busy", 1, "a")
    assert thread.metadata == {"topic": "x"}
    assert (task.status, [r.run_id for r in task.runs]) == ("working", [run.run_id])


async def test_a_run_on_an_unknown_thread_is_refused_unless_it_may_make_one(core: Core) -> None:
    with pytest.raises(NotFound):
        await core.create(make_thread=False)
    assert await core.value("select count(*) from runs") == 0


async def test_a_thread_stays_with_the_agent_of_its_first_run(core: Core) -> None:
    run = await core.create()
    with pytest.raises(Conflict, match="belongs to agent 'a'"):
        await core.create(run.thread_id, agent="b")
    # nor when nothing runs on it any more
    await core.finish(await core.claim_one())
    with pytest.raises(Conflict, match="belongs to agent 'a'"):
        await core.create(run.thread_id, agent="b")


async def test_a_run_on_a_thread_without_an_agent_gives_it_one(core: Core) -> None:
    thread_id = new_id()
    await core.threads.create("default", thread_id, subject="s", metadata={})
    await core.create(thread_id, make_thread=False)
    assert (await core.thread(thread_id)).agent == "a"


async def test_two_creates_at_once_on_one_new_thread_make_one_head_and_one_follower(
    core: Core,
) -> None:
    thread_id = new_id()
    runs = await asyncio.gather(*(core.create(thread_id) for _ in range(4)))
    ready = [await core.ready(run) for run in runs]
    assert sorted(ready) == [False, False, False, True]
    assert (await core.thread(thread_id)).open_runs == 4
    assert await claim_all(core) == 4


async def claim_all(core: Core) -> int:
    """Claim and finish until nothing is left."""
    count = 0
    while claimed := await core.claim(limit=10):
        for one in claimed:
            await core.finish(one)
            count += 1
    return count


# --- double texting -----------------------------------------------------------------------------


async def test_enqueue_waits_behind_the_open_run(core: Core) -> None:
    first = await core.create()
    second = await core.create(first.thread_id)
    assert not await core.ready(second)
    claimed = await core.claim(limit=5)
    assert [c.lease.run_id for c in claimed] == [first.run_id]
    assert await core.finish(claimed[0]) == ["a"]
    assert (await core.claim_one()).lease.run_id == second.run_id


async def test_reject_refuses_while_a_run_is_open_and_changes_nothing(core: Core) -> None:
    first = await core.create()
    with pytest.raises(Conflict, match="already running"):
        await core.create(first.thread_id, "reject")
    assert (await core.thread(first.thread_id)).open_runs == 1
    await core.finish(await core.claim_one())
    assert await core.ready(await core.create(first.thread_id, "reject"))


async def test_interrupt_asks_the_running_run_to_stop_and_drops_the_queued_ones(core: Core) -> None:
    first = await core.create()
    claimed = await core.claim_one()
    queued = await core.create(first.thread_id)
    third = await core.create(first.thread_id, "interrupt")
    assert await core.status(queued) == "interrupted"
    assert not await core.ready(third)
    (renewal,) = await core.queue.renew([claimed.lease], lease=timedelta(seconds=9))
    assert renewal.cancel == "interrupt"
    await core.finish(claimed, "interrupted")
    assert (await core.claim_one()).lease.run_id == third.run_id


async def test_interrupt_takes_the_place_of_a_pending_head(core: Core) -> None:
    first = await core.create()
    second = await core.create(first.thread_id, "interrupt")
    assert await core.status(first) == "interrupted"
    assert await core.ready(second)
    assert (await core.task(first.task_id)).status == "canceled"
    assert (await core.thread(first.thread_id)).open_runs == 1


async def test_rollback_drops_the_checkpoints_of_the_run_that_it_displaces(core: Core) -> None:
    before = await core.create()
    claimed = await core.claim_one()
    await core.checkpoint(claimed, "kept")
    await core.finish(claimed)
    first = await core.create(before.thread_id)
    claimed = await core.claim_one()
    await core.checkpoint(claimed, "gone")
    await core.create(first.thread_id, "rollback")
    (renewal,) = await core.queue.renew([claimed.lease], lease=timedelta(seconds=9))
    assert renewal.cancel == "rollback"
    await core.finish(claimed, "interrupted", rollback=True)
    assert await checkpoint_ids(core, first.thread_id) == ["kept"]


async def test_rollback_of_a_run_that_was_given_back_drops_its_checkpoints_too(core: Core) -> None:
    first = await core.create()
    claimed = await core.claim_one()
    await core.checkpoint(claimed, "gone")
    await core.queue.release([claimed.lease])
    await core.create(first.thread_id, "rollback")
    assert await core.status(first) == "interrupted"
    assert await checkpoint_ids(core, first.thread_id) == []


async def checkpoint_ids(core: Core, thread_id: UUID) -> list[str]:
    rows = await core.rows(
        "select checkpoint_id from checkpoints where thread_id = $1 order by 1", str(thread_id)
    )
    return [row[0] for row in rows]


# --- claim, renew, release, reap ----------------------------------------------------------------


async def test_a_claim_raises_the_epoch_and_hands_over_the_request(core: Core) -> None:
    run = await core.create(subject="ann", metadata={"k": 1})
    claimed = await core.claim_one(worker_id="w7")
    assert (claimed.lease.run_id, claimed.lease.epoch) == (run.run_id, 1)
    assert (claimed.subject, claimed.metadata) == ("ann", {"k": 1})
    assert claimed.request.input == {"n": 1}
    assert (claimed.last_seq, claimed.has_state) == (0, False)
    assert (await core.run(run)).started_at is not None


async def test_a_worker_claims_only_agents_that_it_has(core: Core) -> None:
    await core.create()
    assert await core.claim(agents=["b"]) == []


async def test_claims_follow_priority_and_then_age(core: Core) -> None:
    old = await core.create()
    urgent = await core.create(priority=5)
    claimed = await core.claim(limit=5)
    assert {c.lease.run_id for c in claimed} == {old.run_id, urgent.run_id}
    again = [await core.create(), await core.create(priority=5)]
    assert (await core.claim_one()).lease.run_id == again[1].run_id


async def test_a_delayed_run_is_not_claimed_before_its_time(core: Core) -> None:
    run = await core.create(delay=timedelta(hours=1))
    assert await core.claim() == []
    await core.value("update runs set available_at = now() where run_id = $1", run.run_id)
    assert len(await core.claim()) == 1


async def test_many_claimers_never_share_a_run(core: Core) -> None:
    for _ in range(20):
        await core.create()
    claims = await asyncio.gather(*(core.claim(limit=4) for _ in range(8)))
    ids = [c.lease.run_id for claimed in claims for c in claimed]
    assert len(ids) == len(set(ids)) == 20


async def test_renew_reports_only_leases_that_are_still_held(core: Core) -> None:
    await core.create()
    await core.create()
    held, stale = await core.claim(limit=2)
    await core.expire(stale.lease)
    await core.reap()
    renewals = await core.queue.renew([held.lease, stale.lease], lease=timedelta(seconds=9))
    assert [r.lease for r in renewals] == [held.lease]


async def test_a_released_run_is_claimable_at_once_and_counts_no_failure(core: Core) -> None:
    await core.create()
    first = await core.claim_one()
    await core.append(first, 1, 2)
    await core.queue.release([first.lease])
    second = await core.claim_one()
    assert (second.lease.epoch, second.failures, second.last_seq) == (2, 0, 2)


async def test_release_by_a_lost_lease_takes_nothing_away(core: Core) -> None:
    await core.create()
    stale = await core.claim_one()
    await core.queue.release([stale.lease])
    owner = await core.claim_one()
    await core.queue.release([stale.lease])
    await core.append(owner, 1)


async def test_a_reaped_run_goes_to_another_attempt_with_its_log_and_state(core: Core) -> None:
    run = await core.create()
    dead = await core.claim_one()
    await core.append(dead, 1, 2, 3)
    await core.checkpoint(dead)
    assert list(await core.reap()) == []
    await core.expire(dead.lease)
    assert list(await core.reap()) == ["a"]
    heir = await core.claim_one()
    assert (heir.lease.run_id, heir.lease.epoch, heir.failures) == (run.run_id, 2, 1)
    assert (heir.last_seq, heir.has_state) == (3, True)


async def test_a_run_that_dies_again_waits_before_its_next_attempt(core: Core) -> None:
    await core.create()
    for _ in range(2):
        await core.expire((await core.claim_one()).lease)
        await core.reap()
        wait = await core.value("select max(available_at - updated_at) from runs")
        await core.value("update runs set available_at = now() - interval '1 s'")
    assert timedelta(0) < wait <= timedelta(seconds=2)


async def test_a_poison_run_is_given_up_and_the_next_one_takes_its_place(core: Core) -> None:
    poison = await core.create()
    healthy = await core.create(poison.thread_id)
    for _ in range(2):
        await core.expire((await core.claim_one()).lease)
        await core.reap(max_failures=2)
        await core.value("update runs set available_at = now() - interval '1 s'")
    claimed = await core.claim_one()
    await core.append(claimed, 1)
    await core.expire(claimed.lease)
    assert list(await core.reap(max_failures=2)) == ["a"]
    run, task = await core.run(poison), await core.task(poison.task_id)
    assert (run.status, task.status) == ("error", "failed")
    assert run.error is not None
    assert run.error["error"] == "AttemptsExhausted"
    assert await core.kinds(poison.task_id) == [(1, "custom"), (2, "ended")]
    assert (await core.claim_one()).lease.run_id == healthy.run_id


# --- finish -------------------------------------------------------------------------------------


async def test_a_finish_stores_the_result_and_frees_the_thread(core: Core) -> None:
    run = await core.create()
    assert await core.finish(await core.claim_one(), output=b'{"x":1}') == []
    ended, thread = await core.run(run), await core.thread(run.thread_id)
    assert (ended.status, ended.output) == ("success", {"x": 1})
    assert ended.ended_at is not None
    assert (thread.status, thread.open_runs, thread.values) == ("idle", 0, {"x": 1})
    assert (await core.task(run.task_id)).status == "completed"
    assert await core.kinds(run.task_id) == [(1, "ended")]


@pytest.mark.parametrize(
    ("status", "thread_status", "task_status"),
    [
        ("error", "error", "failed"),
        ("timeout", "error", "failed"),
        ("interrupted", "interrupted", "canceled"),
    ],
)
async def test_a_bad_end_shows_on_the_thread_and_the_task(
    core: Core, status: RunStatus, thread_status: str, task_status: str
) -> None:
    run = await core.create()
    await core.finish(await core.claim_one(), status)
    assert (await core.thread(run.thread_id)).status == thread_status
    assert (await core.task(run.task_id)).status == task_status


async def test_a_lost_lease_writes_nothing_more(core: Core) -> None:
    run = await core.create()
    stale = await core.claim_one()
    await core.expire(stale.lease)
    await core.reap()
    for write in (core.append(stale, 1), core.checkpoint(stale), core.finish(stale)):
        with pytest.raises(LeaseLost):
            await write
    owner = await core.claim_one()
    for write in (core.append(stale, 1), core.checkpoint(stale), core.finish(stale)):
        with pytest.raises(LeaseLost):
            await write
    assert await core.kinds(run.task_id) == []
    assert await checkpoint_ids(core, run.thread_id) == []
    await core.finish(owner)


async def test_a_stale_attempt_in_the_same_worker_cannot_ride_on_the_new_lease(core: Core) -> None:
    run = await core.create()
    stale = await core.claim_one()
    await core.expire(stale.lease)
    await core.reap()
    owner = await core.claim_one()
    # all of them queued before the writer looks: one group
    old = asyncio.gather(core.checkpoint(stale, "old"), return_exceptions=True)
    new = asyncio.gather(core.checkpoint(owner, "new"))
    ((refused,), _) = await asyncio.gather(old, new)
    assert isinstance(refused, LeaseLost)
    assert await checkpoint_ids(core, run.thread_id) == ["new"]


async def test_a_run_is_finished_once(core: Core) -> None:
    run = await core.create()
    claimed = await core.claim_one()
    await core.finish(claimed)
    with pytest.raises(LeaseLost):
        await core.finish(claimed, "error")
    assert await core.status(run) == "success"
    assert await core.kinds(run.task_id) == [(1, "ended")]


async def test_the_last_writes_and_the_finish_are_one_commit(core: Core) -> None:
    run = await core.create()
    claimed = await core.claim_one()
    put = core.writer.put_checkpoint(claimed.lease, checkpoint_row(claimed, "last"))
    await core.finish(claimed)
    assert put.done()
    assert await checkpoint_ids(core, run.thread_id) == ["last"]


async def test_one_bad_write_fails_its_run_and_no_other(core: Core) -> None:
    await core.create()
    await core.create()
    bad, good = await core.claim(limit=2)
    broken = replace(checkpoint_row(bad, "c"), body="{not json")
    writes = await asyncio.gather(
        core.writer.put_checkpoint(bad.lease, broken),
        core.writer.put_checkpoint(good.lease, checkpoint_row(good, "c")),
        return_exceptions=True,
    )
    assert isinstance(writes[0], Exception)
    assert not isinstance(writes[1], Exception)
    with pytest.raises(Exception, match="json"):
        await core.finish(bad)
    await core.finish(bad, "error")
    await core.finish(good)


async def test_a_write_that_the_driver_cannot_encode_fails_and_the_writer_goes_on(
    core: Core,
) -> None:
    await core.create()
    await core.create()
    bad, good = await core.claim(limit=2)
    writes = await asyncio.gather(
        core.writer.put_checkpoint(bad.lease, checkpoint_row(bad, "lone \ud800 surrogate")),
        core.writer.put_checkpoint(good.lease, checkpoint_row(good, "c")),
        return_exceptions=True,
    )
    assert isinstance(writes[0], Exception)
    assert not isinstance(writes[1], Exception)
    await core.finish(good)


# --- cancel -------------------------------------------------------------------------------------


async def test_cancelling_a_pending_head_ends_it_and_promotes_the_next(core: Core) -> None:
    first = await core.create()
    second = await core.create(first.thread_id)
    cancelled = await core.cancel(first)
    assert cancelled.ended
    assert await core.status(first) == "interrupted"
    assert await core.kinds(first.task_id) == [(1, "ended")]
    assert (await core.task(first.task_id)).status == "canceled"
    assert await core.ready(second)
    assert (await core.thread(first.thread_id)).open_runs == 1


async def test_cancelling_a_queued_run_leaves_the_running_one_alone(core: Core) -> None:
    first = await core.create()
    claimed = await core.claim_one()
    second = await core.create(first.thread_id)
    assert (await core.cancel(second)).ended
    assert await core.finish(claimed) == []
    assert (await core.thread(first.thread_id)).open_runs == 0
    assert await core.claim() == []


async def test_cancelling_a_running_run_asks_its_worker(core: Core) -> None:
    first = await core.create()
    claimed = await core.claim_one(worker_id="w9")
    cancelled = await core.cancel(first)
    assert (cancelled.ended, cancelled.worker_id) == (False, "w9")
    assert await core.status(first) == "running"
    await core.append(claimed, 1)
    await core.finish(claimed, "interrupted")
    assert await core.status(first) == "interrupted"


async def test_cancelling_an_ended_run_is_refused(core: Core) -> None:
    run = await core.create()
    await core.finish(await core.claim_one())
    assert await core.cancel(run) is None
    assert (await core.thread(run.thread_id)).open_runs == 0


async def test_the_end_of_a_cancelled_run_that_was_given_back_carries_its_epoch(core: Core) -> None:
    run = await core.create()
    claimed = await core.claim_one()
    await core.append(claimed, 1)
    await core.queue.release([claimed.lease])
    await core.cancel(run)
    epochs = await core.rows(
        "select epoch from events where task_id = $1 order by seq", run.task_id
    )
    assert [e[0] for e in epochs] == [1, 1]


# --- lists --------------------------------------------------------------------------------------


async def test_tasks_are_listed_by_latest_change_and_paged(core: Core) -> None:
    runs = [await core.create(subject="ann") for _ in range(3)]
    await core.create(subject="bob")
    await core.finish(await core.claim_one())
    tasks, count = await core.runs.tasks("default", subject="ann", limit=2)
    assert ([t.task_id for t in tasks], count) == ([runs[0].task_id, runs[2].task_id], 3)
    last = tasks[-1]
    more, _ = await core.runs.tasks(
        "default", subject="ann", before=(last.updated_at, last.task_id)
    )
    assert [t.task_id for t in more] == [runs[1].task_id]
    done, count = await core.runs.tasks("default", status=["completed"])
    assert ([t.task_id for t in done], count) == ([runs[0].task_id], 1)


async def test_runs_of_a_thread_are_listed_newest_first(core: Core) -> None:
    first = await core.create()
    second = await core.create(first.thread_id)
    runs = await core.runs.list("default", first.thread_id)
    assert [r.run_id for r in runs] == [second.run_id, first.run_id]
    pending = await core.runs.list("default", first.thread_id, status="pending", limit=1, offset=1)
    assert [r.run_id for r in pending] == [first.run_id]


# --- the line of a thread -----------------------------------------------------------------------


async def test_tidy_promotes_a_line_that_lost_its_head(core: Core) -> None:
    first = await core.create()
    second = await core.create(first.thread_id)
    claimed = await core.claim_one()
    await core.value("update runs set status = 'success', ready = false where run_id = $1",
                     claimed.lease.run_id)  # fmt: skip
    assert list(await core.queue.tidy(ephemeral_ttl=timedelta(hours=1))) == ["a"]
    assert await core.ready(second)
    assert list(await core.queue.tidy(ephemeral_ttl=timedelta(hours=1))) == []


async def test_tidy_deletes_old_ephemeral_threads_and_nothing_else(core: Core) -> None:
    old = await core.create(ephemeral=True)
    await core.finish(await core.claim_one())
    lasting = await core.create()
    await core.finish(await core.claim_one())
    busy = await core.create(ephemeral=True)
    await core.value(
        "update threads set created_at = now() - interval '2 hours', updated_at = now() - interval '2 hours'"
    )
    await core.queue.tidy(ephemeral_ttl=timedelta(hours=1))
    assert await core.threads.get("default", old.thread_id) is None
    assert await core.runs.get("default", old.run_id) is None
    assert await core.threads.get("default", lasting.thread_id) is not None
    assert await core.status(busy) == "pending"


async def test_deleting_a_thread_deletes_all_that_is_on_it(core: Core) -> None:
    run = await core.create()
    claimed = await core.claim_one()
    await core.append(claimed, 1)
    await core.checkpoint(claimed)
    await core.finish(claimed)
    kept = await core.create()
    assert await core.threads.delete("default", run.thread_id)
    for table in ("threads", "runs", "tasks", "events", "checkpoints"):
        left = await core.value(f"select count(*) from {table}")
        assert left == (1 if table in ("threads", "runs", "tasks") else 0), table
    assert await core.status(kept) == "pending"
    assert not await core.threads.delete("default", run.thread_id)


async def test_a_thread_with_a_running_run_is_not_deleted(core: Core) -> None:
    run = await core.create()
    claimed = await core.claim_one()
    with pytest.raises(Conflict, match="cancel it first"):
        await core.threads.delete("default", run.thread_id)
    await core.finish(claimed)


async def test_another_tenant_sees_and_touches_nothing(core: Core) -> None:
    run = await core.paused("q1")
    assert await core.runs.get("other", run.run_id) is None
    assert await core.runs.task("other", run.task_id) is None
    assert await core.threads.get("other", run.thread_id) is None
    assert not await core.threads.delete("other", run.thread_id)
    assert await core.log.read("other", run.task_id, after=0) == []
    assert (await core.runs.tasks("other"))[1] == 0
    await core.create()
    other = Core(core.db, core.writer, core.tail, tenant="other")
    assert await other.claim() == []


# --- a connection that breaks -------------------------------------------------------------------


async def test_a_broken_connection_delays_a_write_and_loses_nothing(core: Core) -> None:
    run = await core.create()
    claimed = await core.claim_one()
    await core.append(claimed, 1)
    await core.value(
        """select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and query like '%fence as materialized%'
              and pid <> pg_backend_pid()"""
    )
    await core.append(claimed, 2)
    await core.finish(claimed)
    assert await core.kinds(run.task_id) == [(1, "custom"), (2, "custom"), (3, "ended")]


async def test_a_finish_that_was_committed_without_an_answer_counts_as_done(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await core.create()
    claimed = await core.claim_one()
    finish = GroupWriter._finish  # pyright: ignore[reportPrivateUsage]
    answers = 0

    async def lose_the_first_answer(self: Any, *args: Any) -> Any:
        nonlocal answers
        answered = await finish(self, *args)
        answers += 1
        if answers == 1:
            raise ConnectionResetError
        return answered

    monkeypatch.setattr(GroupWriter, "_finish", lose_the_first_answer)
    await core.finish(claimed)
    assert answers == 2
    assert await core.status(run) == "success"
    assert await core.kinds(run.task_id) == [(1, "ended")]


async def test_a_finish_whose_run_was_taken_away_is_not_taken_for_done(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    await core.create()
    claimed = await core.claim_one()
    finish = GroupWriter._finish  # pyright: ignore[reportPrivateUsage]
    broken = False

    async def break_before_it(self: Any, *args: Any) -> Any:
        nonlocal broken
        if not broken:
            broken = True
            await core.expire(claimed.lease)
            await core.reap()
            raise ConnectionResetError
        return await finish(self, *args)

    monkeypatch.setattr(GroupWriter, "_finish", break_before_it)
    with pytest.raises(LeaseLost):
        await core.finish(claimed)
