"""Trace context: which trace of its caller a run belongs to (W3C Trace Context and Baggage).

Callers say it in their protocol's way; a run remembers it and its worker takes it up again, so that spans
of the agent are children of its caller's. Nothing here records spans.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from agenthub.json import JsonObject

_PARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_MORE: Final = ("tracestate", "baggage")
LONGEST: Final = 8192
"""Characters of `baggage` that are passed on, as its specification has it."""


def trace_of(said: Mapping[str, Any] | None) -> JsonObject | None:
    """The trace context among headers or metadata, by its W3C names; None if there is none, or none that
    is well-formed: a broken one is ignored, as the specification demands."""
    parent = None if said is None else said.get("traceparent")
    if said is None or not isinstance(parent, str) or _PARENT.fullmatch(parent) is None:
        return None
    more = {name: said.get(name) for name in _MORE}
    kept = {n: v for n, v in more.items() if isinstance(v, str) and len(v) <= LONGEST}
    return {"traceparent": parent, **kept}


_CURRENT: ContextVar[JsonObject | None] = ContextVar("agenthub_trace", default=None)


@contextmanager
def within(trace: JsonObject | None) -> Generator[None]:
    """Let what happens in here belong to a trace."""
    token = _CURRENT.set(trace)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current() -> JsonObject | None:
    """The trace of the run that executes here, for those whom it calls."""
    return _CURRENT.get()
