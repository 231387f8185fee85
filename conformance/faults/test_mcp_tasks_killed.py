"""Replicas and workers killed under MCP tasks and questions: clients ask elsewhere, and miss nothing."""

from __future__ import annotations

import asyncio
import signal

from faults.cluster import REAPED_SOON, Cluster
from protocols.mcp_client import LEGACY, client
from protocols.mcp_wire import wire
from testkit.processes import Process
from testkit.round_robin import round_robin


async def kill(process: Process) -> None:
    process.signal(signal.SIGKILL)
    await process.wait()


async def test_a_task_outlives_its_replica_and_its_worker(hub: Cluster) -> None:
    hub.settings |= REAPED_SOON
    await hub.start(servers=2, workers=2)
    first, second = hub.servers
    journal = hub.journal()
    async with wire() as mcp:
        task = await mcp.call(first.url, "asks", journal.order(1, 2))
        assert task["resultType"] == "task"
        pid = await journal.reached(1)
        await kill(first.process)
        assert (await mcp.ask(second.url, "tasks/get", {"taskId": task["taskId"]}))[
            "status"
        ] == "working"
        await kill(hub.worker_of(pid))
        await hub.lapse(hub.worker_of(pid))
        journal.open(1)
        waiting = await mcp.until(second.url, task["taskId"], "input_required")
        ((key, _),) = waiting["inputRequests"].items()
        third = await hub.server()
        answers = {key: {"action": "accept", "content": {"approved": True}}}
        update = {"taskId": task["taskId"], "inputResponses": answers}
        await mcp.ask(third.url, "tasks/update", update)
        await journal.reached(2)
        await kill(second.process)
        journal.open(2)
        done = await mcp.until(third.url, task["taskId"], "completed")
    assert done["result"]["structuredContent"]["done"] == [1, 2]
    assert journal.executions() == {1: 2, 2: 1}, "the killed worker's step, and no other, ran again"
    await hub.holds()


async def test_a_listener_goes_on_at_another_replica(hub: Cluster) -> None:
    await hub.start(servers=2, workers=1)
    first, second = hub.servers
    journal = hub.journal()

    async def told(at: str, task_id: str, status: str) -> None:
        async with mcp.listen(at, taskIds=[task_id]) as messages:
            async for message in messages:
                if message.get("params", {}).get("status") == status:
                    return

    async with wire() as mcp:
        task_id = (await mcp.call(first.url, "asks", journal.order(1)))["taskId"]
        listening = asyncio.create_task(told(first.url, task_id, "input_required"))
        await journal.reached(1)
        await kill(first.process)
        await asyncio.gather(listening, return_exceptions=True)
        journal.open(1)
        async with asyncio.timeout(60):
            await told(second.url, task_id, "input_required")


async def test_the_official_client_is_asked_by_the_replica_that_took_its_call_over(
    hub: Cluster,
) -> None:
    await hub.start(servers=2, workers=1)
    journal = hub.journal()
    urls = [server.url for server in hub.servers]
    async with (
        round_robin(urls) as balancer,
        client(balancer.url, LEGACY, {"Go on?": {"approved": True}}) as mcp,
    ):
        call = asyncio.create_task(mcp.call_tool("asks", journal.order(1)))
        await journal.reached(1)
        _, served_by = next(went for went in reversed(balancer.went) if went[0] == "POST")
        await kill(next(s for s in hub.servers if s.url == served_by).process)
        journal.open(1)
        async with asyncio.timeout(60):
            result = await call
    assert result.structured_content is not None
    assert result.structured_content["done"] == [1, 2]
    assert await hub.value("select count(*) from tasks") == 1
    await hub.holds()
