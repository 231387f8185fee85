"""Questions of a call that are answered elsewhere, or whose client has gone: the call does not wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from agenthub_mcp import serving
from protocols.mcp_pair import Pair
from protocols.mcp_session import Frame, Hand, session
from protocols.mcp_wire import wire
from testkit.waiting import eventually

SOON_SECONDS = 20.0
"""Less than the minute after which a follower that heard of nothing looks by itself."""


async def until_question(stream: AsyncGenerator[Frame]) -> Frame:
    """The first question of a stream."""
    async for frame in stream:
        if frame.message is not None and frame.message.get("method") == "elicitation/create":
            return frame
    raise AssertionError("the stream ended without a question")


async def rest_of(stream: AsyncGenerator[Frame]) -> list[dict[str, Any]]:
    """The messages of a stream, to its end."""
    async with asyncio.timeout(SOON_SECONDS):
        return [frame.message async for frame in stream if frame.message is not None]


@asynccontextmanager
async def rest(at: str) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=at, trust_env=False, timeout=30) as raw:
        yield raw


async def new_thread(at: str) -> str:
    async with rest(at) as raw:
        return (await raw.post("/threads", json={})).json()["thread_id"]


async def run(at: str, thread_id: str, agent: str, **what: Any) -> Any:
    """Run on a thread over REST, to the end."""
    async with rest(at) as raw:
        body = {"assistant_id": agent, **what}
        answer = await raw.post(f"/threads/{thread_id}/runs/wait", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def task_of(at: str, thread_id: str) -> str:
    """The task of a thread's only run."""
    async with rest(at) as raw:
        (one,) = (await raw.get(f"/threads/{thread_id}/runs")).json()
    return one["run_id"]


async def questions_of(pair: Pair, question: Frame) -> list[bytes | None]:
    """The answers that are stored for the call of a question."""
    assert question.message is not None
    db = await asyncpg.connect(pair.dsn)
    try:
        rows = await db.fetch(
            "select answer from mcp_questions where stream_id = $1::uuid",
            question.message["id"].partition(":")[0],
        )
    finally:
        await db.close()
    return [row["answer"] for row in rows]


def taken_back(messages: list[dict[str, Any]]) -> list[str]:
    """The requests of the server that it took back."""
    return [m["params"]["requestId"] for m in messages if is_taking_back(m)]


def is_taking_back(message: dict[str, Any]) -> bool:
    return message.get("method") == "notifications/cancelled"


async def test_a_call_whose_question_is_answered_elsewhere_ends_with_the_result(
    declared: Pair,
) -> None:
    one, two = declared.one, declared.two
    thread_id = await new_thread(one)
    arguments = {"text": "now", "thread_id": thread_id}
    async with (
        session(one) as hand,
        hand.call(one, "approve", arguments) as (request_id, stream),
    ):
        question = await until_question(stream)
        assert question.message is not None
        answered = await run(two, thread_id, "approve", command={"resume": {"by": "rest"}})
        assert answered["given"] == {"by": "rest"}
        *before, last = await rest_of(stream)
        assert taken_back(before) == [question.message["id"]]
        assert last["id"] == request_id
        assert last["result"]["structuredContent"]["given"] == {"by": "rest"}
        # a reply that comes too late is passed over
        await hand.reply(two, question.message, approved=False)
        (stored,) = await questions_of(declared, question)
        assert stored is not None
        assert b"approved" not in stored


async def test_what_is_asked_next_in_the_same_place_is_asked_of_the_same_client(
    declared: Pair,
) -> None:
    one, two = declared.one, declared.two
    thread_id = await new_thread(one)
    arguments = {"text": "x", "thread_id": thread_id}
    async with session(one) as hand, hand.call(one, "ask_twice", arguments) as (_, stream):
        city = await until_question(stream)
        assert city.message is not None
        await run(two, thread_id, "ask_twice", command={"resume": "Ghent"})
        async with asyncio.timeout(SOON_SECONDS):
            street = await until_question(stream)
        assert street.message is not None
        assert "Ghent" in street.message["params"]["message"]
        await hand.reply(two, street.message, answer="Quay")
        *_, last = await rest_of(stream)
    assert last["result"]["structuredContent"]["given"] == "Quay, Ghent"


async def test_of_two_questions_the_one_that_was_answered_elsewhere_is_taken_back_alone(
    declared: Pair,
) -> None:
    one, two = declared.one, declared.two
    thread_id = await new_thread(one)
    arguments = {"text": "x", "thread_id": thread_id}
    async with session(one) as hand, hand.call(one, "ask_both", arguments) as (_, stream):
        first = await until_question(stream)
        assert first.message is not None
        async with rest(two) as raw:
            thread = (await raw.get(f"/threads/{thread_id}")).json()
        asked = [i for of in thread["interrupts"].values() for i in of]
        mine = next(i for i in asked if i["value"] in first.message["params"]["message"])
        await run(two, thread_id, "ask_both", command={"resume": {mine["id"]: "this"}})
        async with asyncio.timeout(SOON_SECONDS):
            second = await until_question(stream)
        assert second.message is not None
        assert second.message["params"]["message"] != first.message["params"]["message"]
        await hand.reply(two, second.message, answer="that")
        *between, last = await rest_of(stream)
        assert not taken_back(between)
    given = last["result"]["structuredContent"]
    assert {given["size"], given["shape"]} == {"this", "that"}


