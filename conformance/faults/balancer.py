"""A balancer as dumb as they come: each connection goes to the next replica that accepts it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from urllib.parse import urlsplit


@asynccontextmanager
async def balanced(urls: Sequence[str]) -> AsyncGenerator[str]:
    """The address of a balancer in front of these replicas."""
    turns = count()

    async def backend() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in urls:
            to = urlsplit(urls[next(turns) % len(urls)])
            with suppress(OSError):
                return await asyncio.open_connection(to.hostname, to.port)
        raise ConnectionError("no replica is there")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            behind, ahead = await backend()
            copying = [
                asyncio.create_task(copy(reader, ahead)),
                asyncio.create_task(copy(behind, writer)),
            ]
            # either end that closes closes both, as a replica that dies does
            await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
            ahead.close()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()


async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Pass on bytes until either end closes."""
    with suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
