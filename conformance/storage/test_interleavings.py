"""What two connections do to each other, step by step; see `testkit.interleavings`."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from testkit.core import Core
from testkit.interleavings import INTERLEAVINGS


@pytest.mark.parametrize("interleaving", INTERLEAVINGS, ids=lambda one: one.__name__)
async def test_two_connections(core: Core, interleaving: Any) -> None:
    await interleaving(core)


async def test_writes_and_renewals_of_many_runs_never_deadlock(core: Core) -> None:
    for _ in range(12):
        await core.create()
    claims = list(await core.claim(limit=12))

    async def renew(order: int) -> None:
        leases = [c.lease for c in claims[::order]]
        for _ in range(30):
            assert len(await core.queue.renew(leases, lease=timedelta(seconds=60))) == 12

    async def write(order: int) -> None:
        for seq in range(1, 31):
            await asyncio.gather(*(core.append(c, seq) for c in claims[::order]))

    await asyncio.gather(renew(1), renew(-1), write(-1))
    assert await core.value("select count(*) from events") == 12 * 30
