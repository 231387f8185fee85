"""Sessions: what a client that keeps state on the server leaves there between its requests.

A session outlives connections and replicas. Each call in it has a stream: the messages for the client, in
order, with a dense `seq`, and the questions among them. One replica at a time writes a stream; another
one takes it over by adopting it, and from then on nothing of the first one is accepted. The epoch of the
adoption is the fence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias
from uuid import UUID

from agenthub.events import Event
from agenthub.json import JsonObject

MESSAGE: Final = "message"
"""Kind of an event that is a message for the client."""
LAST: Final = "last"
"""Kind of the message that ends its stream: the response."""
GONE: Final = "gone"
"""Kind of the event that a reader gets when the stream is not there any more."""

Hold: TypeAlias = Literal["held", "adopted", "taken back"]
"""How a writer stands with its stream; one that is gone counts as adopted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session. `client` is what the client said of itself, in the words of its protocol."""

    tenant: str
    session_id: UUID
    subject: str
    version: str
    client: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The right to write a call's stream, with the request that the call is, as it came in.

    `displaced` is the replica that had it before, and should be told.
    """

    session: Session
    stream_id: UUID
    request: bytes
    epoch: int = 1
    last_seq: int = 0
    displaced: UUID | None = None


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """How far a stream is, and whether that is its end."""

    seq: int
    ended: bool


class SessionStore(Protocol):
    """Sessions and their streams. A session that nobody used for long is as good as gone."""

    async def open(self, session: Session) -> None: ...

    async def get(self, tenant: str, session_id: UUID) -> Session | None: ...

    async def close(self, session: Session) -> None:
        """Remove it with everything in it."""
        ...

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
        """Begin a stream, for a replica to write.

        None: the subject has no such session.
        """
        ...

    async def adopt(self, session: Session, stream_id: UUID, *, owner: UUID) -> Stream | None:
        """Take a stream over. None: it has ended, or there is none."""
        ...

    async def hold(self, stream: Stream) -> Hold: ...

    async def position(self, session: Session, stream_id: UUID) -> StreamEnd | None:
        """None: there is no such stream."""
        ...

    async def append(self, stream: Stream, message: bytes, *, last: bool = False) -> int | None:
        """Append a message and give its `seq`. None: the stream is not held any more."""
        ...

    async def ask(self, stream: Stream, key: str, message: bytes) -> int | None:
        """Append a question. 0: it was asked before. None: the stream is not held any more."""
        ...

    async def answer(self, session: Session, stream_id: UUID, key: str, answer: bytes) -> bool:
        """Answer a question. False: there is none, or it has its answer."""
        ...

    async def answered(self, stream: Stream, key: str) -> bytes | None:
        """The client's response to a question; None while there is none.

        Raises:
            NotFound: the question is gone, with its session or its stream.
        """
        ...

    async def take_back(
        self, session: Session, request_id: str, message: bytes
    ) -> Sequence[Stream]:
        """End the open streams of a request with this message, whoever writes them."""
        ...

    async def subscribe(self, tenant: str, session_id: UUID, uri: str, *, most: int) -> bool:
        """Remember what a session wants to hear of. False: it has `most` subscriptions already."""
        ...

    async def unsubscribe(self, tenant: str, session_id: UUID, uri: str) -> None: ...

    async def subscriptions(self, tenant: str, session_id: UUID) -> Sequence[str]:
        """What a session wants to hear of."""
        ...

    async def read(
        self, tenant: str, session_id: UUID, stream_id: UUID, *, after: int, limit: int
    ) -> Sequence[Event]:
        """Messages with `seq > after`, in order; a `GONE` event when there is no such stream."""
        ...

    async def sweep(self, tenant: str, *, limit: int) -> int:
        """Remove up to `limit` old streams and as many idle sessions; says how many of either."""
        ...
