"""How runs are looked after, in the database: what answers inherit, when questions are due, tries."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from agenthub.json import JsonObject
from agenthub.ports import Claimed
from agenthub.runs import RunRequest
from agenthub_postgres.deadlines import PostgresDeadlines
from testkit.core import Core

HOOK: JsonObject = {"url": "https://example.com/x", "host": "example.com", "events": ["run.ended"]}
AT_ONCE: JsonObject = {"seconds": 0.0, "action": "answer", "value": 1}
ERROR: JsonObject = {"error": "Test", "message": "it failed"}


async def asked(core: Core, **policy: Any) -> Claimed:
    """A run with this policy that has paused with the question q."""
    await core.create(request=RunRequest(input={"n": 1}, **policy))
    claimed = await core.claim_one()
    await core.finish(claimed, questions=["q"])
    return claimed


async def due(core: Core) -> list[Any]:
    found = await PostgresDeadlines(core.db).overdue(core.tenant, limit=10)
    return [one.run_id for one in found]


async def test_an_answer_inherits_how_its_task_is_looked_after(core: Core) -> None:
    first = await asked(core, webhook=HOOK, timeout_seconds=5.0, retry={"max_attempts": 2})
    await core.resume(first.thread_id, "q")
    second = await core.claim_one()
    assert second.request.answers == {"q": "yes"}
    assert second.request.input is None
    policy = (second.request.webhook, second.request.timeout_seconds, second.request.retry)
    assert policy == (HOOK, 5.0, {"max_attempts": 2})


async def test_an_answer_may_say_otherwise(core: Core) -> None:
    first = await asked(core, timeout_seconds=5.0, retry={"max_attempts": 2})
    request = RunRequest(answers={"q": "yes"}, timeout_seconds=7.0)
    await core.create(first.thread_id, kind="resume", request=request)
    second = await core.claim_one()
    assert (second.request.timeout_seconds, second.request.retry) == (7.0, {"max_attempts": 2})


async def test_a_new_input_inherits_nothing(core: Core) -> None:
    first = await asked(core, timeout_seconds=5.0)
    await core.create(first.thread_id)
    assert (await core.claim_one()).request.timeout_seconds is None


async def test_questions_are_due_when_their_run_says_so(core: Core) -> None:
    overdue = await asked(core, deadline=AT_ONCE)
    await asked(core, deadline={**AT_ONCE, "seconds": 3600.0})
    await asked(core)
    assert await due(core) == [overdue.lease.run_id]


async def test_a_run_that_asks_nothing_is_never_due(core: Core) -> None:
    await core.create(request=RunRequest(deadline=AT_ONCE))
    await core.finish(await core.claim_one())
    assert await due(core) == []


async def test_what_was_dealt_with_is_due_no_more_and_what_was_put_off_is_later(core: Core) -> None:
    runs = [(await asked(core, deadline=AT_ONCE)).lease.run_id for _ in range(2)]
    store = PostgresDeadlines(core.db)
    await store.settle(core.tenant, runs[0])
    await store.settle(core.tenant, runs[1], again=timedelta(hours=1))
    assert await due(core) == []
    later = await core.value("select count(*) from runs where due_at > now()")
    assert later == 1


async def test_a_run_is_given_back_with_the_failure_of_its_agent(core: Core) -> None:
    await core.create()
    claimed = await core.claim_one()
    assert await core.queue.retry(claimed.lease, after=timedelta(), error=ERROR)
    waiting = await core.run(claimed)
    assert (waiting.status, waiting.error) == ("pending", ERROR)
    again = await core.claim_one()
    assert (again.retries, again.failures, again.lease.epoch) == (1, 0, 2)
    await core.finish(again)
    assert (await core.run(again)).error is None


async def test_a_run_that_is_tried_again_waits_for_its_time(core: Core) -> None:
    await core.create()
    claimed = await core.claim_one()
    assert await core.queue.retry(claimed.lease, after=timedelta(hours=1), error=ERROR)
    assert await core.claim() == []


async def test_a_run_that_is_cancelled_as_it_is_given_back_does_not_wait(core: Core) -> None:
    run = await core.create()
    claimed = await core.claim_one()
    await core.cancel(run)
    assert await core.queue.retry(claimed.lease, after=timedelta(hours=1), error=ERROR)
    assert [again.cancel for again in await core.claim()] == ["interrupt"]


async def test_a_lost_lease_gives_nothing_back(core: Core) -> None:
    await core.create()
    stale = await core.claim_one()
    await core.queue.release([stale.lease])
    held = await core.claim_one()
    assert not await core.queue.retry(stale.lease, after=timedelta(), error=ERROR)
    assert (await core.run(held)).status == "running"


async def test_only_a_new_input_that_may_goes_on_where_another_agent_worked(core: Core) -> None:
    first = await asked(core)
    run = await core.create(first.thread_id, agent="b", any_agent=True)
    thread = await core.thread(first.thread_id)
    assert (run.agent, thread.agent, thread.interrupts) == ("b", "b", ())
    assert (await core.runs.task(core.tenant, first.task_id)).status == "canceled"  # type: ignore[union-attr]
