"""Who may end a run by going away, and who may not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from protocols.mcp_client import ERAS, LEGACY, Heard, client, http, open_session, said, task_of
from testkit.waiting import eventually


async def new_thread(rest: httpx.AsyncClient) -> str:
    return (await rest.post("/threads", json={})).json()["thread_id"]


async def run_of(rest: httpx.AsyncClient, thread_id: str) -> str:
    """The id of the only run of a thread."""

    async def only() -> str | None:
        runs = (await rest.get(f"/threads/{thread_id}/runs")).json()
        return runs[0]["run_id"] if runs else None

    found = await eventually(only)
    assert found is not None
    return found


def status_of(mcp: object, task_id: str) -> Callable[[], Awaitable[str]]:
    async def status() -> str:
        result = await mcp.call_tool("run_status", {"task_id": task_id})  # type: ignore[attr-defined]
        return result.structured_content["status"]

    return status


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_that_is_taken_back_cancels_its_run(hub_url: str, era: str) -> None:
    begun = asyncio.Event()
    heard = Heard(on=lambda _: begun.set())
    async with http(hub_url) as rest, client(hub_url, era) as mcp:
        thread_id = await new_thread(rest)
        arguments = {"text": "x", "thread_id": thread_id}
        call = asyncio.create_task(
            mcp.call_tool("wait_for_ever", arguments, progress_callback=heard)
        )
        async with asyncio.timeout(20):
            await begun.wait()
        call.cancel()
        await asyncio.wait([call])
        status = status_of(mcp, await run_of(rest, thread_id))

        async def cancelled() -> bool:
            return await status() == "cancelled"

        await eventually(cancelled, within=20)


async def test_a_handshake_client_that_only_disconnects_cancels_nothing(hub_url: str) -> None:
    async with http(hub_url) as rest, client(hub_url, LEGACY) as mcp:
        thread_id = await new_thread(rest)
        session = await open_session(rest)
        body = {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "tools/call",
            "params": {"name": "wait_for_ever", "arguments": {"text": "x", "thread_id": thread_id}},
        }
        async with rest.stream("POST", "/mcp", json=body, headers=session):
            task_id = await run_of(rest, thread_id)
        # Two whole calls later the server has long seen the connection close.
        await mcp.call_tool("echo", {"text": "x"})
        await mcp.call_tool("echo", {"text": "x"})
        assert await status_of(mcp, task_id)() == "working"
        ended = await mcp.call_tool("cancel_run", {"task_id": task_id})
    assert ended.structured_content["status"] == "cancelled"


@pytest.mark.parametrize("era", ERAS)
async def test_a_waiting_task_can_be_cancelled_and_then_takes_no_answer(
    hub_url: str, era: str
) -> None:
    async with client(hub_url, era) as mcp:
        task_id = task_of(await mcp.call_tool("approve", {"text": "x"}))
        cancelled = await mcp.call_tool("cancel_run", {"task_id": task_id})
        assert cancelled.structured_content["status"] == "cancelled"
        again = await mcp.call_tool("cancel_run", {"task_id": task_id})
        assert again.structured_content["status"] == "cancelled"
        refused = await mcp.call_tool("resume_run", {"task_id": task_id, "answer": True})
    assert refused.is_error
    assert "waits for no answer" in said(refused)
