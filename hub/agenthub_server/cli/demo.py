"""`agenthub demo`: one run over three protocols, driven by their official clients.

Starts the quick start as a user would, then: a task over A2A, its tokens over REST, its approval from
MCP, its result on all three. On a terminal the hub goes on serving; otherwise the demo ends.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx
from a2a.client import ClientConfig, create_client
from a2a.types import GetTaskRequest, SendMessageRequest, TaskState
from google.protobuf.json_format import MessageToDict, ParseDict
from langgraph_sdk import get_client
from mcp import Client

from agenthub.config import Config
from agenthub.errors import NotFound, Unavailable

QUICKSTART = Path(__file__).parents[3] / "adapters" / "examples" / "quickstart"
START_SECONDS = 60
MESSAGE = "My order A-17 arrived broken. I want my money back."


def run(config: Config, args: argparse.Namespace) -> int:
    """Start the hub, show the run, and stay if someone is watching."""
    del config
    if not QUICKSTART.exists():
        raise NotFound("the demo runs from a checkout of the repository; see the README")
    return asyncio.run(_demo(args.port or free_port()))


async def _demo(port: int) -> int:
    async with hub(port) as (url, banner):
        say(banner)
        await drive(url)
        await stay()
    return 0


async def stay() -> None:
    """Leave the hub to whoever is watching."""
    if not sys.stdout.isatty():
        return
    say("\nThe hub goes on serving; the command above prints client settings. Ctrl-C ends it.")
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()


@asynccontextmanager
async def hub(
    port: int, project: Path = QUICKSTART, *, start_seconds: float = START_SECONDS
) -> AsyncGenerator[tuple[str, str]]:
    """`agenthub dev` on a project, in a process of its own; its address and banner."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "agenthub_server",
        "dev",
        str(project),
        "--port",
        str(port),
        "--no-reload",
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        env=os.environ,
    )
    try:
        yield f"http://127.0.0.1:{port}", await _banner(process, start_seconds)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _banner(process: asyncio.subprocess.Process, start_seconds: float) -> str:
    assert process.stdout is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(start_seconds):
            while line := (await process.stdout.readline()).decode():
                lines.append(line)
                if "Ctrl-C stops everything" in line:
                    return "".join(lines)
    except TimeoutError:
        pass
    raise Unavailable("the hub did not start:\n" + "".join(lines))


async def drive(url: str) -> None:
    """The transcript. Raises when anything is not as promised."""
    async with httpx.AsyncClient(timeout=30) as http:
        a2a = await create_client(
            f"{url}/agents/refunds", ClientConfig(streaming=True, httpx_client=http)
        )
        say(f"A2A   > {MESSAGE}")
        body: dict[str, Any] = {
            "message": {
                "messageId": str(uuid4()),
                "role": "ROLE_USER",
                "parts": [{"text": MESSAGE}],
            }
        }
        updates = a2a.send_message(ParseDict(body, SendMessageRequest()))
        first = await anext(aiter(updates))
        task = first.task
        say(f"A2A   < task {task.id} in context {task.context_id}")

        await _watch(url, task.context_id, task.id)
        async for update in updates:
            if update.HasField("status_update"):
                say(f"A2A   < {TaskState.Name(update.status_update.status.state)}")

        result = await _approve(url, task.id)
        done = await a2a.get_task(GetTaskRequest(id=task.id))
        artifact: Any = MessageToDict(done.artifacts[-1])
        over_a2a = next(part["data"] for part in artifact["parts"] if "data" in part)
        say(f"A2A   < {TaskState.Name(done.status.state)}: {over_a2a}")
        rest = get_client(url=url)
        state = await rest.threads.get_state(task.context_id)
        say(f"REST  < thread state: {state['values']}")
        await rest.aclose()
        await a2a.close()
    over_mcp = {k: result[k] for k in ("order", "answer", "refunded", "note")}
    if not state["values"] == over_mcp == {**over_a2a, "refunded": int(over_a2a["refunded"])}:
        raise Unavailable("the three protocols do not show the same result")
    say("\nThe same run, the same result, over all three protocols.")


async def _watch(url: str, thread_id: str, run_id: str) -> None:
    """The tokens of the run, over REST, as they come."""
    rest = get_client(url=url)
    write("REST  < ")
    async for part in rest.runs.join_stream(thread_id, run_id, stream_mode="messages-tuple"):
        if part.event == "messages":
            chunk = cast("list[dict[str, Any]]", cast("Any", part).data)
            write(str(chunk[0]["content"]))
    say("")
    thread = await rest.threads.get(thread_id)
    for questions in thread["interrupts"].values():
        for question in questions:
            say(f"REST  < waits: {question['value']['question']}")
    await rest.aclose()


async def _approve(url: str, task_id: str) -> dict[str, Any]:
    """The approval, from MCP, of a task that was started elsewhere."""
    async with Client(f"{url}/mcp") as mcp:
        tools = await mcp.list_tools()
        say(f"MCP   > tools: {', '.join(tool.name for tool in tools.tools)}")
        say("MCP   > resume_run: approved, with a note")
        answer = {"approved": True, "note": "Sorry again!"}
        result = await mcp.call_tool("resume_run", {"task_id": task_id, "answer": answer})
        body = result.structured_content
        if result.is_error or body is None:
            raise Unavailable(f"the approval was refused: {result.content}")
        found = body.get("result", body)
        say(f"MCP   < {found}")
        return found


def say(text: str) -> None:
    """A line of the transcript."""
    print(text, flush=True)  # noqa: T201  # the command's own output


def write(text: str) -> None:
    """A part of a line."""
    print(text, end="", flush=True)  # noqa: T201


def free_port() -> int:
    """A port of this machine that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
