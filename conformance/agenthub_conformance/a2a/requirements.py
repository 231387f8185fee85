"""What A2A 1.0 asks of a server: every behaviour with an id, a section, a level and a sentence.

Checks carry these ids (`@requirement("get:unknown")`); a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Level: TypeAlias = Literal["MUST", "SHOULD", "MAY"]
Binding: TypeAlias = Literal["JSONRPC", "HTTP+JSON", "GRPC"]
ALL: Final[tuple[Binding, ...]] = ("JSONRPC", "HTTP+JSON", "GRPC")
RPC: Final[tuple[Binding, ...]] = ("JSONRPC",)
REST: Final[tuple[Binding, ...]] = ("HTTP+JSON",)
HTTP: Final[tuple[Binding, ...]] = ("JSONRPC", "HTTP+JSON")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One behaviour. `capability` is that of the card without which it is not asked for."""

    id: str
    section: str
    sentence: str
    level: Level
    bindings: tuple[Binding, ...] = ALL
    capability: str = ""


def _table(section: str, *rows: tuple[str, Level, str]) -> Iterable[Requirement]:
    for id_, level, sentence in rows:
        yield Requirement(id_, section, sentence, level, _bindings(id_), _capability(id_))


def _bindings(id_: str) -> tuple[Binding, ...]:
    return {"jsonrpc": RPC, "http": REST, "query": HTTP}.get(id_.partition(":")[0], ALL)


def _capability(id_: str) -> str:
    kinds = {"stream": "streaming", "subscribe": "streaming", "push": "pushNotifications"}
    return kinds.get(id_.partition(":")[0], "")


_SEND = _table(
    "3.1.1",
    ("send:blocking", "MUST", "A message is answered when its task has ended or asks something."),
    ("send:immediately", "MUST", "With returnImmediately the answer does not wait for the task."),
    ("send:unknown-task", "MUST", "A task id that the server did not make is not found."),
    ("send:ended-task", "MUST", "A message to a task that has ended is unsupported."),
    ("send:required", "MUST", "A message without parts is refused as invalid parameters."),
    ("send:again", "MUST", "The same message, sent twice without a task id, makes two tasks."),
    ("send:failed", "MUST", "An agent that fails leaves a task that says FAILED."),
)
_CONTEXT = _table(
    "3.4",
    ("context:made", "MUST", "Every task has a context id, made by the server where none came."),
    ("context:kept", "MUST", "A context id that came is kept or refused, never replaced."),
    (
        "context:inferred",
        "MUST",
        "An answer with nothing but the task id joins the task's context.",
    ),
    ("context:mismatch", "MUST", "A task id with the context id of another task is refused."),
)
_STREAM = _table(
    "3.1.2",
    ("stream:begins", "MUST", "The stream of a task begins with the task."),
    ("stream:ends", "MUST", "It closes with the task's end, and the last state is the end's."),
    ("stream:same", "MUST", "Two streams of a task tell the same updates in the same order."),
    ("stream:chunks", "MUST", "An artifact that grows is made by its first chunk and added to."),
    ("stream:message", "MUST", "A stream that is answered by a message is that message alone."),
)
_SUBSCRIBE = _table(
    "3.1.6",
    ("subscribe:snapshot", "MUST", "A subscription begins with the task as it stands."),
    ("subscribe:open", "MUST", "It stays open through INPUT_REQUIRED, to the task's end."),
    ("subscribe:ended", "MUST", "A subscription to a task that has ended is unsupported."),
    ("subscribe:unknown", "MUST", "A subscription to an unknown task is not found."),
)
_GET = _table(
    "3.1.3",
    ("get:same", "MUST", "A task is read as it was answered."),
    ("get:unknown", "MUST", "An unknown task is not found."),
    ("get:history", "MUST", "historyLength 0 leaves the history out, n gives n messages at most."),
    ("get:negative", "SHOULD", "A negative historyLength is refused as invalid parameters."),
)
_LIST = _table(
    "3.1.4",
    ("list:context", "MUST", "The filter by context leaves only tasks of that context."),
    ("list:status", "MUST", "The filter by status leaves only tasks in that state."),
    ("list:status-unknown", "MUST", "A status that does not exist is refused, and not ignored."),
    ("list:pages", "MUST", "Pages follow each other by token, without a gap or a repeat."),
    ("list:order", "MUST", "The latest change comes first."),
    ("list:artifacts", "MUST", "Artifacts are left out unless they are asked for."),
    ("list:lean", "MAY", "A listed task has no fields that are empty."),
    ("list:size", "MUST", "A page size below 1 or above 100 is refused as invalid parameters."),
)
_CANCEL = _table(
    "3.1.5",
    ("cancel:canceled", "MUST", "A task that is cancelled says CANCELED, and stays so."),
    ("cancel:ended", "MUST", "A task that has ended cannot be cancelled."),
    ("cancel:unknown", "MUST", "An unknown task is not found."),
    ("cancel:metadata", "MUST", "A cancellation may say more in its metadata."),
)
_PUSH = _table(
    "3.1.7",
    ("push:kept", "MUST", "A config is made, read and listed."),
    ("push:missing", "MUST", "A config that is not there is not found."),
    (
        "push:delivered",
        "MUST",
        "A webhook is told of the task's end as a stream response, with its credentials.",
    ),
    ("push:deleted", "MUST", "A config is removed, and to remove it again is no error."),
)
_VERSION = _table(
    "3.6",
    ("version:unknown", "MUST", "A version that is not served is refused as such."),
    ("version:minor", "MUST", "A minor version that is not served is refused, too."),
    ("query:version", "MAY", "The version may come as a query parameter, and is heeded there."),
    (
        "extension:required",
        "MUST",
        "Without an extension that the card requires, a message is refused.",
    ),
)
_CARD = _table(
    "8",
    ("extended:absent", "MUST", "Without the capability, the extended card is unsupported."),
    ("http:card", "MUST", "The card is at its well-known place and has every required field."),
    ("http:card-cache", "SHOULD", "The card says how long it holds, and has a tag."),
)
_BINDING = _table(
    "9 to 11",
    ("jsonrpc:parse", "MUST", "What is no JSON is a parse error."),
    ("jsonrpc:method", "MUST", "An unknown method is not found."),
    ("jsonrpc:id", "MUST", "An answer has the id of its request."),
    ("http:type", "SHOULD", "Answers are application/a2a+json."),
    ("http:error", "MUST", "An error has its HTTP status, a google.rpc status and an ErrorInfo."),
    ("http:tenant", "MUST", "Every path exists below a tenant, too."),
)

REQUIREMENTS: Final[Mapping[str, Requirement]] = {
    one.id: one
    for table in (
        _SEND, _CONTEXT, _STREAM, _SUBSCRIBE, _GET, _LIST, _CANCEL, _PUSH, _VERSION, _CARD, _BINDING,
    )
    for one in table
}  # fmt: skip
