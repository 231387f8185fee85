"""The driver: what a foreign agent's steps become on the real core."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from agenthub import emit
from agenthub.adapting import Ask, Inbound, Io, Outcome, label
from agenthub.agents import AgentInfo
from agenthub.emitted import folded
from agenthub.errors import LeaseLost
from agenthub.events import EMITTED, MESSAGES
from agenthub.interrupts import sign_in_page
from agenthub.json import Json
from agenthub.runs import Run, RunRequest
from agenthub_langgraph import store as store_module
from agenthub_langgraph.driver import adapted_of, to_graph
from agenthub_langgraph.store import HubStore
from agenthub_postgres import items
from agenthub_postgres.items import PostgresItems
from testkit.agents import Stage
from testkit.core import Core
from testkit.waiting import eventually

Step = Callable[["Fake", Json, Inbound, Io], Any]
SECRET = "framework-state"
INFO = AgentInfo(name="fake", description="A fake.")


@dataclass
class Fake:
    """An adapter whose agent is a function of its step."""

    step_of: Step
    info: AgentInfo = INFO
    inbounds: list[tuple[Json, Inbound]] = field(default_factory=list)
    name: str = "fake"

    def detect(self, obj: Any) -> bool:
        return True

    def describe(self, obj: Any) -> AgentInfo:
        return self.info

    async def step(self, obj: Any, state: Json, inbound: Inbound, io: Io) -> Outcome:
        self.inbounds.append((state, inbound))
        return await self.step_of(self, state, inbound, io)

    @property
    def kinds(self) -> list[str]:
        return [inbound.kind for _, inbound in self.inbounds]


def said(text: str, id: str = "m1", **more: Any) -> dict[str, Any]:
    return {"id": id, "role": "assistant", "content": text, **more}


def done(*messages: Any, state: Any = None, **how: Any) -> Outcome:
    return Outcome(status="done", state={SECRET: 1, "own": state}, messages=[*messages], **how)


def paused(*asks: str, state: Any = None) -> Outcome:
    questions = [Ask(id=a, kind="approval", prompt=f"May I {a}?", key=f"tool-{a}") for a in asks]
    return Outcome(status="paused", state={SECRET: 1, "own": state}, asks=questions)


def stage(core: Core, step: Step, **how: Any) -> tuple[Stage, Fake]:
    fake = Fake(step, **how)
    return Stage(core, to_graph(object(), fake, name="agent")), fake


def ask_user(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def contents(values: Any) -> list[str]:
    return [message["content"] for message in values["messages"]]


def by_ask(run: Run) -> list[str]:
    """The ids of a run's questions, in the order of their prompts."""
    return [i.id for i in sorted(run.interrupts, key=lambda i: i.value["prompt"])]


async def counting(_: Fake, state: Json, inbound: Inbound, io: Io) -> Outcome:
    n = (state or {"own": 0})["own"] + 1
    return done(said(f"{n}: {inbound.messages[-1]['content']}", f"a{n}"), state=n)


async def test_a_thread_keeps_its_state_and_the_whole_conversation(core: Core) -> None:
    hub, fake = stage(core, counting)
    first = await hub.run(ask_user("one"))
    second = await hub.run(ask_user("two"), thread_id=first.thread_id)
    assert contents(second.output) == ["one", "1: one", "two", "2: two"]
    assert [state for state, _ in fake.inbounds] == [None, {SECRET: 1, "own": 1}]


async def two_asks(fake: Fake, state: Json, inbound: Inbound, io: Io) -> Outcome:
    if inbound.kind == "answers":
        return done(said(f"{sorted(inbound.answers.items())}"))
    return paused("x", "y", state="waiting")


