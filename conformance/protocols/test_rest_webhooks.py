"""Webhooks with the official client: sent when a run ends or pauses, signed, and tried again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import asyncpg
import httpx
import pytest

from agenthub.signing import write_secret
from agenthub_server.embedded import Postgres, Valkey
from protocols.rest_client import http, refused, rest
from testkit import hub
from testkit.receiver import Received, Receiver, receiving
from testkit.waiting import eventually

SECRET = write_secret(bytes(range(32)))
UNKNOWN = "0190a5a5-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
async def open_hub(postgres: Postgres, valkey: Valkey, template: str) -> AsyncGenerator[str]:
    """A hub that may call this machine."""
    admin = await asyncpg.connect(postgres.url("postgres"))
    await admin.execute(f"create database hub_webhooks template {template} strategy file_copy")
    await admin.close()
    config = hub.settings(
        postgres.url("hub_webhooks"),
        valkey.url(15),
        drain_seconds=0.0,
        outbound_networks=("127.0.0.0/8",),
        webhook_secrets=(SECRET,),
    )
    async with hub.hub(config, hub.FIXTURES / "rest_agents.py") as url:
        yield url


@pytest.fixture
async def receiver() -> AsyncGenerator[Receiver]:
    async with receiving() as one:
        yield one


async def one(receiver: Receiver) -> Received:
    """The first message that comes."""
    await eventually(lambda: receiver.got)
    return receiver.got[0]


async def delivery(raw: httpx.AsyncClient, run_id: str) -> Any:
    found = (await raw.get("/deliveries", params={"run_id": run_id})).json()
    return found[0] if found else None


async def delivered(raw: httpx.AsyncClient, run_id: str, state: str) -> Any:
    async def reached() -> Any:
        found = await delivery(raw, run_id)
        return found if found and found["state"] == state else None

    return await eventually(reached)


async def test_the_end_of_a_run_is_told_with_the_run_its_values_and_a_signature(
    open_hub: str, receiver: Receiver
) -> None:
    async with rest(open_hub) as client, http(open_hub) as raw:
        thread_id = (await client.threads.create())["thread_id"]
        run = await client.runs.create(
            thread_id, "plus", input={"x": 1}, metadata={"m": 1}, webhook=receiver.url
        )
        message = await one(receiver)
        done = await delivered(raw, run["run_id"], "done")
        stored: Any = await client.runs.get(thread_id, run["run_id"])
    told = message.verified(SECRET)
    assert told == message.json
    assert told["run_id"] == run["run_id"]
    assert told["webhook_sent_at"] >= told["run_ended_at"]
    assert (told["event"], told["status"], told["values"]) == ("run.ended", "success", {"x": 2})
    assert (told["thread_id"], told["metadata"]) == (thread_id, {"m": 1})
    assert told["run_started_at"] == stored["started_at"]
    assert told["run_ended_at"] == stored["ended_at"]
    assert told["error"] is None
    assert message.headers["webhook-id"] == done["delivery_id"] == run["run_id"]
    assert message.headers["content-type"] == "application/json"
    assert (done["attempts"], done["response_status"]) == (1, 200)
    assert len(receiver.got) == 1


async def test_a_stateless_run_and_a_wait_tell_too(open_hub: str, receiver: Receiver) -> None:
    async with rest(open_hub) as client:
        await client.runs.wait(None, "plus", input={"x": 1}, webhook=receiver.url)
        await one(receiver)
    assert receiver.got[0].json["values"] == {"x": 2}


async def test_a_pause_is_told_with_its_questions_and_the_end_after_the_answer(
    open_hub: str, receiver: Receiver
) -> None:
    async with rest(open_hub) as client:
        thread_id = (await client.threads.create())["thread_id"]
        await client.runs.wait(
            thread_id, "two_steps", input={"log": []}, interrupt_before=["second"],
            webhook=receiver.url,
        )  # fmt: skip
        paused = (await one(receiver)).json
        await client.runs.wait(thread_id, "two_steps", input=None, webhook=receiver.url)
        await eventually(lambda: len(receiver.got) == 2)
    assert (paused["event"], paused["status"]) == ("run.interrupted", "success")
    assert paused["interrupts"]
    assert receiver.got[1].json["event"] == "run.ended"


async def test_who_asks_for_one_kind_of_end_is_told_of_that_kind_only(
    open_hub: str, receiver: Receiver
) -> None:
    async with http(open_hub) as raw, rest(open_hub) as client:
        webhook = {"url": receiver.url, "events": ["run.ended"]}
        body = {"assistant_id": "two_steps", "input": {"log": []}, "webhook": webhook}
        thread_id = (await client.threads.create())["thread_id"]
        path = f"/threads/{thread_id}/runs/wait"
        await raw.post(path, json={**body, "interrupt_before": ["second"]})
        await raw.post(path, json={**body, "input": None})
        assert (await one(receiver)).json["event"] == "run.ended"
        runs = await client.runs.list(thread_id)
        paused = runs[-1]
        assert await delivery(raw, paused["run_id"]) is None
    assert len(receiver.got) == 1


async def test_a_run_that_is_cancelled_before_it_began_is_told_of(
    open_hub: str, receiver: Receiver
) -> None:
    async with rest(open_hub) as client:
        thread_id = (await client.threads.create())["thread_id"]
        run = await client.runs.create(
            thread_id, "wait_for_ever", input={}, webhook=receiver.url, after_seconds=3600
        )
        await client.runs.cancel(thread_id, run["run_id"])
        message = (await one(receiver)).json
    assert (message["status"], message["error"]["error"]) == ("interrupted", "Cancelled")


async def test_a_receiver_that_fails_is_asked_again_and_the_message_is_the_same(
    open_hub: str, receiver: Receiver
) -> None:
    receiver.status = 500
    async with rest(open_hub) as client, http(open_hub) as raw:
        run: Any = await client.runs.create(None, "plus", input={"x": 1}, webhook=receiver.url)
        await one(receiver)

        async def waits() -> Any:
            found = await delivery(raw, run["run_id"])
            return found if found["reason"] else None

        waiting = await eventually(waits)
        assert (waiting["state"], waiting["response_status"]) == ("pending", 500)
        assert waiting["reason"] == "the receiver answered 500"
        assert waiting["next_attempt_at"] > waiting["created_at"]
        receiver.status = 200
        again = await raw.post(f"/deliveries/{waiting['delivery_id']}/redrive")
        assert again.status_code == 200, again.text
        await delivered(raw, run["run_id"], "done")
    first, second = receiver.got
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert second.verified(SECRET)


async def test_a_redirect_is_not_followed(open_hub: str, receiver: Receiver) -> None:
    receiver.status = 302
    async with rest(open_hub) as client, http(open_hub) as raw:
        run: Any = await client.runs.create(None, "plus", input={"x": 1}, webhook=receiver.url)

        async def waits() -> Any:
            found = await delivery(raw, run["run_id"])
            return found if found and found["reason"] else None

        assert "redirects are not followed" in (await eventually(waits))["reason"]
    assert len(receiver.got) == 1


async def test_dead_letters_are_listed_and_driven_again(open_hub: str, receiver: Receiver) -> None:
    receiver.status = 410
    async with rest(open_hub) as client, http(open_hub) as raw:
        run: Any = await client.runs.create(None, "plus", input={"x": 1}, webhook=receiver.url)
        dead = await delivered(raw, run["run_id"], "dead")
        assert dead in (await raw.get("/deliveries", params={"state": "dead"})).json()
        path = f"/deliveries/{dead['delivery_id']}"
        assert (await raw.get(path)).json() == dead
        receiver.status = 200
        assert (await raw.post(path + "/redrive")).status_code == 200
        await delivered(raw, run["run_id"], "done")
        assert (await raw.post(path + "/redrive")).status_code == 409
        assert (await raw.post(f"/deliveries/{UNKNOWN}/redrive")).status_code == 404
        assert (await raw.get("/deliveries/nonsense")).status_code == 422
        assert (await raw.get("/deliveries", params={"state": "lost"})).status_code == 422


async def test_the_runs_of_a_cron_tell_too(open_hub: str, receiver: Receiver) -> None:
    async with rest(open_hub) as client, http(open_hub) as raw:
        cron: Any = await client.crons.create(
            "plus", schedule="0 0 1 1 *", input={"x": 1}, webhook=receiver.url
        )
        await raw.post(f"/runs/crons/{cron['cron_id']}/run")
        message = (await one(receiver)).json
        await client.crons.delete(cron["cron_id"])
    assert message["metadata"] == {"cron_id": cron["cron_id"]}


@pytest.mark.parametrize(
    ("webhook", "sentence"),
    [
        ("http://127.0.0.1:9/x", "not a public address"),
        ("http://localhost/x", "not a public address"),
        ("http://[::ffff:169.254.169.254]/", "not a public address"),
        ("http://2130706433/", "not a public address"),
        ("/relative", "http:// or https://"),
        ("ftp://example.org/", "http:// or https://"),
        ({"url": "https://example.org/", "events": ["run.born"]}, "events"),
        ({"url": "https://example.org/", "events": []}, "events"),
        ({"events": ["run.ended"]}, "url"),
        (5, "webhook"),
    ],
)
async def test_a_webhook_that_must_not_be_called_is_refused_at_once(
    hub_url: str, webhook: Any, sentence: str
) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        with refused(422, sentence):
            await client.runs.create(None, "plus", input={"x": 1}, webhook=webhook)
        body = {"assistant_id": "plus", "schedule": "0 0 1 1 *", "webhook": webhook}
        response = await raw.post("/runs/crons", json=body)
        assert response.status_code == 422, response.text
