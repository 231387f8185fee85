"""Trace context as callers say it."""

from __future__ import annotations

from typing import Any

import pytest

from agenthub.tracing import LONGEST, trace_of

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_trace_context_is_taken_as_it_is() -> None:
    said = {"traceparent": PARENT, "tracestate": "a=1", "baggage": "k=v", "other": "x"}
    assert trace_of(said) == {"traceparent": PARENT, "tracestate": "a=1", "baggage": "k=v"}
    assert trace_of({"traceparent": PARENT}) == {"traceparent": PARENT}


@pytest.mark.parametrize(
    "said",
    [
        None, {}, {"tracestate": "a=1"}, {"traceparent": 1}, {"traceparent": PARENT.upper()},
        {"traceparent": PARENT + "0"}, {"traceparent": "ff" + PARENT[2:]},
        {"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"},
        {"traceparent": f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01"},
    ],
)  # fmt: skip
def test_what_is_none_is_ignored(said: Any) -> None:
    assert trace_of(said) is None


def test_baggage_that_is_too_long_stays_behind() -> None:
    assert trace_of({"traceparent": PARENT, "baggage": "x" * (LONGEST + 1)}) == {
        "traceparent": PARENT
    }
