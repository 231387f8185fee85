"""`agenthub conformance`: which requirements of a protocol a server meets, as one table. REST's is here."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agenthub.config import Config
from agenthub.errors import Invalid, Unavailable
from agenthub_conformance.rest import CHECKS, Outcome, connection, run_all
from agenthub_server.cli import conformance_adapter, conformance_mcp
from agenthub_server.cli.banner import base_url

COLOURS = {"holds": "green", "fails": "red", "skipped": "yellow", "lacks": "yellow"}
PIPE_WIDTH = 400


def add_command(commands: argparse._SubParsersAction[Any]) -> None:  # pyright: ignore[reportPrivateUsage]  # it has no other name
    """Add `conformance` to the command line."""
    help_ = "check any server against the requirements of a protocol"
    group = commands.add_parser("conformance", help=help_)
    inside = group.add_subparsers(dest="protocol", required=True, metavar="PROTOCOL")
    rest = inside.add_parser(
        "rest",
        help="the Agent Server's REST surface",
        description="Checks a server that runs the agents of "
        "agenthub_conformance/fixtures/rest_agents.py; exits with 1 when a requirement fails.",
    )
    _which(rest)
    mcp = inside.add_parser(
        "mcp",
        help="MCP: the official suite, and what it leaves out",
        description="Checks a server that has the tools of the official suite: on a hub, the agents of "
        "agenthub_conformance/fixtures/mcp_suite.toml and AGENTHUB_MCP_FIXTURES=1. The official suite "
        "needs Node 22 or newer; exits with 1 when something fails.",
    )
    _which(mcp)
    mcp.add_argument("--json", action="store_true", help="print JSON instead of a table")
    conformance_adapter.add_command(inside)
    _a2a_command(inside)


def _a2a_command(inside: argparse._SubParsersAction[Any]) -> None:  # pyright: ignore[reportPrivateUsage]  # it has no other name
    a2a = inside.add_parser(
        "a2a",
        help="A2A 1.0, over every binding that the agent's card names",
        description="Checks an agent that answers to the suite's prefixes, like the one that `agenthub dev "
        "--conformance` serves; exits with 1 when a MUST fails. Needs the packages of agenthub[grpc].",
    )
    a2a.add_argument("--url", required=True, help="what the agent's card is below")
    a2a.add_argument("--bearer", help="a token, sent with every call")
    a2a.add_argument("--binding", choices=("JSONRPC", "HTTP+JSON", "GRPC"), help="only this one")
    a2a.add_argument(
        "--webhook-host",
        metavar="HOST",
        help="an address of this machine that the agent's server may send push notifications to",
    )
    a2a.add_argument("--only", default="", metavar="ID", help="requirements that begin with this")


def _which(command: argparse.ArgumentParser) -> None:
    command.add_argument("--url", help="the server's address (default: this machine's hub)")
    command.add_argument("--key", help="an API key, sent as x-api-key")
    command.add_argument(
        "--only", default="", metavar="ID", help="requirements that begin with this"
    )


def run(config: Config, args: argparse.Namespace) -> int:
    """Print the table; 1 when the server fails a requirement of the contract, else 0.

    Raises:
        Unavailable: no server answers there.
        Invalid: no requirement begins with `--only`.
    """
    if args.protocol == "adapter":
        return conformance_adapter.run(args)
    if args.protocol == "a2a":
        from agenthub_server.cli import conformance_a2a

        return conformance_a2a.run(args)
    if args.protocol == "mcp":
        return conformance_mcp.run(config, args)
    url: str = args.url or base_url(config)
    checks = {id_: check for id_, check in CHECKS.items() if id_.startswith(args.only)}
    if not checks:
        raise Invalid(f"no requirement begins with {args.only!r}")
    outcomes = asyncio.run(_outcomes(url, args.key, checks))
    # a pipe has no width: whole rows, one a line
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(_table(outcomes))
    counts = {word: sum(_verdict(o) == word for o in outcomes) for word in COLOURS}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    console.print(f"{len(outcomes)} requirements: {told}")
    return 1 if counts["fails"] else 0


async def _outcomes(url: str, key: str | None, checks: dict[str, Any]) -> list[Outcome]:
    try:
        async with connection(url, {"x-api-key": key} if key else None) as client:
            return await run_all(client, checks)
    except httpx.TransportError as unreachable:
        kind = type(unreachable).__name__
        raise Unavailable(f"no server answers at {url} ({kind})") from None
    except (httpx.HTTPStatusError, LookupError, TypeError, ValueError):
        raise Unavailable(f"the server at {url} does not list its assistants") from None


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("requirement", "verdict", "behaviour"):
        table.add_column(heading, overflow="fold")
    for outcome in outcomes:
        verdict = _verdict(outcome)
        told = Text(outcome.requirement.behaviour)
        if outcome.told:
            told.append(f"\n{outcome.told}", style="dim")
        table.add_row(outcome.requirement.id, Text(verdict, style=COLOURS[verdict]), told)
    return table


def _verdict(outcome: Outcome) -> str:
    """An extension of ours that another server has not is no failure of its own."""
    lacks = outcome.verdict == "fails" and outcome.requirement.extension
    return "lacks" if lacks else outcome.verdict
