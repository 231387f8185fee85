"""A task's state and the intent to tell of it are one: however it changes, in order, for each config."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from agenthub.errors import Conflict, LeaseLost
from agenthub.json import text
from agenthub.pushes import MOST_CONFIGS, PushConfig
from agenthub_postgres import push_configs, runs
from agenthub_postgres.push_configs import PostgresPushConfigs
from testkit.core import Core
from testkit.interleavings import begin, held, waits
from testkit.waiting import eventually

WORKING, ENDED, CANCELED = "task.working", "task.ended", "task.canceled"


def config(id: str = "c") -> PushConfig:
    return PushConfig(config_id=id, url=f"https://{id}.test/x", host=f"{id}.test", notes={"n": 1})


async def told(core: Core, task_id: UUID, id: str = "c") -> list[str]:
    """What is to be told to a config, in the order in which it will be."""
    rows = await core.rows(
        "select kind from outbox where order_key = $1 order by delivery_id", f"{task_id}:{id}"
    )
    return [row["kind"] for row in rows]


async def asking(core: Core, *questions: str) -> Any:
    """A task with a config that waits for answers."""
    run = await core.create(push=config())
    await core.finish(await core.claim_one(), questions=questions)
    return run


async def test_a_task_without_a_config_tells_nobody(core: Core) -> None:
    run = await core.paused("q")
    await core.resume(run.thread_id, "q")
    await core.finish(await core.claim_one())
    assert await core.value("select count(*) from outbox") == 0


async def test_a_task_is_told_of_from_its_first_run_to_its_end(core: Core) -> None:
    run = await asking(core, "q")
    await core.resume(run.thread_id, "q")
    await core.finish(await core.claim_one())
    assert await told(core, run.task_id) == [WORKING, ENDED, WORKING, ENDED]
    row = (await core.rows("select * from outbox order by delivery_id"))[1]
    assert (row["target"], row["host"], row["run_id"]) == ("https://c.test/x", "c.test", run.run_id)
    assert row["delivery_id"].version == 7


async def test_every_config_is_told_by_itself(core: Core) -> None:
    run = await core.create(push=config("a"))
    assert await PostgresPushConfigs(core.db).put("default", run.task_id, config("b"))
    await core.finish(await core.claim_one())
    assert await told(core, run.task_id, "a") == [WORKING, ENDED]
    assert await told(core, run.task_id, "b") == [ENDED]


async def test_a_config_that_comes_with_an_answer_hears_of_the_rest(core: Core) -> None:
    run = await core.paused("q")
    await core.resume(run.thread_id, "q", push=config("late"))
    await core.finish(await core.claim_one())
    assert await told(core, run.task_id, "late") == [WORKING, ENDED]


async def test_a_worker_that_lost_its_run_tells_nobody(core: Core) -> None:
    run = await core.create(push=config())
    stale = await core.claim_one()
    await core.expire(stale.lease)
    await core.reap()
    with pytest.raises(LeaseLost):
        await core.finish(stale)
    assert await told(core, run.task_id) == [WORKING]


async def test_a_pending_run_that_is_cancelled_ends_its_task(core: Core) -> None:
    run = await core.create(push=config())
    await core.cancel(run)
    assert await told(core, run.task_id) == [WORKING, ENDED]


async def test_a_waiting_task_that_is_cancelled_is_told_of(core: Core) -> None:
    run = await asking(core, "q")
    assert await core.runs.close_task("default", run.task_id, reason="a test")
    assert await told(core, run.task_id) == [WORKING, ENDED, CANCELED]


async def test_a_task_whose_question_a_new_input_replaces_is_told_of(core: Core) -> None:
    run = await asking(core, "q")
    await core.create(run.thread_id)
    assert await told(core, run.task_id) == [WORKING, ENDED, CANCELED]


async def test_a_task_that_asks_when_a_new_input_waits_already_is_told_to_be_cancelled(
    core: Core,
) -> None:
    run = await core.create(push=config())
    claimed = await core.claim_one()
    await core.create(run.thread_id)
    await core.finish(claimed, questions=["q"])
    assert await told(core, run.task_id) == [WORKING, CANCELED]


async def test_an_input_that_came_while_the_finish_waited_cancels_the_task_and_tells_it(
    core: Core,
) -> None:
    run = await core.create(push=config())
    claimed = await core.claim_one()
    async with held(core) as (connection, transaction):
        new = core.new_run(run.thread_id)
        await connection.fetch(runs.CREATE, *runs.arguments(new))
        finishing = begin(core.finish(claimed, questions=["q"]))
        assert await waits(core, finishing)
        await transaction.commit()
    await finishing
    assert await told(core, run.task_id) == [WORKING, CANCELED]


async def test_a_run_that_is_given_up_ends_its_task(core: Core) -> None:
    run = await core.create(push=config())
    for _ in range(4):
        await core.value("update runs set available_at = now()")
        for claimed in await core.claim():
            await core.expire(claimed.lease)
        await core.reap()
    assert await core.status(run) == "error"
    assert await told(core, run.task_id) == [WORKING, ENDED]


async def test_a_config_that_is_committed_while_the_finish_waits_for_it_hears_of_the_end(
    core: Core,
) -> None:
    run = await core.create()
    claimed = await core.claim_one()
    async with core.db.transaction() as connection:
        stored = text(config().to_json())
        await connection.fetch(push_configs.PUT, "default", run.task_id, "c", stored, MOST_CONFIGS)
        finish = asyncio.create_task(core.finish(claimed))
        await eventually(lambda: core.value("select count(*) from pg_locks where not granted"))
        assert not finish.done()
    await finish
    assert await told(core, run.task_id) == [ENDED]


async def test_a_config_that_goes_takes_along_what_it_has_not_been_told(core: Core) -> None:
    run = await core.create(push=config())
    store = PostgresPushConfigs(core.db)
    await store.put("default", run.task_id, config("other"))
    await core.value("update outbox set state = 'sending'")
    await core.finish(await core.claim_one())
    await store.delete("default", run.task_id, "c")
    await store.delete("default", run.task_id, "c")
    assert await told(core, run.task_id) == [WORKING], "one that is being sent goes on"
    assert await told(core, run.task_id, "other") == [ENDED]
    assert await store.list("default", run.task_id) == [config("other")]


async def test_configs_are_replaced_by_id_and_are_only_so_many(core: Core) -> None:
    run = await core.create()
    store = PostgresPushConfigs(core.db)
    for number in range(MOST_CONFIGS):
        assert await store.put("default", run.task_id, config(str(number)))
    assert await store.put("default", run.task_id, config("0"))
    with pytest.raises(Conflict, match=str(MOST_CONFIGS)):
        await store.put("default", run.task_id, config("one too many"))
    assert len(await store.list("default", run.task_id)) == MOST_CONFIGS
    assert not await store.put("another", run.task_id, config())
    assert await store.list("another", run.task_id) == []


async def test_a_config_that_is_replaced_is_told_at_its_new_address_what_it_has_not_heard(
    core: Core,
) -> None:
    run = await core.create(push=config())
    other = await core.create(push=config())
    moved = PushConfig(config_id="c", url="https://new.test/y", host="new.test")
    assert await PostgresPushConfigs(core.db).put("default", run.task_id, moved)
    rows = await core.rows("select run_id, target, host from outbox order by delivery_id")
    assert [tuple(row) for row in rows] == [
        (run.run_id, "https://new.test/y", "new.test"),
        (other.run_id, "https://c.test/x", "c.test"),
    ]
