"""SSE ids: every event of a stream carries the generation that it brings its reader to.

A reader that comes back with `Last-Event-ID` goes on behind it. The result of a run and its end are one
generation, so the result has no id: whoever heard only that hears both again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final, TypeAlias, cast

from a2a.utils.errors import InvalidParamsError
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse
from starlette.responses import Response

from agenthub.json import JsonObject, loads
from agenthub_a2a.card import GENERATION
from agenthub_a2a.convert import RESULT

Sent: TypeAlias = "dict[str, str] | ServerSentEvent"
DIGITS: Final = 18


def numbered(response: Response) -> Response:
    """The response, with ids where it is a stream."""
    if isinstance(response, EventSourceResponse):
        response.body_iterator = _numbered(cast("Any", response).body_iterator)
    return response


def position(last_event_id: str) -> int:
    """The generation that a reader has reached.

    Raises:
        InvalidParamsError: no stream ever had such an id.
    """
    if not (last_event_id.isdecimal() and last_event_id.isascii() and len(last_event_id) <= DIGITS):
        raise InvalidParamsError(
            f"Last-Event-ID {last_event_id[:40]!r} is not the id of an event; leave it out to begin "
            "with the task"
        )
    return int(last_event_id)


async def _numbered(events: AsyncGenerator[Sent]) -> AsyncIterator[Sent]:
    async with aclosing(events):
        async for event in events:
            # one dispatcher of the SDK writes the one, the other the other
            data: str = event["data"] if isinstance(event, dict) else str(event.data)
            id = _generation(loads(data.encode()))
            if id is None:
                yield event
            elif isinstance(event, dict):
                yield {**event, "id": str(id)}
            else:
                yield ServerSentEvent(event.data, event=event.event, id=str(id))


def _generation(said: JsonObject) -> int | None:
    """Of a stream response: bare or as the result of a JSON-RPC one, as 1.0 or 0.3 has it."""
    body: JsonObject = said.get("result") or said
    kind = next((k for k in ("task", "statusUpdate", "artifactUpdate") if k in body), None)
    update: JsonObject = body if kind is None else body[kind]
    if update.get("artifact", {}).get("artifactId") == RESULT:
        return None
    metadata: JsonObject = update.get("metadata") or {}
    return int(metadata[GENERATION]) if GENERATION in metadata else None
