"""A worker that is killed in the middle of a remote task: the task is one, and no reader misses anything."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from a2a.types.a2a_pb2 import ListTasksRequest

from conftest import Hubs
from faults import clients
from faults.cluster import HUB, REAPED_SOON, Cluster, ids, knows
from protocols import a2a_client
from testkit.hub import FIXTURES
from testkit.processes import Process, process
from testkit.waiting import eventually

NEAR = """
[agents.told]
remote = {{ a2a = "{far}/agents/gated" }}
[agents.called]
remote = {{ mcp = "{far}/mcp", tool = "gated" }}
"""
FIRST, WHOLE = "before the gate ", "before the gate behind the gate "


async def worker(hub: Cluster, project: Path) -> Process:
    """A worker with the remote agents."""
    started = await hub.stack.enter_async_context(
        process(
            [*HUB, "work", project],
            ready=re.compile("serves .*told"),
            env=hub.environment(),
        )
    )
    hub.workers.append(started)
    return started


async def test_the_next_worker_follows_what_the_killed_one_began_over_there(
    hub: Cluster, hubs: Hubs, tmp_path: Path
) -> None:
    far = await hubs(FIXTURES / "a2a_agents.py")
    before = await tasks_there(far)
    project, gate = tmp_path / "near.toml", tmp_path / "gate"
    project.write_text(NEAR.format(far=far), "utf-8")
    hub.settings |= REAPED_SOON
    await hub.server()
    await worker(hub, project)
    await knows(hub.url, "told")
    told, called = ([], [])  # type: tuple[list[Any], list[Any]]
    given = {"messages": [], "data": {"gate": str(gate)}}
    async with asyncio.TaskGroup() as group:
        first = await clients.start(hub.url, "told", given)
        second = await clients.start(hub.url, "called", given)
        group.create_task(clients.join(hub.url, first, told))
        group.create_task(clients.join(hub.url, second, called))
        await eventually(lambda: tokens(told) == [FIRST])
        for run, named in ((first, b"context"), (second, b"found")):
            await eventually(partial(saved, hub, run["run_id"], named))
        await worker(hub, project)
        hub.workers[0].signal(signal.SIGKILL)
        await hub.lapse(hub.workers[0])
        await asyncio.gather(*(hub.recovered(r["run_id"]) for r in (first, second)))
        gate.touch()

    for seen in (told, called):
        assert [p.data["attempt"] for p in seen if p.event == "metadata"] == [1, 2]
        assert [p.data["status"] for p in seen if p.event == "end"] == ["success"]
        assert values(seen)["output"]["told"] == WHOLE
    assert ids(told) == [row["seq"] for row in await hub.log(first["run_id"])]
    # a new attempt tells the unfinished message anew, and it is kept once
    assert tokens(told) == [FIRST, WHOLE]
    assert [m["content"] for m in values(told)["messages"]] == [WHOLE]
    assert await tasks_there(far) == before + 2
    await hub.holds()


async def saved(hub: Cluster, run_id: str, named: bytes) -> bool:
    """Whether a step has saved what names the remote task."""
    rows = await hub.rows(
        """select w.data from checkpoint_writes w
             join checkpoints c using (tenant_id, thread_id, ns, checkpoint_id)
            where c.run_id = $1 and w.channel = '__progress__'""",
        run_id,
    )
    return any(named in bytes(row["data"]) for row in rows)


async def tasks_there(far: str) -> int:
    """How often the far agent was called, over whatever protocol."""
    async with a2a_client.agent(far, "gated") as there:
        return (await there.client.list_tasks(ListTasksRequest())).total_size


def values(seen: Sequence[Any]) -> Any:
    """The last values of a stream."""
    return [part.data for part in seen if part.event == "values"][-1]


def tokens(seen: Sequence[Any]) -> list[str]:
    """What was told as tokens, by attempt."""
    told: list[str] = []
    for part in seen:
        if part.event == "metadata":
            told.append("")
        elif part.event == "messages":
            told[-1] += part.data[0]["content"]
    return told
