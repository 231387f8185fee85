"""Events: what happened in a task, in order, durable before anyone sees it.

`seq` is dense within a task (1, 2, 3 …) and assigned by its single fenced writer. `data` is JSON that
was encoded once, where the event arose, and travels as bytes to every reader. A slice is a run of
consecutive events; it is what the log, the tail and the streams pass on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, cast
from uuid import UUID

from agenthub.json import Json, JsonObject, dumps, loads

STARTED: Final = "started"
"""An attempt began: `{"run_id", "attempt"}`. From attempt 2 on, readers drop unfinished partials."""
ENDED: Final = "ended"
"""A run ended: `{"run_id", "status", "error", "interrupts"}`. `status` as in `runs.RunStatus`."""
VALUES: Final = "values"
UPDATES: Final = "updates"
MESSAGES: Final = "messages"
"""`[message_chunk, metadata]`: a delta, in LangChain's JSON shape."""
CUSTOM: Final = "custom"
CHECKPOINTS: Final = "checkpoints"
EMITTED: Final = "emitted"
"""What the agent said beside its result (`emit`): `{"name": "artifact" | "message", "payload": {"parts",
"step", …}}`, recorded for every run, in the shape in which `custom` events have a name. See `emitted`."""

RECORDED: Final = frozenset({MESSAGES, CUSTOM, UPDATES})
"""Recorded for every run; the last `values` is recorded too, other modes when the creator asks."""
MODES: Final = frozenset(
    {VALUES, UPDATES, MESSAGES, CUSTOM, "tasks", "checkpoints", "debug", "events", "tools"}
)


@dataclass(frozen=True, slots=True)
class Event:
    """One row of a task's log. `ns` is the subgraph's namespace, parts joined by `|`."""

    seq: int
    run_id: UUID
    kind: str
    data: bytes
    ns: str = ""

    def json(self) -> Json:
        """The payload, decoded."""
        return loads(self.data)


def started(run_id: UUID, attempt: int) -> bytes:
    """Payload of a `started` event; `at` is when, for display."""
    return dumps({"run_id": str(run_id), "attempt": attempt, "at": datetime.now(UTC)})


def ended(
    run_id: UUID,
    status: str,
    *,
    error: JsonObject | None = None,
    interrupts: Sequence[JsonObject] = (),
) -> bytes:
    """Payload of an `ended` event; `error` is `{"error": class, "message": sentence}`."""
    body: JsonObject = {"run_id": str(run_id), "status": status, "at": datetime.now(UTC)}
    if error is not None:
        body["error"] = error
    if interrupts:
        body["interrupts"] = list(interrupts)
    return dumps(body)


def text_delta(event: Event) -> str:
    """The text that a `messages` event adds to the agent's answer; empty for anything else."""
    if event.kind != MESSAGES:
        return ""
    chunk = event.json()[0]
    if not str(chunk.get("type", "")).lower().startswith("ai"):
        return ""
    return content_text(chunk.get("content"))


def content_text(content: Json) -> str:
    """The text of a message's content: a string, or the text blocks of a list."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts: list[str] = []
    for block in cast("list[Json]", content):
        if isinstance(block, str):
            parts.append(block)
        elif isinstance(block, dict):
            fields = cast("JsonObject", block)
            if fields.get("type") == "text":
                parts.append(str(fields.get("text", "")))
    return "".join(parts)


def pack(events: Sequence[Event]) -> bytes:
    """Encode a slice for the tail: a JSON line of heads by run, then the payloads, untouched."""
    heads: list[Json] = []
    run_id: UUID | None = None
    for e in events:
        if e.run_id != run_id:
            # ids are named once for the events that follow: reading one costs as much as the rest
            run_id = e.run_id
            heads.append(str(run_id))
        heads.append([e.seq, e.kind, e.ns, len(e.data)])
    return b"".join((dumps(heads), b"\n", *(e.data for e in events)))


def unpack(packed: bytes) -> list[Event]:
    """Decode what `pack` made."""
    head, _, body = packed.partition(b"\n")
    events: list[Event] = []
    run_id = UUID(int=0)
    at = 0
    for item in loads(head):
        if isinstance(item, str):
            run_id = UUID(item)
            continue
        seq, kind, ns, size = item
        events.append(Event(seq, run_id, kind, body[at : at + size], ns))
        at += size
    return events
