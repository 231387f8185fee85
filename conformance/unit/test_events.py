"""Events: their payloads, their text, and the bytes that carry slices of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenthub.events import Event, content_text, ended, pack, started, text_delta, unpack
from agenthub.ids import new_id
from agenthub.json import dumps, loads

RUN = new_id()
EVENTS = st.lists(
    st.builds(
        Event,
        st.integers(1, 2**53),
        st.uuids(),
        st.sampled_from(["started", "messages", "custom"]) | st.text(max_size=8),
        st.binary(max_size=40) | st.just(b'{"a":\n1}'),
        st.text(max_size=20),
    ),
    max_size=12,
)


@given(EVENTS)
def test_a_slice_survives_its_way_through_the_tail(events: list[Event]) -> None:
    assert unpack(pack(events)) == events


def messages(chunk: Any, kind: str = "messages") -> Event:
    return Event(1, RUN, kind, dumps([chunk, {"langgraph_node": "n"}]))


@pytest.mark.parametrize(
    ("chunk", "text"),
    [
        ({"type": "AIMessageChunk", "content": "Hi "}, "Hi "),
        ({"type": "ai", "content": "Hi"}, "Hi"),
        ({"type": "ai", "content": [{"type": "text", "text": "a"}, "b"]}, "ab"),
        ({"type": "ai", "content": None}, ""),
        ({"type": "ai"}, ""),
        ({"type": "tool", "content": "42"}, ""),
        ({"type": "human", "content": "me"}, ""),
        ({"content": "?"}, ""),
    ],
)
def test_only_what_the_model_says_is_the_agents_text(chunk: Any, text: str) -> None:
    assert text_delta(messages(chunk)) == text


def test_other_events_have_no_text() -> None:
    assert text_delta(messages({"type": "ai", "content": "Hi"}, "custom")) == ""
    assert text_delta(Event(1, RUN, "updates", b"not even JSON")) == ""


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain", "plain"),
        ([], ""),
        (["a", {"type": "text", "text": "b"}, {"type": "image", "url": "u"}, 3], "ab"),
        ([{"type": "text"}], ""),
        ({"type": "text", "text": "no list"}, ""),
        (None, ""),
        (7, ""),
    ],
)
def test_the_text_of_a_content_is_its_strings_and_text_blocks(content: Any, text: str) -> None:
    assert content_text(content) == text


def test_the_first_event_names_the_run_and_the_attempt() -> None:
    body = loads(started(RUN, 3))
    assert (UUID(body["run_id"]), body["attempt"]) == (RUN, 3)
    assert body["at"].endswith("+00:00")


def test_the_last_event_has_no_more_than_there_is_to_say() -> None:
    assert loads(ended(RUN, "success")).keys() == {"run_id", "status", "at"}
    error = {"error": "E", "message": "m"}
    body = loads(ended(RUN, "error", error=error, interrupts=[{"id": "q"}]))
    assert (body["status"], body["error"], body["interrupts"]) == ("error", error, [{"id": "q"}])
