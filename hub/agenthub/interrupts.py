"""Interrupts: the open questions of a paused task, and what counts as an answer.

A question is answered by its id, once, while it is open. LangGraph itself ignores unknown ids and
stores a bare resume for the *next* question; both lose an answer, so the hub refuses them instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from agenthub.errors import Invalid, UnknownInterrupt
from agenthub.json import Json, JsonObject

AUTH: Final = "auth"
"""The `kind` of a question that asks its user to sign in (`emit.authorization`, `adapting.Ask`)."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """An open question. `step` is the id of the paused graph task that asked it."""

    id: str
    value: Json
    response_schema: JsonObject | None = None
    step: str = ""

    def public(self) -> JsonObject:
        """As clients see it: `{"id", "value", "response_schema"}`."""
        return {"id": self.id, "value": self.value, "response_schema": self.response_schema}


def asks_to_sign_in(value: Json) -> bool:
    """Whether a question wants its user to sign in: `{"kind": "auth", "prompt", "payload": {"url", …}}`."""
    if not isinstance(value, dict):
        return False
    asked = cast("JsonObject", value)
    return asked.get("kind") == AUTH and isinstance(asked.get("prompt"), str)


def sign_in_page(value: Json) -> str | None:
    """Where to sign in, if the question says it with an address of the web."""
    payload: Json = cast("JsonObject", value).get("payload") if asks_to_sign_in(value) else None
    url: Json = cast("JsonObject", payload).get("url") if isinstance(payload, dict) else None
    return url if isinstance(url, str) and url.startswith(("https://", "http://")) else None


def to_rows(interrupts: Iterable[Interrupt]) -> JsonObject:
    """As stored: an object by id, so that SQL can test membership without decoding."""
    return {
        i.id: {"value": i.value, "response_schema": i.response_schema, "step": i.step}
        for i in interrupts
    }


def from_rows(rows: Mapping[str, JsonObject] | None) -> tuple[Interrupt, ...]:
    """Read what `to_rows` wrote."""
    return tuple(
        Interrupt(id, row.get("value"), row.get("response_schema"), str(row.get("step") or ""))
        for id, row in (rows or {}).items()
    )


def answers_for(open_: Iterable[Interrupt], answer: Json) -> dict[str, Json]:
    """Turn what a client sent into answers by id.

    A mapping whose keys are all ids of open questions answers those; any other value answers the
    only open question.

    Raises:
        UnknownInterrupt: no question is open, or an id in the mapping is not open.
        Invalid: several questions are open and the value does not say which it answers.
    """
    questions = {i.id: i for i in open_}
    if not questions:
        raise UnknownInterrupt("no question is open on this thread, so there is nothing to resume")
    if isinstance(answer, dict) and answer:
        keys = {str(k) for k in answer}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        if keys <= questions.keys():
            return {str(k): v for k, v in answer.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        if any(looks_like_id(k) for k in keys):
            raise unknown(sorted(keys - questions.keys()), questions)
    if len(questions) > 1:
        raise Invalid(
            "several questions are open: answer with a mapping of interrupt id to value, "
            f"of {', '.join(sorted(questions))}",
            open=sorted(questions),
        )
    return {next(iter(questions)): answer}


def unknown(ids: Iterable[str], open_: Iterable[str]) -> UnknownInterrupt:
    """The refusal of answers to questions that are not open, naming those that are."""
    names = sorted(open_)
    listed = ", ".join(names) if names else "none"
    wrong = ", ".join(repr(i) for i in ids)
    return UnknownInterrupt(f"interrupt {wrong} is not open; open: {listed}", open=names)


def looks_like_id(key: str) -> bool:
    """Whether a key has the form of an interrupt id (32 hex digits), rather than of user data."""
    return len(key) == 32 and all(c in "0123456789abcdef" for c in key)
