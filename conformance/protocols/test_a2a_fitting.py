"""Data of a first message: an agent gets what fits its schema, and a caller hears what does not."""

from __future__ import annotations

from typing import Any

import pytest

from agenthub.agents import AgentInfo
from agenthub.errors import Invalid
from agenthub_a2a.fitting import fitting

COUNTER = AgentInfo(
    name="counter",
    description="",
    input_schema={
        "$ref": "#/$defs/Order",
        "$defs": {
            "Order": {
                "type": "object",
                "properties": {"count": {"type": "integer"}, "why": {"type": "string"}},
                "required": ["count"],
            }
        },
    },
)
CHAT = AgentInfo(
    name="chat",
    description="",
    input_schema={
        "type": "object",
        "properties": {
            "messages": {"type": "array", "items": {"$ref": "#/$defs/Message"}},
            "depth": {"type": "integer"},
        },
        "required": ["messages", "depth"],
        "$defs": {"Message": {"type": "object", "required": ["type", "content"]}},
    },
)


@pytest.mark.parametrize("value", [{"count": 1}, {"count": 1, "why": "x", "more": [1]}])
def test_what_fits_is_given_to_the_agent_as_it_is(value: Any) -> None:
    assert fitting(COUNTER, value) is value


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"count": "many"}, r"\$\.count: 'many' is not of type 'integer'"),
        ({}, "'count' is a required property"),
        ([1], "is not of type 'object'"),
        ({"count": 1.5}, "1.5 is not of type 'integer'"),
        ({"count": "x" * 10_000}, "…$"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_place(value: Any, why: str) -> None:
    for _ in range(2):  # compiled, and then from memory
        with pytest.raises(Invalid, match=f"does not fit agent 'counter': .*{why}"):
            fitting(COUNTER, value)


@pytest.mark.parametrize(
    "messages",
    [[{"role": "user", "content": "hi"}], [["user", "hi"]], {"role": "user", "content": "x"}],
)
def test_a_chat_takes_messages_in_any_form_and_the_rest_of_its_state_or_not(messages: Any) -> None:
    assert fitting(CHAT, {"messages": messages})
    with pytest.raises(Invalid, match="depth"):
        fitting(CHAT, {"messages": messages, "depth": "deep"})


@pytest.mark.parametrize(
    "schema", [{}, {"type": "nonsense"}, {"$ref": "https://example.com/never-fetched.json"}]
)
def test_a_schema_that_cannot_be_used_is_not_enforced(schema: Any) -> None:
    assert fitting(AgentInfo(name="a", description="", input_schema=schema), 1) == 1
