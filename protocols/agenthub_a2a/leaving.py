"""Clients that leave while they wait for an answer: the wait ends with them, and the task does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias, TypeVar

from starlette.requests import Request

T = TypeVar("T")
Gone: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
"""Returns when the client has left."""

PROMPT_SECONDS: Final = 0.1
"""Until then nobody looks whether the client is still there: most tasks are done by then."""


async def disconnected(request: Request) -> None:
    """Return when the client of a request, whose body has been read, has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def unless_gone(waiting: Coroutine[Any, Any, T], gone: Gone | None) -> T | None:
    """What `waiting` comes to; None when the client left before. Without `gone` the binding itself cancels
    what nobody waits for."""
    if gone is None:
        return await waiting
    tasks: list[asyncio.Task[Any]] = [wait := asyncio.create_task(waiting)]
    try:
        await asyncio.wait(tasks, timeout=PROMPT_SECONDS)
        if not wait.done():
            tasks.append(asyncio.create_task(gone()))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return wait.result() if wait.done() else None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
