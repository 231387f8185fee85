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
    """Answers 503 for requests that the leaving server cancels before they had an answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = scope["type"] != "http"

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except asyncio.CancelledError:
            if not started:
                headers = [(b"content-type", b"application/json"), (b"retry-after", b"1")]
                await send({"type": "http.response.start", "status": 503, "headers": headers})
                await send({"type": "http.response.body", "body": COME_AGAIN})
            raise
