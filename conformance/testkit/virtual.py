"""Virtual time: an event loop whose clock jumps to the next deadline instead of waiting for it.

For code that touches nothing but asyncio. Minutes pass in no time and in the same order every time; a
test in which everything waits for ever fails at once.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

P = ParamSpec("P")

LONGEST_SECONDS = 100_000
"""Of virtual time: a test that waits for what never comes ends there."""


class _Selector(selectors.DefaultSelector):
    """Never waits: it asks the loop to move its clock."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise AssertionError("everything waits, and nothing will happen any more")
        self.loop.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time starts at 1000 and passes only when everything waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


@dataclass
class LoopClock:
    """`agenthub.clock.Clock` in the time of the running loop, which is `busy` for that share of it."""

    busy: float = 0.0

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def processor(self) -> float:
        return self.busy * self.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an asynchronous test in virtual time."""

    async def bounded(*args: P.args, **kwargs: P.kwargs) -> None:
        async with asyncio.timeout(LONGEST_SECONDS):
            await test(*args, **kwargs)

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(bounded(*args, **kwargs))

    return run


def now() -> float:
    """Seconds since the test began."""
    return asyncio.get_running_loop().time() - 1000.0


async def moment() -> None:
    """Let everything that can go on go on, in no time."""
    for _ in range(50):
        await asyncio.sleep(0)
