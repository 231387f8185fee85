"""Questions: what a paused task asks, as a status message, and what counts as its answer.

Every answer leaves this module by interrupt id, so that the core never has to guess. A message that
does not fit the question changes nothing: the task stays INPUT_REQUIRED.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from a2a.types.a2a_pb2 import Message, Part

from agenthub.errors import Invalid
from agenthub.interrupts import Interrupt, sign_in_page, unknown
from agenthub.json import Json, JsonObject, dumps, text
from agenthub_a2a.fitting import misfit
from agenthub_a2a.parts import data_part, text_part, texts_and_data

YES: Final = frozenset({"true", "yes", "y"})
NO: Final = frozenset({"false", "no", "n"})


def question_parts(interrupts: Sequence[Interrupt]) -> list[Part]:
    """A readable text, and `{"interrupts": [{"id", "value", "responseSchema"}]}` as data."""
    listed: list[JsonObject] = []
    for asked in interrupts:
        entry: JsonObject = {"id": asked.id, "value": asked.value}
        if asked.response_schema is not None:
            entry["responseSchema"] = asked.response_schema
        listed.append(entry)
    asked_text = "\n".join(_readable(i.value) for i in interrupts)
    return [text_part(asked_text), data_part({"interrupts": listed})]


def answers(message: Message, open_: Sequence[Interrupt]) -> dict[str, Json]:
    """What a message answers, by interrupt id.

    A data part `{"interrupts": {id: value}}` answers by id; otherwise a data part, or else the text,
    answers the only open question.

    Raises:
        Invalid: it is empty, ambiguous, or does not fit the question's response schema.
        UnknownInterrupt: an id is not open.
    """
    questions = {i.id: i for i in open_}
    texts, data = texts_and_data(message.parts)
    for value in data:
        if isinstance(value, dict) and isinstance(
            named := cast("JsonObject", value).get("interrupts"), dict
        ):
            return _by_id(cast("JsonObject", named), questions)
    if len(questions) != 1:
        raise Invalid(
            f"{len(questions)} questions are open: answer with a data part "
            f'{{"interrupts": {{id: value}}}}, of {", ".join(sorted(questions))}',
            open=sorted(questions),
        )
    (only,) = questions.values()
    if len(data) > 1 or not (data or texts):
        raise Invalid("the message answers nothing: send one data part, or text")
    return {only.id: _checked(data[0] if data else _converted("\n".join(texts), only), only)}


def _by_id(named: JsonObject, questions: dict[str, Interrupt]) -> dict[str, Json]:
    if not named:
        raise Invalid('"interrupts" names no question')
    if wrong := sorted(named.keys() - questions.keys()):
        raise unknown(wrong, questions)
    return {id: _checked(value, questions[id]) for id, value in named.items()}


def _converted(said: str, question: Interrupt) -> Json:
    """Text as the type that the question wants, where it wants no string."""
    wanted: str | list[str] = (question.response_schema or {}).get("type", "string")
    kinds = {wanted} if isinstance(wanted, str) else set(wanted)
    if "string" in kinds:
        return said
    word = said.strip().rstrip(".!").lower()
    if "boolean" in kinds and word in YES | NO:
        return word in YES
    for kind, parse in (("integer", int), ("number", float)):
        if kind in kinds:
            try:
                return parse(word)
            except ValueError:
                continue
    return said


def _checked(value: Json, question: Interrupt) -> Json:
    if (wrong := misfit(value, question.response_schema)) is not None:
        raise Invalid(
            f"the answer does not fit question {question.id!r}: {wrong}", open=[question.id]
        )
    return value


def _readable(value: Json) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        asked = cast("JsonObject", value)
        if (page := sign_in_page(asked)) is not None:
            return f"{asked['prompt']}\n{page}"
        for key in ("question", "message", "prompt", "description"):
            if isinstance(asked.get(key), str):
                return asked[key]
        if isinstance(asked.get("action_requests"), list):
            return "\n".join(_action(a) for a in cast("list[JsonObject]", asked["action_requests"]))
    return text(value)


def _action(request: JsonObject) -> str:
    described = request.get("description")
    if isinstance(described, str):
        return described
    name = request.get("name") or request.get("action") or "the action"
    return f"Approve {name} {dumps(request.get('args') or {}).decode()}?"
