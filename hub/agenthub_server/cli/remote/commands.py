"""The commands' grammar, and the one place where each is run."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from rich.console import Console

from agenthub.config import Config
from agenthub_server.cli.banner import base_url
from agenthub_server.cli.remote import runs, things
from agenthub_server.cli.remote.api import Api, connect

URL = "AGENTHUB_URL"
STATUSES = ("pending", "running", "success", "error", "timeout", "interrupted")

Verb: TypeAlias = Callable[[Api, Console, argparse.Namespace], Awaitable[None]]
VERBS: dict[str, dict[str, Verb]] = {
    "runs": {"list": runs.list_, "show": runs.show_, "follow": runs.follow, "cancel": runs.cancel},
    "threads": {"list": things.list_, "show": things.show_, "delete": things.delete},
    "crons": {
        "list": things.list_,
        "show": things.show_,
        "history": things.history,
        "run": things.fire,
        "enable": things.enable,
        "disable": things.enable,
        "delete": things.delete,
    },
    "assistants": {"list": things.list_, "show": things.show_, "delete": things.delete},
}


def add_commands(commands: argparse._SubParsersAction[Any]) -> None:  # pyright: ignore[reportPrivateUsage]  # it has no other name
    """Add `runs`, `threads`, `crons` and `assistants` to the command line."""
    for noun, verbs in VERBS.items():
        group = commands.add_parser(noun, help=f"look at the {noun} of a running hub")
        inside = group.add_subparsers(dest="verb", required=True, metavar="VERB")
        for verb, act in verbs.items():
            command = inside.add_parser(verb, help=act.__doc__, description=act.__doc__)
            command.add_argument(
                "--url", help=f"the hub's address (default: ${URL}, or this machine)"
            )
            command.add_argument("--json", action="store_true", help="print JSON")
            if verb != "list":
                command.add_argument("id", metavar="ID")
            if verb in ("list", "history"):
                command.add_argument("--limit", type=int, default=20, help="how many (default 20)")
            if (noun, verb) == ("runs", "list"):
                command.add_argument("--status", choices=STATUSES)
                command.add_argument("--thread", metavar="ID", help="of this thread")
                command.add_argument("--assistant", metavar="NAME", help="of this assistant")
            if (noun, verb) == ("threads", "list"):
                command.add_argument("--status", choices=("idle", "busy", "interrupted", "error"))
            if (noun, verb) == ("runs", "cancel"):
                command.add_argument("--rollback", action="store_true", help="and undo what it did")


def run(config: Config, args: argparse.Namespace) -> int:
    """Run one of them against the hub."""
    url = args.url or os.environ.get(URL) or base_url(config)
    asyncio.run(_run(url, args))
    return 0


async def _run(url: str, args: argparse.Namespace) -> None:
    # a pipe has no width: whole rows, one a line
    width = None if sys.stdout.isatty() else 400
    console = Console(width=width, soft_wrap=not sys.stdout.isatty())
    async with connect(url) as api:
        await VERBS[args.command][args.verb](api, console, args)
