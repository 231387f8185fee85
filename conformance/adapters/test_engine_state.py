"""What a run leaves behind: second attempts, durability, checkpoints and the values in them."""

from __future__ import annotations

import asyncio
import operator
import pickle
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from testkit.agents import Stage
from testkit.core import Core
from testkit.waiting import eventually


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    note: Any


@dataclass
class Steps:
    """Five steps; the third of the first attempt never ends."""

    blocks: bool = True
    ran: list[int] = field(default_factory=list)
    blocked: asyncio.Event = field(default_factory=asyncio.Event)

    async def step(self, i: int) -> int:
        self.ran.append(i)
        if i == 2 and self.blocks:
            self.blocked.set()
            await asyncio.Event().wait()
        return i


def graph(steps: Steps) -> Any:
    builder = StateGraph(State)
    for i in range(5):

        async def node(_: State, i: int = i) -> State:
            return {"log": [await steps.step(i)]}

        builder.add_node(f"n{i}", node)
        builder.add_edge(START if i == 0 else f"n{i - 1}", f"n{i}")
    return builder.compile()


def workflow(steps: Steps) -> Any:
    @task
    async def step(i: int) -> int:
        return await steps.step(i)

    @entrypoint()
    async def flow(_: Any) -> Any:
        return {"log": [await step(i) for i in range(5)]}

    return flow


async def saved(core: Core) -> bool:
    """Two steps are committed."""
    return await core.value("select count(distinct step) from checkpoint_writes") >= 2


# --- attempts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [graph, workflow])
@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_a_second_attempt_goes_on_where_the_first_one_died(
    core: Core, build: Callable[[Steps], Any], durability: Any
) -> None:
    steps = Steps()
    stage = Stage(core, build(steps))
    await core.create(request=_request({"log": []}, durability))
    _, running = await stage.begin()
    async with asyncio.timeout(10):
        await steps.blocked.wait()
        await eventually(lambda: saved(core))
    await stage.crash(running)
    steps.blocks = False
    run = await stage.attempt()
    assert (run.status, run.output, run.attempts) == ("success", {"log": [0, 1, 2, 3, 4]}, 2)
    assert steps.ran == [0, 1, 2, 2, 3, 4]
    attempts = [e.json()["attempt"] for e in await stage.events(run, "started")]
    assert attempts[-1] == 2


@pytest.mark.parametrize("build", [graph, workflow])
async def test_without_a_checkpoint_a_second_attempt_begins_anew(
    core: Core, build: Callable[[Steps], Any]
) -> None:
    steps = Steps()
    stage = Stage(core, build(steps))
    await core.create(request=_request({"log": []}, "exit"))
    _, running = await stage.begin()
    await steps.blocked.wait()
    await stage.crash(running)
    steps.blocks = False
    run = await stage.attempt()
    assert (run.status, run.output) == ("success", {"log": [0, 1, 2, 3, 4]})
    assert steps.ran == [0, 1, 2, 0, 1, 2, 3, 4]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_an_answer_is_not_lost_with_the_attempt_that_took_it(
    core: Core, durability: Any
) -> None:
    steps = Steps()

    async def asks(_: State) -> State:
        return {"log": [interrupt("?")]}

    async def waits(_: State) -> State:
        return {"log": [await steps.step(2)]}

    builder = StateGraph(State)
    builder.add_node("asks", asks)
    builder.add_node("waits", waits)
    builder.add_edge(START, "asks")
    builder.add_edge("asks", "waits")
    stage = Stage(core, builder.compile())
    paused = await stage.run({"log": []}, durability=durability)
    answers = {paused.interrupts[0].id: "yes"}
    await core.create(
        paused.thread_id, kind="resume", request=_request(None, durability, answers=answers)
    )
    _, running = await stage.begin()
    await steps.blocked.wait()
    await stage.crash(running)
    steps.blocks = False
    run = await stage.attempt()
    assert (run.status, run.output) == ("success", {"log": ["yes", 2]})


