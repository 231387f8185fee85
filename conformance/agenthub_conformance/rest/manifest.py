"""Checks by the requirement that they prove, and running them against a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import httpx

from agenthub_conformance.marks import told_by
from agenthub_conformance.rest.probe import Exchange, Probe
from agenthub_conformance.rest.requirements import REQUIREMENTS, Requirement

Check: TypeAlias = Callable[[Probe], Awaitable[None]]
Verdict: TypeAlias = Literal["holds", "fails", "skipped"]
AT_ONCE = 8
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a server did: `told` says why a requirement fails or was skipped."""

    requirement: Requirement
    verdict: Verdict
    told: str = ""
    exchanges: tuple[Exchange, ...] = ()


async def run_all(
    client: httpx.AsyncClient,
    checks: Mapping[str, Check],
    *,
    lenient: bool = False,
    at_once: int = AT_ONCE,
) -> list[Outcome]:
    """Run the checks against the server of this client, some at a time.

    Raises:
        httpx.TransportError: nobody answers there.
        httpx.HTTPStatusError: it does not list its assistants.
    """
    agents = await served(client)
    slots = asyncio.Semaphore(at_once)

    async def one(id_: str, check: Check) -> Outcome:
        async with slots:
            return await run_one(client, REQUIREMENTS[id_], check, agents, lenient=lenient)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(id_, check)) for id_, check in checks.items()]
    return [task.result() for task in tasks]


async def run_one(
    client: httpx.AsyncClient,
    what: Requirement,
    check: Check,
    agents: frozenset[str],
    *,
    lenient: bool = False,
) -> Outcome:
    """Run one check; skipped when the server lacks an agent that it needs."""
    missing = [name for name in what.agents if name not in agents]
    if missing:
        return Outcome(what, "skipped", f"no agent {', '.join(map(repr, missing))} is served")
    probe = Probe(client, lenient=lenient)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await check(probe)
    except TimeoutError:
        told = f"nothing came within {PATIENCE_SECONDS:g} s"
        return Outcome(what, "fails", told, tuple(probe.exchanges))
    except httpx.TransportError as broken:
        told = f"the connection broke: {type(broken).__name__}"
        return Outcome(what, "fails", told, tuple(probe.exchanges))
    except (AssertionError, LookupError, TypeError, ValueError, AttributeError) as wrong:
        # a body of another shape than the check takes apart is a failure of the server's
        told = told_by(wrong)
        return Outcome(what, "fails", told, tuple(probe.exchanges))
    return Outcome(what, "holds", exchanges=tuple(probe.exchanges))


async def served(client: httpx.AsyncClient) -> frozenset[str]:
    """The names of the graphs that the server runs."""
    response = await client.post("/assistants/search", json={"limit": 1000})
    response.raise_for_status()
    return frozenset(found["graph_id"] for found in response.json())
