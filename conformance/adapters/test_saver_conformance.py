"""LangGraph's own suite for checkpointers, and what it does not look at: blobs and delta channels."""

from __future__ import annotations

import operator
import random
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any, TypedDict
from uuid import uuid4

import pytest
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import ALL_CAPABILITIES
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

import agenthub_langgraph  # noqa: F401  # strict msgpack, before langgraph
from agenthub.errors import Conflict, LeaseLost
from agenthub_langgraph.saver import HubSaver, LeasedSaver
from agenthub_langgraph.serde import serializer
from testkit.core import Core

ORPHANS = """
select count(*) from checkpoint_blobs b
 where not exists (select from checkpoints c
                    where (c.thread_id, c.ns) = (b.thread_id, b.ns)
                      and c.body -> 'channel_versions' ->> b.channel = b.version)
"""


def hub_saver(core: Core) -> HubSaver:
    return HubSaver(core.checkpoints, "default")


async def leased_saver(core: Core, *, wait: bool) -> LeasedSaver:
    await core.create()
    claimed = await core.claim_one()
    return LeasedSaver(
        core.checkpoints,
        core.writer,
        claimed.lease,
        serde=serializer(None),
        wait=wait,
        has_state=True,
        on_lost=lambda: pytest.fail("the lease was lost"),
    )


@pytest.mark.parametrize("kind", ["unfenced", "leased, sync", "leased, async"])
async def test_every_capability_of_langgraphs_suite_passes(core: Core, kind: str) -> None:
    # under a lease, checkpoints belong to the lease's run, whatever their metadata says: the suite's
    # foreign run ids cannot be deleted, see the test below
    leased = set() if kind == "unfenced" else {"delete_for_runs"}

    @checkpointer_test(name=kind, skip_capabilities=leased)
    async def made() -> AsyncGenerator[BaseCheckpointSaver[str]]:
        if kind == "unfenced":
            yield hub_saver(core)
        else:
            yield await leased_saver(core, wait=kind == "leased, sync")

    report = await validate(made)
    failures = [f for r in report.results.values() for f in r.failures or []]
    assert not failures, failures[0]
    passed = {name for name, r in report.results.items() if r.passed and r.tests_passed}
    assert passed == {c.value for c in ALL_CAPABILITIES} - leased


async def test_checkpoints_under_a_lease_are_those_of_its_run(core: Core) -> None:
    saver, thread = await leased_saver(core, wait=False), str(uuid4())
    config = {"configurable": {"thread_id": thread}, "metadata": {"run_id": "claims another"}}
    await counting(saver).ainvoke({"log": ["in"]}, config)
    await saver.adelete_for_runs(["claims another"])
    assert await saver.aget_tuple(at(thread)) is not None
    await saver.adelete_for_runs([str(saver.lease.run_id)])
    assert await saver.aget_tuple(at(thread)) is None
    assert await core.value("select count(*) from checkpoint_blobs") == 0


async def test_an_agent_that_seeds_chance_does_not_give_two_values_one_version(core: Core) -> None:
    saver, versions = hub_saver(core), list[str]()
    for _ in range(2):
        random.seed(42)
        versions.append(saver.get_next_version(None, None))
    assert versions[0] != versions[1]


async def test_a_thread_is_not_pruned_under_a_running_run(core: Core) -> None:
    run = await core.create()
    claimed = await core.claim_one()
    for work in (
        hub_saver(core).aprune([str(run.thread_id)]),
        hub_saver(core).adelete_thread(str(run.thread_id)),
    ):
        with pytest.raises(Conflict, match="cancel it first"):
            await work
    await core.finish(claimed)
    await hub_saver(core).aprune([str(run.thread_id)])


# --- graphs -------------------------------------------------------------------------------------


class Log(TypedDict):
    log: Annotated[list[str], operator.add]
    last: str


def counting(saver: BaseCheckpointSaver[str], steps: int = 4) -> Any:
    builder = StateGraph(Log)
    for i in range(steps):

        async def node(_: Log, i: int = i) -> dict[str, Any]:
            return {"log": [f"n{i}"], "last": f"n{i}"}

        builder.add_node(f"n{i}", node)
        builder.add_edge(START if i == 0 else f"n{i - 1}", f"n{i}")
    builder.add_edge(f"n{steps - 1}", END)
    return builder.compile(checkpointer=saver)


