"""Sessions and a tail without any server behind them, for surfaces over a stub."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from uuid import UUID

from agenthub.events import Event
from agenthub.fanout import Fanout, Follower
from agenthub.ports import Following
from agenthub.sessions import GONE, LAST, MESSAGE, Hold, Session, Stream, StreamEnd


class MemoryTail:
    """`agenthub.ports.Tail` of one process."""

    def __init__(self) -> None:
        self._fanout = Fanout()

    def publish(self, task_id: UUID, events: Sequence[Event]) -> None:
        self._fanout.deliver(task_id, events)

    def prepare(self, task_id: UUID) -> None:
        self._fanout.prepare(task_id, self._forget)

    def _forget(self, task_id: UUID, follower: Follower) -> None:
        self._fanout.remove(task_id, follower)

    def follow(self, task_id: UUID) -> AbstractAsyncContextManager[Following]:
        return self._fanout.following(task_id)

    def broadcasts(self, topic: str) -> AsyncIterator[None]:
        return self._fanout.broadcasts(topic, every=60.0)

    def announce(self, topic: str) -> None:
        self._fanout.announce(topic)


@dataclass
class MemoryStream:
    """A stream's rows."""

    stream: Stream
    request_id: str
    owner: UUID
    messages: list[Event] = field(default_factory=list[Event])
    questions: dict[str, bytes | None] = field(default_factory=dict[str, "bytes | None"])
    ended: bool = False
    taken_back: bool = False

    def put(self, message: bytes, *, last: bool = False) -> int:
        seq = len(self.messages) + 1
        self.messages.append(Event(seq, self.stream.stream_id, LAST if last else MESSAGE, message))
        self.ended = last
        return seq


class MemorySessions:
    """`agenthub.sessions.SessionStore` for one replica: nothing is adopted."""

    def __init__(self) -> None:
        self.sessions: dict[UUID, Session] = {}
        self.streams: dict[UUID, MemoryStream] = {}
        self.subscribed: dict[UUID, list[str]] = {}

    async def open(self, session: Session) -> None:
        self.sessions[session.session_id] = session

    async def get(self, tenant: str, session_id: UUID) -> Session | None:
        return self.sessions.get(session_id)

    async def close(self, session: Session) -> None:
        self.sessions.pop(session.session_id, None)

    async def begin(
        self,
        tenant: str,
        session_id: UUID,
        *,
        subject: str,
        stream_id: UUID,
        request_id: str,
        request: bytes,
        owner: UUID,
    ) -> Stream | None:
        session = self.sessions.get(session_id)
        if session is None or session.subject != subject:
            return None
        stream = Stream(session=session, stream_id=stream_id, request=request)
        self.streams[stream_id] = MemoryStream(stream, request_id, owner)
        return stream

    async def adopt(self, session: Session, stream_id: UUID, *, owner: UUID) -> Stream | None:
        return None

    async def hold(self, stream: Stream) -> Hold:
        return "taken back" if self.streams[stream.stream_id].taken_back else "held"

    async def position(self, session: Session, stream_id: UUID) -> StreamEnd | None:
        kept = self.streams.get(stream_id)
        return None if kept is None else StreamEnd(len(kept.messages), kept.ended)

    async def append(self, stream: Stream, message: bytes, *, last: bool = False) -> int | None:
        kept = self.streams[stream.stream_id]
        return None if kept.ended else kept.put(message, last=last)

    async def ask(self, stream: Stream, key: str, message: bytes) -> int | None:
        kept = self.streams[stream.stream_id]
        if kept.ended:
            return None
        if key in kept.questions:
            return 0
        kept.questions[key] = None
        return kept.put(message)

    async def answer(self, session: Session, stream_id: UUID, key: str, answer: bytes) -> bool:
        kept = self.streams.get(stream_id)
        if kept is None or kept.questions.get(key, b"") is not None:
            return False
        kept.questions[key] = answer
        return True

    async def answered(self, stream: Stream, key: str) -> bytes | None:
        return self.streams[stream.stream_id].questions[key]

    async def take_back(
        self, session: Session, request_id: str, message: bytes
    ) -> Sequence[Stream]:
        taken: list[Stream] = []
        for kept in self.streams.values():
            if kept.request_id == request_id and not kept.ended:
                kept.taken_back = True
                seq = kept.put(message, last=True)
                taken.append(replace(kept.stream, last_seq=seq, displaced=kept.owner))
        return taken

    async def subscribe(self, tenant: str, session_id: UUID, uri: str, *, most: int) -> bool:
        uris = self.subscribed.setdefault(session_id, [])
        if uri not in uris and len(uris) >= most:
            return False
        uris[:] = [*(u for u in uris if u != uri), uri]
        return True

    async def unsubscribe(self, tenant: str, session_id: UUID, uri: str) -> None:
        uris = self.subscribed.get(session_id, [])
        uris[:] = [u for u in uris if u != uri]

    async def subscriptions(self, tenant: str, session_id: UUID) -> Sequence[str]:
        return self.subscribed.get(session_id, [])

    async def read(
        self, tenant: str, session_id: UUID, stream_id: UUID, *, after: int, limit: int
    ) -> Sequence[Event]:
        kept = self.streams.get(stream_id)
        if kept is None:
            return [Event(after + 1, stream_id, GONE, b"")]
        return kept.messages[after : after + limit]

    async def sweep(self, tenant: str, *, limit: int) -> int:
        return 0
