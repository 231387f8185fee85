"""How a server leaves: soon, with status 0, and in a way that its clients understand.

Streams end or are cut, and clients go on elsewhere by `Last-Event-ID`; who still waits for a first byte
is told to come again. Nothing of that is an error, so nothing of it is logged as one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from contextlib import contextmanager
from signal import SIGTERM

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agenthub_server.cli.signals import stop_on_signals

COME_AGAIN = b'{"detail": "this server is stopping; try again", "code": "unavailable"}'


class LeavingServer(uvicorn.Server):
    """uvicorn's server, which returns after a signal instead of raising it again: whoever runs it
    has more to clean up. A second signal ends the process."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        stop_on_signals(self.leave)
        yield

    def leave(self) -> None:
        """Take no more requests, and end those that are there."""
        # not just `should_exit`: event streams listen to this method
        self.handle_exit(SIGTERM, None)
        # what uvicorn says about requests that it cuts is what we ask for
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)


class Cut:
    """Answers 503 for requests that the leaving server cancels before they had an answer, and for those
    that come over a late connection when its surfaces are closed."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.closed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, self._noticing(receive), send)
            return
        if self.closed:
            await _come_again(send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except asyncio.CancelledError:
            if not started:
                await _come_again(send)
            raise

    def _noticing(self, receive: Receive) -> Receive:
        async def noticed() -> Message:
            message = await receive()
            self.closed = self.closed or message["type"] == "lifespan.shutdown"
            return message

        return noticed


async def _come_again(send: Send) -> None:
    # a client that keeps the connection would only ask the same server again
    headers = [
        (b"content-type", b"application/json"),
        (b"retry-after", b"1"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": COME_AGAIN})
