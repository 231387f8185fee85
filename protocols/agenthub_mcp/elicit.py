"""Questions put to the caller's user, and what of the user's reply reaches the agent.

With a response schema the agent gets the content of the form, or the lone value when the schema is
not an object, and only if it fits the schema; otherwise the user is asked again. Without one the form
offers `approved` and `response`, both optional, and the agent gets what was filled in: the boolean,
the text (decoded when it is a JSON object or list), or `{"approved", "response"}` when both were; a
form that was accepted empty is `True`. Whoever declines or cancels answers `{"action": …}`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final, cast

import mcp_types as types
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, ValidationError

from agenthub.errors import Invalid
from agenthub.interrupts import Interrupt
from agenthub.json import Json, JsonObject, loads, text
from agenthub.runs import Run
from agenthub_mcp import schemas
from agenthub_mcp.caller import Caller
from agenthub_mcp.forms import VALUE, form

log = logging.getLogger(__name__)

ATTEMPTS: Final = 3
"""How often a question is put in one request before the caller is told to answer it by a tool."""
_SAID_IN: Final = ("message", "question", "prompt", "text", "description", "title")


def requests(
    questions: Iterable[Interrupt], problems: Mapping[str, str]
) -> dict[str, types.ElicitRequest]:
    """The questions as the `inputRequests` of a result, by interrupt id."""
    return {
        q.id: types.ElicitRequest(
            params=types.ElicitRequestFormParams(
                message=_message(q, problems.get(q.id)),
                requested_schema=form(q.response_schema)[1],
            )
        )
        for q in questions
    }


def read(
    questions: Iterable[Interrupt], responses: Mapping[str, BaseModel]
) -> tuple[dict[str, Json], dict[str, str]]:
    """The answers in a client's `inputResponses`, and what is wrong with those that do not count.

    Responses to other questions, or of another kind, are passed over.
    """
    answers: dict[str, Json] = {}
    problems: dict[str, str] = {}
    for question in questions:
        reply = responses.get(question.id)
        if not isinstance(reply, types.ElicitResult):
            continue
        try:
            answers[question.id] = answer(question, reply)
        except Invalid as wrong:
            problems[question.id] = wrong.message
    return answers, problems


async def ask(caller: Caller, run: Run) -> dict[str, Json] | None:
    """Put a run's questions to a handshake client, one after the other; None when it did not answer."""
    answers: dict[str, Json] = {}
    for question in run.interrupts:
        problem: str | None = None
        for attempt in range(ATTEMPTS):
            reply = await _elicit(
                caller, question, problem, f"{run.run_id}:{question.id}:{attempt}"
            )
            if reply is None:
                return None
            try:
                answers[question.id] = answer(question, reply)
                break
            except Invalid as wrong:
                problem = wrong.message
        else:
            return None
    return answers


async def _elicit(
    caller: Caller, question: Interrupt, problem: str | None, key: str
) -> types.ElicitResult | None:
    params = types.ElicitRequestFormParams(
        message=_message(question, problem), requested_schema=form(question.response_schema)[1]
    )
    try:
        return await caller.elicit(params, key)
    except (MCPError, ValidationError) as refused:
        log.info("a client that declares elicitation did not answer: %s", refused)
        return None


def answer(question: Interrupt, reply: types.ElicitResult) -> Json:
    """What the agent gets for a reply.

    Raises:
        Invalid: it does not fit the question's schema.
    """
    if reply.action != "accept":
        return {"action": reply.action}
    content: JsonObject = dict(reply.content or {})
    kind, _ = form(question.response_schema)
    if kind == "open":
        filled_in = {k: v for k, v in content.items() if v not in (None, "")}
        return checked(question, _open_answer(filled_in))
    if kind == "fields":
        return checked(question, content)
    if VALUE not in content:
        raise Invalid("An answer is needed.")
    value = content[VALUE]
    return checked(question, _decoded(value) if kind == "json" else value)


def checked(question: Interrupt, value: Json) -> Json:
    """The value, when it fits the question's schema.

    Raises:
        Invalid: it does not.
    """
    if question.response_schema is not None:
        wrong = schemas.problems(schemas.validator(question.response_schema), value)
        if wrong is not None:
            raise Invalid(f"The answer does not fit the question {question.id!r}: {wrong}")
    return schemas.storable(value)


def _open_answer(content: JsonObject) -> Json:
    response: Json = content.get("response")
    if isinstance(response, str) and response.lstrip()[:1] in ("{", "["):
        with suppress(ValueError):  # words may begin with a bracket, too
            response = loads(response)
    if "response" not in content:
        return content.get("approved", True)
    if "approved" not in content:
        return response
    return {"approved": content["approved"], "response": response}


def _decoded(value: Json) -> Json:
    try:
        return loads(str(value))
    except ValueError:
        raise Invalid("The answer must be JSON.") from None


def _message(question: Interrupt, problem: str | None) -> str:
    said = _said(question.value)
    return said if problem is None else f"{problem}\n\n{said}"


def _said(value: Json) -> str:
    """The question in words: its text, and whatever else it carries as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        fields = cast("JsonObject", value)
        for key in _SAID_IN:
            words = fields.get(key)
            if isinstance(words, str) and words:
                rest = {k: v for k, v in fields.items() if k != key}
                return f"{words}\n\n{text(rest)}" if rest else words
    return text(value)
