"""Checks by the requirement that they prove, and running them over every binding of an agent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import httpx

from agenthub_conformance.a2a.probe import EXTENSIONS, VERSION, Json, Probe, Refused, Unsendable
from agenthub_conformance.a2a.requirements import REQUIREMENTS, Requirement
from agenthub_conformance.a2a.webhook import Webhook, receiving

Check: TypeAlias = Callable[[Probe], Awaitable[None]]
Verdict: TypeAlias = Literal["holds", "fails", "skipped"]
AT_ONCE: Final = 8
LIMIT_SECONDS: Final = 30.0
CARD: Final = "/.well-known/agent-card.json"


class Skipped(Exception):
    """The server has not what the requirement is about."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an agent did over one binding: `told` says why a requirement fails or was skipped."""

    requirement: Requirement
    binding: str
    verdict: Verdict
    told: str = ""


async def run_all(
    url: str,
    checks: Mapping[str, Check],
    *,
    headers: Mapping[str, str] | None = None,
    bindings: Collection[str] | None = None,
    webhook_host: str | None = None,
) -> list[Outcome]:
    """Run the checks against the agent whose card is below `url`, over every binding of 1.0 that it
    names, or over `bindings` of them. `webhook_host` is an address of this machine that the server may
    send push notifications to.

    Raises:
        httpx.HTTPError: nobody answers there, or there is no card.
        ValueError: what is there is no card.
    """
    slots = asyncio.Semaphore(AT_ONCE)
    base = url.rstrip("/").removesuffix(CARD)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            httpx.AsyncClient(timeout=LIMIT_SECONDS, headers=headers, trust_env=False)
        )
        webhook: Webhook | None = None
        if webhook_host is not None:
            webhook = await stack.enter_async_context(receiving(webhook_host))
        found = await http.get(base + CARD)
        found.raise_for_status()
        card: Json = found.json()
        probes = [
            Probe(http, base, card, interface, {**(headers or {}), **_parameters(card)}, webhook)
            for interface in card.get("supportedInterfaces") or ()
            if interface["protocolVersion"].startswith("1.")
        ]

        async def one(probe: Probe, id_: str, check: Check) -> Outcome:
            async with slots:
                return await _run(probe, REQUIREMENTS[id_], check)

        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(one(probe, id_, check))
                for probe in probes
                if bindings is None or probe.binding in bindings
                for id_, check in checks.items()
                if probe.binding in REQUIREMENTS[id_].bindings
            ]
    return [task.result() for task in tasks]


def _parameters(card: Json) -> dict[str, str]:
    """What every call says, so that only the checks of these themselves see them missing."""
    extensions = card.get("capabilities", {}).get("extensions") or ()
    required = [extension["uri"] for extension in extensions if extension.get("required")]
    return {VERSION: "1.0", **({EXTENSIONS: ", ".join(required)} if required else {})}


async def _run(probe: Probe, what: Requirement, check: Check) -> Outcome:
    if what.capability and not probe.card.get("capabilities", {}).get(what.capability):
        return Outcome(what, probe.binding, "skipped", f"the card has no {what.capability}")
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            await check(probe)
    except (Skipped, Unsendable) as skipped:
        return Outcome(what, probe.binding, "skipped", str(skipped))
    except TimeoutError:
        return Outcome(what, probe.binding, "fails", f"nothing came within {LIMIT_SECONDS:g} s")
    except Refused as refused:
        return Outcome(what, probe.binding, "fails", f"refused as {refused}")
    except httpx.TransportError as broken:
        told = f"the connection broke: {type(broken).__name__}"
        return Outcome(what, probe.binding, "fails", told)
    except (AssertionError, LookupError, TypeError, ValueError, AttributeError) as wrong:
        # a body of another shape than the check takes apart is a failure of the server's
        told = str(wrong).partition("\n")[0] or type(wrong).__name__
        return Outcome(what, probe.binding, "fails", told)
    return Outcome(what, probe.binding, "holds")
