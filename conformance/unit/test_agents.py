"""Agents: names, published descriptions, and what text and state mean to them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenthub.agents import NAME_LENGTH, AgentInfo, resolved, slug, text_input
from agenthub.errors import Invalid
from agenthub.json import dumps, loads


def info(**changes: Any) -> AgentInfo:
    return AgentInfo(**{"name": "a", "description": "An agent.", **changes})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("triage", "triage"),
        ("My agent!", "My-agent"),
        ("  a / b  ", "a-b"),
        ("naïve", "na-ve"),
        ("_private", "_private"),
        ("a" * 50, "a" * 40),
        ("a" * 39 + " b", "a" * 39),
    ],
)
def test_a_name_is_made_fit_for_every_surface(name: str, expected: str) -> None:
    assert slug(name) == expected


@given(st.text(max_size=80))
def test_a_name_is_either_refused_or_fits_and_stays_as_it_is(name: str) -> None:
    try:
        made = slug(name)
    except Invalid:
        assert not any(c.isascii() and (c.isalnum() or c == "_") for c in name)
        return
    assert 0 < len(made) <= NAME_LENGTH
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert slug(made) == made


@pytest.mark.parametrize("name", ["", "---", "日本", "!?"])
def test_a_name_of_which_nothing_is_left_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="cannot be made into an agent name"):
        slug(name)


def test_a_description_survives_its_publication() -> None:
    full = info(
        title="A",
        input_schema={"type": "string"},
        output_keys=("messages", "n"),
        skills=({"id": "s"},),
        task="required",
        context_schema={"type": "object"},
    )
    assert AgentInfo.from_json(loads(dumps(full.to_json()))) == full
    assert AgentInfo.from_json(loads(dumps(info().to_json()))) == info()


def test_what_a_newer_worker_publishes_is_ignored() -> None:
    assert AgentInfo.from_json({**info().to_json(), "colour": "red"}) == info()


def test_an_agent_has_the_assistant_id_that_sdk_users_compute() -> None:
    assert str(info(name="agent").assistant_id) == "fe096781-5601-53d2-b2f6-0d3403f7e9ca"


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, {}),
        ({"type": "object"}, {"type": "object"}),
        (
            {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object"}, "B": {}}},
            {"type": "object", "$defs": {"A": {"type": "object"}, "B": {}}},
        ),
        ({"$ref": "#/$defs/A"}, {"$defs": {}}),
        ({"$ref": "https://example.org"}, {"$ref": "https://example.org"}),
    ],
)
def test_a_schema_that_refers_to_its_own_definition_is_resolved(schema: Any, expected: Any) -> None:
    assert resolved(schema) == expected


STRING = {"type": "string"}
ORDER = {"Order": {"type": "object"}}
MESSAGES = {"messages": [{"role": "user", "content": "hi"}]}


def fields(*required: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties}
    return {**schema, "required": list(required)} if required else schema


@pytest.mark.parametrize(
    ("schema", "given"),
    [
        ({}, "hi"),
        (STRING, "hi"),
        ({"anyOf": [STRING, {"type": "null"}]}, "hi"),
        (fields("messages", messages={"type": "array"}), MESSAGES),
        (fields("question", messages={"type": "array"}, question=STRING), MESSAGES),
        (fields(question=STRING), {"question": "hi"}),
        (fields("question", question=STRING, limit={"type": "integer"}), {"question": "hi"}),
        (fields(anything={}), {"anything": "hi"}),
        (fields(q={"anyOf": [{"type": "null"}, STRING]}), {"q": "hi"}),
        (
            {"$ref": "#/$defs/In", "$defs": {"In": fields("q", q=STRING, n={"type": "integer"})}},
            {"q": "hi"},
        ),
    ],
)
def test_text_becomes_the_input_that_it_stands_for(schema: Any, given: Any) -> None:
    assert text_input(info(input_schema=schema), "hi") == given


@pytest.mark.parametrize(
    "schema",
    [
        fields("a", "b", a=STRING, b=STRING),
        fields(a=STRING, b=STRING),
        fields("n", n={"type": "integer"}),
        fields("n", q=STRING, n={"type": "integer"}),
        {**fields("order", order={"$ref": "#/$defs/Order"}), "$defs": ORDER},
        {**fields(order={"anyOf": [{"$ref": "#/$defs/Order"}, {"type": "null"}]}), "$defs": ORDER},
        {"type": "array"},
        {"type": "object"},
    ],
)
def test_text_for_an_agent_that_takes_structure_is_refused(schema: Any) -> None:
    with pytest.raises(Invalid, match="takes structured input: send a JSON object with"):
        text_input(info(input_schema=schema), "hi")


@pytest.mark.parametrize(
    ("keys", "values", "output"),
    [
        (None, {"a": 1}, {"a": 1}),
        (("a",), {"a": 1, "b": 2}, {"a": 1}),
        (("a", "c"), {"a": 1, "b": 2}, {"a": 1}),
        ((), {"a": 1}, {}),
        (("a",), "text", "text"),
        (("a",), None, None),
    ],
)
def test_the_output_is_cut_from_the_final_state(keys: Any, values: Any, output: Any) -> None:
    assert info(output_keys=keys).output(values) == output
