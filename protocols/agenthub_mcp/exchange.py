"""Exchanges: the channel between a handler of the SDK and the client of one handshake-era request.

A `Brief` one carries the response and nothing else. An `Exchange` is the stream of a call: whatever is
sent through it is committed first, so that any replica can pass it on, and a question has its answer in
the database, wherever that was handed in. Followed again by another replica, the call asks the same
questions under the same keys, and gets the answers that are there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping
from itertools import count
from typing import Any, Final
from uuid import UUID, uuid5

import anyio
import mcp_types as types
import pydantic_core
from mcp.shared.dispatcher import CallOptions
from mcp.shared.exceptions import MCPError, NoBackChannelError
from mcp.shared.jsonrpc_dispatcher import progress_token_from_params
from mcp.shared.message import ServerMessageMetadata
from mcp.shared.transport_context import TransportContext
from starlette.requests import Request

from agenthub.errors import NotFound
from agenthub.events import Event
from agenthub.json import JsonObject, dumps
from agenthub.ports import Tail
from agenthub.sessions import LAST, MESSAGE, Session, SessionStore, Stream

LOST: Final = "lost"
"""Kind of the event that tells a replica that a stream is not its own any more."""
WITHDRAWN: Final = b"null"
"""Stands where a client's response would, so that whoever serves the call again knows that its question was
taken back; no client's response reads like this."""


class Withdrawn(Exception):
    """A question was taken back: it needs no answer any more."""