async def test_a_second_attempt_of_a_fork_goes_on_at_its_head_and_does_not_fork_again(
    core: Core,
) -> None:
    steps = Steps(blocks=False)
    stage = Stage(core, graph(steps))
    first = await stage.run({"log": []})
    at = next(s for s in await stage.history(first) if s.next == ("n1",))
    steps.blocks = True
    steps.ran.clear()
    fork = _request(None, "sync", checkpoint_id=at.checkpoint_id)
    await core.create(first.thread_id, request=fork)
    _, running = await stage.begin()
    async with asyncio.timeout(10):
        await steps.blocked.wait()
    await stage.crash(running)
    steps.blocks = False
    run = await stage.attempt()
    assert (run.status, run.output) == ("success", {"log": [0, 1, 2, 3, 4]})
    assert steps.ran == [1, 2, 2, 3, 4]


async def test_a_second_attempt_on_a_thread_with_history_still_gets_its_input(core: Core) -> None:
    steps = Steps(blocks=False)
    stage = Stage(core, graph(steps))
    first = await stage.run({"log": ["first"]})
    # the worker dies before it has written anything
    await core.create(first.thread_id, request=_request({"log": ["second"]}, "async"))
    stage.claims.append(await core.claim_one())
    await core.expire(stage.claims[-1].lease)
    await core.reap()
    run = await stage.attempt()
    assert run.output["log"] == ["first", 0, 1, 2, 3, 4, "second", 0, 1, 2, 3, 4]


def _request(input: Any, durability: Any, **how: Any) -> Any:
    from agenthub.runs import RunRequest

    return RunRequest(input=input, durability=durability, **how)


# --- durability and checkpoints -----------------------------------------------------------------


@pytest.mark.parametrize("build", [graph, workflow])
async def test_every_durability_leaves_the_same_final_state(
    core: Core, build: Callable[[Steps], Any]
) -> None:
    stage = Stage(core, build(Steps(blocks=False)))
    finals: list[Any] = []
    for durability in ("sync", "async", "exit"):
        run = await stage.run({"log": []}, durability=durability)
        last = (await stage.history(run))[-1]
        finals.append((last.values, last.next, run.output, run.status, last.metadata["source"]))
    assert finals[0] == finals[1] == finals[2]
    assert finals[0][0] == {"log": [0, 1, 2, 3, 4]}


async def reference(agent: Any, *inputs: Any) -> list[Any]:
    """The history as LangGraph itself tells it: (values, next, names and questions of tasks)."""
    agent = agent.copy(update={"checkpointer": InMemorySaver()})
    config: Any = {"configurable": {"thread_id": "t"}}
    for given in inputs:
        try:
            await agent.ainvoke(given, config, durability="sync")
        except ValueError:
            break
    told = [
        (
            s.values,
            tuple(s.next),
            [(t.name, [i.value for i in t.interrupts], bool(t.error)) for t in s.tasks],
        )
        async for s in agent.aget_state_history(config)
    ]
    return list(reversed(told))


def told(state: Any) -> Any:
    steps = [(s.name, [i.value for i in s.interrupts], bool(s.error)) for s in state.steps]
    return (state.values, state.next, steps)


def branches(*, then: Callable[[], Any] | None = None) -> Any:
    """Two nodes beside each other, and one after both."""

    async def one(_: State) -> State:
        return {"log": ["one"]}

    async def two(_: State) -> State:
        return {"log": ["two"]}

    async def last(_: State) -> State:
        return {"log": ["last" if then is None else then()]}

    builder = StateGraph(State)
    for name, node in (("one", one), ("two", two), ("last", last)):
        builder.add_node(name, node)
    builder.add_edge(START, "one")
    builder.add_edge(START, "two")
    builder.add_edge(["one", "two"], "last")
    return builder.compile()


def _breaks() -> Any:
    raise ValueError("no")


@pytest.mark.parametrize("durability", ["sync", "async"])
@pytest.mark.parametrize("then", [None, lambda: interrupt("go on?"), _breaks])
async def test_every_checkpoint_tells_what_is_next_as_langgraph_does(
    core: Core, then: Any, durability: Any
) -> None:
    agent = branches(then=then)
    run = await Stage(core, agent).run({"log": []}, durability=durability)
    mine = [told(state) for state in await Stage(core, agent).history(run)]
    expected = await reference(agent, {"log": []})
    # an empty list that no checkpoint holds is a default of the graph, which readers do not have
    assert [(v.get("log", []), *rest) for v, *rest in mine] == [
        (v["log"], *rest) for v, *rest in expected
    ]


