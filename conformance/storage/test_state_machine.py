"""Random histories of the whole core agree with a model of it (I1-I7, I13, I14)."""

from __future__ import annotations

from testkit.core import Core
from testkit.machine import check


async def test_the_core_agrees_with_its_model_in_every_history(core: Core) -> None:
    await check(core, examples=120, steps=40)
