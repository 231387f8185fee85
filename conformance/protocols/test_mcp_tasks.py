"""Tasks of 2026-07-28: an agent's call goes on by itself, and any replica tells of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from agenthub.agents import AgentInfo
from agenthub.ports import Deployed
from agenthub_mcp.standing import poll_ms
from protocols.mcp_client import client
from protocols.mcp_pair import Pair
from protocols.mcp_stub import StubHub, serving
from protocols.mcp_wire import TASKS, Wire, wire

NEEDED = {"requiredCapabilities": {"extensions": {TASKS: {}}}}


def accepted(**content: Any) -> dict[str, Any]:
    return {"action": "accept", "content": content}


async def asked(mcp: Wire, at: str, agent: str) -> tuple[str, dict[str, Any]]:
    """A new task of an agent that asks at once: its id, and its questions."""
    task = await mcp.call(at, agent, {"text": "x"})
    waiting = await mcp.until(at, task["taskId"], "input_required")
    return task["taskId"], waiting["inputRequests"]


async def test_a_task_goes_through_its_life_on_alternating_replicas(declared: Pair) -> None:
    one, two = declared.one, declared.two
    async with wire() as mcp:
        discovered = await mcp.ask(one, "server/discover")
        assert discovered["capabilities"]["extensions"] == {TASKS: {}}
        assert "tasks" not in discovered["capabilities"]
        task = await mcp.call(one, "approve", {"text": "now"})
        assert task["resultType"] == "task"
        assert task["status"] == "working"
        assert isinstance(task["pollIntervalMs"], int)
        assert task["ttlMs"] is None
        assert not {"task", "result", "inputRequests"} & task.keys()
        task_id = task["taskId"]
        # durable before the reply
        assert (await mcp.ask(two, "tasks/get", {"taskId": task_id}))["taskId"] == task_id
        waiting = await mcp.until(two, task_id, "input_required")
        ((key, request),) = waiting["inputRequests"].items()
        assert request["method"] == "elicitation/create"
        assert request["params"]["message"] == "Do it? now"
        answers = {key: accepted(approved=True)}
        update = {"taskId": task_id, "inputResponses": answers}
        acknowledged = await mcp.ask(one, "tasks/update", update)
        assert acknowledged["resultType"] == "complete"
        assert "taskId" not in acknowledged
        done = await mcp.until(two, task_id, "completed")
        # the same answer again: it changes nothing
        await mcp.ask(two, "tasks/update", update)
    assert done["resultType"] == "complete"
    assert done["result"]["structuredContent"]["given"] is True
    assert done["result"]["_meta"]["agenthub/task_id"] == task_id
    assert "inputRequests" not in done


async def test_the_result_of_a_task_is_that_of_a_blocking_call(declared: Pair) -> None:
    async with wire() as mcp, wire({}) as blocking:
        task = await mcp.call(declared.one, "ask_colour", {"text": "x"})
        waiting = await mcp.until(declared.one, task["taskId"], "input_required")
        (key,) = waiting["inputRequests"]
        answers = {key: accepted(answer="red")}
        update = {"taskId": task["taskId"], "inputResponses": answers}
        await mcp.ask(declared.one, "tasks/update", update)
        done = await mcp.until(declared.one, task["taskId"], "completed")
        handle = await blocking.call(declared.one, "ask_colour", {"text": "x"})
        arguments = {"task_id": handle["_meta"]["agenthub/task_id"], "answer": "red"}
        blocked = await blocking.call(declared.one, "resume_run", arguments)
    shown, expected = done["result"], blocked
    for result in (shown, expected):
        del result["_meta"], result["structuredContent"]["thread_id"], result["content"]
    assert shown == expected


async def test_some_answers_leave_the_other_questions_open(declared: Pair) -> None:
    async with wire() as mcp:
        task_id, questions = await asked(mcp, declared.one, "ask_both")
        by_message = {q["params"]["message"]: key for key, q in questions.items()}
        size, shape = by_message["Which size?"], by_message["Which shape?"]
        update = {"taskId": task_id, "inputResponses": {size: accepted(answer="big")}}
        await mcp.ask(declared.one, "tasks/update", update)
        # at once, although a run works on the answer
        still = await mcp.ask(declared.two, "tasks/get", {"taskId": task_id})
        assert still["status"] == "input_required"
        assert still["inputRequests"].keys() == {shape}
        # a key that was answered is passed over
        answers = {size: accepted(answer="small"), shape: accepted(answer="round")}
        update = {"taskId": task_id, "inputResponses": answers}
        await mcp.ask(declared.two, "tasks/update", update)
        done = await mcp.until(declared.one, task_id, "completed")
    assert done["result"]["structuredContent"]["size"] == "big"
    assert done["result"]["structuredContent"]["shape"] == "round"


async def test_no_two_questions_of_a_task_have_the_same_key(declared: Pair) -> None:
    async with wire() as mcp:
        task_id, first = await asked(mcp, declared.one, "ask_twice")
        (city,) = first
        update = {"taskId": task_id, "inputResponses": {city: accepted(answer="Ghent")}}
        await mcp.ask(declared.one, "tasks/update", update)

        async with asyncio.timeout(20):
            while True:
                task = await mcp.ask(declared.one, "tasks/get", {"taskId": task_id})
                if task["status"] == "input_required" and city not in task["inputRequests"]:
                    break
    (street,) = task["inputRequests"].values()
    assert street["params"]["message"] == "Which street in Ghent?"


@pytest.mark.parametrize(
    "reply", [accepted(answer="green"), accepted(), {"content": {"answer": "red"}}, 7]
)
async def test_an_answer_that_does_not_fit_is_refused_and_the_question_stays_open(
    declared: Pair, reply: Any
) -> None:
    async with wire() as mcp:
        task_id, questions = await asked(mcp, declared.one, "ask_colour")
        (key,) = questions
        # what belongs to no question may be anything
        answers = {key: reply, "unknown": {"ignored": True}}
        update = {"taskId": task_id, "inputResponses": answers}
        refused = await mcp.refused(declared.one, "tasks/update", update)
        assert refused["code"] == -32602
        assert refused["message"]
        still = await mcp.ask(declared.one, "tasks/get", {"taskId": task_id})
        assert still["inputRequests"].keys() == {key}


async def test_declining_reaches_the_agent_as_a_value(declared: Pair) -> None:
    async with wire() as mcp:
        task_id, questions = await asked(mcp, declared.one, "approve")
        (key,) = questions
        update = {"taskId": task_id, "inputResponses": {key: {"action": "decline"}}}
        await mcp.ask(declared.one, "tasks/update", update)
        done = await mcp.until(declared.one, task_id, "completed")
    assert done["result"]["structuredContent"]["given"] == {"action": "decline"}


async def test_a_working_task_says_what_it_has_finished_and_is_cancelled_once(
    declared: Pair,
) -> None:
    async with wire() as mcp:
        task_id = (await mcp.call(declared.one, "wait_for_ever", {"text": "x"}))["taskId"]

        async with asyncio.timeout(20):
            while True:
                task = await mcp.ask(declared.two, "tasks/get", {"taskId": task_id})
                if "statusMessage" in task:
                    break
        assert task["status"] == "working"
        assert task["statusMessage"] == "finished: begin"
        cancelled = await mcp.ask(declared.two, "tasks/cancel", {"taskId": task_id})
        assert cancelled["resultType"] == "complete"
        assert "status" not in cancelled
        ended = await mcp.until(declared.one, task_id, "cancelled")
        assert "pollIntervalMs" not in ended
        await mcp.ask(declared.one, "tasks/cancel", {"taskId": task_id})
        again = await mcp.ask(declared.one, "tasks/get", {"taskId": task_id})
    assert again["status"] == "cancelled"


async def test_an_error_of_the_agent_is_a_result_and_no_failure(declared: Pair) -> None:
    async with wire() as mcp:
        task = await mcp.call(declared.one, "fail", {"text": "x"})
        done = await mcp.until(declared.one, task["taskId"], "completed")
    assert done["result"]["isError"] is True
    assert "closed on Sundays" in done["result"]["content"][0]["text"]


@pytest.mark.parametrize(
    ("status", "error", "failed"),
    [
        ("error", {"error": "ValueError", "message": "why"}, False),
        ("error", {"error": "AttemptsExhausted", "message": "why"}, True),
        ("error", {"error": "MCPError", "message": "why"}, True),
        ("timeout", {"error": "TimeoutError", "message": "why"}, True),
    ],
)
async def test_only_what_is_not_the_agents_own_fails_a_task(
    status: Any, error: dict[str, str], failed: bool
) -> None:
    stub = StubHub()
    run = replace(stub.new_run(), status=status, error=error)
    stub.runs[-1] = run
    async with serving(stub) as url, wire() as mcp:
        task = await mcp.ask(url, "tasks/get", {"taskId": str(run.task_id)})
    if failed:
        assert task["status"] == "failed"
        assert task["error"] == {"code": -32603, "message": "why"}
        assert "result" not in task
    else:
        assert task["status"] == "completed"
        assert task["result"]["isError"] is True
    assert task["statusMessage" if failed else "status"] == ("why" if failed else "completed")


@pytest.mark.parametrize(
    ("quiet_seconds", "ms"), [(0, 500), (30, 1_000), (300, 5_000), (90_000, 30_000)]
)
def test_the_longer_nothing_changes_the_less_often_a_client_looks(
    quiet_seconds: int, ms: int
) -> None:
    now = datetime.now(UTC)
    assert poll_ms(now - timedelta(seconds=quiet_seconds), now=now) == ms


async def test_an_agent_that_is_always_a_task_refuses_clients_without(declared: Pair) -> None:
    async with wire({"elicitation": {}}) as mcp:
        call = {"name": "steps", "arguments": {"done": []}}
        refused = await mcp.refused(declared.one, "tools/call", call)
    assert refused["code"] == -32021
    assert refused["data"] == NEEDED


async def test_an_agent_that_is_always_a_task_is_one_even_when_it_is_quick() -> None:
    always = AgentInfo(name="agent", description="", task="required")
    stub = StubHub(deployed_now=[Deployed(info=always)], outcome=1)
    async with serving(stub) as url, wire() as mcp:
        assert (await mcp.call(url, "agent", {"input": 1}))["resultType"] == "task"


async def test_an_agent_that_is_never_a_task_is_none_even_when_it_is_slow() -> None:
    never = AgentInfo(name="agent", description="", task="forbidden")
    stub = StubHub(deployed_now=[Deployed(info=never)], outcome=1)
    stub.finish.clear()
    async with serving(stub, soft_deadline_seconds=0.5) as url, wire() as mcp:
        handle = await mcp.call(url, "agent", {"input": 1})
    assert handle["resultType"] == "complete"
    assert "run_status" in handle["content"][0]["text"]


async def test_an_agent_that_is_done_at_once_answers_with_its_result() -> None:
    stub = StubHub(outcome=42)
    async with serving(stub) as url, wire() as mcp:
        result = await mcp.call(url, "agent", {"input": 1})
    assert result["resultType"] == "complete"
    assert result["structuredContent"]["result"] == 42


async def test_a_client_that_does_not_declare_tasks_gets_none_of_it(declared: Pair) -> None:
    async with wire() as mcp, wire({"elicitation": {}}) as without:
        task_id = (await mcp.call(declared.one, "wait_for_ever", {"text": "x"}))["taskId"]
        for method in ("tasks/get", "tasks/cancel", "tasks/update"):
            params = {"taskId": task_id, "inputResponses": {}}
            refused = await without.refused(declared.one, method, params)
            assert refused["code"] == -32021
            assert refused["data"] == NEEDED
        await mcp.ask(declared.one, "tasks/cancel", {"taskId": task_id})


@pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel", "tasks/update"])
async def test_an_id_that_is_no_task_is_refused(declared: Pair, method: str) -> None:
    async with wire() as mcp:
        for task_id in (str(uuid4()), "made-up", "0" * 400):
            params = {"taskId": task_id, "inputResponses": {}}
            assert (await mcp.refused(declared.one, method, params))["code"] == -32602


@pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel", "tasks/update"])
@pytest.mark.parametrize("name", [None, "other", "=?base64?!?="])
async def test_the_header_must_name_the_task(declared: Pair, method: str, name: str | None) -> None:
    async with wire() as mcp:
        params = {"taskId": str(uuid4()), "inputResponses": {}}
        refused = await mcp.refused(declared.one, method, params, **{"Mcp-Name": name})
    assert refused["code"] == -32020


@pytest.mark.parametrize("method", ["tasks/list", "tasks/result"])
async def test_what_the_extension_has_not_got_is_unknown(declared: Pair, method: str) -> None:
    async with wire() as mcp:
        refused = await mcp.refused(declared.one, method, {"taskId": str(uuid4())})
    assert refused["code"] == -32601


async def test_a_client_that_cannot_ask_sees_no_questions(declared: Pair) -> None:
    async with wire() as mcp, wire({"extensions": {TASKS: {}}}) as mute:
        task_id, _ = await asked(mcp, declared.one, "approve")
        task = await mute.ask(declared.one, "tasks/get", {"taskId": task_id})
    assert task["status"] == "input_required"
    assert task["inputRequests"] == {}


async def test_a_listener_hears_of_every_change_of_its_tasks_on_any_replica(
    declared: Pair,
) -> None:
    async with wire() as mcp:
        task = await mcp.call(declared.one, "approve", {"text": "x"})
        task_id = task["taskId"]
        heard: list[dict[str, Any]] = []
        ids = [task_id, str(uuid4()), "made-up"]
        async with asyncio.timeout(30), mcp.listen(declared.two, taskIds=ids) as messages:
            first = await anext(messages)
            assert first["method"] == "notifications/subscriptions/acknowledged"
            # those of others are as unknown as those that are not there
            assert first["params"]["notifications"] == {"taskIds": [task_id]}
            async for message in messages:
                if "result" in message:
                    break
                assert message["method"] == "notifications/tasks"
                meta = message["params"].pop("_meta")
                assert meta == {"io.modelcontextprotocol/subscriptionId": 1}
                heard.append(message["params"])
                if message["params"]["status"] == "input_required":
                    (key,) = message["params"]["inputRequests"]
                    answers = {key: accepted(approved=True)}
                    update = {"taskId": task_id, "inputResponses": answers}
                    await mcp.ask(declared.one, "tasks/update", update)
    statuses = [task["status"] for task in heard]
    assert statuses[-1] == "completed"
    assert "input_required" in statuses
    assert {task["taskId"] for task in heard} == {task_id}
    assert heard[-1]["result"]["structuredContent"]["given"] is True


async def test_a_listener_to_tasks_must_declare_them(declared: Pair) -> None:
    async with wire({}) as mcp:
        params = {"notifications": {"taskIds": [str(uuid4())]}}
        refused = await mcp.refused(declared.one, "subscriptions/listen", params)
        assert refused["code"] == -32021
    async with wire() as mcp:
        params = {"notifications": {"taskIds": [str(n) for n in range(101)]}}
        refused = await mcp.refused(declared.one, "subscriptions/listen", params)
        assert refused["code"] == -32602


async def test_the_official_client_without_tasks_is_served_as_ever(declared: Pair) -> None:
    async with client(declared.one, "2026-07-28", {"Do it?": {"approved": True}}) as mcp:
        result = await mcp.call_tool("approve", {"text": "x"})
    assert result.structured_content["given"] is True