async def test_several_questions_are_asked_together_and_answered_one_by_one(core: Core) -> None:
    hub, fake = stage(core, two_asks)
    first = await hub.run(ask_user("go"))
    x, y = by_ask(first)
    second = await hub.answer_by_id(first, {y: "no"})
    assert [i.id for i in second.interrupts] == [x]
    assert fake.kinds == ["input"]
    third = await hub.answer_by_id(second, {x: "yes"})
    assert third.status == "success"
    assert contents(third.output)[-1] == "[('x', 'yes'), ('y', 'no')]"
    assert fake.kinds == ["input", "answers"]
    assert fake.inbounds[-1][0] == {SECRET: 1, "own": "waiting"}


async def test_an_input_to_a_paused_thread_reaches_the_agent_that_waits(core: Core) -> None:
    async def step(fake: Fake, state: Json, inbound: Inbound, io: Io) -> Outcome:
        if len(fake.inbounds) < 3:
            return paused("x", "y", state=len(fake.inbounds))
        return done(said(f"{state['own']} {inbound.messages[-1]['content']}"))

    hub, fake = stage(core, step)
    first = await hub.run(ask_user("go"))
    partly = await hub.answer_by_id(first, {by_ask(first)[0]: "yes"})
    second = await hub.run(ask_user("wait"), thread_id=partly.thread_id)
    assert len(second.interrupts) == 2
    third = await hub.run(ask_user("never mind"), thread_id=second.thread_id)
    assert fake.kinds == ["input", "input", "input"]
    assert [inbound.answers for _, inbound in fake.inbounds] == [{}, {"x": "yes"}, {}]
    assert contents(third.output) == ["go", "wait", "never mind", "2 never mind"]


async def speaking(fake: Fake, state: Json, inbound: Inbound, io: Io) -> Outcome:
    def from_a_thread() -> None:
        io.token("wor", "m1", author="Ann")
        io.token("ld", "m1", author="Ann")

    io.token("thinking", "m1", reasoning=True)
    io.token("hello ", "m1", author="Ann")
    await asyncio.to_thread(from_a_thread)
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    calls = [{"id": "c1", "name": "look", "args": {"at": 1}}]
    whole = said("hello world", name="Ann", tool_calls=calls, usage=usage)
    io.message(whole)
    io.tool_start("c1", "look", {"at": 1})
    io.tool_end("c1", "seen")
    tool = {"id": "t1", "role": "tool", "content": "seen", "tool_call_id": "c1", "name": "look"}
    io.message(tool)
    io.event("handoff", {"to": "Bob"})
    io.message(said("quiet", "m2"))
    return done(whole, tool, said("quiet", "m2"), usage={"input_tokens": 4, "output_tokens": 4})


ALL = (
    "values",
    "updates",
    "messages",
    "custom",
    "tasks",
    "checkpoints",
    "debug",
    "events",
    "tools",
)


async def test_tokens_tools_and_events_reach_every_stream_mode_and_no_framework_state(
    core: Core,
) -> None:
    hub, _ = stage(core, speaking)
    run = await hub.run(ask_user("hi"), modes=ALL)
    assert run.error is None
    streamed = [event.json() for event in await hub.events(run, "messages")]
    texts = [(m["id"], m["type"], m["content"]) for m, _ in streamed]
    assert "".join(c for id, _, c in texts if id == "m1" and isinstance(c, str)) == "hello world"
    assert ("t1", "tool", "seen") in texts
    assert ("m2", "ai", "quiet") in texts
    assert {about["langgraph_node"] for _, about in streamed} == {"agent"}
    assert any(m.get("tool_call_chunks") for m, _ in streamed)
    tools = [event.json() for event in await hub.events(run, "tools")]
    assert [(t["event"], t["tool_call_id"]) for t in tools] == [
        ("tool-started", "c1"), ("tool-finished", "c1"),
    ]  # fmt: skip
    (custom,) = [event.json() for event in await hub.events(run, "custom")]
    assert custom == {"name": "handoff", "payload": {"to": "Bob"}}
    names = [event.json()["event"] for event in await hub.events(run, "events")]
    assert {"on_chat_model_stream", "on_tool_start", "on_tool_end"} <= set(names)
    assert run.usage == {"input_tokens": 4, "output_tokens": 4, "total_tokens": 8}
    for event in await hub.events(run):
        assert SECRET not in str(event.json()), event.kind
        assert "__step__" not in str(event.json().get("name")) if event.kind == "tasks" else True


