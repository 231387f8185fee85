"""`agenthub conformance adapter`: which behaviours of the adapter contract an adapter keeps."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agenthub.errors import Invalid

COLOURS = {"holds": "green", "fails": "red", "skipped": "yellow"}
PIPE_WIDTH = 400
CONTRACT = "agenthub_conformance.adapter"


def add_command(inside: argparse._SubParsersAction[Any]) -> None:  # pyright: ignore[reportPrivateUsage]  # it has no other name
    """Add `adapter` to the command line."""
    command = inside.add_parser(
        "adapter",
        help="the contract of a framework's adapter",
        description="Runs the agents of MODULE_OR_FILE:OBJECT, an "
        "agenthub_conformance.adapter.Fixtures; exits with 1 when a behaviour fails.",
    )
    command.add_argument("target", metavar="MODULE:OBJECT")
    command.add_argument(
        "--python",
        default=sys.executable,
        metavar="PATH",
        help="the framework's environment, which has the hub too (default: this one)",
    )
    command.add_argument("--only", default="", metavar="ID", help="behaviours that begin with this")


def run(args: argparse.Namespace) -> int:
    """Print the table; 1 when a behaviour fails.

    Raises:
        Invalid: the fixtures cannot be loaded there, or no behaviour begins with `--only`.
    """
    argv = [args.python, "-m", CONTRACT, args.target, "--only", args.only]
    try:
        # frameworks say things while they are imported: a line of ours is one of JSON
        done = subprocess.run(argv, check=False, capture_output=True, text=True)  # noqa: S603  # the user names it
    except OSError as error:
        raise Invalid(f"{args.python} cannot be run: {error.strerror}") from None
    outcomes = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"id"')]
    if not outcomes:
        told = done.stderr.strip().splitlines()
        raise Invalid(told[-1] if told else f"no behaviour begins with {args.only!r}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("behaviour", "verdict", "what it is"):
        table.add_column(heading, overflow="fold")
    for outcome in outcomes:
        told = Text(outcome["behaviour"])
        if outcome["told"]:
            told.append(f"\n{outcome['told']}", style="dim")
        verdict: str = outcome["verdict"]
        table.add_row(outcome["id"], Text(verdict, style=COLOURS[verdict]), told)
    # a pipe has no width: whole rows, one a line
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(table)
    counts = {word: sum(o["verdict"] == word for o in outcomes) for word in COLOURS}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    console.print(f"{len(outcomes)} behaviours: {told}")
    return done.returncode
