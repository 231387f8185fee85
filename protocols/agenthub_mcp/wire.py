"""Streams of calls on the wire: their messages as server-sent events, from any point, on any replica.

An event's id is `{stream}-{seq}`. A stream begins with an event without data for clients of 2025-11-25 and
later, so that they can resume before the first message; older ones would take it for a message.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, cast
from uuid import UUID

from mcp_types.version import is_version_at_least

from agenthub.events import Event
from agenthub.ports import EventLog, Tail
from agenthub.sessions import GONE, LAST, Session, SessionStore, Stream, StreamEnd
from agenthub.stream import Streams

PRIMED_SINCE: Final = "2025-11-25"
RETRY_MS: Final = 500


@dataclass(frozen=True, slots=True)
class _Log:
    """The streams of one session as `agenthub.ports.EventLog`, as far as following them needs it."""

    sessions: SessionStore
    session_id: UUID

    async def read(
        self, tenant: str, task_id: UUID, *, after: int, limit: int = 1000
    ) -> Sequence[Event]:
        return await self.sessions.read(tenant, self.session_id, task_id, after=after, limit=limit)


class Replay:
    """Passes streams on. `poll_seconds` is the safety net under lost wake-ups."""

    def __init__(self, sessions: SessionStore, tail: Tail, *, poll_seconds: float) -> None:
        self.sessions = sessions
        self.tail = tail
        self.poll_seconds = poll_seconds

    async def begun(self, session: Session, stream_id: UUID) -> AsyncGenerator[bytes]:
        """A stream that has just begun, and whose tail was prepared."""
        if is_version_at_least(session.version, PRIMED_SINCE):
            yield primer(f"{stream_id.hex}-0")
        async with aclosing(self._follow(session, stream_id, 0, replay=False)) as frames:
            async for frame in frames:
                yield frame

    async def after(
        self, session: Session, stream_id: UUID, seq: int, at: StreamEnd
    ) -> AsyncGenerator[bytes]:
        """What follows an event; nothing, when that was the last one."""
        if at.ended and seq >= at.seq:
            return
        async with aclosing(self._follow(session, stream_id, seq, replay=True)) as frames:
            async for frame in frames:
                yield frame

    def ended(self, stream: Stream, message: bytes) -> None:
        """Pass on the last message of a stream that was ended from outside."""
        last = Event(stream.last_seq, stream.stream_id, LAST, message)
        self.tail.publish(stream.stream_id, [last])

    async def _follow(
        self, session: Session, stream_id: UUID, seq: int, *, replay: bool
    ) -> AsyncGenerator[bytes]:
        log = cast("EventLog", _Log(self.sessions, session.session_id))  # following only reads
        streams = Streams(log, self.tail, poll_seconds=self.poll_seconds)
        events = streams.follow(session.tenant, stream_id, after=seq, replay=replay)
        async with aclosing(events) as slices:
            async for slice_ in slices:
                frames = [
                    message_frame(event.data, f"{stream_id.hex}-{event.seq}")
                    for event in slice_
                    if event.kind != GONE
                ]
                if frames:
                    yield b"".join(frames)
                if slice_ and slice_[-1].kind in (LAST, GONE):
                    return


def primer(id_: str) -> bytes:
    """The event that only gives an id to go on from."""
    return b"id: %s\r\nretry: %d\r\ndata: \r\n\r\n" % (id_.encode(), RETRY_MS)


def message_frame(data: bytes, id_: str) -> bytes:
    """A message."""
    return b"event: message\r\nid: %s\r\ndata: %s\r\n\r\n" % (id_.encode(), data)


def read_event_id(text: str) -> tuple[UUID, int] | None:
    """The stream and the `seq` of an event id; None when it is none of ours."""
    stream, _, seq = text.partition("-")
    if len(stream) != 32 or not (seq.isascii() and seq.isdigit() and len(seq) < 10):
        return None
    try:
        return UUID(stream), int(seq)
    except ValueError:
        return None
