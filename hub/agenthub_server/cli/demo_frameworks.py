"""`agenthub demo --framework NAME=PYTHON …`: the examples of frameworks in one hub, each in an environment of
its own, and each driven over three protocols: a task over A2A, its approval from MCP, its tokens over REST.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx
from a2a.client import ClientConfig, create_client
from a2a.types import GetTaskRequest, SendMessageRequest, TaskState
from google.protobuf.json_format import MessageToDict, ParseDict
from langgraph_sdk import get_client
from mcp import Client

from agenthub.errors import Invalid, Unavailable
from agenthub_server.cli.demo import MESSAGE, free_port, hub, say, stay, write
from agenthub_server.cli.new import EXAMPLES, example

FRAMEWORKS = tuple(name for name in EXAMPLES if name != "langgraph")
"""Those whose agents talk; LangGraph's is the quick start, which `agenthub demo` shows."""
PROJECT = Path(".agenthub/demo")
"""The project, which is written where the demo is started."""
START_SECONDS = 180
"""Workers start side by side, and the largest framework takes five seconds alone."""


def run(args: argparse.Namespace) -> int:
    """Show the frameworks that the arguments name.

    Raises:
        Invalid: one of them is no framework of ours, or has no interpreter.
        Unavailable: as `show`.
    """
    pythons: dict[str, Path] = {}
    for given in args.framework:
        name, _, python = given.partition("=")
        if name not in FRAMEWORKS or not Path(python).is_file():
            names = ", ".join(FRAMEWORKS)
            raise Invalid(f"--framework {given!r}: NAME=PYTHON, with a NAME out of {names}")
        # not resolved: an environment's python is a link, and is told apart by its place
        pythons[name] = Path(python).absolute()
    PROJECT.mkdir(parents=True, exist_ok=True)
    (PROJECT / "agenthub.toml").write_text(_project(PROJECT, pythons), "utf-8")
    asyncio.run(show(args.port or free_port(), list(pythons)))
    return 0


async def show(port: int, frameworks: Sequence[str]) -> None:
    """Serve the project and show each framework's agent.

    Raises:
        Unavailable: one of them does not start, or its protocols do not show the same.
    """
    async with hub(port, PROJECT, start_seconds=START_SECONDS) as (url, banner):
        say(banner)
        if "NOT AVAILABLE" in banner:
            raise Unavailable("not all of the examples could be started: see above")
        for framework in frameworks:
            say(f"\n{framework}: adapters/examples/{EXAMPLES[framework]}/refunds.py")
            await drive(url, framework)
        say("\nThe same run, the same result, over all three protocols, of each framework.")
        await stay()


def _project(folder: Path, pythons: Mapping[str, Path]) -> str:
    """The examples where they are: the modules of one are found beside it."""
    lines: list[str] = []
    for framework, python in pythons.items():
        # no name of a package that an example imports
        file = folder / f"{framework.replace('-', '_')}_example.py"
        file.write_text(_IMPORT.format(str(example(framework))), "utf-8")
        lines += [
            f"[agents.{framework}]",
            f'path = "./{file.name}:refunds"',
            f'environment = "{framework}"',
            f"[environments.{framework}]",
            f"python = {json.dumps(str(python))}",
        ]
    return "\n".join(lines)


_IMPORT = """import sys

sys.path.insert(0, {!r})
from refunds import refunds as refunds  # noqa: E402
"""


async def drive(url: str, agent: str) -> None:
    """One agent's transcript. Raises `Unavailable` when anything is not as promised."""
    async with httpx.AsyncClient(timeout=60) as http:
        config = ClientConfig(streaming=True, httpx_client=http)
        a2a = await create_client(f"{url}/agents/{agent}", config)
        say(f"A2A   > {MESSAGE}")
        part = {"role": "ROLE_USER", "parts": [{"text": MESSAGE}], "messageId": str(uuid4())}
        updates = a2a.send_message(ParseDict({"message": part}, SendMessageRequest()))
        task = (await anext(aiter(updates))).task
        say(f"A2A   < task {task.id} in context {task.context_id}")
        async for update in updates:
            if update.HasField("status_update"):
                say(f"A2A   < {TaskState.Name(update.status_update.status.state)}")
        rest = get_client(url=url)
        await _asked(rest, task.context_id)
        over_mcp = await _approved(url, task.id)
        over_rest = await _told(rest, task.context_id)
        await rest.aclose()
        done = await a2a.get_task(GetTaskRequest(id=task.id))
        artifact: Any = MessageToDict(done.artifacts[-1])
        over_a2a = _last(next(part["data"] for part in artifact["parts"] if "data" in part))
        say(f"A2A   < {TaskState.Name(done.status.state)}: {over_a2a}")
        await a2a.close()
    if not over_mcp == over_rest == over_a2a:
        raise Unavailable(f"the three protocols do not show the same result of {agent}")


async def _asked(rest: Any, thread_id: str) -> None:
    """The tools that ran, and the question, over REST."""
    state = await rest.threads.get_state(thread_id)
    for question in (one for step in state["tasks"] for one in step["interrupts"]):
        asked = question["value"]
        say(f"REST  < waits: {asked['prompt'].splitlines()[0]} {asked['payload']}")


async def _approved(url: str, task_id: str) -> str:
    async with Client(f"{url}/mcp") as mcp:
        say("MCP   > resume_run: approved")
        answer = {"task_id": task_id, "answer": {"approved": True}}
        result = await mcp.call_tool("resume_run", answer)
    body = result.structured_content
    if result.is_error or body is None:
        raise Unavailable(f"the approval was refused: {result.content}")
    said = _last(body.get("result", body))
    say(f"MCP   < {said}")
    return said


async def _told(rest: Any, thread_id: str) -> str:
    """The tokens of the run that went on, which every stream has for whoever comes late."""
    (run, *_) = await rest.runs.list(thread_id, limit=1)
    write("REST  < tokens:")
    stream = rest.runs.join_stream(thread_id, run["run_id"], stream_mode="messages-tuple")
    async for part in stream:
        if part.event == "messages":
            (chunk, _) = cast("list[dict[str, Any]]", part.data)
            if chunk["type"] == "AIMessageChunk" and chunk["content"]:
                write(f" |{chunk['content'].strip()}")
    say("")
    state = await rest.threads.get_state(thread_id)
    return _last(state["values"])


def _last(values: Any) -> str:
    return str(values["messages"][-1]["content"])