async def test_framework_state_is_hidden_when_a_pause_is_answered_or_talked_past(
    core: Core,
) -> None:
    hub, _ = stage(core, two_asks)
    first = await hub.run(ask_user("go"), modes=ALL)
    again = await hub.run(ask_user("go"), thread_id=first.thread_id, modes=ALL)
    x, y = by_ask(again)
    last = await hub.answer_by_id(again, {x: 1, y: 2}, modes=ALL)
    for run in (first, again, last):
        for event in await hub.events(run):
            assert SECRET not in str(event.json()), event.kind
        assert SECRET not in str(run.output)
    for state in await hub.history(last):
        assert SECRET not in str(state.values)


async def test_an_agents_error_is_the_runs_and_the_next_input_begins_at_the_last_good_turn(
    core: Core,
) -> None:
    async def step(fake: Fake, state: Json, inbound: Inbound, io: Io) -> Outcome:
        if inbound.messages[-1]["content"] == "break":
            raise ValueError("the model refused")
        return await counting(fake, state, inbound, io)

    hub, _ = stage(core, step)
    first = await hub.run(ask_user("one"))
    failed = await hub.run(ask_user("break"), thread_id=first.thread_id)
    assert failed.error == {"error": "ValueError", "message": "the model refused"}
    third = await hub.run(ask_user("two"), thread_id=first.thread_id)
    assert contents(third.output) == ["one", "1: one", "two", "2: two"]


async def test_a_state_that_is_not_json_is_an_error_that_names_the_adapter(core: Core) -> None:
    async def step(*_: Any) -> Outcome:
        return done(state=object())

    hub, _ = stage(core, step)
    run = await hub.run(ask_user("one"))
    assert run.error is not None
    assert "adapter 'fake' gave a state or an output that is not JSON" in run.error["message"]


async def test_a_step_that_is_lost_goes_on_from_what_it_saved_with_all_of_its_messages(
    core: Core,
) -> None:
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}

    async def step(fake: Fake, state: Json, inbound: Inbound, io: Io) -> Outcome:
        if inbound.kind == "input":
            io.message(said("first", "m1", usage=usage))
            await io.save({"half": 1}, [said("first", "m1", usage=usage)])
            await asyncio.get_running_loop().create_future()
        return done(said(f"second {state}", "m2", usage=usage), usage=usage)

    hub, fake = stage(core, step)
    await core.create(request=_request(ask_user("go")))
    _, running = await hub.begin()
    await eventually(lambda: _progressed(core))
    await hub.crash(running)
    run = await hub.attempt()
    assert fake.kinds == ["input", "continue"]
    assert contents(run.output) == ["go", "first", "second {'half': 1}"]
    assert run.usage == {"input_tokens": 2, "output_tokens": 2, "total_tokens": 4}


async def test_what_a_step_emits_stands_behind_its_words_and_is_not_lost_with_what_it_saved(
    core: Core,
) -> None:
    async def step(fake: Fake, state: Json, inbound: Inbound, io: Io) -> Outcome:
        if inbound.kind == "input":
            io.token("one ", "m1")
            emit.artifact("kept; ", name="log", append=True)
            await io.save({"half": 1})
            emit.artifact("lost; ", name="log", append=True)
            await asyncio.get_running_loop().create_future()
        emit.artifact("said again; ", name="log", append=True)
        return done()

    hub, _ = stage(core, step)
    run = await core.create(request=_request(ask_user("go")))
    _, running = await hub.begin()

    async def emitted() -> bool:
        return sum(e.kind == EMITTED for e in await core.events(run.task_id)) == 2

    await eventually(emitted)
    await hub.crash(running)
    events = await hub.events(await hub.attempt())
    shown = [e.kind for e in events if e.kind in (MESSAGES, EMITTED)]
    assert shown[:2] == [MESSAGES, EMITTED]
    (log,) = folded(events).artifacts.values()
    assert [part["text"] for part in log.parts] == ["kept; ", "said again; "]


