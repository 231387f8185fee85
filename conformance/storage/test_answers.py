"""Questions, their answers, and requests that are sent twice."""

from __future__ import annotations

import asyncio

import pytest

from agenthub.errors import Conflict, UnknownInterrupt
from agenthub.ids import new_id
from agenthub.runs import Run
from testkit.core import Core

# --- questions and answers ----------------------------------------------------------------------


async def test_a_pause_ends_the_run_and_opens_its_questions(core: Core) -> None:
    run = await core.paused("q1", "q2")
    thread, task = await core.thread(run.thread_id), await core.task(run.task_id)
    assert (await core.status(run), thread.status, task.status) == (
        "success", "interrupted", "input_required",
    )  # fmt: skip
    assert {i.id for i in thread.interrupts} == {"q1", "q2"}
    assert {i.id for i in task.interrupts} == {"q1", "q2"}


async def test_an_answer_is_a_new_run_of_the_same_task(core: Core) -> None:
    run = await core.paused("q1")
    resumed = await core.resume(run.thread_id, "q1")
    assert (resumed.task_id, resumed.kind, resumed.after_seq) == (run.task_id, "resume", 1)
    assert (await core.task(run.task_id)).status == "working"
    claimed = await core.claim_one()
    assert (claimed.last_seq, claimed.request.answers) == (1, {"q1": "yes"})
    await core.finish(claimed)
    task = await core.task(run.task_id)
    assert (task.status, [r.run_id for r in task.runs]) == (
        "completed", [run.run_id, resumed.run_id],
    )  # fmt: skip
    assert await core.kinds(run.task_id) == [(1, "ended"), (2, "ended")]


async def test_an_answer_to_a_question_that_is_not_open_is_refused(core: Core) -> None:
    run = await core.paused("q1")
    with pytest.raises(UnknownInterrupt, match="'nope' is not open; open: q1"):
        await core.resume(run.thread_id, "nope")
    assert (await core.thread(run.thread_id)).open_runs == 0


