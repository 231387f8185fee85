"""A receiver of webhooks: an HTTP server of the test, which answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from standardwebhooks import Webhook

REASONS = {200: "OK", 302: "Found", 410: "Gone", 500: "Server Error", 503: "Unavailable"}


@dataclass(slots=True)
class Received:
    """A request."""

    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    def verified(self, secret: str) -> Any:
        """The body, once its signature is verified as receivers do it."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass(slots=True)
class Receiver:
    """`status` is what it answers; while `hang` is set it answers nothing."""

    status: int = 200
    hang: bool = False
    url: str = ""
    got: list[Received] = field(default_factory=list[Received])

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = [line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line]
            headers = {name.lower(): value for name, value in lines}
            body = await reader.readexactly(int(headers["content-length"]))
            self.got.append(Received(headers, body))
            if self.hang:
                await reader.read()
                return
            answer = f"HTTP/1.1 {self.status} {REASONS[self.status]}\r\ncontent-length: 0\r\n"
            answer += "location: http://169.254.169.254/\r\nconnection: close\r\n"
            if self.status >= 300:
                # whoever sends again does so because its test wants it
                answer += "retry-after: 3600\r\n"
            answer += "\r\n"
            writer.write(answer.encode())
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncGenerator[Receiver]:
    """A receiver on a port of 127.0.0.1."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.connected, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        server.close()
