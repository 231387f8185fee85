"""A load client that costs little: HTTP/1.1 on a kept connection, nothing parsed that need not be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from time import perf_counter
from typing import Any

import orjson


class Connection:
    """One kept connection to a server on this machine."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, body: Any) -> Any:
        """Send JSON and return JSON. Raises `RuntimeError` for any status but 200."""
        return orjson.loads(b"".join([c async for c in self._exchange("POST", path, body)]))

    async def get(self, path: str) -> Any:
        """Read JSON."""
        return orjson.loads(b"".join([c async for c in self._exchange("GET", path, None)]))

    async def stream(self, path: str, body: Any) -> tuple[float, int]:
        """Read a whole stream: seconds to its first event, and its number of events."""
        started, first, events = perf_counter(), 0.0, 0
        async for chunk in self._exchange("POST", path, body):
            found = chunk.count(b"event: ")
            if found and not first and (b"event: custom" in chunk or b"event: messages" in chunk):
                first = perf_counter() - started
            events += found
        return first, events

    async def _exchange(self, method: str, path: str, body: Any) -> AsyncGenerator[bytes, None]:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                "127.0.0.1", self.port, limit=1 << 22
            )
        reader, writer = self._reader, self._writer
        assert reader is not None
        data = b"" if body is None else orjson.dumps(body)
        writer.write(
            f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n".encode()
            + data
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        ok = head.startswith(b"http/1.1 200")
        if b"transfer-encoding: chunked" in head:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                yield (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        else:
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            answer = await reader.readexactly(length)
            if not ok:
                raise RuntimeError(f"{path}: {head[:15]!r} {answer[:200]!r}")
            yield answer

    async def close(self) -> None:
        """Close it."""
        if self._writer is not None:
            self._writer.close()
            await self._writer.wait_closed()
