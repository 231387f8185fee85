"""State updates by a worker: made once, refused without a trace, and behind what came before."""

from __future__ import annotations

import operator
from typing import Annotated, Any

import pytest
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from agenthub.errors import LeaseLost
from agenthub.runs import Run, RunRequest
from agenthub_postgres.writer import GroupWriter
from testkit.agents import Stage
from testkit.core import Core, open_core


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]


def graph() -> Any:
    def first(_: State) -> State:
        return {"log": ["first"]}

    def second(_: State) -> State:
        return {"log": ["second"]}

    builder = StateGraph(State).add_node("first", first).add_node("second", second)
    return builder.add_edge(START, "first").add_edge("first", "second").compile()


@pytest.fixture
def stage(core: Core) -> Stage:
    return Stage(core, graph())


def asked(*supersteps: tuple[str, str | None]) -> RunRequest:
    updates = [[{"values": {"log": [word]}, "as_node": node}] for word, node in supersteps]
    return RunRequest(updates=updates, durability="sync")


async def update(stage: Stage, run: Run, *supersteps: tuple[str, str | None]) -> Run:
    await stage.core.create(run.thread_id, kind="update", request=asked(*supersteps))
    return await stage.attempt()


async def test_an_update_whose_worker_died_is_made_once(dsn: str) -> None:
    async with open_core(dsn) as core:
        stage = Stage(core, graph())
        run = await stage.run({"log": []})
        await core.create(
            run.thread_id, kind="update", request=asked(("a", "first"), ("b", "second"))
        )
        with pytest.MonkeyPatch.context() as patched:
            # the checkpoints are committed, the end is not: its worker stalls before it
            patched.setattr(GroupWriter, "finish", _never)
            _, running = await stage.begin()
            await running
        await core.expire(stage.claims[-1].lease)
        await core.reap()
        again = await stage.attempt()
        history = await stage.history(run)
    assert (again.status, again.attempts) == ("success", 2)
    assert again.output == {"log": ["first", "second", "a", "b"]}
    assert [s.values.get("log") for s in history][-2:] == [
        ["first", "second", "a"],
        ["first", "second", "a", "b"],
    ]


async def _never(*_: Any) -> Any:
    raise LeaseLost


async def test_an_update_belongs_to_no_task_and_is_in_no_list(stage: Stage) -> None:
    core = stage.core
    run = await stage.run({"log": []})
    made = await update(stage, run, ("a", "first"))
    assert made.kind == "update"
    assert await core.runs.task(core.tenant, made.task_id) is None
    listed = await core.runs.list(core.tenant, run.thread_id)
    assert [r.run_id for r in listed] == [run.run_id]
    thread = await core.thread(run.thread_id)
    assert thread.values == {"log": ["first", "second", "a"]}


async def test_a_refused_update_leaves_no_trace_on_the_thread(stage: Stage) -> None:
    run = await stage.run({"log": []})
    before = await stage.core.thread(run.thread_id)
    refused = await update(stage, run, ("a", "nobody"))
    after = await stage.core.thread(run.thread_id)
    assert refused.error is not None
    assert refused.error["error"] == "InvalidUpdateError"
    for field in ("status", "values", "interrupts", "open_task", "error"):
        assert getattr(after, field) == getattr(before, field)


async def test_input_that_waited_behind_an_update_sees_it(stage: Stage) -> None:
    core = stage.core
    run = await stage.run({"log": []})
    await core.create(run.thread_id, kind="update", request=asked(("a", "second")))
    await core.create(run.thread_id, request=RunRequest(input={"log": ["input"]}))
    await stage.attempt()
    last = await stage.attempt()
    assert last.output == {"log": ["first", "second", "a", "input", "first", "second"]}
