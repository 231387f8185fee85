"""`agenthub conformance a2a`: which requirements an agent meets, over every binding of its card."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Final

import httpx
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agenthub.errors import Invalid, Unavailable
from agenthub_conformance.a2a import CHECKS, Outcome, run_all

COLOURS: Final = {"holds": "green", "fails": "red", "skipped": "yellow"}
PIPE_WIDTH: Final = 400


def run(args: argparse.Namespace) -> int:
    """Print the table; 1 when the agent fails what it must do, else 0.

    Raises:
        Unavailable: no agent answers there.
        Invalid: no requirement begins with `--only`.
    """
    checks = {id_: check for id_, check in CHECKS.items() if id_.startswith(args.only)}
    if not checks:
        raise Invalid(f"no requirement begins with {args.only!r}")
    headers = {"Authorization": f"Bearer {args.bearer}"} if args.bearer else None
    bindings = [args.binding] if args.binding else None
    try:
        checked = run_all(
            args.url, checks, headers=headers, bindings=bindings, webhook_host=args.webhook_host
        )
        outcomes = asyncio.run(checked)
    except (httpx.HTTPError, ValueError, LookupError) as away:
        kind = type(away).__name__
        raise Unavailable(f"there is no agent's card below {args.url} ({kind})") from None
    # a pipe has no width: whole rows, one a line
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(_table(outcomes))
    counts = {word: sum(o.verdict == word for o in outcomes) for word in COLOURS}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    console.print(f"{len(checks)} requirements, {len(outcomes)} checks: {told}")
    return 1 if any(o.verdict == "fails" and o.requirement.level == "MUST" for o in outcomes) else 0


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("requirement", "level", "binding", "verdict", "behaviour"):
        table.add_column(heading, overflow="fold")
    for outcome in outcomes:
        what = outcome.requirement
        told = Text(f"{what.sentence} (§{what.section})")
        if outcome.told:
            told.append(f"\n{outcome.told}", style="dim")
        verdict = Text(outcome.verdict, style=COLOURS[outcome.verdict])
        table.add_row(what.id, what.level, outcome.binding, verdict, told)
    return table
