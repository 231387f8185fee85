"""An agent that kills its workers is given up, and takes nobody with it."""

from __future__ import annotations

import pytest

from faults import clients
from faults.cluster import REAPED_SOON, Cluster
from protocols import a2a_client, mcp_client
from testkit.waiting import eventually

ALL = list(range(1, 11))


@pytest.mark.slow
async def test_a_run_that_kills_its_workers_is_given_up_and_the_others_go_on(hub: Cluster) -> None:
    hub.settings |= {**REAPED_SOON, "AGENTHUB_MAX_FAILURES": "1"}
    await hub.start(workers=1, AGENTHUB_SLOTS="1")
    beside, deadly = hub.journal("beside"), hub.journal("deadly")
    good = await clients.start(hub.url, "ten_steps", beside.order(5))
    await beside.reached(5)
    bad = await clients.start(hub.url, "poison", deadly.order())
    for victim in range(2):
        worker = await hub.worker()
        await hub.lapse(worker)
        assert len(deadly.lines) == victim + 1
    told = (await clients.output(hub.url, bad))["__error__"]
    assert told["error"] == "AttemptsExhausted"
    async with a2a_client.agent(hub.url, "poison") as agent:
        task = await agent.get(a2a_client.Task(id=bad["run_id"]))
    assert a2a_client.state(task) == "FAILED"
    assert "given up" in task.status.message.parts[0].text
    async with mcp_client.client(hub.url, mcp_client.MODERN) as client:
        status = await client.call_tool("run_status", {"task_id": bad["run_id"]})
    assert status.structured_content is not None
    assert status.structured_content["status"] == "failed"
    assert "given up" in status.structured_content["error"]
    row = await hub.run(bad["run_id"])
    assert (row["status"], row["failures"], len(deadly.lines)) == ("error", 2, 2)

    beside.open(5)
    assert (await clients.output(hub.url, good))["done"] == ALL
    assert set(beside.executions().values()) == {1}
    await hub.holds()


@pytest.mark.slow
async def test_the_neighbours_of_a_run_that_kills_its_workers_are_not_given_up(
    hub: Cluster,
) -> None:
    hub.settings |= {**REAPED_SOON, "AGENTHUB_MAX_FAILURES": "1"}
    await hub.start(workers=1)
    beside, deadly = hub.journal("beside"), hub.journal("deadly")
    good = await clients.start(hub.url, "ten_steps", beside.order(5, 9))
    await beside.reached(5)
    bad = await clients.start(hub.url, "poison", deadly.order())
    await hub.lapse(hub.workers[0])
    beside.open(5)
    second = await hub.worker()
    # whichever of the two it takes first, the other waits
    await eventually(lambda: not second.alive or (9, second.pid, 2) in beside.lines)
    beside.open(9)
    await hub.lapse(second)
    await hub.worker()
    assert "__error__" in await clients.output(hub.url, bad)
    assert (await clients.output(hub.url, good)).get("done") == ALL
