"""What agents emit, on the real core: recorded in its order, from any depth and any thread."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.config import get_stream_writer
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import RetryPolicy, interrupt

from agenthub import emit
from agenthub.attempt import Attempt
from agenthub.emitted import COUNT, folded
from agenthub.errors import Invalid
from agenthub.runs import Run, RunRequest
from testkit.agents import ScriptedChat, Stage
from testkit.core import Core
from testkit.waiting import eventually


def graph_of(node: Any, **how: Any) -> Any:
    """A graph of one node."""
    builder: Any = StateGraph(MessagesState)
    return builder.add_node("n", node, **how).add_edge(START, "n").compile()


async def said(stage: Stage, run: Run) -> list[Any]:
    """The names and texts of what was emitted, in order."""
    shown = [e.json() for e in await stage.events(run, "emitted")]
    return [(e["name"], "".join(p.get("text", "") for p in e["payload"]["parts"])) for e in shown]


async def kinds(stage: Stage, run: Run) -> list[str]:
    """What was recorded, the framing events left out."""
    return [e.kind for e in await stage.events(run) if e.kind in ("messages", "emitted", "custom")]


async def test_what_is_emitted_stands_where_it_was_said(core: Core) -> None:
    async def node(_: MessagesState) -> Any:
        await ScriptedChat(replies=[AIMessage("one two")]).ainvoke("go")
        write = get_stream_writer()
        for n in range(3):
            write(n)
            emit.artifact(str(n), id=f"n{n}")
        return {}

    stage = Stage(core, graph_of(node))
    run = await stage.run({"messages": []})
    seen = await kinds(stage, run)
    assert seen == ["messages"] * seen.count("messages") + ["custom", "emitted"] * 3
    assert run.usage == {COUNT: 3}


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_subgraph_is_heard_even_if_its_caller_streams_it_itself(
    core: Core, streamed: bool
) -> None:
    def inner(_: MessagesState) -> Any:
        emit.artifact("from within", name="a")
        return {}

    within = graph_of(inner)

    async def outer(state: MessagesState) -> Any:
        if streamed:
            parts = [p async for p in within.astream(state, stream_mode=["custom", "messages"])]
            assert parts == []
        else:
            await within.ainvoke(state)
        return {}

    stage = Stage(core, graph_of(outer))
    assert await said(stage, await stage.run({"messages": []})) == [("artifact", "from within")]


async def test_threads_and_tasks_are_heard_in_their_order(core: Core) -> None:
    @task
    def blocking(n: int) -> None:
        emit.artifact(f"blocking {n}", name=str(n))

    @entrypoint()
    async def flow(_: Any) -> None:
        await blocking(1)
        await asyncio.to_thread(emit.artifact, "a thread", name="2")
        emit.message("the answer")

    stage = Stage(core, flow)
    run = await stage.run("go")
    assert await said(stage, run) == [
        ("artifact", "blocking 1"),
        ("artifact", "a thread"),
        ("message", "the answer"),
    ]


async def test_what_was_said_before_a_failure_is_recorded_and_a_rejection_is_not_tried_again(
    core: Core,
) -> None:
    @entrypoint()
    async def flow(_: Any) -> None:
        emit.artifact("before", name="a")
        raise emit.Rejected("this is not for me")

    stage = Stage(core, flow)
    run = await stage.run("go", retry={"max_attempts": 3, "initial_interval": 0.0})
    assert run.status == "error"
    assert run.error == {
        "error": "Rejected",
        "message": "this is not for me",
        "rejected": True,
    }
    assert await said(stage, run) == [("artifact", "before")]
    assert run.usage == {COUNT: 1}


async def test_what_was_said_before_a_cancellation_is_recorded(core: Core) -> None:
    @entrypoint()
    async def flow(_: Any) -> None:
        emit.artifact("last words", name="a")
        running[0].cancel("interrupt")
        await asyncio.Event().wait()

    stage = Stage(core, flow)
    await core.create(request=RunRequest(input="go"))
    running: list[Attempt] = []
    attempt, ending = await stage.begin()
    running.append(attempt)
    async with asyncio.timeout(20):
        await ending
    run = await core.run(stage.claims[-1])
    assert run.status == "interrupted"
    assert await said(stage, run) == [("artifact", "last words")]


async def test_a_step_behind_its_question_says_again_what_it_said_and_doubles_nothing(
    core: Core,
) -> None:
    @task
    async def first() -> None:
        emit.artifact("finished; ", name="log")

    @task
    async def asks() -> Any:
        emit.artifact("asking; ", name="log", append=True)
        return interrupt("go on?")

    @entrypoint()
    async def flow(_: Any) -> Any:
        await first()
        answer = await asks()
        emit.artifact(f"answered {answer}", name="log", append=True)

    stage = Stage(core, flow)
    asked = await stage.run("go")
    done = await stage.answer(asked, "yes")
    assert done.status == "success", done.error
    emitted = folded([*await stage.events(asked), *await stage.events(done)])
    (log,) = emitted.artifacts.values()
    texts = "".join(part["text"] for part in log.parts)
    assert texts == "finished; asking; answered yes"


async def test_after_a_crash_the_steps_that_were_lost_say_again_what_they_said(core: Core) -> None:
    gate, waiting = asyncio.Event(), asyncio.Event()

    @task
    async def first() -> None:
        emit.artifact("finished; ", name="log")

    @task
    async def lost() -> None:
        emit.artifact("half", name="log", append=True)
        emit.artifact("a picture", name=None)
        waiting.set()
        await gate.wait()
        emit.artifact(" and half; ", name="log", append=True)

    @entrypoint()
    async def flow(_: Any) -> None:
        await first()
        await lost()

    stage = Stage(core, flow)
    created = await core.create(request=RunRequest(input="go"))
    _, dying = await stage.begin()
    await waiting.wait()

    async def recorded() -> bool:
        events = await core.events(created.task_id)
        return sum(event.kind == "emitted" for event in events) == 3

    await eventually(recorded)
    await stage.crash(dying)
    gate.set()
    run = await stage.attempt()
    assert (run.status, run.attempts) == ("success", 2)
    emitted = folded(await stage.events(run))
    log, picture = emitted.artifacts.values()
    assert [part["text"] for part in log.parts] == ["finished; ", "half", " and half; "]
    assert [part["text"] for part in picture.parts] == ["a picture"]


async def test_a_node_that_is_tried_again_doubles_nothing(core: Core) -> None:
    tries: list[int] = []

    def node(_: MessagesState) -> Any:
        tries.append(1)
        emit.artifact("part 1, ", name="log", append=True)
        if len(tries) == 1:
            raise ConnectionError
        emit.artifact("part 2", name="log", append=True)
        return {}

    policy = RetryPolicy(initial_interval=0.0, jitter=False)
    stage = Stage(core, graph_of(node, retry_policy=policy))
    run = await stage.run({"messages": []})
    assert (run.status, len(tries)) == ("success", 2)
    (log,) = folded(await stage.events(run)).artifacts.values()
    assert [part["text"] for part in log.parts] == ["part 1, ", "part 2"]


async def test_an_agent_cannot_emit_more_than_it_may(core: Core) -> None:
    problems: list[str] = []

    def tried(*parts: Any, **how: Any) -> None:
        try:
            emit.artifact(*parts, **how)
        except Invalid as wrong:
            problems.append(wrong.message)

    @entrypoint()
    async def flow(_: Any) -> None:
        tried("x" * emit.MOST_BYTES, name="large")
        tried("x", id="result")
        tried([])
        tried(object())
        tried(emit.Data(object()))
        for n in range(emit.MOST_ARTIFACTS + 1):
            tried("x", id=f"n{n}")

    stage = Stage(core, flow)
    run = await stage.run("go")
    assert run.usage == {COUNT: emit.MOST_ARTIFACTS}
    large, own, nothing, kind, data, many = problems
    assert "larger than 4194304 bytes" in large
    assert "the hub's own" in own
    assert "nothing to emit" in nothing
    assert "object is no part" in kind
    assert "must be JSON" in data
    assert "100 artifacts" in many
