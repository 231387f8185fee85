"""A task is cancelled whatever happens meanwhile, and a deadline is for the questions that it was set for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from agenthub.clock import SystemClock
from agenthub.deadlines import Deadlines
from agenthub.ports import Claimed
from agenthub.principal import ANONYMOUS
from agenthub.runs import Run, RunRequest
from agenthub.service import Hub
from agenthub_postgres.deadlines import PostgresDeadlines
from testkit import hub
from testkit.core import Core, open_core

Meanwhile = Callable[[], Awaitable[Any]]
TIMES_OUT = {"seconds": 0.0, "action": "cancel"}
ANSWERS = {"seconds": 0.0, "action": "answer", "value": "default"}


class Between:
    """The store of runs, where something happens once before, or behind, a call."""

    def __init__(
        self,
        runs: Any,
        call: str,
        *,
        before: Meanwhile | None = None,
        behind: Meanwhile | None = None,
    ) -> None:
        self.runs, self.call, self.before, self.behind = runs, call, before, behind

    def __getattr__(self, name: str) -> Any:
        at = getattr(self.runs, name)
        if name != self.call:
            return at

        async def called(*what: Any, **how: Any) -> Any:
            before, self.before = self.before, None
            if before is not None:
                await before()
            result = await at(*what, **how)
            behind, self.behind = self.behind, None
            if behind is not None:
                await behind()
            return result

        return called


@pytest.fixture
async def core(dsn: str) -> AsyncGenerator[Core]:
    async with open_core(dsn) as core:
        yield core


@pytest.fixture
async def service(dsn: str, redis_url: str) -> AsyncGenerator[Hub]:
    """A server whose worker is the test."""
    async with hub.serving(hub.settings(dsn, redis_url)) as (_, service):
        yield service


def with_runs(service: Hub, call: str, **meanwhile: Meanwhile) -> Hub:
    return replace(service, runs=Between(service.runs, call, **meanwhile))


async def asked(core: Core, **policy: Any) -> Claimed:
    await core.create(request=RunRequest(input={}, **policy))
    claimed = await core.claim_one()
    await core.finish(claimed, questions=["q"])
    return claimed


async def sweep(service: Hub, core: Core) -> None:
    deadlines = Deadlines(
        hub=service, store=PostgresDeadlines(core.db), clock=SystemClock(), tenant=core.tenant,
        poll_seconds=1.0,
    )  # fmt: skip
    await deadlines.tick()


async def status_of(service: Hub, task_id: UUID) -> str:
    return (await service.task(ANONYMOUS, task_id)).status


async def test_a_run_that_asks_before_it_hears_of_it_is_cancelled_all_the_same(
    core: Core, service: Hub
) -> None:
    run = await core.create()
    claimed = await core.claim_one()

    async def asks() -> None:
        await core.finish(claimed, questions=["q"])

    task = await with_runs(service, "cancel", behind=asks).cancel_task(ANONYMOUS, run.task_id)
    assert (task.status, task.interrupts) == ("canceled", ())


async def test_an_answer_that_comes_while_its_task_is_cancelled_goes_with_it(
    core: Core, service: Hub
) -> None:
    run = await asked(core)

    async def answers() -> None:
        await core.resume(run.thread_id, "q")

    task = await with_runs(service, "close_task", before=answers).cancel_task(
        ANONYMOUS, run.task_id
    )
    assert task.status == "canceled"
    assert await core.claim() == []


@pytest.mark.parametrize("deadline", [TIMES_OUT, ANSWERS], ids=["cancel", "answer"])
async def test_a_deadline_leaves_an_answer_alone_that_was_faster(
    core: Core, service: Hub, deadline: Any
) -> None:
    run = await asked(core, deadline=deadline)
    made: list[Run] = []

    async def answers() -> None:
        made.append(await core.resume(run.thread_id, "q"))

    call = "close_task" if deadline is TIMES_OUT else "create"
    await sweep(with_runs(service, call, before=answers), core)
    assert await status_of(service, run.task_id) == "working"
    assert [claimed.lease.run_id for claimed in await core.claim()] == [made[0].run_id]


@pytest.mark.parametrize("deadline", [TIMES_OUT, ANSWERS], ids=["cancel", "answer"])
async def test_a_deadline_is_not_for_the_next_question_of_the_same_place(
    core: Core, service: Hub, deadline: Any
) -> None:
    run = await asked(core, deadline=deadline)

    async def answered_and_asked_again() -> None:
        request = RunRequest(answers={"q": "mine"}, deadline={**deadline, "seconds": 3600.0})
        await core.create(run.thread_id, kind="resume", request=request)
        await core.finish(await core.claim_one(), questions=["q"])

    call = "close_task" if deadline is TIMES_OUT else "create"
    await sweep(with_runs(service, call, before=answered_and_asked_again), core)
    assert await status_of(service, run.task_id) == "input_required"
    assert await core.claim() == []


async def test_a_deadline_waits_for_a_state_update_that_may_be_refused(
    core: Core, service: Hub
) -> None:
    run = await asked(core, deadline=TIMES_OUT)
    await core.create(run.thread_id, kind="update")
    await sweep(service, core)
    assert await status_of(service, run.task_id) == "input_required"
    await core.finish(await core.claim_one(), status="error")
    assert await core.value("select due_at > now() from runs where run_id = $1", run.lease.run_id)
    await core.value("update runs set due_at = now() where run_id = $1", run.lease.run_id)
    await sweep(service, core)
    assert await status_of(service, run.task_id) == "canceled"
