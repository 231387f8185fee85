"""Runs with nothing to decide on: on threads of their own or on idle ones, many in one statement."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from agenthub.errors import Conflict
from agenthub.ids import new_id
from agenthub.ports import NewRun
from agenthub.runs import Run, RunRequest
from agenthub.threads import Thread
from agenthub_postgres import plain_runs, runs
from agenthub_postgres.records import run_of
from agenthub_postgres.runs import PostgresRuns
from agenthub_postgres.threads import PostgresThreads, delete
from testkit.core import Core

ROWS = """
select to_jsonb(t) || jsonb_build_object('run', to_jsonb(r), 'task', to_jsonb(k)) from runs r
  join threads t using (tenant_id, thread_id) join tasks k using (tenant_id, task_id) where r.run_id = $1
"""


HOW: dict[str, Any] = {
    "request": RunRequest(input={"n": 1}, retry={"max_attempts": 3}, modes=("values",)),
    "subject": "ada", "metadata": {"k": 1}, "thread_metadata": {"topic": "x"}, "origin": {"p": "mcp"},
    "multitask": "reject", "priority": 3, "delay": timedelta(hours=1),
}  # fmt: skip


async def stored(core: Core, run: Run) -> str:
    """Everything that there is of a run, without its ids and times."""
    row = str(await core.value(ROWS, run.run_id))
    for id in (run.run_id, run.thread_id):
        row = row.replace(str(id), "an id")
    assert (await core.thread(run.thread_id)).open_runs == 1
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.+]+", "a time", row)


async def decided(core: Core, new: NewRun) -> Run:
    """A run that was made by the statement that can decide."""
    row = await core.db.row(runs.CREATE, *runs.arguments(new))
    assert row is not None
    return await core.run(run_of(row))


async def test_a_run_on_a_thread_of_its_own_is_stored_like_any_other(core: Core) -> None:
    one = await core.create(new_thread=True, ephemeral=True, **HOW)
    other = await decided(core, core.new_run(ephemeral=True, **HOW))
    assert await stored(core, one) == await stored(core, other)


async def test_a_run_on_an_idle_thread_is_stored_like_any_other(core: Core) -> None:
    threads = [new_id(), new_id()]
    for thread_id in threads:
        await core.threads.create(core.tenant, thread_id, subject="s", metadata={})
    (made,) = await plain_runs.idle(core.db, [core.new_run(threads[0], **HOW)])
    assert made is not None
    other = await decided(core, core.new_run(threads[1], **HOW))
    assert await stored(core, run_of(made)) == await stored(core, other)


async def test_another_turn_has_nothing_to_decide_on(core: Core) -> None:
    first = await core.create()
    await core.finish(await core.claim_one())
    new = core.new_run(first.thread_id)
    (made,) = await plain_runs.idle(core.db, [new])
    assert made is not None
    assert (await core.claim_one()).lease.run_id == new.run_id


async def test_who_comes_when_the_head_has_ended_stands_behind_the_next(core: Core) -> None:
    first = await core.create()
    second = await core.create(first.thread_id)
    await core.finish(await core.claim_one())
    assert await core.ready(second)
    third = await core.create(first.thread_id)
    assert not await core.ready(third)
    assert (await core.thread(first.thread_id)).open_runs == 2


async def test_of_two_runs_for_one_thread_in_one_statement_the_second_stands_in_line(
    core: Core,
) -> None:
    thread_id = new_id()
    await core.threads.create(core.tenant, thread_id, subject="s", metadata={})
    async with asyncio.TaskGroup() as group:
        store = PostgresRuns(core.db, group=group)
        # while the first is on its way, the others gather
        new = [core.new_run(), *(core.new_run(thread_id) for _ in range(3))]
        made = await asyncio.gather(*(store.create(one) for one in new))
    assert [run.run_id for run in made] == [one.run_id for one in new]
    assert [await core.ready(run) for run in made[1:]].count(True) == 1
    assert (await core.thread(thread_id)).open_runs == 3


async def test_a_thread_that_exists_fails_its_own_run_and_no_other(core: Core) -> None:
    taken = await core.create()
    async with asyncio.TaskGroup() as group:
        store = PostgresRuns(core.db, group=group)
        new = [core.new_run(new_thread=True) for _ in range(4)]
        new[2] = replace(new[2], thread_id=taken.thread_id)
        made = await asyncio.gather(*(store.create(one) for one in new), return_exceptions=True)
    assert [isinstance(one, Run) for one in made] == [True, True, False, True]
    assert len(await core.claim(limit=9)) == 4


async def test_threads_of_one_moment_are_made_together_and_each_once(core: Core) -> None:
    ids = [new_id() for _ in range(3)]
    asked = [ids[0], ids[1], ids[2], ids[1]]
    async with asyncio.TaskGroup() as group:
        store = PostgresThreads(core.db, group=group)
        made = await asyncio.gather(
            *(
                store.create(
                    core.tenant, id, subject=f"s{n}", metadata={"n": n}, agent="a", fresh=True
                )
                for n, id in enumerate(asked)
            ),
            return_exceptions=True,
        )
    assert [one.metadata["n"] if isinstance(one, Thread) else type(one) for one in made] == [
        0, 1, 2, Conflict,
    ]  # fmt: skip
    assert (await core.thread(ids[1])).subject == "s1"


async def test_an_id_that_is_on_its_way_out_keeps_nobody_else_waiting(core: Core) -> None:
    going = new_id()
    await core.threads.create(core.tenant, going, subject="s", metadata={})
    async with asyncio.TaskGroup() as group:
        store = PostgresThreads(core.db, group=group)

        def create(id: UUID, *, fresh: bool) -> asyncio.Task[Thread]:
            made = store.create(core.tenant, id, subject="s", metadata={"n": 2}, fresh=fresh)
            return group.create_task(made)

        async with core.db.transaction() as connection:
            assert await delete(connection, core.tenant, going)
            again = create(going, fresh=False)
            others = [create(new_id(), fresh=True) for _ in range(3)]
            await asyncio.wait(others)
            assert not again.done()
    assert (await core.thread(going)).metadata == {"n": 2}
