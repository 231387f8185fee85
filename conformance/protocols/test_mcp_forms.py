"""Questions' schemas as forms that a host can show, and replies as answers."""

from __future__ import annotations

from typing import Any

import mcp_types as types
import pytest

from agenthub.errors import Invalid
from agenthub.interrupts import Interrupt
from agenthub_mcp import elicit
from agenthub_mcp.forms import form

STREET = {"type": "object", "properties": {"street": {"type": "string"}}}


def accepted(**content: Any) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content=content)


def question(schema: dict[str, Any] | None, value: Any = "?") -> Interrupt:
    return Interrupt("a" * 32, value, schema)


def test_a_form_keeps_what_hosts_can_show() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "pattern": "^A", "title": "Name"},
            "mail": {"type": "string", "format": "email"},
            "age": {
                "anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}],
                "default": None,
            },
            "size": {"$ref": "#/$defs/Size"},
            "address": STREET,
        },
        "required": ["name"],
        "$defs": {"Size": {"enum": ["s", "m"], "title": "Size", "type": "string"}},
    }
    assert form(schema) == (
        "fields",
        {
            "type": "object",
            "properties": {
                "name": {"type": "string", "title": "Name", "minLength": 1},
                "mail": {"type": "string", "format": "email"},
                "age": {"type": "integer", "minimum": 0},
                "size": {"type": "string", "title": "Size", "enum": ["s", "m"]},
            },
            "required": ["name"],
        },
    )


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"address": STREET}, "required": ["address"]},
        {"type": "array", "items": {"type": "string"}},
        {"type": "object"},
        {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        {"enum": [1, "two"]},
    ],
)
def test_an_answer_that_no_form_can_hold_is_asked_for_as_json(schema: dict[str, Any]) -> None:
    kind, shown = form(schema)
    assert kind == "json"
    assert shown["properties"]["answer"]["type"] == "string"


def test_json_is_decoded_and_checked() -> None:
    asked = question({"type": "array", "items": {"type": "string"}})
    assert elicit.answer(asked, accepted(answer='["a"]')) == ["a"]
    with pytest.raises(Invalid, match="must be JSON"):
        elicit.answer(asked, accepted(answer="a"))
    with pytest.raises(Invalid, match="1 is not of type 'string'"):
        elicit.answer(asked, accepted(answer="[1]"))
    with pytest.raises(Invalid, match="An answer is needed"):
        elicit.answer(asked, accepted())


def test_what_the_form_could_not_say_is_checked_afterwards() -> None:
    asked = question({"type": "string", "pattern": "^A"})
    assert elicit.answer(asked, accepted(answer="Ann")) == "Ann"
    with pytest.raises(Invalid, match="does not match"):
        elicit.answer(asked, accepted(answer="Bob"))


@pytest.mark.parametrize("schema", [None, {"type": "integer"}])
def test_saying_no_is_an_answer_whatever_was_asked(schema: dict[str, Any] | None) -> None:
    reply = types.ElicitResult(action="decline")
    assert elicit.answer(question(schema), reply) == {"action": "decline"}


def test_words_that_begin_like_json_are_words() -> None:
    assert elicit.answer(question(None), accepted(response="[sic]")) == "[sic]"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("Which?", "Which?"),
        ({"question": "Which?"}, "Which?"),
        ({"message": "Which?", "of": ["a"]}, 'Which?\n\n{"of":["a"]}'),
        ({"tool": "delete"}, '{"tool":"delete"}'),
        (7, "7"),
    ],
)
def test_a_question_is_put_in_words(value: Any, message: str) -> None:
    (asked,) = elicit.requests([question(None, value)], {}).values()
    assert asked.params.message == message


def test_replies_to_other_questions_or_of_another_kind_are_passed_over() -> None:
    asked = question({"type": "string"})
    roots = types.ListRootsResult(roots=[])
    assert elicit.read([asked], {asked.id: roots, "other": accepted(answer="x")}) == ({}, {})
