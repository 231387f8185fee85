"""One hub, and beside a LangGraph agent with MCP tools the examples of all other frameworks, each in the
environment that its packages need; the server has an `mcp` that some of them could not live with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from agenthub_server.cli import demo_frameworks
from faults import clients
from faults.cluster import HUB, compiled, knows
from faults.test_dev import BANNER
from testkit.environments import ROOT, Unreachable, hub_environment
from testkit.frameworks import FRAMEWORKS
from testkit.processes import free_port, process
from testkit.servers import scratch_folder, suite_environment

EXAMPLES = ROOT / "adapters" / "examples"
TOOLS = '''
from mcp.server.fastmcp import FastMCP

server = FastMCP("weather")

@server.tool()
def weather(city: str) -> str:
    """Tells the weather."""
    return f"sunny in {city}"

server.run("stdio")
'''
FORECAST = '''
import sys
from importlib.metadata import version
from pathlib import Path

from langchain_mcp_adapters.client import MultiServerMCPClient
from langgraph.func import entrypoint

TOOLS = str(Path(__file__).with_name("tools.py"))
SERVER = {"transport": "stdio", "command": sys.executable, "args": [TOOLS]}

@entrypoint()
async def forecast(city: str) -> dict[str, str]:
    """Asks an MCP server."""
    (tool,) = await MultiServerMCPClient({"weather": SERVER}).get_tools()
    (block,) = await tool.ainvoke({"city": city})
    return {"said": block["text"], "mcp": version("mcp")}
'''
SAID = "Please refund order A-17, it arrived broken."
PAID = "I am sorry about that. 42 EUR for order A-17 are on their way."
STORY = ["human", "ai", "tool", "ai", "tool", "ai"]


def describe(project: Path, environments: dict[str, Path]) -> None:
    """A project with all of them; each example's files under names of their own."""
    toml = ['[agents.forecast]\npath = "./forecast.py:forecast"\nenvironment = "langchain-mcp"']
    for framework in FRAMEWORKS:
        name = framework.replace("-", "_")
        for file in ("refunds", "scripted"):
            code = (EXAMPLES / name / f"{file}.py").read_text("utf-8")
            code = code.replace("from scripted import", f"from {name}_scripted import")
            (project / f"{name}_{file}.py").write_text(code, "utf-8")
        path = f"./{name}_refunds.py:refunds"
        toml.append(f'[agents.{framework}]\npath = "{path}"\nenvironment = "{framework}"')
    for name, python in environments.items():
        toml.append(f'[environments.{name}]\npython = "{python}"')
    (project / "agenthub.toml").write_text("\n".join(toml), "utf-8")
    (project / "forecast.py").write_text(FORECAST, "utf-8")
    (project / "tools.py").write_text(TOOLS, "utf-8")


@pytest.fixture(scope="module")
async def url() -> AsyncGenerator[str]:
    """The hub, when it knows them all."""
    try:
        made = {n: hub_environment(n) / "python" for n in (*FRAMEWORKS, "langchain-mcp")}
    except Unreachable as why:
        pytest.skip(f"an environment cannot be made: {why}")
    port = free_port()
    environ = {**suite_environment(), **compiled(), "AGENTHUB_EXAMPLE_MODEL": "scripted"}
    argv = [*HUB, "dev", ".", "--port", str(port), "--no-reload"]
    with scratch_folder(in_memory=True) as folder:
        describe(folder, made)
        async with process(argv, ready=BANNER, cwd=folder, env=environ):
            yield await _knowing(port)


async def _knowing(port: int) -> str:
    url = f"http://127.0.0.1:{port}"
    for agent in (*FRAMEWORKS, "forecast"):
        await knows(url, agent, within=120)
    return url


@pytest.mark.slow
async def test_agents_of_all_frameworks_live_in_one_hub(url: str) -> None:
    said = await ask(url, "forecast", "Oslo")
    assert said["said"] == "sunny in Oslo"
    assert (said["mcp"][:2], version("mcp")[:4]) == ("1.", "2.3.")
    await asyncio.gather(*(refund(url, framework) for framework in FRAMEWORKS))


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_the_demo_shows_the_example_of_each(
    url: str, framework: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await demo_frameworks.drive(url, framework)
    told = capsys.readouterr().out
    assert told.count("42 EUR for order A-17 are on their way.\n") == 2
    assert "REST  < waits: " in told
    assert "A2A   < TASK_STATE_COMPLETED" in told


async def ask(url: str, agent: str, given: Any) -> Any:
    async with clients.rest(url) as client:
        return await client.runs.wait(None, agent, input=given)


async def refund(url: str, agent: str) -> None:
    """A turn that looks an order up and waits for a yes, which comes over MCP, and one that does not."""
    async with clients.rest(url) as client:
        thread = (await client.threads.create())["thread_id"]
        run = await client.runs.create(thread, agent, input=message(SAID))
        waits = await client.runs.join(thread, run["run_id"])
        ((question,),) = (await client.threads.get(thread))["interrupts"].values()
        asked = question["value"]
        assert (asked["kind"], asked["key"]) == ("approval", "refund"), (agent, waits)
        assert asked["payload"] == {"tool": "refund", "args": {"number": "A-17", "amount": 42}}
        async with Client(f"{url}/mcp") as mcp:
            answer = {"task_id": run["run_id"], "answer": {"approved": True}}
            done = await mcp.call_tool("resume_run", answer)
        assert not done.is_error, (agent, done)
        state: Any = await client.threads.get_state(thread)
        told = state["values"]["messages"]
        assert [m["type"] for m in told] == STORY, (agent, told)
        assert told[-1]["content"] == PAID, (agent, told)
        (last, *_) = await client.runs.list(thread, limit=1)
        pieces = await streamed(client, thread, last["run_id"])
        assert len(pieces) > 2, (agent, pieces)
        assert "".join(pieces) == PAID, (agent, pieces)
        after: Any = await client.runs.wait(thread, agent, input=message("Thanks!"))
        assert after["messages"][:-2] == told, (agent, after)
        assert "You are welcome" in str(after["messages"][-1]["content"]), (agent, after)


async def streamed(client: Any, thread: str, run: str) -> list[str]:
    """The pieces of what a run said, which its stream still has."""
    parts = [p async for p in client.runs.join_stream(thread, run, stream_mode="messages-tuple")]
    chunks = [part.data[0] for part in parts if part.event == "messages"]
    return [c["content"] for c in chunks if c["type"] == "AIMessageChunk" and c["content"]]


def message(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}
