"""A webhook for the check of push notifications: an HTTP server that takes whatever it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(slots=True)
class Webhook:
    """Posts by the path that they came to, each with its headers in lower case and its body as JSON."""

    url: str = ""
    posts: dict[str, list[tuple[dict[str, str], Any]]] = field(
        default_factory=dict[str, list[tuple[dict[str, str], Any]]]
    )
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, path: str, told: Any) -> tuple[dict[str, str], Any]:
        """The first post to a path whose body `told` accepts."""
        async with self.arrived:
            while True:
                for headers, body in self.posts.get(path, ()):
                    if told(body):
                        return headers, body
                await self.arrived.wait()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one post."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            lines = (line.partition(": ") for line in head[1:] if line)
            headers = {name.lower(): value for name, _, value in lines}
            body = orjson.loads(await reader.readexactly(int(headers["content-length"])))
            async with self.arrived:
                self.posts.setdefault(head[0].split()[1], []).append((headers, body))
                self.arrived.notify_all()
            writer.write(ANSWER)
            await writer.drain()
        except (OSError, ValueError, LookupError, asyncio.IncompleteReadError):
            pass  # no post at all
        finally:
            writer.close()


@asynccontextmanager
async def receiving(host: str) -> AsyncGenerator[Webhook]:
    """A webhook on a free port of this machine, which the server under test reaches as `host`."""
    webhook = Webhook()
    server = await asyncio.start_server(webhook.connected, host, 0)
    shown = f"[{host}]" if ":" in host else host
    webhook.url = f"http://{shown}:{server.sockets[0].getsockname()[1]}"
    try:
        yield webhook
    finally:
        server.close()
