"""The engine on the real core: graphs, workflows and agents run unchanged."""

from __future__ import annotations

import asyncio
import operator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.config import get_config, get_stream_writer
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import get_runtime
from langgraph.types import Command, RetryPolicy, Send, interrupt
from typing_extensions import TypedDict

from agenthub_langgraph.engine import MESSAGE_CHARACTERS
from agenthub_postgres.writer import GroupWriter
from testkit.agents import ScriptedChat, Stage, usage
from testkit.core import Core


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    note: Any


def chain(*nodes: Any, **options: Any) -> Any:
    """A graph of functions, one after the other, named a, b, c …"""
    builder = StateGraph(State)
    for i, node in enumerate(nodes):
        builder.add_node(chr(97 + i), node)
        builder.add_edge(START if i == 0 else chr(96 + i), chr(97 + i))
    return builder.compile(**options)


def says(word: Any) -> Any:
    async def node(_: State) -> State:
        return {"log": [word]}

    return node


# --- what runs ----------------------------------------------------------------------------------


async def test_a_graph_runs_and_its_thread_goes_on(core: Core) -> None:
    stage = Stage(core, chain(says(1), says(2)))
    first = await stage.run({"log": [0]})
    assert (first.status, first.output) == ("success", {"log": [0, 1, 2]})
    second = await stage.run({"log": ["again"]}, thread_id=first.thread_id)
    assert second.output == {"log": [0, 1, 2, "again", 1, 2]}


async def test_a_workflow_runs_and_remembers_what_it_saved(core: Core) -> None:
    @task
    async def double(n: int) -> int:
        return n * 2

    @entrypoint()
    async def flow(n: int, *, previous: int | None) -> Any:
        return entrypoint.final(value=await double(n), save=(previous or 0) + n)

    stage = Stage(core, flow)
    first = await stage.run(3)
    assert first.output == 6

    @entrypoint()
    async def remembers(n: int, *, previous: int | None) -> int:
        return (previous or 0) + n

    second = await Stage(core, remembers).run(4, thread_id=first.thread_id)
    assert second.output == 7


async def test_an_agent_of_langchain_calls_its_tools(core: Core) -> None:
    @tool
    async def weather(city: str) -> str:
        """The weather of a city."""
        return f"rain in {city}"

    call = {"name": "weather", "args": {"city": "Ulm"}, "id": "c1", "type": "tool_call"}
    model = ScriptedChat(
        replies=[
            AIMessage("", tool_calls=[call], usage_metadata=usage(10, 2)),
            AIMessage("It rains in Ulm", usage_metadata=usage(20, 4)),
        ]
    )
    stage = Stage(core, create_agent(model, [weather]))
    run = await stage.run({"messages": [{"role": "user", "content": "How is Ulm?"}]})
    assert run.status == "success", run.error
    kinds = [message["type"] for message in run.output["messages"]]
    assert kinds == ["human", "ai", "tool", "ai"]
    assert run.output["messages"][2]["content"] == "rain in Ulm"
    assert run.usage == usage(30, 6)
    chunks = [event.json()[0] for event in await stage.events(run, "messages")]
    assert "".join(c["content"] for c in chunks if c["type"] == "AIMessageChunk") == (
        "It rains in Ulm "
    )


async def test_what_an_agent_is_told_about_its_run(core: Core) -> None:
    seen: dict[str, Any] = {}

    async def node(_: State) -> State:
        config = get_config()
        seen.update(config["metadata"], **config["configurable"])
        return {}

    stage = Stage(core, chain(node))
    how = {"configurable": {"user": "u", "thread_id": "mine", "__pregel_checkpointer": False}}
    run = await stage.run({"log": []}, config=how)
    assert run.status == "success", run.error
    assert await stage.history(run), "a caller took the checkpointer away"
    assert seen["user"] == "u"
    assert seen["thread_id"] == str(run.thread_id)
    assert (seen["run_id"], seen["task_id"]) == (str(run.run_id), str(run.task_id))
    assert seen["run_attempt"] == 1


async def test_a_context_reaches_the_nodes(core: Core) -> None:
    @dataclass
    class Context:
        user: str

    async def node(_: State) -> State:
        return {"log": [get_runtime(Context).context.user]}

    builder = StateGraph(State, context_schema=Context)
    builder.add_node("a", node)
    builder.add_edge(START, "a")
    run = await Stage(core, builder.compile()).run({"log": []}, context={"user": "eve"})
    assert run.output == {"log": ["eve"]}, run.error