class Brief:
    """`mcp.shared.dispatcher.DispatchContext` of a request that is answered in one piece."""

    can_send_request = False

    def __init__(self, request: Request, request_id: types.RequestId) -> None:
        self.request_id: types.RequestId | None = request_id
        self.message_metadata = ServerMessageMetadata(request_context=request)
        self.transport = TransportContext(
            kind="streamable-http",
            can_send_request=self.can_send_request,
            headers=request.headers,
        )
        self.cancel_requested = anyio.Event()

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        """Refuse: the answer would have nowhere to go."""
        raise NoBackChannelError(method)

    async def notify(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> None:
        """Drop it: the response is all that the client gets."""

    async def progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Drop it, as any notification."""


class Exchange(Brief):
    """The channel of a call. `key` names the call for ever, whoever serves it."""

    can_send_request = True

    def __init__(
        self,
        request: Request,
        stream: Stream,
        sessions: SessionStore,
        tail: Tail,
        *,
        poll_seconds: float,
    ) -> None:
        self.call: JsonObject = pydantic_core.from_json(stream.request)
        super().__init__(request, self.call["id"])
        self.stream = stream
        self.sessions = sessions
        self.tail = tail
        self.poll_seconds = poll_seconds
        self.lost = asyncio.Event()
        self._token = progress_token_from_params(self.call.get("params"))
        self._asked = count(1)
        self._in_turn = asyncio.Lock()

    @property
    def key(self) -> str:
        """The idempotency key of what the call starts."""
        return call_key(self.stream.stream_id)

    @property
    def again(self) -> bool:
        """Whether another replica served the call before."""
        return self.stream.epoch > 1

    async def notify(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> None:
        """Send a notification."""
        message = dumps(_message(method, params))
        # in the order in which they are sent, though the database would take them side by side
        async with self._in_turn:
            self._sent(await self.sessions.append(self.stream, message), MESSAGE, message)

    async def progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Report progress, if the client asked for it; rising, also after another replica's."""
        if self._token is None:
            return
        params: JsonObject = {
            "progressToken": self._token,
            "progress": progress + self.stream.last_seq,
            "total": total,
            "message": message,
        }
        given = {k: v for k, v in params.items() if v is not None}
        await self.notify("notifications/progress", given)

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        """Put a question, once, and wait for its answer; `opts["request_id"]` is its key.

        Raises:
            MCPError: the client refused, or did not answer in time.
        """
        opts = opts or {}
        key = str(opts.get("request_id") or next(self._asked))
        await self._put(key, method, params)
        try:
            async with asyncio.timeout(opts.get("timeout")):
                return _read(await self._answer(key))
        except TimeoutError:
            raise MCPError(types.REQUEST_TIMEOUT, "The client did not answer in time") from None

    async def ask(
        self,
        method: str,
        params: Mapping[str, Any],
        key: str,
        *,
        settled: Coroutine[Any, Any, object],
    ) -> dict[str, Any]:
        """Put a question, once, and wait for its answer, or until it is settled without one.

        Raises:
            MCPError: the client refused.
            Withdrawn: it was settled, and the client told that it need not answer.
        """
        looking = asyncio.ensure_future(settled)
        waiting: list[asyncio.Future[Any]] = [looking]
        try:
            # first of all: what was not put cannot be taken back
            await self._put(key, method, params)
            answering = asyncio.ensure_future(self._answer(key))
            waiting.append(answering)
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                return _read(answering.result())
            looking.result()
            await self._withdraw(key)
            raise Withdrawn
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def finish(self, response: JsonObject) -> None:
        """Send the response, which ends the stream; nothing, when it is not ours any more."""
        message = encoded(response)
        async with self._in_turn:
            self._sent(await self.sessions.append(self.stream, message, last=True), LAST, message)

    async def _put(self, key: str, method: str, params: Mapping[str, Any] | None) -> None:
        message = dumps({**_message(method, params), "id": self._id(key)})
        async with self._in_turn:
            seq = await self.sessions.ask(self.stream, key, message)
            if seq != 0:
                self._sent(seq, MESSAGE, message)
        if seq is None:
            # whoever serves this call now gets the answer; this one is about to be ended
            await asyncio.Event().wait()

    async def _withdraw(self, key: str) -> None:
        """Take a question back, once; one that the client has answered by now is left alone."""
        session, stream_id = self.stream.session, self.stream.stream_id
        if await self.sessions.answer(session, stream_id, key, WITHDRAWN):
            reason = "The question needs no answer any more."
            taken_back = {"requestId": self._id(key), "reason": reason}
            await self.notify("notifications/cancelled", taken_back)

    def _id(self, key: str) -> str:
        return f"{self.stream.stream_id.hex}:{key}"

    async def _answer(self, key: str) -> bytes:
        async with self.tail.follow(question_id(self.stream.stream_id, key)) as following:
            while True:
                try:
                    answer = await self.sessions.answered(self.stream, key)
                except NotFound:
                    # closed or swept with its session: whoever serves the call finds out, and ends this
                    self.lost.set()
                    await asyncio.Event().wait()
                    raise
                if answer is not None:
                    return answer
                await following.next(timeout=self.poll_seconds)

    def _sent(self, seq: int | None, kind: str, message: bytes) -> None:
        if seq is None:
            self.lost.set()
            return
        stream_id = self.stream.stream_id
        self.tail.publish(stream_id, [Event(seq, stream_id, kind, message)])


def encoded(response: JsonObject) -> bytes:
    """A response as JSON, also when it repeats what clients should not have sent."""
    try:
        return dumps(response)
    except TypeError:
        return json.dumps(response).encode()


def call_key(stream_id: UUID) -> str:
    """The idempotency key of what a call starts."""
    return f"mcp:{stream_id}"


def question_id(stream_id: UUID, key: str) -> UUID:
    """Where the answer of a question is announced."""
    return uuid5(stream_id, key)


async def answer(
    sessions: SessionStore, tail: Tail, session: Session, question: str, response: bytes
) -> None:
    """Hand in a client's response; one to no question of its session is passed over."""
    stream, _, key = question.partition(":")
    try:
        stream_id = UUID(stream)
    except ValueError:
        return
    if not (key.isascii() and key.isprintable()):
        return
    if await sessions.answer(session, stream_id, key, response):
        tail.publish(question_id(stream_id, key), ())


def _read(response: bytes) -> dict[str, Any]:
    """The result in a client's response."""
    answer = pydantic_core.from_json(response)
    if answer is None:
        raise Withdrawn
    if "error" in answer:
        raise MCPError.from_error_data(types.ErrorData.model_validate(answer["error"]))
    return answer["result"]


def _message(method: str, params: Mapping[str, Any] | None) -> JsonObject:
    message: JsonObject = {"jsonrpc": "2.0", "method": method}
    return message if params is None else {**message, "params": dict(params)}
