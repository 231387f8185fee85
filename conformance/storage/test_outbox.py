"""Deliveries on real Postgres: nothing is lost, nothing is sent by two at once, nobody holds up others."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from agenthub.deliveries import LONGEST_WAIT, Verdict, backoff
from agenthub.dispatcher import KEEP_DEAD, KEEP_DONE, LEASE, PER_HOST
from agenthub.errors import Conflict, Invalid, NotFound, Unavailable
from agenthub.ids import new_id
from agenthub.outbound import Outbound, Refused, Reply
from agenthub.principal import ANONYMOUS
from agenthub.signing import Signer, read_secret, write_secret
from agenthub_postgres import outbox as module
from agenthub_postgres.database import open_database
from agenthub_postgres.outbox import PostgresOutbox
from testkit.core import Core
from testkit.post import SECRET, Post
from testkit.waiting import eventually

HOOK = "https://a.test/hook"


@pytest.fixture
async def post(core: Core) -> Post:
    return Post(core)


def down(_: str) -> Exception:
    return httpx.ConnectError("connection refused by 10.0.0.7")


def up(_: str) -> Reply:
    return Reply(200)


# --- attempts -----------------------------------------------------------------------------------


async def test_a_due_delivery_is_sent_and_done(post: Post) -> None:
    (id_,) = await post.put()
    await post.round(post.dispatcher())
    assert post.at.calls == [(HOOK, b'{"run":1}')]
    done = await post.get(id_)
    assert (done.state, done.attempts, done.response_status) == ("done", 1, 200)
    assert done.ended_at == post.time.now
    await post.round(post.dispatcher())
    assert len(post.at.calls) == 1


async def test_an_endpoint_that_is_down_for_an_hour_gets_its_delivery_once(post: Post) -> None:
    (id_,) = await post.put()
    dispatcher, began = post.dispatcher(), post.time.now
    succeeded = 0

    def answer(_: str) -> Any:
        nonlocal succeeded
        if post.time.now - began < timedelta(hours=1):
            return down(_)
        succeeded += 1
        return Reply(204)

    post.at.answer = answer
    for _ in range(3 * 60):
        await post.round(dispatcher)
        post.time.passes(minutes=1)
    assert succeeded == 1
    done = await post.get(id_)
    assert done.state == "done"
    assert 5 < done.attempts < 15


async def test_a_delivery_that_fails_for_a_day_is_dead_and_can_be_driven_again(post: Post) -> None:
    (id_,) = await post.put()
    dispatcher = post.dispatcher()
    post.at.answer = down
    for _ in range(25 * 12):
        await post.round(dispatcher)
        post.time.passes(minutes=5)
    dead = await post.get(id_)
    assert dead.state == "dead"
    assert dead.ended_at is not None
    assert timedelta(hours=24) <= dead.ended_at - dead.created_at < timedelta(hours=24, minutes=6)
    # why, but nothing of our network
    assert dead.reason == "it could not be sent: ConnectError"
    post.at.answer = up
    driven = await post.outbox.redrive("default", id_)
    assert driven is not None
    assert (driven.state, driven.attempts) == ("pending", 0)
    await post.round(dispatcher)
    assert (await post.get(id_)).state == "done"


def test_the_pauses_between_attempts_grow_to_an_hour_and_are_spread() -> None:
    pauses = [backoff(n, 0.5) for n in range(1, 30)]
    assert pauses[0] == timedelta(seconds=5)
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_WAIT
    assert backoff(4, 0.0) < backoff(4, 0.5) < backoff(4, 1.0)


async def test_a_receiver_that_asks_for_patience_gets_it(post: Post) -> None:
    (id_,) = await post.put()
    post.at.answer = lambda _: Reply(503, timedelta(minutes=20))
    await post.round(post.dispatcher())
    waiting = await post.get(id_)
    assert waiting.available_at == post.time.now + timedelta(minutes=20)
    assert (waiting.state, waiting.response_status) == ("pending", 503)
    post.time.passes(minutes=19, seconds=59)
    await post.round(post.dispatcher())
    assert len(post.at.calls) == 1


async def test_patience_that_never_ends_still_leaves_a_last_attempt(post: Post) -> None:
    (id_,) = await post.put()
    post.at.answer = lambda _: Reply(429, timedelta(days=4000))
    await post.round(post.dispatcher())
    assert (await post.get(id_)).available_at == post.time.now + timedelta(days=1)


async def test_a_receiver_that_is_gone_is_not_asked_again(post: Post) -> None:
    (id_,) = await post.put()
    post.at.answer = lambda _: Reply(410)
    await post.round(post.dispatcher())
    assert (await post.get(id_)).state == "dead"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Reply(302), "redirects are not followed"),
        (Reply(400), "the receiver answered 400"),
        (Reply(500), "the receiver answered 500"),
        (TimeoutError(), "could not be sent: TimeoutError"),
        (httpx.RemoteProtocolError("x"), "could not be sent: RemoteProtocolError"),
        (Refused("a.test does not resolve to public addresses only"), "public addresses only"),
    ],
)
async def test_whatever_is_no_success_is_tried_again(post: Post, answer: Any, reason: str) -> None:
    (id_,) = await post.put()
    post.at.answer = lambda _: answer
    await post.round(post.dispatcher())
    waiting = await post.get(id_)
    assert waiting.state == "pending"
    assert reason in (waiting.reason or "")


async def test_what_was_to_be_told_is_kept_when_the_first_attempt_fails(post: Post) -> None:
    (id_,) = await post.put()
    post.at.answer = down
    dispatcher = post.dispatcher()
    await post.round(dispatcher)
    post.time.passes(minutes=1)
    post.at.answer = up
    await post.round(dispatcher)
    assert post.written == [id_]
    assert post.at.calls[0] == post.at.calls[1]


async def test_what_was_deleted_before_it_could_be_told_is_dead(post: Post) -> None:
    async def nothing(_: Any) -> None:
        return None

    (id_,) = await post.put()
    await post.round(post.dispatcher(letters={"run": nothing}))
    assert post.at.calls == []
    assert (await post.get(id_)).state == "dead"


# --- leases -------------------------------------------------------------------------------------


async def test_many_dispatchers_send_every_delivery_once(post: Post, dsn: str) -> None:
    for host in "abcdefgh":
        await post.put(f"https://{host}.test/", count=5)
    async with open_database(dsn, most=8) as db:
        outbox = PostgresOutbox(db, clock=lambda: post.time.now)
        dispatchers = [post.dispatcher(outbox=outbox) for _ in range(8)]
        for _ in range(4):
            await asyncio.gather(*(post.round(dispatcher) for dispatcher in dispatchers))
    assert await post.states() == ["done"] * 40
    assert len(post.at.calls) == 40
    assert await post.core.value("select max(attempts) from outbox") == 1


async def test_the_delivery_of_a_dispatcher_that_died_is_made_by_another(post: Post) -> None:
    (id_,) = await post.put()
    (taken,) = await post.outbox.claim("default", limit=1, per_host=1, allowed={}, lease=LEASE)
    assert (taken.delivery_id, taken.epoch) == (id_, 1)
    assert await post.outbox.reap("default") == 0
    post.time.passes(seconds=LEASE.total_seconds() + 1)
    assert await post.outbox.reap("default") == 1
    await post.round(post.dispatcher())
    assert (await post.get(id_)).state == "done"


@pytest.mark.parametrize("state", ["done", "dead", "pending"])
async def test_one_that_stalled_cannot_change_what_another_has_done(post: Post, state: Any) -> None:
    (id_,) = await post.put()
    (stalled,) = await post.outbox.claim("default", limit=1, per_host=1, allowed={}, lease=LEASE)
    post.time.passes(seconds=LEASE.total_seconds() + 1)
    await post.outbox.reap("default")
    # neither while nobody has it, nor while another one does
    assert not await post.outbox.settle(stalled, Verdict(state=state))
    (other,) = await post.outbox.claim("default", limit=1, per_host=1, allowed={}, lease=LEASE)
    assert not await post.outbox.settle(stalled, Verdict(state=state))
    await post.outbox.give_back(stalled)
    assert (await post.get(id_)).state == "sending"
    assert await post.outbox.settle(other, Verdict(state="done", response_status=200))
    assert not await post.outbox.settle(stalled, Verdict(state=state))
    assert (await post.get(id_)).state == "done"


async def test_a_dispatcher_that_stalled_before_it_sent_does_not_send(post: Post) -> None:
    await post.put()
    dispatcher = post.dispatcher()
    since = post.time.monotonic()
    (taken,) = await post.outbox.claim("default", limit=1, per_host=1, allowed={}, lease=LEASE)
    post.time.passes(seconds=LEASE.total_seconds())
    assert await dispatcher.attempt(taken, since) is None
    assert post.at.calls == []


async def test_a_dispatcher_that_stops_gives_back_what_it_could_not_finish(post: Post) -> None:
    (id_,) = await post.put()
    post.at.hang = {HOOK}
    async with post.sending(post.dispatcher()):
        await eventually(lambda: post.at.calls)
        assert (await post.get(id_)).state == "sending"
    given_back = await post.get(id_)
    assert (given_back.state, given_back.attempts) == ("pending", 0)


async def test_a_dispatcher_stops_in_peace_while_the_database_is_away(
    post: Post, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(*_: Any) -> None:
        raise Unavailable("the database cannot be reached; try again")

    (id_,) = await post.put()
    post.at.hang = {HOOK}
    monkeypatch.setattr(type(post.outbox), "give_back", away)
    async with post.sending(post.dispatcher()):
        await eventually(lambda: post.at.calls)
    assert f"delivery {id_} is not given back" in caplog.text
    assert (await post.get(id_)).state == "sending"


async def test_one_whose_attempts_never_end_is_given_up_when_its_time_is_up(post: Post) -> None:
    (id_,) = await post.put()
    for _ in range(2):
        await post.outbox.claim("default", limit=1, per_host=1, allowed={}, lease=LEASE)
        post.time.passes(seconds=LEASE.total_seconds() + 1)
        await post.outbox.reap("default")
        assert (await post.get(id_)).state == "pending"
        post.time.passes(seconds=timedelta(days=2).total_seconds())
        await post.outbox.claim("default", limit=1, per_host=1, allowed={}, lease=LEASE)
        post.time.passes(seconds=LEASE.total_seconds() + 1)
        await post.outbox.reap("default")
        dead = await post.get(id_)
        assert (dead.state, dead.reason) == ("dead", "no attempt came to an end")
        assert await post.outbox.redrive("default", id_)


async def test_a_running_dispatcher_is_woken_by_the_doorbell_and_reaps(post: Post) -> None:
    async with post.dispatcher().running():
        (id_,) = await post.put()

        async def rung() -> bool:
            await post.bell.ring(["deliveries"])
            return (await post.get(id_)).state == "done"

        await eventually(rung)


# --- hosts and orders ---------------------------------------------------------------------------


async def test_a_host_that_hangs_holds_up_nobody_else(post: Post) -> None:
    await post.put("https://slow.test/", count=3 * PER_HOST)
    post.at.hang = {"https://slow.test/"}
    dispatcher = post.dispatcher()
    async with post.sending(dispatcher) as group:
        await eventually(lambda: len(post.at.calls) == PER_HOST)
        quick = await post.put("https://quick.test/", count=3)
        await dispatcher.claim(group)

        async def sent() -> bool:
            return [(await post.get(id_)).state for id_ in quick] == ["done"] * 3

        await eventually(sent)
        assert [url for url, _ in post.at.calls].count("https://slow.test/") == PER_HOST


async def test_a_host_that_fails_gets_one_attempt_at_a_time_until_it_answers(post: Post) -> None:
    await post.put(count=12)
    post.at.answer = down
    dispatcher = post.dispatcher()
    counts: list[int] = []
    for answer in (down, down, up, up):
        post.at.answer, before = answer, len(post.at.calls)
        await post.round(dispatcher)
        counts.append(len(post.at.calls) - before)
    assert counts == [PER_HOST, 1, 1, PER_HOST]


async def test_deliveries_with_one_order_are_made_one_after_the_other(post: Post) -> None:
    first, second = await post.put(order_key="task-1", count=2)
    await post.put("https://b.test/", order_key="task-2")
    post.at.answer = lambda url: down(url) if "a.test" in url else up(url)
    dispatcher = post.dispatcher()
    for _ in range(3):
        await post.round(dispatcher)
    assert [(await post.get(id_)).attempts for id_ in (first, second)] == [1, 0]
    assert [url for url, _ in post.at.calls].count("https://b.test/") == 1
    post.time.passes(minutes=1)
    post.at.answer = up
    await post.round(dispatcher)
    assert [(await post.get(id_)).state for id_ in (first, second)] == ["done", "pending"]
    await post.round(dispatcher)
    assert (await post.get(second)).state == "done"


async def test_a_claim_finds_its_index_before_any_analyze(post: Post) -> None:
    args = ("default", 64, 4, [], [], LEASE, None)
    plan = "\n".join(row[0] for row in await post.core.rows(f"explain {module.CLAIM}", *args))
    assert plan.count("outbox_due") >= 2, plan
    assert "outbox_pkey" in plan, plan
    assert "Seq Scan" not in plan, plan
    assert "outbox_listed" not in plan, plan


# --- reading and cleaning -----------------------------------------------------------------------


async def test_deliveries_are_listed_by_state_and_run_and_never_another_tenant_s(
    post: Post,
) -> None:
    (dead,) = await post.put()
    post.at.answer = lambda _: Reply(410)
    await post.round(post.dispatcher())
    (waiting,) = await post.put()

    async def ids(tenant: str = "default", **how: Any) -> list[Any]:
        found = await post.outbox.list(tenant, **how)
        assert await post.outbox.count(tenant, **how) == len(found)
        return [delivery.delivery_id for delivery in found]

    assert set(await ids()) == {waiting, dead}
    assert await ids(state="dead") == [dead]
    assert await ids(run_id=waiting) == [waiting]
    assert await ids("other") == []
    assert await post.outbox.get("other", dead) is None
    assert await post.outbox.redrive("other", dead) is None


async def test_what_is_done_or_on_its_way_cannot_be_driven_again(post: Post) -> None:
    from agenthub.deliveries import Deliveries

    deliveries = Deliveries(outbox=post.outbox, doorbell=post.bell, outbound=Outbound())
    (id_,) = await post.put()
    await post.outbox.claim("default", limit=1, per_host=1, allowed={}, lease=LEASE)
    with pytest.raises(Conflict, match="being sent"):
        await deliveries.redrive(ANONYMOUS, id_)
    post.time.passes(minutes=2)
    await post.outbox.reap("default")
    await post.round(post.dispatcher())
    with pytest.raises(Conflict, match="was delivered"):
        await deliveries.redrive(ANONYMOUS, id_)
    with pytest.raises(NotFound):
        await deliveries.redrive(ANONYMOUS, new_id())
    (again,) = await post.put()
    await deliveries.redrive(ANONYMOUS, again)
    assert post.bell.rung == ["deliveries"]


async def test_what_ended_is_swept_after_its_time_and_the_dead_are_kept_longer(post: Post) -> None:
    await post.put()
    await post.round(post.dispatcher())
    await post.put("https://gone.test/")
    post.at.answer = lambda _: Reply(410)
    await post.round(post.dispatcher())
    for passed, left in ((KEEP_DONE, ["dead"]), (KEEP_DEAD, [])):
        post.time.passes(days=passed.days, seconds=1)
        await post.outbox.sweep("default", done=KEEP_DONE, dead=KEEP_DEAD)
        assert await post.states() == left


# --- signatures ---------------------------------------------------------------------------------


async def test_the_standard_library_of_receivers_verifies_the_signature(post: Post) -> None:
    (id_,) = await post.put()
    await post.round(post.dispatcher(signer=Signer([SECRET])))
    ((_, body),) = post.at.calls
    headers = dict(post.at.headers[0])
    assert headers["webhook-id"] == str(id_)
    assert Webhook(write_secret(SECRET)).verify(body, headers) == {"run": 1}


def test_while_secrets_are_rotated_the_old_and_the_new_one_verify() -> None:
    old, new = bytes(24), SECRET
    headers = dict(Signer([new, old]).headers(new_id(), b"{}"))
    for secret in (old, new):
        assert Webhook(write_secret(secret)).verify(b"{}", headers) == {}
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(write_secret(bytes(range(1, 33)))).verify(b"{}", headers)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(write_secret(new)).verify(b'{"x":1}', headers)


def test_a_secret_is_read_as_it_is_written() -> None:
    assert read_secret(write_secret(SECRET)) == SECRET
    assert read_secret(write_secret(SECRET).removeprefix("whsec_")) == SECRET
    for wrong in ("whsec_!!!", "whsec_c2hvcnQ=", "whsec_" + "A" * 200, ""):
        with pytest.raises(Invalid) as caught:
            read_secret(wrong)
        assert wrong[6:] not in caught.value.message or not wrong[6:]
