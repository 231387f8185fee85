"""Waiting for something to become true, with a deadline instead of a guess.

The only place in the tests that sleeps: a test names the condition, never a duration.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar, cast

T = TypeVar("T")

_PAUSE_SECONDS = 0.005


PATIENCE_SECONDS = 60.0
"""A guard against waiting for ever on a busy machine, and no measure: a test that promises a time says so."""


async def eventually(
    condition: Callable[[], T | Awaitable[T]], *, within: float = PATIENCE_SECONDS
) -> T:
    """The first truthy result of `condition`, which may be a coroutine function.

    Raises:
        AssertionError: there was none within so many seconds; tells the last result.
    """
    deadline = time.monotonic() + within
    while True:
        result = condition()
        value = cast("T", await result if isawaitable(result) else result)
        if value:
            return value
        assert time.monotonic() < deadline, f"still {value!r} after {within:g} s"
        await asyncio.sleep(_PAUSE_SECONDS)


def eventually_sync(condition: Callable[[], T], *, within: float = PATIENCE_SECONDS) -> T:
    """`eventually` for code without an event loop."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"still {value!r} after {within:g} s"
        time.sleep(_PAUSE_SECONDS)
