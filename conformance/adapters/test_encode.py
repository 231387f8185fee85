"""Values as JSON: everything has a form, nothing breaks a stream, nothing is used up by being shown."""

from __future__ import annotations

import itertools
import json
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.types import Interrupt
from pydantic import BaseModel, Field, computed_field, field_serializer, model_serializer

from agenthub.json import loads
from agenthub_langgraph.encode import PLAIN_MESSAGES, dumped, encode
from agenthub_langgraph.encode import _is_its_fields as is_its_fields


@dataclass
class Point:
    x: int
    inner: Any = None


class Model(BaseModel):
    when: datetime
    tags: set[str] = set()


class Pair(NamedTuple):
    a: int
    b: int


class Colour(Enum):
    RED = "red"


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Liar(list[Any]):
    def __iter__(self) -> Any:
        raise OSError("no")


NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Point(1, Point(2)), {"x": 1, "inner": {"x": 2, "inner": None}}),
        (Model(when=NOW, tags={"t"}), {"when": "2026-01-02T00:00:00+00:00", "tags": ["t"]}),
        (Pair(1, 2), [1, 2]),
        (Colour.RED, "red"),
        ({1}, [1]),
        (frozenset({1}), [1]),
        (deque([1, 2]), [1, 2]),
        ((1, (2,)), [1, [2]]),
        (b"raw", "cmF3"),
        (bytearray(b"raw"), "cmF3"),
        (memoryview(b"raw"), "cmF3"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (ValueError("no"), {"error": "ValueError", "message": "no"}),
        (Decimal("1.5"), "Decimal('1.5')"),
        (Path("/x"), "PosixPath('/x')"),
        ({1: "a", None: "b", Colour.RED: "c"}, {"1": "a", "null": "b", "red": "c"}),
        (float("nan"), None),
        ([float("inf"), 1.5], [None, 1.5]),
        (int, "<class 'int'>"),
    ],
)
def test_a_value_is_shown_as_json(value: Any, shown: Any) -> None:
    assert loads(encode(value)) == shown
    # beside something that only the slow way can show
    assert loads(encode([value, "\ud800"])) == [shown, "\ufffd"]


def test_messages_are_shown_as_langchain_shows_them() -> None:
    shown = loads(encode([HumanMessage("hi", id="1"), AIMessageChunk("x")]))
    assert [(m["type"], m["content"]) for m in shown] == [("human", "hi"), ("AIMessageChunk", "x")]


def test_a_question_is_shown_with_its_id_and_schema() -> None:
    schema = {"type": "boolean"}
    asked = [
        Interrupt("Go?", id="i", response_schema=schema),
        Interrupt("Go?", id="j", response_schema=Model),
    ]
    assert loads(encode(asked)) == [
        {"value": "Go?", "id": "i", "response_schema": schema},
        {"value": "Go?", "id": "j", "response_schema": None},
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2**70, 2.0**70),
        ("a\ud800b", "a\ufffdb"),
        ({"\udfff": 1}, {"\ufffd": 1}),
        ({(1, 2): "a"}, {"(1, 2)": "a"}),
        ({"n": float("nan"), "big": 2**70}, {"n": None, "big": 2.0**70}),
        ({"p": Point(1), "big": 2**70}, {"p": {"x": 1, "inner": None}, "big": 2.0**70}),
    ],
)
def test_what_json_has_no_room_for_is_made_to_fit(value: Any, shown: Any) -> None:
    assert loads(encode(value)) == shown


def test_what_can_be_read_only_once_stays_unread(tmp_path: Path) -> None:
    generator = (i for i in range(3))
    endless = itertools.count()
    (tmp_path / "f").write_text("text")
    with (tmp_path / "f").open() as file, (tmp_path / "g").open("w") as writable:
        shown = loads(encode({"g": generator, "e": endless, "f": file, "w": writable}))
        assert file.read() == "text"
    assert list(generator) == [0, 1, 2]
    assert next(endless) == 0
    assert shown["g"].startswith("<generator")
    assert shown["f"].startswith("<_io.TextIOWrapper")