async def test_a_fork_leaves_the_views_of_both_branches_right(core: Core) -> None:
    stage = Stage(core, branches())
    run = await stage.run({"log": []})
    at = next(s for s in await stage.history(run) if s.next == ("last",))
    await stage.run(thread_id=run.thread_id, checkpoint_id=at.checkpoint_id)
    history = await stage.history(run)
    assert [s.next for s in history if s.parent_id == at.checkpoint_id]
    for state in history:
        done = "last" in state.values.get("log", [])
        assert (state.next == ()) == done, state


# --- values -------------------------------------------------------------------------------------


@dataclass
class Point:
    x: int


class Order(BaseModel):
    number: str


class Typed(TypedDict, total=False):
    point: Point
    order: Order
    when: datetime
    tags: set[str]
    raw: bytes
    seen: list[str]


async def test_values_that_the_state_declares_come_back_as_themselves(core: Core) -> None:
    when = datetime(2026, 1, 2, tzinfo=UTC)

    async def makes(_: Typed) -> Typed:
        return {
            "point": Point(1),
            "order": Order(number="A"),
            "when": when,
            "tags": {"t"},
            "raw": b"r",
        }

    async def sees(state: Typed) -> Typed:
        interrupt("?")
        return {
            "seen": [type(state[k]).__name__ for k in ("point", "order", "when", "tags", "raw")]
        }

    builder = StateGraph(Typed)
    builder.add_node("makes", makes)
    builder.add_node("sees", sees)
    builder.add_edge(START, "makes")
    builder.add_edge("makes", "sees")
    stage = Stage(core, builder.compile())
    run = await stage.run({"seen": []})
    shown = {**run.output, "seen": []}
    assert shown == {
        "point": {"x": 1},
        "order": {"number": "A"},
        "when": "2026-01-02T00:00:00+00:00",
        "tags": ["t"],
        "raw": "cg==",
        "seen": [],
    }
    assert (await stage.history(run))[-1].values == {**shown, "tags": ["t"]}
    done = await stage.answer(run, 1)
    assert done.output["seen"] == ["Point", "Order", "datetime", "set", "bytes"], done.error


class Opaque:
    """Only pickle could store it."""

    reduced: int = 0

    def __reduce__(self) -> Any:
        Opaque.reduced += 1
        return (Opaque, ())


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize(
    "value", [Opaque(), threading.Lock(), (i for i in "x"), lambda: None, sys], ids=repr
)
async def test_a_value_that_nothing_but_pickle_could_store_fails_the_run_and_says_so(
    core: Core, value: Any, durability: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dumps", "loads", "dump", "load"):
        monkeypatch.setattr(pickle, name, _forbidden)

    async def makes(_: State) -> State:
        return {"note": value}

    builder = StateGraph(State)
    builder.add_node("makes", makes)
    builder.add_edge(START, "makes")
    stage = Stage(core, builder.compile())
    run = await stage.run({"log": []}, durability=durability)
    assert run.status == "error"
    assert run.error is not None
    assert "serializ" in run.error["message"], run.error
    assert type(value).__name__ in run.error["message"]
    assert Opaque.reduced == 0


def _forbidden(*_: Any, **__: Any) -> Any:
    raise AssertionError("pickle was used")


async def test_nothing_stored_is_a_pickle(core: Core) -> None:
    run = await Stage(core, branches()).run({"log": [], "note": "n"})
    assert run.status == "success"
    types = await core.rows(
        "select distinct type from checkpoint_blobs union select type from checkpoint_writes"
    )
    assert {row["type"] for row in types} <= {"msgpack", "null", "bytes"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), None),
        ("lone \ud800", "lone \ufffd"),
        ("nul \x00", "nul \x00"),
        ({(1, 2): "a"}, {"(1, 2)": "a"}),
        (Decimal("1.50"), "Decimal('1.50')"),
    ],
)
async def test_odd_values_reach_clients_as_readable_json(
    core: Core, value: Any, shown: Any
) -> None:
    @entrypoint()
    async def flow(_: Any) -> Any:
        return {"value": value}

    stage = Stage(core, flow)
    run = await stage.run(1)
    assert run.status == "success", run.error
    (values,) = await stage.values(run)
    assert values == {"value": shown}
    assert run.output in ({"value": shown}, {"value": "nul \ufffd"})
