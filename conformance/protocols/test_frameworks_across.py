"""Agents of other frameworks on all surfaces: one hub, and for each framework a worker in its environment."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from agenthub_server.embedded import Postgres, Valkey
from protocols import a2a_client as a2a
from protocols import mcp_client as mcp
from protocols.rest_client import named, parts, rest
from testkit import hub
from testkit.environments import Unreachable, hub_environment
from testkit.frameworks import FRAMEWORKS
from testkit.processes import process

pytestmark = pytest.mark.slow
PATIENCE_SECONDS = 120
AGENTS = ("chat", "approver", "double")
DECLARED = """
[agents.{framework}-{agent}]
path = "{file}:{agent}"
environment = "{framework}"
"""
HUMAN = {"messages": [{"role": "user", "content": "go on"}]}


@pytest.fixture(scope="module")
async def hub_url(
    postgres: Postgres,
    valkey: Valkey,
    template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[str]:
    folder = tmp_path_factory.mktemp("frameworks")
    declared = [
        DECLARED.format(framework=framework, agent=agent, file=file)
        for framework, file in FRAMEWORKS.items()
        for agent in AGENTS
    ]
    (folder / "agenthub.toml").write_text("".join(declared), "utf-8")
    name = f"frameworks_{uuid4().hex}"
    admin = await asyncpg.connect(postgres.url("postgres"))
    await admin.execute(f"create database {name} template {template} strategy file_copy")
    await admin.close()
    config = hub.settings(postgres.url(name), valkey.url(15))
    async with AsyncExitStack() as stack:
        url, service = await stack.enter_async_context(hub.serving(config))
        for framework in FRAMEWORKS:
            worker = process(
                _worker(framework, folder),
                ready=re.compile(f"serves .*{framework}-chat"),
                env=_env(config, folder),
            )
            await stack.enter_async_context(worker)
        await service.agents.refresh()
        yield url


def _worker(framework: str, folder: Path) -> list[str | Path]:
    try:
        programs = hub_environment(framework)
    except Unreachable as why:
        pytest.skip(f"the environment of {framework} cannot be made: {why}")
    work = [programs / "python", "-m", "agenthub_server", "work", folder / "agenthub.toml"]
    return [*work, "--environment", framework]


def _env(config: Any, folder: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": config.database_url,
        "REDIS_URL": config.redis_url,
        "CONTRACT_NOTES": str(folder / "notes"),
    }


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("over", ["rest", "a2a", "mcp"])
async def test_a_pause_is_answered_on_any_surface(hub_url: str, framework: str, over: str) -> None:
    name = f"{framework}-approver"
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        rest(hub_url) as over_rest,
        a2a.agent(hub_url, name) as over_a2a,
        mcp.client(hub_url, mcp.MODERN) as over_mcp,
    ):
        task = await over_a2a.send("go on")
        assert a2a.state(task) == "INPUT_REQUIRED"
        assert "pay" in task.status.message.parts[0].text
        match over:
            case "rest":
                await over_rest.runs.wait(task.context_id, name, command={"resume": True})
            case "a2a":
                await over_a2a.send("yes", task=task)
            case _:
                answered = await over_mcp.call_tool(
                    "resume_run", {"task_id": task.id, "answer": {"approved": True}}
                )
                assert "it gave paid 7" in mcp.said(answered)
        done = await over_a2a.get(task)
        assert a2a.state(done) == "COMPLETED"
        # what a tool emits, wherever its framework runs it
        assert [a.parts[0].text for a in done.artifacts if a.name == "tool pay"] == ["tool pay"]
        messages = a2a.data(done)["messages"]
        assert [m["type"] for m in messages] == ["human", "ai", "tool", "ai"]
        assert messages[-1]["content"] == "it gave paid 7"
        thread: Any = await over_rest.threads.get(task.context_id)
        assert thread["values"]["messages"] == messages


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_conversation_streams_and_goes_on_from_surface_to_surface(
    hub_url: str, framework: str
) -> None:
    name = f"{framework}-chat"
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        rest(hub_url) as over_rest,
        a2a.agent(hub_url, name) as over_a2a,
        mcp.client(hub_url, mcp.MODERN) as over_mcp,
    ):
        thread_id = (await over_rest.threads.create())["thread_id"]
        stream = over_rest.runs.stream(
            thread_id, name, input=HUMAN, stream_mode=["messages-tuple", "updates", "values"]
        )
        found = await parts(stream)
        chunks = [chunk for chunk, _ in named(found, "messages")]
        assert len(chunks) >= 2
        assert "".join(c["content"] for c in chunks) == "turn 1: you said go on"
        assert [list(update) for update in named(found, "updates")] == [[name]]
        second = await over_mcp.call_tool(name, {"message": "hello", "thread_id": thread_id})
        assert mcp.said(second).startswith("turn 2: you said hello")
        third = await over_a2a.send("again", context_id=thread_id)
        assert a2a.data(third)["messages"][-1]["content"] == "turn 3: you said again"


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_two_questions_are_answered_one_by_one_and_a_new_input_reaches_who_waits(
    hub_url: str, framework: str
) -> None:
    name = f"{framework}-double"
    async with asyncio.timeout(PATIENCE_SECONDS), rest(hub_url) as over_rest:
        thread_id = (await over_rest.threads.create())["thread_id"]
        values: Any = await over_rest.runs.wait(thread_id, name, input=HUMAN)
        first, second = (i["id"] for i in values["__interrupt__"])
        partly: Any = await over_rest.runs.wait(
            thread_id, name, command={"resume": {first: {"action": "decline"}}}
        )
        assert [i["id"] for i in partly["__interrupt__"]] == [second]
        done: Any = await over_rest.runs.wait(thread_id, name, command={"resume": {second: True}})
        gave = [m["content"] for m in done["messages"] if m["type"] == "tool"]
        assert sum("paid" in text for text in gave) == 1
        again: Any = await over_rest.runs.wait(thread_id, name, input=HUMAN)
        assert len(again["__interrupt__"]) == 2
        said = {"messages": [{"role": "user", "content": "stop"}]}
        stopped: Any = await over_rest.runs.wait(thread_id, name, input=said)
        # it heard the message behind two calls that were not run, and asks for two new ones
        no = {i["id"]: False for i in stopped["__interrupt__"]}
        assert len(no) == 2
        ended: Any = await over_rest.runs.wait(thread_id, name, command={"resume": no})
        messages = ended["messages"]
        humans = [m["content"] for m in messages if m["type"] == "human"]
        assert humans == ["go on", "go on", "stop"]
        calls = [c["id"] for m in messages for c in m.get("tool_calls") or ()]
        outputs = {m["tool_call_id"]: m["content"] for m in messages if m["type"] == "tool"}
        assert sorted(calls) == sorted(outputs)
        assert sum("paid" in output for output in outputs.values()) == 1
