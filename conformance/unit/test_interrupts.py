"""Interrupts: what counts as an answer to what."""

from __future__ import annotations

from typing import Any

import pytest

from agenthub.errors import Conflict, Invalid, UnknownInterrupt
from agenthub.interrupts import Interrupt, answers_for, from_rows, looks_like_id, to_rows

ONE, TWO, OTHER = "1" * 32, "2" * 32, "f" * 32


def questions(*ids: str) -> list[Interrupt]:
    return [Interrupt(id, {"question": id}) for id in ids]


@pytest.mark.parametrize(
    ("open_", "answer", "answers"),
    [
        # by id
        ([ONE], {ONE: "yes"}, {ONE: "yes"}),
        ([ONE, TWO], {ONE: "yes", TWO: None}, {ONE: "yes", TWO: None}),
        ([ONE, TWO], {TWO: "yes"}, {TWO: "yes"}),
        (["short"], {"short": 1}, {"short": 1}),
        # anything else answers the only question
        ([ONE], "yes", {ONE: "yes"}),
        ([ONE], None, {ONE: None}),
        ([ONE], {}, {ONE: {}}),
        ([ONE], [ONE], {ONE: [ONE]}),
        ([ONE], {"approved": True}, {ONE: {"approved": True}}),
        ([ONE], {"1" * 31: True}, {ONE: {"1" * 31: True}}),
    ],
)
def test_an_answer_goes_to_the_question_that_it_names_or_to_the_only_one(
    open_: list[str], answer: Any, answers: dict[str, Any]
) -> None:
    assert answers_for(questions(*open_), answer) == answers


@pytest.mark.parametrize("answer", ["yes", {}, None, {ONE: "yes"}])
def test_there_is_nothing_to_answer_when_nothing_is_open(answer: Any) -> None:
    with pytest.raises(UnknownInterrupt, match="no question is open"):
        answers_for([], answer)


@pytest.mark.parametrize("answer", [{OTHER: "yes"}, {ONE: "yes", OTHER: "no"}, {ONE: 1, "a": 2}])
@pytest.mark.parametrize("open_", [[ONE], [ONE, TWO]])
def test_an_id_that_is_not_open_is_refused_with_those_that_are(
    answer: dict[str, Any], open_: list[str]
) -> None:
    with pytest.raises(UnknownInterrupt) as refused:
        answers_for(questions(*open_), answer)
    (wrong,) = answer.keys() - {ONE}
    listed = ", ".join(open_)
    assert refused.value.message == f"interrupt {wrong!r} is not open; open: {listed}"
    assert refused.value.details == {"open": open_}
    assert isinstance(refused.value, Conflict)


@pytest.mark.parametrize("answer", ["yes", None, {}, {"approved": True}, ["yes", "no"]])
def test_a_bare_answer_to_several_questions_is_refused(answer: Any) -> None:
    with pytest.raises(Invalid) as refused:
        answers_for(questions(TWO, ONE), answer)
    assert refused.value.details == {"open": [ONE, TWO]}
    assert ONE in refused.value.message


@pytest.mark.parametrize(
    ("key", "is_id"),
    [
        (ONE, True),
        ("0123456789abcdef" * 2, True),
        ("A" * 32, False),
        ("1" * 31, False),
        ("", False),
    ],
)
def test_ids_have_one_form(key: str, is_id: bool) -> None:
    assert looks_like_id(key) is is_id


def test_questions_survive_their_storage() -> None:
    asked = (
        Interrupt(ONE, {"q": 1}, {"type": "boolean"}, "step-1"),
        Interrupt(TWO, None),
    )
    assert from_rows(to_rows(asked)) == asked
    assert from_rows(None) == from_rows({}) == ()


def test_clients_see_the_question_and_not_the_step() -> None:
    asked = Interrupt(ONE, "Go?", {"type": "boolean"}, "step-1")
    assert asked.public() == {"id": ONE, "value": "Go?", "response_schema": {"type": "boolean"}}
