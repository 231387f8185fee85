"""One run on all three surfaces: begun on one, watched on another, answered or ended on a third."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from a2a.types.a2a_pb2 import CancelTaskRequest, ListTasksRequest, Task
from mcp.shared.exceptions import MCPError

from protocols import a2a_client as a2a
from protocols import mcp_client as mcp
from protocols.rest_client import named, parts, rest
from testkit import hub
from testkit.waiting import eventually

DRAFT = {"topic": "hubs"}
DONE = {"article": "All about hubs .", "published": True}
PATIENCE_SECONDS = 120


@pytest.fixture(scope="module")
async def hub_url(hubs: Any) -> str:
    return await hubs(hub.FIXTURES / "rest_agents.py")


async def status(client: Any, task_id: str) -> Any:
    """A task as MCP shows it."""
    result = await client.call_tool("run_status", {"task_id": task_id})
    assert not result.is_error, mcp.said(result)
    return result.structured_content


async def a2a_task(agent: a2a.Agent, thread_id: str) -> Task:
    """The only A2A task of a thread."""
    found = await agent.client.list_tasks(ListTasksRequest(context_id=thread_id))
    (task,) = found.tasks
    return await agent.get(task)


async def same_everywhere(hub_url: str, thread_id: str, task_id: str, result: Any) -> None:
    """All three surfaces name the same task of the same thread, done, with this result."""
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        rest(hub_url) as over_rest,
        a2a.agent(hub_url, "publish") as over_a2a,
        mcp.client(hub_url, mcp.MODERN) as over_mcp,
    ):
        runs: Any = await over_rest.runs.list(thread_id)
        assert {(run["task_id"], run["thread_id"]) for run in runs} == {(task_id, thread_id)}
        latest: Any = await over_rest.runs.get(thread_id, runs[0]["run_id"])
        assert (latest["status"], latest["output"]) == ("success", result)
        thread = await over_rest.threads.get(thread_id)
        assert (thread["status"], thread["values"]) == ("idle", result)
        task = await a2a_task(over_a2a, thread_id)
        assert (task.id, task.context_id) == (task_id, thread_id)
        assert (a2a.state(task), a2a.data(task)) == ("COMPLETED", result)
        shown = await status(over_mcp, task_id)
        assert (shown["task_id"], shown["thread_id"]) == (task_id, thread_id)
        assert (shown["run_id"], shown["agent"]) == (runs[0]["run_id"], "publish")
        # a tool's result tells the model where the conversation goes on
        assert shown["result"] == {**result, "thread_id": thread_id}
        assert shown["status"] == "completed"


async def test_begun_over_a2a_watched_over_rest_and_answered_from_mcp(hub_url: str) -> None:
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        a2a.agent(hub_url, "publish", streaming=True) as over_a2a,
        rest(hub_url) as over_rest,
        mcp.client(hub_url, mcp.MODERN) as over_mcp,
    ):
        sent = aiter(over_a2a.stream(DRAFT))
        task = (await anext(sent)).task
        (run,) = await over_rest.runs.list(task.context_id)
        assert run["run_id"] == task.id, "a task has the id of its first run"
        watched = await parts(
            over_rest.runs.join_stream(task.context_id, run["run_id"], stream_mode="messages-tuple")
        )
        tokens = "".join(chunk["content"] for chunk, _ in named(watched, "messages"))
        assert tokens == DONE["article"]
        assert a2a.kinds([event async for event in sent])[-1] == "INPUT_REQUIRED"

        shown = await status(over_mcp, task.id)
        assert shown["status"] == "input_required"
        (question,) = shown["questions"]
        assert question["id"] in str(await over_rest.threads.get(task.context_id))
        assert [q["id"] for q in a2a.questions(await over_a2a.get(task))] == [question["id"]]

        answered = await over_mcp.call_tool("resume_run", {"task_id": task.id, "answer": True})
        assert mcp.task_of(answered) == task.id
    await same_everywhere(hub_url, task.context_id, task.id, DONE)


async def test_begun_over_rest_and_answered_over_a2a_before_mcps_eyes(hub_url: str) -> None:
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        rest(hub_url) as over_rest,
        a2a.agent(hub_url, "publish") as over_a2a,
        mcp.client(hub_url, mcp.MODERN) as over_mcp,
    ):
        thread_id = (await over_rest.threads.create())["thread_id"]
        values: Any = await over_rest.runs.wait(thread_id, "publish", input=DRAFT)
        (question,) = values["__interrupt__"]
        task = await a2a_task(over_a2a, thread_id)
        assert a2a.state(task) == "INPUT_REQUIRED"
        assert [q["id"] for q in a2a.questions(task)] == [question["id"]]
        assert (await status(over_mcp, task.id))["status"] == "input_required"
        done = await over_a2a.send("yes", task=task)
        assert a2a.data(done) == DONE
        latest: Any = (await over_rest.runs.list(thread_id))[0]
        assert await over_rest.runs.join(thread_id, latest["run_id"]) == DONE
    await same_everywhere(hub_url, thread_id, task.id, DONE)


@pytest.mark.parametrize("era", mcp.ERAS)
async def test_begun_over_mcp_and_answered_over_rest(hub_url: str, era: str) -> None:
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        mcp.client(hub_url, era) as over_mcp,
        rest(hub_url) as over_rest,
    ):
        asked = await over_mcp.call_tool("publish", DRAFT)
        task_id = mcp.task_of(asked)
        thread_id = (await status(over_mcp, task_id))["thread_id"]
        found = await parts(over_rest.runs.stream(thread_id, "publish", command={"resume": True}))
        assert named(found, "values")[-1] == DONE
        # what was asked once is not asked again
        again = await over_mcp.call_tool("resume_run", {"task_id": task_id, "answer": True})
        assert again.is_error
        assert "waits for no answer" in mcp.said(again)
    await same_everywhere(hub_url, thread_id, task_id, DONE)


async def test_a_conversation_goes_on_from_surface_to_surface(hub_url: str) -> None:
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        rest(hub_url) as over_rest,
        a2a.agent(hub_url, "chat") as over_a2a,
        mcp.client(hub_url, mcp.MODERN) as over_mcp,
    ):
        first = await over_a2a.send("from a2a")
        thread_id = first.context_id
        second = await over_mcp.call_tool("chat", {"message": "from mcp", "thread_id": thread_id})
        assert not second.is_error, mcp.said(second)
        said = {"messages": [{"role": "user", "content": "from rest"}]}
        values: Any = await over_rest.runs.wait(thread_id, "chat", input=said)
        assert [m["content"] for m in values["messages"] if m["type"] == "human"] == [
            "from a2a",
            "from mcp",
            "from rest",
        ]
        runs = await over_rest.runs.list(thread_id)
        tasks = (await over_a2a.client.list_tasks(ListTasksRequest(context_id=thread_id))).tasks
        assert [run["run_id"] for run in runs] == [task.id for task in tasks]
        assert runs[1]["run_id"] == mcp.task_of(second)


@pytest.mark.parametrize("by", ["rest", "a2a", "mcp"])
@pytest.mark.parametrize("begun", ["rest", "a2a"])
async def test_a_run_is_cancelled_from_any_surface(hub_url: str, begun: str, by: str) -> None:
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        rest(hub_url) as over_rest,
        a2a.agent(hub_url, "wait_for_ever") as over_a2a,
        mcp.client(hub_url, mcp.MODERN) as over_mcp,
    ):
        if begun == "rest":
            run = await over_rest.runs.create(None, "wait_for_ever", input="go")
            thread_id = run["thread_id"]
        else:
            thread_id = (await over_a2a.send("go", returnImmediately=True)).context_id

        async def running() -> Any:
            (run,) = await over_rest.runs.list(thread_id)
            return run if run["status"] == "running" else None

        run = await eventually(running)
        watching = asyncio.create_task(parts(over_rest.runs.join_stream(thread_id, run["run_id"])))
        task = await a2a_task(over_a2a, thread_id)
        match by:
            case "rest":
                await over_rest.runs.cancel(thread_id, run["run_id"], wait=True)
            case "a2a":
                cancelled = await over_a2a.client.cancel_task(CancelTaskRequest(id=task.id))
                assert a2a.state(cancelled) == "CANCELED"
            case _:
                cancelled = await over_mcp.call_tool("cancel_run", {"task_id": task.id})
                assert cancelled.structured_content is not None
                assert cancelled.structured_content["status"] == "cancelled"
        assert (await watching)[-1].data == {"run_id": task.id, "status": "interrupted"}
        (read,) = await over_rest.runs.list(thread_id)
        assert read["status"] == "interrupted"
        assert a2a.state(await over_a2a.get(task)) == "CANCELED"
        assert (await status(over_mcp, task.id))["status"] == "cancelled"


async def test_a_question_is_closed_for_all_when_one_surface_cancels_it(hub_url: str) -> None:
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        rest(hub_url) as over_rest,
        a2a.agent(hub_url, "publish") as over_a2a,
        mcp.client(hub_url, mcp.MODERN) as over_mcp,
    ):
        task = await over_a2a.send(DRAFT)
        await over_mcp.call_tool("cancel_run", {"task_id": task.id})
        thread: Any = await over_rest.threads.get(task.context_id)
        assert thread["interrupts"] == {}
        assert a2a.state(await over_a2a.get(task)) == "CANCELED"
        with pytest.raises(Exception, match="409"):
            await over_rest.runs.wait(task.context_id, "publish", command={"resume": True})
        # the conversation is free for something new
        again = await over_a2a.send(DRAFT, context_id=task.context_id)
        assert a2a.state(again) == "INPUT_REQUIRED"


async def test_a_failure_reads_the_same_everywhere(hub_url: str) -> None:
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        rest(hub_url) as over_rest,
        a2a.agent(hub_url, "fail") as over_a2a,
        mcp.client(hub_url, mcp.MODERN) as over_mcp,
    ):
        task = await over_a2a.send("go")
        assert a2a.state(task) == "FAILED"
        assert "this agent always fails" in task.status.message.parts[0].text
        shown = await status(over_mcp, task.id)
        assert shown["status"] == "failed"
        assert "this agent always fails" in shown["error"]
        run: Any = await over_rest.runs.get(task.context_id, task.id)
        assert run["error"] == {"error": "ValueError", "message": "this agent always fails"}
        with pytest.raises(MCPError):
            await over_mcp.call_tool("nobody", {})
