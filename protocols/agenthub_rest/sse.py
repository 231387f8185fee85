"""Streams on the wire: slices of events as server-sent events (agent-server.md §2).

Every event carries `id:` = its `seq`, so that every stream can be resumed. A slice is written with one
send; payloads go out as the bytes that were recorded. Unlike the Agent Server, a stream ends with an
`end` event that says how the run ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agenthub import events
from agenthub.events import Event
from agenthub.json import dumps
from agenthub_rest.messages import Messages


class Frames:
    """Renders one client's stream. `modes` are its stream modes; `after` is its Last-Event-ID."""

    def __init__(self, modes: Iterable[str], *, after: int = 0) -> None:
        self.modes = set(modes)
        self.after = after
        self.tuples = "messages-tuple" in self.modes
        self.messages = Messages() if "messages" in self.modes else None

    def render(self, slice_: Sequence[Event]) -> bytes:
        """The frames of a slice, possibly none."""
        return b"".join(frame for event in slice_ for frame in self._frames(event))

    def _frames(self, event: Event) -> Iterable[bytes]:
        kind = event.kind
        if kind == events.MESSAGES and self.messages is not None:
            made = self.messages.add(event.json())
            if event.seq > self.after:
                for name, body in made:
                    yield frame(_named(name, event.ns), dumps(body), event.seq)
        if event.seq <= self.after:
            return
        if kind == events.STARTED:
            if self.messages is not None:
                self.messages.restart()
            yield frame("metadata", event.data, event.seq)
        elif kind == events.ENDED:
            yield from _end(event)
        elif kind in self.modes and kind != events.MESSAGES:
            yield frame(_named(kind, event.ns), event.data, event.seq)
        elif kind == events.MESSAGES and self.tuples:
            yield frame(_named("messages", event.ns), event.data, event.seq)


def frame(name: str, data: bytes, id_: int) -> bytes:
    """One event."""
    return b"event: %s\r\ndata: %s\r\nid: %d\r\n\r\n" % (name.encode(), data, id_)


def _named(name: str, ns: str) -> str:
    return f"{name}|{ns}" if ns else name


def _end(event: Event) -> Iterable[bytes]:
    body = event.json()
    if body["status"] in ("error", "timeout") and body.get("error"):
        yield frame("error", dumps(body["error"]), event.seq)
    yield frame("end", dumps({"run_id": body["run_id"], "status": body["status"]}), event.seq)
