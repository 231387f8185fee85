"""Streams on the wire: slices of events as server-sent events (agent-server.md §2).

Every frame carries an `id:`, so that every stream can be resumed behind any frame. A slice is written
with one send; payloads go out as the bytes that were recorded. Unlike the Agent Server, a stream ends
with an `end` event that says how the run ended.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Message

from agenthub import events
from agenthub.events import Event
from agenthub.json import Json, dumps
from agenthub_rest.messages import Messages
from agenthub_rest.reading import is_digits

HEARTBEAT_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a stream: behind event `seq`, and `part` frames into the next.

    Most events make one frame, whose id is the `seq`. Where one makes several, only the last has that
    id and the others have `{seq - 1}-{part}`: a client that was cut off between them misses none.
    """

    seq: int = 0
    part: int = 0

    @classmethod
    def read(cls, text: str) -> Position | None:
        """An id as a client sends it back; None when it is none of ours."""
        seq, dash, part = text.partition("-")
        if not is_digits(seq) or (dash and not is_digits(part)):
            return None
        return cls(int(seq), int(part or 0))


START = Position()


class Frames:
    """Renders one client's stream. `modes` are its stream modes; `after` is its Last-Event-ID.

    `prefix` stands before every id. `lifecycle` shows how the run began and ended.
    """

    def __init__(
        self,
        modes: Iterable[str],
        *,
        after: Position = START,
        prefix: str = "",
        lifecycle: bool = True,
    ) -> None:
        self.after = after
        self._prefix = prefix
        self._lifecycle = lifecycle
        asked = set(modes)
        self.messages = Messages() if "messages" in asked else None
        # the modes whose events go out as they are, by the name that they go out with
        self._plain = {mode: mode for mode in asked - {"messages", "messages-tuple"}}
        if "messages-tuple" in asked and self.messages is None:
            self._plain[events.MESSAGES] = "messages"
        if events.CUSTOM in self._plain:
            # what agents emit has the shape of a custom event
            self._plain[events.EMITTED] = events.CUSTOM
        self._tuples = "messages-tuple" in asked
        if lifecycle:
            self._plain[events.STARTED] = "metadata"

    def render(self, slice_: Sequence[Event]) -> bytes:
        """The frames of a slice, possibly none."""
        out: list[bytes] = []
        for event in slice_:
            seq = event.seq
            name = self._plain.get(event.kind)
            if name is not None:
                if event.kind == events.STARTED and self.messages is not None:
                    self.messages.restart()
                if seq > self.after.seq:
                    id_ = f"{self._prefix}{seq}"
                    out.append(frame(_named(name, event.ns), event.data, id_))
                continue
            several = list(self._several(event))
            skipped = self.after.part if seq == self.after.seq + 1 else 0
            if seq <= self.after.seq:
                continue
            for part, (name, body) in enumerate(several[skipped:], skipped + 1):
                id_ = str(seq) if part == len(several) else f"{seq - 1}-{part}"
                out.append(frame(_named(name, event.ns), body, self._prefix + id_))
        return b"".join(out)

    def _several(self, event: Event) -> Iterator[tuple[str, bytes]]:
        if event.kind == events.MESSAGES and self.messages is not None:
            for name, value in self.messages.add(event.json()):
                yield name, dumps(value)
            if self._tuples:
                yield "messages", event.data
        elif event.kind == events.ENDED and self._lifecycle:
            yield from _end(event.json())


def frame(name: str, data: bytes, id_: str) -> bytes:
    """One event."""
    return b"event: %s\r\ndata: %s\r\nid: %s\r\n\r\n" % (name.encode(), data, id_.encode())


def answer(
    frames: AsyncIterator[bytes],
    *,
    headers: Mapping[str, str] | None = None,
    left: Callable[[Message], Awaitable[None]] | None = None,
) -> EventSourceResponse:
    """The response that sends frames, and comments while there are none. `left` is called when the
    client goes away."""
    return EventSourceResponse(
        frames,
        headers=headers,
        ping=HEARTBEAT_SECONDS,
        ping_message_factory=lambda: ServerSentEvent(comment="heartbeat"),
        # not a background task: that would also run when the server stops
        client_close_handler_callable=left,
    )


def _named(name: str, ns: str) -> str:
    # a node's name is a user's: a line break in it would break the frame
    return f"{name}|{' '.join(ns.splitlines())}" if ns else name


def _end(body: Json) -> Iterator[tuple[str, bytes]]:
    if body["status"] in ("error", "timeout") and body.get("error"):
        yield "error", dumps(body["error"])
    yield "end", dumps({"run_id": body["run_id"], "status": body["status"]})