async def test_a_node_is_tried_again_as_its_policy_says(core: Core) -> None:
    tries = 0

    async def flaky(_: State) -> State:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ConnectionError("not yet")
        return {"log": [tries]}

    builder = StateGraph(State)
    policy = RetryPolicy(initial_interval=0.001, max_attempts=3)
    builder.add_node("a", flaky, retry_policy=policy)
    builder.add_edge(START, "a")
    run = await Stage(core, builder.compile()).run({"log": []})
    assert run.output == {"log": [3]}


def family(child: Any, **options: Any) -> Any:
    builder = StateGraph(State)
    builder.add_node("before", says("before"))
    builder.add_node("child", child)
    builder.add_edge(START, "before")
    builder.add_edge("before", "child")
    return builder.compile(**options)


@pytest.mark.parametrize("subgraphs", [True, False])
async def test_what_happens_in_a_subgraph_is_recorded_when_it_is_asked_for(
    core: Core, subgraphs: bool
) -> None:
    stage = Stage(core, family(chain(says("in"))))
    run = await stage.run({"log": []}, subgraphs=subgraphs)
    inside = [e.json() for e in await stage.events(run, "updates") if e.ns.startswith("child:")]
    assert inside == ([{"a": {"log": ["in"]}}] if subgraphs else [])


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_question_inside_a_subgraph_is_asked_and_answered(
    core: Core, durability: Any
) -> None:
    async def asks(_: State) -> State:
        return {"log": [interrupt("inside?")]}

    stage = Stage(core, family(chain(says("in"), asks)))
    run = await stage.run({"log": []}, durability=durability)
    assert [asked.value for asked in run.interrupts] == ["inside?"]
    done = await stage.answer(run, "yes", durability=durability)
    assert done.output["log"][-1] == "yes"
    assert done.output["log"].count("before") <= 2


# --- questions ----------------------------------------------------------------------------------


async def test_a_question_comes_with_its_schema_and_its_answer_goes_in(core: Core) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}}

    @entrypoint()
    async def flow(_: Any) -> Any:
        return interrupt({"question": "Pay?"}, response_schema=schema)

    stage = Stage(core, flow)
    run = await stage.run(1)
    (asked,) = run.interrupts
    assert (asked.value, asked.response_schema) == ({"question": "Pay?"}, schema)
    (ended,) = await stage.events(run, "ended")
    assert ended.json()["interrupts"] == [asked.public()]
    assert (await core.thread(run.thread_id)).status == "interrupted"
    done = await stage.answer(run, {"ok": True})
    assert done.output == {"ok": True}
    assert done.interrupts == ()
    assert done.task_id == run.task_id


async def test_several_questions_are_answered_together_or_one_after_the_other(core: Core) -> None:
    def asks(name: str) -> Any:
        async def node(_: State) -> State:
            return {"log": [f"{name}={interrupt(f'{name}?')}"]}

        return node

    builder = StateGraph(State)
    for name in ("x", "y"):
        builder.add_node(name, asks(name))
        builder.add_edge(START, name)
    stage = Stage(core, builder.compile())

    together = await stage.run({"log": []})
    assert sorted(asked.value for asked in together.interrupts) == ["x?", "y?"]
    answers = {asked.id: asked.value.upper() for asked in together.interrupts}
    done = await stage.answer_by_id(together, answers)
    assert done.output["log"] == ["x=X?", "y=Y?"]

    apart = await stage.run({"log": []})
    by_value = {asked.value: asked.id for asked in apart.interrupts}
    half = await stage.answer_by_id(apart, {by_value["y?"]: 2})
    assert [(asked.id, asked.value) for asked in half.interrupts] == [(by_value["x?"], "x?")]
    done = await stage.answer_by_id(half, {by_value["x?"]: 1})
    assert done.output["log"] == ["x=1", "y=2"]


async def test_a_node_that_asks_twice_is_answered_twice(core: Core) -> None:
    async def asks(_: State) -> State:
        return {"log": [interrupt("first?"), interrupt("second?")]}

    stage = Stage(core, chain(asks))
    run = await stage.run({"log": []})
    again = await stage.answer(run, 1)
    assert [asked.value for asked in again.interrupts] == ["second?"]
    assert (await stage.answer(again, 2)).output == {"log": [1, 2]}


async def test_an_answer_of_none_is_an_answer(core: Core) -> None:
    async def asks(_: State) -> State:
        return {"log": [interrupt("?")]}

    stage = Stage(core, chain(asks))
    run = await stage.run({"log": []})
    assert (await stage.answer(run, None)).output == {"log": [None]}


