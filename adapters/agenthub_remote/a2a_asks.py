"""Questions of a remote task: what it asks, as our asks, and our answers, as the message that it takes.

An Agent Hub says each open question with its id, its value and the schema of its answer, and takes
answers by id; so each is a question here, too. Anybody else's task has one question, in words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, cast, get_args

from a2a.types.a2a_pb2 import Message, Part, Task, TaskState

from agenthub.adapting import Ask, AskKind
from agenthub.json import Json, JsonObject
from agenthub_remote import a2a_parts

KINDS: Final[frozenset[str]] = frozenset(get_args(AskKind))
PROMPTS: Final = ("prompt", "question", "message", "description")
PLAIN: Final = "answer"
"""The id of the one question of a task that names none."""


def asks_of(task_id: str, state: TaskState, message: Message) -> list[Ask]:
    """What a task that waits wants to know."""
    said = a2a_parts.words(message)
    auth = state == TaskState.TASK_STATE_AUTH_REQUIRED
    named = [ask for value in a2a_parts.data(message.parts) for ask in _named(value)]
    if named:
        return [replace(ask, kind="auth") for ask in named] if auth else named
    shown = a2a_parts.data(message.parts)
    wanted = "needs you to sign in" if auth else "needs an answer"
    return [
        Ask(
            id=f"{task_id}/{PLAIN}",
            kind="auth" if auth else "input",
            prompt=said or f"The remote agent {wanted}.",
            payload=shown[0] if len(shown) == 1 else shown or None,
        )
    ]


def is_plain(asks: Sequence[str]) -> bool:
    """Whether what is open is a question in words, so that any message answers it."""
    return len(asks) == 1 and asks[0].endswith(f"/{PLAIN}")


def answer_parts(asks: Sequence[str], answers: Mapping[str, Json]) -> list[Part]:
    """The message that answers all of the open questions; None of one is no answer to it."""
    if not is_plain(asks):
        return [a2a_parts.data_part({"interrupts": {id: answers.get(id) for id in asks}})]
    answer = answers.get(asks[0])
    if isinstance(answer, str):
        return [a2a_parts.text_part(answer)]
    refused = _refusal(answer)
    if refused:
        return [a2a_parts.text_part(refused), a2a_parts.data_part(answer)]
    if isinstance(answer, bool):
        return [a2a_parts.text_part("yes" if answer else "no")]
    return [a2a_parts.data_part(answer)]


def question_id(task: Task) -> str:
    """What tells a question from the one before it on the same task."""
    return task.status.message.message_id


def _named(value: Json) -> list[Ask]:
    fields = cast("JsonObject", value) if isinstance(value, dict) else {}
    listed = fields.get("interrupts")
    if not isinstance(listed, list):
        return []
    questions = [cast("JsonObject", q) for q in cast("list[Json]", listed) if isinstance(q, dict)]
    return [_ask(q) for q in questions if isinstance(q.get("id"), str)]


def _ask(question: JsonObject) -> Ask:
    value = question.get("value")
    fields = cast("JsonObject", value) if isinstance(value, dict) else {}
    prompts = (fields.get(name) for name in PROMPTS)
    prompt = next((p for p in prompts if isinstance(p, str)), None)
    schema = question.get("responseSchema")
    kind = fields.get("kind")
    return Ask(
        id=str(question["id"]),
        kind=cast("AskKind", kind) if kind in KINDS else "input",
        prompt=prompt or (value if isinstance(value, str) else "The remote agent asks."),
        payload=value,
        schema=cast("JsonObject", schema) if isinstance(schema, dict) else None,
    )


def _refusal(answer: Json) -> str:
    fields = cast("JsonObject", answer) if isinstance(answer, dict) else {}
    if fields.get("action") not in ("decline", "cancel"):
        return ""
    said = next((s for s in map(fields.get, ("response", "reason", "message")) if s), None)
    return f"No. {said}" if isinstance(said, str) else "No."