async def test_a_question_answered_while_nobody_served_the_call_is_not_waited_for(
    declared: Pair,
) -> None:
    one, two = declared.one, declared.two
    thread_id = await new_thread(one)
    arguments = {"text": "now", "thread_id": thread_id}
    async with session(one) as hand:
        async with hand.call(one, "approve", arguments) as (_, stream):
            question = await until_question(stream)
        assert question.message is not None
        await run(two, thread_id, "approve", command={"resume": "later"})
        async with hand.listen(two, question.id) as stream:
            *before, last = await rest_of(stream)
    assert taken_back(before) == [question.message["id"]]
    assert last["result"]["structuredContent"]["given"] == "later"


@pytest.mark.parametrize("how", ["cancelled", "superseded", "overwritten"])
async def test_a_call_whose_task_is_closed_elsewhere_says_that_it_was_cancelled(
    declared: Pair, how: str
) -> None:
    one, two = declared.one, declared.two
    thread_id = await new_thread(one)
    arguments = {"text": "now", "thread_id": thread_id}
    async with session(one) as hand, hand.call(one, "approve", arguments) as (_, stream):
        question = await until_question(stream)
        assert question.message is not None
        if how == "cancelled":
            task_id = await task_of(two, thread_id)
            cancelled = await hand.ask(two, "tasks/cancel", taskId=task_id)
            assert cancelled["result"]["status"] == "cancelled"
        else:
            await close(two, thread_id, how)
        *before, last = await rest_of(stream)
    assert taken_back(before) == [question.message["id"]]
    assert last["result"]["isError"]
    assert "cancelled" in last["result"]["content"][0]["text"]


@pytest.mark.parametrize("how", ["closed", "swept", "closed while it works"])
async def test_nothing_is_left_of_a_call_whose_session_is_gone(
    declared: Pair, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = how == "closed while it works"
    if works:
        # a call that asks nothing looks once a minute
        monkeypatch.setattr(serving, "LOOK_SECONDS", 0.2)
    thread_id = await new_thread(declared.two)
    arguments = {"text": "now", "thread_id": thread_id}
    async with session(declared.two) as hand:
        agent = "wait_for_ever" if works else "approve"
        async with hand.call(declared.two, agent, arguments) as (_, stream):
            if works:
                # primed: the call is in the database
                await anext(stream)
            else:
                await until_question(stream)
        assert len(exchanges_of(hand)) == 1
        if how == "swept":
            db = await asyncpg.connect(declared.dsn)
            await db.execute(
                "delete from mcp_sessions where session_id = $1::uuid",
                hand.headers["Mcp-Session-Id"],
            )
            await db.close()
        else:
            # at the other replica, which does not serve the call
            closed = await hand.raw.delete(f"{declared.one}/mcp", headers=hand.headers)
            assert closed.status_code == 200
        await eventually(lambda: not exchanges_of(hand), within=SOON_SECONDS)
    async with rest(declared.two) as raw:
        await raw.post(f"/threads/{thread_id}/runs/cancel", json={})


def exchanges_of(hand: Hand) -> list[asyncio.Task[Any]]:
    """The tasks of this process that serve calls of a session."""
    session_id = UUID(hand.headers["Mcp-Session-Id"])
    served: list[asyncio.Task[Any]] = []
    for task in asyncio.all_tasks():
        frame = getattr(task.get_coro(), "cr_frame", None)
        if (
            frame is not None
            and frame.f_code is serving.Serving._serve.__code__  # pyright: ignore[reportPrivateUsage]
            and frame.f_locals["exchange"].stream.session.session_id == session_id
        ):
            served.append(task)
    return served


@pytest.mark.parametrize("how", ["superseded", "overwritten"])
async def test_a_listener_hears_at_once_that_its_task_was_closed_by_what_came_on_its_thread(
    declared: Pair, how: str
) -> None:
    one, two = declared.one, declared.two
    thread_id = await new_thread(one)
    async with wire() as mcp:
        made = await mcp.call(one, "approve", {"text": "x", "thread_id": thread_id})
        await mcp.until(one, made["taskId"], "input_required")
        status: str | None = None
        async with (
            asyncio.timeout(SOON_SECONDS),
            mcp.listen(two, taskIds=[made["taskId"]]) as heard,
        ):
            async for message in heard:
                status = message["params"].get("status")
                if status == "input_required":
                    await close(one, thread_id, how)
                elif status is not None:
                    break
    assert status == "cancelled"


async def close(at: str, thread_id: str, how: str) -> None:
    """Close what a thread asks without answering it."""
    if how == "superseded":
        await run(at, thread_id, "approve", input={"text": "other"})
        return
    async with rest(at) as raw:
        answer = await raw.post(f"/threads/{thread_id}/state", json={"values": {"given": 1}})
    assert answer.status_code == 200, answer.text
