"""Questions put to the caller's user, and what of the user's reply reaches the agent.

With a response schema the agent gets the content of the form, or the lone value when the schema is
not an object, and only if it fits the schema; otherwise the user is asked again. Without one the form
offers `approved` and `response`, both optional, and the agent gets what was filled in: the boolean,
the text (decoded when it is a JSON object or list), or `{"approved", "response"}` when both were; a
form that was accepted empty is `True`. Whoever declines or cancels answers `{"action": …}`.

A question goes by its id, and, where the agent gave it one, by a name: the `$anchor` of its response schema.
One that has a page of its own is put as a link to it: to accept that is to go there, and the answer comes
from the page.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

import mcp_types as types
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, ValidationError

from agenthub.errors import Invalid
from agenthub.interrupts import Interrupt, asks_to_sign_in, sign_in_page
from agenthub.json import Json, JsonObject, loads, text
from agenthub.runs import Run
from agenthub_mcp import schemas
from agenthub_mcp.caller import Caller
from agenthub_mcp.exchange import Withdrawn
from agenthub_mcp.forms import VALUE, form

log = logging.getLogger(__name__)

ATTEMPTS: Final = 3
"""How often a question is put in one request before the caller is told to answer it by a tool."""
SENSITIVE: Final = "sensitive"
"""Set in a question's value: the answer is not for the client to see."""
_SAID_IN: Final = ("message", "question", "prompt", "text", "description", "title")


def by_name(questions: Iterable[Interrupt]) -> dict[str, Interrupt]:
    """The questions by what the agent calls them; by their ids where it does not, or not clearly."""
    asked = list(questions)
    names = [(q.response_schema or {}).get("$anchor") for q in asked]
    named = zip(names, asked, strict=True)
    return {n if isinstance(n, str) and names.count(n) == 1 else q.id: q for n, q in named}


Link: TypeAlias = Callable[[Interrupt], str | None]
"""The page where the caller's user answers a question; None for one that is answered in a form."""
Settling: TypeAlias = Callable[[Interrupt], Coroutine[Any, Any, object]]
"""Waits until a question is open no more, whoever answered or closed it."""


@dataclass(frozen=True, slots=True)
class Replies:
    """What a client's replies come to: answers, what is wrong with others, and the questions whose
    answers will come from their pages. All by interrupt id."""

    answers: dict[str, Json] = field(default_factory=dict[str, Json])
    problems: dict[str, str] = field(default_factory=dict[str, str])
    elsewhere: set[str] = field(default_factory=set[str])


def requests(
    questions: Iterable[Interrupt],
    problems: Mapping[str, str],
    link: Link,
    *,
    named: bool = False,
) -> dict[str, types.ElicitRequest]:
    """The questions as the `inputRequests` of a result, by interrupt id, or by name where they have one."""
    asked = list(questions)
    by_key = by_name(asked) if named else {q.id: q for q in asked}
    return {
        key: types.ElicitRequest(params=_params(q, problems.get(q.id), link(q)))
        for key, q in by_key.items()
    }


def read(questions: Iterable[Interrupt], responses: Mapping[str, BaseModel], link: Link) -> Replies:
    """What a client's `inputResponses`, by id or name, come to.

    Responses to other questions, or of another kind, are passed over.
    """
    replies = Replies()
    asked = list(questions)
    for key, question in by_name(asked).items():
        reply = responses.get(question.id, responses.get(key))
        if not isinstance(reply, types.ElicitResult):
            continue
        if reply.action == "accept" and link(question) is not None:
            replies.elsewhere.add(question.id)
            continue
        try:
            replies.answers[question.id] = answer(question, reply)
        except Invalid as wrong:
            replies.problems[question.id] = wrong.message
    return replies


async def ask(caller: Caller, run: Run, link: Link, settling: Settling) -> Replies | None:
    """Put a run's questions to a handshake client, one after the other; None when it did not answer. Those
    that are settled meanwhile are left out."""
    replies = Replies()
    for question in run.interrupts:
        problem: str | None = None
        for attempt in range(ATTEMPTS):
            page = link(question)
            key = f"{run.run_id}:{question.id}:{attempt}"
            params = _params(question, problem, page)
            try:
                reply = await _elicit(caller, params, key, settling(question))
            except Withdrawn:
                break
            if reply is None:
                return None
            if reply.action == "accept" and page is not None:
                replies.elsewhere.add(question.id)
                break
            try:
                replies.answers[question.id] = answer(question, reply)
                break
            except Invalid as wrong:
                problem = wrong.message
        else:
            return None
    return replies


async def _elicit(
    caller: Caller,
    params: types.ElicitRequestParams,
    key: str,
    settled: Coroutine[Any, Any, object],
) -> types.ElicitResult | None:
    try:
        return await caller.elicit(params, key, settled)
    except (MCPError, ValidationError) as refused:
        log.info("a client that declares elicitation did not answer: %s", refused)
        return None


def _params(
    question: Interrupt, problem: str | None, page: str | None
) -> types.ElicitRequestParams:
    message = _message(question, problem)
    if page is not None:
        return types.ElicitRequestURLParams(
            message=f"{message}\n\nAnswer on this page.", url=page, elicitation_id=question.id
        )
    return types.ElicitRequestFormParams(
        message=message, requested_schema=form(question.response_schema)[1]
    )


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
    said = in_words(question.value)
    return said if problem is None else f"{problem}\n\n{said}"


def in_words(value: Json) -> str:
    """The question in words: its text, and whatever else it carries as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        fields = {k: v for k, v in cast("JsonObject", value).items() if k != SENSITIVE}
        if asks_to_sign_in(fields):
            return "\n\n".join([fields["prompt"], *filter(None, [sign_in_page(fields)])])
        for key in _SAID_IN:
            words = fields.get(key)
            if isinstance(words, str) and words:
                rest = {k: v for k, v in fields.items() if k != key}
                return f"{words}\n\n{text(rest)}" if rest else words
        return text(fields)
    return text(value)
