"""Serving: the calls that this replica follows for handshake-era clients, each in a task of its own.

A call does not depend on the connection that brought it, nor on this process: another replica that
adopts its stream does the same again, from the stored request, and what was done is found done. This
replica then hears of it and stops; the run goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import mcp_types as types
from mcp.server import Server
from mcp.server.connection import Connection
from mcp.server.runner import serve_one
from mcp.shared.jsonrpc_dispatcher import handler_exception_to_error_data
from starlette.requests import Request

from agenthub.errors import Unavailable
from agenthub.events import Event
from agenthub.ids import new_id
from agenthub.json import JsonObject
from agenthub.ports import Tail
from agenthub.sessions import Session, SessionStore, Stream
from agenthub_mcp.exchange import LOST, Brief, Exchange

log = logging.getLogger(__name__)

QUIET_SECONDS: Final = 3600.0
LOOK_SECONDS: Final = 60.0
"""How often a call looks whether its stream is there: a session that is closed or swept tells nobody."""


class Serving:
    """The calls of one replica; `run` must be running."""

    def __init__(
        self,
        server: Server[dict[str, Any]],
        sessions: SessionStore,
        tail: Tail,
        *,
        poll_seconds: float,
    ) -> None:
        self.server = server
        self.sessions = sessions
        self.tail = tail
        self.poll_seconds = poll_seconds
        self.replica_id = new_id()
        self._calls: dict[UUID, Exchange] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Hear of streams that are not ours any more, for ever.

        News that is lost does no harm: nothing of ours is accepted on such a stream.
        """
        async with self.tail.follow(self.replica_id) as following:
            while True:
                news = await following.next(timeout=QUIET_SECONDS)
                if news is None:
                    continue
                lost = list(self._calls) if news.events is None else [e.run_id for e in news.events]
                for stream_id in lost:
                    if stream_id in self._calls:
                        self._calls[stream_id].lost.set()

    def start(self, request: Request, stream: Stream) -> None:
        """Serve a call, to its end or until another replica does."""
        self.tell(stream)
        exchange = Exchange(
            request, stream, self.sessions, self.tail, poll_seconds=self.poll_seconds
        )
        self._calls[stream.stream_id] = exchange
        task = asyncio.create_task(self._serve(exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def tell(self, stream: Stream) -> None:
        """Tell the replica that had the stream before."""
        if stream.displaced is not None:
            self.tail.publish(stream.displaced, [Event(0, stream.stream_id, LOST, b"")])

    async def serves(self, stream_id: UUID) -> bool:
        """Whether this replica still writes the stream."""
        exchange = self._calls.get(stream_id)
        return exchange is not None and await self.sessions.hold(exchange.stream) == "held"

    async def aclose(self) -> None:
        """Leave the calls to whoever adopts them; their runs go on."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def reply(
        self, session: Session, channel: Brief, method: str, params: Mapping[str, Any] | None
    ) -> JsonObject:
        """The JSON-RPC response to a request in a session."""
        connection = restored(session)
        serving = serve_one(
            self.server, channel, method, params, connection=connection, lifespan_state={}
        )
        return await reply(channel.request_id, serving)

    async def _serve(self, exchange: Exchange) -> None:
        stream = exchange.stream
        method, params = exchange.call["method"], exchange.call.get("params")
        replying = asyncio.create_task(self.reply(stream.session, exchange, method, params))
        losing = asyncio.create_task(self._lost(exchange))
        try:
            await asyncio.wait([replying, losing], return_when=asyncio.FIRST_COMPLETED)
            if replying.done():
                await exchange.finish(replying.result())
        except Exception:
            log.exception("the call %s could not be served to its end", stream.stream_id)
        finally:
            if self._calls.get(stream.stream_id) is exchange:
                del self._calls[stream.stream_id]
            replying.cancel()
            losing.cancel()
            await asyncio.wait([replying, losing])

    async def _lost(self, exchange: Exchange) -> None:
        """Return when the stream is not ours any more."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await exchange.lost.wait()
            exchange.lost.clear()
            try:
                held = await self.sessions.hold(exchange.stream)
            except Unavailable:
                continue  # what is not ours is refused in any case
            if held == "taken back":
                exchange.cancel_requested.set()
            if held != "held":
                return


async def reply(
    request_id: types.RequestId | None, serving: Awaitable[dict[str, Any]]
) -> JsonObject:
    """The JSON-RPC response that serving comes to; an exception that is no answer is hidden."""
    try:
        result = await serving
    except Exception as failed:
        error = handler_exception_to_error_data(failed)
        if error is None:
            log.exception("a request could not be served")
            error = types.ErrorData(code=types.INTERNAL_ERROR, message="Internal error")
        shown = error.model_dump(by_alias=True, mode="json", exclude_none=True)
        return {"jsonrpc": "2.0", "id": request_id, "error": shown}
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def restored(session: Session) -> Connection:
    """The SDK's view of a session, as its handshake left it."""
    connection = Connection.from_envelope(session.version, None, None)
    connection.session_id = session.session_id.hex
    with suppress(ValueError):
        connection.client_params = types.InitializeRequestParams.model_validate(
            session.client, by_name=False
        )
    return connection