async def test_a_sign_in_that_a_foreign_agent_asks_for_is_known_as_one(core: Core) -> None:
    async def step(fake: Fake, state: Json, inbound: Inbound, io: Io) -> Outcome:
        page = {"url": "https://example.com/oauth"}
        asked = Ask(id="a", kind="auth", prompt="Sign in.", payload=page)
        return Outcome(status="paused", state=None, asks=[asked])

    hub, _ = stage(core, step)
    run = await hub.run(ask_user("go"))
    (asked,) = run.interrupts
    assert sign_in_page(asked.value) == "https://example.com/oauth"


async def test_a_worker_that_lost_its_run_cannot_save(core: Core) -> None:
    lost: list[BaseException] = []
    go = asyncio.Event()

    async def step(fake: Fake, state: Json, inbound: Inbound, io: Io) -> Outcome:
        # whoever notices first stops it; it tries all the same
        with suppress(asyncio.CancelledError):
            await go.wait()
        try:
            await io.save({"half": 1})
        except BaseException as error:
            lost.append(error)
            raise
        return done()

    hub, fake = stage(core, step)
    await core.create(request=_request(ask_user("go")))
    _, running = await hub.begin()
    await eventually(lambda: _begun(fake))
    # what was written before the step must not be what finds out
    await eventually(lambda: core.value("select count(*) > 0 from checkpoints"))
    await core.expire(hub.claims[-1].lease)
    await eventually(core.reap)
    await core.claim_one()
    go.set()
    await running
    assert isinstance(lost[0], (LeaseLost, asyncio.CancelledError))


async def test_a_cancelled_run_stops_the_agent_where_it_waits(core: Core) -> None:
    stopped: list[str] = []

    async def step(fake: Fake, state: Json, inbound: Inbound, io: Io) -> Outcome:
        io.token("half", "m1")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            stopped.append("stopped")
        return done()

    hub, fake = stage(core, step)
    await core.create(request=_request(ask_user("go")))
    attempt, running = await hub.begin()
    await eventually(lambda: _begun(fake))
    attempt.cancel("interrupt")
    await running
    run = await core.run(hub.claims[-1])
    assert (run.status, stopped) == ("interrupted", ["stopped"])


async def test_a_factory_makes_an_agent_for_every_step(core: Core) -> None:
    made: list[object] = []

    def factory() -> object:
        made.append(object())
        return made[-1]

    fake = Fake(counting)
    graph = to_graph(factory, fake, name="agent", factory=True)
    hub = Stage(core, graph)
    first = await hub.run(ask_user("one"))
    await hub.run(ask_user("two"), thread_id=first.thread_id)
    assert len(made) == 3
    assert adapted_of(graph) is not None


async def test_a_step_knows_whose_run_it_is_whatever_the_caller_says(core: Core) -> None:
    hub, fake = stage(core, counting)
    config = {"configurable": {"langgraph_auth_user_id": "eve"}}
    request = RunRequest(input=ask_user("go"), config=config)
    for subject in ("ann@example.com", "anonymous"):
        await core.create(subject=subject, request=request)
        await hub.attempt()
        assert fake.inbounds[-1][1].user_id == subject


