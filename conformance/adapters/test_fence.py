"""A worker whose run was taken away stops inside its current node and writes nothing more."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.config import get_stream_writer
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph

from agenthub.attempt import Attempt
from agenthub.clock import SystemClock
from agenthub.ports import Claimed
from agenthub.runs import Durability, RunRequest
from agenthub_langgraph.engine import LangGraphEngine
from testkit.core import Core
from testkit.waiting import eventually

STOLEN_AT = 2
STEPS = 6
WRITTEN = """
select (select count(*) from events) + (select count(*) from checkpoints)
     + (select count(*) from checkpoint_writes) + (select count(*) from checkpoint_blobs)
"""


class Theft:
    """What the agent's steps do: the third takes the run away from under its own worker."""

    def __init__(self, core: Core, *, then_block: bool, settled: int = 0) -> None:
        self.core = core
        self.settled = settled
        self.then_block = then_block
        self.ran: list[int] = []
        self.cancelled: list[int] = []
        self.done: asyncio.Task[int] | None = None

    async def step(self, i: int) -> int:
        self.ran.append(i)
        try:
            if i == STOLEN_AT:
                # a workflow's finished tasks are committed behind its back: wait for as many
                await eventually(self._saved)
                # an event still under way may find the theft first and cancel this very step
                self.done = asyncio.create_task(self._steal())
                await asyncio.shield(self.done)
                get_stream_writer()("a sign of life")
            if i > STOLEN_AT or (i == STOLEN_AT and self.then_block):
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.append(i)
            raise
        return i

    async def written(self) -> int:
        """How many rows there were at the moment of the theft."""
        assert self.done is not None
        return await self.done

    async def _steal(self) -> int:
        async with self.core.db.transaction() as connection:
            await connection.execute("update runs set epoch = epoch + 1")
            return await connection.fetchval(WRITTEN)

    async def _saved(self) -> bool:
        steps = await self.core.value("select count(distinct step) from checkpoint_writes")
        return steps >= self.settled


class State(TypedDict):
    log: Annotated[list[int], operator.add]


def graph(theft: Theft) -> Any:
    builder = StateGraph(State)
    for i in range(STEPS):

        async def node(_: State, i: int = i) -> dict[str, Any]:
            return {"log": [await theft.step(i)]}

        builder.add_node(f"n{i}", node)
        builder.add_edge(START if i == 0 else f"n{i - 1}", f"n{i}")
    return builder.compile()


def workflow(theft: Theft) -> Any:
    @task
    async def step(i: int) -> int:
        return await theft.step(i)

    @entrypoint()
    async def flow(_: Any) -> list[int]:
        return [await step(i) for i in range(STEPS)]

    return flow


async def attempt(core: Core, agent: Any, durability: Durability) -> tuple[Attempt, Claimed]:
    await core.create(request=RunRequest(input={"log": []}, durability=durability))
    claimed = await core.claim_one()
    engine = LangGraphEngine({"a": agent}, checkpoints=core.checkpoints, writer=core.writer)
    made = Attempt(
        claimed,
        engine=engine,
        writer=core.writer,
        queue=core.queue,
        clock=SystemClock(),
        slice_seconds=0.001,
        cancel_grace_seconds=5,
    )
    return made, claimed


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("build", [graph, workflow])
async def test_a_fenced_out_worker_stops_inside_its_node(
    core: Core, build: Callable[[Theft], Any], durability: Durability
) -> None:
    theft = Theft(core, then_block=True)
    stolen, claimed = await attempt(core, build(theft), durability)
    async with asyncio.timeout(10):
        assert await stolen.run() == []
    assert theft.ran == [0, 1, 2]
    assert theft.cancelled == [2]
    await _is_untouched(core, claimed, theft)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("build", [graph, workflow])
async def test_a_fenced_out_worker_does_not_get_beyond_the_next_node(
    core: Core, build: Callable[[Theft], Any], durability: Durability
) -> None:
    theft = Theft(core, then_block=False)
    stolen, claimed = await attempt(core, build(theft), durability)
    async with asyncio.timeout(10):
        assert await stolen.run() == []
    assert theft.ran in ([0, 1, 2], [0, 1, 2, 3])
    if theft.cancelled != [STOLEN_AT]:
        assert theft.cancelled == theft.ran[3:]
    else:
        # an event that was under way found the theft while it was being made
        assert theft.ran == [0, 1, 2]
    await _is_untouched(core, claimed, theft)


async def _is_untouched(core: Core, claimed: Claimed, theft: Theft) -> None:
    assert await core.value(WRITTEN) == await theft.written(), "a fenced-out worker wrote something"
    (row,) = await core.rows("select status, epoch from runs")
    assert (row["status"], row["epoch"]) == ("running", 2)
    assert (await core.thread(claimed.thread_id)).open_runs == 1


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("build", [graph, workflow])
async def test_the_same_agent_under_its_lease_runs_to_its_end(
    core: Core, build: Callable[[Theft], Any], durability: Durability
) -> None:
    class Honest(Theft):
        async def step(self, i: int) -> int:
            self.ran.append(i)
            return i

    theft = Honest(core, then_block=False)
    whole, claimed = await attempt(core, build(theft), durability)
    async with asyncio.timeout(10):
        await whole.run()
    assert theft.ran == list(range(STEPS))
    run = await core.run(claimed)
    assert run.status == "success"
    log = run.output if build is workflow else run.output["log"]
    assert log == list(range(STEPS))
    seqs = [e.seq for e in await core.events(claimed.task_id)]
    assert seqs == list(range(1, len(seqs) + 1))


@pytest.mark.parametrize("build", [graph, workflow])
async def test_the_heir_goes_on_after_the_last_finished_step(
    core: Core, build: Callable[[Theft], Any]
) -> None:
    theft = Theft(core, then_block=True, settled=2)
    stolen, claimed = await attempt(core, build(theft), "sync")
    async with asyncio.timeout(10):
        await stolen.run()
    await core.expire(claimed.lease)
    await core.reap()

    class Heir(Theft):
        async def step(self, i: int) -> int:
            self.ran.append(i)
            return i

    heir = Heir(core, then_block=False)
    claimed = await core.claim_one()
    engine = LangGraphEngine({"a": build(heir)}, checkpoints=core.checkpoints, writer=core.writer)
    again = Attempt(
        claimed, engine=engine, writer=core.writer, queue=core.queue, clock=SystemClock(),
        slice_seconds=0.001, cancel_grace_seconds=5,
    )  # fmt: skip
    async with asyncio.timeout(10):
        await again.run()
    assert heir.ran == [2, 3, 4, 5]
    run = await core.run(claimed)
    assert (run.output if build is workflow else run.output["log"]) == list(range(STEPS))