def test_a_circle_and_an_abyss_have_an_end() -> None:
    circle: list[Any] = [1]
    circle += [circle, circle]
    assert loads(encode(circle)) == [1, *["<list: circular or too deep>"] * 2]
    abyss: Any = "bottom"
    for _ in range(5000):
        abyss = [abyss]
    assert b"too deep" in encode(abyss)
    point = Point(1)
    point.inner = point
    assert b"Point: circular" in encode(point)


def test_the_same_thing_twice_is_no_circle() -> None:
    twice = [1]
    assert loads(encode([twice, twice, "\ud800"])) == [[1], [1], "\ufffd"]


@pytest.mark.parametrize("value", [Broken(), Liar([1]), {"a": [Broken()]}, {Broken(): 1}])
def test_an_object_that_cannot_be_shown_does_not_break_the_stream(value: Any) -> None:
    loads(encode(value))


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=5)
    | st.binary(max_size=5)
    | st.datetimes()
    | st.decimals(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(codec=None), max_size=3)
            | st.integers()
            | st.floats()
            | st.tuples(),
            inner,
            max_size=3,
        )
        | st.builds(Point, st.integers(), inner)
    ),
    max_leaves=10,
)


@given(ANYTHING)
def test_everything_becomes_strict_json_that_every_reader_decodes(value: Any) -> None:
    encoded = encode(value)
    loads(encoded)
    json.loads(encoded, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    encoded.decode()


def _construct(**fields: Any) -> BaseMessage:
    return HumanMessage.model_construct(**fields)


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage("hi", id="h", name="ada", additional_kwargs={"k": {"v": (1, 2)}}),
        HumanMessage([{"type": "text", "text": "é"}, "and"]),
        HumanMessage("x", mood="bad"),
        SystemMessage("be brief"),
        AIMessage(
            "",
            tool_calls=[{"name": "look", "args": {"at": [1, {"deep": None}]}, "id": "c1"}],
            invalid_tool_calls=[{"name": "x", "args": "{", "id": "c2", "error": "no JSON"}],
            usage_metadata={"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
            response_metadata={"at": NOW, "id": UUID(int=7), "colour": Colour.RED, 5: "a number"},
        ),
        ToolMessage("x", tool_call_id="c", artifact=Model(when=NOW, tags={"a"})),
        ToolMessage("x", tool_call_id="c", artifact=[HumanMessage("in", mood="bad"), Point(1)]),
        ToolMessage("x", tool_call_id="c", artifact={"raw": b"\x00", "pair": Pair(1, 2)}),
        AIMessageChunk("y", id="c"),
        _construct(content="x"),
    ],
    ids=lambda m: f"{type(m).__name__} {m.content} {len(m.__dict__)}",
)
def test_a_message_is_shown_as_its_dump(message: BaseMessage) -> None:
    assert json.loads(encode([message])) == json.loads(encode([message.model_dump()]))


def test_long_chats_are_not_looked_into() -> None:
    for kind in (AIMessage, HumanMessage, SystemMessage):
        message = kind("x")
        assert dumped(message) is message.__dict__
    assert ToolMessage in PLAIN_MESSAGES


def test_to_show_a_message_does_not_change_it() -> None:
    message = HumanMessage("x", id="h", additional_kwargs={"k": [1]})
    before = message.model_copy(deep=True)
    encode({"messages": [message, message]})
    assert message == before


class Plainly(BaseModel):
    x: int = 1


class Serialized(Plainly):
    @field_serializer("x")
    def less(self, x: int) -> int:
        return x - 1


class Whole(Plainly):
    @model_serializer
    def whole(self) -> dict[str, int]:
        return {"y": self.x}


class Computed(Plainly):
    @computed_field
    @property
    def y(self) -> int:
        return self.x


class Excluding(Plainly):
    secret: str = Field("", exclude=True)


class Overriding(Plainly):
    def model_dump(self, **_: Any) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("kind", [Serialized, Whole, Computed, Excluding, Overriding])
def test_a_model_that_is_shown_otherwise_is_dumped(kind: type[Plainly]) -> None:
    assert not is_its_fields(kind)
    assert dumped(kind()) == kind().model_dump()


def test_a_model_of_mere_fields_is_its_fields() -> None:
    assert is_its_fields(Plainly)
