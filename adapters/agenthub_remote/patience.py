"""Trying again, where that is safe: reads, with pauses that grow, until the run's own time is over.

Sending is never tried again blindly; `A2AStep` looks first whether a message has arrived.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from agenthub.chance import spread

FIRST_SECONDS: Final = 0.1
LONGEST_SECONDS: Final = 15.0
TRANSIENT_STATUS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})

T = TypeVar("T")


class Broken(Exception):
    """A stream ended in the middle; it may be opened again."""


async def once(send: Callable[[], Awaitable[T]]) -> T:
    """What a request gives that must not be made twice: it is tried again only when it has certainly not
    reached the other side.

    Raises whatever else the request raises, a broken connection among it.
    """
    return await _again(send, never_sent)


async def patiently(read: Callable[[], Awaitable[T]]) -> T:
    """What a read gives, which is tried again for as long as the other side cannot be reached.

    Raises whatever else the read raises.
    """
    return await _again(read, transient)


def transient(error: BaseException) -> bool:
    """Whether an error says only that the other side cannot be reached just now."""
    cause = http_cause(error)
    if cause is None:
        return isinstance(error, Broken) or isinstance(error.__cause__, Broken)
    response = getattr(cause, "response", None) if _named(cause, "HTTPStatusError") else None
    return response.status_code in TRANSIENT_STATUS if response else _named(cause, "TransportError")


def never_sent(error: BaseException) -> bool:
    """Whether an error proves that a request has not reached the other side."""
    cause = http_cause(error)
    kinds = ("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol")
    return cause is not None and any(_named(cause, kind) for kind in kinds)


def http_cause(error: BaseException) -> BaseException | None:
    """The error of the HTTP library, be it httpx or httpx2, that an SDK's own error wraps."""
    seen: BaseException | None = error
    while seen is not None and not _named(seen, "HTTPError"):
        seen = seen.__cause__
    return seen


async def _again(call: Callable[[], Awaitable[T]], harmless: Callable[[BaseException], bool]) -> T:
    async def called() -> T:
        return await call()

    again = AsyncRetrying(retry=retry_if_exception(harmless), wait=_pause, reraise=True)
    return await again(called)


def _named(error: BaseException, name: str) -> bool:
    """By name: the two libraries have the same classes, and either may be missing."""
    return any(
        k.__name__ == name and k.__module__.split(".")[0] in ("httpx", "httpx2")
        for k in type(error).__mro__
    )


def _pause(state: RetryCallState) -> float:
    grown = FIRST_SECONDS * 2.0 ** min(state.attempt_number - 1, 10)
    return min(grown, LONGEST_SECONDS) * spread(0.75, 1.0)