def at(thread_id: str) -> Any:
    return {"configurable": {"thread_id": thread_id}}


async def test_pruning_keeps_the_latest_state_and_leaves_no_orphan_blob(core: Core) -> None:
    saver = hub_saver(core)
    graph, thread, other = counting(saver), str(uuid4()), str(uuid4())
    for _ in range(3):
        await graph.ainvoke({"log": ["in"]}, at(thread))
    await graph.ainvoke({"log": ["in"]}, at(other))
    before = await graph.aget_state(at(thread))
    untouched = len([s async for s in graph.aget_state_history(at(other))])
    blobs = await core.value("select count(*) from checkpoint_blobs")
    await saver.aprune([thread])
    assert await core.value(ORPHANS) == 0
    assert await core.value("select count(*) from checkpoint_blobs") < blobs / 2
    after = await counting(hub_saver(core)).aget_state(at(thread))
    assert (after.values, after.next) == (before.values, before.next)
    assert len([s async for s in graph.aget_state_history(at(thread))]) == 1
    assert len([s async for s in graph.aget_state_history(at(other))]) == untouched
    await graph.ainvoke({"log": ["again"]}, at(thread))
    assert (await graph.aget_state(at(thread))).values["log"][-1] == "n3"


async def test_every_checkpoint_of_a_history_is_readable_with_its_own_values(core: Core) -> None:
    graph, thread = counting(hub_saver(core)), str(uuid4())
    await graph.ainvoke({"log": ["in"]}, at(thread))
    lengths = [len(s.values.get("log", [])) async for s in graph.aget_state_history(at(thread))]
    assert lengths == [5, 4, 3, 2, 1, 0]


async def test_deleting_the_runs_of_a_thread_leaves_no_orphan_blob(core: Core) -> None:
    saver, thread = hub_saver(core), str(uuid4())
    graph = counting(saver)
    await graph.ainvoke({"log": ["in"]}, {**at(thread), "metadata": {"run_id": "r1"}})
    kept = await graph.aget_state(at(thread))
    await graph.ainvoke({"log": ["in"]}, {**at(thread), "metadata": {"run_id": "r2"}})
    await saver.adelete_for_runs(["r2"])
    assert await core.value(ORPHANS) == 0
    assert (await graph.aget_state(at(thread))).values == kept.values


async def test_a_copied_thread_lives_on_when_the_first_is_deleted(core: Core) -> None:
    saver, one, two = hub_saver(core), str(uuid4()), str(uuid4())
    graph = counting(saver)
    await graph.ainvoke({"log": ["in"]}, at(one))
    await saver.acopy_thread(one, two)
    await saver.adelete_thread(one)
    assert await core.value(ORPHANS) == 0
    assert (await graph.aget_state(at(two))).values["last"] == "n3"


async def test_a_paused_graph_resumes_in_another_saver(core: Core) -> None:
    def build(saver: BaseCheckpointSaver[str]) -> Any:
        async def ask(_: Log) -> dict[str, Any]:
            return {"log": [interrupt("go on?")]}

        builder = StateGraph(Log)
        builder.add_node("ask", ask)
        builder.add_edge(START, "ask")
        return builder.compile(checkpointer=saver)

    thread = str(uuid4())
    paused = await build(hub_saver(core)).ainvoke({"log": ["in"]}, at(thread))
    (question,) = paused["__interrupt__"]
    state = await build(hub_saver(core)).aget_state(at(thread))
    assert [i.id for i in state.interrupts] == [question.id]
    ended = await build(hub_saver(core)).ainvoke(Command(resume={question.id: "yes"}), at(thread))
    assert ended["log"] == ["in", "yes"]


async def test_the_saver_refuses_the_synchronous_calls_with_the_name_of_the_other(
    core: Core,
) -> None:
    with pytest.raises(NotImplementedError, match="aget_tuple"):
        hub_saver(core).get_tuple(at("x"))
    with pytest.raises(NotImplementedError, match="alist"):
        list(hub_saver(core).list(None))


