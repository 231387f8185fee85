"""`agenthub mcp`: MCP over standard input and output, and what to paste into clients.

With `--url`, a bridge to a hub that runs; with a project, a hub of its own, which ends with it. Clients
read standard output, so whatever else there is to say goes to standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agenthub.config import Config
from agenthub.errors import Invalid, Unavailable
from agenthub.project import read_project
from agenthub_server.cli import settings
from agenthub_server.cli.banner import base_url

START_SECONDS = 120.0
"""How long a hub may take to start: the first time it unpacks its database."""
STOP_SECONDS = 15.0
READY = "Agent Hub on "


def add_command(commands: argparse._SubParsersAction[Any]) -> None:  # pyright: ignore[reportPrivateUsage]  # it has no other name
    """Add `mcp` to the command line."""
    command = commands.add_parser(
        "mcp",
        help="serve MCP over standard input and output, for clients that launch commands",
        description="Without --url and PROJECT, a bridge to this machine's hub.",
    )
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--stdio", action="store_true", help="speak MCP on standard input and output")
    what.add_argument("--settings", action="store_true", help="print what to paste into clients")
    command.add_argument("--url", help="the address of a running hub, or of its /mcp/AGENT")
    command.add_argument("--key", help="an API key, sent as x-api-key")
    command.add_argument(
        "project", nargs="?", type=Path, help="a project to serve; a hub is started for it"
    )


def run(config: Config, args: argparse.Namespace) -> int:
    """Bridge until standard input ends, or print the settings.

    Raises:
        Invalid: both an address and a project are given.
        Unavailable: the hub of the project does not start.
    """
    url: str = args.url or base_url(config)
    if args.settings:
        print(settings.text(endpoint(url)))  # noqa: T201  # the command's own output
        return 0
    if args.url and args.project:
        raise Invalid("give either --url or a project, not both")
    headers = {"x-api-key": args.key} if args.key else {}
    project: Path | None = args.project
    asyncio.run(_stdio(url, headers, None if project is None else project.resolve()))
    return 0


def endpoint(url: str) -> str:
    """The MCP endpoint of a hub's address, which may be an endpoint already."""
    url = url.rstrip("/")
    return url if "/mcp" in url else f"{url}/mcp"


async def _stdio(url: str, headers: dict[str, str], project: Path | None) -> None:
    # a worker's environment has no protocols
    from agenthub_mcp.stdio import bridge

    if project is None:
        await bridge(endpoint(url), headers)
        return
    async with _hub(project) as own:
        await bridge(endpoint(own), headers)


@asynccontextmanager
async def _hub(project: Path) -> AsyncGenerator[str]:
    """A hub for a project, in a process of its own that ends with this one, however that ends."""
    root = read_project(project).root
    port = _free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agenthub_server", "dev", str(project)),
        *("--port", str(port), "--no-reload", "--stop-with-stdin"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # its data goes beside the project: clients launch commands from anywhere
        cwd=root,
        # not the terminal's Ctrl-C, which ends us, and then it
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    forwarding: asyncio.Task[None] | None = None
    try:
        await _ready(process.stdout)
        forwarding = asyncio.create_task(_forward(process.stdout))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        if forwarding is not None:
            forwarding.cancel()


async def _ready(output: asyncio.StreamReader) -> None:
    try:
        async with asyncio.timeout(START_SECONDS):
            while line := await output.readline():
                _tell(line)
                if line.decode().startswith(READY):
                    return
    except TimeoutError:
        pass
    raise Unavailable("the hub did not start; what it said stands above")


async def _forward(output: asyncio.StreamReader) -> None:
    while line := await output.readline():
        _tell(line)


def _tell(line: bytes) -> None:
    print(line.decode(errors="replace"), end="", file=sys.stderr, flush=True)  # noqa: T201  # the hub's own words


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
