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


def no_page(_: Interrupt) -> None:
    """Every question is answered in a form."""


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
    (asked,) = elicit.requests([question(None, value)], {}, no_page).values()
    assert asked.params.message == message


def test_replies_to_other_questions_or_of_another_kind_are_passed_over() -> None:
    asked = question({"type": "string"})
    roots = types.ListRootsResult(roots=[])
    given = {asked.id: roots, "other": accepted(answer="x")}
    assert elicit.read([asked], given, no_page) == elicit.Replies()


def test_choices_keep_their_titles_and_may_be_several() -> None:
    titled = [{"const": "r", "title": "Red"}, {"const": "b", "title": "Blue"}]
    old = {"type": "string", "enum": ["r", "b"], "enumNames": ["Red", "Blue"]}
    fields = {
        "one": {"type": "string", "oneOf": titled, "default": "r"},
        "old": old,
        "several": {"type": "array", "items": {"type": "string", "enum": ["r"]}, "minItems": 1},
        "titled": {"type": "array", "items": {"anyOf": titled}},
    }
    referred = {**fields, "named": {"type": "array", "items": {"$ref": "#/$defs/Colour"}}}
    colour = {"enum": ["r", "b"], "type": "string"}
    schema = {"type": "object", "properties": referred, "$defs": {"Colour": colour}}
    kind, shown = form(schema)
    assert kind == "fields"
    assert shown["properties"] == {**fields, "named": {"type": "array", "items": colour}}


@pytest.mark.parametrize(
    "field",
    [
        {"type": "array", "items": {"type": "integer"}},
        {"type": "array"},
        {"oneOf": [{"const": 1, "title": "One"}, {"const": 2, "title": "Two"}]},
        {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    ],
)
def test_a_list_or_choice_of_anything_but_texts_is_no_field(field: dict[str, Any]) -> None:
    kind, _ = form({"type": "object", "properties": {"x": field}, "required": ["x"]})
    assert kind == "json"


def test_a_question_goes_by_the_name_that_its_schema_has() -> None:
    def asked(id_: str, name: str | None) -> Interrupt:
        schema = None if name is None else {"type": "string", "$anchor": name}
        return Interrupt(id_, "?", schema)

    questions = [asked("a", "user"), asked("b", None), asked("c", "twice"), asked("d", "twice")]
    assert list(elicit.by_name(questions)) == ["user", "b", "c", "d"]
    assert list(elicit.requests(questions, {}, no_page)) == ["a", "b", "c", "d"]
    assert list(elicit.requests(questions, {}, no_page, named=True)) == ["user", "b", "c", "d"]
    given = accepted(answer="Ann")
    assert elicit.read(questions, {"user": given}, no_page).answers == {"a": "Ann"}
    assert elicit.read(questions, {"a": given}, no_page).answers == {"a": "Ann"}
    assert elicit.read(questions, {"twice": given}, no_page).answers == {}