async def test_a_leased_saver_without_its_lease_says_so(core: Core) -> None:
    lost: list[bool] = []
    saver = await leased_saver(core, wait=True)
    saver.on_lost = lambda: lost.append(True)
    await core.expire(saver.lease)
    await core.reap()
    with pytest.raises(LeaseLost):
        await counting(saver).ainvoke({"log": ["in"]}, at(str(uuid4())))
    assert lost
    assert await core.value("select count(*) from checkpoints") == 0


# --- delta channels -----------------------------------------------------------------------------


def extend(state: list[str], writes: Sequence[list[str]]) -> list[str]:
    return [*state, *(item for write in writes for item in write)]


class Delta(TypedDict):
    log: Annotated[list[str], DeltaChannel(extend, snapshot_frequency=3)]
    rare: Annotated[list[str], DeltaChannel(extend, snapshot_frequency=50)]
    last: str


def delta_graph(saver: BaseCheckpointSaver[str], steps: int = 4) -> Any:
    builder = StateGraph(Delta)
    for i in range(steps):

        async def node(_: Delta, i: int = i) -> dict[str, Any]:
            rare = {"rare": [f"r{i}"]} if i % 2 else {}
            return {"log": [f"n{i}"], "last": f"n{i}", **rare}

        builder.add_node(f"n{i}", node)
        builder.add_edge(START if i == 0 else f"n{i - 1}", f"n{i}")
    builder.add_edge(f"n{steps - 1}", END)
    return builder.compile(checkpointer=saver)


LOG = ["in", "n0", "n1", "n2", "n3"]
RARE = ["r1", "r3"]


async def run_delta(core: Core, thread: str, times: int) -> None:
    for _ in range(times):
        await delta_graph(hub_saver(core)).ainvoke({"log": ["in"]}, at(thread))


async def test_a_delta_channel_is_rebuilt_by_another_saver(core: Core) -> None:
    thread = str(uuid4())
    await run_delta(core, thread, 3)
    state = await delta_graph(hub_saver(core)).aget_state(at(thread))
    assert (state.values["log"], state.values["rare"]) == (LOG * 3, RARE * 3)


async def test_delta_history_equals_that_of_langgraphs_default(core: Core) -> None:
    thread, saver = str(uuid4()), hub_saver(core)
    await run_delta(core, thread, 3)
    channels = ["log", "rare", "last", "unknown"]
    compared = 0
    async for one in saver.alist(at(thread)):
        ours = await saver.aget_delta_channel_history(config=one.config, channels=channels)
        default = await BaseCheckpointSaver.aget_delta_channel_history(
            saver, config=one.config, channels=channels
        )
        assert ours == default
        compared += 1
    assert compared == 18


async def test_delta_history_of_a_fork_follows_its_own_line(core: Core) -> None:
    thread, saver = str(uuid4()), hub_saver(core)
    await run_delta(core, thread, 1)
    graph = delta_graph(saver)
    history = [s async for s in graph.aget_state_history(at(thread))]
    middle = history[2]
    fork = await graph.aupdate_state(middle.config, {"log": ["fork"]}, as_node="n1")
    forked = await graph.aget_state(fork)
    assert forked.values["log"] == [*middle.values["log"], "fork"]
    ours = await saver.aget_delta_channel_history(config=fork, channels=["log", "rare"])
    default = await BaseCheckpointSaver.aget_delta_channel_history(
        saver, config=fork, channels=["log", "rare"]
    )
    assert ours == default


@pytest.mark.parametrize("times", [1, 2, 3, 5])
async def test_pruning_keeps_what_delta_channels_are_rebuilt_from(core: Core, times: int) -> None:
    thread, saver = str(uuid4()), hub_saver(core)
    await run_delta(core, thread, times)
    before = await core.value("select count(*) from checkpoints")
    await saver.aprune([thread])
    state = await delta_graph(hub_saver(core)).aget_state(at(thread))
    assert (state.values["log"], state.values["rare"]) == (LOG * times, RARE * times)
    assert await core.value(ORPHANS) == 0
    assert await core.value("select count(*) from checkpoints") <= before
    await run_delta(core, thread, 1)
    state = await delta_graph(hub_saver(core)).aget_state(at(thread))
    assert (state.values["log"], state.values["rare"]) == (LOG * (times + 1), RARE * (times + 1))
