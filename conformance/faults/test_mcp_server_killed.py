"""A replica killed under the calls of handshake clients: they go on at another one."""

from __future__ import annotations

import asyncio
import signal

from faults.cluster import Cluster
from protocols.mcp_client import LEGACY, Heard, client
from protocols.mcp_session import session
from testkit.round_robin import round_robin


async def test_the_official_client_gets_the_result_of_a_call_whose_replica_was_killed(
    hub: Cluster,
) -> None:
    await hub.start(servers=2, workers=1)
    first, second = hub.servers
    journal = hub.journal()
    heard = Heard()
    async with (
        round_robin([first.url, second.url]) as balancer,
        client(balancer.url, LEGACY) as mcp,
    ):
        call = asyncio.create_task(
            mcp.call_tool("ten_steps", journal.order(5), progress_callback=heard)
        )
        await journal.reached(5)
        _, served_by = next(went for went in reversed(balancer.went) if went[0] == "POST")
        server = next(s for s in hub.servers if s.url == served_by)
        server.process.signal(signal.SIGKILL)
        await server.process.wait()
        journal.open(5)
        async with asyncio.timeout(60):
            result = await call
        assert result.structured_content is not None
        assert result.structured_content["done"] == list(range(1, 11))
        # the session is known where it never was
        assert (await mcp.list_tools()).tools
    assert heard.numbers == sorted(set(heard.numbers))
    assert await hub.value("select count(*) from runs") == 1
    await hub.holds()


async def test_a_call_is_taken_back_after_its_replica_was_killed(hub: Cluster) -> None:
    await hub.start(servers=2, workers=1)
    first, second = hub.servers
    journal = hub.journal()
    async with session(first.url) as hand:
        async with hand.call(first.url, "ten_steps", journal.order(5)) as (request_id, _):
            await journal.reached(5)
            first.process.signal(signal.SIGKILL)
            await first.process.wait()
        taken_back = {"method": "notifications/cancelled", "params": {"requestId": request_id}}
        assert (await hand.post(second.url, taken_back)).status_code == 202
        await hub.holds()
    assert await hub.value("select status from runs") == "interrupted"
