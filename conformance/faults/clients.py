"""Clients of all surfaces, each with what it has seen so far, so that a test can break things meanwhile."""

from __future__ import annotations

from typing import Any

from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from faults.cluster import Cluster
from protocols import a2a_client, mcp_client

MODES: Any = ["values", "updates", "custom", "messages-tuple"]
"""All that is recorded: such a stream shows every event of a log."""


def rest(url: str) -> LangGraphClient:
    """The official client."""
    return get_client(url=url, api_key=None)


async def start(url: str, agent: str, order: dict[str, Any]) -> dict[str, Any]:
    """Start a run over REST."""
    async with rest(url) as client:
        thread = await client.threads.create()
        run = await client.runs.create(thread["thread_id"], agent, input=order)
    return dict(run)


async def output(url: str, run: dict[str, Any]) -> Any:
    """Wait for a run's output."""
    async with rest(url) as client:
        return await client.runs.join(run["thread_id"], run["run_id"])


async def join(url: str, run: dict[str, Any], seen: list[Any], last: str | None = None) -> None:
    """Follow a run over REST, from an event on."""
    async with rest(url) as client:
        stream = client.runs.join_stream(
            run["thread_id"], run["run_id"], stream_mode=MODES, last_event_id=last
        )
        async for part in stream:
            seen.append(part)  # noqa: PERF401  # others look at it meanwhile


async def stream(hub: Cluster, order: dict[str, Any], seen: list[Any]) -> None:
    """Start a run over REST and follow it."""
    async with rest(hub.url) as client:
        thread = await client.threads.create()
        stream = client.runs.stream(
            thread["thread_id"], "ten_steps", input=order, stream_mode=MODES
        )
        async for part in stream:
            seen.append(part)  # noqa: PERF401  # as above


async def send(hub: Cluster, order: dict[str, Any], seen: list[Any]) -> Any:
    """Start a task over A2A and follow it; returns the task at its end."""
    async with a2a_client.agent(hub.url, "ten_steps", streaming=True) as agent:
        async for event in agent.stream(order):
            seen.append(event)  # noqa: PERF401  # as above
        return await agent.get(seen[0].task)


async def subscribe(url: str, task_id: str, seen: list[Any]) -> Any:
    """Follow a task over A2A; returns it as it stands at its end."""
    async with a2a_client.agent(url, "ten_steps", streaming=True) as agent:
        task = a2a_client.Task(id=task_id)
        async for event in agent.subscribe(task):
            seen.append(event)  # noqa: PERF401  # as above
        return await agent.get(task)


async def call(hub: Cluster, order: dict[str, Any], era: str) -> tuple[Any, mcp_client.Heard]:
    """Call the agent over MCP."""
    heard = mcp_client.Heard()
    async with mcp_client.client(hub.url, era) as client:
        result = await client.call_tool("ten_steps", order, progress_callback=heard)
    return result, heard


def told(events: list[Any]) -> str:
    """The artifact `output` as a reader of these A2A events has it at the end."""
    first = events[0].task
    begun = a2a_client.text(first, "output") if first.artifacts else ""
    return a2a_client.streamed(events, "output", begun)