@pytest.mark.parametrize(
    ("how", "waits"),
    [
        ({"interrupt_before": ("b",)}, ["b"]),
        ({"interrupt_after": ("a",)}, ["b"]),
        ({"interrupt_before": ("*",)}, ["a"]),
    ],
)
async def test_a_static_breakpoint_becomes_a_question(
    core: Core, how: Any, waits: list[str]
) -> None:
    stage = Stage(core, chain(says(1), says(2)))
    run = await stage.run({"log": []}, **how)
    (asked,) = run.interrupts
    assert asked.value == {"question": "Continue?", "breakpoint": waits}
    assert len(asked.id) == 32
    done = await stage.answer(run, None)
    assert (done.output, done.interrupts) == ({"log": [1, 2]}, ())


async def test_breakpoints_of_the_graph_itself_hold_too(core: Core) -> None:
    stage = Stage(core, chain(says(1), says(2), interrupt_before=["b"]))
    run = await stage.run({"log": []})
    assert run.interrupts[0].value["breakpoint"] == ["b"]
    assert (await stage.answer(run, True)).output == {"log": [1, 2]}


async def test_a_resume_may_go_elsewhere_and_change_the_state(core: Core) -> None:
    async def asks(_: State) -> State:
        return {"log": [interrupt("?")]}

    stage = Stage(core, chain(asks, says("b"), says("c")))
    run = await stage.run({"log": []})
    done = await stage.run(
        thread_id=run.thread_id, goto="c", update={"note": "skipped", "log": ["set"]}
    )
    assert done.status == "success", done.error
    assert done.output["note"] == "skipped"
    assert "set" in done.output["log"]
    assert done.output["log"].count("c") == 1


async def test_goto_may_send_a_packet_of_its_own(core: Core) -> None:
    async def shows(state: Any) -> State:
        return {"log": [state]}

    stage = Stage(core, chain(says("a"), shows))
    first = await stage.run({"log": []})
    done = await stage.run(
        thread_id=first.thread_id,
        goto=[{"node": "b", "input": {"note": 7}}],
        update=[["note", "x"]],
    )
    assert done.output["log"][-1] == {"note": 7}, done.error
    assert done.output["note"] == "x"


async def test_nodes_may_command_and_send(core: Core) -> None:
    async def fans_out(_: State) -> Any:
        return Command(update={"log": ["go"]}, goto=[Send("b", {"note": i}) for i in range(3)])

    async def part(state: State) -> State:
        return {"log": [state["note"]]}

    builder = StateGraph(State)
    builder.add_node("a", fans_out, destinations=("b",))
    builder.add_node("b", part)
    builder.add_edge(START, "a")
    run = await Stage(core, builder.compile()).run({"log": []})
    assert run.output == {"log": ["go", 0, 1, 2]}


async def test_a_run_may_fork_from_an_earlier_checkpoint(core: Core) -> None:
    stage = Stage(core, chain(says(1), says(2)))
    run = await stage.run({"log": []})
    at = next(s for s in await stage.history(run) if s.next == ("b",))
    fork = await stage.run(thread_id=run.thread_id, checkpoint_id=at.checkpoint_id)
    assert fork.output == {"log": [1, 2]}
    states = {state.checkpoint_id: state for state in await stage.history(run)}
    *_, last = states.values()
    line = [last]
    while line[-1].parent_id is not None:
        line.append(states[line[-1].parent_id])
    assert at in line
    assert len(line) < len(states), "the first way on from there is kept"


# --- failures -----------------------------------------------------------------------------------


def fails(error: BaseException) -> Any:
    async def node(_: State) -> State:
        raise error

    return node


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (LookupError("no such order"), "LookupError", "no such order"),
        (ValueError(), "ValueError", "ValueError"),
        (ValueError("x" * 5000), "ValueError", "x" * MESSAGE_CHARACTERS),
        (ValueError("nul \x00"), "ValueError", "nul \ufffd"),
        (KeyError("key"), "KeyError", "'key'"),
    ],
)
async def test_an_exception_is_the_result_of_the_run(
    core: Core, error: Exception, kind: str, message: str
) -> None:
    stage = Stage(core, chain(says(1), fails(error)))
    run = await stage.run({"log": []})
    assert (run.status, run.error) == ("error", {"error": kind, "message": message})
    (ended,) = await stage.events(run, "ended")
    assert ended.json()["status"] == "error"
    (failed,) = (await stage.history(run))[-1].steps
    assert failed.name == "b"
    assert kind in str(failed.error)


async def test_an_agent_that_cancels_itself_has_failed(core: Core) -> None:
    run = await Stage(core, chain(fails(asyncio.CancelledError()))).run({"log": []})
    assert run.status == "error"


async def test_what_a_reducer_refuses_is_the_runs_failure_in_its_own_words(core: Core) -> None:
    builder = StateGraph(MessagesState)
    builder.add_node("a", lambda _: {})
    builder.add_edge(START, "a")
    stage = Stage(core, builder.compile())
    run = await stage.run({"messages": [{"role": "nobody", "content": "x"}]})
    assert run.error is not None
    assert "nobody" in run.error["message"]


