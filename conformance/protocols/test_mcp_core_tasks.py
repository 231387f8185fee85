"""The experimental tasks of 2025-11-25, on whatever replica a request reaches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from protocols.mcp_pair import Pair
from protocols.mcp_session import Frame, Hand, frames, session
from testkit.waiting import eventually

RELATED = "io.modelcontextprotocol/related-task"


async def start(hand: Hand, at: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The response to a call that asks for a task."""
    params = {"name": tool, "arguments": arguments, "task": {"ttl": 60_000}}
    request = {"jsonrpc": "2.0", "id": 77, "method": "tools/call", "params": params}
    async with hand.raw.stream("POST", f"{at}/mcp", json=request, headers=hand.headers) as response:
        last = [frame async for frame in frames(response) if frame.message is not None][-1]
    assert last.message is not None
    return last.message


async def new_task(hand: Hand, at: str, tool: str) -> str:
    response = await start(hand, at, tool, {"text": "x"})
    return response["result"]["task"]["taskId"]


async def task_of(hand: Hand, at: str, task_id: str) -> dict[str, Any]:
    return (await hand.ask(at, "tasks/get", taskId=task_id))["result"]


async def until(hand: Hand, at: str, task_id: str, status: str) -> dict[str, Any]:
    async def stands() -> bool:
        return (await task_of(hand, at, task_id))["status"] == status

    await eventually(stands, within=20)
    return await task_of(hand, at, task_id)


@asynccontextmanager
async def result_of(hand: Hand, at: str, task_id: str) -> AsyncGenerator[AsyncGenerator[Frame]]:
    """The stream of a request for a task's result."""
    params = {"taskId": task_id}
    request = {"jsonrpc": "2.0", "id": 78, "method": "tasks/result", "params": params}
    async with hand.raw.stream("POST", f"{at}/mcp", json=request, headers=hand.headers) as response:
        assert response.status_code == 200, await response.aread()
        yield frames(response)


async def test_only_the_revision_that_has_tasks_is_told_of_them(declared: Pair) -> None:
    for version, known in (("2025-11-25", True), ("2025-06-18", False)):
        async with session(declared.one, version=version) as hand:
            tools = (await hand.ask(declared.two, "tools/list"))["result"]["tools"]
            shown = {t["name"]: t.get("execution", {}).get("taskSupport") for t in tools}
            wanted = ("optional", "forbidden", "required") if known else (None, None, None)
            assert (shown["approve"], shown["echo"], shown["steps"]) == wanted
            assert shown["run_status"] is None
            answer = await hand.ask(declared.one, "tasks/list")
            assert ("result" in answer) is known


