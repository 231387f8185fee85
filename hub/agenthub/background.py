"""Loops in the background: they run for the time of a context, and they are gone when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

Loop: TypeAlias = Callable[[], Awaitable[None]]

AGAIN_SECONDS = 0.1


@asynccontextmanager
async def in_background(*loops: Loop) -> AsyncGenerator[None]:
    """Run loops for the time of the context; one that breaks ends the context with it.

    They are cancelled as often as it takes: a library that swallows a cancellation, as redis-py does while
    it connects, must not keep a process that was told to stop.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_run(loop), name=_name(loop)) for loop in loops]
        try:
            yield
        finally:
            while pending := [task for task in tasks if not task.done()]:
                for task in pending:
                    task.cancel()
                # our own cancellation goes on when the loops are gone
                with suppress(asyncio.CancelledError):
                    await asyncio.wait(pending, timeout=AGAIN_SECONDS)


def _name(loop: Loop) -> str:
    """What a dump of a process's tasks calls it: `Agents.run`."""
    return getattr(loop, "__qualname__", None) or repr(loop)


async def _run(loop: Loop) -> None:
    await loop()
