"""Stored values become JSON without importing anything that they name."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.types import Interrupt, Send
from pydantic import BaseModel

import agenthub_langgraph  # noqa: F401  # strict msgpack, before langgraph
from agenthub.json import dumps
from agenthub_langgraph.decode import StateDecoder
from agenthub_langgraph.encode import encode


class Point(BaseModel):
    x: int
    inner: dict[str, Any] = {}


@dataclass
class Pair:
    a: int
    b: Any


class Colour(Enum):
    RED = "red"


ID = UUID(int=7)
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

CASES: list[tuple[Any, Any]] = [
    (None, None),
    (True, True),
    (1, 1),
    (1.5, 1.5),
    ("ünï\x00", "ünï\x00"),
    ([1, [2, {"a": None}]], [1, [2, {"a": None}]]),
    ((1, 2), [1, 2]),
    ({"a": {"b": (1,)}}, {"a": {"b": [1]}}),
    (b"\x00\xff", "AP8="),
    ({"raw": b"\x00\xff"}, {"raw": "AP8="}),
    ([bytearray(b"a")], ["YQ=="]),
    ({1: "one", 2.5: "x", None: "n", False: "f"}, None),
    ({(1, 2): "tuple"}, None),
    ({ID: "uuid"}, None),
    ({1, 2}, [1, 2]),
    (frozenset({1}), [1]),
    (deque([1, 2]), [1, 2]),
    (ID, ID.hex),
    (AT, AT.isoformat()),
    (date(2026, 1, 2), None),
    (timedelta(seconds=5), None),
    (Decimal("1.50"), "1.50"),
    (Path("some/x"), None),
    (Colour.RED, "red"),
    (Point(x=1, inner={"at": AT, "raw": b"a"}), None),
    (Pair(1, Point(x=2)), {"a": 1, "b": {"x": 2, "inner": {}}}),
    (Pair(1, {b"k": b"v"}), None),
    (Send("node", {"raw": b"a"}), None),
    (Interrupt(value={"raw": b"a"}, id="i" * 32), None),
    (ValueError("boom"), None),
    (float("nan"), None),
    (2**63, None),
    (_DeltaSnapshot(["a", b"b"]), ["a", "Yg=="]),
    ([_DeltaSnapshot({"x": 1})], [{"x": 1}]),
]


@pytest.mark.parametrize(("value", "expected"), CASES, ids=[repr(v)[:60] for v, _ in CASES])
def test_every_stored_value_is_shown_as_json(value: Any, expected: Any) -> None:
    decoded = StateDecoder().decode(*JsonPlusSerializer().dumps_typed(value))
    dumps(decoded)
    if expected is not None:
        assert decoded == expected


USAGE: Any = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage("hello", id="h"),
        AIMessage(
            "", id="a", tool_calls=[{"name": "t", "args": {"x": 1}, "id": "c", "type": "tool_call"}]
        ),
        AIMessage([{"type": "text", "text": "hi"}], usage_metadata=USAGE),
    ],
    ids=["human", "tool call", "usage"],
)  # fmt: skip
def test_a_message_looks_as_it_does_in_a_stream(message: Any) -> None:
    from agenthub.json import loads

    decoded = StateDecoder().decode(*JsonPlusSerializer().dumps_typed([message]))
    streamed = loads(encode([message]))
    assert {k: v for k, v in decoded[0].items() if v is not None} == {
        k: v for k, v in streamed[0].items() if v is not None
    }


def test_what_cannot_be_read_is_shown_by_its_kind() -> None:
    assert StateDecoder().decode("pickle", b"x") == "<pickle: not readable here>"
    assert StateDecoder().decode("empty", b"") is None


def test_the_values_of_a_graph_leave_out_its_inner_channels() -> None:
    channels = {"log": [1], "__start__": 1, "branch:to:a": None, "none": None}
    assert StateDecoder().values(channels) == {"log": [1]}
    assert StateDecoder().values({"__end__": 5, "__previous__": 4}) == 5
    assert StateDecoder().values({"__root__": 5}) == 5


def test_decoding_imports_neither_langgraph_nor_what_a_value_names() -> None:
    kind, data = JsonPlusSerializer().dumps_typed([Pair(1, Point(x=2)), HumanMessage("x")])
    program = (
        "import sys\n"
        "from agenthub_langgraph.decode import StateDecoder\n"
        f"StateDecoder().decode({kind!r}, {data!r})\n"
        "names = {m.split('.')[0] for m in sys.modules}\n"
        "wrong = names & {'langgraph', 'langchain_core', 'test_decode'}\n"
        "assert not wrong, wrong\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
