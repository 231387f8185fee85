"""A caller's trace goes on inside the agent, whatever the protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from protocols.mcp_client import http, modern_call, modern_headers
from testkit.hub import hub, settings

AGENT = """
from langgraph.func import entrypoint, task
from opentelemetry import trace


@task
async def inside() -> str:
    return format(trace.get_current_span().get_span_context().trace_id, "032x")


@entrypoint()
async def traced(_: str) -> str:
    return await inside()
"""
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
async def url(dsn: str, redis_url: str, tmp_path: Path) -> AsyncGenerator[str]:
    agent = tmp_path / "traced_agent.py"
    agent.write_text(AGENT, "utf-8")
    async with hub(settings(dsn, redis_url), agent) as url:
        yield url


async def test_a_callers_trace_goes_on_inside_the_agent(url: str) -> None:
    async with http(url) as raw:
        body = {"assistant_id": "traced", "input": "x"}
        rest = await raw.post("/runs/wait", json=body, headers={"traceparent": PARENT})
        assert rest.json() == TRACE
        call = modern_call("traced", {"input": "x"})
        call["params"]["_meta"]["traceparent"] = PARENT
        headers = modern_headers("tools/call", "traced")
        mcp = (await raw.post("/mcp", json=call, headers=headers)).json()
        assert mcp["result"]["structuredContent"]["result"] == TRACE
        # a run without one belongs to none, and not to that of the run before
        assert (await raw.post("/runs/wait", json=body)).json() == "0" * 32
