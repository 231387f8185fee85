"""Load: clients that start runs and wait for them, try again when refused, and remember what was promised."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

import httpx

from faults import clients
from faults.cluster import RARE_POLL_SECONDS, RARE_POLLS, Cluster

COUNT = 40
RETRY_SECONDS = 0.02


@dataclass(slots=True)
class Load:
    """What has happened so far."""

    created: dict[str, float] = field(default_factory=dict[str, float])
    answered: dict[str, float] = field(default_factory=dict[str, float])
    refused: list[str] = field(default_factory=list[str])

    def outage(self) -> float:
        """The longest time without any new run."""
        at = sorted(self.created.values())
        return max((b - a for a, b in pairwise(at)), default=0.0)


@asynccontextmanager
async def load(hub: Cluster, *, users: int = 12) -> AsyncGenerator[Load]:
    """Put a hub under load for the time of the context; at its end every user gets an answer."""
    so_far = Load()
    stopping = asyncio.Event()
    journal = str(hub.folder / "load.journal")

    async def use(url: str) -> None:
        async with clients.rest(url) as client:
            while not stopping.is_set():
                order = {"journal": journal, "count": COUNT}
                run = await until_accepted(client.runs.create, None, "chatty", input=order)
                run_id = run["run_id"]
                so_far.created[run_id] = time.monotonic()
                output = await until_accepted(client.runs.join, run["thread_id"], run_id)
                assert output == {"done": [COUNT]}, output
                so_far.answered[run_id] = time.monotonic()

    async def until_accepted(call: Any, *args: Any, **kwargs: Any) -> Any:
        while True:
            try:
                return await call(*args, **kwargs)
            except httpx.HTTPError as refused:
                so_far.refused.append(f"{type(refused).__name__}: {refused}"[:300])
                await asyncio.sleep(RETRY_SECONDS)

    async with asyncio.timeout(240), asyncio.TaskGroup() as group:
        for n in range(users):
            group.create_task(use(hub.servers[n % len(hub.servers)].url))
        yield so_far
        stopping.set()


async def taken(hub: Cluster) -> float:
    """Seconds that a short run takes."""
    began = time.monotonic()
    run = await clients.start(hub.url, "brief", hub.journal("latency").order())
    await clients.output(hub.url, run)
    return time.monotonic() - began


async def latency(hub: Cluster, times: int = 10) -> float:
    """The median of some such runs, one after the other: a stall of the machine is in few of them."""
    return median([await taken(hub) for _ in range(times)])


async def polled(hub: Cluster) -> bool:
    """Whether one of ten runs, one after the other, waits for a poll of a hub with `RARE_POLLS`.

    If so, one of ten more has to: a machine that stands still for as long does it once.
    """
    assert hub.settings.items() >= RARE_POLLS.items()

    async def one() -> bool:
        for _ in range(10):
            if await taken(hub) > RARE_POLL_SECONDS / 2:
                return True
        return False

    return await one() and await one()
