"""A run's end and the intent to tell of it are one: however it ends, and never for one who lost it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from agenthub.deliveries import Delivery
from agenthub.errors import LeaseLost
from agenthub.runs import RunRequest
from agenthub_postgres.outbox import PostgresOutbox
from testkit.core import Core

URL = "https://hooks.test/x"
BOTH = ("run.ended", "run.interrupted")


def asking(*events: str) -> dict[str, Any]:
    webhook = {"url": URL, "host": "hooks.test", "events": list(events or BOTH)}
    return {"request": RunRequest(input={"n": 1}, webhook=webhook)}


async def told(core: Core) -> list[Delivery]:
    return list(await PostgresOutbox(core.db).list("default"))


async def test_a_run_without_a_webhook_tells_nobody(core: Core) -> None:
    await core.create()
    await core.finish(await core.claim_one())
    assert await told(core) == []


@pytest.mark.parametrize("status", ["success", "error", "timeout", "interrupted"])
async def test_a_run_that_its_worker_ends_is_told_of(core: Core, status: Any) -> None:
    run = await core.create(**asking())
    assert await told(core) == []
    await core.finish(await core.claim_one(), status)
    (delivery,) = await told(core)
    assert (delivery.run_id, delivery.kind, delivery.state) == (run.run_id, "run", "pending")
    assert (delivery.target, delivery.host) == (URL, "hooks.test")


@pytest.mark.parametrize(
    ("events", "questions", "expected"),
    [
        (BOTH, ["q"], 1), (("run.interrupted",), ["q"], 1), (("run.ended",), ["q"], 0),
        (BOTH, [], 1), (("run.interrupted",), [], 0), (("run.ended",), [], 1),
    ],
)  # fmt: skip
async def test_who_asked_for_one_kind_of_end_hears_of_no_other(
    core: Core, events: tuple[str, ...], questions: list[str], expected: int
) -> None:
    await core.create(**asking(*events))
    await core.finish(await core.claim_one(), questions=questions)
    assert len(await told(core)) == expected


async def test_a_pending_run_that_is_cancelled_is_told_of(core: Core) -> None:
    run = await core.create(**asking())
    await core.cancel(run)
    (delivery,) = await told(core)
    assert delivery.run_id == run.run_id


async def test_a_run_that_a_new_one_displaces_is_told_of(core: Core) -> None:
    run = await core.create(**asking())
    await core.create(run.thread_id, "interrupt")
    (delivery,) = await told(core)
    assert delivery.run_id == run.run_id


async def test_a_run_that_is_given_up_is_told_of(core: Core) -> None:
    run = await core.create(**asking())
    for _ in range(4):
        await core.value("update runs set available_at = now()")
        for claimed in await core.claim():
            await core.expire(claimed.lease)
        await core.reap()
    assert await core.status(run) == "error"
    (delivery,) = await told(core)
    assert delivery.run_id == run.run_id


async def test_a_worker_that_lost_its_run_tells_nobody(core: Core) -> None:
    await core.create(**asking())
    stale = await core.claim_one()
    await core.expire(stale.lease)
    await core.reap()
    with pytest.raises(LeaseLost):
        await core.finish(stale)
    assert await told(core) == []
    await core.finish(await core.claim_one())
    assert len(await told(core)) == 1


async def test_a_failed_neighbour_does_not_keep_others_from_being_told_of(core: Core) -> None:
    first, second = [await core.create(**asking()) for _ in range(2)]
    claimed = await core.claim(2)
    # a row that is there already, by whatever accident
    await core.value(
        """insert into outbox (tenant_id, delivery_id, kind, run_id, target)
           values ('default', $1, 'run', $1, 'x')""",
        first.run_id,
    )
    for one in claimed:
        await core.finish(one)
    assert {d.run_id for d in await told(core)} == {first.run_id, second.run_id}


async def test_a_thread_stays_until_the_end_of_its_run_has_been_told_once(core: Core) -> None:
    run = await core.create(ephemeral=True, **asking())
    await core.finish(await core.claim_one())
    await core.value("update threads set created_at = 'epoch', updated_at = 'epoch'")
    await core.queue.tidy(ephemeral_ttl=timedelta(hours=1))
    assert await core.threads.get("default", run.thread_id) is not None
    await core.value("update outbox set state = 'done', ended_at = now()")
    await core.queue.tidy(ephemeral_ttl=timedelta(hours=1))
    assert await core.threads.get("default", run.thread_id) is None
