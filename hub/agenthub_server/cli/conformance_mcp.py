"""`agenthub conformance mcp`: the official suite and our own requirements, as one table or as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict, dataclass

import httpx
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agenthub.config import Config
from agenthub.errors import Invalid, Unavailable
from agenthub_conformance.mcp import CHECKS, Outcome, run_all
from agenthub_conformance.mcp.official import SUITES, Check, NoNode, npx, run_suite
from agenthub_server.cli.banner import base_url

COLOURS = {"holds": "green", "fails": "red", "skipped": "yellow", "lacks": "yellow"}
PIPE_WIDTH = 400
OFFICIAL = "official:"
"""How the scenarios of the official suite begin, for `--only`."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: one requirement of ours, or one scenario of the official suite."""

    suite: str
    id: str
    level: str
    verdict: str
    sentence: str
    told: str = ""


def run(config: Config, args: argparse.Namespace) -> int:
    """Print what holds; 1 when something that the specification wants does not, else 0.

    Raises:
        Unavailable: no MCP server answers there.
        Invalid: no requirement begins with `--only`.
    """
    url = _endpoint(args.url or base_url(config))
    only: str = args.only
    checks = {id_: check for id_, check in CHECKS.items() if id_.startswith(only)}
    with_official = OFFICIAL.startswith(only) or only.startswith(OFFICIAL)
    if not checks and not with_official:
        raise Invalid(f"no requirement begins with {args.only!r}")
    headers = {"x-api-key": args.key} if args.key else {}
    try:
        rows = [_row(o) for o in asyncio.run(run_all(url, checks, headers))]
    except httpx.TransportError as unreachable:
        kind = type(unreachable).__name__
        raise Unavailable(f"no server answers at {url} ({kind})") from None
    except (AssertionError, LookupError, TypeError, ValueError):
        raise Unavailable(f"the server at {url} does not list its tools over MCP") from None
    note = ""
    if with_official:
        official, note = asyncio.run(_official(url))
        rows += [row for row in official if row.id.startswith(only)]
    counts = {word: sum(row.verdict == word for row in rows) for word in COLOURS}
    if args.json:
        told = {"url": url, "counts": counts, "note": note, "rows": [asdict(row) for row in rows]}
        print(json.dumps(told, indent=2))  # noqa: T201  # the command's own output
    else:
        # a pipe has no width: whole rows, one a line
        console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
        console.print(_table(rows))
        if note:
            console.print(note)
        said = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        console.print(f"{len(rows)} requirements and scenarios: {said}")
    return 1 if counts["fails"] else 0


async def _official(url: str) -> tuple[list[Row], str]:
    """The scenarios of the official suite; none, and a sentence why, where it cannot run."""
    rows: list[Row] = []
    try:
        for suite in SUITES:
            checks = await run_suite(await npx(suite.version), url, suite)
            rows += _scenarios(suite.name, checks)
    except NoNode as missing:
        return rows, f"Without the official suite: {missing}."
    except (TimeoutError, RuntimeError, OSError) as failed:
        return rows, f"The official suite could not run to its end: {failed or 'it took too long'}."
    return rows, ""


def _scenarios(suite: str, checks: list[Check]) -> list[Row]:
    found: dict[str, list[Check]] = {}
    for check in checks:
        found.setdefault(check.scenario, []).append(check)
    rows: list[Row] = []
    for scenario, own in found.items():
        wrong = [f"{check.id}: {check.told}" for check in own if check.failed]
        held = sum(check.status == "success" for check in own)
        verdict = "fails" if wrong else "holds" if held else "skipped"
        sentence = f"{held} checks hold"
        told = "\n".join(wrong)
        rows.append(Row(suite, OFFICIAL + scenario, "MUST", verdict, sentence, told))
    return rows


def _row(outcome: Outcome) -> Row:
    what = outcome.requirement
    return Row("Agent Hub", what.id, what.level, outcome.verdict, what.sentence, outcome.told)


def _table(rows: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("suite", "requirement", "level", "verdict", "behaviour"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        told = Text(row.sentence)
        if row.told:
            told.append(f"\n{row.told}", style="dim")
        verdict = Text(row.verdict, style=COLOURS[row.verdict])
        table.add_row(row.suite, row.id, row.level, verdict, told)
    return table


def _endpoint(url: str) -> str:
    url = url.rstrip("/")
    # the official suite wants the name, and not the number, of this machine
    url = url.replace("//127.0.0.1", "//localhost", 1)
    return url if url.endswith("/mcp") or "/mcp/" in url else f"{url}/mcp"