async def test_a_run_that_goes_in_circles_is_stopped(core: Core) -> None:
    builder = StateGraph(State)
    builder.add_node("a", says(1))
    builder.add_edge(START, "a")
    builder.add_edge("a", "a")
    run = await Stage(core, builder.compile()).run({"log": []}, config={"recursion_limit": 5})
    assert run.error is not None
    assert run.error["error"] == "GraphRecursionError"


async def test_an_agent_that_this_worker_does_not_have_is_a_failure(core: Core) -> None:
    run = await Stage(core, chain(says(1)), name="another").run({"log": []})
    assert run.error == {"error": "LookupError", "message": "this worker does not have agent 'a'"}


async def test_a_run_that_failed_may_be_tried_again_from_where_it_stood(core: Core) -> None:
    broken = True

    async def maybe(_: State) -> State:
        if broken:
            raise ValueError("no")
        return {"log": ["b"]}

    stage = Stage(core, chain(says("a"), maybe))
    run = await stage.run({"log": []})
    broken = False
    again = await stage.run(None, thread_id=run.thread_id)
    assert again.output == {"log": ["a", "b"]}


# --- events and usage ---------------------------------------------------------------------------


@pytest.mark.parametrize("modes", [(), ("values",), ("values", "tasks", "checkpoints", "debug")])
async def test_the_final_values_are_always_the_last_word(
    core: Core, modes: tuple[str, ...]
) -> None:
    stage = Stage(core, chain(says(1), says(2)))
    run = await stage.run({"log": []}, modes=modes)
    values = await stage.values(run)
    assert values[-1] == {"log": [1, 2]} == run.output
    assert len(values) == (1 if not modes else 3)
    kinds = {event.kind for event in await stage.events(run)}
    assert kinds == {"started", "updates", "values", "ended", *modes}


async def test_a_paused_run_has_its_values_too(core: Core) -> None:
    async def asks(_: State) -> State:
        interrupt("?")
        return {}

    stage = Stage(core, chain(says(1), asks))
    run = await stage.run({"log": []})
    assert run.output == {"log": [1]}
    (values,) = await stage.values(run)
    assert values["log"] == [1]


@pytest.mark.parametrize("streams", [True, False])
async def test_tokens_are_counted_once(core: Core, streams: bool) -> None:
    model = ScriptedChat(replies=[AIMessage("one two", usage_metadata=usage(7, 2))] * 2)

    async def node(state: MessagesState) -> Any:
        if streams:
            reply = [chunk async for chunk in model.astream(state["messages"])]
            return {"messages": [sum(reply[1:], reply[0])]}
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("a", node)
    builder.add_node("b", node)
    builder.add_edge(START, "a")
    builder.add_edge("a", "b")
    run = await Stage(core, builder.compile()).run({"messages": [("user", "hi")]})
    assert run.usage == usage(14, 4), run.error


async def test_tokens_of_a_subgraph_are_counted_though_nobody_asked_for_its_stream(
    core: Core,
) -> None:
    model = ScriptedChat(replies=[AIMessage("one two", usage_metadata=usage(7, 2))])

    async def node(_: State) -> State:
        return {"log": [str((await model.ainvoke("hi")).content)]}

    run = await Stage(core, family(chain(node))).run({"log": []})
    assert run.usage == usage(7, 2), run.error


async def test_a_custom_event_is_recorded_as_it_is_written(core: Core) -> None:
    async def node(_: State) -> State:
        get_stream_writer()({"progress": 1})
        return {}

    stage = Stage(core, chain(node))
    run = await stage.run({"log": []})
    assert [e.json() for e in await stage.events(run, "custom")] == [{"progress": 1}]


@pytest.mark.parametrize("streams", [True, False])
async def test_only_a_message_that_grows_is_committed_before_its_run_ends(
    core: Core, streams: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ScriptedChat(replies=[AIMessage("one two")])
    ahead: list[str] = []
    append = GroupWriter.append

    def seen(self: GroupWriter, lease: Any, task_id: Any, events: Any) -> Any:
        ahead.extend(event.kind for event in events)
        return append(self, lease, task_id, events)

    async def node(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke("hi") if streams else AIMessage("one two")]}

    monkeypatch.setattr(GroupWriter, "append", seen)
    builder = StateGraph(MessagesState)
    builder.add_node("a", node)
    builder.add_edge(START, "a")
    stage = Stage(core, builder.compile(), slice_seconds=60)
    run = await stage.run({"messages": [("user", "hi")]})
    assert ("messages" in ahead) == streams
    said = [e.json()[0]["content"] for e in await stage.events(run, "messages")]
    assert "".join(said).strip() == "one two"
