"""The event-streaming protocol over a WebSocket: subscriptions, commands and reconnects on one connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import uuid4

import orjson
import pytest
from langgraph_sdk import get_client
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from protocols.protocol_client import ALL, ANSWER, checked, data, is_end
from protocols.rest_client import PATIENCE_SECONDS

HI = {"messages": [{"role": "user", "content": "hi"}]}


@dataclass
class Socket:
    """A client's end: answers by command, and events in the order in which they came."""

    connection: ClientConnection
    events: list[Any] = field(default_factory=list)
    ids: Any = field(default_factory=lambda: count(1))

    async def command(self, method: str, **params: Any) -> Any:
        id_ = next(self.ids)
        await self.connection.send(
            orjson.dumps({"id": id_, "method": method, "params": params}).decode()
        )
        while True:
            message = await self.receive()
            if message.get("id") == id_:
                return ANSWER.validate_python(message)

    async def done(self, method: str, **params: Any) -> Any:
        answer = await self.command(method, **params)
        assert answer["type"] == "success", answer
        return answer["result"]

    async def receive(self) -> Any:
        message = orjson.loads(await self.connection.recv())
        if message["type"] == "event":
            self.events.append(checked(message))
        return message

    async def until(self, done: Callable[[Any], bool], times: int = 1) -> list[Any]:
        """All events so far, once so many of them are `done`."""
        while sum(map(done, self.events)) < times:
            await self.receive()
        return self.events


@asynccontextmanager
async def socket(url: str, thread_id: str, **how: Any) -> AsyncGenerator[Socket]:
    address = url.replace("http", "ws") + f"/threads/{thread_id}/stream/events"
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        connect(address, proxy=None, **how) as connection,
    ):
        yield Socket(connection)


async def test_a_run_is_started_and_followed_on_one_connection(hub_url: str) -> None:
    async with socket(hub_url, str(uuid4())) as client:
        subscribed = await client.done("subscription.subscribe", channels=ALL)
        assert subscribed["subscription_id"]
        run = await client.done("run.start", assistant_id="plus", input={"x": 1})
        found = await client.until(is_end)
        await client.done("run.start", assistant_id="plus", input={"x": 5})
        await client.until(is_end, times=2)
    assert run["run_id"]
    assert data(found, "values") == [{"x": x} for x in (1, 2, 5, 6)]
    assert len({e["event_id"] for e in found}) == len(found)


async def test_many_subscriptions_see_one_order_and_a_late_one_what_it_missed(hub_url: str) -> None:
    async with socket(hub_url, str(uuid4())) as client:
        await client.done("subscription.subscribe", channels=["lifecycle"])
        await client.done("subscription.subscribe", channels=["lifecycle", "updates"])
        await client.done("run.start", assistant_id="two_steps", input={"log": []})
        found = [*await client.until(is_end)]
        assert [e["method"] for e in found] == ["lifecycle", "updates", "updates", "lifecycle"]
        client.events.clear()
        await client.done("subscription.subscribe", channels=["values", "lifecycle"])
        late = [*await client.until(is_end)]
        assert [e["method"] for e in late] == ["lifecycle", *["values"] * 3, "lifecycle"]
        await client.done("run.start", assistant_id="two_steps", input={"log": []})
        client.events.clear()
        last = await client.until(is_end)
    for events in (found, late, last):
        seqs = [e["seq"] for e in events]
        assert seqs == sorted(set(seqs))
    assert {e["method"] for e in last} == {"lifecycle", "updates", "values"}
    assert min(e["seq"] for e in last) > max(e["seq"] for e in late)


async def test_a_question_is_answered_on_the_connection_that_asked_it(hub_url: str) -> None:
    async with socket(hub_url, str(uuid4())) as client:
        await client.done("subscription.subscribe", channels=["input", "lifecycle"])
        await client.done("run.start", assistant_id="ask", input=4)
        (asked,) = data(await client.until(is_end), "input.requested")
        reply = {"interrupt_id": asked["interrupt_id"], "namespace": [], "response": "yes"}
        await client.done("input.respond", **reply)
        found = await client.until(is_end, times=2)
        state = await client.done("state.get", namespace=[])
        assert (await client.command("input.respond", **reply))["error"] == "no_such_interrupt"
    assert data(found, "lifecycle")[-1]["event"] == "completed"
    assert state["values"] == {"doubled": 8, "answer": "yes"}


