"""Messages are written as upstream writes them and read as upstream reads them, only sooner."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic import BaseModel

from agenthub_langgraph import serde
from agenthub_langgraph.serde import serializer


def _with_more(message: BaseMessage) -> BaseMessage:
    """The message with something that stands among its fields and is none."""
    message.__dict__["cached"] = 1
    return message


ASKED = AIMessage(
    "",
    id="a1",
    tool_calls=[{"name": "look", "args": {"at": [1, {"deep": None}]}, "id": "c1"}],
    invalid_tool_calls=[{"name": "x", "args": "{", "id": "c2", "error": "no JSON"}],
    usage_metadata={"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
    response_metadata={"model": "m", "scores": (1, 2), 5: "a number"},
)


@dataclass
class Place:
    x: int


class Color(Enum):
    RED = "red"


class Kept(BaseModel):
    name: str


class Pair(NamedTuple):
    a: int
    b: int


class Tag(str):
    """A string of the user's."""


class OwnMessage(HumanMessage):
    """A class of the user's."""

    mood: str = "good"


USUAL: dict[str, list[Any]] = {
    "each kind": [
        HumanMessage("hi", id="h", name="ada", additional_kwargs={"k": {"v": 1}}),
        SystemMessage("be brief"),
        ASKED,
        ToolMessage("seen", tool_call_id="c1", status="error", artifact={"rows": [1, 2.5]}),
    ],
    "parts": [
        HumanMessage([{"type": "text", "text": "é\u2028"}, "and", {"type": "image", "n": 1}])
    ],
    "numbers": [AIMessage("", additional_kwargs={"n": [math.inf, -0.0, 2**63, True]})],
    "bytes": [ToolMessage("x", tool_call_id="c", artifact=b"\x00\xff")],
    "a lone surrogate": [HumanMessage("\ud800 x")],
    "containers of their own kind": [
        ToolMessage(Tag("x"), tool_call_id=Tag("c"), artifact=OrderedDict(b=(1, Tag("y")), a=[])),
    ],
}
UNUSUAL: dict[str, list[Any]] = {
    "a chunk among them": [HumanMessage("x"), AIMessageChunk("y", id="c")],
    "a chunk first": [AIMessageChunk("y", id="c"), HumanMessage("x")],
    "another kind": [HumanMessage("x"), ChatMessage("y", role="critic"), RemoveMessage("z")],
    "a field of its own": [HumanMessage("x", mood="bad")],
    "a class of its own": [HumanMessage("x"), OwnMessage("y", mood="bad")],
    "a date": [AIMessage("", response_metadata={"at": datetime(2026, 1, 2, tzinfo=UTC)})],
    "an id": [AIMessage("", response_metadata={"id": UUID(int=7)})],
    "an object": [ToolMessage("x", tool_call_id="c", artifact=Place(1))],
    "a model": [ToolMessage("x", tool_call_id="c", artifact=Kept(name="k"))],
    "a set": [ToolMessage("x", tool_call_id="c", artifact={1, 2})],
    "an enum": [ToolMessage("x", tool_call_id="c", artifact=Color.RED)],
    "a named tuple": [ToolMessage("x", tool_call_id="c", artifact=Pair(1, 2))],
    "a message without all of its fields": [HumanMessage.model_construct(content="x", id="h")],
    "a field that is there unseen": [_with_more(HumanMessage("x"))],
    "a message inside": [ToolMessage("x", tool_call_id="c", artifact=[HumanMessage("in")])],
    "no messages": [1, "langchain_core.messages."],
    "nothing": [],
    "something else first": [None, HumanMessage("x")],
}
ALL = USUAL | UNUSUAL
ALLOWED = {(__name__, kind.__name__) for kind in (Place, Color, Kept, OwnMessage)}


def upstream() -> JsonPlusSerializer:
    return JsonPlusSerializer(pickle_fallback=False).with_msgpack_allowlist(ALLOWED)


@pytest.mark.parametrize("name", ALL)
def test_the_bytes_are_upstreams(name: str) -> None:
    assert serializer(ALLOWED).dumps_typed(ALL[name]) == upstream().dumps_typed(ALL[name])


@pytest.mark.parametrize("name", ALL)
def test_what_is_read_is_what_upstream_reads(name: str) -> None:
    stored = upstream().dumps_typed(ALL[name])
    ours, theirs = (s.loads_typed(stored) for s in (serializer(ALLOWED), upstream()))
    assert ours == theirs
    assert [_inside(one) for one in ours] == [_inside(one) for one in theirs]


def _inside(value: Any) -> Any:
    if not isinstance(value, BaseMessage):
        return repr(value)
    state = value.__getstate__()
    return type(value), [*state["__dict__"].items()].__repr__(), {**state, "__dict__": None}


@pytest.mark.parametrize("name", USUAL)
def test_usual_messages_go_the_short_way(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def long(*_: Any) -> Any:
        raise AssertionError("upstream was asked")

    ours = serializer(None)
    monkeypatch.setattr(JsonPlusSerializer, "dumps_typed", long)
    monkeypatch.setattr(JsonPlusSerializer, "loads_typed", long)
    assert len(ours.loads_typed(ours.dumps_typed(USUAL[name]))) == len(USUAL[name])


def test_a_message_from_before_a_field_was_there_gets_its_default() -> None:
    kind, stored = upstream().dumps_typed([ToolMessage("x", tool_call_id="c")])
    older = _without(stored, "status")
    (read,) = serializer(None).loads_typed((kind, older))
    assert read.status == "success"


def _without(stored: bytes, field: str) -> bytes:
    """The same messages without one of their fields."""
    found: list[tuple[int, Any]] = []

    def see(code: int, data: bytes) -> None:
        found.append((code, serde.ormsgpack.unpackb(data)))

    serde.ormsgpack.unpackb(stored, ext_hook=see)
    ((code, (module, name, values, method)),) = found
    values.pop(field)
    return serde.ormsgpack.packb(
        [serde.ormsgpack.Ext(code, serde.ormsgpack.packb((module, name, values, method)))]
    )


def test_what_is_read_is_nobody_elses() -> None:
    ours = serializer(None)
    stored = ours.dumps_typed([ASKED])
    first, second = ours.loads_typed(stored), ours.loads_typed(stored)
    first[0].tool_calls[0]["args"]["at"].append(2)
    assert second == upstream().loads_typed(stored)
    assert first != second
    again = first[0].model_copy(update={"content": "new"})
    assert again.content == "new"
    assert again.tool_calls == first[0].tool_calls


def test_a_type_that_was_not_declared_comes_back_as_data() -> None:
    stored = upstream().dumps_typed([HumanMessage("x"), Kept(name="k")])
    assert serializer(None).loads_typed(stored) == [HumanMessage("x"), {"name": "k"}]


def test_an_upstream_that_writes_otherwise_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(*_: Any) -> Any:
        return "msgpack", serde.ormsgpack.packb([serde.ormsgpack.Ext(9, b"\x90")])

    assert serde._form() is not None
    monkeypatch.setattr(JsonPlusSerializer, "dumps_typed", other)
    assert serde._form() is None