async def test_the_handshake_tells_what_can_be_a_task(declared: Pair) -> None:
    async with session(declared.one) as hand:
        params = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "hand", "version": "1"},
        }
        capabilities = (await hand.ask(declared.one, "initialize", **params))["result"][
            "capabilities"
        ]
    assert capabilities["tasks"] == {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
    assert "extensions" not in capabilities
    assert capabilities["resources"] == {"subscribe": True, "listChanged": True}
    assert capabilities["prompts"] == {"listChanged": True}
    assert capabilities["tools"] == {"listChanged": True}


async def test_a_question_of_a_task_is_put_on_the_stream_of_its_result(declared: Pair) -> None:
    one, two = declared.one, declared.two
    async with session(one) as hand:
        created = (await start(hand, one, "approve", {"text": "x"}))["result"]
        task = created["task"]
        assert task["status"] == "working"
        assert task.keys() >= {"taskId", "createdAt", "lastUpdatedAt", "ttl", "pollInterval"}
        waiting = await until(hand, two, task["taskId"], "input_required")
        assert "inputRequests" not in waiting
        async with asyncio.timeout(30), result_of(hand, two, task["taskId"]) as stream:
            async for frame in stream:
                if frame.message is None:
                    continue
                if frame.message.get("method") == "elicitation/create":
                    meta = frame.message["params"]["_meta"]
                    assert meta[RELATED] == {"taskId": task["taskId"]}
                    await hand.reply(one, frame.message, approved=True)
                elif "result" in frame.message:
                    break
            result = frame.message["result"]
        assert (await task_of(hand, one, task["taskId"]))["status"] == "completed"
    assert result["structuredContent"]["given"] is True
    assert result["_meta"][RELATED] == {"taskId": task["taskId"]}
    assert "resultType" not in result


async def test_a_result_that_is_waited_for_outlives_its_connection(declared: Pair) -> None:
    async with session(declared.one) as hand:
        task_id = await new_task(hand, declared.one, "approve")
        async with result_of(hand, declared.one, task_id) as stream:
            async for frame in stream:
                if frame.message is not None:
                    break
        question = frame.message
        assert question is not None
        # the other replica takes the request over, and has the answer
        async with asyncio.timeout(30), hand.listen(declared.two, frame.id) as stream:
            await hand.reply(declared.two, question, approved=False)
            async for frame in stream:
                if frame.message is not None and "result" in frame.message:
                    break
    assert frame.message is not None
    assert frame.message["result"]["structuredContent"]["given"] is False


async def test_a_task_whose_result_is_an_error_has_failed(declared: Pair) -> None:
    async with session(declared.one) as hand:
        task_id = await new_task(hand, declared.one, "fail")
        failed = await until(hand, declared.two, task_id, "failed")
        assert "closed on Sundays" in failed["statusMessage"]
        async with result_of(hand, declared.two, task_id) as stream:
            last = [frame async for frame in stream][-1].message
    assert last is not None
    assert last["result"]["isError"] is True


async def test_a_cancelled_task_stays_cancelled(declared: Pair) -> None:
    async with session(declared.one) as hand:
        task_id = await new_task(hand, declared.one, "wait_for_ever")
        cancelled = await hand.ask(declared.two, "tasks/cancel", taskId=task_id)
        assert cancelled["result"]["taskId"] == task_id
        await until(hand, declared.one, task_id, "cancelled")
        again = await hand.ask(declared.one, "tasks/cancel", taskId=task_id)
        assert again["error"]["code"] == -32602


async def test_taking_a_request_for_the_result_back_leaves_the_task_alone(declared: Pair) -> None:
    async with session(declared.one) as hand:
        task_id = await new_task(hand, declared.one, "wait_for_ever")
        async with result_of(hand, declared.one, task_id) as stream:
            await anext(stream)
            taken = {"method": "notifications/cancelled", "params": {"requestId": 78}}
            assert (await hand.post(declared.two, taken)).status_code == 202
            async for frame in stream:
                if frame.message is not None and "error" in frame.message:
                    break
        assert (await task_of(hand, declared.two, task_id))["status"] == "working"
        await hand.ask(declared.one, "tasks/cancel", taskId=task_id)


async def test_the_latest_tasks_are_listed_in_pages(declared: Pair) -> None:
    async with session(declared.one) as hand:
        made = [await new_task(hand, declared.one, "ask_colour") for _ in range(22)]
        first = (await hand.ask(declared.one, "tasks/list"))["result"]
        assert [t["taskId"] for t in first["tasks"]] == made[:1:-1]
        cursor = first["nextCursor"]
        second = (await hand.ask(declared.two, "tasks/list", cursor=cursor))["result"]
        assert [t["taskId"] for t in second["tasks"]][:2] == [made[1], made[0]]
        for bad in ("x", "bm90LWEtbnVtYmVy"):
            refused = await hand.ask(declared.one, "tasks/list", cursor=bad)
            assert refused["error"]["code"] == -32602


@pytest.mark.parametrize(("tool", "code"), [("echo", -32601), ("run_status", -32601)])
async def test_what_is_never_a_task_refuses_to_be_one(declared: Pair, tool: str, code: int) -> None:
    async with session(declared.one) as hand:
        refused = await start(hand, declared.one, tool, {"text": "x"})
    assert refused["error"]["code"] == code


async def test_what_is_always_a_task_refuses_a_plain_call(declared: Pair) -> None:
    async with (
        session(declared.one) as hand,
        hand.call(declared.one, "steps", {"done": []}) as (_, stream),
    ):
        last = [frame async for frame in stream][-1].message
    assert last is not None
    assert last["error"]["code"] == -32601


async def test_arguments_that_do_not_fit_make_no_task(declared: Pair) -> None:
    async with session(declared.one) as hand:
        refused = await start(hand, declared.one, "approve", {"text": 7})
        assert refused["error"]["code"] == -32602
        assert "is not of type 'string'" in refused["error"]["message"]
        unknown = await start(hand, declared.one, "nobody", {})
        assert unknown["error"]["code"] == -32602


async def test_a_task_that_is_not_there_is_refused(declared: Pair) -> None:
    async with session(declared.one) as hand:
        for method in ("tasks/get", "tasks/cancel"):
            for task_id in (str(uuid4()), "made-up"):
                refused = await hand.ask(declared.one, method, taskId=task_id)
                assert refused["error"]["code"] == -32602