async def test_a_subscription_ends_when_its_client_says_so(hub_url: str) -> None:
    async with socket(hub_url, str(uuid4())) as client:
        values = await client.done("subscription.subscribe", channels=["values"])
        await client.done("subscription.subscribe", channels=["lifecycle"])
        await client.done("subscription.unsubscribe", **values)
        await client.done("run.start", assistant_id="plus", input={"x": 1})
        found = await client.until(is_end)
        assert (await client.command("subscription.unsubscribe", **values))["error"] == (
            "no_such_subscription"
        )
    assert {e["method"] for e in found} == {"lifecycle"}


async def test_a_new_connection_restores_the_subscriptions_of_another(hub_url: str) -> None:
    thread_id = str(uuid4())
    async with socket(hub_url, thread_id) as first:
        subscribed = await first.done("subscription.subscribe", channels=["values", "lifecycle"])
        run = await first.done("run.start", assistant_id="two_steps", input={"log": []})
        whole = await first.until(is_end)
    for at, event in enumerate(whole[:-1], 1):
        async with socket(hub_url, thread_id) as second:
            restored = await second.done(
                "subscription.reconnect",
                run_id=run["run_id"],
                last_event_id=event["event_id"],
                subscriptions=[subscribed["subscription_id"]],
            )
            assert restored["restored"] is True
            assert await second.until(is_end) == whole[at:]
    async with socket(hub_url, thread_id) as third:
        for wrong in ("", "x", "x.eA", "x.W10"):
            answer = await third.command(
                "subscription.reconnect", run_id=run["run_id"], subscriptions=[wrong]
            )
            assert answer["error"] == "no_such_subscription"
        answer = await third.command("subscription.reconnect", last_event_id="x")
        assert answer["error"] == "invalid_argument"


async def test_what_is_no_command_is_answered_and_the_connection_stays(hub_url: str) -> None:
    async with socket(hub_url, str(uuid4())) as client:
        for text in ("{", "[]", '{"id": "x", "method": "y"}'):
            await client.connection.send(text)
            answer = await client.receive()
            assert (answer["type"], answer["id"]) == ("error", None)
            assert answer["error"] == "invalid_argument"
        answer = await client.command("subscription.subscribe", channels=["bogus"])
        assert answer["error"] == "invalid_argument"
        assert (await client.command("no.such"))["error"] == "unknown_command"


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        ("http://localhost:3000", True),
        (None, True),
        ("https://evil.example", False),
        ("null", False),
        ("http://localhost.evil.example", False),
    ],
)
async def test_a_page_of_a_foreign_origin_is_sent_away(
    hub_url: str, origin: Any, welcome: bool
) -> None:
    async with socket(hub_url, str(uuid4()), origin=origin) as client:
        if welcome:
            assert await client.done("subscription.subscribe", channels=["values"])
            return
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


async def test_a_thread_id_that_is_none_is_refused_as_over_http(hub_url: str) -> None:
    async with socket(hub_url, "nonsense") as client:
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4422


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_the_official_client_follows_a_thread_and_answers_its_question(
    hub_url: str, transport: Any
) -> None:
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        get_client(url=hub_url, api_key=None) as client,
        client.threads.stream(assistant_id="publish", transport=transport) as thread,
    ):
        await thread.run.start(input={"topic": "bees"})
        messages = [message async for message in thread.messages]
        assert [await message.text for message in messages] == ["All about bees ."]
        assert [i["value"] for i in thread.interrupts] == [{"question": "Publish bees?"}]
        await thread.run.respond(True)
        state = await thread.output
    assert state == {"article": "All about bees .", "published": True}


async def test_a_binary_frame_closes_the_connection_as_data_it_does_not_take(hub_url: str) -> None:
    async with socket(hub_url, str(uuid4())) as client:
        await client.connection.send(b"{}")
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003