async def test_a_turn_is_of_whom_it_began_with_whoever_answers_its_questions(core: Core) -> None:
    hub, fake = stage(core, two_asks)
    await core.create(subject="ann", request=_request(ask_user("go")))
    first = await hub.attempt()
    answers = RunRequest(answers=dict.fromkeys((i.id for i in first.interrupts), "yes"))
    await core.create(first.thread_id, kind="resume", subject="boss", request=answers)
    await hub.attempt()
    assert fake.kinds == ["input", "answers"]
    assert [inbound.user_id for _, inbound in fake.inbounds] == ["ann", "ann"]


async def test_all_that_is_kept_under_a_scope_is_recalled_without_what_is_beside_it(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    recalled: list[Any] = []
    monkeypatch.setattr(store_module, "PAGE", 2)

    async def step(fake: Fake, state: Json, inbound: Inbound, io: Io) -> Outcome:
        who = ("user", label("ann@example.com"))
        recalled.append(dict(await io.recall_all(who)))
        for key in ("one", "two", "three", "six"):
            await io.keep(who, key, {"key": key})
        await io.keep((*who, "deeper"), "four", 4)
        await io.keep(("user", label("")), "five", 5)
        await io.keep(who, "two", None)
        recalled.append(dict(await io.recall_all(who)))
        return done(said("kept"))

    _, fake = stage(core, step)
    # the hub's, and one that another server may have
    for store in (HubStore(PostgresItems(core.db), core.tenant), InMemoryStore()):
        update = {"store": store, "checkpointer": InMemorySaver()}
        graph = to_graph(object(), fake, name="agent").copy(update)
        await graph.ainvoke(ask_user("go"), {"configurable": {"thread_id": "1"}})
    kept = {key: {"key": key} for key in ("one", "three", "six")}
    assert recalled == [{}, kept] * 2


async def test_to_recall_a_scope_reads_nothing_else_of_the_tenant_before_any_analyze(
    core: Core,
) -> None:
    await core.value("alter table store_items set (autovacuum_enabled = false)")
    fill = """insert into store_items (tenant_id, namespace, key, value)
              select 'default', array['agents', n::text], 'k' || m, '{"value": 1}'
                from generate_series(1, 200) n, generate_series(1, 20) m"""
    await core.db.pool.execute(fill)
    args = ("default", ["agents", "7"], "", 500, True)
    plan = json.loads(await core.value(f"explain (format json) {items.UNDER}", *args))
    read = [line for line in json.dumps(plan, indent=1).splitlines() if '"Index Name"' in line]
    assert all("store_items_pkey" in line for line in read)
    assert read
    assert "Seq Scan" not in json.dumps(plan)
    # in the order of the index: a page reads no more than it has
    assert '"Sort"' not in json.dumps(plan[0]["Plan"]["Plans"][0])


async def test_what_is_kept_outlives_the_thread_and_its_scope_is_its_own(core: Core) -> None:
    async def step(fake: Fake, state: Json, inbound: Inbound, io: Io) -> Outcome:
        before = await io.recall(("user", inbound.user_id), "name")
        await io.keep(("user", inbound.user_id), "name", inbound.messages[-1]["content"])
        await io.keep(("user", "another"), "name", "Eve")
        return done(said(f"before: {before}"))

    _, fake = stage(core, step)
    store = HubStore(PostgresItems(core.db), core.tenant)
    graph = to_graph(object(), fake, name="agent").copy(
        {"store": store, "checkpointer": InMemorySaver()}
    )
    for thread, expected in (("1", "None"), ("2", "Ann"), ("3", "Bob")):
        given: Any = ask_user({"1": "Ann", "2": "Bob"}.get(thread, "Cid"))
        values = await graph.ainvoke(given, {"configurable": {"thread_id": thread}})
        assert contents(values)[-1] == f"before: {expected}"


def _request(input: Any) -> Any:
    return RunRequest(input=input)


async def _begun(fake: Fake) -> bool:
    return bool(fake.inbounds)


async def _progressed(core: Core) -> bool:
    return bool(
        await core.db.fetch("select 1 from checkpoint_writes where channel = '__progress__'")
    )