async def test_a_question_is_answered_once_however_many_try(core: Core) -> None:
    run = await core.paused("q1")
    tries = await asyncio.gather(
        *(core.resume(run.thread_id, "q1") for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(t, Run) for t in tries) == 1
    assert sum(isinstance(t, UnknownInterrupt) for t in tries) == 4


async def test_new_input_takes_the_place_of_an_open_question(core: Core) -> None:
    run = await core.paused("q1")
    fresh = await core.create(run.thread_id)
    assert (await core.task(run.task_id)).status == "canceled"
    assert (await core.task(fresh.task_id)).status == "working"
    with pytest.raises(UnknownInterrupt):
        await core.resume(run.thread_id, "q1")


async def test_new_input_is_refused_where_an_open_question_must_not_be_lost(core: Core) -> None:
    run = await core.paused("q1")
    with pytest.raises(Conflict, match="waits for an answer"):
        await core.create(run.thread_id, open_task="refuse")
    assert (await core.task(run.task_id)).status == "input_required"


async def test_a_pause_with_new_input_queued_behind_it_is_superseded(core: Core) -> None:
    first = await core.create()
    claimed = await core.claim_one()
    second = await core.create(first.thread_id)
    await core.finish(claimed, questions=["q1"])
    assert (await core.task(first.task_id)).status == "canceled"
    with pytest.raises(UnknownInterrupt):
        await core.resume(first.thread_id, "q1")
    await core.finish(await core.claim_one(), questions=["q2"])
    assert (await core.task(second.task_id)).status == "input_required"
    assert (await core.resume(first.thread_id, "q2")).task_id == second.task_id


async def test_a_pause_after_the_queued_input_was_cancelled_keeps_its_question(core: Core) -> None:
    first = await core.create()
    claimed = await core.claim_one()
    second = await core.create(first.thread_id)
    await core.cancel(second)
    await core.finish(claimed, questions=["q1"])
    assert (await core.task(first.task_id)).status == "input_required"
    assert (await core.resume(first.thread_id, "q1")).task_id == first.task_id


async def test_questions_of_one_pause_may_be_answered_one_by_one(core: Core) -> None:
    run = await core.paused("q1", "q2")
    await core.resume(run.thread_id, "q1")
    second = await core.resume(run.thread_id, "q2")
    # LangGraph asks q2 again in the first resume; its answer already waits in line
    await core.finish(await core.claim_one(), questions=["q2"])
    assert (await core.task(run.task_id)).status == "working"
    claimed = await core.claim_one()
    assert claimed.lease.run_id == second.run_id
    await core.finish(claimed)
    assert (await core.task(run.task_id)).status == "completed"
    assert (await core.thread(run.thread_id)).interrupts == ()


async def test_a_waiting_task_can_be_closed_once(core: Core) -> None:
    run = await core.paused("q1")
    assert await core.runs.close_task("default", run.task_id, reason="enough")
    assert not await core.runs.close_task("default", run.task_id, reason="enough")
    thread = await core.thread(run.thread_id)
    assert (thread.status, thread.interrupts) == ("idle", ())
    assert (await core.task(run.task_id)).status == "canceled"
    assert await core.kinds(run.task_id) == [(1, "ended"), (2, "ended")]


async def test_a_working_task_is_not_closed_as_waiting(core: Core) -> None:
    run = await core.paused("q1")
    await core.resume(run.thread_id, "q1")
    assert not await core.runs.close_task("default", run.task_id, reason="enough")


async def test_a_question_that_a_state_update_leaves_is_its_own_to_answer(core: Core) -> None:
    first = await core.create()
    await core.finish(await core.claim_one())
    update = await core.create(first.thread_id, kind="update")
    await core.finish(await core.claim_one(), questions=["q"])
    resumed = await core.resume(first.thread_id, "q")
    assert resumed.task_id == update.task_id
    assert (await core.thread(first.thread_id)).interrupts == ()


# --- idempotency --------------------------------------------------------------------------------


async def test_the_same_key_and_request_answer_with_the_same_run(core: Core) -> None:
    first = await core.create(idempotency_key="k", request_hash="h")
    again = await core.create(idempotency_key="k", request_hash="h")
    assert again.run_id == first.run_id
    assert await core.value("select count(*) from runs") == 1
    assert await core.value("select count(*) from threads") == 1


async def test_the_same_key_for_another_request_is_refused(core: Core) -> None:
    await core.create(idempotency_key="k", request_hash="h")
    with pytest.raises(Conflict, match="different request"):
        await core.create(idempotency_key="k", request_hash="other")
    assert await core.value("select count(*) from runs") == 1


@pytest.mark.parametrize("multitask", ["enqueue", "reject", "interrupt", "rollback"])
async def test_a_retry_with_its_key_is_answered_whatever_the_double_texting(
    core: Core, multitask: str
) -> None:
    thread_id = new_id()
    how = {"multitask": multitask, "idempotency_key": "k", "request_hash": "h"}
    first = await core.create(thread_id, **how)
    again = await core.create(thread_id, **how)
    assert again.run_id == first.run_id
    assert await core.status(first) == "pending"


async def test_a_retried_answer_is_answered_with_its_run(core: Core) -> None:
    run = await core.paused("q1")
    how = {"idempotency_key": "k", "request_hash": "h"}
    first = await core.resume(run.thread_id, "q1", **how)
    assert (await core.resume(run.thread_id, "q1", **how)).run_id == first.run_id


@pytest.mark.parametrize("multitask", ["enqueue", "interrupt"])
async def test_many_with_one_key_at_once_make_one_run(core: Core, multitask: str) -> None:
    thread_id = new_id()
    how = {"multitask": multitask, "idempotency_key": "k", "request_hash": "h"}
    runs = await asyncio.gather(*(core.create(thread_id, **how) for _ in range(8)))
    assert len({run.run_id for run in runs}) == 1
    assert await core.value("select count(*) from runs") == 1


async def test_an_expired_key_may_be_used_again(core: Core) -> None:
    first = await core.create(idempotency_key="k", request_hash="h")
    await core.value("update idempotency set expires_at = now() - interval '1 s'")
    again = await core.create(idempotency_key="k", request_hash="other")
    assert again.run_id != first.run_id
