"""Checks by the requirement that they prove, and running them against a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import httpx

from agenthub_conformance.marks import told_by
from agenthub_conformance.mcp.probe import Probe
from agenthub_conformance.mcp.requirements import REQUIREMENTS, Requirement

Check: TypeAlias = Callable[[Probe], Awaitable[None]]
Verdict: TypeAlias = Literal["holds", "fails", "lacks", "skipped"]
AT_ONCE: Final = 8
PATIENCE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a server did: `told` says why a requirement does not hold or was skipped."""

    requirement: Requirement
    verdict: Verdict
    told: str = ""


async def run_all(
    url: str, checks: Mapping[str, Check], headers: Mapping[str, str] | None = None
) -> list[Outcome]:
    """Run the checks against an MCP endpoint, some at a time.

    Raises:
        httpx.TransportError: nobody answers there.
        AssertionError: it does not list its tools.
    """
    probe = Probe(url, dict(headers or {}))
    session = await probe.session()
    tools = frozenset(t["name"] for t in (await session.request("tools/list")).result["tools"])
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(id_: str, check: Check) -> Outcome:
        async with slots:
            return await _run_one(Probe(url, dict(headers or {})), REQUIREMENTS[id_], check, tools)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(id_, check)) for id_, check in checks.items()]
    return [task.result() for task in tasks]


async def _run_one(probe: Probe, what: Requirement, check: Check, tools: frozenset[str]) -> Outcome:
    missing = [name for name in what.tools if name not in tools]
    if missing:
        return Outcome(what, "skipped", f"there is no tool {', '.join(map(repr, missing))}")
    # only a server of several replicas promises what the specification leaves open
    wrong: Verdict = "lacks" if what.level == "HUB" else "fails"
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await check(probe)
    except TimeoutError:
        return Outcome(what, wrong, f"nothing came within {PATIENCE_SECONDS:g} s")
    except httpx.TransportError as broken:
        return Outcome(what, wrong, f"the connection broke: {type(broken).__name__}")
    except (AssertionError, LookupError, TypeError, ValueError, AttributeError) as failed:
        # a body of another shape than the check takes apart is a failure of the server's
        return Outcome(what, wrong, told_by(failed))
    return Outcome(what, "holds")
